//! Emits inside emits, inside the allocator, and while a thread ends.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracewell::Event;
use tracewell::emit;
use tracewell_tests::{Numbered, text_of};

use crate::{EMIT_ON_ALLOC, QUIET_ATTEMPTS, Stage, TRACER, emit_quietly, emit_range, say};

pub(crate) fn run(case: &str, stage: &Stage) {
    match case {
        "allocator" => allocator(stage),
        "flush" => flush(stage),
        "arguments" => arguments(stage),
        "thread-end" => thread_end(stage),
        other => panic!("no case {other}"),
    }
    say("quiet", QUIET_ATTEMPTS.load(Ordering::Relaxed));
}

/// Every allocation of these threads emits, also those of their first emit and of the end of their session.
fn allocator(stage: &Stage) {
    let tracer = stage.common_tracer();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let emitters: Vec<_> = (0..3)
            .map(|lane| {
                scope.spawn(move || {
                    EMIT_ON_ALLOC.set(true);
                    for number in 0..3000 {
                        emit!(tracer, Numbered { lane, number, text: &text_of(number) });
                        if number % 100 == 0 {
                            std::thread::sleep(Duration::from_millis(2));
                        }
                    }
                    EMIT_ON_ALLOC.set(false);
                })
            })
            .collect();
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                tracer.flush().expect("flushed");
                let _ = tracer.stats();
            }
        });
        for emitter in emitters {
            emitter.join().expect("an emitter");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// `flush` and `stats` of threads that have no ring allocate.
fn flush(stage: &Stage) {
    let tracer = stage.common_tracer();
    emit_range(tracer, 0, 0..10);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                EMIT_ON_ALLOC.set(true);
                tracer.flush().expect("flushed");
                let _ = tracer.stats();
                EMIT_ON_ALLOC.set(false);
            });
        });
    }
    EMIT_ON_ALLOC.set(true);
    tracer.flush().expect("flushed");
    tracer.shutdown();
    EMIT_ON_ALLOC.set(false);
}

/// A value whose encoding emits.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.outer", category = "custom", level = "info", text = "outer {number}")]
struct Outer {
    /// Which.
    #[field(public)]
    number: u64,
}

/// Emits in the arguments of an emit are not inside it: they come first.
fn arguments(stage: &Stage) {
    let tracer = stage.common_tracer();
    for number in 0..100 {
        emit!(
            tracer,
            Outer {
                number: {
                    emit_quietly();
                    number
                }
            }
        );
    }
}

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        emit_quietly();
        // And with memory.
        if let Some(tracer) = TRACER.get() {
            let text = text_of(7);
            emit!(
                tracer,
                Numbered {
                    lane: 101,
                    number: QUIET_ATTEMPTS.fetch_add(1, Ordering::Relaxed),
                    text: &text[..0]
                }
            );
        }
    }
}

thread_local! {
    static EARLY: RefCell<Option<Last>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Last>> = const { RefCell::new(None) };
}

extern "C" fn at_the_very_end(_: *mut libc::c_void) {
    emit_quietly();
}

fn thread_end(stage: &Stage) {
    let tracer = stage.common_tracer();
    let mut key = 0;
    // SAFETY: the key is written by the call; the destructor is a function that lives as long as the program.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(at_the_very_end)) }, 0);
    for lane in 0..20 {
        // Not a scope, which does not wait for destructors.
        let thread = std::thread::spawn(move || {
            // SAFETY: the key exists; the value is never followed.
            unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
            // Destroyed after the thread's slots, before them, and on a thread that has not emitted.
            if lane % 3 != 1 {
                EARLY.set(Some(Last));
            }
            if lane % 3 != 2 {
                emit_range(tracer, lane, 0..20);
            }
            if lane % 3 != 0 {
                LATE.set(Some(Last));
            }
        });
        thread.join().expect("a thread");
    }
}
