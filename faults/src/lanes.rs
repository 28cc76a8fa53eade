//! What a component says of itself outside of the trace: a file mapped shared by it, its forks and successors, and read
//! by the test. One word a lane: how many events were attempted, stored after the emit has returned; then words that a
//! scene gives names to.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lanes that an oracle can have.
pub(crate) const LANES: usize = 1 << 17;
/// Lanes from here on carry no text: they are emitted where nothing may be allocated.
pub(crate) const QUIET: u32 = 1 << 16;
/// Named words.
pub(crate) const WORDS: usize = 64;
const LEN: usize = (LANES + WORDS) * 8;

/// The mapped file.
pub(crate) struct Oracle {
    words: *const AtomicU64,
}

// SAFETY: atomics in a mapping that is never unmapped.
unsafe impl Send for Oracle {}
// SAFETY: as above.
unsafe impl Sync for Oracle {}

impl Oracle {
    /// Maps the file, made if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file: File = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(LEN as u64)?;
        // SAFETY: a shared mapping of the whole file at an address of the kernel's choice; the file stays as long.
        let at = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                LEN,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        Ok(Self { words: at.cast() })
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < LANES + WORDS);
        // SAFETY: inside the mapping (asserted), aligned, and only used as an atomic.
        unsafe { &*self.words.add(index) }
    }

    /// Attempts of a lane.
    pub(crate) fn lane(&self, lane: u32) -> &AtomicU64 {
        self.at(lane as usize)
    }

    /// A named word.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        self.at(LANES + index)
    }

    /// All attempts of lanes.
    pub(crate) fn attempted(&self) -> u64 {
        (0..LANES).map(|lane| self.at(lane).load(Ordering::Relaxed)).sum()
    }
}
