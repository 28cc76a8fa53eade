//! Signal handlers that emit, to lane 100.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::{Event, Tracer, emit, signal_scope};

use crate::{FORBIDDEN, IN_HANDLER, QUIET_ATTEMPTS, Stage, TRACER, emit_quietly, emit_range, say};

/// Not used before a handler does.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.rare", category = "custom", level = "info", text = "rare {number}")]
struct Rare {
    /// Which.
    #[field(public)]
    number: u64,
}

/// Off until named; with a field that is off until named, one that is cut, and a secret.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.shy", category = "custom", level = "info", text = "shy {number}", opt_in)]
struct Shy<'a> {
    /// Which.
    #[field(public)]
    number: u64,
    /// Anything.
    #[field(personal, opt_in)]
    extra: Option<&'a str>,
    /// Never stored.
    #[field(secret)]
    password: &'a str,
    /// From where.
    #[field(personal, reduce = "prefix(24, 48)")]
    from: std::net::IpAddr,
}

const QUIET: u32 = 0;
const RARE: u32 = 1;
const SHY: u32 = 2;
const SCOPED: u32 = 3;

static MODE: AtomicU32 = AtomicU32::new(QUIET);
static RARE_ATTEMPTS: AtomicU64 = AtomicU64::new(0);
static SHY_ATTEMPTS: AtomicU64 = AtomicU64::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);

fn emit_shy(tracer: &Tracer) {
    emit!(
        tracer,
        Shy {
            number: SHY_ATTEMPTS.fetch_add(1, Ordering::Relaxed),
            extra: Some("more"),
            password: "correct horse",
            from: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 77)),
        }
    );
}

fn emit_rare(tracer: &Tracer) {
    emit!(tracer, Rare { number: RARE_ATTEMPTS.fetch_add(1, Ordering::Relaxed) });
}

extern "C" fn handler(_: libc::c_int) {
    // SAFETY: the address of this thread's errno, valid as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; only this thread reads and writes it.
    let before = unsafe { *errno };
    let outer = IN_HANDLER.replace(true);
    if let Some(tracer) = TRACER.get() {
        match MODE.load(Ordering::Relaxed) {
            RARE => emit_rare(tracer),
            SHY => emit_shy(tracer),
            SCOPED => {
                let _scope = signal_scope();
                emit_quietly();
            }
            _ => emit_quietly(),
        }
    }
    IN_HANDLER.set(outer);
    HANDLED.fetch_add(1, Ordering::Release);
    // SAFETY: as above.
    unsafe { *errno = before };
}

fn install(flags: libc::c_int) {
    // SAFETY: the handler allocates nothing and takes no lock, which is what these tests check; the structure is
    // all zero but for what is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = flags | libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
}

fn raise(times: u32) {
    for _ in 0..times {
        // SAFETY: no memory is involved; the handler is installed.
        unsafe { libc::raise(libc::SIGUSR1) };
    }
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() }
}

fn send(thread: libc::pthread_t) {
    // SAFETY: the caller names a thread that is joined later, so its id is valid.
    unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
}

fn say_attempts(others: u64) {
    let all = [&QUIET_ATTEMPTS, &RARE_ATTEMPTS, &SHY_ATTEMPTS].map(|n| n.load(Ordering::Relaxed));
    say("attempts", others + all.iter().sum::<u64>());
    say("handled", HANDLED.load(Ordering::Relaxed));
    say("forbidden", FORBIDDEN.load(Ordering::Relaxed));
}

pub(crate) fn run(case: &str, stage: &Stage) {
    match case {
        "ring" => {
            let tracer = stage.common_tracer();
            emit_range(tracer, 0, 0..10);
            install(0);
            raise(1000);
            emit_range(tracer, 0, 10..20);
            say_attempts(20);
        }
        "no-ring" => {
            let tracer = stage.common_tracer();
            install(0);
            raise(500);
            // On a thread whose ring is of another tracer.
            let other = stage.tracer("other");
            emit_range(&other, 0, 0..1);
            raise(500);
            std::thread::scope(|scope| {
                scope.spawn(|| emit_range(tracer, 1, 0..10));
            });
            say_attempts(11);
        }
        "unlearned" => {
            let tracer = stage.common_tracer();
            emit_range(tracer, 0, 0..10);
            install(0);
            MODE.store(RARE, Ordering::Relaxed);
            raise(100);
            emit_rare(tracer);
            raise(100);
            say_attempts(10);
        }
        "opt-in" => {
            let tracer = stage.common_tracer();
            emit_range(tracer, 0, 0..10);
            install(0);
            MODE.store(SHY, Ordering::Relaxed);
            raise(100);
            emit_shy(tracer);
            raise(400);
            say_attempts(10);
        }
        "scope" => {
            let tracer = stage.common_tracer();
            install(libc::SA_NODEFER);
            MODE.store(SCOPED, Ordering::Relaxed);
            raise(100);
            emit_range(tracer, 0, 0..10);
            raise(100);
            emit_range(tracer, 0, 10..20);
            say_attempts(20);
        }
        "inside-emit" => inside_emit(stage),
        "inside-malloc" => inside_malloc(stage),
        "inside-first-emit" => inside_first_emit(stage),
        other => panic!("no case {other}"),
    }
}

/// Sends signals to `thread` until `stop`.
fn shower(thread: libc::pthread_t, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        send(thread);
        std::thread::sleep(Duration::from_micros(30));
    }
}

fn inside_emit(stage: &Stage) {
    let tracer = stage.common_tracer();
    install(0);
    let (stop, main) = (AtomicBool::new(false), this_thread());
    let mut number = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| shower(main, &stop));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            emit_range(tracer, 0, number..number + 50);
            number += 50;
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(300) {
                std::hint::spin_loop();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    say("lane0", number);
    say_attempts(number);
}

/// Allocates and frees in the ways that take the allocator's locks, until `is_over`.
fn allocate(mut is_over: impl FnMut() -> bool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for i in 0_usize.. {
        kept.push(Vec::with_capacity(1100 + (i * 7919) % 30_000));
        if kept.len() == 40 {
            kept.clear();
            if is_over() {
                return;
            }
        }
    }
}

fn inside_malloc(stage: &Stage) {
    let tracer = stage.common_tracer();
    install(0);
    emit_range(tracer, 0, 0..10);
    // A thread with a ring, for two seconds.
    let (stop, main) = (AtomicBool::new(false), this_thread());
    std::thread::scope(|scope| {
        scope.spawn(|| shower(main, &stop));
        let begun = Instant::now();
        allocate(|| begun.elapsed() > Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
    });
    // Threads without one, each of which is interrupted for the first time.
    for _ in 0..400 {
        let (ready, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let before = HANDLED.load(Ordering::Acquire);
        let thread = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                thread.store(this_thread(), Ordering::Relaxed);
                allocate(|| {
                    ready.store(true, Ordering::Release);
                    over.load(Ordering::Relaxed)
                });
            });
            while !ready.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            send(thread.load(Ordering::Relaxed));
            while HANDLED.load(Ordering::Acquire) == before {
                std::thread::yield_now();
            }
            over.store(true, Ordering::Relaxed);
        });
    }
    say_attempts(10);
}

/// The way to a thread's first ring is interrupted.
fn inside_first_emit(stage: &Stage) {
    let tracer = stage.common_tracer();
    install(0);
    for lane in 0..60 {
        let (stop, thread) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let emitter = scope.spawn(|| {
                thread.store(this_thread(), Ordering::Relaxed);
                emit_range(tracer, lane, 0..20);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            while thread.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            for _ in 0..50 {
                send(thread.load(Ordering::Relaxed));
            }
            stop.store(true, Ordering::Relaxed);
            emitter.join().expect("the emitter");
        });
    }
    say_attempts(60 * 20);
}
