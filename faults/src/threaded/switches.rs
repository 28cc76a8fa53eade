//! Changes under a component that emits: its rights, and whether it may record at all.

use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;

use crate::oracle::QUIET;
use crate::{Stage, emit_own, emit_shared, say, stop, stopped};

/// The effective user of all threads, as the C library changes it.
fn become_user(user: libc::uid_t) {
    // SAFETY: no memory is involved; the C library has every thread do it.
    let rc = unsafe { libc::setresuid(u32::MAX, user, u32::MAX) };
    assert_eq!(rc, 0, "to user {user}: {}", std::io::Error::last_os_error());
}

/// The process gives up its rights and takes them back, while three threads emit, threads begin, and segments rotate: for
/// a while it can make no ring and no segment.
pub(crate) fn credentials(stage: &Stage) {
    const NOBODY: libc::uid_t = 65_534;
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::geteuid() }, 0, "only root can give up rights and take them back");
    let tracer = stage.tracer();
    let mut changes = 0;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|lane| {
                scope.spawn(move || {
                    while !stopped() {
                        for _ in 0..20 {
                            emit_own(tracer, lane);
                        }
                        std::thread::sleep(Duration::from_micros(300));
                    }
                })
            })
            .collect();
        let mut random = stage.random(0);
        let begun = Instant::now();
        while begun.elapsed() < stage.time() {
            std::thread::sleep(Duration::from_millis(random.below(60)));
            become_user(NOBODY);
            changes += 1;
            let newcomer = scope.spawn(move || (0..20).for_each(|_| emit_own(tracer, 10)));
            std::thread::sleep(Duration::from_millis(random.below(60)));
            newcomer.join().expect("a newcomer");
            become_user(0);
        }
        stop();
        for thread in threads {
            thread.join().expect("a thread");
        }
    });
    say("changes", changes);
}

/// Tracing is switched off and on as fast as that goes, while threads emit, come and go.
pub(crate) fn switches(stage: &Stage) {
    stage.tracer_with(64 * 1024);
    let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
    let (mut changes, mut threads) = (0, 0_u64);
    std::thread::scope(|scope| {
        let emitters: Vec<_> = (0..2)
            .map(|lane| {
                scope.spawn(move || {
                    while !stopped() {
                        for _ in 0..50 {
                            emit_shared(QUIET + 40 + lane);
                        }
                        std::thread::sleep(Duration::from_micros(20));
                    }
                })
            })
            .collect();
        let churn = scope.spawn(move || {
            let mut threads = 0;
            while !stopped() {
                std::thread::spawn(|| (0..5).for_each(|_| emit_shared(QUIET + 50))).join().expect("a thread");
                threads += 1;
            }
            threads
        });
        let mut random = stage.random(0);
        let begun = Instant::now();
        while begun.elapsed() < stage.time() {
            stage.control.disable().expect("disabled");
            spin(random.below(400));
            stage.control.enable(&stage.dirs, &request).expect("enabled");
            // Now and then long enough for a session to be one.
            spin(if random.below(8) == 0 { 20_000 } else { random.below(1500) });
            changes += 1;
        }
        stop();
        for emitter in emitters {
            emitter.join().expect("an emitter");
        }
        threads += churn.join().expect("the churn");
    });
    say("changes", changes);
    say("threads", threads);
}

fn spin(micros: u64) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}
