//! Events of the benchmarks, the same as in the comparison with other loggers.

use tracewell::Event;
use tracewell::Tracer;
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;

/// W0: no field.
#[derive(Event, Clone, Copy, Debug)]
#[event(
    name = "custom.heartbeat",
    category = "custom",
    level = "info",
    text = "heartbeat agent is alive and has nothing to report"
)]
pub struct Heartbeat {}

/// W1: a network record of 21 bytes, 40 with its header and padding.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.net", category = "custom", level = "info", text = "{source} -> {destination}")]
pub struct Net {
    /// Address.
    #[field(public)]
    pub source: u32,
    /// Address.
    #[field(public)]
    pub destination: u32,
    /// Port.
    #[field(public)]
    pub source_port: u16,
    /// Port.
    #[field(public)]
    pub destination_port: u16,
    /// Protocol.
    #[field(public)]
    pub protocol: u8,
    /// Bytes.
    #[field(public, unit = "bytes")]
    pub bytes: u64,
}

/// W2: a launch of 212 bytes, 232 with its header and padding.
#[derive(Event, Clone, Copy, Debug)]
#[event(
    name = "custom.launch",
    category = "custom",
    level = "info",
    text = "{path} was launched by {parent}"
)]
pub struct Launch<'a> {
    /// Process.
    #[field(public)]
    pub pid: u32,
    /// Parent.
    #[field(public)]
    pub parent: u32,
    /// Size.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Hash.
    #[field(public)]
    pub sha256: [u8; 32],
    /// Path of 60 bytes.
    #[field(personal)]
    pub path: &'a str,
    /// Command line of 100 bytes.
    #[field(personal)]
    pub command_line: &'a str,
}

/// Strings that the compiler cannot know: 64 of this length.
#[must_use]
pub fn strings(len: usize) -> Vec<String> {
    (0..64).map(|i| format!("/usr/lib/{i:02}/").chars().cycle().take(len).collect()).collect()
}

/// A net event.
#[must_use]
pub fn net(i: u64) -> Net {
    Net {
        source: i as u32,
        destination: 7,
        source_port: 40_000,
        destination_port: 443,
        protocol: 6,
        bytes: i,
    }
}

/// A tracer in a directory of its own.
#[derive(Debug)]
pub struct Rig {
    dir: tempfile::TempDir,
    /// Where things lie.
    pub dirs: Dirs,
    /// The tracer.
    pub tracer: Tracer,
    control: Control,
}

impl Rig {
    /// Makes one, off, with rings of this size.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(ring_size: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).expect("a directory");
        let tracer =
            Tracer::builder("bench").dir(dirs.base()).ring_size(ring_size).attach().expect("attached");
        let control = Control::open_or_create(&dirs).expect("a control page");
        Self { dir, dirs, tracer, control }
    }

    /// Enables everything.
    ///
    /// # Panics
    /// If it cannot.
    #[must_use]
    pub fn on(self) -> Self {
        let request = EnableRequest { levels: [5; 32], max_total: 0, ..EnableRequest::default() };
        self.control.enable(&self.dirs, &request).expect("enabled");
        self
    }

    /// The directory that goes when this does.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }
}
