//! Runs the sensor in this process and looks at what it emits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracewell::testing::{Capture, CapturedEvent, capture};
use tracewell_sensor::Sensor;

/// How long a slow machine may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running sensor, and a folder for the test with `downloads` in it.
pub(crate) struct Running {
    capture: Capture,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
    pub(crate) sources: Vec<(&'static str, String)>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(|downloads| vec![downloads.to_owned()], None)
    }

    pub(crate) fn start_with(dirs: impl Fn(&Path) -> Vec<PathBuf>, hash_list: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let downloads = dir.path().join("downloads");
        std::fs::create_dir(&downloads).unwrap();
        let capture = capture("sensor");
        let mut builder = Sensor::builder(capture.tracer().clone()).download_dirs(dirs(&downloads));
        if let Some(list) = hash_list {
            builder = builder.hash_list(list.to_owned());
        }
        let sensor = builder.build().unwrap();
        let sources = sensor.sources();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || sensor.run(&|| flag.load(Ordering::Relaxed)));
        let running = Self { capture, stop, thread: Some(thread), dir, sources };
        running.warm_up();
        running
    }

    /// Until each watcher has been seen at work: what happens before is not its business.
    fn warm_up(&self) {
        let path = self.downloads().join("warm-up");
        let began = Instant::now();
        loop {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, "x").unwrap();
            let mut child = std::process::Command::new("sleep").arg("0.2").spawn().unwrap();
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            child.wait().unwrap();
            let events = self.events();
            let has = |name: &str, field: &str, end: &str| {
                events.iter().any(|e| e.name == name && e.fields.get(field).is_some_and(|v| v.ends_with(end)))
            };
            if has("download.finished", "path", "/warm-up")
                && has("process.start", "command_line", "sleep 0.2")
                && has("network.connection", "local", &format!(":{port}"))
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the sensor does not begin: {}", events.len());
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.path("downloads")
    }

    pub(crate) fn events(&self) -> Vec<CapturedEvent> {
        self.capture.events()
    }

    /// Events of this name whose field has this value.
    pub(crate) fn with(&self, name: &str, field: &str, value: &str) -> Vec<CapturedEvent> {
        let is_it = |e: &CapturedEvent| e.name == name && e.fields.get(field).is_some_and(|v| v == value);
        self.events().into_iter().filter(is_it).collect()
    }

    /// Waits until `look` finds what it wants among the events. A look costs a write to the disk, so not too often.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&[CapturedEvent]) -> Option<T>) -> T {
        let (began, mut pause) = (Instant::now(), Duration::from_millis(100));
        loop {
            if let Some(found) = look(&self.events()) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {:#?}", self.tail());
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    }

    /// Waits for an event of this name whose field has this value.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, field: &str, value: &str) -> CapturedEvent {
        let is_it = |e: &&CapturedEvent| e.name == name && e.fields.get(field).is_some_and(|v| v == value);
        self.until(&format!("no {name} with {field}={value}"), |events| events.iter().find(is_it).cloned())
    }

    fn tail(&self) -> Vec<CapturedEvent> {
        let events = self.events();
        let skip = events.len().saturating_sub(20);
        events.into_iter().skip(skip).collect()
    }

    /// Whether a source tells of itself that it uses this.
    pub(crate) fn uses(&self, what: &str) -> bool {
        self.sources.iter().any(|(_, how)| how.contains(what))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the sensor ended cleanly");
            }
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
