//! Counters of the running tracer, readable at any time.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// What a tracer has done in the present session; all zero while tracing is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events in segments.
    pub delivered: u64,
    /// Events refused, by reason: full, too big, nested, signal, no ring, forked, disabled meanwhile, other.
    pub lost: [u64; 8],
    /// Bytes of events before compression.
    pub raw_bytes: u64,
    /// Bytes written to segments.
    pub written_bytes: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Rings that exist, free ones included.
    pub rings: u64,
    /// Sum of their capacities, bytes.
    pub ring_bytes: u64,
    /// Writes that failed and were tried again.
    pub write_errors: u64,
    /// The error number of the last ring that could not be made; 0 if none.
    pub ring_errno: i32,
}

impl Stats {
    /// All losses.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) delivered: AtomicU64,
    pub(crate) raw_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) blocks: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    /// Why the segment writer cannot write now; 0 if it can.
    pub(crate) write_errno: AtomicI32,
    /// Losses of rings whose threads are gone, by reason.
    pub(crate) lost_before: [AtomicU64; 8],
    ring_errno: AtomicI32,
}

impl Counters {
    pub(crate) fn ring_failed(&self, errno: i32) {
        self.ring_errno.store(errno, Ordering::Relaxed);
    }

    pub(crate) fn ring_errno(&self) -> i32 {
        self.ring_errno.load(Ordering::Relaxed)
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
