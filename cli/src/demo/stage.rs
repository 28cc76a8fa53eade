//! The directories of the demo.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use tracewell::dirs::Dirs;

use crate::output::{Failure, safe};

/// The directories of the demo; deleted when dropped, but for what the user is to see.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) dirs: Dirs,
    keep: bool,
    finished: bool,
}

impl Stage {
    pub(super) fn new(keep: bool) -> Result<Self, Failure> {
        let temp = std::env::temp_dir();
        let fail = |e: std::io::Error| {
            Failure::new(format!(
                "no directory can be made in {}: {e}; set TMPDIR to one that can be written",
                temp.display()
            ))
        };
        let folder = tempfile::Builder::new().prefix("tracewell-demo-").tempdir().map_err(fail)?.keep();
        let dirs = Dirs::resolve(Some(&folder.join("data"))).map_err(|e| Failure::new(e.to_string()))?;
        let stage = Self { folder, dirs, keep, finished: false };
        let made = DirBuilder::new().mode(0o700).create(stage.downloads());
        made.map_err(|e| stage.failure("making a folder for downloads", e))?;
        Ok(stage)
    }

    pub(super) fn downloads(&self) -> PathBuf {
        self.folder.join("downloads")
    }

    pub(super) fn measure_dir(&self) -> PathBuf {
        self.folder.join("measure")
    }

    pub(super) fn trace_dir(&self) -> PathBuf {
        self.folder.join("trace")
    }

    /// An error while the demo worked here. Its directory is deleted, so what helps is room, or another one.
    pub(super) fn failure(&self, doing: &str, error: impl std::fmt::Display) -> Failure {
        let folder = self.folder.display().to_string();
        let error = error.to_string();
        let at = if error.contains(&folder) { String::new() } else { format!(" in {folder}") };
        Failure::new(format!(
            "{doing}{at}: {error}; make room there, or set TMPDIR to a directory that can be written"
        ))
    }

    /// How to remove what stays.
    pub(super) fn removal(&self) -> String {
        let remove = format!("rm -r {}", safe(&self.folder));
        if self.keep {
            format!("tracewell --dir {} purge --yes; {remove}", safe(self.dirs.base()))
        } else {
            remove
        }
    }

    /// The trace files stay.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // All of these are ours: below a folder with a random name that only this user can enter, and ring folders
        // whose name is made of it. Nothing is reached through a link.
        let measure = Dirs::resolve(Some(&self.measure_dir()));
        if let Ok(dirs) = measure {
            let _ = std::fs::remove_dir_all(dirs.ring_root());
        }
        let _ = std::fs::remove_dir_all(self.measure_dir());
        if self.finished && self.keep {
            return;
        }
        let _ = std::fs::remove_dir_all(self.dirs.ring_root());
        if self.finished {
            let _ = std::fs::remove_dir_all(self.dirs.base());
            let _ = std::fs::remove_dir_all(self.downloads());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
