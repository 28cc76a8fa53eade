//! An allocator that counts what each thread holds, so that a test can say how much memory a call took at most.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Without a destructor, so that they may be used at any time in a thread's life.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: every call is handed on to the system's allocator as it came, and what that returns is returned; counting
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the memory came from the system's allocator, by one of these functions, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // For a moment there may be both.
        count(new_size as i64);
        count(-(layout.size() as i64));
        // SAFETY: as in `dealloc`, and the caller promises that the new size is possible.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// What a call on this thread returned, and how many bytes more than before it had at one time at most.
pub(crate) fn peak_of<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.get();
    PEAK.set(before);
    let out = call();
    (out, u64::try_from(PEAK.get() - before).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_was_freed_again() {
        let ((), peak) = peak_of(|| drop(std::hint::black_box(vec![0_u8; 1 << 20])));
        assert!((1 << 20..1 << 21).contains(&peak), "{peak}");
        let (kept, peak) = peak_of(|| vec![0_u8; 1 << 10]);
        assert!(peak >= 1 << 10 && kept.len() == 1 << 10);
    }
}
