//! Memory, idling, and the cost over threads and rates.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell_benches::peer::machine::{cpus, pin, process_cpu, thread_cpu, ticks_per_ns};
use tracewell_benches::peer::workload::{Data, NETS};
use tracewell_benches::peer::{Args, Peer, Timed, rdtsc_loop};

use crate::tracer::{DEFAULT_RING, Ours};

/// A figure of `/proc/self/status`, bytes.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes that the files below a folder take.
fn blocks_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => blocks_below(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// CPU seconds of this process's threads whose name begins so.
fn cpu_of_threads(prefix: &str) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let times = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let ns: f64 = times.split_ascii_whitespace().next()?.parse().ok()?;
        name.starts_with(prefix).then_some(ns / 1e9)
    });
    times.sum()
}

/// All threads have emitted more than a ring holds, and live.
pub(crate) fn memory(args: &Args) {
    let before = status("VmRSS");
    let ours = Ours::on(args);
    let data = Data::new();
    let barrier = Barrier::new(args.threads + 1);
    let each = args.number("ring").map_or(DEFAULT_RING, |n| n as u64) / 40 * 6 / 5;
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                for i in 0..each as usize {
                    ours.w1(&data.nets[i & (NETS - 1)]);
                }
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        let (rss, shared) = (status("VmRSS"), status("RssShmem"));
        // What lies on tmpfs and is not mapped here is resident all the same.
        let rings = blocks_below(ours.dirs.ring_root());
        let resident = rss - shared + rings.max(shared);
        println!("before={before} rss={rss} shared={shared} ring_files={rings} resident={resident}");
        barrier.wait();
    });
    let called = each * args.threads as u64;
    ours.finish(called);
}

/// On, one event was emitted, and nothing happens any more: percent of a processor.
pub(crate) fn idle(args: &Args) {
    let ours = Ours::on(args);
    ours.w0();
    std::thread::sleep(Duration::from_secs_f64((args.secs / 2.0).min(1.5)));
    let (cpu, begun) = (process_cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs_f64(args.secs));
    println!("idle_percent={:.5}", (process_cpu() - cpu) / begun.elapsed().as_secs_f64() * 100.0);
    ours.finish(1);
}

/// Emits W1 at `rate` a second in all, as fast as possible if it is 0; the producers sleep in between.
pub(crate) fn rate(args: &Args) {
    let ours = Ours::on(args);
    let data = Data::new();
    let rate = args.number("rate").unwrap_or(0.0);
    // At low rates each event has a wake-up of its own; at high ones each thread wakes up 1000 times a second, all
    // together 16,000 times.
    let burst = (rate / args.threads as f64 / 1000.0).max(rate / 16_000.0).ceil().max(1.0);
    let step = if rate > 0.0 { burst * args.threads as f64 / rate } else { 0.0 };
    let burst = if rate > 0.0 { burst as usize } else { 1000 };
    let called = AtomicU64::new(0);
    let producers = AtomicU64::new(0);
    let mut drain = 0.0;
    let barrier = Barrier::new(args.threads + 1);
    let (mut cpu, mut begun) = (0.0, Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            let (ours, data, called, producers, barrier) = (&ours, &data, &called, &producers, &barrier);
            scope.spawn(move || {
                ours.w1(&data.nets[0]);
                barrier.wait();
                let (begun, used) = (Instant::now(), thread_cpu());
                let mut n = 1_usize;
                let mut due = begun;
                let end = begun + Duration::from_secs_f64(args.secs);
                while due < end {
                    for _ in 0..burst {
                        ours.w1(&data.nets[n & (NETS - 1)]);
                        n += 1;
                    }
                    due = if rate > 0.0 { due + Duration::from_secs_f64(step) } else { Instant::now() };
                    if let Some(early) = due.checked_duration_since(Instant::now()) {
                        std::thread::sleep(early);
                    }
                }
                called.fetch_add(n as u64, Ordering::Relaxed);
                producers.fetch_add(((thread_cpu() - used) * 1e9) as u64, Ordering::Relaxed);
            });
        }
        drain = cpu_of_threads("tracewell");
        (cpu, begun) = (process_cpu(), Instant::now());
        barrier.wait();
    });
    let drain = cpu_of_threads("tracewell") - drain;
    let (used, took) = (process_cpu() - cpu, begun.elapsed().as_secs_f64());
    let called = called.into_inner();
    let finished = ours.finish(called);
    println!(
        "called={called} rate={:.1} lost={} cpu_percent={:.4} drain_percent={:.4} producer_percent={:.4}",
        called as f64 / took,
        finished.lost.unwrap_or(0),
        used / took * 100.0,
        drain / took * 100.0,
        producers.into_inner() as f64 / 1e7 / took,
    );
}

/// Cost of a call with so many threads that emit all the time: CPU time of bursts, so that waiting for a processor
/// is not counted. Between bursts the producers sleep, so that the drain keeps up.
pub(crate) fn threads(args: &Args) {
    let ours = Ours::on(args);
    let (data, per_ns) = (Data::new(), ticks_per_ns());
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(args.threads + 1);
    const BURST: usize = 1000;
    let mut times = Vec::new();
    let mut clocks = Vec::new();
    let mut called = 0;
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..args.threads)
            .map(|thread| {
                let (ours, data, stop, barrier) = (&ours, &data, &stop, &barrier);
                scope.spawn(move || {
                    pin(&[thread % cpus()]);
                    ours.w1(&data.nets[0]);
                    barrier.wait();
                    let (mut costs, mut clocks, mut n) = (Vec::new(), Vec::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        let begun = thread_cpu();
                        rdtsc_loop(BURST);
                        let between = thread_cpu();
                        for i in 0..BURST {
                            ours.w1(&data.nets[(n + i) & (NETS - 1)]);
                        }
                        costs.push((thread_cpu() - between) * 1e9 / BURST as f64);
                        clocks.push((between - begun) * 1e9 / BURST as f64);
                        n += BURST;
                        std::thread::sleep(Duration::from_micros(100 * args.threads as u64));
                    }
                    (costs, clocks, n as u64 + 1)
                })
            })
            .collect();
        barrier.wait();
        std::thread::sleep(Duration::from_secs_f64(args.secs));
        stop.store(true, Ordering::Relaxed);
        for producer in producers {
            let (costs, other, n) = producer.join().unwrap_or_default();
            times.extend(costs);
            clocks.extend(other);
            called += n;
        }
    });
    let finished = ours.finish(called);
    let (times, clock) = (Timed::new(times), Timed::new(clocks).median());
    println!(
        "ns={:.3} p90={:.3} tsc={clock:.3} called={called} lost={} per_ns={per_ns:.3}",
        times.median(),
        times.at(0.9),
        finished.lost.unwrap_or(0),
    );
}
