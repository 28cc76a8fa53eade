//! Models of the ring's protocol: every interleaving that the memory model allows, of the very file that the engine
//! compiles. Run by `ci/loom.sh` (`RUSTFLAGS="--cfg loom" cargo test -p tracewell --test loom --release`).
//!
//! The bytes are loom cells, so an index stored or loaded with too weak an order is a reported data race. The
//! `mutant_*` tests weaken one order each and must fail.
#![cfg(loom)]

#[path = "../src/ring/cursor.rs"]
#[allow(dead_code, unreachable_pub)]
mod cursor;

#[allow(unused_imports)]
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;

use cursor::{Cursor, Room};

/// Slots of eight bytes; small, so that every run wraps.
const SLOTS: usize = 4;
const CAPACITY: u64 = SLOTS as u64 * 8;
/// What a pad writes into its first slot.
const PAD: u64 = u64::MAX;

struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    data: [UnsafeCell<u64>; SLOTS],
}

impl Ring {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: std::array::from_fn(|_| UnsafeCell::new(0)),
        }
    }

    fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.head, &self.tail)
    }

    fn put(&self, at: u64, value: u64) {
        self.data[(at % CAPACITY / 8) as usize].with_mut(|p| {
            // SAFETY: loom checks that this access is exclusive; that is what the model is about.
            unsafe { *p = value }
        });
    }

    fn get(&self, at: u64) -> u64 {
        self.data[(at % CAPACITY / 8) as usize].with(|p| {
            // SAFETY: loom checks that no write happens meanwhile.
            unsafe { *p }
        })
    }
}

/// The producer's side as in `emit.rs`: cached limit, tail only when it does not suffice. Records of two slots.
struct Producer {
    head: u64,
    limit: u64,
}

impl Producer {
    fn new(head: u64, tail: u64) -> Self {
        Self { head, limit: cursor::limit(head, tail, CAPACITY, CAPACITY, true) }
    }

    fn emit(&mut self, ring: &Ring, value: u64, commit: impl Fn(&Ring, u64)) -> bool {
        if self.head + 16 > self.limit {
            let tail = ring.cursor().released();
            match cursor::room(self.head, tail, CAPACITY, 16) {
                Room::Here => {}
                Room::AfterPad(pad) => {
                    ring.put(self.head, PAD);
                    self.head += pad;
                    commit(ring, self.head);
                }
                Room::Full => return false,
            }
            self.limit = cursor::limit(self.head, tail, CAPACITY, CAPACITY, true).max(self.head + 16);
        }
        ring.put(self.head, value);
        ring.put(self.head + 8, value + 100);
        self.head += 16;
        commit(ring, self.head);
        true
    }
}

/// The drain: reads what is committed, then releases it. Returns what it read.
fn drain(ring: &Ring, read: &mut u64, release: impl Fn(&Ring, u64)) -> Vec<u64> {
    let head = ring.cursor().committed();
    let mut out = Vec::new();
    while *read < head {
        let first = ring.get(*read);
        if first == PAD {
            *read = (*read & !(CAPACITY - 1)) + CAPACITY;
            continue;
        }
        assert_eq!(ring.get(*read + 8), first + 100, "a torn record");
        out.push(first);
        *read += 16;
    }
    release(ring, *read);
    out
}

fn commit(ring: &Ring, end: u64) {
    ring.cursor().commit(end);
}

fn release(ring: &Ring, to: u64) {
    ring.cursor().release(to);
}

/// One producer against one drain, twice round the ring, starting `offset` bytes in so that pads happen.
fn wrap(offset: u64, commit: fn(&Ring, u64), release: fn(&Ring, u64)) {
    let ring = Arc::new(Ring::new());
    ring.head.store(offset, Ordering::Relaxed);
    ring.tail.store(offset, Ordering::Relaxed);
    let theirs = Arc::clone(&ring);
    let producer = thread::spawn(move || {
        let mut producer = Producer::new(offset, offset);
        let mut done = Vec::new();
        for value in 1..=4 {
            if producer.emit(&theirs, value, commit) {
                done.push(value);
            }
        }
        done
    });
    let mut read = offset;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.extend(drain(&ring, &mut read, release));
        thread::yield_now();
    }
    let emitted = producer.join().unwrap();
    seen.extend(drain(&ring, &mut read, release));
    assert_eq!(seen, emitted, "each committed record exactly once, in order");
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn publish_and_consume_with_wrap() {
    model(|| wrap(0, commit, release));
}

#[test]
fn publish_and_consume_with_pad() {
    model(|| wrap(8, commit, release));
}

#[test]
#[should_panic]
fn mutant_head_stored_relaxed() {
    model(|| wrap(0, |ring, end| ring.head.store(end, Ordering::Relaxed), release));
}

#[test]
#[should_panic]
fn mutant_tail_stored_relaxed() {
    model(|| wrap(0, commit, |ring, to| ring.tail.store(to, Ordering::Relaxed)));
}

/// A ring passes from one thread to the next: gone (Release), drained, freed (Release), claimed (Acquire).
fn hand_over(gone: Ordering, freed: Ordering) {
    let ring = Arc::new(Ring::new());
    let state = Arc::new(AtomicU32::new(1));
    let (first_ring, first_state) = (Arc::clone(&ring), Arc::clone(&state));
    let first = thread::spawn(move || {
        let mut producer = Producer::new(0, 0);
        assert!(producer.emit(&first_ring, 1, commit));
        first_state.store(2, gone);
    });
    let (next_ring, next_state) = (Arc::clone(&ring), Arc::clone(&state));
    let second = thread::spawn(move || {
        if next_state.load(Ordering::Acquire) != 0 {
            return false;
        }
        let head = next_ring.head.load(Ordering::Relaxed);
        let mut producer = Producer::new(head, head);
        producer.emit(&next_ring, 2, commit) && producer.emit(&next_ring, 3, commit)
    });
    let mut read = 0;
    let mut seen = Vec::new();
    let is_gone = state.load(Ordering::Acquire) == 2;
    seen.extend(drain(&ring, &mut read, release));
    if is_gone {
        assert_eq!(seen, [1], "a thread that is gone has told its last head");
        state.store(0, freed);
    }
    first.join().unwrap();
    let reused = second.join().unwrap();
    seen.extend(drain(&ring, &mut read, release));
    assert_eq!(seen, if reused { vec![1, 2, 3] } else { vec![1] });
}

#[test]
fn a_ring_is_handed_over() {
    model(|| hand_over(Ordering::Release, Ordering::Release));
}

#[test]
#[should_panic]
fn mutant_thread_gone_stored_relaxed() {
    model(|| hand_over(Ordering::Relaxed, Ordering::Release));
}

#[test]
#[should_panic]
fn mutant_ring_freed_relaxed() {
    model(|| hand_over(Ordering::Release, Ordering::Relaxed));
}

/// Closing (`state.rs`): the epoch is retired, a barrier passes, busy producers are waited for; then the ring is
/// unmapped. `membarrier` is modelled by a sequentially consistent fence on both sides.
fn close(producer_fence: bool) {
    let epoch = Arc::new(AtomicU64::new(7));
    let busy = Arc::new(AtomicU32::new(0));
    let mapped = Arc::new(UnsafeCell::new(1_u64));
    let (e, b, m) = (Arc::clone(&epoch), Arc::clone(&busy), Arc::clone(&mapped));
    let producer = thread::spawn(move || {
        b.store(1, Ordering::Relaxed);
        if producer_fence {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
        if e.load(Ordering::Relaxed) == 7 {
            m.with_mut(|p| {
                // SAFETY: loom checks that the closer does not touch it meanwhile.
                unsafe { *p += 1 }
            });
        }
        b.store(0, Ordering::Release);
    });
    epoch.store(0, Ordering::SeqCst);
    loom::sync::atomic::fence(Ordering::SeqCst);
    while busy.load(Ordering::Acquire) != 0 {
        thread::yield_now();
    }
    mapped.with_mut(|p| {
        // SAFETY: as above.
        unsafe { *p = 0 }
    });
    producer.join().unwrap();
}

#[test]
fn a_session_closes_while_emits_run() {
    model(|| close(true));
}

#[test]
#[should_panic]
fn mutant_close_without_barrier() {
    model(|| close(false));
}
