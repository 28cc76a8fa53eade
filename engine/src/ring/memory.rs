//! The bytes of a ring: a mapped file on tmpfs. Its first part is there from the start, the rest is added before it
//! is needed; no store to what is there can fault.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use rustix::mm::Advice;
use tracewell_schema::format::ring as layout;

use super::cursor;
use crate::sigbus::Guarded;

/// Data bytes that a new ring has: enough for thousands of events, and made in less than a tenth of a millisecond.
const FIRST: u64 = 256 * 1024;
/// Data bytes added at once.
const STEP: u64 = 256 * 1024;

/// The mapping of one ring file: a header page, then `capacity` bytes.
///
/// It stays mapped as long as this value lives. The file is never made shorter by us; it lies in a private
/// directory (0700) of this user, so nobody else can.
#[derive(Debug)]
pub(crate) struct RingMemory {
    /// Of the header page and of the data. Before the mapping, so that they are dropped before it.
    guards: [Guarded; 2],
    map: MmapRaw,
    capacity: u64,
    /// Data bytes, from the start, whose pages are allocated *and* mapped.
    ready: AtomicU64,
}

impl RingMemory {
    /// Maps the ring in `file`, which must be new and empty, and makes its first part ready.
    ///
    /// A full tmpfs is an error here, never a SIGBUS in an emit.
    pub(crate) fn create(file: &File, capacity: u64) -> io::Result<Self> {
        debug_assert!(capacity.is_power_of_two());
        let len = layout::PAGE as u64 + capacity;
        ftruncate(file, len)?;
        let bytes = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(bytes).map_raw(file)?;
        let data = map.as_ptr().wrapping_add(layout::PAGE);
        let guards = [
            Guarded::new(map.as_ptr(), layout::PAGE, false),
            Guarded::new(data, bytes - layout::PAGE, false),
        ];
        let memory = Self { guards, map, capacity, ready: AtomicU64::new(0) };
        match memory.populate(0, layout::PAGE as u64 + FIRST.min(capacity)) {
            Ok(()) => memory.ready.store(FIRST.min(capacity), Ordering::Relaxed),
            // Before Linux 5.14: allocate all of it, then touch it.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                fallocate(file, FallocateFlags::empty(), 0, len)?;
                for offset in (0..bytes).step_by(layout::PAGE) {
                    // SAFETY: `offset` is inside the mapping, whose pages `fallocate` has backed; nobody else knows
                    // of this memory yet.
                    unsafe { memory.map.as_mut_ptr().add(offset).write_volatile(0) };
                }
                memory.ready.store(capacity, Ordering::Relaxed);
            }
            Err(e) => return Err(e),
        }
        // Core dumps leave rings out: they hold personal data that a dump's reader has not asked for.
        let _ = memory.advise(0, len, Advice::LinuxDontDump);
        let _ = memory.advise(0, len, Advice::LinuxDontFork);
        Ok(memory)
    }

    fn advise(&self, from: u64, to: u64, advice: Advice) -> io::Result<()> {
        assert!(from <= to && to <= self.map.len() as u64);
        // SAFETY: the range is inside our own mapping (asserted; memmap2 made it), and none of the advices used here
        // changes its contents in this process.
        unsafe {
            let start = self.map.as_mut_ptr().add(from as usize);
            rustix::mm::madvise(start.cast(), (to - from) as usize, advice)
        }?;
        Ok(())
    }

    /// Allocates and maps the pages of a range.
    fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        self.advise(from, to, Advice::LinuxPopulateWrite).map_err(|e| match e.raw_os_error() {
            // What a store would have met as SIGBUS.
            Some(libc::EFAULT) => io::Error::from_raw_os_error(libc::ENOSPC),
            _ => e,
        })
    }

    /// Data bytes, from the start, that may be written without a fault.
    pub(crate) fn ready(&self) -> u64 {
        // Relaxed: whoever stored it made the pages part of this address space before, for every thread.
        self.ready.load(Ordering::Relaxed)
    }

    /// Makes at least `to` data bytes ready. One caller at a time (`Ring::grow`).
    pub(crate) fn grow(&self, to: u64) -> io::Result<()> {
        let page = layout::PAGE as u64;
        cursor::grow(&self.ready, to, self.capacity, STEP, |from, to| self.populate(page + from, page + to))
    }

    /// Whether the file was cut under the mapping, so that memory of our own is in its place (`sigbus.rs`): of the
    /// header, or of the data.
    pub(crate) fn is_broken(&self) -> bool {
        self.guards.iter().any(Guarded::is_replaced)
    }

    /// Whether that happened to the header: its counts began again at zero.
    pub(crate) fn has_lost_header(&self) -> bool {
        self.guards[0].is_replaced()
    }

    /// Capacity in bytes: a power of two.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Start of the data area.
    pub(crate) fn data(&self) -> *mut u8 {
        self.map.as_mut_ptr().wrapping_add(layout::PAGE)
    }

    /// The 64-bit word of the header page at `offset`.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= layout::PAGE);
        // SAFETY: the offset is aligned and inside the header page (asserted above); the mapping lives as long as
        // `self`; all access to these words in this process is atomic, through this function.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// The ring's state word.
    pub(crate) fn state(&self) -> &AtomicU32 {
        // SAFETY: STATE is a multiple of four inside the header page; the mapping lives as long as `self`; all
        // access in this process is atomic, through this function.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(layout::STATE).cast()) }
    }

    /// Writes the static part of the header. Only while the ring is free (no producer, nothing committed).
    pub(crate) fn write_static(&self, page: &[u8; layout::PAGE]) {
        let words = layout::STATIC_LEN / 8;
        for (i, chunk) in page.chunks_exact(8).take(words).enumerate() {
            if i * 8 == layout::STATE {
                continue;
            }
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            self.word(i * 8).store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// Asks for the lines of `[from, to)`, as a hint.
    pub(crate) fn fetch(&self, from: u64, to: u64) {
        #[cfg(target_arch = "x86_64")]
        for position in (from..to).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let at = position & (self.capacity - 1);
            // SAFETY: a prefetch gives no value to the program and faults never.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.data().wrapping_add(at as usize).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (from, to);
    }

    /// The committed bytes `[from, to)`, in place.
    ///
    /// # Safety
    /// The caller is the drain: it read `to` or more from the head (Acquire), `from` is not below the tail, and the
    /// tail does not pass `from` while the slice lives.
    pub(crate) unsafe fn committed(&self, from: u64, to: u64) -> &[u8] {
        let at = from & (self.capacity - 1);
        let len = to - from;
        assert!(at + len <= self.capacity, "a block crosses a lap");
        // SAFETY: [at, at + len) is inside the data area (asserted); those bytes are committed and, as the caller
        // promises, not released, so the producer does not write them (`cursor::room` never gives out a byte above
        // tail + capacity).
        unsafe { std::slice::from_raw_parts(self.data().add(at as usize), len as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_grows_and_holds_what_is_written() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let memory = RingMemory::create(&file, 1 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (1 << 20) + 4096);
        let first = memory.ready();
        assert!((1..=1 << 20).contains(&first));
        memory.grow(first + 1).unwrap();
        assert!(memory.ready() > first || first == 1 << 20);
        memory.grow(1 << 20).unwrap();
        assert_eq!(memory.ready(), 1 << 20);
        memory.word(layout::HEAD).store(24, Ordering::Release);
        // SAFETY: nobody writes.
        assert_eq!(unsafe { memory.committed(0, 24) }, [0; 24]);
    }
}
