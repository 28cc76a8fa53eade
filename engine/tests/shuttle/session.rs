//! A session of the process: its rings, its drain, its segment writer.

use shuttle::sync::mpsc::{Receiver, Sender};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use tracewell_schema::format::record::LossReason;

use crate::cursor::{self, Cursor, Room};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::tracer::{Otherwise, Tracer};
use crate::{gate, life, ticket};

/// Words: two records, so that laps, pads and full rings are common.
const SLOTS: usize = 4;
const CAPACITY: u64 = SLOTS as u64 * 8;
const PAD: u64 = u64::MAX;
/// Rings of a session: fewer than threads and their successors together.
const RINGS: usize = 2;

#[derive(Default)]
pub(crate) struct View {
    claim: u32,
    read: u64,
    delivered: u64,
    finished: bool,
}

pub(crate) struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    data: [AtomicU64; SLOTS],
    state: AtomicU32,
    pub(crate) gone: AtomicBool,
    view: Mutex<View>,
    slot: Mutex<Option<Arc<AtomicU64>>>,
    attempted: AtomicU64,
    lost: AtomicU64,
    mapped: AtomicBool,
}

impl Ring {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: std::array::from_fn(|_| AtomicU64::new(0)),
            state: AtomicU32::new(life::FREE),
            gone: AtomicBool::new(false),
            view: Mutex::new(View { finished: true, ..View::default() }),
            slot: Mutex::new(None),
            attempted: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            mapped: AtomicBool::new(true),
        }
    }

    fn cursor(&self) -> Cursor<'_> {
        assert!(self.mapped.load(Ordering::Relaxed), "a ring that is gone");
        Cursor::new(&self.head, &self.tail)
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        &self.data[(at % CAPACITY / 8) as usize]
    }

    /// An emit of the owner: one record of two words. Whether it was delivered.
    pub(crate) fn put(&self, value: u64) -> bool {
        let cursor = self.cursor();
        let add = |word: &AtomicU64| word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        add(&self.attempted);
        let mut head = self.head.load(Ordering::Relaxed);
        match cursor::room(head, cursor.released(), CAPACITY, 16) {
            Room::Here => {}
            Room::AfterPad(pad) => {
                self.word(head).store(PAD, Ordering::Relaxed);
                head += pad;
                cursor.commit(head);
            }
            Room::Full => {
                add(&self.lost);
                return false;
            }
        }
        self.word(head).store(value, Ordering::Relaxed);
        self.word(head + 8).store(!value, Ordering::Relaxed);
        self.cursor().commit(head + 16);
        true
    }

    /// `Ring::claim`.
    fn claim(&self, claim: u32, slot: &Arc<AtomicU64>) {
        assert_eq!(life::state(&self.state), life::FREE, "claimed twice");
        let start = self.cursor().committed();
        self.attempted.store(0, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
        life::begin(&self.gone);
        *self.view.lock().unwrap() = View { claim, read: start, delivered: 0, finished: false };
        *self.slot.lock().unwrap() = Some(Arc::clone(slot));
        life::activate(&self.state);
    }
}

/// What goes to the segment writer.
pub(crate) enum Job {
    Data { ring: Arc<Ring>, claim: u32, values: Vec<u64>, to: u64 },
    RingEnd(Arc<Ring>),
    Flush(u64),
    Close,
}

/// Counts of one claim.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) claim: u32,
    pub(crate) attempted: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
}

#[derive(Default)]
pub(crate) struct Segments {
    pub(crate) events: Vec<(u32, u64)>,
    pub(crate) told: Vec<Told>,
}

pub(crate) struct State {
    pub(crate) epoch: u64,
    pub(crate) session: u64,
    rings: Mutex<Vec<Arc<Ring>>>,
    jobs: Mutex<Sender<Job>>,
    asked: AtomicU64,
    served: AtomicU64,
    closed: AtomicBool,
    pub(crate) segments: Mutex<Segments>,
}

impl State {
    pub(crate) fn new(epoch: u64, session: u64, jobs: Sender<Job>) -> Self {
        Self {
            epoch,
            session,
            rings: Mutex::default(),
            jobs: Mutex::new(jobs),
            asked: AtomicU64::new(0),
            served: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            segments: Mutex::default(),
        }
    }

    /// `State::claim`: a free ring, or a new one within the budget.
    pub(crate) fn claim(&self, claim: u32, slot: &Arc<AtomicU64>) -> Option<Arc<Ring>> {
        let ring = {
            let mut rings = self.rings.lock().unwrap();
            match rings.iter().find(|ring| life::state(&ring.state) == life::FREE) {
                Some(free) => Arc::clone(free),
                None if rings.len() < RINGS => {
                    rings.push(Arc::new(Ring::new()));
                    Arc::clone(rings.last()?)
                }
                None => return None,
            }
        };
        ring.claim(claim, slot);
        Some(ring)
    }

    /// `State::flush_until`, without a deadline.
    pub(crate) fn flush(&self) {
        let ticket = ticket::ask(&self.asked);
        while self.served.load(Ordering::Acquire) < ticket && !self.closed.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }

    fn send(&self, job: Job) {
        self.jobs.lock().unwrap().send(job).unwrap();
    }

    fn pass(&self, otherwise: Otherwise) {
        let rings = self.rings.lock().unwrap().clone();
        for ring in rings {
            if life::state(&ring.state) != life::FREE {
                self.drain_ring(&ring, otherwise);
            }
        }
    }

    fn drain_ring(&self, ring: &Arc<Ring>, otherwise: Otherwise) {
        let early = otherwise.mutant_head_before_the_end.then(|| ring.cursor().committed());
        let gone = {
            let view = ring.view.lock().unwrap();
            life::has_ended(view.finished && !otherwise.mutant_told_twice, &ring.gone)
        };
        let head = early.unwrap_or_else(|| ring.cursor().committed());
        let (read, claim) = {
            let view = ring.view.lock().unwrap();
            (view.read, view.claim)
        };
        if head > read {
            if otherwise.mutant_released_before_it_is_read {
                ring.cursor().release(head);
            }
            let (mut at, mut values) = (read, Vec::new());
            while at < head {
                let value = ring.word(at).load(Ordering::Relaxed);
                if value == PAD {
                    at = (at & !(CAPACITY - 1)) + CAPACITY;
                    continue;
                }
                assert_eq!(ring.word(at + 8).load(Ordering::Relaxed), !value, "a torn record");
                values.push(value);
                at += 16;
            }
            let mut view = ring.view.lock().unwrap();
            view.read = at;
            view.delivered += values.len() as u64;
            drop(view);
            self.send(Job::Data { ring: Arc::clone(ring), claim, values, to: at });
        }
        if gone {
            ring.view.lock().unwrap().finished = true;
            life::close(&ring.state);
            self.send(Job::RingEnd(Arc::clone(ring)));
        }
    }

    fn tell(&self, ring: &Ring) {
        let view = ring.view.lock().unwrap();
        let told = Told {
            claim: view.claim,
            attempted: ring.attempted.load(Ordering::Relaxed),
            delivered: view.delivered,
            lost: ring.lost.load(Ordering::Relaxed),
        };
        drop(view);
        self.segments.lock().unwrap().told.push(told);
    }
}

/// `tracewell-write`.
pub(crate) fn write(tracer: &Tracer, state: &State, inbox: &Receiver<Job>, otherwise: Otherwise) {
    loop {
        match inbox.recv().unwrap() {
            Job::Data { ring, claim, values, to } => {
                let mut segments = state.segments.lock().unwrap();
                segments.events.extend(values.into_iter().map(|value| (claim, value)));
                drop(segments);
                ring.cursor().release(to);
            }
            Job::RingEnd(ring) => {
                if otherwise.mutant_freed_before_it_is_told {
                    life::free(&ring.state);
                }
                state.tell(&ring);
                life::free(&ring.state);
            }
            Job::Flush(ticket) => state.served.store(ticket, Ordering::Release),
            Job::Close => {
                for ring in state.rings.lock().unwrap().iter() {
                    if life::state(&ring.state) != life::FREE {
                        state.tell(ring);
                    }
                }
                tracer.orphans.take(&tracer.told);
                return;
            }
        }
    }
}

/// `tracewell-drain`.
pub(crate) fn drain(tracer: &Tracer, state: &State, writer: thread::JoinHandle<()>, otherwise: Otherwise) {
    let mut asked = 0;
    loop {
        if otherwise.mutant_rings_before_the_ticket {
            state.pass(otherwise);
        }
        let ticket = ticket::newest(&state.asked);
        if !otherwise.mutant_rings_before_the_ticket {
            state.pass(otherwise);
        }
        if ticket != asked {
            asked = ticket;
            state.send(Job::Flush(ticket));
        }
        if tracer.on.load(Ordering::Relaxed) != state.session {
            break;
        }
        thread::yield_now();
    }
    tracer.retire_epoch(state.epoch, otherwise);
    if !otherwise.mutant_unmapped_without_waiting {
        for ring in state.rings.lock().unwrap().iter() {
            let slot = ring.slot.lock().unwrap().clone();
            while slot.as_ref().is_some_and(|slot| gate::is_busy(slot)) {
                thread::yield_now();
            }
        }
    }
    state.pass(otherwise);
    state.send(Job::Close);
    writer.join().unwrap();
    for ring in state.rings.lock().unwrap().iter() {
        ring.mapped.store(false, Ordering::Relaxed);
    }
    state.closed.store(true, Ordering::Release);
}

/// Counts what belongs to no ring.
pub(crate) fn orphan(tracer: &Tracer, reason: LossReason) -> bool {
    tracer.orphans.count(reason);
    false
}
