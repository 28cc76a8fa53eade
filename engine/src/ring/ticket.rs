//! Tickets of `flush`: whoever takes one has what it emitted before in the drain's next look, or an earlier one.
//!
//! The loom models in `engine/tests/loom/` compile this very file.

use crate::sync::{AtomicU64, Ordering};

/// Takes a ticket: one of its own, so that a look that another caller's ticket began cannot stand for this caller's.
pub(crate) fn ask(asked: &AtomicU64) -> u64 {
    // Release: the drain that sees the ticket sees what this thread emitted; other threads' emits are ordered by
    // whatever made them happen before this call. A later ticket carries the earlier ones along: it is an exchange.
    asked.fetch_add(1, Ordering::AcqRel) + 1
}

/// Drain: the newest ticket, before it looks at the rings.
pub(crate) fn newest(asked: &AtomicU64) -> u64 {
    // Acquire: what the asking thread emitted before is seen from here on.
    asked.load(Ordering::Acquire)
}
