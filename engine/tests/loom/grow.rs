//! A ring gets its pages while its thread emits: no store may go to a page that is not there.

use std::convert::Infallible;

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::cursor::{self, Cursor, Room};
use crate::model;
use crate::sync::{AtomicU64, Ordering};

const CAPACITY: u64 = 32;
const STEP: u64 = 8;

struct Growing {
    head: AtomicU64,
    tail: AtomicU64,
    ready: AtomicU64,
    growing: Mutex<()>,
    /// The kernel's account of the address space: pages are there or not, for every thread alike.
    pages: Mutex<[bool; (CAPACITY / STEP) as usize]>,
}

type Grow = fn(&Growing, u64);

impl Growing {
    fn populate(&self, from: u64, to: u64) -> Result<(), Infallible> {
        let mut pages = self.pages.lock().unwrap();
        for page in from / STEP..to / STEP {
            pages[page as usize] = true;
        }
        Ok(())
    }

    /// `Ring::grow`.
    fn grow(&self, to: u64) {
        let _one_at_a_time = self.growing.lock().unwrap();
        cursor::grow(&self.ready, to, CAPACITY, STEP, |from, to| self.populate(from, to)).unwrap();
    }

    fn put(&self, at: u64) {
        assert!(self.pages.lock().unwrap()[(at / STEP) as usize], "a fault at {at}");
    }
}

/// Three records in the first lap. The drain looks, and adds what is wanted, as `Ring::grow_ahead`.
fn grow(grow: Grow) {
    let ring = Arc::new(Growing {
        head: AtomicU64::new(0),
        tail: AtomicU64::new(0),
        ready: AtomicU64::new(STEP),
        growing: Mutex::new(()),
        pages: Mutex::new([true, false, false, false]),
    });
    let theirs = Arc::clone(&ring);
    let producer = thread::spawn(move || {
        let ring = &*theirs;
        let cursor = Cursor::new(&ring.head, &ring.tail);
        let (mut head, mut most) = (0, STEP);
        let mut limit = cursor::limit(0, 0, CAPACITY, STEP, false);
        for _ in 0..3 {
            if head + 8 > limit {
                // `emit::place`.
                let tail = cursor.released();
                assert_eq!(cursor::room(head, tail, CAPACITY, 8), Room::Here);
                if head + 8 > ring.ready.load(Ordering::Relaxed) {
                    grow(ring, head + 8);
                }
                let ready = ring.ready.load(Ordering::Relaxed);
                assert!(ready >= most && ready >= head + 8, "{ready} after {most}");
                most = ready;
                limit = cursor::limit(head, tail, CAPACITY, ready, true).max(head + 8);
            }
            ring.put(head);
            head += 8;
            cursor.commit(head);
        }
    });
    for _ in 0..2 {
        let head = Cursor::new(&ring.head, &ring.tail).committed();
        let ready = ring.ready.load(Ordering::Relaxed);
        if cursor::wants_growth(head, ready, CAPACITY) {
            grow(&ring, (ready * 2).min(CAPACITY));
        }
    }
    producer.join().unwrap();
}

pub(crate) fn first_lap() {
    model(|| grow(Growing::grow));
}

#[test]
fn a_ring_grows_under_its_thread() {
    first_lap();
}

#[test]
#[should_panic]
fn mutant_ready_before_the_pages() {
    model(|| {
        grow(|ring, to| {
            let _one_at_a_time = ring.growing.lock().unwrap();
            let before = ring.ready.load(Ordering::Relaxed);
            if before < to {
                ring.ready.store(to, Ordering::Relaxed);
                ring.populate(before, to).unwrap();
            }
        });
    });
}

#[test]
#[should_panic]
fn mutant_two_grow_at_once() {
    model(|| {
        grow(|ring, to| {
            cursor::grow(&ring.ready, to, CAPACITY, STEP, |from, to| ring.populate(from, to)).unwrap();
        });
    });
}
