//! Forks. The parent is lane 0 (or 0 and 2), children are other lanes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;
use tracewell::{Category, Level, signal_scope};
use tracewell_tests::text_of;

use crate::{Stage, emit_range, say};

/// Forks; `work` is the child's life.
fn child(work: impl FnOnce()) -> i32 {
    // SAFETY: what the child uses of other threads' state is what these tests are about; libc's own locks are reset
    // by fork.
    match unsafe { libc::fork() } {
        0 => {
            work();
            std::process::exit(0);
        }
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        pid => pid,
    }
}

/// Waits for a child that must end well.
fn wait(pid: i32) {
    let mut status = 0;
    // SAFETY: `status` is written by the call, which keeps nothing.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "how the child ended");
}

pub(crate) fn run(case: &str, stage: &Stage) {
    match case {
        "after" => after(stage),
        "before" => before(stage),
        "two" => two(stage),
        "switched" => switched(stage, Duration::from_millis(200)),
        "switched-at-once" => switched(stage, Duration::ZERO),
        "busy" => busy(stage),
        "idle" => idle(stage),
        "killed" => killed(stage),
        "grandchild" => grandchild(stage),
        "untold" => untold(stage),
        "survived" => survived(stage),
        other => panic!("no case {other}"),
    }
}

fn after(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    let pid = child(|| {
        let stats = tracer.stats();
        assert_eq!(
            (stats.delivered, stats.rings, stats.lost_total()),
            (0, 0, 0),
            "the parent's are not ours"
        );
        tracer.flush().expect("nothing to flush");
        emit_range(&tracer, 1, 0..100);
        tracer.flush().expect("flushed");
        let stats = tracer.stats();
        assert_eq!((stats.delivered, stats.rings, stats.lost_total()), (100, 1, 0));
    });
    emit_range(&tracer, 0, 100..200);
    wait(pid);
    emit_range(&tracer, 0, 200..300);
    tracer.flush().expect("flushed");
    assert_eq!(tracer.stats().delivered, 300);
}

fn before(stage: &Stage) {
    let tracer = stage.tracer("forking");
    let pid = child(|| emit_range(&tracer, 1, 0..100));
    emit_range(&tracer, 0, 0..100);
    wait(pid);
}

fn two(stage: &Stage) {
    let (one, two) = (stage.tracer("one"), stage.tracer("two"));
    let both = |lanes: [u32; 2], from: u64| {
        for number in from..from + 100 {
            emit_range(&one, lanes[0], number..number + 1);
            emit_range(&two, lanes[1], number..number + 1);
        }
    };
    both([0, 2], 0);
    let pid = child(|| both([1, 3], 0));
    both([0, 2], 100);
    wait(pid);
    // Only one of them in the child.
    let pid = child(|| emit_range(&two, 4, 0..50));
    wait(pid);
    both([0, 2], 200);
}

fn switched(stage: &Stage, pause: Duration) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    stage.control.disable().expect("disabled");
    std::thread::sleep(pause);
    let pid = child(|| {
        let begun = Instant::now();
        while !tracer.enabled(Category::Custom, Level::Info) {
            assert!(begun.elapsed() < Duration::from_secs(5), "not enabled");
            std::thread::sleep(Duration::from_millis(1));
        }
        emit_range(&tracer, 1, 0..100);
    });
    let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
    stage.control.enable(&stage.dirs, &request).expect("enabled");
    emit_range(&tracer, 0, 100..200);
    wait(pid);
}

fn busy(stage: &Stage) {
    let tracer = stage.tracer("forking");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let emitter = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                emit_range(&tracer, 0, number..number + 10);
                number += 10;
                std::thread::sleep(Duration::from_micros(50));
            }
            number
        });
        while tracer.stats().rings == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for lane in 10..30 {
            // From a thread with a ring and from one without.
            if lane == 20 {
                emit_range(&tracer, 1, 0..1);
            }
            let pid = child(|| emit_range(&tracer, lane, 0..200));
            wait(pid);
        }
        stop.store(true, Ordering::Relaxed);
        say("lane0", emitter.join().expect("the emitter"));
    });
}

fn idle(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    wait(child(|| {}));
    wait(child(|| tracer.shutdown()));
    // SAFETY: as in `child`.
    match unsafe { libc::fork() } {
        0 => {
            drop(tracer);
            std::process::exit(0);
        }
        pid => {
            wait(pid);
            emit_range(&tracer, 0, 100..200);
            tracer.flush().expect("flushed");
            assert_eq!(tracer.stats().delivered, 200);
        }
    }
}

fn killed(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    let pid = child(|| {
        emit_range(&tracer, 1, 0..300);
        // SAFETY: no memory is involved.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    let mut status = 0;
    // SAFETY: `status` is written by the call, which keeps nothing.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, libc::SIGKILL);
    emit_range(&tracer, 0, 100..200);
}

fn grandchild(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    let pid = child(|| {
        emit_range(&tracer, 1, 0..100);
        let pid = child(|| emit_range(&tracer, 2, 0..100));
        emit_range(&tracer, 1, 100..200);
        wait(pid);
    });
    wait(pid);
    emit_range(&tracer, 0, 100..200);
}

/// Losses that belong to no ring, counted and not told when the process forks, are the parent's alone.
fn untold(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..10);
    tracer.flush().expect("flushed");
    {
        let _scope = signal_scope();
        emit_range(&tracer, 0, 10..15);
    }
    let pid = child(|| {
        let _ = text_of(1);
        emit_range(&tracer, 1, 0..10);
    });
    wait(pid);
}

/// The parent is killed while a forked child and an executed one live.
#[expect(clippy::zombie_processes, reason = "this process is killed first, and the test ends them")]
fn survived(stage: &Stage) {
    let tracer = stage.tracer("forking");
    emit_range(&tracer, 0, 0..100);
    let forked = child(|| std::thread::sleep(Duration::from_secs(30)));
    let executed = std::process::Command::new("sleep").arg("30").spawn().expect("sleep");
    say("forked", forked as u64);
    say("executed", u64::from(executed.id()));
    // SAFETY: no memory is involved.
    unsafe { libc::raise(libc::SIGKILL) };
}
