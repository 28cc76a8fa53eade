//! The atomics that the engine's files get in the models: loom's, but every operation knows where in the source it
//! stands, and one of them can be weakened: an order to Relaxed, an exchange to a load and a store, a fence to nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::Location;

use loom::sync::atomic as real;
pub(crate) use loom::sync::atomic::Ordering;

/// A place in a source file of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

thread_local! {
    /// What the models of this thread have come by.
    static SEEN: RefCell<BTreeSet<Site>> = const { RefCell::new(BTreeSet::new()) };
    static WEAK: Cell<Option<Site>> = const { Cell::new(None) };
}

/// The sites that the models of this thread have come by since the last call.
pub(crate) fn take_seen() -> BTreeSet<Site> {
    SEEN.take()
}

/// From now on the models of this thread run with this site weakened.
pub(crate) fn weaken(site: Option<Site>) {
    WEAK.set(site);
}

/// Notes an operation that can be weakened; whether it is.
#[track_caller]
fn is_weak() -> bool {
    let at = Location::caller();
    if !at.file().contains("/src/") {
        return false;
    }
    let site = Site { file: at.file(), line: at.line(), column: at.column() };
    SEEN.with_borrow_mut(|seen| seen.insert(site));
    WEAK.get() == Some(site)
}

#[track_caller]
fn order(order: Ordering) -> Ordering {
    if order != Ordering::Relaxed && is_weak() { Ordering::Relaxed } else { order }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(real::$name);

        #[allow(dead_code)]
        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(real::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, with: Ordering) -> $value {
                let with = order(with);
                instruction();
                self.0.load(with)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, with: Ordering) {
                let with = order(with);
                instruction();
                self.0.store(value, with);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, with: Ordering) -> $value {
                if is_weak() {
                    let before = self.0.load(Ordering::Relaxed);
                    self.0.store(value, Ordering::Relaxed);
                    return before;
                }
                self.0.swap(value, with)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                with: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if is_weak() {
                    let before = self.0.load(Ordering::Relaxed);
                    if before != from {
                        return Err(before);
                    }
                    self.0.store(to, Ordering::Relaxed);
                    return Ok(before);
                }
                self.0.compare_exchange(from, to, with, failure)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);

impl AtomicU64 {
    #[track_caller]
    pub(crate) fn fetch_add(&self, value: u64, with: Ordering) -> u64 {
        if is_weak() {
            let before = self.0.load(Ordering::Relaxed);
            self.0.store(before.wrapping_add(value), Ordering::Relaxed);
            return before;
        }
        self.0.fetch_add(value, with)
    }
}

#[track_caller]
pub(crate) fn fence(with: Ordering) {
    if !is_weak() {
        real::fence(with);
    }
}

/// In most models both halves of the asymmetric barrier are full fences: [`full_barrier`] is the other.
#[track_caller]
pub(crate) fn light_barrier() {
    if !is_weak() && !BY_MEMBARRIER.get() {
        real::fence(Ordering::SeqCst);
    }
}

/// No model forks.
pub(crate) fn own_pid() -> u32 {
    1
}

/// What `fork::full_barrier` is in most models.
pub(crate) fn full_barrier() {
    real::fence(Ordering::SeqCst);
}

thread_local! {
    static BY_MEMBARRIER: Cell<bool> = const { Cell::new(false) };
}

/// The models of this thread have [`membarrier`] instead.
pub(crate) fn by_membarrier() -> bool {
    BY_MEMBARRIER.get()
}

/// While it lives, the models of this thread have [`membarrier`].
pub(crate) struct WithMembarrier;

impl WithMembarrier {
    pub(crate) fn new() -> Self {
        BY_MEMBARRIER.set(true);
        Self
    }
}

impl Drop for WithMembarrier {
    fn drop(&mut self) {
        BY_MEMBARRIER.set(false);
    }
}

// `membarrier` as it is: the kernel makes the other thread pass a barrier somewhere between two of its instructions, and
// before and after that point nothing else is ordered.
loom::lazy_static! {
    static ref ASKED: real::AtomicBool = real::AtomicBool::new(false);
    static ref PASSED: real::AtomicBool = real::AtomicBool::new(false);
}

loom::thread_local! {
    /// This thread is to pass a barrier when it is asked.
    static BARRED: Cell<bool> = Cell::new(false);
}

/// The other thread of the model: from now on until the guard is dropped it can be made to pass a barrier.
pub(crate) struct Barred;

impl Barred {
    pub(crate) fn new() -> Self {
        BARRED.with(|barred| barred.set(true));
        Self
    }
}

impl Drop for Barred {
    fn drop(&mut self) {
        // A thread that has ended is past everything.
        if BARRED.with(|barred| barred.replace(false)) {
            PASSED.store(true, Ordering::Release);
        }
    }
}

/// Between two instructions of the other thread.
fn instruction() {
    if BY_MEMBARRIER.get() && BARRED.with(Cell::get) && ASKED.load(Ordering::Acquire) {
        BARRED.with(|barred| barred.set(false));
        PASSED.store(true, Ordering::Release);
    }
}

/// Returns when the other thread has passed a barrier.
pub(crate) fn membarrier() {
    ASKED.store(true, Ordering::Release);
    while !PASSED.load(Ordering::Acquire) {
        loom::thread::yield_now();
    }
}
