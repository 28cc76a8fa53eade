//! Signals: handlers that emit, wherever they interrupt a thread, and handlers that hold a thread up there.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;

use crate::oracle::QUIET;
use crate::{EMIT_ON_ALLOC, IN_HANDLER, Stage, emit_own, emit_shared, say, stop, stopped};

/// Lanes of handlers, one a signal.
const HANDLED: u32 = QUIET + 100;
/// Microseconds that the pausing handler sleeps at most.
static PAUSE: AtomicU32 = AtomicU32::new(0);
static PAUSES: AtomicU64 = AtomicU64::new(0);

/// Keeps errno, as a handler must.
fn keeping_errno(work: impl FnOnce()) {
    // SAFETY: the address of this thread's errno, valid as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; only this thread reads and writes it.
    let before = unsafe { *errno };
    let outer = IN_HANDLER.replace(true);
    work();
    IN_HANDLER.set(outer);
    // SAFETY: as above.
    unsafe { *errno = before };
}

extern "C" fn emitting(signal: libc::c_int) {
    keeping_errno(|| emit_shared(HANDLED + signal as u32));
}

extern "C" fn pausing(_: libc::c_int) {
    keeping_errno(|| {
        let most = PAUSE.load(Ordering::Relaxed);
        let mixed = PAUSES.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let micros = if most > 1_000_000 { most } else { mixed as u32 % most.max(1) };
        let time = libc::timespec {
            tv_sec: i64::from(micros / 1_000_000),
            tv_nsec: i64::from(micros % 1_000_000) * 1000,
        };
        // SAFETY: a valid time; what is left of it is not asked for.
        unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    });
}

fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handlers allocate nothing and take no lock, which is what these tests check; the structure is all
    // zero but for what is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

fn own_tid() -> i32 {
    // SAFETY: no precondition.
    unsafe { libc::gettid() }
}

/// Sends a signal to a thread of this process; nothing if it is gone.
fn send(tid: i32, signal: libc::c_int) {
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
}

/// A timer that sends `signal` to the calling thread every `period`, until the guard is dropped.
struct ThreadTimer(libc::timer_t);

impl ThreadTimer {
    fn start(signal: libc::c_int, period: Duration) -> Self {
        let step = libc::timespec { tv_sec: 0, tv_nsec: period.subsec_nanos().into() };
        let times = libc::itimerspec { it_interval: step, it_value: step };
        let mut id = std::ptr::null_mut();
        // SAFETY: both structures are whole (all-zero is valid for the rest) and only read by the calls.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = own_tid();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id), 0);
            assert_eq!(libc::timer_settime(id, 0, &raw const times, std::ptr::null_mut()), 0);
        }
        Self(id)
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        // SAFETY: the timer exists until here.
        unsafe { libc::timer_delete(self.0) };
    }
}

fn interval_timer(which: libc::c_int, period: Duration) {
    let step = libc::timeval { tv_sec: 0, tv_usec: period.subsec_micros().into() };
    let times = libc::itimerval { it_interval: step, it_value: step };
    // SAFETY: the structure is whole and only read.
    assert_eq!(unsafe { libc::setitimer(which as _, &raw const times, std::ptr::null_mut()) }, 0);
}

/// SIGPROF and SIGALRM of the process, and a timer of each thread, at ten kilohertz, on threads with a ring and without.
pub(crate) fn timers(stage: &Stage) {
    let tracer = stage.tracer();
    let own = libc::SIGRTMIN() + 1;
    let period = Duration::from_micros(100);
    for signal in [libc::SIGPROF, libc::SIGALRM, own] {
        install(signal, emitting);
    }
    std::thread::scope(|scope| {
        let mut threads: Vec<_> = (0..3)
            .map(|lane| {
                scope.spawn(move || {
                    let _timer = ThreadTimer::start(own, period);
                    while !stopped() {
                        for _ in 0..20 {
                            emit_own(tracer, lane);
                        }
                        std::thread::sleep(Duration::from_micros(100));
                    }
                })
            })
            .collect();
        // Without a ring: every handler's emit is its first.
        threads.push(scope.spawn(move || {
            let _timer = ThreadTimer::start(own, period * 10);
            while !stopped() {
                std::hint::black_box(Vec::<u8>::with_capacity(4000));
            }
        }));
        interval_timer(libc::ITIMER_PROF, period);
        interval_timer(libc::ITIMER_REAL, period);
        wait(stage.time());
        interval_timer(libc::ITIMER_PROF, Duration::ZERO);
        interval_timer(libc::ITIMER_REAL, Duration::ZERO);
        stop();
        for thread in threads {
            thread.join().expect("a thread");
        }
    });
}

/// Sleeps, whatever interrupts it.
fn wait(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two threads shower those that emit, which come and go, with two signals whose handlers interrupt each other.
pub(crate) fn storm(stage: &Stage) {
    let tracer = stage.tracer();
    install(libc::SIGUSR1, emitting);
    install(libc::SIGUSR2, emitting);
    shower(stage, || {
        for _ in 0..200 {
            emit_own(tracer, LANE.get());
        }
    });
}

thread_local! {
    static LANE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Lives of three threads, one after another, each doing `work` under signals sent at random.
fn shower(stage: &Stage, work: impl Fn() + Sync) {
    static TIDS: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
    let mut lives = 0;
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let mut random = stage.random(sender);
                scope.spawn(move || {
                    while !stopped() {
                        let tid = TIDS[random.below(3) as usize].load(Ordering::Relaxed);
                        if tid != 0 {
                            let signal = if random.below(2) == 0 { libc::SIGUSR1 } else { libc::SIGUSR2 };
                            send(tid, signal);
                        }
                        if random.below(8) == 0 {
                            std::thread::sleep(Duration::from_micros(random.below(60)));
                        }
                    }
                })
            })
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < stage.time() {
            let threads: Vec<_> = (0..3)
                .map(|lane| {
                    let work = &work;
                    scope.spawn(move || {
                        LANE.set(lane);
                        TIDS[lane as usize].store(own_tid(), Ordering::Relaxed);
                        work();
                        // Signals may still be on their way when the thread's destructors run.
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("a thread");
            }
            lives += 3;
        }
        stop();
        for sender in senders {
            sender.join().expect("a sender");
        }
    });
    say("threads", lives);
}

/// Every allocation of the emitting threads emits, also those of their first emit; under a shower of signals, with
/// flushes meanwhile.
pub(crate) fn allocator(stage: &Stage) {
    let tracer = stage.tracer();
    install(libc::SIGUSR1, emitting);
    install(libc::SIGUSR2, emitting);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !stopped() {
                EMIT_ON_ALLOC.set(true);
                tracer.flush().expect("flushed");
                let _ = tracer.stats();
                EMIT_ON_ALLOC.set(false);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        shower(stage, || {
            EMIT_ON_ALLOC.set(true);
            for _ in 0..100 {
                emit_own(tracer, LANE.get());
            }
            EMIT_ON_ALLOC.set(false);
        });
    });
}

/// Threads are held up wherever a signal finds them, for up to five milliseconds; and the process is stopped and goes on
/// by whoever started it.
pub(crate) fn pauses(stage: &Stage) {
    let tracer = stage.tracer();
    PAUSE.store(5000, Ordering::Relaxed);
    install(libc::SIGUSR1, pausing);
    install(libc::SIGUSR2, emitting);
    shower(stage, || {
        for _ in 0..50 {
            emit_own(tracer, LANE.get());
        }
    });
    say("pauses", PAUSES.load(Ordering::Relaxed));
}

/// A thread is held up for three seconds, most likely inside an emit, while its session ends and another begins.
pub(crate) fn paused(stage: &Stage) {
    let tracer = stage.tracer();
    PAUSE.store(3_000_000, Ordering::Relaxed);
    install(libc::SIGUSR1, pausing);
    let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
    for _ in 0..stage.amount {
        let tid = AtomicI32::new(0);
        let before = PAUSES.load(Ordering::Relaxed);
        crate::STOP.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let emitter = scope.spawn(|| {
                tid.store(own_tid(), Ordering::Relaxed);
                // Half the time of an emit is clock and encoding; nearly all of this loop is emits.
                while !stopped() {
                    for _ in 0..100 {
                        emit_shared(QUIET + 1);
                    }
                }
            });
            wait(Duration::from_millis(50));
            send(tid.load(Ordering::Relaxed), libc::SIGUSR1);
            while PAUSES.load(Ordering::Relaxed) == before {
                std::hint::spin_loop();
            }
            stage.control.disable().expect("disabled");
            wait(Duration::from_millis(2500));
            stage.control.enable(&stage.dirs, &request).expect("enabled");
            for _ in 0..100 {
                emit_own(tracer, 1);
            }
            wait(Duration::from_millis(800));
            stop();
            emitter.join().expect("the emitter");
        });
    }
}
