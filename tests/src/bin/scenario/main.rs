//! Component processes that do what a test cannot do in its own process: fork, take signals, emit in an allocator, run
//! into limits. Usage: `scenario NAME DIR`. What it did stands on its standard output, as lines of `key=number`.
//!
//! Events of lanes below 100 carry the text that belongs to their number; those of other lanes carry none, since they
//! are emitted where nothing may be allocated.
#![allow(unsafe_code)]

mod forks;
mod loads;
mod nested;
mod signals;
mod stuck;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, text_of};

/// Where signal handlers, destructors and the allocator find the tracer.
static TRACER: OnceLock<Tracer> = OnceLock::new();
/// Attempts of lane 100: arguments are evaluated only if the event is on.
static QUIET_ATTEMPTS: AtomicU64 = AtomicU64::new(0);
/// Allocations inside a signal handler.
static FORBIDDEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    static EMIT_ON_ALLOC: Cell<bool> = const { Cell::new(false) };
}

struct Watched;

// SAFETY: everything is passed on to the system's allocator; what is done besides returns, and does not unwind.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IN_HANDLER.get() {
            FORBIDDEN.fetch_add(1, Ordering::Relaxed);
        }
        if EMIT_ON_ALLOC.get() {
            emit_quietly();
        }
        // SAFETY: the caller keeps the promises of this method, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if IN_HANDLER.get() {
            FORBIDDEN.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Emits to lane 100 through the common tracer.
fn emit_quietly() {
    if let Some(tracer) = TRACER.get() {
        emit!(
            tracer,
            Numbered { lane: 100, number: QUIET_ATTEMPTS.fetch_add(1, Ordering::Relaxed), text: "" }
        );
    }
}

fn emit_range(tracer: &Tracer, lane: u32, numbers: std::ops::Range<u64>) {
    for number in numbers {
        emit!(tracer, Numbered { lane, number, text: &text_of(number) });
    }
}

fn say(key: &str, number: u64) {
    println!("{key}={number}");
}

/// The place that the test has made.
struct Stage {
    base: PathBuf,
    dirs: Dirs,
    control: Control,
}

impl Stage {
    fn tracer(&self, component: &str) -> Tracer {
        Tracer::builder(component).dir(&self.base).attach().expect("attached")
    }

    /// The tracer that handlers, destructors and the allocator use.
    fn common_tracer(&self) -> &'static Tracer {
        TRACER.get_or_init(|| self.tracer("common"))
    }
}

fn main() {
    tracewell_tests::end_with_the_tracers_threads();
    let args: Vec<String> = std::env::args().collect();
    let base = PathBuf::from(&args[2]);
    let dirs = Dirs::resolve(Some(Path::new(&base))).expect("a directory");
    let control = Control::open(&dirs).expect("the page").expect("the page");
    let stage = Stage { base, dirs, control };
    let (group, case) = args[1].split_once('/').expect("GROUP/CASE");
    match group {
        "fork" => forks::run(case, &stage),
        "signal" => signals::run(case, &stage),
        "nested" => nested::run(case, &stage),
        "load" => loads::run(case, &stage),
        "stuck" => stuck::run(case, &stage),
        other => panic!("no group {other}"),
    }
    say("done", 1);
}
