//! Producers at full speed for some seconds, and what of it reached the file.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::machine::{cpus, pin, process_cpu, rdtscp, ticks_per_ns};
use super::modes::{Bench, Timed, rdtsc_loop};
use super::workload::Data;
use super::{Args, Peer};

/// Calls between two looks at the clock.
const CHUNK: usize = 64;

/// Bare clock, ns a read: the median of short loops.
fn clock(per_ns: f64) -> f64 {
    let loops = (0..50).map(|_| {
        let begun = rdtscp();
        rdtsc_loop(1000);
        (rdtscp() - begun) as f64 / per_ns / 1000.0
    });
    Timed::new(loops.collect()).median()
}

pub(super) fn run<P: Peer>(args: &Args) {
    pin(&[0]);
    let (data, per_ns) = (Data::new(), ticks_per_ns());
    if args.threads > 1 {
        // The background shares all processors with the producers.
        pin(&(0..cpus().max(2)).collect::<Vec<_>>());
    }
    let peer = P::init(args);
    let bench = Bench { peer: &peer, data: &data, w: args.w };
    let barrier = Barrier::new(args.threads + 1);
    // The same for all: who gets a processor late ends with the others.
    let end = AtomicU64::new(0);
    let mut before = 0.0;
    let (mut called, mut begun) = (0, Instant::now());
    let mut clocks = Vec::new();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..args.threads)
            .map(|thread| {
                let (bench, barrier, end) = (&bench, &barrier, &end);
                scope.spawn(move || {
                    pin(&[if args.threads == 1 { 1 } else { thread % cpus().max(2) }]);
                    let clock = if args.threads == 1 { clock(per_ns) } else { f64::NAN };
                    // What a thread needs once is there when the time begins.
                    bench.calls(0, CHUNK);
                    barrier.wait();
                    barrier.wait();
                    let end = end.load(Ordering::Relaxed);
                    let mut n = CHUNK;
                    while rdtscp() < end {
                        bench.calls(n, CHUNK);
                        n += CHUNK;
                    }
                    (n as u64, clock)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        if args.threads > 1 {
            clocks.push(clock(per_ns));
        }
        barrier.wait();
        end.store(rdtscp() + (args.secs * 1e9 * per_ns) as u64, Ordering::Relaxed);
        // Before they are let go: this thread may get no processor for long after that.
        (before, begun) = (process_cpu(), Instant::now());
        barrier.wait();
        for producer in producers {
            let (n, clock) = producer.join().unwrap_or_default();
            called += n;
            clocks.push(clock);
        }
    });
    let produced = begun.elapsed().as_secs_f64();
    let finished = peer.finish(called);
    let (ended, cpu) = (Instant::now(), process_cpu());
    let (reached, reached_cpu) = finished.reached.unwrap_or((ended, cpu));
    clocks.retain(|c| c.is_finite());
    println!(
        "called={called} prod_s={produced:.4} total_s={:.4} cpu_s={:.6} sealed_s={:.4} sealed_cpu_s={:.6} \
         daemon_cpu_s=0 lost={} tsc={:.3}",
        reached.duration_since(begun).as_secs_f64(),
        reached_cpu - before,
        ended.duration_since(begun).as_secs_f64(),
        cpu - before,
        finished.lost.unwrap_or(0),
        Timed::new(clocks).median(),
    );
}
