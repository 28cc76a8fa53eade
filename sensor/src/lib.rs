//! A real component: watches this machine and emits its events, on the public API alone.
//!
//! | what | source |
//! | --- | --- |
//! | launched programs | the kernel's process connector where permitted (root), else `/proc` every 100 ms |
//! | modules of new processes | `/proc/PID/maps`, 100 ms after the launch |
//! | connections | `/proc/net/{tcp,tcp6,udp,udp6}` every 200 ms; owners from `/proc/*/fd` |
//! | downloads | inotify on the download folders; origin from `user.xdg.origin.url` |
//! | detections | the EICAR test file, and a list of SHA-256 that the user gives |
//!
//! What ends between two looks of a polling source is not seen; [`Sensor::sources`] says which source is used.
#![deny(unsafe_code)]

mod detect;
mod download;
mod facts;
mod image;
mod netlink;
mod network;
mod process;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracewell::Tracer;
use tracewell::catalog::{CodeDomain, ErrorRaised, Severity};
use tracewell::emit;

pub use detect::eicar;

/// Why the sensor cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum SensorError {
    /// The list of hashes cannot be read or has a line that is no SHA-256.
    HashList {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for SensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HashList { path, what } => write!(
                f,
                "the list of hashes {} cannot be used: {what}; it needs one SHA-256 (64 hex digits) a line",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SensorError {}

/// What the watchers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tracer: Tracer,
    pub(crate) stop: AtomicBool,
    pub(crate) hashes: Vec<[u8; 32]>,
    pub(crate) boot_id: [u8; 16],
    pub(crate) own: Vec<PathBuf>,
}

impl Shared {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells an error of the sensor itself.
    pub(crate) fn error(&self, module: &str, operation: &str, object: &str, error: &std::io::Error) {
        emit!(
            self.tracer,
            ErrorRaised {
                module,
                code: error.raw_os_error().unwrap_or(0).into(),
                domain: CodeDomain::Errno,
                severity: Severity::Low,
                operation: Some(operation),
                object: Some(object),
                ..Default::default()
            }
        );
    }

    /// Whether a path is one of the trace's own.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }
}

/// Collects how the sensor watches.
#[derive(Debug)]
pub struct Builder {
    tracer: Tracer,
    download_dirs: Vec<PathBuf>,
    hash_list: Option<PathBuf>,
    own: Vec<PathBuf>,
}

impl Builder {
    /// Folders in which downloads appear. Default: the user's download folder.
    #[must_use]
    pub fn download_dirs(mut self, dirs: Vec<PathBuf>) -> Self {
        self.download_dirs = dirs;
        self
    }

    /// A file with one SHA-256 (hex) a line: downloads with such a hash are detected.
    #[must_use]
    pub fn hash_list(mut self, path: PathBuf) -> Self {
        self.hash_list = Some(path);
        self
    }

    /// Folders that are not looked at: the trace's own.
    #[must_use]
    pub fn ignore(mut self, paths: Vec<PathBuf>) -> Self {
        self.own = paths;
        self
    }

    /// Builds the sensor; nothing runs yet.
    ///
    /// # Errors
    /// If the list of hashes cannot be used.
    pub fn build(self) -> Result<Sensor, SensorError> {
        let hashes = match &self.hash_list {
            Some(path) => {
                detect::read_list(path).map_err(|what| SensorError::HashList { path: path.clone(), what })?
            }
            None => Vec::new(),
        };
        let download_dirs = if self.download_dirs.is_empty() {
            facts::download_dir().into_iter().collect()
        } else {
            self.download_dirs
        };
        let shared = Arc::new(Shared {
            tracer: self.tracer,
            stop: AtomicBool::new(false),
            hashes,
            boot_id: tracewell::boot::boot_id(),
            own: self.own,
        });
        Ok(Sensor { shared, download_dirs, connector: netlink::Connector::open() })
    }
}

/// Watches this machine; see the crate's description.
#[derive(Debug)]
pub struct Sensor {
    shared: Arc<Shared>,
    download_dirs: Vec<PathBuf>,
    connector: std::io::Result<netlink::Connector>,
}

impl Sensor {
    /// A sensor that emits through this tracer.
    #[must_use]
    pub fn builder(tracer: Tracer) -> Builder {
        Builder { tracer, download_dirs: Vec::new(), hash_list: None, own: Vec::new() }
    }

    /// Which source each watcher uses, and why.
    #[must_use]
    pub fn sources(&self) -> Vec<(&'static str, String)> {
        let processes = match &self.connector {
            Ok(_) => "the kernel's process connector".to_owned(),
            Err(e) => format!("/proc every 100 ms, since the process connector says: {e}"),
        };
        let folders: Vec<_> = self.download_dirs.iter().map(|d| d.display().to_string()).collect();
        vec![
            ("processes", processes),
            ("modules", "/proc/PID/maps, 100 ms after a launch".to_owned()),
            ("network", "/proc/net every 200 ms".to_owned()),
            (
                "downloads",
                if folders.is_empty() {
                    "none: no download folder is known".to_owned()
                } else {
                    format!("inotify on {}", folders.join(", "))
                },
            ),
        ]
    }

    /// Watches until `stop` says so; returns within about 300 ms after that.
    pub fn run(self, stop: &dyn Fn() -> bool) {
        let Self { shared, download_dirs, connector } = self;
        std::thread::scope(|scope| {
            let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
                let started = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
                if let Err(e) = started {
                    shared.error("sensor", "start a watcher", name, &e);
                }
            };
            let s = &shared;
            let (a, b, c) = (Arc::clone(s), Arc::clone(s), Arc::clone(s));
            spawn("processes", Box::new(move || process::watch(&a, connector.ok())));
            spawn("network", Box::new(move || network::watch(&b)));
            spawn("downloads", Box::new(move || download::watch(&c, &download_dirs)));
            while !stop() {
                std::thread::sleep(Duration::from_millis(50));
            }
            shared.stop.store(true, Ordering::Relaxed);
        });
    }
}
