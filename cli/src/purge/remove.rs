//! Deleting, file by file: only names that Tracewell makes, below directories that are held open.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use tracewell::fs;
use tracewell_schema::format::process::PROCESS_FILE;
use tracewell_schema::format::segment::{PACKING_SUFFIX, parse_file_name};

use crate::explain::count;
use crate::output::{advice, size};
use crate::rings;

/// What was deleted so far, and what was not.
#[derive(Debug, Default)]
pub(super) struct Removed {
    segments: u64,
    ring_files: u64,
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
        text += &format!(" ({})", size(self.bytes));
        if self.left_files != 0 {
            text += &format!(", left {}", count(self.left_files, "file"));
        }
        text + "."
    }

    /// Deletes a session's folder.
    pub(super) fn session(&mut self, sessions: &Path, path: &Path) {
        let result = open(sessions, path).and_then(|(parent, folder, name)| {
            let removed = self.files(&folder, path, is_segment)?;
            self.segments += removed.gone;
            removed.then_folder(&parent, &name)
        });
        self.note(path, result);
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
            let removed = self.files(&folder, path, rings::is_own_name)?;
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
    fn files(&mut self, folder: &OwnedFd, path: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<Files> {
        let mut removed = 0;
        let mut foreign = 0;
        // All names first: a directory that is being changed may be told in part.
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            match entry?.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) if is_ours(name) => names.push(name.to_owned()),
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

/// A segment, or a second copy that a killed packer left.
fn is_segment(name: &str) -> bool {
    parse_file_name(name.strip_suffix(PACKING_SUFFIX).unwrap_or(name)).is_some()
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

    #[test]
    fn links_in_a_session_are_removed_and_not_followed() {
        let (dir, sessions, session) = session();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "stays").unwrap();
        std::os::unix::fs::symlink(&precious, session.join("a_pid1_00000000_000001.twseg")).unwrap();
        let mut removed = Removed::default();
        removed.session(&sessions, &session);
        assert!(!session.exists() && removed.left.is_empty());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "stays");
        std::os::unix::fs::symlink(dir.path(), &session).unwrap();
        removed.session(&sessions, &session);
        assert_eq!(removed.left.len(), 1);
        assert!(precious.exists());
    }

    #[test]
    fn what_is_not_ours_stays_and_the_rest_is_counted() {
        let (_dir, sessions, session) = session();
        std::fs::write(session.join("a_pid1_00000000_000001.twseg"), vec![7; 8192]).unwrap();
        std::fs::write(session.join("notes.txt"), "stays").unwrap();
        let mut removed = Removed::default();
        removed.session(&sessions, &session);
        assert_eq!(removed.left.len(), 1, "{removed:?}");
        assert_eq!(removed.summary(), "Deleted 1 segment (8.0 KiB), left 1 file.");
        assert_eq!(std::fs::read_to_string(session.join("notes.txt")).unwrap(), "stays");
    }
}
