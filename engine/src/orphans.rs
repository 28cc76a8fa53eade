//! Losses of a tracer that belong to no ring: told with the counters of its present or next session.

use tracewell_schema::format::record::LossReason;

use crate::sync::{AtomicU32, AtomicU64, Ordering, own_pid};

/// Counts by reason. A forked child begins at zero: what its parent has not told yet is the parent's to tell.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    counts: [AtomicU64; 8],
    /// The process whose counts these are; 0 = nobody's yet.
    pid: AtomicU32,
}

impl Orphans {
    /// Counts one. No lock, no allocation: signal handlers come here.
    pub(crate) fn count(&self, reason: LossReason) {
        self.own();
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the counts to where they are told.
    pub(crate) fn take(&self, into: &[AtomicU64; 8]) {
        self.own();
        for (from, to) in self.counts.iter().zip(into) {
            if from.load(Ordering::Relaxed) != 0 {
                to.fetch_add(from.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    /// The counts that are not told yet.
    pub(crate) fn untold(&self) -> [u64; 8] {
        self.own();
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Empties the counts if they came through a fork. Until the child has a second thread nobody does that beside it.
    fn own(&self) {
        let pid = own_pid();
        let before = self.pid.load(Ordering::Relaxed);
        if before == pid {
            return;
        }
        if before != 0 {
            self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        self.pid.store(pid, Ordering::Relaxed);
    }
}
