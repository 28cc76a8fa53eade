//! Switching on and off under load: soon, exactly, and without harm.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;
use tracewell::{Tracer, boot, emit};
use tracewell_tests::{Numbered, Place, text_of};

use crate::scenes::Read;

const NO_RING: usize = 4;
const DISABLED_RACE: usize = 6;

/// Everything at the finest level.
fn all() -> EnableRequest {
    EnableRequest { levels: [5; 32], ..EnableRequest::default() }
}

fn median(mut times: Vec<i64>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64 / 1e6
}

#[test]
fn eight_busy_threads_are_switched_on_and_off() {
    let place = Place::new();
    let tracer = Tracer::builder("switched").dir(place.dirs.base()).attach().unwrap();
    let stop = AtomicBool::new(false);
    let attempts: [AtomicU64; 8] = std::array::from_fn(|_| AtomicU64::new(0));
    let mut sessions = Vec::new();
    std::thread::scope(|scope| {
        for (lane, attempts) in (0..).zip(&attempts) {
            let (tracer, stop) = (&tracer, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..10 {
                        // The number is taken only if the event is on.
                        let text = text_of(attempts.load(Ordering::Relaxed));
                        let next = || attempts.fetch_add(1, Ordering::Relaxed);
                        emit!(tracer, Numbered { lane, number: next(), text: &text });
                    }
                    std::thread::sleep(Duration::from_micros(1500));
                }
            });
        }
        for i in 0..20 {
            let on = boot::realtime_ns();
            let session = place.control.enable(&place.dirs, &all()).unwrap();
            std::thread::sleep(Duration::from_millis(150));
            let off = boot::realtime_ns();
            // Every fourth time another session begins at once, without a pause.
            if i % 4 != 3 {
                place.control.disable().unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
            sessions.push((on, off, session.folder));
        }
        place.control.disable().unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    tracer.shutdown();
    let read = Read::of(&place);
    read.assert_sound();
    let s = &read.summary;
    assert_eq!((s.law_open, s.lost[NO_RING]), (0, 0), "{s:?}");
    // One state begins with each session; every thread has a ring in each.
    assert_eq!(read.processes.len(), 20);
    assert!(s.law_checked <= 20 * 8 && s.law_checked >= 20 * 4, "{s:?}");
    for (lane, attempts) in (0..).zip(&attempts) {
        let seen = read.lane(lane);
        assert!(seen.is_sorted_by(|a, b| a < b), "lane {lane}: order, or twice");
        assert!(seen.len() as u64 <= attempts.load(Ordering::Relaxed) && seen.len() > 1000, "{}", seen.len());
    }
    let attempted: u64 = attempts.iter().map(|n| n.load(Ordering::Relaxed)).sum();
    let accounted = read.events.len() as u64 + s.lost_total();
    // An emit that meets the end of its session before its process has noticed is off, not lost.
    assert!(
        accounted <= attempted && attempted - accounted < attempted / 100,
        "{accounted} of {attempted}: {s:?}"
    );
    let (mut on_after, mut off_after) = (Vec::new(), Vec::new());
    for (on, off, folder) in sessions {
        let trace = tracewell_reader::Trace::open(&[folder], &[]).unwrap();
        let summary = Read::of_trace(&trace).summary;
        on_after.push(summary.first.unwrap() - on);
        off_after.push(summary.last.unwrap() - off);
    }
    let (on, off) = (median(on_after.clone()), median(off_after.clone()));
    assert!(on <= 100.0, "events {on} ms after enable: {on_after:?}");
    assert!(off <= 100.0, "events {off} ms after disable: {off_after:?}");
    let slowest = on_after.iter().chain(&off_after).max().unwrap() / 1_000_000;
    assert!(slowest < 2000, "{slowest} ms: {on_after:?}, {off_after:?}");
}

#[test]
fn sessions_end_during_first_emits() {
    let place = Place::new();
    let tracer = Tracer::builder("first").dir(place.dirs.base()).ring_size(65_536).attach().unwrap();
    let stop = AtomicBool::new(false);
    let attempts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut i = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                place.control.enable(&place.dirs, &all()).unwrap();
                std::thread::sleep(Duration::from_micros(500 + i % 7 * 3000));
                if !i.is_multiple_of(3) {
                    place.control.disable().unwrap();
                    std::thread::sleep(Duration::from_micros(i % 5 * 2000));
                }
                i += 1;
            }
            place.control.disable().unwrap();
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        for _ in 0..3 {
                            let next = || attempts.fetch_add(1, Ordering::Relaxed);
                            emit!(tracer, Numbered { lane: 100, number: next(), text: "" });
                        }
                    });
                }
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    tracer.shutdown();
    let read = Read::of(&place);
    read.assert_sound();
    let s = &read.summary;
    assert_eq!((s.law_open, s.lost[NO_RING]), (0, 0), "{s:?}");
    let others = s.lost_total() - s.lost[DISABLED_RACE];
    assert_eq!(others, 0, "{s:?}");
    let mut numbers: Vec<_> = read.events.iter().map(|e| e.number).collect();
    numbers.sort_unstable();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each once");
    let attempted = attempts.load(Ordering::Relaxed);
    assert!(numbers.len() > 1000 && numbers.len() as u64 + s.lost_total() <= attempted, "{attempted}: {s:?}");
    let left: Vec<_> = std::fs::read_dir(place.dirs.ring_root())
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| {
            (e.path(), std::fs::read_dir(e.path()).unwrap().flatten().map(|f| f.path()).collect::<Vec<_>>())
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What was emitted before a flush is in a segment when it returns, also if the session is just ending.
#[test]
fn a_flush_covers_a_session_that_is_ending() {
    let place = Place::new();
    let tracer = Tracer::builder("flushed").dir(place.dirs.base()).attach().unwrap();
    let mut next = 0;
    for i in 0..80_u64 {
        place.control.enable(&place.dirs, &all()).unwrap();
        for _ in 0..20 {
            emit!(tracer, Numbered { lane: 0, number: next, text: &text_of(next) });
            next += 1;
        }
        // The drain looks at the page every 20 ms: flush before, while and after it sees the end.
        if i.is_multiple_of(2) {
            place.control.disable().unwrap();
        } else {
            place.control.enable(&place.dirs, &all()).unwrap();
        }
        std::thread::sleep(Duration::from_micros(i * 300));
        if i % 4 == 1 {
            emit!(tracer, Numbered { lane: 0, number: next, text: &text_of(next) });
            next += 1;
        }
        tracer.flush().unwrap();
        // Without the rings: all is in segments.
        let trace = tracewell_reader::Trace::open(&[place.dirs.base().to_owned()], &[]).unwrap();
        let read = Read::of_trace(&trace);
        let seen = read.lane(0);
        assert!(seen.is_sorted_by(|a, b| a < b));
        let lost = read.summary.lost_total();
        assert_eq!(seen.len() as u64 + lost, next, "round {i}: {:?}", read.summary);
    }
    tracer.shutdown();
}

/// What a component tells once in a session it tells by what this says; events follow the former session a moment longer.
#[test]
fn the_session_is_the_one_that_events_go_into() {
    let place = Place::new();
    let tracer = Tracer::builder("switched").dir(place.dirs.base()).attach().unwrap();
    let (mut sessions, mut said) = (Vec::new(), Vec::new());
    for round in 0..20_u64 {
        sessions.push(place.enable());
        for step in 0..40 {
            let before = tracer.session().unwrap();
            emit!(tracer, Numbered { lane: 0, number: 40 * round + step, text: &text_of(40 * round + step) });
            // Whether the session changed during the emit, nobody can say.
            said.push((tracer.session() == Some(before)).then_some(before.0));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    tracer.shutdown();
    let mut checked = 0;
    for session in &sessions {
        let trace = tracewell_reader::Trace::open(std::slice::from_ref(&session.folder), &[]).unwrap();
        for number in Read::of_trace(&trace).lane(0) {
            if let Some(said) = said[number as usize] {
                assert_eq!(said, session.id, "event {number}");
                checked += 1;
            }
        }
    }
    assert!(checked > 700, "{checked}");
}
