//! Things that belong to somebody else: whatever happens, they stay as they are.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder and files that only their owner can look into.
pub(super) struct Canary {
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// Makes them in a folder that is there.
    pub(super) fn new(below: &Path) -> Result<Self, String> {
        let folder = below.join("canary");
        let make = || -> std::io::Result<PathBuf> {
            std::fs::create_dir(&folder)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
            std::fs::create_dir(folder.join("inner"))?;
            for name in ["file", "inner/file"] {
                std::fs::write(folder.join(name), "not to be touched\n".repeat(300))?;
                std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600))?;
            }
            Ok(folder.join("file"))
        };
        let file = make().map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut canary = Self { folder, file, before: Vec::new() };
        canary.before = canary.state();
        Ok(canary)
    }

    /// What is there, and how; without what a second name of a file changes.
    fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        let mut all = vec![self.folder.clone()];
        while let Some(path) = all.pop() {
            let Ok(meta) = std::fs::symlink_metadata(&path) else {
                state.push(format!("{} is gone", path.display()));
                continue;
            };
            let (mode, uid, len) = (meta.mode(), meta.uid(), meta.len());
            let when = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            let content = std::fs::read(&path).map_or(0, |bytes| bytes.iter().map(|b| u64::from(*b)).sum());
            let len = if meta.is_dir() { 0 } else { len };
            state.push(format!("{} {mode:o} {uid} {len} {when:?} {content}", path.display()));
            if meta.is_dir() {
                all.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
            }
        }
        state.sort();
        state
    }

    /// They are as they were.
    pub(super) fn check(&self) -> Result<(), String> {
        let now = self.state();
        if now == self.before {
            return Ok(());
        }
        let changed: Vec<_> = now.iter().filter(|line| !self.before.contains(line)).collect();
        let gone: Vec<_> = self.before.iter().filter(|line| !now.contains(line)).collect();
        Err(format!("something outside was altered: now {changed:?}, before {gone:?}"))
    }
}
