//! The shared side of a ring: what the registry, the drain and the segment writer hold of it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use tracewell_schema::format::record::LossReason;
use tracewell_schema::format::ring::{self as layout, RingCounters, RingHeader, RingInfo};

use super::cursor::Cursor;
use super::life::{self, FREE};
use super::memory::RingMemory;
use crate::lock::Mutex;
use crate::thread::Producer;

/// A ring and what this process knows of it.
#[derive(Debug)]
pub(crate) struct Ring {
    /// `None` after [`Ring::unmap`].
    memory: UnsafeCell<Option<RingMemory>>,
    /// Name of the file in the ring folder.
    pub(crate) file_name: String,
    /// The thread that owned it is gone (stored by the thread's end, Release; read by the drain, Acquire).
    pub(crate) thread_gone: AtomicBool,
    /// The owning thread's producer slot; slots are never unmapped.
    pub(crate) producer: AtomicPtr<Producer>,
    info: Mutex<RingInfo>,
    id: AtomicU32,
    pub(crate) drain: Mutex<DrainView>,
    /// Emits refused inside an emit of the owner, not yet in the header's count.
    pub(crate) interrupted: AtomicU64,
    /// Losses by reason that loss records have told.
    pub(crate) told: Mutex<[u64; 8]>,
    waker: Arc<Waker>,
    growing: Mutex<()>,
    /// The last growth failed: producers do not try, the drain does.
    growth_failed: AtomicBool,
    /// As the header's; that one is for readers, and may be gone.
    state: AtomicU32,
    /// What is in the file makes no sense; see [`Ring::is_broken`].
    is_spoiled: AtomicBool,
}

// SAFETY: everything in a ring is atomic or behind a lock, but for `memory`, which is written once, by `unmap`, whose
// caller promises that nobody else looks at it any more.
unsafe impl Sync for Ring {}
// SAFETY: a mapping and a file name belong to no thread.
unsafe impl Send for Ring {}

/// Wakes the drain thread of a process.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    thread: std::sync::OnceLock<std::thread::Thread>,
}

impl Waker {
    pub(crate) fn set(&self, thread: std::thread::Thread) {
        let _ = self.thread.set(thread);
    }

    /// A system call only if the drain sleeps.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// What only the drain uses.
#[derive(Debug)]
pub(crate) struct DrainView {
    /// Everything before has been handed to the segment writer.
    pub(crate) read: u64,
    /// Event records before `read`, since the claim.
    pub(crate) sequence: u64,
    /// Losses told by loss records before `read`.
    pub(crate) lost: u64,
    /// Since when something has been waiting.
    pub(crate) waiting_since: Option<Instant>,
    /// The final counters of this claim are written.
    pub(crate) finished: bool,
    /// The header's counts when the drain looked last, while it was whole.
    pub(crate) seen: Seen,
}

/// Counts of a header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    attempted: u64,
    lost: [u64; 8],
    /// The counts in the header began again since.
    is_over: bool,
}

impl Ring {
    /// Makes the ring in a new, empty file; it is free.
    pub(crate) fn create(
        file: &File,
        file_name: String,
        capacity: u64,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        Ok(Self {
            memory: UnsafeCell::new(Some(RingMemory::create(file, capacity)?)),
            file_name,
            thread_gone: AtomicBool::new(false),
            producer: AtomicPtr::new(std::ptr::null_mut()),
            info: Mutex::new(RingInfo::default()),
            id: AtomicU32::new(0),
            drain: Mutex::new(DrainView {
                read: 0,
                sequence: 0,
                lost: 0,
                waiting_since: None,
                finished: true,
                seen: Seen::default(),
            }),
            interrupted: AtomicU64::new(0),
            told: Mutex::new([0; 8]),
            waker,
            growing: Mutex::new(()),
            growth_failed: AtomicBool::new(false),
            state: AtomicU32::new(FREE),
            is_spoiled: AtomicBool::new(false),
        })
    }

    /// Gives a free ring to a thread: new identity, counters at zero, then active.
    ///
    /// A kill in between leaves state *free*, which readers skip, and nothing is committed yet.
    pub(crate) fn claim(&self, mut info: RingInfo, process_uuid: [u8; 16], producer: *mut Producer) {
        debug_assert_eq!(self.memory().state().load(Ordering::Relaxed), FREE);
        let start = self.cursor().committed();
        info.start = start;
        info.capacity = self.memory().capacity();
        for offset in [layout::ATTEMPTED, layout::SEQUENCE_AT_TAIL] {
            self.memory().word(offset).store(0, Ordering::Relaxed);
        }
        for reason in 0..8 {
            self.memory().word(layout::LOST + reason * 8).store(0, Ordering::Relaxed);
        }
        let header = RingHeader {
            capacity: self.memory().capacity(),
            process_uuid,
            state: FREE,
            info: info.clone(),
            start_sequence: 0,
            ..RingHeader::default()
        };
        self.memory().write_static(&header.encode());
        // Before the view is one of this claim; see `has_ended`.
        life::begin(&self.thread_gone);
        *self.drain.lock() = DrainView {
            read: start,
            sequence: 0,
            lost: 0,
            waiting_since: None,
            finished: false,
            seen: Seen::default(),
        };
        self.id.store(info.ring, Ordering::Relaxed);
        *self.info.lock() = info;
        *self.told.lock() = [0; 8];
        self.interrupted.store(0, Ordering::Relaxed);
        self.producer.store(producer, Ordering::Relaxed);
        life::activate(self.memory().state());
        life::activate(&self.state);
    }

    /// For the drain: see [`life::has_ended`].
    pub(crate) fn has_ended(&self) -> bool {
        let view = self.drain.lock();
        life::has_ended(view.finished, &self.thread_gone)
    }

    /// The drain has released everything of a thread that is gone: ready for the next one.
    pub(crate) fn set_free(&self) {
        self.producer.store(std::ptr::null_mut(), Ordering::Relaxed);
        life::free(self.memory().state());
        life::free(&self.state);
    }

    /// Tells readers of the file that the owner is gone but not all is drained.
    pub(crate) fn set_closing(&self) {
        life::close(self.memory().state());
        life::close(&self.state);
    }

    pub(crate) fn state(&self) -> u32 {
        life::state(&self.state)
    }

    /// Whether another process has cut or emptied the file: what is in it from then on is nobody's. Nothing is taken from
    /// it any more and nobody claims it; its events are counted as lost.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_spoiled.load(Ordering::Relaxed) || self.memory().is_broken()
    }

    /// For the drain: what it finds there cannot be.
    pub(crate) fn set_spoiled(&self) {
        self.is_spoiled.store(true, Ordering::Relaxed);
    }

    /// For the drain: takes note of the header's counts, unless it is broken.
    pub(crate) fn note_counts(&self, view: &mut DrainView) {
        // Told to its end: the next claim may just be setting the counts to zero. While it is not, they are of this
        // very view, as a claim makes a view of its own after that.
        if view.finished {
            return;
        }
        let seen = Seen {
            attempted: self.memory().word(layout::ATTEMPTED).load(Ordering::Relaxed),
            lost: std::array::from_fn(|reason| self.lost(reason).load(Ordering::Relaxed)),
            is_over: false,
        };
        if self.is_broken() {
            return;
        }
        if seen.attempted < view.seen.attempted {
            view.seen.is_over = true;
            return self.set_spoiled();
        }
        view.seen = seen;
    }

    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn info(&self) -> RingInfo {
        self.info.lock().clone()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.memory().capacity()
    }

    /// The mapping.
    ///
    /// # Panics
    /// After `unmap`: only the drain and its helpers come here, and they made the ring go.
    pub(crate) fn memory(&self) -> &RingMemory {
        // SAFETY: written only by `unmap`, whose caller is the last to use the ring.
        unsafe { &*self.memory.get() }.as_ref().expect("a ring is not used after its session is closed")
    }

    /// Unmaps the ring although threads still hold it.
    ///
    /// # Safety
    /// No producer is inside an emit with this ring's epoch nor can enter one, and the drain and the segment
    /// writer are done with it.
    pub(crate) unsafe fn unmap(&self) {
        // SAFETY: the caller promises that nobody looks at the mapping now or later.
        unsafe { *self.memory.get() = None };
    }

    /// As [`Ring::unmap`], for the one caller that has the proof.
    pub(crate) fn unmap_after_quiesce(&self) {
        // SAFETY: `State::quiesce` returned true before (its caller passes that on): the epoch is retired, all
        // threads passed a barrier and none is busy; drain and writer have ended or are the caller.
        unsafe { self.unmap() };
    }

    /// Data bytes, from the start, that are there.
    pub(crate) fn ready(&self) -> u64 {
        self.memory().ready()
    }

    /// For producers: makes at least `to` data bytes ready, now. False if that is not possible.
    #[cold]
    pub(crate) fn grow(&self, to: u64) -> bool {
        !self.growth_failed.load(Ordering::Relaxed) && self.grow_or_fail(to)
    }

    /// For the drain: adds to a ring whose producer has come far.
    pub(crate) fn grow_ahead(&self, head: u64) {
        let (ready, capacity) = (self.ready(), self.capacity());
        if super::cursor::wants_growth(head, ready, capacity) {
            self.grow_or_fail((ready * 2).min(capacity));
        }
    }

    fn grow_or_fail(&self, to: u64) -> bool {
        let _one_at_a_time = self.growing.lock();
        let grown = self.memory().grow(to).is_ok();
        self.growth_failed.store(!grown, Ordering::Relaxed);
        grown
    }

    pub(crate) fn wake_drain(&self) {
        self.waker.wake();
    }

    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self.memory().word(layout::HEAD), self.memory().word(layout::TAIL))
    }

    /// Shows `look` the bytes `[from, to)`, in place. `None` if they are not all committed and unreleased, as they are in
    /// a ring that is not broken.
    pub(crate) fn committed<R>(&self, from: u64, to: u64, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let cursor = self.cursor();
        if !(cursor.released() <= from && from <= to && to <= cursor.committed()) {
            return None;
        }
        // SAFETY: the check read `to` or more from the head (Acquire) and `from` or less from the tail. The tail
        // moves only to the end of blocks that were handed to the segment writer, which the drain, our only caller,
        // does after `look` has returned.
        Some(look(unsafe { self.memory().committed(from, to) }))
    }

    /// Asks for committed bytes, which are on the producer's core, before they are looked at.
    pub(crate) fn fetch(&self, from: u64, to: u64) {
        self.memory().fetch(from, to);
    }

    /// The segment writer has put everything before `to` into a file: `sequence` event records of this claim.
    pub(crate) fn release(&self, to: u64, sequence: u64) {
        self.memory().word(layout::SEQUENCE_AT_TAIL).store(sequence, Ordering::Relaxed);
        self.cursor().release(to);
    }

    /// The counter words of one loss reason.
    pub(crate) fn lost(&self, reason: usize) -> &AtomicU64 {
        self.memory().word(layout::LOST + reason * 8)
    }

    /// The counters as they are now; `delivered` and `position` as of what the drain has read.
    pub(crate) fn counters(&self, is_final: bool) -> RingCounters {
        let view = self.drain.lock();
        let mut lost = [0; 8];
        for (reason, count) in lost.iter_mut().enumerate() {
            *count = self.lost(reason).load(Ordering::Relaxed);
        }
        let mut attempted = self.memory().word(layout::ATTEMPTED).load(Ordering::Relaxed);
        if self.memory().has_lost_header() || view.seen.is_over || attempted < view.seen.attempted {
            // The header's counts began again at zero; what it had is known as of the drain's last look.
            attempted += view.seen.attempted;
            lost.iter_mut().zip(view.seen.lost).for_each(|(now, seen)| *now += seen);
        }
        lost[LossReason::Nested as usize] += self.interrupted.load(Ordering::Relaxed);
        // The header's count is without attempts that were refused inside another (FORMAT.md section 5).
        let inside = lost[LossReason::Nested as usize] + lost[LossReason::Signal as usize];
        let attempted = attempted + inside;
        if self.is_broken() {
            // Nothing more is delivered of it.
            let told = view.sequence + lost.iter().sum::<u64>();
            lost[LossReason::Other as usize] += attempted.saturating_sub(told);
        }
        RingCounters {
            ring: self.id(),
            is_final,
            position: view.read,
            attempted,
            delivered: view.sequence,
            lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thread_is_told_once_and_for_its_own_claim() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let ring = Ring::create(&file, "ring-000001".into(), 64 * 1024, Arc::default()).unwrap();
        assert!(!ring.has_ended(), "nobody's");
        for id in 1..4 {
            ring.claim(RingInfo { ring: id, ..RingInfo::default() }, [0; 16], std::ptr::null_mut());
            assert!(!ring.has_ended(), "claim {id}: its thread lives, though the one before is gone");
            life::end(&ring.thread_gone);
            assert!(ring.has_ended());
            ring.drain.lock().finished = true;
            ring.set_closing();
            assert!(!ring.has_ended(), "told already");
            ring.set_free();
            assert!(!ring.has_ended(), "free");
        }
    }
}
