//! The life of a ring in its process: claimed by a thread, left by it, told by the drain, freed by the segment writer.
//!
//! | word | stored by | order | read by | order |
//! | --- | --- | --- | --- | --- |
//! | gone = false | the claiming thread, before its view | Relaxed | drain, under the view's lock | Acquire |
//! | gone = true | the ending thread, after its last commit | Release | drain, under the view's lock | Acquire |
//! | state = active | the claiming thread, last of all | Release | drain, segment writer, claiming threads | Acquire |
//! | state = closing | drain | Release | readers of the file only | – |
//! | state = free | segment writer, after the last release | Release | claiming threads, under the tracer's lock | Acquire |
//!
//! The loom models in `engine/tests/loom/` compile this very file.

use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// State words of a ring, as in FORMAT.md section 5.
pub(crate) const FREE: u32 = 0;
pub(crate) const ACTIVE: u32 = 1;
pub(crate) const CLOSING: u32 = 2;

/// Claiming thread: before the drain's view becomes one of this claim; see [`has_ended`].
pub(crate) fn begin(gone: &AtomicBool) {
    gone.store(false, Ordering::Relaxed);
}

/// Claiming thread: whoever sees the ring active sees its identity and zero counters.
pub(crate) fn activate(state: &AtomicU32) {
    state.store(ACTIVE, Ordering::Release);
}

/// Ending thread: the drain that sees the thread gone also sees its last head and counts.
pub(crate) fn end(gone: &AtomicBool) {
    gone.store(true, Ordering::Release);
}

/// Drain, under the lock of its view: the thread of the present claim is gone, and its end is not told yet
/// (`finished`). From then on, until the drain tells it, nobody can claim the ring.
///
/// A view that is not finished is of a claim that has stored `gone` = false before. While the drain looks at a ring
/// whose end it has told, the writer may free it and another thread claim it.
pub(crate) fn has_ended(finished: bool, gone: &AtomicBool) -> bool {
    // Acquire: who sees the thread gone sees its last head.
    !finished && gone.load(Ordering::Acquire)
}

/// Drain: tells readers of the file that the owner is gone but not all is drained.
pub(crate) fn close(state: &AtomicU32) {
    state.store(CLOSING, Ordering::Release);
}

/// Segment writer: everything of a thread that is gone is released; ready for the next one, which may overwrite what
/// the drain has read.
pub(crate) fn free(state: &AtomicU32) {
    state.store(FREE, Ordering::Release);
}

/// The state.
pub(crate) fn state(state: &AtomicU32) -> u32 {
    state.load(Ordering::Acquire)
}
