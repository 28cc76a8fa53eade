//! The engine's protocol files on plain memory: rounds of a session each, in which two threads emit, end and begin again
//! while a drain reads, frees, serves flushes, and closes.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracewell_schema::format::record::LossReason;

use crate::cursor::{self, Cursor, Room};
use crate::orphans::Orphans;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::{gate, life, sequence, ticket};

const CAPACITY: u64 = 1024;
const RINGS: usize = 3;
const ROUND: Duration = Duration::from_millis(20);

struct View {
    read: u64,
    delivered: u64,
    finished: bool,
}

struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    state: AtomicU32,
    gone: AtomicBool,
    view: Mutex<View>,
    slot: Mutex<Option<&'static AtomicU64>>,
    /// Plain: of the owner until it is gone or the session is quiet, then of the drain.
    counts: UnsafeCell<[u64; 2]>,
    data: UnsafeCell<Vec<u8>>,
}

// SAFETY: that the cells are used by one thread at a time is what ThreadSanitizer checks here.
unsafe impl Sync for Ring {}

impl Ring {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            state: AtomicU32::new(life::FREE),
            gone: AtomicBool::new(false),
            view: Mutex::new(View { read: 0, delivered: 0, finished: true }),
            slot: Mutex::new(None),
            counts: UnsafeCell::new([0; 2]),
            data: UnsafeCell::new(vec![0; CAPACITY as usize]),
        }
    }

    fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.head, &self.tail)
    }

    fn bytes(&self, at: u64, len: u64) -> *mut [u8] {
        assert!(at % CAPACITY + len <= CAPACITY);
        // SAFETY: the range is inside the vector (asserted), which is never made longer; no reference to it is made.
        let start = unsafe { (*self.data.get()).as_mut_ptr().add((at % CAPACITY) as usize) };
        std::ptr::slice_from_raw_parts_mut(start, len as usize)
    }

    fn count(&self, which: usize) {
        // SAFETY: see `counts`.
        unsafe { (*self.counts.get())[which] += 1 };
    }

    /// One record of `len` bytes: its length in the first, and the same in all others.
    fn put(&self, head: &mut u64, len: u64, relaxed: bool) {
        self.count(0);
        match cursor::room(*head, self.cursor().released(), CAPACITY, len) {
            Room::Here => {}
            Room::AfterPad(pad) => {
                // SAFETY: the room is there, and nobody reads it before the commit.
                unsafe { (*self.bytes(*head, 8))[0] = 0 };
                *head += pad;
                self.commit(*head, relaxed);
            }
            Room::Full => return self.count(1),
        }
        // SAFETY: as above.
        unsafe { (*self.bytes(*head, len)).fill(len as u8) };
        *head += len;
        self.commit(*head, relaxed);
    }

    fn commit(&self, end: u64, relaxed: bool) {
        if relaxed {
            self.head.store(end, Ordering::Relaxed);
        } else {
            self.cursor().commit(end);
        }
    }

    /// Reads and releases what is committed.
    fn drain(&self) {
        let head = self.cursor().committed();
        let mut view = self.view.lock();
        while view.read < head {
            // SAFETY: committed, and not released.
            let len = u64::from(unsafe { (*self.bytes(view.read, 8))[0] });
            if len == 0 {
                view.read = (view.read & !(CAPACITY - 1)) + CAPACITY;
                continue;
            }
            // SAFETY: as above.
            let is_whole = unsafe { (*self.bytes(view.read, len)).iter().all(|b| u64::from(*b) == len) };
            assert!(is_whole, "a torn record");
            view.read += len;
            view.delivered += 1;
        }
        self.cursor().release(view.read);
    }

    /// The claim is over: its counts add up.
    fn tell(&self) {
        let delivered = self.view.lock().delivered;
        // SAFETY: see `counts`.
        let [attempted, lost] = unsafe { *self.counts.get() };
        assert_eq!(attempted, delivered + lost, "a claim that does not add up");
    }
}

struct Process {
    tracer: AtomicU64,
    session: Mutex<Option<u64>>,
    rings: Vec<Ring>,
    asked: AtomicU64,
    served: AtomicU64,
    orphans: Orphans,
    told: [AtomicU64; 8],
    generation: AtomicU64,
    page: [AtomicU64; 4],
}

/// Emits, in lives of some hundred records, until the session is over; flushes now and then. Gives how many emits found
/// no ring.
fn emitter(process: &Process, lane: u64, relaxed: bool) -> u64 {
    let (mut refused, mut number) = (0, lane);
    loop {
        // Never freed, as the engine's. (The end of an `Arc` is a fence, which ThreadSanitizer does not know.)
        let slot: &'static AtomicU64 = Box::leak(Box::default());
        let ring = {
            let session = process.session.lock();
            let Some(epoch) = *session else { return refused };
            let free = process.rings.iter().find(|ring| life::state(&ring.state) == life::FREE);
            let Some(ring) = free else {
                process.orphans.count(LossReason::NoRing);
                refused += 1;
                drop(session);
                std::thread::yield_now();
                continue;
            };
            // `Ring::claim`.
            let start = ring.cursor().committed();
            // SAFETY: see `counts`; the ring is free, so nobody else has it.
            unsafe { *ring.counts.get() = [0; 2] };
            life::begin(&ring.gone);
            *ring.view.lock() = View { read: start, delivered: 0, finished: false };
            *ring.slot.lock() = Some(slot);
            slot.store(epoch, Ordering::Relaxed);
            life::activate(&ring.state);
            ring
        };
        let mut head = ring.cursor().committed();
        for _ in 0..300 {
            let Some(epoch) = gate::enter(slot, &process.tracer) else { return refused };
            number += 7;
            ring.put(&mut head, 8 + number % 13 * 8, relaxed);
            gate::leave(slot, epoch);
        }
        if number % 5 == 0 {
            let ticket = ticket::ask(&process.asked);
            while process.served.load(Ordering::Acquire) < ticket && process.session.lock().is_some() {
                std::thread::yield_now();
            }
        }
        let seen = sequence::read(&process.generation, || {
            process.page.each_ref().map(|w| w.load(Ordering::Relaxed))
        });
        assert!(seen.is_none_or(|words| words.iter().all(|word| *word == words[0])), "half a change");
        life::end(&ring.gone);
    }
}

fn pass(process: &Process) {
    for ring in process.rings.iter().filter(|ring| life::state(&ring.state) != life::FREE) {
        let ended = life::has_ended(ring.view.lock().finished, &ring.gone);
        ring.drain();
        if ended {
            ring.view.lock().finished = true;
            life::close(&ring.state);
            ring.tell();
            life::free(&ring.state);
        }
    }
}

/// The drain of one session, and its end.
fn drain(process: &Process, epoch: u64) {
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let ticket = ticket::newest(&process.asked);
        pass(process);
        process.served.store(ticket, Ordering::Release);
        sequence::change(&process.generation, |generation| {
            process.page.iter().for_each(|word| word.store(generation, Ordering::Relaxed));
        });
        process.orphans.take(&process.told);
    }
    {
        let mut session = process.session.lock();
        gate::retire(&process.tracer, epoch);
        *session = None;
    }
    membarrier();
    for ring in &process.rings {
        let slot = *ring.slot.lock();
        while slot.is_some_and(gate::is_busy) {
            std::thread::yield_now();
        }
    }
    pass(process);
    for ring in &process.rings {
        if life::state(&ring.state) != life::FREE {
            ring.tell();
        }
        // Unmapped.
        // SAFETY: nobody is inside an emit any more, which ThreadSanitizer checks.
        unsafe { (*ring.data.get()).fill(0xff) };
    }
    process.orphans.take(&process.told);
}

fn membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    for command in [REGISTER_PRIVATE_EXPEDITED, PRIVATE_EXPEDITED] {
        // SAFETY: membarrier takes no pointers.
        let rc = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
        assert_eq!(rc, 0, "membarrier: {}", std::io::Error::last_os_error());
    }
}

pub(crate) fn run(time: Duration, relaxed: bool) {
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < time {
        rounds += 1;
        let process = Arc::new(Process {
            tracer: AtomicU64::new(rounds),
            session: Mutex::new(Some(rounds)),
            rings: (0..RINGS).map(|_| Ring::new()).collect(),
            asked: AtomicU64::new(0),
            served: AtomicU64::new(0),
            orphans: Orphans::default(),
            told: std::array::from_fn(|_| AtomicU64::new(0)),
            generation: AtomicU64::new(0),
            page: std::array::from_fn(|_| AtomicU64::new(0)),
        });
        // Not a scope: it ends by what ThreadSanitizer does not see.
        let emitters: Vec<_> = (0..2)
            .map(|lane| {
                let process = Arc::clone(&process);
                std::thread::spawn(move || emitter(&process, lane, relaxed))
            })
            .collect();
        let theirs = Arc::clone(&process);
        let drain = std::thread::spawn(move || drain(&theirs, rounds));
        let refused: u64 = emitters.into_iter().map(|thread| thread.join().expect("an emitter")).sum();
        drain.join().expect("the drain");
        process.orphans.take(&process.told);
        let told: u64 = process.told.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(told, refused, "losses without a ring");
    }
    println!("race: {rounds} rounds of the protocol{}", if relaxed { ", its commit Relaxed" } else { "" });
}
