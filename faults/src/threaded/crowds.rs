//! Threads that come and go, and many at once.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::{Stage, emit_own, say};

fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64
}

/// A thousand threads a second. What they leave is sampled: in the second quarter of the time and in the last, the
/// median of each.
pub(crate) fn churn(stage: &Stage) {
    let tracer = stage.tracer_with(64 * 1024);
    let (begun, time) = (Instant::now(), stage.time());
    let mut threads = 0_u64;
    let mut samples: [Vec<[u64; 3]>; 4] = Default::default();
    while begun.elapsed() < time {
        let tick = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                let lane = (threads % 1000) as u32;
                threads += 1;
                scope.spawn(move || (0..3).for_each(|_| emit_own(tracer, lane)));
            }
        });
        if threads.is_multiple_of(100) {
            let quarter = (begun.elapsed().as_millis() * 4 / time.as_millis().max(1)).min(3) as usize;
            samples[quarter].push([status_kib("VmRSS"), descriptors(), tracer.stats().rings]);
        }
        std::thread::sleep(Duration::from_millis(10).saturating_sub(tick.elapsed()));
    }
    let median = |quarter: usize, what: usize| {
        let mut all: Vec<_> = samples[quarter].iter().map(|sample| sample[what]).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    for (what, key) in ["rss_kib", "files", "rings"].into_iter().enumerate() {
        say(&format!("{key}_early"), median(1, what));
        say(&format!("{key}_late"), median(3, what));
    }
    say("threads", threads);
    say("per_second", threads * 1000 / begun.elapsed().as_millis().max(1) as u64);
}

/// So many threads at once, each with events before and after all are there.
pub(crate) fn many(stage: &Stage) {
    let tracer = stage.tracer_with(1 << 20);
    let barrier = Arc::new(Barrier::new(stage.amount as usize + 1));
    let threads: Vec<_> = (0..stage.amount)
        .map(|lane| {
            let barrier = Arc::clone(&barrier);
            std::thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(move || {
                    (0..20).for_each(|_| emit_own(tracer, lane as u32));
                    barrier.wait();
                    (0..20).for_each(|_| emit_own(tracer, lane as u32));
                    barrier.wait();
                })
                .unwrap_or_else(|e| panic!("thread {lane} of {}: {e}", stage.amount))
        })
        .collect();
    barrier.wait();
    let stats = tracer.stats();
    say("rings", stats.rings);
    say("ring_mib", stats.ring_bytes >> 20);
    barrier.wait();
    for thread in threads {
        thread.join().expect("a thread");
    }
}
