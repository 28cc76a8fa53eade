//! The sequence lock of the control page: a reader never takes half of a change for the whole.
//!
//! The body is read and written by relaxed atomic loads and stores; one writer at a time (`lock.rs`). The loom models
//! in `engine/tests/loom/` compile this very file.

use crate::sync::{AtomicU64, Ordering, fence};

/// What `look` reads, if all of it is of one generation; `None` if a change came between.
pub(crate) fn read<T>(generation: &AtomicU64, look: impl FnOnce() -> T) -> Option<T> {
    // Acquire: the body that is read is not older than this generation.
    let before = generation.load(Ordering::Acquire);
    if !before.is_multiple_of(2) {
        return None;
    }
    let seen = look();
    // If one of the loads above met a change, the second look at the generation shows it.
    fence(Ordering::Acquire);
    (generation.load(Ordering::Relaxed) == before).then_some(seen)
}

/// Changes the body: `write` gets the generation that it will have. Only under the lock of writers.
pub(crate) fn change(generation: &AtomicU64, write: impl FnOnce(u64)) {
    // Odd also if a writer died in the middle.
    let before = generation.load(Ordering::Relaxed) & !1;
    generation.store(before.wrapping_add(1), Ordering::Relaxed);
    // A reader that sees part of the new body also sees the odd generation.
    fence(Ordering::Release);
    let after = before.wrapping_add(2);
    write(after);
    // Release: who sees it sees the whole body.
    generation.store(after, Ordering::Release);
}
