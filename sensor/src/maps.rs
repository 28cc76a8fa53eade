//! What a process has mapped to run: its program, its loader, its libraries.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::{MMPermissions, MMapPath, Process};
use tracewell::ProcessKey;
use tracewell::catalog::LoadKind;

/// A file that is mapped as code.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) path: String,
    pub(crate) load: LoadKind,
    pub(crate) base: u64,
    pub(crate) size: u64,
    /// A descriptor of the very file, if it could be opened.
    pub(crate) file: Option<File>,
    range: (u64, u64),
    inode: u64,
}

/// Modules of the process with this key. Their files are not open yet.
pub(crate) fn of_process(boot_id: &[u8; 16], pid: u32, key: ProcessKey) -> Vec<Mapped> {
    let Some(process) = i32::try_from(pid).ok().and_then(|p| Process::new(p).ok()) else { return Vec::new() };
    // Not another one that has its id now.
    if !process.stat().is_ok_and(|s| ProcessKey::new(boot_id, pid, s.starttime) == key) {
        return Vec::new();
    }
    let mut found: HashMap<PathBuf, (Mapped, bool)> = HashMap::new();
    for map in process.maps().into_iter().flatten() {
        let MMapPath::Path(path) = map.pathname else { continue };
        let (start, end) = map.address;
        let (mapped, is_code) = found.entry(path).or_insert_with_key(|path| {
            let text = path.to_string_lossy();
            let (text, load) = match text.strip_suffix(" (deleted)") {
                Some(name) if name.starts_with("/memfd:") => (name, LoadKind::MemoryOnly),
                Some(name) => (name, LoadKind::DeletedFile),
                None => (&*text, LoadKind::Normal),
            };
            let mapped = Mapped {
                path: text.to_owned(),
                load,
                base: start,
                size: 0,
                file: None,
                range: (start, end),
                inode: map.inode,
            };
            (mapped, false)
        });
        mapped.base = mapped.base.min(start);
        mapped.size = mapped.size.max(end - mapped.base);
        *is_code |= map.perms.contains(MMPermissions::EXECUTE);
    }
    found.into_values().filter(|(_, is_code)| *is_code).map(|(mapped, _)| mapped).collect()
}

impl Mapped {
    /// Opens the file that is mapped: by the mapping where that is permitted, else by its path if it is still that file.
    pub(crate) fn open(&mut self, pid: u32) {
        let (start, end) = self.range;
        let by_mapping = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
        self.file = match by_mapping {
            Ok(file) => Some(file),
            Err(_) if self.load == LoadKind::Normal => File::open(Path::new(&self.path))
                .ok()
                .filter(|f| f.metadata().is_ok_and(|m| m.ino() == self.inode)),
            Err(_) => None,
        };
        // Whoever gave the mapped range to another file meanwhile would have another inode.
        let is_same = self.file.as_ref().is_some_and(|f| f.metadata().is_ok_and(|m| m.ino() == self.inode));
        if !is_same {
            self.file = None;
        }
    }
}
