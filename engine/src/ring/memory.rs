//! The bytes of a ring: a mapped file on tmpfs, created whole so that no store to it can fault later.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};
use tracewell_schema::format::ring as layout;

/// The mapping of one ring file: a header page, then `capacity` bytes.
///
/// It stays mapped as long as this value lives. The file is never made shorter by us; it lies in a private
/// directory (0700) of this user, so nobody else can.
#[derive(Debug)]
pub(crate) struct RingMemory {
    map: MmapRaw,
    capacity: u64,
}

impl RingMemory {
    /// Allocates and maps the ring in `file`, which must be new and empty.
    ///
    /// Every page is allocated *and* mapped before this returns: a full tmpfs is an error here, never a SIGBUS in
    /// an emit.
    pub(crate) fn create(file: &File, capacity: u64) -> io::Result<Self> {
        debug_assert!(capacity.is_power_of_two());
        let len = layout::PAGE as u64 + capacity;
        fallocate(file, FallocateFlags::empty(), 0, len)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(len).map_raw(file)?;
        let memory = Self { map, capacity };
        memory.populate()?;
        // Core dumps leave rings out: they hold personal data that a dump's reader has not asked for.
        let _ = memory.advise(rustix::mm::Advice::LinuxDontDump);
        let _ = memory.advise(rustix::mm::Advice::LinuxDontFork);
        Ok(memory)
    }

    fn advise(&self, advice: rustix::mm::Advice) -> io::Result<()> {
        // SAFETY: the range is exactly our own mapping (memmap2 made it), and none of the advices used here changes
        // its contents in this process.
        unsafe { rustix::mm::madvise(self.map.as_mut_ptr().cast(), self.map.len(), advice) }?;
        Ok(())
    }

    fn populate(&self) -> io::Result<()> {
        match self.advise(rustix::mm::Advice::LinuxPopulateWrite) {
            Ok(()) => Ok(()),
            // Before Linux 5.14: the pages are allocated, touching them maps them.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                for offset in (0..self.map.len()).step_by(layout::PAGE) {
                    // SAFETY: `offset` is inside the mapping, whose pages `fallocate` has backed; nobody else knows
                    // of this memory yet.
                    unsafe { self.map.as_mut_ptr().add(offset).write_volatile(0) };
                }
                Ok(())
            }
            Err(e) => Err(e),
        }
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

    /// Copies the committed bytes `[from, to)` to the end of `out`.
    ///
    /// The caller is the drain: it read `to` or more from the head (Acquire), `from` is not below the tail, and
    /// the range does not cross the end of a lap.
    pub(crate) fn copy_out(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        let at = from & (self.capacity - 1);
        let len = to - from;
        assert!(at + len <= self.capacity, "a block crosses a lap");
        // SAFETY: [at, at + len) is inside the data area (asserted); those bytes are committed and not released, so
        // the producer does not write them (`cursor::room` never gives out a byte above tail + capacity).
        let bytes = unsafe { std::slice::from_raw_parts(self.data().add(at as usize), len as usize) };
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_backed_whole_and_holds_what_is_written() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let memory = RingMemory::create(&file, 65_536).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 65_536 + 4096);
        memory.word(layout::HEAD).store(24, Ordering::Release);
        let mut out = Vec::new();
        memory.copy_out(0, 24, &mut out);
        assert_eq!(out, [0; 24]);
    }
}
