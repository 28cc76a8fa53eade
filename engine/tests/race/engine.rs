//! The whole engine.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Event, Tracer, emit};

/// An event of changing length.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.raced", category = "custom", level = "info", text = "{number} {text}")]
struct Raced<'a> {
    /// Which.
    #[field(public)]
    number: u64,
    /// Anything.
    #[field(public)]
    text: &'a str,
}

const TEXT: &str = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

/// Emits from three threads, two of which are followed by another every few milliseconds, with small rings that are
/// full now and then.
pub(crate) fn run(time: Duration, place: &Path) {
    let base = place.join("trace");
    let dirs = Dirs::resolve(Some(&base)).expect("a directory");
    let tracer = Tracer::builder("raced").dir(&base).ring_size(64 * 1024).attach().expect("attached");
    let control = Control::open(&dirs).expect("the page").expect("the page");
    let request = EnableRequest { levels: [5; 32], max_total: 64 << 20, ..EnableRequest::default() };
    control.enable(&dirs, &request).expect("enabled");
    let (stop, emitted) = (AtomicBool::new(false), AtomicU64::new(0));
    let (stop, emitted): (&'static _, &'static _) = (Box::leak(Box::new(stop)), Box::leak(Box::new(emitted)));
    let long = {
        let tracer = tracer.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                some(&tracer, 500, emitted);
                std::thread::sleep(Duration::from_micros(200));
            }
        })
    };
    let churn: Vec<_> = (0..2)
        .map(|_| {
            let tracer = tracer.clone();
            std::thread::spawn(move || {
                for round in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let short = tracer.clone();
                    std::thread::spawn(move || some(&short, 2000, emitted)).join().expect("a short thread");
                    // The drain is fifty times as slow under ThreadSanitizer, and each thread that ends leaves it a ring: where
                    // nobody waits for it, thousands, and a flush of the test waits for all of them.
                    if round % 16 == 0 {
                        let _ = tracer.flush();
                    }
                }
            })
        })
        .collect();
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(50));
        // Under ThreadSanitizer, beside threads that emit without a pause, ten seconds may be too short.
        while let Err(error) = tracer.flush() {
            assert!(begun.elapsed() < time + Duration::from_secs(90), "flushed: {error}");
        }
        let _ = tracer.stats();
    }
    stop.store(true, Ordering::Relaxed);
    long.join().expect("the long thread");
    for thread in churn {
        thread.join().expect("a thread");
    }
    tracer.flush().expect("flushed");
    let stats = tracer.stats();
    let emitted = emitted.load(Ordering::Relaxed);
    assert_eq!(stats.delivered + stats.lost_total(), emitted, "{stats:?}");
    assert!(stats.delivered > 10_000, "{stats:?}");
    println!("race: {emitted} events of the engine, {} lost in full rings", stats.lost_total());
    tracer.shutdown();
    let _ = std::fs::remove_dir_all(dirs.ring_root());
}

fn some(tracer: &Tracer, count: u64, emitted: &AtomicU64) {
    for number in 0..count {
        emit!(tracer, Raced { number, text: &TEXT[..(number % 70) as usize] });
    }
    emitted.fetch_add(count, Ordering::Relaxed);
}
