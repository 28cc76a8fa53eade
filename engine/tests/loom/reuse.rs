//! A ring passes from one thread to the next: claimed, left, drained, told, freed, claimed again; and with each claim go
//! its identity and its counts, which must add up.

use loom::sync::atomic::{AtomicU32 as Plain32, AtomicU64 as Plain64};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::ring::{Producer, Ring, commit, drain, release};
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use crate::{life, model};

/// What the drain knows of a claim, as `DrainView`.
struct View {
    claim: u32,
    read: u64,
    finished: bool,
}

struct Reused {
    ring: Ring,
    state: AtomicU32,
    gone: AtomicBool,
    view: Mutex<View>,
    id: Plain32,
    attempted: Plain64,
    lost: Plain64,
}

/// What the mutants do otherwise.
#[derive(Clone, Copy, Default)]
struct Otherwise {
    /// The drain asks for the head before it asks whether the thread is gone.
    head_first: bool,
    /// The writer frees the ring before it has told the counts.
    free_first: bool,
}

impl Reused {
    fn new() -> Self {
        Self {
            ring: Ring::new(),
            state: AtomicU32::new(life::FREE),
            gone: AtomicBool::new(false),
            view: Mutex::new(View { claim: 0, read: 0, finished: true }),
            id: Plain32::new(0),
            attempted: Plain64::new(0),
            lost: Plain64::new(0),
        }
    }

    /// `Ring::claim`.
    fn claim(&self, id: u32) -> Producer {
        let start = self.ring.cursor().committed();
        self.attempted.store(0, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
        life::begin(&self.gone);
        *self.view.lock().unwrap() = View { claim: id, read: start, finished: false };
        self.id.store(id, Ordering::Relaxed);
        life::activate(&self.state);
        Producer::new(start, start)
    }

    fn add(&self, word: &Plain64) {
        word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn emit(&self, producer: &mut Producer, value: u64) {
        self.add(&self.attempted);
        if !producer.emit(&self.ring, value, commit) {
            self.add(&self.lost);
        }
    }

    /// One look of drain and writer. Adds what was read; tells of a claim that ended how many it attempted and lost.
    fn pass(&self, seen: &mut Vec<u64>, otherwise: Otherwise) -> Option<(u32, u64, u64)> {
        if life::state(&self.state) == life::FREE {
            return None;
        }
        let early = otherwise.head_first.then(|| self.ring.cursor().committed());
        let ended = {
            let view = self.view.lock().unwrap();
            life::has_ended(view.finished, &self.gone)
        };
        let mut view = self.view.lock().unwrap();
        assert_eq!(
            self.id.load(Ordering::Relaxed),
            view.claim,
            "a block of one claim under the name of another"
        );
        if early != Some(view.read) {
            seen.extend(drain(&self.ring, &mut view.read, release));
        }
        view.finished |= ended;
        drop(view);
        if !ended {
            return None;
        }
        life::close(&self.state);
        if otherwise.free_first {
            life::free(&self.state);
        }
        let told = (
            self.id.load(Ordering::Relaxed),
            self.attempted.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        );
        life::free(&self.state);
        Some(told)
    }
}

fn reuse(otherwise: Otherwise) {
    let ring = Arc::new(Reused::new());
    let mut first = ring.claim(1);
    let theirs = Arc::clone(&ring);
    let first = thread::spawn(move || {
        theirs.emit(&mut first, 1);
        theirs.add(&theirs.attempted);
        theirs.add(&theirs.lost);
        life::end(&theirs.gone);
    });
    let theirs = Arc::clone(&ring);
    let second = thread::spawn(move || {
        if life::state(&theirs.state) != life::FREE {
            return false;
        }
        let mut producer = theirs.claim(2);
        theirs.emit(&mut producer, 2);
        theirs.emit(&mut producer, 3);
        true
    });
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        told.extend(ring.pass(&mut seen, otherwise));
    }
    first.join().unwrap();
    let reused = second.join().unwrap();
    for _ in 0..2 {
        told.extend(ring.pass(&mut seen, otherwise));
    }
    let events = if reused { vec![1, 2, 3] } else { vec![1] };
    assert_eq!(seen, events, "a thread that is gone has told its last head");
    assert_eq!(told, [(1, 2, 1)], "the claim that ended is told once, with its own counts");
}

/// What the drain sends to the segment writer.
enum Job {
    Data(u64),
    End,
}

/// One look of the drain alone, step by step as `Drain::drain_ring`.
fn look(ring: &Reused, jobs: &Mutex<Vec<Job>>, seen: &mut Vec<u64>, any_claim: bool) {
    if life::state(&ring.state) == life::FREE {
        return;
    }
    let ended = {
        let view = ring.view.lock().unwrap();
        life::has_ended(view.finished && !any_claim, &ring.gone)
    };
    let head = ring.ring.cursor().committed();
    let mut read = ring.view.lock().unwrap().read;
    if head > read {
        seen.extend(drain(&ring.ring, &mut read, |_, _| ()));
        ring.view.lock().unwrap().read = read;
        jobs.lock().unwrap().push(Job::Data(read));
    }
    if ended {
        ring.view.lock().unwrap().finished = true;
        life::close(&ring.state);
        jobs.lock().unwrap().push(Job::End);
    }
}

/// The segment writer serves what waits. Adds the claims whose end it told.
fn serve(ring: &Reused, jobs: &Mutex<Vec<Job>>, told: &mut Vec<(u32, u64)>) {
    let waiting = std::mem::take(&mut *jobs.lock().unwrap());
    for job in waiting {
        match job {
            Job::Data(to) => release(&ring.ring, to),
            Job::End => {
                told.push((ring.id.load(Ordering::Relaxed), ring.attempted.load(Ordering::Relaxed)));
                life::free(&ring.state);
            }
        }
    }
}

/// The thread of the first claim is gone; drain and writer end it while another thread looks for a ring.
fn end(any_claim: bool) {
    let ring = Arc::new(Reused::new());
    let jobs = Arc::new(Mutex::new(Vec::new()));
    let mut first = ring.claim(1);
    ring.emit(&mut first, 1);
    life::end(&ring.gone);
    let theirs = Arc::clone(&ring);
    let second = thread::spawn(move || {
        if life::state(&theirs.state) != life::FREE {
            return false;
        }
        let mut producer = theirs.claim(2);
        theirs.emit(&mut producer, 2);
        theirs.emit(&mut producer, 3);
        true
    });
    let (theirs, inbox) = (Arc::clone(&ring), Arc::clone(&jobs));
    let writer = thread::spawn(move || {
        let mut told = Vec::new();
        serve(&theirs, &inbox, &mut told);
        told
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        look(&ring, &jobs, &mut seen, any_claim);
    }
    let reused = second.join().unwrap();
    let mut told = writer.join().unwrap();
    look(&ring, &jobs, &mut seen, any_claim);
    serve(&ring, &jobs, &mut told);
    assert_eq!(seen, if reused { vec![1, 2, 3] } else { vec![1] });
    assert_eq!(told, [(1, 1)], "the first claim is told once, the second lives");
}

/// Whoever sees a ring active, also without the view's lock (`Tracer::stats`), sees whose it is.
fn identity() {
    let ring = Arc::new(Reused::new());
    let theirs = Arc::clone(&ring);
    let first = thread::spawn(move || drop(theirs.claim(1)));
    if life::state(&ring.state) == life::ACTIVE {
        assert_eq!(ring.id.load(Ordering::Relaxed), 1, "active before it is anyone's");
    }
    first.join().unwrap();
}

pub(crate) fn seen_active() {
    model(identity);
}

#[test]
fn an_active_ring_has_its_identity() {
    seen_active();
}

pub(crate) fn hand_over() {
    model(|| reuse(Otherwise::default()));
}

pub(crate) fn told_once() {
    model(|| end(false));
}

#[test]
fn the_end_of_a_claim_is_told_once() {
    told_once();
}

#[test]
fn a_ring_is_handed_over_with_its_counts() {
    hand_over();
}

#[test]
#[should_panic]
fn mutant_head_asked_for_before_the_end() {
    model(|| reuse(Otherwise { head_first: true, ..Otherwise::default() }));
}

#[test]
#[should_panic]
fn mutant_end_of_any_claim() {
    model(|| end(true));
}

#[test]
#[should_panic]
fn mutant_freed_before_it_is_told() {
    model(|| reuse(Otherwise { free_first: true, ..Otherwise::default() }));
}
