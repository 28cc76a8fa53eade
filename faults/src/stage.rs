//! Where the tries of a test take place: a trace directory and a place for rings, both on tmpfs, used again and again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;

use crate::oracle::{Page, Plan};

/// A trace directory and the page of the oracle.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    pub(crate) dirs: Dirs,
    pub(crate) page: &'static Page,
}

impl Stage {
    /// Makes one; nothing is in it yet.
    pub(crate) fn new() -> Result<Self, String> {
        let tell = |error: io::Error| format!("/dev/shm: {error}");
        let dir =
            tempfile::Builder::new().prefix("tracewell-faults-").tempdir_in("/dev/shm").map_err(tell)?;
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).map_err(|error| error.to_string())?;
        let dirs = dirs.with_ring_root(dir.path().canonicalize().map_err(tell)?.join("rings"));
        crate::oracle::prepare();
        Ok(Self { dir, dirs, page: Page::new()? })
    }

    pub(crate) fn base(&self) -> &Path {
        self.dirs.base()
    }

    pub(crate) fn rings(&self) -> &Path {
        self.dirs.ring_root()
    }

    /// A place beside the trace directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The control page, made if it is missing.
    pub(crate) fn control(&self) -> Result<Control, String> {
        Control::open_or_create(&self.dirs).map_err(|error| format!("control page: {error}"))
    }

    /// Removes everything but the control page, and clears the oracle.
    pub(crate) fn sweep(&self) -> Result<(), String> {
        for path in [self.dirs.sessions(), self.rings().to_owned()] {
            remove(&path)?;
        }
        self.page.clear();
        Ok(())
    }

    /// Removes everything.
    pub(crate) fn clear(&self) -> Result<(), String> {
        remove(self.base())?;
        self.sweep()
    }
}

/// Removes a folder with what is in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Enables everything that a plan emits, with segments of this size.
pub(crate) fn request(plan: &Plan, segment_bytes: u64) -> EnableRequest {
    EnableRequest {
        levels: [5; 32],
        segment_bytes,
        max_total: 0,
        max_age: Duration::ZERO,
        reduce: plan.reductions(),
        ..EnableRequest::default()
    }
}
