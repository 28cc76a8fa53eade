//! The protocol of a ring: two indices, who stores them, and in which order.
//!
//! No bytes here: `memory.rs` has those, `emit.rs` and `drain.rs` join the two. The loom models in
//! `engine/tests/loom/` compile this very file.
//!
//! ```text
//!            tail                      head
//!   released  |  committed, not in a    |  free; the producer may write
//!             |  segment yet            |  up to tail + capacity
//! ------------+-------------------------+----------------------------> position (never wraps)
//! ```
//!
//! | index | stored by | order | read by | order |
//! | --- | --- | --- | --- | --- |
//! | head | producer, after the payload | Release | drain | Acquire |
//! | tail | segment writer, after the block is in a file | Release | producer, when it seems full | Acquire |
//!
//! *Why Release on head*: the payload stores must be visible before the index that covers them, to the drain on
//! another core and, because the compiler may not reorder them either, to whoever reads the file after a kill.
//! *Why Acquire on tail*: the drain's reads of the old bytes must be over before the producer overwrites them.

use crate::sync::{AtomicU64, Ordering};

/// The shared indices of one ring.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    head: &'a AtomicU64,
    tail: &'a AtomicU64,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(head: &'a AtomicU64, tail: &'a AtomicU64) -> Self {
        Self { head, tail }
    }

    /// Producer: everything before `end` is written.
    #[inline]
    pub(crate) fn commit(self, end: u64) {
        self.head.store(end, Ordering::Release);
    }

    /// Drain: the end of what is committed; the bytes before it may be read.
    #[inline]
    pub(crate) fn committed(self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Segment writer: everything before `to` is in a segment, its bytes may be overwritten.
    #[inline]
    pub(crate) fn release(self, to: u64) {
        self.tail.store(to, Ordering::Release);
    }

    /// Producer: the end of what may be overwritten.
    #[inline]
    pub(crate) fn released(self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }
}

/// Where the next record goes, decided by the producer when its cached limit does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// At the head.
    Here,
    /// After a pad of this many bytes, at the start of the next lap.
    AfterPad(u64),
    /// Nowhere: the drain has not released enough.
    Full,
}

/// Whether `size` bytes fit after `head`, given that everything before `tail` is released.
///
/// A record never straddles the end of a lap, so that producer and drain copy it in one piece.
#[inline]
pub(crate) fn room(head: u64, tail: u64, capacity: u64, size: u64) -> Room {
    let free_end = tail + capacity;
    let lap_end = (head & !(capacity - 1)) + capacity;
    if head + size <= lap_end {
        if head + size <= free_end { Room::Here } else { Room::Full }
    } else if lap_end + size <= free_end {
        Room::AfterPad(lap_end - head)
    } else {
        Room::Full
    }
}

/// The position up to which the producer may write without looking at the tail again: the end of the lap, of the
/// free space, of the bytes that are there (`ready`, on the first lap), or the mark at which it wakes the drain,
/// whichever comes first.
#[inline]
pub(crate) fn limit(head: u64, tail: u64, capacity: u64, ready: u64, woken: bool) -> u64 {
    let lap_end = (head & !(capacity - 1)) + capacity;
    let mut hard = lap_end.min(tail + capacity);
    if ready < capacity {
        hard = hard.min(ready);
    }
    if woken {
        return hard.max(head);
    }
    let mut mark = tail + capacity / 2;
    if ready < capacity {
        mark = mark.min(ready / 2);
    }
    hard.min(mark).max(head)
}

/// Whether the head has come so far that the drain should add to a ring that is not whole yet.
#[inline]
pub(crate) fn wants_growth(head: u64, ready: u64, capacity: u64) -> bool {
    ready < capacity && head >= ready / 2
}

/// Adds pages to a ring of `capacity` bytes, `step` at a time, until at least `to` data bytes are ready. One caller at
/// a time.
///
/// `populate` makes the pages of a range part of this address space, for every thread; only then is `ready` raised.
pub(crate) fn grow<E>(
    ready: &AtomicU64,
    to: u64,
    capacity: u64,
    step: u64,
    mut populate: impl FnMut(u64, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = ready.load(Ordering::Relaxed);
    while from < to.min(capacity) {
        let next = (from + step).min(capacity);
        populate(from, next)?;
        from = next;
        // Relaxed: whoever sees it finds the pages there, which the kernel has seen to.
        ready.store(from, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_never_straddles_a_lap() {
        assert_eq!(room(0, 0, 64, 64), Room::Here);
        assert_eq!(room(40, 40, 64, 24), Room::Here);
        assert_eq!(room(40, 40, 64, 32), Room::AfterPad(24));
        assert_eq!(room(40, 0, 64, 32), Room::Full);
        assert_eq!(room(64, 0, 64, 8), Room::Full);
        assert_eq!(room(64, 8, 64, 8), Room::Here);
    }

    #[test]
    fn the_limit_is_the_half_mark_until_the_drain_was_woken() {
        assert_eq!(limit(0, 0, 64, 64, false), 32);
        assert_eq!(limit(40, 0, 64, 64, false), 40);
        assert_eq!(limit(40, 0, 64, 64, true), 64);
        assert_eq!(limit(70, 64, 64, 64, false), 96);
        assert_eq!(limit(100, 90, 64, 64, true), 128);
    }

    #[test]
    fn a_ring_that_is_not_whole_ends_earlier() {
        assert_eq!(limit(0, 0, 64, 16, false), 8);
        assert_eq!(limit(8, 0, 64, 16, true), 16);
        assert_eq!(limit(16, 0, 64, 16, true), 16);
        assert!(wants_growth(8, 16, 64) && !wants_growth(0, 16, 64) && !wants_growth(60, 64, 64));
    }
}
