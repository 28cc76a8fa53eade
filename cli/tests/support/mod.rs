//! Runs the command in directories of its own.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of a test, and the command in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Drop for Place {
    /// What processes that were killed left in memory, outside of the temporary directory.
    fn drop(&mut self) {
        let Ok(dirs) = tracewell::dirs::Dirs::resolve(Some(&self.base())) else { return };
        let user = rustix::process::geteuid().as_raw();
        if let Some(name) = dirs.ring_root().file_name() {
            let _ = std::fs::remove_dir_all(format!("/dev/shm/tracewell-{user}/{}", name.display()));
        }
    }
}

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

impl Ran {
    /// It did what it should, and said nothing on stderr that it should not.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It failed, and says why in one line that has all these parts.
    #[track_caller]
    pub(crate) fn error(&self, parts: &[&str]) {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.stderr.starts_with("tracewell: "), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        }
    }
}

impl Ran {
    /// It does not know what it was told.
    #[track_caller]
    pub(crate) fn error_of_arguments(&self, parts: &[&str]) {
        assert_eq!(self.code, 2, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The trace directory.
    pub(crate) fn base(&self) -> PathBuf {
        self.path("trace")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracewell"));
        command
            .current_dir(self.dir.path())
            .env_remove("XDG_STATE_HOME")
            .env("TRACEWELL_RING_DIR", self.path("rings"))
            .env("TRACEWELL_DIR", self.base());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command().args(args).output().expect("the command runs").into()
    }

    /// Enables, records some events of a component in this process, disables.
    pub(crate) fn record(&self, events: u64) {
        self.run(&["enable"]).ok();
        self.emit(events);
        self.run(&["disable"]).ok();
    }

    /// A tracer of this process that uses the same places as the command.
    pub(crate) fn tracer(&self, component: &str) -> tracewell::Tracer {
        tracewell::Tracer::builder(component)
            .dir(self.base())
            .ring_dir(self.ring_root())
            .attach()
            .expect("attach")
    }

    pub(crate) fn emit(&self, events: u64) {
        let tracer = self.tracer("scanner");
        let _guard = tracer.guard();
        for code in 0..events {
            let event = tracewell::catalog::ErrorRaised {
                module: "engine\u{1b}[31m",
                code: i64::try_from(code).expect("small"),
                ..Default::default()
            };
            tracewell::emit!(tracer, event);
        }
        tracer.flush().expect("flush");
    }

    /// Where the command looks for rings.
    pub(crate) fn ring_root(&self) -> PathBuf {
        let status = self.run(&["status", "--json", "--dir", self.base().to_str().expect("UTF-8")]).ok();
        let json: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        json["ring_dir"].as_str().expect("a path").into()
    }

    /// All segments.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for session in list(&self.base().join("sessions")) {
            all.extend(list(&session));
        }
        all
    }
}

/// The entries of a folder, sorted.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut all: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    all.sort();
    all
}
