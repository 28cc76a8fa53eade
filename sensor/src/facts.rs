//! Facts of files, and of the user.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
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
    if let Ok(names) = file.list_xattr() {
        for name in names {
            attributes |= FileAttributes::XATTRS;
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
    })
}

/// SHA-256 of a file; files larger than 1 GiB are not hashed.
pub(crate) fn sha256(file: &mut File) -> io::Result<Option<[u8; 32]>> {
    if file.metadata()?.len() > MAX_HASHED {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = MAX_HASHED;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(Some(hasher.finalize().into()));
        }
        hasher.update(buffer.get(..n).unwrap_or_default());
        left = left.saturating_sub(n as u64);
        if left == 0 {
            return Ok(None);
        }
    }
}

/// Hashes of files that were seen, as long as they are the same file.
#[derive(Debug, Default)]
pub(crate) struct HashCache(HashMap<(u64, u64, u64, Option<i64>), [u8; 32]>);

impl HashCache {
    pub(crate) fn get(&mut self, file: &mut File, facts: &FileFacts) -> Option<[u8; 32]> {
        let key = (facts.device, facts.inode, facts.size, facts.modified.map(|m| m.0));
        if let Some(hash) = self.0.get(&key) {
            return Some(*hash);
        }
        let hash = sha256(file).ok().flatten()?;
        if self.0.len() > 10_000 {
            self.0.clear();
        }
        self.0.insert(key, hash);
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
