//! Memory dumps of a component, taken from outside: a minidump (threads, registers, stacks, modules) or the whole memory
//! as an ELF core.
//!
//! The process stops while it is looked at, and for as short as possible: names, modules and build ids are read before and
//! after, and of a core as much as fits is taken into memory that was made ready before. It is stopped by ptrace
//! (`PTRACE_SEIZE`), never by SIGSTOP, and `PTRACE_O_EXITKILL` is not set: when the dumper ends, however it ends, the
//! kernel lets the process go on.
//!
//! Left out of both kinds: rings, all memory that is marked not to be dumped (`MADV_DONTDUMP`, which secrets should be),
//! all that is locked in memory (`mlock`) unless the process locked everything, memory of devices and shared files. See
//! [`LeftOut`]. A minidump holds of the memory only the stacks and some bytes of code around where each thread is; neither
//! kind holds the arguments and the environment that the process was started with. What a program has copied from a secret to its heap, stack or registers cannot be told
//! apart from anything else.
#![deny(unsafe_code)]

mod arch;
mod core;
mod error;
mod facts;
mod maps;
mod memory;
mod mini;
mod modules;
mod notes;
mod process;
mod stop;
mod sys;

use std::path::PathBuf;

pub use arch::Registers;
pub use core::{Core, core};
pub use error::DumpError;
pub use facts::{Facts, Omitted, ThreadFacts};
pub use maps::LeftOut;
pub use mini::{MAX_MINIDUMP, minidump};
pub use process::{can_dump, start_ticks};

/// What to dump.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The process.
    pub pid: u32,
    /// When it began ([`start_ticks`]), so that no other process is dumped that was given its number since.
    pub started: Option<u64>,
    /// The component's name, for whoever reads the dump.
    pub component: Option<String>,
    /// Directories whose files are rings: what is mapped from below them is left out whatever its marks say.
    pub rings: Vec<PathBuf>,
    /// How it crashed, if it did.
    pub crash: Option<Crash>,
}

/// What a crashed process says of itself. It is not trusted: it decides only what is written of one thread.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The thread that crashed.
    pub tid: u32,
    /// The signal.
    pub signal: i32,
    /// Its code, as in `siginfo`.
    pub code: i32,
    /// The address that faulted, or 0.
    pub address: u64,
    /// The thread's registers when it crashed, before the handler ran.
    pub registers: Registers,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How long the process was stopped.
    pub stopped: std::time::Duration,
    /// Threads in the dump.
    pub threads: usize,
    /// Bytes of its memory in the dump.
    pub memory: u64,
    /// Bytes that were left out, by reason.
    pub left_out: Vec<(LeftOut, u64)>,
    /// Bytes that could not be read, and are zeros.
    pub unreadable: u64,
}
