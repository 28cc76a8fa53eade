//! A real component: watches this machine and emits its events, on the public API alone.
//!
//! | what | source |
//! | --- | --- |
//! | launched programs | the kernel's process connector where permitted (root), else `/proc` every 50 ms |
//! | modules of new processes | `/proc/PID/maps`, 5, 30 and 100 ms after the launch |
//! | connections | `/proc/net/{tcp,tcp6,udp,udp6}` every 100 ms, and what the kernel tells of ended sockets (sock_diag); owners from `/proc/*/fd` |
//! | downloads | inotify on the download folders and the folders in them; origin from `user.xdg.origin.url` |
//! | detections | the EICAR test file, and a list of SHA-256 that the user gives |
//!
//! [`Sensor::sources`] says which sources are used. What a source cannot see (programs and connections that end at
//! once, what a full queue refuses) is counted, and told as `error.raised` of the sensor. While nothing of a source is
//! enabled it rests: it reads, hashes and watches nothing.
#![forbid(unsafe_code)]

mod arrival;
mod detect;
mod diag;
mod download;
mod facts;
mod folders;
mod headers;
mod image;
mod launch;
mod maps;
mod missed;
mod netlink;
mod network;
mod owners;
mod process;
mod program;
mod queue;
mod record;
mod shared;
mod sockets;
mod stories;
mod times;
mod upkeep;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracewell::Tracer;

use crate::shared::Shared;

pub use detect::eicar;

/// Between two reports of what could not be seen.
const REPORT: Duration = Duration::from_secs(5);

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
        // The kernel names files by their whole path.
        let whole = |dirs: Vec<PathBuf>| -> Vec<PathBuf> { dirs.iter().map(|d| whole(d)).collect() };
        let shared = Arc::new(Shared::new(self.tracer, hashes, whole(self.own)));
        let connector = netlink::Connector::open().map(drop);
        let diag = diag::Diag::open().map(drop);
        Ok(Sensor { shared, download_dirs: whole(download_dirs), connector, diag })
    }
}

/// A path from the root, without links where it is there.
fn whole(path: &Path) -> PathBuf {
    let found = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    found.unwrap_or_else(|_| path.to_owned())
}

/// What a thread of the sensor does.
type Watcher<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Watches this machine; see the crate's description.
#[derive(Debug)]
pub struct Sensor {
    shared: Arc<Shared>,
    download_dirs: Vec<PathBuf>,
    connector: std::io::Result<()>,
    diag: std::io::Result<()>,
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
            Err(e) => {
                format!("/proc every {} ms, since the process connector says: {e}", process::POLL.as_millis())
            }
        };
        let network = match &self.diag {
            Ok(()) => format!(
                "/proc/net every {} ms, and what the kernel tells of ended sockets",
                network::LOOK.as_millis()
            ),
            Err(e) => {
                format!("/proc/net every {} ms, since sock_diag says: {e}", network::LOOK_ALONE.as_millis())
            }
        };
        let modules = process::MODULES_AFTER.map(|ms| ms.to_string()).join(", ");
        let folders: Vec<_> = self.download_dirs.iter().map(|d| d.display().to_string()).collect();
        vec![
            ("processes", processes),
            ("modules", format!("/proc/PID/maps, {modules} ms after a launch")),
            ("network", network),
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
        let Self { shared, download_dirs, .. } = self;
        let shared = &*shared;
        let (sender, jobs) = queue::queue();
        let (slow, modules) = queue::queue();
        let memory = &record::Memory::default();
        std::thread::scope(|scope| {
            // Those that record end when the watcher has dropped its ends of the queues.
            let watchers: [(&str, Watcher<'_>); 5] = [
                ("processes", Box::new(move || process::watch(shared, &sender, &slow))),
                ("programs", Box::new(move || record::record(shared, memory, &jobs))),
                ("modules", Box::new(move || record::record(shared, memory, &modules))),
                ("network", Box::new(|| network::watch(shared))),
                ("downloads", Box::new(|| download::watch(shared, &download_dirs))),
            ];
            for (name, work) in watchers {
                let started = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
                if let Err(e) = started {
                    shared.error("sensor", "start a watcher", name, &e);
                }
            }
            let mut told = Instant::now();
            while !stop() {
                std::thread::sleep(Duration::from_millis(50));
                if told.elapsed() >= REPORT {
                    told = Instant::now();
                    missed::tell(shared);
                }
            }
            shared.stop.store(true, Ordering::Relaxed);
        });
        missed::tell(shared);
    }
}
