//! Every place where rings of a trace directory may lie.
//!
//! Where a component puts its rings depends on its environment (`TRACEWELL_RING_DIR`, `XDG_RUNTIME_DIR`) and on its own
//! choice. A command that runs in another one (ssh, cron, su) must find them all the same, so a component writes its
//! place down in `ring-roots` beside the control page before it makes the first ring there: FORMAT.md section 6.
//! Readers follow what the file names only to directories that are this user's alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::lock::ChangeLock;
use crate::dirs::Dirs;
use crate::{fs, uuid};

/// Name of the list.
pub const ROOTS_FILE: &str = "ring-roots";
/// Most places that are kept and followed.
const MAX_ROOTS: usize = 64;
/// Longest list that is read, in bytes.
const MAX_FILE: u64 = 256 << 10;
/// How long a component waits for the right to add its place.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where rings of a trace directory may lie.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RingRoots {
    /// The places that exist: that of this process first, then the usual ones, then those that components wrote down.
    /// Each is a directory of this user alone.
    pub usable: Vec<PathBuf>,
    /// Places that are there and cannot be used, and why; the list itself if it cannot be read.
    pub refused: Vec<(PathBuf, io::Error)>,
}

impl RingRoots {
    /// Finds them all. Nothing is made.
    #[must_use]
    pub fn find(dirs: &Dirs) -> Self {
        let mut roots = Self::default();
        let mut all = vec![dirs.ring_root().to_owned()];
        all.extend_from_slice(dirs.usual_ring_roots());
        match fs::open_private_dir(dirs.base()).and_then(|folder| load(&folder)) {
            Ok(listed) => all.extend(listed),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => roots.refused.push((dirs.base().join(ROOTS_FILE), e)),
        }
        let mut seen = BTreeSet::new();
        for root in all {
            if !seen.insert(root.clone()) {
                continue;
            }
            match fs::open_private_dir(&root) {
                Ok(_) => roots.usable.push(root),
                Err(e) if is_missing(&e) => {}
                Err(e) => roots.refused.push((root, e)),
            }
        }
        roots
    }
}

fn is_missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound
}

/// A place that may be followed: absolute, no `..`, something below the root.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
}

/// What the list names: each once, bounded in number.
fn load(folder: &OwnedFd) -> io::Result<Vec<PathBuf>> {
    Ok(entries(&whole(&fs::open_existing(folder, ROOTS_FILE, false)?)?))
}

/// The bytes of a list up to the end of its last whole entry.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|b| *b == 0).map_or(0, |at| at + 1));
    Ok(bytes)
}

fn entries(bytes: &[u8]) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for entry in bytes.split(|b| *b == 0).filter(|e| !e.is_empty()) {
        let path = PathBuf::from(OsString::from_vec(entry.to_vec()));
        if is_plain(&path) && !roots.contains(&path) {
            roots.push(path);
        }
        if roots.len() == MAX_ROOTS {
            break;
        }
    }
    roots
}

/// Writes down that rings of this trace directory lie in this process's place. Best effort: without it they are still
/// found by whoever has the same environment.
pub(crate) fn record(dirs: &Dirs) {
    let _ = fs::open_private_dir(dirs.base()).and_then(|folder| {
        if !has(&folder, dirs.ring_root()) {
            let lock = ChangeLock::take_within(&folder, PATIENCE)?;
            add(&folder, &lock, dirs.ring_root())?;
        }
        Ok(())
    });
}

fn has(folder: &OwnedFd, root: &Path) -> bool {
    load(folder).is_ok_and(|roots| roots.iter().any(|r| r == root))
}

/// As [`record`], for who has the lock already.
pub(super) fn add(folder: &OwnedFd, _lock: &ChangeLock, root: &Path) -> io::Result<()> {
    if !is_plain(root) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let entry = [root.as_os_str().as_bytes(), &[0]].concat();
    let mut roots = Vec::new();
    match fs::open_existing(folder, ROOTS_FILE, true) {
        Err(e) if is_missing(&e) => {}
        Err(e) => return Err(e),
        Ok(file) => {
            let bytes = whole(&file)?;
            roots = entries(&bytes);
            if roots.iter().any(|r| r == root) {
                return Ok(());
            }
            if roots.len() < MAX_ROOTS && (bytes.len() + entry.len()) as u64 <= MAX_FILE {
                // In its place: that works on a full disk too. An entry that is cut has no end and is not read.
                return file.write_all_at(&entry, bytes.len() as u64);
            }
        }
    }
    // What is gone has nothing to be found; else the oldest goes.
    roots.retain(|r| r.symlink_metadata().is_ok());
    let surplus = (roots.len() + 1).saturating_sub(MAX_ROOTS);
    roots.drain(..surplus);
    roots.push(root.to_owned());
    let mut bytes = Vec::new();
    for root in &roots {
        bytes.extend_from_slice(root.as_os_str().as_bytes());
        bytes.push(0);
    }
    // As a whole under another name first, so that nobody ever reads half of it.
    let name = format!(".{ROOTS_FILE}-{}", tracewell_schema::format::hex(&uuid::random()[..8]));
    fs::create_new(folder, &name)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename_at(folder, &name, ROOTS_FILE))
        .inspect_err(|_| drop(fs::unlink_at(folder, &name)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn place() -> (tempfile::TempDir, Dirs) {
        let top = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&top.path().join("trace"))).unwrap();
        fs::create_private_dir_all(dirs.base()).unwrap();
        (top, dirs)
    }

    fn write(dirs: &Dirs, bytes: &[u8], mode: u32) {
        let path = dirs.base().join(ROOTS_FILE);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_place_that_was_written_down_is_found_from_elsewhere() {
        let (top, dirs) = place();
        let there = dirs.clone().with_ring_root(top.path().join("there"));
        record(&there);
        record(&there);
        record(&dirs.clone().with_ring_root(top.path().join("line\nend")));
        let listed = load(&fs::open_private_dir(dirs.base()).unwrap()).unwrap();
        assert_eq!(listed, [top.path().join("there"), top.path().join("line\nend")]);
        let found = RingRoots::find(&dirs);
        assert!(found.usable.is_empty() && found.refused.is_empty(), "nothing is there yet: {found:?}");
        fs::create_private_dir_all(&top.path().join("there")).unwrap();
        let found = RingRoots::find(&dirs);
        assert_eq!(found.usable, [top.path().join("there")]);
        assert!(found.refused.is_empty(), "{found:?}");
        let mode = std::fs::metadata(dirs.base().join(ROOTS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dirs.base()).unwrap().count(), 2, "the list and the lock");
    }

    #[test]
    fn asking_makes_nothing_and_usual_places_are_tried() {
        let top = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&top.path().join("trace"))).unwrap();
        let found = RingRoots::find(&dirs);
        assert!(!dirs.base().exists() && found.usable.is_empty());
        let uid = rustix::process::geteuid().as_raw();
        let shm = format!("/dev/shm/tracewell-{uid}");
        let usual = dirs.usual_ring_roots().iter().find(|r| r.starts_with(&shm)).unwrap();
        fs::create_private_dir_all(usual).unwrap();
        let other = dirs.clone().with_ring_root(top.path().join("other"));
        assert_eq!(&RingRoots::find(&other).usable, std::slice::from_ref(usual));
        std::fs::remove_dir(usual).unwrap();
        record(&dirs);
        assert!(!dirs.base().exists(), "a trace directory is made by who attaches");
    }

    #[test]
    fn a_hostile_list_leads_nowhere() {
        let (top, dirs) = place();
        let open = top.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        symlink("/etc", top.path().join("link")).unwrap();
        let mut list = Vec::new();
        for entry in ["relative", "/", "/a/../etc", "", "/etc/passwd"] {
            list.extend_from_slice(entry.as_bytes());
            list.push(0);
        }
        for entry in [&open, &top.path().join("link")] {
            list.extend_from_slice(entry.as_os_str().as_bytes());
            list.push(0);
        }
        list.extend_from_slice(b"/cut/in/the/midd");
        write(&dirs, &list, 0o600);
        let found = RingRoots::find(&dirs);
        let refused: Vec<_> = found.refused.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(refused, [PathBuf::from("/etc/passwd"), open, top.path().join("link")]);
        assert!(found.usable.is_empty(), "{found:?}");
        // Not ours alone, a link, or something else: the list is refused as a whole, and named.
        write(&dirs, b"/x\0", 0o644);
        assert_eq!(RingRoots::find(&dirs).refused[0].0, dirs.base().join(ROOTS_FILE));
        std::fs::remove_file(dirs.base().join(ROOTS_FILE)).unwrap();
        symlink("/etc/passwd", dirs.base().join(ROOTS_FILE)).unwrap();
        assert_eq!(RingRoots::find(&dirs).refused.len(), 1);
        record(&dirs);
        assert!(dirs.base().join(ROOTS_FILE).is_symlink(), "nothing foreign is overwritten");
    }

    #[test]
    fn the_list_is_bounded() {
        let (top, dirs) = place();
        let mut list = Vec::new();
        for i in 0..100_000 {
            list.extend_from_slice(format!("/none/{i}").as_bytes());
            list.push(0);
        }
        write(&dirs, &list, 0o600);
        assert_eq!(load(&fs::open_private_dir(dirs.base()).unwrap()).unwrap().len(), MAX_ROOTS);
        // A new place is still taken; those that are gone make room.
        record(&dirs.clone().with_ring_root(top.path().join("new")));
        let listed = load(&fs::open_private_dir(dirs.base()).unwrap()).unwrap();
        assert_eq!(listed, [top.path().join("new")]);
    }
}
