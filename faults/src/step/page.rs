//! The oracle: a page that the child and the tracer share, outside of the engine.
//!
//! The child writes down what it is about to emit, and after the emit returned that it did. Both are stores of its own
//! thread, so at every instruction the page says exactly which emits had returned.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// Threads, or handlers, that emit.
pub(super) const LANES: usize = 64;
/// Emits of a lane.
pub(super) const EMITS: usize = 1024;

/// What an emit is expected to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Expect {
    /// Recovered once it returned.
    Delivered = 0,
    /// Refused for want of room, counted once it returned.
    Full = 1,
    /// Refused since it is larger than the ring takes.
    TooBig = 2,
    /// Off: neither recovered nor counted.
    Nothing = 3,
    /// Recovered or counted, once it returned.
    Either = 4,
    /// Recovered, counted, or counted where a crash forgets it (in the process's own memory).
    Any = 5,
}

impl Expect {
    fn from_code(code: u8) -> Self {
        [Self::Delivered, Self::Full, Self::TooBig, Self::Nothing, Self::Either, Self::Any]
            .into_iter()
            .find(|e| *e as u8 == code)
            .unwrap_or(Self::Any)
    }
}

/// One lane's emits. All atomics: two processes look at them.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Lane {
    /// Emits that were begun.
    pub(super) begun: AtomicU64,
    /// Emits that returned.
    pub(super) acked: AtomicU64,
    expect: [AtomicU8; EMITS],
}

impl Lane {
    /// What emit `number` is expected to come to.
    pub(super) fn expected(&self, number: u64) -> Expect {
        let code = self.expect.get(number as usize).map_or(u8::MAX, |e| e.load(Ordering::Relaxed));
        Expect::from_code(code)
    }

    /// Notes that the next emit begins.
    pub(super) fn begin(&self, expect: Expect) {
        let number = self.begun.load(Ordering::Relaxed);
        let Some(entry) = self.expect.get(number as usize) else { panic!("too many emits for the oracle") };
        entry.store(expect as u8, Ordering::Relaxed);
        self.begun.store(number + 1, Ordering::SeqCst);
    }

    /// Notes that the emit returned.
    pub(super) fn end(&self) {
        self.acked.store(self.acked.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
    }
}

/// The page. All zero to begin with.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Page {
    /// The tracer is attached.
    pub(super) go: AtomicU32,
    /// Tracer to child: a signal still came before the emit returned.
    pub(super) more: AtomicU32,
    /// Child to tracer: opt-in fields are on.
    pub(super) opted: AtomicU32,
    /// Child to tracer: the path is over.
    pub(super) done: AtomicU32,
    /// The lanes.
    pub(super) lanes: [Lane; LANES],
}

/// The mapping of the page.
#[derive(Debug)]
pub(super) struct Oracle {
    map: MmapRaw,
}

impl Oracle {
    /// Makes the file (`create`) or opens it.
    pub(super) fn open(path: &Path, create: bool) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(create).open(path)?;
        if create {
            file.set_len(size_of::<Page>() as u64)?;
        }
        Ok(Self { map: MmapOptions::new().len(size_of::<Page>()).map_raw(&file)? })
    }

    /// The page.
    pub(super) fn page(&self) -> &Page {
        // SAFETY: the mapping has the length of a `Page` (mapped above), is aligned to a page, and lives as long as
        // `self`; the file has that length since `open` made it and nobody cuts it; all fields are atomics, for which
        // any bytes are valid.
        unsafe { &*self.map.as_ptr().cast::<Page>() }
    }
}
