//! The coarse clock: cheap time stamps, whose resolution the trace states.

use std::time::Duration;

use tracewell::{Clock, Tracer, emit};
use tracewell_reader::{Filter, Item};
use tracewell_tests::{Numbered, Place};

#[test]
fn coarse_times_are_at_most_as_old_as_the_trace_says() {
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("coarse").dir(place.dirs.base()).clock(Clock::Coarse).attach().unwrap();
    let mut exact = Vec::new();
    for number in 0..60 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        emit!(tracer, Numbered { lane: 0, number, text: "" });
        exact.push(now.as_nanos() as i64);
        std::thread::sleep(Duration::from_millis(7));
    }
    tracer.shutdown();
    let mut late = Vec::new();
    let summary = place.trace().read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            late.push(exact[event.sequence as usize] - event.time);
        }
        Ok::<(), std::io::Error>(())
    });
    let summary = summary.unwrap();
    assert!(summary.is_complete() && late.len() == 60, "{summary:?}");
    let resolution = tracewell::clock::COARSE_RESOLUTION.as_nanos() as i64;
    assert_eq!(i64::from(summary.coarse_resolution), resolution);
    assert!(summary.to_text().contains("up to 4 ms early"), "{}", summary.to_text());
    // A busy machine may hold the drain up; most of the time it does not. And it is no precise clock.
    late.sort_unstable();
    assert!((-1_000_000..=resolution + 1_000_000).contains(&late[30]), "{late:?}");
    assert!(late[50] > 100_000, "{late:?}");
}
