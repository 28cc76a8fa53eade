//! How a component attaches.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Tracer;
use crate::clock::Clock;
use crate::config::{Config, WhenFull};
use crate::control::Control;
use crate::dirs::Dirs;
use crate::error::AttachError;

/// Collects how a tracer attaches; see [`Tracer::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) component: String,
    pub(super) version: String,
    pub(super) dir: Option<PathBuf>,
    pub(super) ring_dir: Option<PathBuf>,
    pub(super) ring_size: u64,
    pub(super) ring_budget: u64,
    pub(super) linger: Duration,
    pub(super) clock: Clock,
    pub(super) when_full: WhenFull,
    pub(super) survives_bus_errors: bool,
}

impl Builder {
    /// The trace directory. Default: `TRACEWELL_DIR`, else `/var/lib/tracewell` for root, else
    /// `$XDG_STATE_HOME/tracewell`.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The directory of the ring folders, on tmpfs. Default: derived from the trace directory, below `/run` or
    /// `$XDG_RUNTIME_DIR` or `/dev/shm`. Written down beside the control page, so that readers find it.
    #[must_use]
    pub fn ring_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.ring_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The component's version, at most 31 bytes, shown by the reader.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Capacity of a thread's ring in bytes: a power of two, 64 KiB to 256 MiB. Default 4 MiB.
    #[must_use]
    pub fn ring_size(mut self, bytes: u64) -> Self {
        self.ring_size = bytes;
        self
    }

    /// Sum of the full-sized rings of this process in bytes; threads beyond it get rings of 64 KiB, up to as much
    /// again. Default 256 MiB.
    #[must_use]
    pub fn ring_budget(mut self, bytes: u64) -> Self {
        self.ring_budget = bytes;
        self
    }

    /// How long events may stay in a quiet thread's ring before they go to a segment. Default 1 s.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// The clock that stamps records. Default: [`Clock::Precise`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What an emit does when the thread's ring is full. Default: [`WhenFull::Refuse`].
    #[must_use]
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// Whether the process outlives that somebody with the rights to do so makes the file of a ring or of the control page
    /// shorter while it is mapped. Default: no.
    ///
    /// With it a handler of SIGBUS is installed in this process, once, and stays. It acts on addresses of Tracewell's own
    /// mappings only, and passes everything else to the handler that was there before; one that is installed later must
    /// pass on what is not its own. Nothing that Tracewell does itself leads to this signal.
    #[must_use]
    pub fn survive_bus_errors(mut self, yes: bool) -> Self {
        self.survives_bus_errors = yes;
        self
    }

    /// Attaches: maps the control page, creating the directory (0700) and the page (0600, off) if they are missing.
    ///
    /// # Errors
    /// If the name or a limit cannot be used, or the directory or the page is not ours alone.
    pub fn attach(self) -> Result<Tracer, AttachError> {
        let mut dirs = Dirs::resolve(self.dir.as_deref())?;
        if let Some(ring_dir) = self.ring_dir {
            dirs = dirs.with_ring_root(ring_dir);
        }
        let config = Config {
            component: self.component,
            version: self.version,
            dirs,
            ring_size: self.ring_size,
            ring_budget: self.ring_budget,
            linger: self.linger,
            clock: self.clock,
            when_full: self.when_full,
        }
        .check()?;
        if self.survives_bus_errors {
            crate::sigbus::install()
                .map_err(|source| AttachError::Control { path: config.dirs.control(), source })?;
        }
        let _no_signal = crate::fork::FileSizeSignal::block();
        let control = Control::open_or_create(&config.dirs)
            .map_err(|source| AttachError::Control { path: config.dirs.control(), source })?;
        control.claim_slot(&config.component);
        Ok(Tracer::from_parts(Some(config), Some(control), None))
    }
}
