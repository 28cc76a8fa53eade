//! The crash image: a copy of everything that would be left if every thread of the child died at this instruction.
//!
//! All of it are files on tmpfs, which are the shared memory itself. Files that the child maps (rings, control page)
//! are compared after every instruction, the folders and all files after every system call.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};

/// What is compared and copied at once.
const CHUNK: usize = 4096;

/// A file of the child and its copy.
#[derive(Debug)]
struct Copied {
    inode: u64,
    /// `None` while the file is empty.
    map: Option<Mmap>,
    /// What the copy holds.
    bytes: Vec<u8>,
    copy: File,
    is_mapped_by_child: bool,
}

/// The image of two folders: `trace` and `rings`.
#[derive(Debug)]
pub(super) struct Image {
    from: PathBuf,
    to: PathBuf,
    files: BTreeMap<PathBuf, Copied>,
    folders: BTreeSet<PathBuf>,
    /// Sum of the hashes of all names, lengths and chunks.
    pub(super) hash: u64,
}

fn hash_of(path: &Path, at: usize, bytes: &[u8]) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(path.as_os_str().as_encoded_bytes());
    hasher.write_usize(at);
    hasher.write(bytes);
    hasher.finish()
}

impl Copied {
    /// Takes over what has changed, into the sum of hashes too. True if something had.
    fn update(&mut self, path: &Path, hash: &mut u64) -> io::Result<bool> {
        let Some(map) = &self.map else { return Ok(false) };
        if map[..] == self.bytes[..] {
            return Ok(false);
        }
        for (i, now) in map.chunks(CHUNK).enumerate() {
            let at = i * CHUNK;
            let before = &mut self.bytes[at..at + now.len()];
            if now == before {
                continue;
            }
            *hash = hash.wrapping_sub(hash_of(path, at, before)).wrapping_add(hash_of(path, at, now));
            before.copy_from_slice(now);
            self.copy.write_all_at(before, at as u64)?;
        }
        Ok(true)
    }

    fn sum(&self, path: &Path) -> u64 {
        let chunks = self.bytes.chunks(CHUNK).enumerate();
        chunks.fold(0, |sum: u64, (i, chunk)| sum.wrapping_add(hash_of(path, i * CHUNK, chunk)))
    }
}

impl Image {
    /// An empty image, in the folder `to`, of the folders `trace` and `rings` in `from`.
    pub(super) fn new(from: &Path, to: &Path) -> io::Result<Self> {
        std::fs::create_dir(to)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        Ok(Self { from, to, files: BTreeMap::new(), folders: BTreeSet::new(), hash: 0 })
    }

    /// The image's trace folder.
    pub(super) fn trace(&self) -> PathBuf {
        self.to.join("trace")
    }

    /// The image's ring folders.
    pub(super) fn rings(&self) -> PathBuf {
        self.to.join("rings")
    }

    /// Takes over what the child stored. True if something had changed.
    pub(super) fn compare(&mut self) -> io::Result<bool> {
        let mut changed = false;
        for (path, file) in self.files.iter_mut().filter(|(_, file)| file.is_mapped_by_child) {
            changed |= file.update(path, &mut self.hash)?;
        }
        Ok(changed)
    }

    /// Looks at everything. True if something had changed.
    pub(super) fn rescan(&mut self) -> io::Result<bool> {
        let mut found = BTreeMap::new();
        let mut folders = BTreeSet::new();
        for top in ["trace", "rings"] {
            list(&self.from, Path::new(top), &mut found, &mut folders)?;
        }
        let mut changed = folders != self.folders;
        let gone: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, file)| found.get(*path) != Some(&(file.inode, file.bytes.len() as u64)))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.forget(&path)?;
            changed = true;
        }
        for folder in self.folders.iter().rev().filter(|f| !folders.contains(*f)) {
            std::fs::remove_dir(self.to.join(folder))?;
        }
        for folder in folders.difference(&self.folders) {
            std::fs::create_dir(self.to.join(folder))?;
        }
        self.folders = folders;
        for (path, (inode, len)) in found {
            if let Some(file) = self.files.get_mut(&path) {
                changed |= file.update(&path, &mut self.hash)?;
            } else {
                self.add(&path, inode, len)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn add(&mut self, path: &Path, inode: u64, len: u64) -> io::Result<()> {
        let source = File::open(self.from.join(path))?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let map = if len == 0 {
            None
        } else {
            // SAFETY: the file lies in a private folder of this test, whose child never makes a file shorter while the
            // tracer looks: it is stopped whenever this mapping is read, and files whose length has changed are
            // mapped anew (`rescan`, after every system call) before that.
            Some(unsafe { MmapOptions::new().len(len).map(&source) }?)
        };
        let copy = File::options().write(true).create_new(true).open(self.to.join(path))?;
        copy.set_len(len as u64)?;
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let is_mapped_by_child = name.starts_with("ring-0") || name == "control";
        let mut file = Copied { inode, map, bytes: vec![0; len], copy, is_mapped_by_child };
        let mut hash = self.hash.wrapping_add(hash_of(path, len, b"file")).wrapping_add(file.sum(path));
        file.update(path, &mut hash)?;
        self.hash = hash;
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    fn forget(&mut self, path: &Path) -> io::Result<()> {
        if let Some(file) = self.files.remove(path) {
            let of_name = hash_of(path, file.bytes.len(), b"file");
            self.hash = self.hash.wrapping_sub(of_name).wrapping_sub(file.sum(path));
            std::fs::remove_file(self.to.join(path))?;
        }
        Ok(())
    }
}

/// Names, inodes and lengths of all files below a folder, and all folders.
fn list(
    root: &Path,
    folder: &Path,
    files: &mut BTreeMap<PathBuf, (u64, u64)>,
    folders: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return Ok(()) };
    folders.insert(folder.to_owned());
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let meta = entry.metadata()?;
        if meta.is_dir() {
            list(root, &path, files, folders)?;
        } else {
            files.insert(path, (meta.ino(), meta.len()));
        }
    }
    Ok(())
}
