//! From sealed segments in the page cache to values, text and JSON.
//!
//! `cargo bench -p tracewell-benches --bench read`. Only ratios within one run mean anything; throughput is in events,
//! which are lines. `values` adds up all values (`tracewell_benches::values`), by columns in no order between threads, or event by
//! event in the order of time; `merge` is what every reading costs: read, decompress,
//! check, order. Text goes nowhere, or into a file of the temporary directory.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Duration;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use tracewell::emit;
use tracewell_benches::events::{Launch, Net, Rig};
use tracewell_benches::values;
use tracewell_reader::{Filter, Form, Item, Trace};

const TEXT: Form = Form::Text { local: false };

/// The same random data as in the comparison with other loggers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz/_-.0123";
        let letters = (1..len).map(|_| char::from(LETTERS[(self.next() % LETTERS.len() as u64) as usize]));
        std::iter::once('/').chain(letters).collect()
    }

    fn net(&mut self) -> Net {
        let r = self.next();
        Net {
            source: 0x0a00_0000 | (r & 0xffff) as u32,
            destination: (r >> 16) as u32,
            source_port: (32_768 + (r >> 48) % 28_000) as u16,
            destination_port: if r & 1 == 1 { 443 } else { 53 },
            protocol: if r & 2 == 2 { 6 } else { 17 },
            bytes: self.next() % 200_000,
        }
    }
}

/// A trace of `n` events, of which `emit` makes each, flushed before the ring is full.
fn trace_of(n: u64, threads: u64, emit: impl Fn(&Rig, u64) + Sync) -> (Rig, Trace) {
    let rig = Rig::new(64 << 20).on();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for i in 0..n / threads {
                    emit(&rig, i);
                    if i % 50_000 == 0 {
                        rig.tracer.flush().expect("flushed");
                    }
                }
            });
        }
    });
    rig.tracer.flush().expect("flushed");
    assert_eq!(rig.tracer.stats().lost_total(), 0, "a lossy run measures something else");
    rig.tracer.shutdown();
    let trace = Trace::open(&[rig.dirs.base().to_owned()], &[]).expect("a trace");
    (rig, trace)
}

/// W1, from this many threads.
fn nets(threads: u64) -> (Rig, Trace) {
    let mut random = Random(88_172_645_463_325_252);
    let nets: Vec<_> = (0..1024).map(|_| random.net()).collect();
    trace_of(1_000_000, threads, |rig, i| emit!(rig.tracer, nets[i as usize % 1024]))
}

/// W2: 64 different ones.
fn launches() -> (Rig, Trace) {
    let mut random = Random(88_172_645_463_325_252);
    let launches: Vec<_> = (0..64)
        .map(|_| {
            (
                random.next() as u32,
                [0; 32].map(|_: u8| random.next() as u8),
                random.text(60),
                random.text(100),
            )
        })
        .collect();
    trace_of(300_000, 1, |rig, i| {
        let (pid, sha256, path, command_line) = &launches[i as usize % 64];
        let event = Launch {
            pid: *pid % 30_000,
            parent: *pid % 2_000,
            size: u64::from(*pid),
            sha256: *sha256,
            path,
            command_line,
        };
        emit!(rig.tracer, event);
    })
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, trace: &Trace, folder: &std::path::Path) {
    let filter = Filter::default();
    let events = trace.read(&filter, |_| Ok::<(), io::Error>(())).expect("read").events;
    group.sample_size(10).throughput(Throughput::Elements(events));
    group.bench_function("merge", |b| {
        b.iter(|| {
            let each = |item: &Item<'_>| {
                black_box(item);
                Ok::<(), io::Error>(())
            };
            trace.read(&filter, each).expect("read")
        });
    });
    // Both add up every byte of every value: see there.
    assert_eq!(values::by_event(trace).0, values::by_column(trace).0, "not the same values");
    group.bench_function("values, by columns", |b| b.iter(|| values::by_column(trace).0));
    group.bench_function("values, by events", |b| b.iter(|| values::by_event(trace).0));
    for (name, form) in [("text", TEXT), ("JSON", Form::Json)] {
        for threads in [1, 2] {
            group.bench_function(format!("{name}, {threads} threads"), |b| {
                b.iter(|| trace.write_lines(&filter, form, threads, io::sink(), |_| {}).expect("written"));
            });
        }
    }
    group.bench_function("text, 1 thread, into a file", |b| {
        b.iter(|| {
            let mut file = tempfile::tempfile_in(folder).expect("a file");
            trace.write_lines(&filter, TEXT, 1, &mut file, |_| {}).expect("written");
            file.flush()
        });
    });
}

fn read(c: &mut Criterion) {
    for (name, (rig, trace)) in [("W1", nets(1)), ("W1 of two threads", nets(2)), ("W2", launches())] {
        measure(&mut c.benchmark_group(format!("read/{name}")), &trace, rig.path());
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = read
}
criterion_main!(all);
