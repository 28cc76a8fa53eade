//! What the watchers share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracewell::catalog::{CodeDomain, ErrorRaised, Severity};
use tracewell::{Category, Id128, Tracer, emit};

use crate::missed::Missed;
use crate::stories::{Files, Processes};

/// What the watchers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tracer: Tracer,
    pub(crate) stop: AtomicBool,
    pub(crate) hashes: Vec<[u8; 32]>,
    pub(crate) boot_id: [u8; 16],
    pub(crate) own: Vec<PathBuf>,
    pub(crate) missed: Missed,
    processes: Mutex<Processes>,
    files: Mutex<Files>,
}

impl Shared {
    pub(crate) fn new(tracer: Tracer, hashes: Vec<[u8; 32]>, own: Vec<PathBuf>) -> Self {
        Self {
            tracer,
            stop: AtomicBool::new(false),
            hashes,
            boot_id: tracewell::boot::boot_id(),
            own,
            missed: Missed::default(),
            processes: Mutex::default(),
            files: Mutex::default(),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether any of these categories is on.
    pub(crate) fn wants(&self, categories: &[Category]) -> bool {
        categories.iter().any(|c| self.tracer.category_enabled(*c))
    }

    /// Waits, but not longer than until the sensor stops.
    pub(crate) fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// The processes that are known.
    pub(crate) fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The downloads that are remembered.
    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an error of the sensor itself.
    pub(crate) fn error(&self, module: &str, operation: &str, object: &str, error: &std::io::Error) {
        self.trouble(module, operation, object, error, None);
    }

    /// Tells an error and what does not work because of it.
    pub(crate) fn trouble(
        &self,
        module: &str,
        operation: &str,
        object: &str,
        error: &std::io::Error,
        consequence: Option<&str>,
    ) {
        emit!(
            self.tracer,
            ErrorRaised {
                error_id: random_id(),
                module,
                code: error.raw_os_error().unwrap_or(0).into(),
                domain: CodeDomain::Errno,
                severity: Severity::Low,
                operation: Some(operation),
                object: Some(object),
                consequence,
                ..Default::default()
            }
        );
    }

    /// Whether a path is one of the trace's own.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }
}

/// An identity that nothing else has.
pub(crate) fn random_id() -> Id128 {
    let mut id = [0; 16];
    if rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).is_err() {
        id[..8].copy_from_slice(&tracewell::boot::boottime_ns().to_le_bytes());
        id[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    }
    Id128(id)
}
