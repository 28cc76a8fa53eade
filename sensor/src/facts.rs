//! Facts of files, and of the user.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tracewell::Timestamp;
use tracewell::catalog::FileAttributes;

/// Largest file that is hashed.
const MAX_HASHED: u64 = 1 << 30;

/// What a file is.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileFacts {
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) inode: u64,
    pub(crate) device: u64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) attributes: FileAttributes,
    /// Names of its extended attributes, if they could be read.
    pub(crate) xattrs: Vec<String>,
}

/// Looks at an open file.
pub(crate) fn of_file(file: &File, path: &Path) -> io::Result<FileFacts> {
    let meta = file.metadata()?;
    let mode = meta.mode();
    let mut attributes = FileAttributes::default();
    for (is_set, flag) in [
        (mode & 0o111 != 0, FileAttributes::EXECUTABLE),
        (mode & 0o4000 != 0, FileAttributes::SETUID),
        (mode & 0o2000 != 0, FileAttributes::SETGID),
        (mode & 0o1000 != 0, FileAttributes::STICKY),
        (mode & 0o222 == 0, FileAttributes::READ_ONLY),
        (mode & 0o002 != 0, FileAttributes::WORLD_WRITABLE),
        (meta.nlink() == 0, FileAttributes::DELETED),
        (path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")), FileAttributes::HIDDEN),
    ] {
        if is_set {
            attributes |= flag;
        }
    }
    use xattr::FileExt;
    let mut xattrs = Vec::new();
    if let Ok(names) = file.list_xattr() {
        for name in names.take(64) {
            attributes |= FileAttributes::XATTRS;
            xattrs.push(name.to_string_lossy().into_owned());
            if name == "security.capability" {
                attributes |= FileAttributes::CAPABILITIES;
            }
        }
    }
    Ok(FileFacts {
        size: meta.len(),
        mode: mode & 0o7777,
        uid: meta.uid(),
        inode: meta.ino(),
        device: meta.dev(),
        created: meta.created().ok().map(Timestamp::from),
        modified: meta.modified().ok().map(Timestamp::from),
        attributes,
        xattrs,
    })
}

/// What reading a file gave.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(crate) sha256: [u8; 32],
    /// The first bytes, as many as were asked for.
    pub(crate) start: Vec<u8>,
}

/// Reads a file once and hashes just these bytes, and keeps the first of them. None of files larger than 1 GiB, of
/// files that change meanwhile, and when `stop` says so.
pub(crate) fn digest(mut file: &File, keep: usize, stop: &dyn Fn() -> bool) -> io::Result<Option<Digest>> {
    let before = file.metadata()?;
    if before.len() > MAX_HASHED {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut start = Vec::new();
    let mut len = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        let part = buffer.get(..n).unwrap_or_default();
        hasher.update(part);
        start.extend_from_slice(part.get(..keep.saturating_sub(start.len())).unwrap_or(part));
        len += n as u64;
        if len > MAX_HASHED || stop() {
            return Ok(None);
        }
    }
    let after = file.metadata()?;
    let is_same = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    let is_whole = is_same(&before) == is_same(&after) && len == after.len();
    Ok(is_whole.then(|| Digest { sha256: hasher.finalize().into(), start }))
}

/// What must be the same for a file to be the same file.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// Hashes of files that were seen, as long as they are the same file.
#[derive(Debug, Default)]
pub(crate) struct HashCache(Mutex<HashMap<Stamp, [u8; 32]>>);

impl HashCache {
    pub(crate) fn get(&self, file: &File, stop: &dyn Fn() -> bool) -> Option<[u8; 32]> {
        let m = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let stamp = (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        let cache = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = cache().get(&stamp) {
            return Some(*hash);
        }
        let hash = digest(file, 0, stop).ok().flatten()?.sha256;
        let mut cache = cache();
        if cache.len() >= 10_000 {
            cache.clear();
        }
        cache.insert(stamp, hash);
        Some(hash)
    }
}

/// The user's download folder: `XDG_DOWNLOAD_DIR` of `user-dirs.dirs`, else `~/Downloads`; if it exists.
pub(crate) fn download_dir() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let config = std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let named = std::fs::read_to_string(config.join("user-dirs.dirs")).ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|l| l.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?
            .trim_matches('"')
            .to_owned();
        Some(match line.strip_prefix("$HOME/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(line),
        })
    });
    Some(named.unwrap_or_else(|| home.join("Downloads"))).filter(|d| d.is_dir())
}
