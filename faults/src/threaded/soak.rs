//! The components of `faults soak`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::{Category, Level, Tracer, WhenFull, emit};
use tracewell_tests::{Numbered, text_of};

use crate::{Stage, emit_own, oracle, say, stop, stopped};

/// Words of the oracle, which `faults/src/soak.rs` has too: lossless events a second; the test asks it to end; events of
/// threads that come and go; how many such threads there were; bytes that the allocator has given out.
const RATE: usize = 10;
const END: usize = 11;
const CHURNED: usize = 12;
const THREADS: usize = 13;
const HEAP: usize = 14;
/// Share of the lossless rate, in percent.
const SHARE: u64 = 80;
/// Events of a thread that comes and goes, and the first of their lanes.
const SHORT: u64 = 4;
const SHORT_LANES: u32 = 1000;

/// Ends with whoever started it.
fn end_with_parent() {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Events a second of two threads that wait for room whenever there is none: what goes through without loss.
fn lossless_rate(stage: &Stage) -> u64 {
    let tracer = Tracer::builder("measured")
        .dir(&stage.base)
        .when_full(WhenFull::Wait(Duration::from_secs(5)))
        .attach()
        .expect("attached");
    let time = Duration::from_secs(3);
    std::thread::scope(|scope| {
        for lane in 10..12 {
            let tracer = &tracer;
            scope.spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < time {
                    (0..100).for_each(|_| emit_own(tracer, lane));
                }
            });
        }
    });
    assert_eq!(tracer.stats().lost_total(), 0, "the rate is not one without loss");
    let emitted: u64 = (10..12).map(|lane| oracle().lane(lane).load(Ordering::Relaxed)).sum();
    emitted / time.as_secs()
}

/// Emits `per_second` events to a lane, a few every millisecond. Numbers are used while tracing is on only.
fn pace(tracer: &Tracer, lane: u32, per_second: u64) {
    let count = oracle().lane(lane);
    let (mut since, mut done) = (Instant::now(), 0_u64);
    while !stopped() {
        let due = since.elapsed().as_micros() as u64 * per_second / 1_000_000;
        if due.saturating_sub(done) > per_second / 20 {
            // Held up for longer than fifty milliseconds: a burst is not what the rate means.
            (since, done) = (Instant::now(), 0);
            continue;
        }
        while done < due {
            let number = count.load(Ordering::Relaxed);
            let text = text_of(number);
            emit!(tracer, Numbered { lane, number: count.fetch_add(1, Ordering::Relaxed), text: &text });
            done += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Threads of a few events each, `per_second` of them.
fn churn(tracer: &'static Tracer, per_second: u64) {
    let begun = Instant::now();
    let mut threads = 0;
    while !stopped() {
        if !tracer.enabled(Category::Custom, Level::Info) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let life = move || {
            let lane = SHORT_LANES + (threads % 50_000) as u32;
            for number in threads * SHORT..(threads + 1) * SHORT {
                let text = text_of(number);
                let counted = || {
                    oracle().word(CHURNED).fetch_add(1, Ordering::Relaxed);
                    number
                };
                emit!(tracer, Numbered { lane, number: counted(), text: &text });
            }
        };
        std::thread::spawn(life).join().expect("a short thread");
        threads += 1;
        oracle().word(THREADS).store(threads, Ordering::Relaxed);
        while threads > begun.elapsed().as_millis() as u64 * per_second / 1000 && !stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn heap_in_use() -> u64 {
    // SAFETY: it only counts, under the allocator's own locks.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Two threads at a share of the lossless rate and threads that come and go, until the test says that it is enough, at most
/// AMOUNT seconds.
pub(crate) fn soak(stage: &Stage) {
    end_with_parent();
    let rate = lossless_rate(stage);
    let tracer = stage.tracer_with(4 << 20);
    oracle().word(RATE).store(rate, Ordering::Relaxed);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..2 {
            scope.spawn(move || pace(tracer, lane, rate * SHARE / 200));
        }
        scope.spawn(move || churn(tracer, 200));
        while oracle().word(END).load(Ordering::Relaxed) == 0 && begun.elapsed() < stage.time() {
            oracle().word(HEAP).store(heap_in_use(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
        stop();
    });
    let lost = tracer.stats().lost_total();
    tracer.shutdown();
    say("lost_in_the_last_session", lost);
}

/// Two threads emit until they are killed.
pub(crate) fn victim(stage: &Stage) {
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    end_with_parent();
    let tracer = stage.tracer_with(1 << 20);
    std::thread::scope(|scope| {
        for lane in 0..2 {
            scope.spawn(move || {
                while !stopped() {
                    (0..20).for_each(|_| emit_own(tracer, lane));
                    ROUNDS.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        std::thread::sleep(stage.time());
        stop();
    });
}
