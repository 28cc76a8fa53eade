//! A session ends while threads emit, begin to emit, or begin the next session (`state.rs`, "Closing"): what was
//! committed is drained, what was attempted is counted, and nobody touches a ring that is gone.

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64 as Plain64;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::sync::{AtomicU64, Barred, Ordering, WithMembarrier, by_membarrier, full_barrier, membarrier};
use crate::{cursor::Cursor, gate, model};

/// A ring that only counts.
struct Mapped {
    head: AtomicU64,
    tail: AtomicU64,
    attempted: Plain64,
    map: UnsafeCell<u64>,
}

impl Mapped {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            attempted: Plain64::new(0),
            map: UnsafeCell::new(0),
        }
    }

    fn put(&self) {
        self.attempted.store(self.attempted.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.map.with_mut(|p| {
            // SAFETY: loom checks that nobody else touches it meanwhile.
            unsafe { *p += 1 }
        });
        let cursor = Cursor::new(&self.head, &self.tail);
        cursor.commit(self.head.load(Ordering::Relaxed) + 1);
    }

    /// Drains, tells the last counts, unmaps: nobody is to be inside any more.
    fn unmap(&self, events: u64) {
        assert_eq!(Cursor::new(&self.head, &self.tail).committed(), events, "all that was committed");
        assert_eq!(self.attempted.load(Ordering::Relaxed), events, "all that was attempted");
        self.map.with_mut(|p| {
            // SAFETY: as in `put`.
            unsafe { *p = 0 }
        });
    }
}

#[derive(Clone, Copy, Default)]
struct Otherwise {
    no_barrier: bool,
    no_wait: bool,
    no_retire: bool,
    /// The producer asks whether the session stands before it takes its lock.
    early_look: bool,
}

fn quiesce(slot: &AtomicU64, otherwise: Otherwise) {
    match (otherwise.no_barrier, by_membarrier()) {
        (true, _) => {}
        (false, true) => membarrier(),
        (false, false) => full_barrier(),
    }
    while !otherwise.no_wait && gate::is_busy(slot) {
        thread::yield_now();
    }
}

/// Emits of a thread that has its ring.
fn running(otherwise: Otherwise) {
    let tracer = Arc::new(AtomicU64::new(7));
    let slot = Arc::new(AtomicU64::new(7));
    let ring = Arc::new(Mapped::new());
    let (t, s, r) = (Arc::clone(&tracer), Arc::clone(&slot), Arc::clone(&ring));
    let producer = thread::spawn(move || {
        let _barred = by_membarrier().then(Barred::new);
        let mut events = 0;
        for _ in 0..2 {
            if let Some(epoch) = gate::enter(&s, &t) {
                r.put();
                gate::leave(&s, epoch);
                events += 1;
            }
        }
        events
    });
    if !otherwise.no_retire {
        gate::retire(&tracer, 7);
    }
    quiesce(&slot, otherwise);
    let committed = ring.head.load(Ordering::Relaxed);
    ring.unmap(committed);
    assert_eq!(producer.join().unwrap(), committed, "none after the end");
}

/// The first emit of a thread: under the session's lock it gets a ring, which the closer then knows of.
fn beginning(otherwise: Otherwise) {
    let tracer = Arc::new(AtomicU64::new(7));
    let slot = Arc::new(AtomicU64::new(0));
    let ring = Arc::new(Mapped::new());
    let session = Arc::new(Mutex::new(Some(7)));
    let rings = Arc::new(Mutex::new(false));
    let (t, s, r) = (Arc::clone(&tracer), Arc::clone(&slot), Arc::clone(&ring));
    let (theirs, known) = (Arc::clone(&session), Arc::clone(&rings));
    let producer = thread::spawn(move || {
        let early = otherwise.early_look.then(|| *theirs.lock().unwrap());
        {
            let session = theirs.lock().unwrap();
            if early.unwrap_or(*session) != Some(7) {
                return 0;
            }
            *known.lock().unwrap() = true;
            s.store(7, Ordering::Relaxed);
        }
        let Some(epoch) = gate::enter(&s, &t) else { return 0 };
        r.put();
        gate::leave(&s, epoch);
        1
    });
    if !otherwise.no_retire {
        gate::retire(&tracer, 7);
    }
    session.lock().unwrap().take();
    let known = *rings.lock().unwrap();
    if known {
        quiesce(&slot, otherwise);
    }
    let committed = ring.head.load(Ordering::Relaxed);
    ring.unmap(committed);
    assert_eq!(producer.join().unwrap(), committed, "none after the end");
}

/// One session is closed while the next begins: `Inner::retire_epoch` against `Inner::begin`.
fn next(retire: fn(&AtomicU64, u64)) {
    let tracer = Arc::new(AtomicU64::new(1));
    let session = Arc::new(Mutex::new(Some(1)));
    let (t, theirs) = (Arc::clone(&tracer), Arc::clone(&session));
    let beginner = thread::spawn(move || {
        // The former session was told to stop, so a new one is made whatever its epoch says.
        let mut session = theirs.lock().unwrap();
        *session = Some(2);
        t.store(2, Ordering::Relaxed);
    });
    {
        let mut session = session.lock().unwrap();
        retire(&tracer, 1);
        if *session == Some(1) {
            *session = None;
        }
    }
    beginner.join().unwrap();
    assert_eq!(*session.lock().unwrap(), Some(2));
    assert_eq!(tracer.load(Ordering::Relaxed), 2, "the next session's emits are let in");
}

/// A session that is over when it begins: its drain is started, and finds tracing switched off, before the tracer has its
/// epoch (`Inner::begin`).
fn over_at_once(retired_before_the_lock: bool) {
    let tracer = Arc::new(AtomicU64::new(gate::NO_SESSION));
    let slot = Arc::new(AtomicU64::new(0));
    let ring = Arc::new(Mapped::new());
    // The present session, and whether it has a ring.
    let session = Arc::new(Mutex::new((Some(7), false)));
    let closer = {
        let _session = session.lock().unwrap();
        let (t, s, r) = (Arc::clone(&tracer), Arc::clone(&slot), Arc::clone(&ring));
        let theirs = Arc::clone(&session);
        let closer = thread::spawn(move || {
            if retired_before_the_lock {
                gate::retire(&t, 7);
            }
            let has_ring = {
                let mut session = theirs.lock().unwrap();
                if !retired_before_the_lock {
                    gate::retire(&t, 7);
                }
                session.0 = None;
                session.1
            };
            if has_ring {
                quiesce(&s, Otherwise::default());
            }
            let committed = r.head.load(Ordering::Relaxed);
            r.unmap(committed);
            committed
        });
        tracer.store(7, Ordering::Relaxed);
        closer
    };
    let has_ring = {
        let mut session = session.lock().unwrap();
        session.1 = session.0.is_some();
        if session.1 {
            slot.store(7, Ordering::Relaxed);
        }
        session.1
    };
    let mut events = 0;
    for _ in 0..2 {
        if has_ring && let Some(epoch) = gate::enter(&slot, &tracer) {
            ring.put();
            gate::leave(&slot, epoch);
            events += 1;
        }
    }
    assert_eq!(closer.join().unwrap(), events, "none after the end");
}

pub(crate) fn as_it_begins() {
    model(|| over_at_once(false));
}

#[test]
fn a_session_closes_as_it_begins() {
    as_it_begins();
}

#[test]
#[should_panic]
fn mutant_retired_before_the_lock() {
    model(|| over_at_once(true));
}

pub(crate) fn while_emitting() {
    model(|| running(Otherwise::default()));
}

/// As [`while_emitting`], with a barrier that the producer passes anywhere, and no fence of its own: what the processors
/// that `membarrier` was made for may do.
pub(crate) fn closed_by_membarrier() {
    let _with = WithMembarrier::new();
    model(|| running(Otherwise::default()));
}

pub(crate) fn while_beginning() {
    model(|| beginning(Otherwise::default()));
}

pub(crate) fn while_the_next_begins() {
    model(|| next(gate::retire));
}

#[test]
fn a_session_closes_while_emits_run() {
    while_emitting();
}

#[test]
fn a_session_closes_by_membarrier_alone() {
    closed_by_membarrier();
}

#[test]
#[should_panic]
fn mutant_membarrier_left_out() {
    let _with = WithMembarrier::new();
    model(|| running(Otherwise { no_barrier: true, ..Otherwise::default() }));
}

#[test]
fn a_session_closes_while_a_thread_gets_its_ring() {
    while_beginning();
}

#[test]
fn a_session_closes_while_the_next_begins() {
    while_the_next_begins();
}

#[test]
#[should_panic]
fn mutant_close_without_barrier() {
    model(|| running(Otherwise { no_barrier: true, ..Otherwise::default() }));
}

#[test]
#[should_panic]
fn mutant_close_without_waiting() {
    model(|| running(Otherwise { no_wait: true, ..Otherwise::default() }));
}

#[test]
#[should_panic]
fn mutant_close_without_retiring() {
    model(|| running(Otherwise { no_retire: true, ..Otherwise::default() }));
}

#[test]
#[should_panic]
fn mutant_a_ring_after_the_end() {
    model(|| beginning(Otherwise { early_look: true, no_retire: true, ..Otherwise::default() }));
}

#[test]
#[should_panic]
fn mutant_the_next_session_retired_too() {
    model(|| next(|tracer, _| tracer.store(gate::NO_SESSION, Ordering::Relaxed)));
}
