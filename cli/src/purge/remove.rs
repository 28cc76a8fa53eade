//! Deleting, file by file: only names that Tracewell makes, below directories that are held open.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use tracewell::fs;
use tracewell::retention::KEEP_FILE;
use tracewell_schema::format::process::PROCESS_FILE;
use tracewell_schema::format::segment::{HEADER_LEN, MAGIC, PACKING_SUFFIX, parse_file_name};

use crate::explain::count;
use crate::output::{advice, size};
use crate::rings;

/// What was deleted so far, and what was not.
#[derive(Debug, Default)]
pub(super) struct Removed {
    segments: u64,
    ring_files: u64,
    /// Bundles and dumps, by what they are.
    others: BTreeMap<&'static str, u64>,
    bytes: u64,
    left_files: u64,
    /// What is left, and why.
    pub(super) left: Vec<String>,
}

impl Removed {
    /// One line for the user.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("Deleted {}", count(self.segments, "segment"));
        if self.ring_files != 0 {
            text += &format!(" and {} of rings", count(self.ring_files, "file"));
        }
        for (what, n) in &self.others {
            text += &format!(" and {}", count(*n, what));
        }
        text += &format!(" ({})", size(self.bytes));
        if self.left_files != 0 {
            text += &format!(", left {}", count(self.left_files, "file"));
        }
        text + "."
    }

    /// Deletes a session's folder.
    pub(super) fn session(&mut self, sessions: &Path, path: &Path) {
        let result = open(sessions, path).and_then(|(parent, folder, name)| {
            let mut removed = self.files(&folder, path, is_segment)?;
            self.segments += removed.gone;
            // Last: a session of which something is left is still one that is kept.
            match fs::unlink_at(&folder, KEEP_FILE) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(_) => removed.is_empty = false,
            }
            removed.then_folder(&parent, &name)
        });
        self.note(path, result);
    }

    /// Counts something that is a whole by itself.
    pub(super) fn other(&mut self, what: &'static str, path: &Path, bytes: u64, done: io::Result<()>) {
        if done.is_ok() {
            *self.others.entry(what).or_default() += 1;
            self.bytes += bytes;
        }
        self.note(path, done);
    }

    /// Deletes a dead process's ring folder.
    pub(super) fn rings(&mut self, path: &Path) {
        let Some(root) = path.parent() else { return };
        let result = open(root, path).and_then(|(parent, folder, name)| {
            // Holding the lock, nobody else salvages or revives it meanwhile.
            let _lock = match fs::open_existing(&folder, PROCESS_FILE, true) {
                Ok(file) if fs::try_lock_ofd(&file)? => Some(file),
                Ok(_) => return Err(io::Error::other("a running process records into it")),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            let removed = self.files(&folder, path, |_, name| rings::is_own_name(name))?;
            self.ring_files += removed.gone;
            removed.then_folder(&parent, &name)
        });
        self.note(path, result);
    }

    fn note(&mut self, path: &Path, result: io::Result<()>) {
        if let Err(e) = result {
            self.left.push(format!("{} was not deleted: {e}{}", path.display(), advice(&e)));
        }
    }

    /// Removes what is ours from a folder.
    fn files(
        &mut self,
        folder: &OwnedFd,
        path: &Path,
        is_ours: impl Fn(&OwnedFd, &str) -> bool,
    ) -> io::Result<Files> {
        let mut removed = 0;
        let mut foreign = 0;
        // All names first: a directory that is being changed may be told in part.
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            match entry?.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(KEEP_FILE) => {}
                Ok(name) if is_ours(folder, name) => names.push(name.to_owned()),
                Ok(_) | Err(_) => foreign += 1,
            }
        }
        let (mut failed, mut first) = (0, None);
        for name in names {
            let stat = rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
            // Removes the name, whatever it is: a link, never what it points to.
            match fs::unlink_at(folder, &name) {
                Ok(()) => {
                    removed += 1;
                    self.bytes += stat.map_or(0, |s| u64::try_from(s.st_blocks).unwrap_or(0) * 512);
                }
                Err(e) => {
                    failed += 1;
                    first.get_or_insert(e);
                }
            }
        }
        if let Some(e) = first {
            self.left_files += failed;
            let of = count(failed, "file");
            self.left.push(format!("{}: {of} could not be deleted: {e}; make it writable", path.display()));
        }
        if foreign != 0 {
            self.left_files += foreign;
            let of = count(foreign, "file");
            self.left.push(format!("{} stays: {of} in it not made by Tracewell", path.display()));
        }
        Ok(Files { gone: removed, is_empty: failed == 0 && foreign == 0 })
    }
}

/// What became of a folder's files.
struct Files {
    gone: u64,
    /// None is left.
    is_empty: bool,
}

impl Files {
    /// Removes the folder too, unless something is left in it, which was named already.
    fn then_folder(&self, parent: &OwnedFd, name: &str) -> io::Result<()> {
        if self.is_empty {
            rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }
}

/// Opens a folder below a parent, both without following links.
fn open(parent: &Path, path: &Path) -> io::Result<(OwnedFd, OwnedFd, String)> {
    let parent = fs::open_private_dir(parent)?;
    let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let folder = rustix::fs::openat(&parent, name.as_str(), flags, Mode::empty())?;
    Ok((parent, folder, name))
}

/// Whether a file is a segment, or a second copy that a killed packer left: not by its name alone, which anything can have, but
/// also by how it begins. One that was cut in its header, or whose bytes a loss of power took, holds nothing else.
fn is_segment(folder: &OwnedFd, name: &str) -> bool {
    if parse_file_name(name.strip_suffix(PACKING_SUFFIX).unwrap_or(name)).is_none() {
        return false;
    }
    let begins = || {
        let mut begin = Vec::new();
        let file = fs::open_existing(folder, name, false)?;
        file.take(HEADER_LEN as u64).read_to_end(&mut begin)?;
        Ok::<_, io::Error>(begin)
    };
    let Ok(begin) = begins() else { return false };
    begin.iter().all(|byte| *byte == 0) || begin.iter().zip(MAGIC).all(|(is, should)| *is == should)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn session() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join("sessions");
        let session = sessions.join("2026-11-23_17.44.36_0a1b2c3d");
        fs::create_private_dir_all(&session).unwrap();
        (dir, sessions, session)
    }

    /// A file as the engine makes them.
    fn file(path: &Path, bytes: &[u8]) {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn links_in_a_session_are_not_followed() {
        let (dir, sessions, session) = session();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "stays").unwrap();
        let link = session.join("a_pid1_00000000_000001.twseg");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let mut removed = Removed::default();
        removed.session(&sessions, &session);
        // Nobody of ours makes links: it is somebody's, and told.
        assert!(link.is_symlink() && removed.left.len() == 1, "{removed:?}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "stays");
        std::fs::remove_dir_all(&session).unwrap();
        let mut removed = Removed::default();
        std::os::unix::fs::symlink(dir.path(), &session).unwrap();
        removed.session(&sessions, &session);
        assert_eq!(removed.left.len(), 1);
        assert!(precious.exists());
    }

    #[test]
    fn what_is_not_ours_stays_and_the_rest_is_counted() {
        let (_dir, sessions, session) = session();
        let mut segment = MAGIC.to_vec();
        segment.resize(8192, 7);
        file(&session.join("a_pid1_00000000_000001.twseg"), &segment);
        std::fs::write(session.join("notes.txt"), "stays").unwrap();
        let mut removed = Removed::default();
        removed.session(&sessions, &session);
        assert_eq!(removed.left.len(), 1, "{removed:?}");
        assert_eq!(removed.summary(), "Deleted 1 segment (8.0 KiB), left 1 file.");
        assert_eq!(std::fs::read_to_string(session.join("notes.txt")).unwrap(), "stays");
    }

    #[test]
    fn a_file_is_no_segment_because_of_its_name() {
        let (_dir, sessions, session) = session();
        let at = |name: &str| session.join(name);
        // Whole, cut in the header, empty, and with nothing on the disk yet when the power went: ours.
        for (number, bytes) in
            [&[&MAGIC[..], &[1; 500]].concat(), &MAGIC[..3], &[], &[0; 4096]].iter().enumerate()
        {
            file(&at(&format!("a_pid1_00000000_{number:06}.twseg")), bytes);
        }
        file(&at("a_pid1_00000000_000009.twseg.packing"), &MAGIC);
        file(&at(KEEP_FILE), b"");
        let diary = at("a_pid1_00000000_000008.twseg");
        file(&diary, b"my diary");
        let mut removed = Removed::default();
        removed.session(&sessions, &session);
        assert_eq!(removed.segments, 5, "{removed:?}");
        assert!(removed.left[0].contains("1 file in it not made by Tracewell"), "{removed:?}");
        assert_eq!(std::fs::read(&diary).unwrap(), b"my diary");
    }
}
