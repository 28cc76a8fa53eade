//! Attaching, the first emit of a thread, and the life of threads.

use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use tracewell::control::Control;
use tracewell_benches::peer::workload::Data;
use tracewell_benches::peer::{Args, Peer, Timed};

use crate::tracer::{Ours, builder, dirs};

fn us(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / 1000.0
}

/// Attaching while tracing is off, to a page that is there: the first in this process, and the median of many.
pub(crate) fn attach(args: &Args) {
    std::fs::create_dir_all(&args.out).expect("a folder");
    let dirs = dirs(args);
    drop(Control::open_or_create(&dirs).expect("a control page"));
    let one = || {
        let builder = builder(args, &dirs);
        let begun = Instant::now();
        let tracer = builder.attach().expect("attached");
        let took = us(begun);
        drop(tracer);
        took
    };
    let first = one();
    let many = Timed::new((0..200).map(|_| one()).collect());
    println!("first_us={first:.2} us={:.2} p99_us={:.2}", many.median(), many.at(0.99));
}

/// The first emit of a fresh process; of threads that live on, so that each makes a ring; and of threads that come
/// and go, so that a ring may be used again.
pub(crate) fn first_emit(args: &Args) {
    let ours = Ours::on(args);
    let data = Data::new();
    let one = || {
        let begun = Instant::now();
        ours.w1(&data.nets[0]);
        us(begun)
    };
    let process = one();
    let (send, took) = mpsc::channel();
    let (end, ended) = (RwLock::new(()), AtomicUsize::new(0));
    let fresh = std::thread::scope(|scope| {
        let living = end.write();
        // One after the other: who waits for whom is not the question.
        let times = (0..48).filter_map(|_| {
            let (one, send, end, ended) = (&one, send.clone(), &end, &ended);
            scope.spawn(move || {
                let _ = send.send(one());
                drop(end.read());
                ended.fetch_add(1, Ordering::Relaxed);
            });
            took.recv().ok()
        });
        let times: Vec<f64> = times.collect();
        drop(living);
        times
    });
    debug_assert_eq!(ended.into_inner(), fresh.len(), "all lived until the last had emitted");
    let reused = (0..200).filter_map(|_| std::thread::scope(|s| s.spawn(one).join().ok())).collect();
    let (fresh, reused) = (Timed::new(fresh), Timed::new(reused));
    println!(
        "process_us={process:.1} fresh_us={:.2} fresh_max_us={:.1} reused_us={:.2} reused_max_us={:.1}",
        fresh.median(),
        fresh.at(1.0),
        reused.median(),
        reused.at(1.0),
    );
    ours.finish(249);
}

/// The whole life of a thread: without emitting, emitting while off, and while on.
pub(crate) fn spawn(args: &Args) {
    let ours = Ours::off(args);
    let data = Data::new();
    let lives = |emits: bool| {
        let one = || {
            let begun = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    if emits {
                        ours.w1(&data.nets[0]);
                    }
                });
            });
            us(begun)
        };
        Timed::new((0..300).map(|_| one()).collect()).median()
    };
    let (bare, off) = (lives(false), lives(true));
    ours.enable();
    ours.w0();
    let on = lives(true);
    println!("bare_us={bare:.2} off_us={off:.2} on_us={on:.2}");
    ours.finish(301);
}
