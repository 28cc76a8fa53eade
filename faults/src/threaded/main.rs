//! Component of `faults threads`: scenes with signals, forks, allocators, thread ends and the like, in a process of its
//! own. Usage: `threaded SCENE DIR ORACLE SEED AMOUNT`; what AMOUNT counts is the scene's. What was attempted stands in
//! the oracle; what else there is to say on standard output, as lines of `key=number`.
#![allow(unsafe_code)]

#[path = "../lanes.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../random.rs"]
#[allow(dead_code)]
mod random;

mod crowds;
mod ends;
mod forks;
mod signals;
mod soak;
mod switches;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, text_of};

use oracle::{Oracle, QUIET};
use random::Random;

/// Where signal handlers, destructors and the allocator find the tracer.
static TRACER: OnceLock<Tracer> = OnceLock::new();
static ORACLE: OnceLock<Oracle> = OnceLock::new();
/// Allocations inside a signal handler.
static FORBIDDEN: AtomicU64 = AtomicU64::new(0);
/// Ends the loops of threads.
static STOP: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    static EMIT_ON_ALLOC: Cell<bool> = const { Cell::new(false) };
}

/// Lane of the allocator's emits.
const ALLOC: u32 = QUIET;

struct Watched;

impl Watched {
    fn notice(&self) {
        if IN_HANDLER.get() {
            FORBIDDEN.fetch_add(1, Ordering::Relaxed);
        } else if EMIT_ON_ALLOC.get() {
            emit_shared(ALLOC);
        }
    }
}

// SAFETY: everything is passed on to the system's allocator; what is done besides returns, and does not unwind.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.notice();
        // SAFETY: the caller keeps the promises of this method, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.notice();
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

fn oracle() -> &'static Oracle {
    ORACLE.get().expect("set by main")
}

/// Emits the next number of a lane that this thread alone uses; counts it when the emit has returned.
fn emit_own(tracer: &Tracer, lane: u32) {
    let count = oracle().lane(lane);
    let number = count.load(Ordering::Relaxed);
    let text = if lane < QUIET { text_of(number) } else { String::new() };
    emit!(tracer, Numbered { lane, number, text: &text });
    count.store(number + 1, Ordering::Release);
}

/// Emits the next number of a lane that many use, from anywhere: no lock, no allocation. Not counted while it is off.
fn emit_shared(lane: u32) {
    if let (Some(tracer), Some(oracle)) = (TRACER.get(), ORACLE.get()) {
        let count = oracle.lane(lane);
        emit!(tracer, Numbered { lane, number: count.fetch_add(1, Ordering::Relaxed), text: "" });
    }
}

fn say(key: &str, number: u64) {
    println!("{key}={number}");
}

fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

fn stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// The place that the test has made, and how much is to be done.
struct Stage {
    base: PathBuf,
    dirs: Dirs,
    control: Control,
    oracle_path: PathBuf,
    seed: u64,
    amount: u64,
}

impl Stage {
    /// The tracer that handlers, destructors and the allocator use.
    fn tracer(&self) -> &'static Tracer {
        self.tracer_with(1 << 20)
    }

    fn tracer_with(&self, ring_size: u64) -> &'static Tracer {
        TRACER.get_or_init(|| {
            Tracer::builder("threaded").dir(&self.base).ring_size(ring_size).attach().expect("attached")
        })
    }

    fn random(&self, stream: u64) -> Random {
        Random::new(self.seed.wrapping_mul(1009).wrapping_add(stream))
    }

    fn time(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.amount)
    }
}

fn main() {
    tracewell_tests::end_with_the_tracers_threads();
    let args: Vec<String> = std::env::args().collect();
    let [_, scene, base, oracle, seed, amount] = &args[..] else {
        panic!("usage: threaded SCENE DIR ORACLE SEED AMOUNT")
    };
    let base = PathBuf::from(base);
    let dirs = Dirs::resolve(Some(Path::new(&base))).expect("a directory");
    let control = Control::open(&dirs).expect("the page").expect("the page");
    let oracle_path = PathBuf::from(oracle);
    let _ = ORACLE.set(Oracle::open(&oracle_path).expect("the oracle"));
    let number = |text: &String| text.parse().expect("a number");
    let stage = Stage { base, dirs, control, oracle_path, seed: number(seed), amount: number(amount) };
    match scene.as_str() {
        "timers" => signals::timers(&stage),
        "storm" => signals::storm(&stage),
        "allocator" => signals::allocator(&stage),
        "pauses" => signals::pauses(&stage),
        "paused" => signals::paused(&stage),
        "ends" => ends::ends(&stage),
        "forks" => forks::forks(&stage),
        "vfork" => forks::vfork(&stage),
        "exec" => forks::exec(&stage),
        "executed" => forks::executed(&stage),
        "churn" => crowds::churn(&stage),
        "many" => crowds::many(&stage),
        "credentials" => switches::credentials(&stage),
        "soak" => soak::soak(&stage),
        "victim" => soak::victim(&stage),
        "switches" => switches::switches(&stage),
        other => panic!("no scene {other}"),
    }
    say("forbidden", FORBIDDEN.load(Ordering::Relaxed));
    say("done", 1);
}
