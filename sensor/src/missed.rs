//! What could not be seen, counted, so that a gap is in the trace and not only in the sensor.

use std::sync::atomic::{AtomicU64, Ordering};

use tracewell::catalog::{CodeDomain, ErrorRaised, Severity};
use tracewell::{Category, emit};

use crate::shared::{Shared, random_id};

/// Counters since they were told last.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// Launches of programs that had ended before their path could be read.
    pub(crate) programs: AtomicU64,
    /// Launches whose file was not hashed, since too many were waiting.
    pub(crate) hashes: AtomicU64,
    /// What happened to processes, and was given up since too much was waiting.
    pub(crate) jobs: AtomicU64,
    /// Connections that had ended before their process could be found.
    pub(crate) owners: AtomicU64,
    /// Downloads that were given up since too many were under way.
    pub(crate) downloads: AtomicU64,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Tells what was counted, if errors are recorded now; else it is kept.
pub(crate) fn tell(shared: &Shared) {
    if !shared.wants(&[Category::Error]) {
        return;
    }
    let missed = &shared.missed;
    for (code, counter, module, operation, consequence) in [
        (
            1,
            &missed.programs,
            "processes",
            "read the path of a program",
            "programs that ended at once are recorded by name, without path, hash and command line",
        ),
        (2, &missed.hashes, "processes", "hash a program", "programs are recorded without their hash"),
        (
            3,
            &missed.jobs,
            "processes",
            "record what happens to processes",
            "launches, ends or modules are missing",
        ),
        (
            4,
            &missed.owners,
            "network",
            "find the process of a connection",
            "connections that ended at once are recorded without their process",
        ),
        (5, &missed.downloads, "downloads", "follow a download", "downloads are missing"),
    ] {
        let n = counter.swap(0, Ordering::Relaxed);
        if n == 0 {
            continue;
        }
        emit!(
            shared.tracer,
            ErrorRaised {
                error_id: random_id(),
                module,
                code,
                domain: CodeDomain::Product,
                severity: Severity::Low,
                repeated: u32::try_from(n - 1).unwrap_or(u32::MAX),
                operation: Some(operation),
                consequence: Some(consequence),
                ..Default::default()
            }
        );
    }
}
