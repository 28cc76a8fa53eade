//! Publish and consume: one producer against one drain, with laps and pads.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::cursor::{self, Cursor, Room};
use crate::model;
use crate::sync::{AtomicU64, Ordering};

/// Slots of eight bytes; few, so that every run wraps.
const SLOTS: usize = 4;
pub(crate) const CAPACITY: u64 = SLOTS as u64 * 8;
/// What a pad writes into its first slot.
const PAD: u64 = u64::MAX;

pub(crate) struct Ring {
    pub(crate) head: AtomicU64,
    pub(crate) tail: AtomicU64,
    data: [UnsafeCell<u64>; SLOTS],
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: std::array::from_fn(|_| UnsafeCell::new(0)),
        }
    }

    pub(crate) fn cursor(&self) -> Cursor<'_> {
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
pub(crate) struct Producer {
    head: u64,
    limit: u64,
}

impl Producer {
    pub(crate) fn new(head: u64, tail: u64) -> Self {
        Self { head, limit: cursor::limit(head, tail, CAPACITY, CAPACITY, true) }
    }

    pub(crate) fn emit(&mut self, ring: &Ring, value: u64, commit: impl Fn(&Ring, u64)) -> bool {
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
pub(crate) fn drain(ring: &Ring, read: &mut u64, release: impl Fn(&Ring, u64)) -> Vec<u64> {
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

pub(crate) fn commit(ring: &Ring, end: u64) {
    ring.cursor().commit(end);
}

pub(crate) fn release(ring: &Ring, to: u64) {
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

pub(crate) fn laps() {
    model(|| wrap(0, commit, release));
}

pub(crate) fn pads() {
    model(|| wrap(8, commit, release));
}

#[test]
fn publish_and_consume_with_wrap() {
    laps();
}

#[test]
fn publish_and_consume_with_pad() {
    pads();
}

#[test]
#[should_panic]
fn mutant_head_stored_before_the_bytes() {
    model(|| wrap(0, |ring, end| ring.cursor().commit(end + 16), release));
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
