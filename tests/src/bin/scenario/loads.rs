//! Limits, memory, many threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracewell::Tracer;
use tracewell::control::EnableRequest;

use crate::{Stage, emit_range, say};

pub(crate) fn run(case: &str, stage: &Stage) {
    match case {
        "no-file" => no_file(stage),
        "burst" => burst(stage),
        "idle-memory" => idle_memory(stage),
        "churn" => churn(stage),
        other => panic!("no case {other}"),
    }
}

fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64
}

/// Lets this process open no further file, or as many as before.
fn limit_files(limit: Option<u64>) {
    static BEFORE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    // SAFETY: all-zero limits are valid values, and both calls keep no pointer.
    unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now), 0);
        let before = *BEFORE.get_or_init(|| now.rlim_cur);
        now.rlim_cur = limit.unwrap_or(before);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const now), 0);
    }
}

/// A thread that had a ring in an earlier session gets none in this one at first; others do.
fn no_file(stage: &Stage) {
    let tracer = &stage.tracer("limited");
    emit_range(tracer, 0, 0..100);
    let mut failed = 0;
    for session in 1..=20 {
        let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
        stage.control.enable(&stage.dirs, &request).expect("enabled");
        while tracer.stats().rings != 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (begun, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            // Another thread begins the session, so that only the ring is missing.
            scope.spawn(|| {
                emit_range(tracer, 1, session * 100..session * 100 + 10);
                begun.store(true, Ordering::Release);
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            while !begun.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            limit_files(Some(0));
            emit_range(tracer, 2, session * 100..session * 100 + 3);
            failed += 3;
            limit_files(None);
            // It emits while a new thread does, which may have the slot that it had.
            let other = scope.spawn(|| emit_range(tracer, 3, session * 2000..session * 2000 + 2000));
            while !other.is_finished() && tracer.stats().rings < 2 {
                std::hint::spin_loop();
            }
            emit_range(tracer, 4, session * 2000..session * 2000 + 2000);
            stop.store(true, Ordering::Relaxed);
        });
    }
    say("refused", failed);
    say("attempts", 100 + 20 * (10 + 3 + 2000 + 2000));
}

fn rings_of(stage: &Stage) -> Vec<std::fs::Metadata> {
    use std::os::unix::ffi::OsStrExt;
    let folders = std::fs::read_dir(stage.dirs.ring_root()).into_iter().flatten().flatten();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten())
        .filter(|file| file.file_name().as_bytes().starts_with(b"ring-"))
        .filter_map(|file| file.metadata().ok())
        .collect()
}

fn attach(stage: &Stage, ring_size: u64) -> Tracer {
    Tracer::builder("loaded").dir(&stage.base).ring_size(ring_size).attach().expect("attached")
}

/// As many events at once as fit the ring, many times what it has at first.
fn burst(stage: &Stage) {
    let tracer = attach(stage, 16 << 20);
    let before = Instant::now();
    emit_range(&tracer, 0, 0..100_000);
    say("micros", before.elapsed().as_micros() as u64);
    say("lost", tracer.stats().lost_total());
    say("attempts", 100_000);
    // Another thread, in the first lap of its ring, at the full speed of a record without text.
    std::thread::scope(|scope| {
        scope.spawn(|| emit_range(&tracer, 1, 0..100_000));
    });
    say("attempts", 200_000);
}

/// Memory of threads that have emitted a little.
fn idle_memory(stage: &Stage) {
    let shared = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find(|l| l.starts_with("RssShmem")).expect("RssShmem");
        line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    };
    let tracer = attach(stage, 16 << 20);
    let before = shared();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let (tracer, stop) = (&tracer, &stop);
            scope.spawn(move || {
                emit_range(tracer, lane, 0..5);
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        while tracer.stats().rings < 8 {
            std::thread::sleep(Duration::from_millis(2));
        }
        tracer.flush().expect("flushed");
        // The drain has looked at them some times more.
        std::thread::sleep(Duration::from_millis(300));
        say("rss_kib", shared() - before);
        use std::os::unix::fs::MetadataExt;
        let rings = rings_of(stage);
        say("rings", rings.len() as u64);
        say("blocks_kib", rings.iter().map(|ring| ring.blocks() / 2).sum());
        say("capacity_kib", rings.iter().map(|ring| ring.len() / 1024).sum());
        stop.store(true, Ordering::Relaxed);
    });
}

/// A thousand threads a second, for five seconds.
fn churn(stage: &Stage) {
    let tracer = &attach(stage, 1 << 20);
    let begun = Instant::now();
    let mut threads = 0_u64;
    let (mut most_files, mut most_rings) = ([0; 2], [0; 2]);
    while begun.elapsed() < Duration::from_secs(5) {
        let tick = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                let lane = threads;
                threads += 1;
                scope.spawn(move || emit_range(tracer, (lane % 100) as u32, lane * 2..lane * 2 + 2));
            }
        });
        if threads.is_multiple_of(100) {
            let half = usize::from(begun.elapsed() > Duration::from_millis(2500));
            most_files[half] = most_files[half].max(descriptors());
            most_rings[half] = most_rings[half].max(rings_of(stage).len() as u64);
        }
        std::thread::sleep(Duration::from_millis(10).saturating_sub(tick.elapsed()));
    }
    say("threads", threads);
    say("files_early", most_files[0]);
    say("files_late", most_files[1]);
    say("rings_early", most_rings[0]);
    say("rings_late", most_rings[1]);
    say("attempts", threads * 2);
}
