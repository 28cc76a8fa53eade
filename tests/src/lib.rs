//! Helpers of the integration tests.

use std::path::{Path, PathBuf};

use tracewell::Event;
use tracewell::control::{Control, EnableRequest, SessionInfo};
use tracewell::dirs::Dirs;

/// From now on a panic of one of the tracer's own threads ends this process, where it would otherwise be no more than
/// losses that are counted.
pub fn end_with_the_tracers_threads() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
        if name.starts_with("tracewell-") {
            std::process::abort();
        }
    }));
}

/// A numbered event whose text can be computed from its number, so that every byte can be checked.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.numbered", category = "custom", level = "info", text = "{number} of {lane}")]
pub struct Numbered<'a> {
    /// The thread.
    #[field(public)]
    pub lane: u32,
    /// Its number, from 0.
    #[field(public)]
    pub number: u64,
    /// [`text_of`] its number.
    #[field(personal)]
    pub text: &'a str,
}

/// The text that belongs to a number: of changing length.
#[must_use]
pub fn text_of(number: u64) -> String {
    let len = (number.wrapping_mul(7919) % 97) as usize;
    format!("{number:x}").chars().cycle().take(len).collect()
}

/// A trace directory of its own, with tracing enabled at the finest level.
#[derive(Debug)]
pub struct Place {
    dir: tempfile::TempDir,
    /// Where things lie.
    pub dirs: Dirs,
    /// The control page.
    pub control: Control,
}

impl Place {
    /// Makes one; nothing is enabled yet.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).expect("a directory");
        let control = Control::open_or_create(&dirs).expect("a control page");
        Self { dir, dirs, control }
    }

    /// Enables everything.
    ///
    /// # Panics
    /// If it cannot.
    pub fn enable(&self) -> SessionInfo {
        self.enable_with(&EnableRequest { levels: [5; 32], ..EnableRequest::default() })
    }

    /// Enables what is asked for.
    ///
    /// # Panics
    /// If it cannot.
    pub fn enable_with(&self, request: &EnableRequest) -> SessionInfo {
        self.control.enable(&self.dirs, request).expect("enabled")
    }

    /// A path beside the trace directory.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opens what was recorded, rings included.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn trace(&self) -> tracewell_reader::Trace {
        open(self.dirs.base(), self.dirs.ring_root())
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.dirs.ring_root());
    }
}

/// Opens a trace directory with its rings.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn open(base: &Path, rings: &Path) -> tracewell_reader::Trace {
    tracewell_reader::Trace::open(&[base.to_owned()], &[rings.to_owned()]).expect("a trace")
}
