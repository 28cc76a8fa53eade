//! Rotation, retention, pressure, forks and signals.

use std::time::Duration;

use tracewell::control::EnableRequest;
use tracewell::{Tracer, emit};
use tracewell_reader::Filter;
use tracewell_tests::{Numbered, Place, text_of};

use crate::kill::lanes;

#[test]
fn segments_rotate_and_every_one_stands_alone() {
    let place = Place::new();
    let session = place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("rotate").dir(place.dirs.base()).attach().unwrap();
    for number in 0..60_000 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        if number % 2_000 == 0 {
            tracer.flush().unwrap();
        }
    }
    tracer.shutdown();
    let segments: Vec<_> = std::fs::read_dir(&session.folder).unwrap().flatten().map(|e| e.path()).collect();
    assert!(segments.len() > 5, "{segments:?}");
    let mut events = 0;
    for segment in &segments {
        assert!(segment.extension().is_some_and(|e| e == "twseg"), "sealed: {segment:?}");
        let alone = tracewell_reader::Trace::open(std::slice::from_ref(segment), &[]).unwrap();
        events += alone.read(&Filter::default(), |_| Ok::<(), std::io::Error>(())).unwrap().events;
    }
    assert_eq!(events, 60_000);
    let (lanes, summary) = lanes(&place);
    assert!(summary.is_complete(), "{summary:?}");
    assert!(lanes[&0].iter().copied().eq(0..60_000));
}

/// Nice values of the threads of this process that have a name; 19 is the lowest priority.
fn nice_values(name: &str) -> Vec<i64> {
    let mut values = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let is_it = std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name);
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        if is_it {
            // Field 19 of proc_pid_stat(5), the third being the first behind the name.
            let behind = stat.rsplit_once(')').unwrap().1;
            values.push(behind.split_ascii_whitespace().nth(16).unwrap().parse().unwrap());
        }
    }
    values
}

#[test]
fn only_packing_stands_back_where_all_processors_are_busy() {
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("nice").dir(place.dirs.base()).attach().unwrap();
    emit!(tracer, Numbered { lane: 0, number: 0, text: &text_of(0) });
    tracer.flush().unwrap();
    let ours = i64::from(rustix::process::getpriority_process(None).unwrap());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !nice_values("tracewell-pack").contains(&19) {
        assert!(std::time::Instant::now() < deadline, "{:?}", nice_values("tracewell-pack"));
        std::thread::sleep(Duration::from_millis(10));
    }
    for name in ["tracewell-drain", "tracewell-write", "tracewell-tend"] {
        let values = nice_values(name);
        assert!(!values.is_empty() && values.iter().all(|nice| *nice == ours), "{name}: {values:?}");
    }
    tracer.shutdown();
}

#[test]
fn retention_keeps_the_newest_and_says_what_went() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        max_total: 256 << 10,
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("retain").dir(place.dirs.base()).attach().unwrap();
    for number in 0..100_000 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number.wrapping_mul(31)) });
        if number % 2_000 == 0 {
            tracer.flush().unwrap();
        }
    }
    tracer.shutdown();
    let mut bytes = 0;
    for session in std::fs::read_dir(place.dirs.sessions()).unwrap().flatten() {
        for file in std::fs::read_dir(session.path()).unwrap().flatten() {
            bytes += file.metadata().unwrap().len();
        }
    }
    assert!(bytes <= (256 << 10) + (512 << 10), "{bytes}");
    let mut count = 0;
    let summary = place.trace().read(&Filter::default(), |_| {
        count += 1;
        Ok::<(), std::io::Error>(())
    });
    let summary = summary.unwrap();
    assert!(summary.retired > 0 && summary.is_complete(), "{summary:?}");
    assert_eq!(summary.retired + summary.events, 100_000);
}

#[test]
fn what_does_not_fit_is_counted_to_the_unit_and_shown() {
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("pressure").dir(place.dirs.base()).ring_size(65_536).attach().unwrap();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let tracer = &tracer;
            scope.spawn(move || {
                for number in 0..100_000 {
                    emit!(tracer, Numbered { lane, number, text: "" });
                }
            });
        }
    });
    tracer.shutdown();
    let mut told = 0;
    let summary = place
        .trace()
        .read(&Filter::default(), |item| {
            if let tracewell_reader::Item::Lost { counts, .. } = item {
                told += counts.total();
            }
            Ok::<(), std::io::Error>(())
        })
        .unwrap();
    assert_eq!(summary.events + summary.lost_total(), 400_000, "{summary:?}");
    assert!(summary.law.is_empty() && summary.law_checked == 4, "{summary:?}");
    assert!(summary.lost_total() > 0, "64 KiB rings overflow here");
    assert!(told > 0 && told <= summary.lost_total(), "losses stand in the stream: {told}");
}

#[test]
fn a_session_ends_by_itself() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        duration: Some(Duration::from_millis(300)),
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("expiry").dir(place.dirs.base()).attach().unwrap();
    let mut number = 0;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(800) {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        number += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    tracer.shutdown();
    let (lanes, summary) = lanes(&place);
    let recorded = lanes[&0].len() as u64;
    assert!(recorded > 50 && recorded < number, "{recorded} of {number}");
    assert!(summary.law.is_empty() && summary.damaged.is_empty());
    let span = summary.last.unwrap() - summary.first.unwrap();
    assert!(span < 600_000_000, "nothing after its end: {span} ns");
}

/// Larger than half of the smallest ring.
#[derive(tracewell::Event, Clone, Copy, Debug)]
#[event(name = "custom.huge", category = "custom", level = "info", text = "huge")]
struct Huge<'a> {
    /// Text.
    #[field(public, max = 32767)]
    one: &'a str,
    /// More text.
    #[field(public, max = 32767)]
    two: &'a str,
}

#[test]
fn a_thread_that_only_lost_events_is_named() {
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("silent").dir(place.dirs.base()).ring_size(64 << 10).attach().unwrap();
    let text = "x".repeat(30_000);
    let tid = std::thread::scope(|scope| {
        let emit = || {
            emit!(tracer, Huge { one: &text, two: &text });
            rustix::thread::gettid().as_raw_nonzero().get() as u32
        };
        scope.spawn(emit).join().unwrap()
    });
    tracer.shutdown();
    let mut lost = Vec::new();
    let each = |item: &tracewell_reader::Item<'_>| {
        if let tracewell_reader::Item::Lost { tid, counts, .. } = item {
            lost.push((*tid, counts.total()));
        }
        Ok::<(), std::io::Error>(())
    };
    let summary = place.trace().read(&Filter::default(), each).unwrap();
    assert_eq!((lost, summary.events), (vec![(tid, 1)], 0));
}
