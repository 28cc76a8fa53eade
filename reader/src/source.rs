//! From what the user names to segments and ring folders.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, SeekFrom};
use tracewell_schema::format::process::PROCESS_FILE;
use tracewell_schema::format::segment::{OPEN_SUFFIX, SUFFIX, parse_file_name};

use crate::error::ReadError;

/// Most files of one trace: what is beyond is not looked at, and reported.
pub(crate) const MAX_FILES: usize = 1_000_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) segments: Vec<PathBuf>,
    pub(crate) ring_folders: Vec<PathBuf>,
    /// Folders that could not be looked into.
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
    /// A whole trace directory was named, or a ring folder: rings of any session are meant.
    pub(crate) any_session: bool,
}

impl Found {
    fn entries(&mut self, dir: &Path) -> Vec<PathBuf> {
        match entries(dir) {
            Ok(listed) => listed,
            // Removed while we look, by retention or a clean end.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.unreadable.push((dir.to_owned(), error));
                Vec::new()
            }
        }
    }

    /// A link to a folder is not followed: what it leads to may be anybody's.
    fn tell_link(&mut self, path: PathBuf) {
        if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) && path.is_dir() {
            let error = "a link to a folder, which is not followed; name the folder itself";
            self.unreadable.push((path, io::Error::new(io::ErrorKind::InvalidInput, error)));
        }
    }

    /// Of a folder that was found, not named.
    fn add_segments_of(&mut self, dir: PathBuf) {
        if is_real_dir(&dir) {
            let listed = self.entries(&dir);
            self.add_segments(&listed);
        } else {
            self.tell_link(dir);
        }
    }

    fn add_segments(&mut self, listed: &[PathBuf]) {
        for path in listed {
            let name = path.file_name().unwrap_or_default();
            if name.to_str().and_then(parse_file_name).is_some() {
                self.segments.push(path.clone());
            } else if is_like_segment(name.as_bytes()) {
                let error = "not the name of a segment; name the file itself to have it read";
                self.unreadable.push((path.clone(), io::Error::new(io::ErrorKind::InvalidInput, error)));
            }
        }
    }
}

/// Opens a regular file for reading: never through a link, never waiting for a FIFO.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // A file that this process holds open itself, maybe one in memory that has no name: its link is the kernel's.
    if !path.starts_with("/proc/self/fd") {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// The bytes of a segment that is no file by itself: one inside an encrypted bundle, or an archive.
pub trait ReadAt: std::fmt::Debug + Send + Sync {
    /// Reads some bytes from an offset on; none at or after the end.
    ///
    /// # Errors
    /// If they cannot be read: it costs the blocks that they are of.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// If that cannot be told.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// A segment that is read: a file, or bytes that were handed over.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    File(Arc<File>),
    Given(Arc<dyn ReadAt>),
}

impl ReadAt for Input {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => FileExt::read_at(&**file, buffer, offset),
            Self::Given(given) => given.read_at(buffer, offset),
        }
    }

    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.size(),
            Self::Given(given) => given.size(),
        }
    }
}

/// Reads up to `buffer.len()` bytes; the count is short only at the end of the file.
pub(crate) fn read_at(file: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Where the next bytes are that are no hole, at or after `at`; `None` if nothing follows. A file can be a hole of
/// terabytes, and it costs nobody anything to make it so.
pub(crate) fn next_data(file: &File, at: u64) -> Option<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Some(data),
        Err(rustix::io::Errno::NXIO) => None,
        // A file system that knows no holes.
        Err(_) => Some(at),
    }
}

/// Looks at every place named; `ring_roots` are looked at for ring folders and may be missing.
pub(crate) fn find(paths: &[PathBuf], ring_roots: &[PathBuf]) -> Result<Found, ReadError> {
    let mut found = Found::default();
    for root in ring_roots {
        for folder in found.entries(root) {
            if is_ring_folder(&folder) {
                found.ring_folders.push(folder);
            } else {
                found.tell_link(folder);
            }
        }
    }
    for path in paths {
        let unreadable = |source| ReadError::Unreadable { path: path.clone(), source };
        let meta = std::fs::symlink_metadata(path).map_err(unreadable)?;
        let before = found.segments.len() + found.ring_folders.len();
        // A directory that a link names is meant; links inside are not followed.
        if meta.is_dir() || (meta.is_symlink() && path.is_dir()) {
            let listed = entries(path).map_err(unreadable)?;
            let is_base = path.join("control").exists() || path.join("sessions").is_dir();
            if path.join(PROCESS_FILE).is_file() {
                found.any_session = true;
                found.ring_folders.push(path.clone());
            } else if is_base {
                found.any_session = true;
                for session in found.entries(&path.join("sessions")) {
                    found.add_segments_of(session);
                }
                continue;
            } else {
                found.add_segments(&listed);
                for folder in listed {
                    if is_ring_folder(&folder) {
                        found.any_session = true;
                        found.ring_folders.push(folder);
                    } else {
                        found.add_segments_of(folder);
                    }
                }
            }
        } else {
            found.segments.push(path.clone());
        }
        if found.segments.len() + found.ring_folders.len() == before {
            return Err(match found.unreadable.pop() {
                Some((path, source)) => ReadError::Unreadable { path, source },
                None => ReadError::NoTrace { path: path.clone() },
            });
        }
    }
    found.segments.sort();
    found.segments.dedup();
    found.ring_folders.sort();
    found.ring_folders.dedup();
    found.segments.truncate(MAX_FILES);
    found.ring_folders.truncate(MAX_FILES);
    Ok(found)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(dir)?.flatten().take(MAX_FILES).map(|entry| entry.path()).collect())
}

fn is_real_dir(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// A folder with anything that is named as the process file: if it is none, that is told.
fn is_ring_folder(path: &Path) -> bool {
    is_real_dir(path) && std::fs::symlink_metadata(path.join(PROCESS_FILE)).is_ok()
}

/// Whether a file calls itself a segment.
fn is_like_segment(name: &[u8]) -> bool {
    let name = name.strip_suffix(OPEN_SUFFIX.as_bytes()).unwrap_or(name);
    name.ends_with(SUFFIX.as_bytes())
}
