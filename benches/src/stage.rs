//! Where a run takes place: folders that go when it does, and the command of ours in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::Runner;
use crate::compare::options::Options;

/// Folders, and what runs in them.
#[derive(Debug)]
pub struct Stage {
    /// Starts programs.
    pub runner: Runner,
    ours: PathBuf,
    batches: usize,
    work: tempfile::TempDir,
    rings: Option<tempfile::TempDir>,
}

impl Stage {
    /// New folders: on the disk that is to be measured, and for the rings on tmpfs.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn new(options: &Options) -> Result<Self, String> {
        let below = options.work.clone().unwrap_or_else(std::env::temp_dir);
        let text = |e: std::io::Error| format!("{}: {e}", below.display());
        std::fs::create_dir_all(&below).map_err(text)?;
        let folder = |below: &Path| tempfile::Builder::new().prefix("tracewell-bench-").tempdir_in(below);
        let work = folder(&below).map_err(text)?;
        let runner = Runner::new(work.path()).map_err(text)?;
        let rings = folder(Path::new("/dev/shm")).ok();
        Ok(Self { runner, ours: options.ours.clone(), batches: options.batches(), work, rings })
    }

    /// For what goes at the end.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.work.path()
    }

    /// What a run writes to.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.work.path().join("out")
    }

    /// The command of ours; also what reads its files.
    #[must_use]
    pub fn ours(&self, mode: &str, w: usize, threads: usize, secs: f64) -> Command {
        let mut command = Command::new(&self.ours);
        command.args([mode, &w.to_string()]).arg(self.out()).args([threads.to_string(), secs.to_string()]);
        command.arg(format!("batches={}", self.batches));
        if let Some(rings) = &self.rings {
            // The engine makes it, for this user alone.
            command.arg(format!("rings={}", rings.path().join("rings").display()));
        }
        command
    }

    /// Removes what the last run wrote.
    pub fn clear(&self) {
        let out = self.out();
        let _ = if out.is_dir() { std::fs::remove_dir_all(&out) } else { std::fs::remove_file(&out) };
        if let Some(rings) = &self.rings {
            let _ = std::fs::remove_dir_all(rings.path().join("rings"));
        }
    }

    /// How long a run of so many seconds may take.
    #[must_use]
    pub fn limit(secs: f64) -> Duration {
        Duration::from_secs_f64(90.0 + 20.0 * secs)
    }
}
