//! The gate of an emit: a thread marks its slot busy, then looks whether the session still stands; the closer ends the
//! session, then looks whether a slot is busy. One of the two sees the other.
//!
//! | word | stored by | order | read by | order |
//! | --- | --- | --- | --- | --- |
//! | slot's epoch | its thread: busy | Relaxed, then the light barrier | closer, after the full barrier | Acquire |
//! | slot's epoch | its thread: not busy | Release | closer | Acquire |
//! | tracer's epoch | closer: no session | Relaxed, then the full barrier | every emit, after the light barrier | Relaxed |
//!
//! *Why Release on both ways out*: who sees the slot not busy is going to unmap what the emits of this thread have
//! written, also those before an emit that found the session ended.
//!
//! The loom models in `engine/tests/loom/` compile this very file.

use crate::sync::{AtomicU64, Ordering, light_barrier};

/// The epoch of a slot whose thread is inside an emit. Never that of a tracer.
pub(crate) const BUSY: u64 = u64::MAX - 1;
/// The epoch of a tracer without a session. Never that of a slot: those that are wiped or retired have 0.
pub(crate) const NO_SESSION: u64 = u64::MAX;

/// Producer: takes its slot for an emit of a tracer; gives the epoch to [`leave`] with. `None` if the slot is not of the
/// tracer's present session, or taken.
#[inline(always)]
pub(crate) fn enter(slot: &AtomicU64, tracer: &AtomicU64) -> Option<u64> {
    let epoch = slot.load(Ordering::Relaxed);
    slot.store(BUSY, Ordering::Relaxed);
    // A signal handler on this thread must find the slot taken before we look at anything else; for the closer, which
    // looks from another thread, `membarrier` makes it so (`state.rs`, "Closing").
    light_barrier();
    if epoch == tracer.load(Ordering::Relaxed) {
        return Some(epoch);
    }
    slot.store(epoch, Ordering::Release);
    None
}

/// Producer: gives the slot back.
#[inline(always)]
pub(crate) fn leave(slot: &AtomicU64, epoch: u64) {
    slot.store(epoch, Ordering::Release);
}

/// Closer: the session with this epoch takes no more emits, unless another has begun already. Only under the lock under
/// which sessions begin: a session can be over before the tracer has its epoch. A full barrier must follow before
/// [`is_busy`] says anything.
pub(crate) fn retire(tracer: &AtomicU64, epoch: u64) {
    if tracer.load(Ordering::Relaxed) == epoch {
        tracer.store(NO_SESSION, Ordering::Relaxed);
    }
}

/// Closer: whether the slot's thread is inside an emit.
pub(crate) fn is_busy(slot: &AtomicU64) -> bool {
    slot.load(Ordering::Acquire) == BUSY
}
