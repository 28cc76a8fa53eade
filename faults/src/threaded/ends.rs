//! Emits at the end of things: destructors of threads, panics, threads that are not Rust's, the end of the process.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use crate::oracle::QUIET;
use crate::{Stage, TRACER, emit_own, emit_shared, oracle, say};

/// Lanes of destructors, keys, panic hook, unwinding, foreign threads, and the two handlers of the process's end.
const DESTROYED: u32 = QUIET + 10;
const KEY: u32 = QUIET + 11;
const HOOK: u32 = QUIET + 12;
const UNWOUND: u32 = QUIET + 13;
const FOREIGN: u32 = QUIET + 14;
const AT_EXIT: u32 = QUIET + 15;
/// After the tracer's own handler: neither delivered nor told.
pub(crate) const TOO_LATE: u32 = QUIET + 16;

struct Last(u32);

impl Drop for Last {
    fn drop(&mut self) {
        emit_shared(self.0);
        // And with memory.
        drop(std::hint::black_box(vec![0_u8; 100]));
        emit_shared(self.0);
    }
}

thread_local! {
    static EARLY: RefCell<Option<Last>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Comes again and again, as often as the C library lets it.
extern "C" fn at_the_very_end(value: *mut libc::c_void) {
    emit_shared(KEY);
    let round = value as usize;
    if round < 3 {
        let key = oracle().word(0).load(Ordering::Relaxed) as libc::pthread_key_t;
        // SAFETY: the key exists; the value is never followed.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(round + 1)) };
    }
}

extern "C" fn before_the_tracers() {
    emit_shared(AT_EXIT);
}

extern "C" fn after_the_tracers() {
    emit_shared(TOO_LATE);
}

/// The life of a thread that the C library made, which ends in the middle.
extern "C" fn foreign(_: *mut libc::c_void) -> *mut libc::c_void {
    for _ in 0..10 {
        emit_shared(FOREIGN);
    }
    std::ptr::null_mut()
}

fn foreign_thread() {
    // SAFETY: the function takes no argument and lives as long as the program; the id is joined once.
    unsafe {
        let mut id = std::mem::zeroed();
        assert_eq!(libc::pthread_create(&raw mut id, std::ptr::null(), foreign, std::ptr::null_mut()), 0);
        assert_eq!(libc::pthread_join(id, std::ptr::null_mut()), 0);
    }
}

pub(crate) fn ends(stage: &Stage) {
    // Handlers run in the opposite order: this one after the tracer's, which its first emit registers.
    // SAFETY: plain functions that live as long as the program.
    unsafe { libc::atexit(after_the_tracers) };
    let tracer = stage.tracer();
    emit_own(tracer, 0);
    // SAFETY: as above.
    unsafe { libc::atexit(before_the_tracers) };
    std::panic::set_hook(Box::new(|_| {
        emit_shared(HOOK);
        drop(std::hint::black_box(vec![0_u8; 100]));
        emit_shared(HOOK);
    }));
    let mut key = 0;
    // SAFETY: the key is written by the call; the destructor is a function that lives as long as the program.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(at_the_very_end)) }, 0);
    oracle().word(0).store(key.into(), Ordering::Relaxed);
    let mut random = stage.random(0);
    for round in 0..stage.amount {
        let kind = random.below(12);
        let lane = (round % 1000) as u32;
        // Not a scope, which does not wait for destructors.
        let thread = std::thread::spawn(move || {
            if kind.is_multiple_of(2) {
                // SAFETY: the key exists; the value is never followed.
                unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
            }
            // Destroyed after the thread's slots, before them, and on a thread that has not emitted.
            if kind % 3 != 1 {
                EARLY.set(Some(Last(DESTROYED)));
            }
            if kind % 3 != 2 {
                (0..20).for_each(|_| emit_own(tracer, lane));
            }
            if !kind.is_multiple_of(3) {
                LATE.set(Some(Last(DESTROYED)));
            }
            if kind < 6 {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _unwound = Last(UNWOUND);
                    panic!("asked for");
                }));
                assert!(caught.is_err());
            }
            if kind == 11 {
                let _unwound = Last(UNWOUND);
                panic!("asked for, and the thread ends by it");
            }
        });
        assert_eq!(thread.join().is_err(), kind == 11);
        foreign_thread();
    }
    let _ = std::panic::take_hook();
    say("rounds", stage.amount);
    assert!(TRACER.get().is_some());
}
