//! The process: a tracer, the threads that emit, and who switches tracing off and on.

use shuttle::sync::mpsc::channel;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use tracewell_schema::format::record::LossReason;

use crate::gate;
use crate::life;
use crate::orphans::Orphans;
use crate::session::{self, Ring, State, orphan};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What mutants do otherwise.
#[derive(Clone, Copy, Default)]
pub(crate) struct Otherwise {
    pub(crate) mutant_unmapped_without_waiting: bool,
    pub(crate) mutant_not_retired: bool,
    pub(crate) mutant_retired_before_the_lock: bool,
    pub(crate) mutant_session_looked_at_too_early: bool,
    pub(crate) mutant_claimed_without_lock: bool,
    pub(crate) mutant_head_before_the_end: bool,
    pub(crate) mutant_told_twice: bool,
    pub(crate) mutant_freed_before_it_is_told: bool,
    pub(crate) mutant_rings_before_the_ticket: bool,
    pub(crate) mutant_released_before_it_is_read: bool,
}

#[derive(Default)]
struct Session {
    state: Option<Arc<State>>,
    drains: Vec<thread::JoinHandle<()>>,
}

pub(crate) struct Tracer {
    /// The session that the control page names; 0 = off.
    pub(crate) on: AtomicU64,
    pub(crate) epoch: AtomicU64,
    next_epoch: AtomicU64,
    next_claim: AtomicU32,
    session: Mutex<Session>,
    pub(crate) orphans: Orphans,
    /// Orphans that were told.
    pub(crate) told: [AtomicU64; 8],
    /// Every session there was, for the account at the end.
    all: Mutex<Vec<Arc<State>>>,
}

/// A thread of the component.
struct Emitter {
    slot: Arc<AtomicU64>,
    owned: Option<(Arc<State>, Arc<Ring>)>,
}

impl Drop for Emitter {
    fn drop(&mut self) {
        if let Some((_, ring)) = self.owned.take() {
            self.slot.store(0, Ordering::Relaxed);
            life::end(&ring.gone);
        }
    }
}

/// What became of an emit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Off,
    Delivered,
    Lost,
}

impl Tracer {
    fn new() -> Self {
        Self {
            on: AtomicU64::new(0),
            epoch: AtomicU64::new(gate::NO_SESSION),
            next_epoch: AtomicU64::new(1),
            next_claim: AtomicU32::new(1),
            session: Mutex::default(),
            orphans: Orphans::default(),
            told: std::array::from_fn(|_| AtomicU64::new(0)),
            all: Mutex::default(),
        }
    }

    /// `Inner::begin`.
    fn begin(self: &Arc<Self>, otherwise: Otherwise) -> Option<Arc<State>> {
        let mut session = self.session.lock().unwrap();
        if let Some(state) = &session.state
            && self.epoch.load(Ordering::Relaxed) == state.epoch
        {
            return Some(Arc::clone(state));
        }
        let number = self.on.load(Ordering::Relaxed);
        if number == 0 {
            return None;
        }
        let is_present = session.state.as_ref().is_some_and(|state| state.session == number);
        assert!(!is_present, "the emits of the present session are not let in");
        let (jobs, inbox) = channel();
        let epoch = self.next_epoch.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State::new(epoch, number, jobs));
        let (tracer, theirs) = (Arc::clone(self), Arc::clone(&state));
        let writer = thread::spawn(move || session::write(&tracer, &theirs, &inbox, otherwise));
        let (tracer, theirs) = (Arc::clone(self), Arc::clone(&state));
        let drain = thread::spawn(move || session::drain(&tracer, &theirs, writer, otherwise));
        session.drains.push(drain);
        session.state = Some(Arc::clone(&state));
        self.all.lock().unwrap().push(Arc::clone(&state));
        self.epoch.store(epoch, Ordering::Release);
        Some(state)
    }

    /// `Inner::retire_epoch`.
    pub(crate) fn retire_epoch(&self, epoch: u64, otherwise: Otherwise) {
        if otherwise.mutant_retired_before_the_lock {
            gate::retire(&self.epoch, epoch);
        }
        let mut session = self.session.lock().unwrap();
        if !otherwise.mutant_not_retired && !otherwise.mutant_retired_before_the_lock {
            gate::retire(&self.epoch, epoch);
        }
        if session.state.as_ref().is_some_and(|state| state.epoch == epoch) {
            session.state = None;
        }
    }

    /// `Inner::ring_for_this_thread`; the thread's ring of another session is given back.
    fn ring_for(&self, me: &mut Emitter, state: Arc<State>, otherwise: Otherwise) -> bool {
        let is_present = |session: &Session| session.state.as_ref().is_some_and(|s| s.epoch == state.epoch);
        let early =
            otherwise.mutant_session_looked_at_too_early.then(|| is_present(&self.session.lock().unwrap()));
        let session = self.session.lock().unwrap();
        if !early.unwrap_or_else(|| is_present(&session)) {
            return orphan(self, LossReason::DisabledRace);
        }
        let lock = Some(session).filter(|_| !otherwise.mutant_claimed_without_lock);
        if let Some((_, ring)) = me.owned.take() {
            me.slot.store(0, Ordering::Relaxed);
            life::end(&ring.gone);
        }
        let claim = self.next_claim.fetch_add(1, Ordering::Relaxed);
        let Some(ring) = state.claim(claim, &me.slot) else { return orphan(self, LossReason::NoRing) };
        me.slot.store(state.epoch, Ordering::Relaxed);
        me.owned = Some((state, ring));
        drop(lock);
        true
    }

    fn emit(self: &Arc<Self>, me: &mut Emitter, value: u64, otherwise: Otherwise) -> Outcome {
        if self.on.load(Ordering::Relaxed) == 0 {
            return Outcome::Off;
        }
        if let Some(epoch) = gate::enter(&me.slot, &self.epoch) {
            return Self::put(me, epoch, value);
        }
        let Some(state) = self.begin(otherwise) else { return Outcome::Off };
        if !self.ring_for(me, state, otherwise) {
            return Outcome::Lost;
        }
        match gate::enter(&me.slot, &self.epoch) {
            Some(epoch) => Self::put(me, epoch, value),
            None => {
                orphan(self, LossReason::DisabledRace);
                Outcome::Lost
            }
        }
    }

    fn put(me: &Emitter, epoch: u64, value: u64) -> Outcome {
        let (state, ring) = me.owned.as_ref().expect("a slot with an epoch has a ring");
        assert_eq!(state.epoch, epoch);
        let delivered = ring.put(value);
        gate::leave(&me.slot, epoch);
        if delivered { Outcome::Delivered } else { Outcome::Lost }
    }

    fn wait_for_drains(&self) {
        let drains = std::mem::take(&mut self.session.lock().unwrap().drains);
        for drain in drains {
            drain.join().unwrap();
        }
    }
}

/// Two lives of a thread, three emits each; then a flush that must cover what went before. Gives the numbers that were
/// delivered, and how many were lost.
fn emitter(tracer: &Arc<Tracer>, lane: u64, otherwise: Otherwise) -> (Vec<u64>, u64) {
    let (mut delivered, mut lost) = (Vec::new(), 0);
    for life in 0..2 {
        let mut me = Emitter { slot: Arc::new(AtomicU64::new(0)), owned: None };
        for number in 0..3 {
            let value = lane << 32 | (life * 3 + number);
            match tracer.emit(&mut me, value, otherwise) {
                Outcome::Off => {}
                Outcome::Delivered => delivered.push(value),
                Outcome::Lost => lost += 1,
            }
        }
        if let (0, 1, Some((state, _))) = (life, lane, &me.owned) {
            let last = delivered.last().copied();
            state.flush();
            let segments = state.segments.lock().unwrap();
            let is_there = |value| segments.events.iter().any(|(_, v)| *v == value);
            assert!(last.is_none_or(is_there), "a flush returned before its event was written");
        }
    }
    (delivered, lost)
}

/// The scene: on, off, on again while two threads emit; then off, and the account.
pub(crate) fn play(otherwise: Otherwise) {
    let tracer = Arc::new(Tracer::new());
    tracer.on.store(1, Ordering::Relaxed);
    let emitters: Vec<_> = (0..2)
        .map(|lane| {
            let tracer = Arc::clone(&tracer);
            thread::spawn(move || emitter(&tracer, lane, otherwise))
        })
        .collect();
    thread::yield_now();
    tracer.on.store(0, Ordering::Relaxed);
    tracer.on.store(2, Ordering::Relaxed);
    let outcomes: Vec<_> = emitters.into_iter().map(|thread| thread.join().unwrap()).collect();
    tracer.on.store(0, Ordering::Relaxed);
    tracer.wait_for_drains();
    account(&tracer, &outcomes);
}

fn account(tracer: &Tracer, outcomes: &[(Vec<u64>, u64)]) {
    let (mut events, mut counted) = (Vec::new(), 0);
    for state in tracer.all.lock().unwrap().iter() {
        let segments = state.segments.lock().unwrap();
        events.extend(segments.events.iter().copied());
        let mut claims: Vec<_> = segments.told.iter().map(|told| told.claim).collect();
        claims.sort_unstable();
        assert!(claims.windows(2).all(|pair| pair[0] != pair[1]), "told twice: {:?}", segments.told);
        for told in &segments.told {
            let found = segments.events.iter().filter(|(claim, _)| *claim == told.claim).count() as u64;
            assert!(told.delivered == found && told.attempted == found + told.lost, "{found} of {told:?}");
            counted += told.lost;
        }
    }
    // Claims are numbered as threads get them, so a lane's are in its order.
    events.sort_by_key(|(claim, _)| *claim);
    for (lane, (delivered, _)) in outcomes.iter().enumerate() {
        let found: Vec<_> = events.iter().map(|(_, v)| *v).filter(|v| v >> 32 == lane as u64).collect();
        assert_eq!(&found, delivered, "each event once and in order");
    }
    let orphans = tracer.told.iter().map(|told| told.load(Ordering::Relaxed)).sum::<u64>();
    let untold = tracer.orphans.untold().iter().sum::<u64>();
    let lost = outcomes.iter().map(|(_, lost)| lost).sum::<u64>();
    assert_eq!(counted + orphans + untold, lost, "each loss counted once");
}
