//! Emit, off and on, beside what bounds it: the clock read and the copy of the same bytes, in the same run.
//!
//! `cargo bench -p tracewell-benches --bench emit`. Only ratios within one run mean anything.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracewell::emit;
use tracewell_benches::{Launch, Rig, net, strings};
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Trace};

/// Emits in bursts that fit the ring, and waits outside of the measurement until they are drained: nothing is lost.
fn bursts(rig: &Rig, n: u64, mut one: impl FnMut(u64)) -> Duration {
    const BURST: u64 = 4_000;
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < n {
        let end = n.min(done + BURST);
        let begun = Instant::now();
        for i in done..end {
            one(i);
        }
        spent += begun.elapsed();
        done = end;
        rig.tracer.flush().expect("flushed");
    }
    spent
}

fn limits(c: &mut Criterion) {
    // The first ring decides which clock this process reads.
    let rig = Rig::new(1 << 16).on();
    emit!(rig.tracer, net(0));
    let mut group = c.benchmark_group("limits");
    group.bench_function("empty loop", |b| b.iter(|| black_box(1_u64)));
    group.bench_function("clock", |b| b.iter(tracewell::clock::ticks));
    let (mut to, from) = (vec![0_u8; 1 << 20], [7_u8; 232]);
    for len in [40, 232] {
        let mut at = 0;
        group.bench_function(format!("clock and copy of {len} bytes"), |b| {
            b.iter(|| {
                to[at..at + len].copy_from_slice(&from[..len]);
                to[at..at + 8].copy_from_slice(&tracewell::clock::ticks().to_le_bytes());
                at = (at + len) & ((1 << 19) - 1);
                black_box(&to);
            });
        });
    }
}

fn emits(c: &mut Criterion) {
    let mut group = c.benchmark_group("emit");
    let off = Rig::new(4 << 20);
    group.bench_function("off", |b| {
        let mut i = 0;
        b.iter(|| {
            i += 1;
            emit!(off.tracer, net(i));
        });
    });
    let rig = Rig::new(4 << 20).on();
    group.bench_function("W1", |b| {
        b.iter_custom(|n| bursts(&rig, n, |i| emit!(rig.tracer, net(i))));
    });
    let (paths, lines) = (strings(60), strings(100));
    group.bench_function("W2", |b| {
        b.iter_custom(|n| {
            bursts(&rig, n, |i| {
                emit!(
                    rig.tracer,
                    Launch {
                        pid: i as u32,
                        parent: 1,
                        size: i,
                        sha256: [i as u8; 32],
                        path: &paths[i as usize % 64],
                        command_line: &lines[i as usize % 64],
                    }
                );
            })
        });
    });
    assert_eq!(rig.tracer.stats().lost_total(), 0, "a lossy run measures something else");
}

/// To the file: emit at full speed and flush, waiting only where the ring is half full.
fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("drain");
    group.sample_size(10).throughput(Throughput::Elements(1_000_000));
    let rig = Rig::new(64 << 20).on();
    group.bench_function("1 M of W1, one thread, into segments", |b| {
        b.iter(|| {
            for i in 0..1_000_000 {
                emit!(rig.tracer, net(i));
            }
            rig.tracer.flush().expect("flushed");
        });
    });
    group.bench_function("1 M of W1, two threads, into segments", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for i in 0..500_000 {
                            emit!(rig.tracer, net(i));
                        }
                    });
                }
            });
            rig.tracer.flush().expect("flushed");
        });
    });
    assert_eq!(rig.tracer.stats().lost_total(), 0, "a lossy run measures something else");
}

fn read(c: &mut Criterion) {
    let rig = Rig::new(64 << 20).on();
    for i in 0..500_000 {
        emit!(rig.tracer, net(i));
    }
    rig.tracer.shutdown();
    let trace = Trace::open(&[rig.dirs.base().to_owned()], &[]).expect("a trace");
    let mut group = c.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Elements(500_000));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut sum = 0;
            let summary = trace.read(&Filter::default(), |item| {
                if let tracewell_reader::Item::Event(event) = item {
                    sum += event.values.iter().count();
                }
                Ok::<(), std::io::Error>(())
            });
            assert_eq!(summary.expect("read").events, 500_000);
            sum
        });
    });
    group.bench_function("render text", |b| {
        let (mut renderer, mut out) = (TextRenderer::new(false), String::new());
        b.iter(|| {
            let mut bytes = 0;
            let summary = trace.read(&Filter::default(), |item| {
                out.clear();
                renderer.push(&mut out, item);
                bytes += out.len();
                Ok::<(), std::io::Error>(())
            });
            assert_eq!(summary.expect("read").events, 500_000);
            bytes
        });
    });
}

criterion_group! {
    name = all;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = limits, emits, drain, read
}
criterion_main!(all);
