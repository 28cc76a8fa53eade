//! What a target may take of memory and time. Both bounds are asserted, not measured: beyond them the process ends.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// Most bytes that decoding one block may hold at a time, whatever the block is.
pub const CODEC_MEMORY: usize = 8 << 20;
/// Most bytes that reading and rendering a trace may hold at a time, besides [`MEMORY_PER_BYTE`] for each byte of it.
pub const READER_MEMORY: usize = 24 << 20;
/// Most bytes that the index of a trace may hold for each byte of it: a block's entry is larger than a block's header.
pub const MEMORY_PER_BYTE: usize = 64;
/// Most processor time, ns, of one input, besides [`TIME_PER_BYTE`] for each byte that was read, decoded or written.
/// Generous: with the sanitizer everything takes several times as long.
pub const TIME: u64 = 500_000_000;
/// Processor time, ns, for each byte that was read, decoded or written.
pub const TIME_PER_BYTE: u64 = 1_000;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Counts what is allocated, and ends the process when that is more than it may be.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn add(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
    PEAK.fetch_max(live, Relaxed);
    if live > LIMIT.load(Relaxed) {
        // Before the panic's own allocations.
        LIMIT.store(usize::MAX, Relaxed);
        eprintln!("an allocation of {bytes} bytes makes it {live} bytes: more than this input may take");
        std::process::abort();
    }
}

// SAFETY: every call is passed on to `System` as it is, which keeps the contract of `GlobalAlloc`; the counts touch
// no memory of the caller.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`, which is the same; `old` came from `System`.
        unsafe { System.realloc(old, layout, new_size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same; `old` came from `System`.
        unsafe { System.dealloc(old, layout) }
    }
}

fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs `work`, which returns how many bytes it read, decoded and wrote, within bounds of memory and time.
///
/// # Panics
/// If it took longer than it may. If it takes more memory, the process ends at once.
pub fn bounded(memory: usize, work: impl FnOnce() -> u64) {
    let live = LIVE.load(Relaxed);
    PEAK.store(live, Relaxed);
    LIMIT.store(live.saturating_add(memory), Relaxed);
    let begun = processor_time();
    let bytes = work();
    let taken = processor_time() - begun;
    LIMIT.store(usize::MAX, Relaxed);
    let most = TIME.saturating_add(bytes.saturating_mul(TIME_PER_BYTE));
    assert!(taken <= most, "{taken} ns of processor time for {bytes} bytes: more than this input may take");
}

/// Most bytes that were held at a time since the last [`bounded`] began, what was there before included.
#[must_use]
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}
