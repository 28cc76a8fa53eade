//! Tracewell: typed trace events that cost next to nothing.
//!
//! A component attaches once and emits typed events. Tracing is **off by default**; only the user turns it on
//! (`tracewell enable`). While it is off an [`emit!`] is one load and a branch, and nothing exists but the mapped
//! control page: no thread, no ring, no file.
//!
//! ```
//! use tracewell::{Tracer, emit, catalog::ErrorRaised};
//!
//! let tracer = Tracer::attach("scanner");
//! emit!(tracer, ErrorRaised { module: "engine", ..Default::default() });
//! ```
//!
//! ## Events of your own
//!
//! ```
//! use tracewell::{Event, Tracer, emit};
//!
//! /// A rule matched a file.
//! #[derive(Event)]
//! #[event(name = "custom.rule_matched", category = "custom", level = "info", text = "rule {rule} matched {path}")]
//! struct RuleMatched<'a> {
//!     /// Number of the rule.
//!     #[field(public)]
//!     rule: u32,
//!     /// The file.
//!     #[field(personal)]
//!     path: &'a str,
//! }
//! # let tracer = Tracer::inert("scanner");
//! emit!(tracer, RuleMatched { rule: 7, path: "/tmp/x" });
//! ```
//!
//! ## What a full ring does
//!
//! Each thread has a ring of fixed size. When the drain cannot keep up, events are refused and counted by reason;
//! the reader shows the count where it happened. An emit never waits, unless the component chose [`WhenFull::Wait`].
//!
//! ## What survives
//!
//! | death of | what survives |
//! | --- | --- |
//! | a thread, the process (kill -9 too) | every emit that returned; at most one more per thread |
//! | the machine | what [`Tracer::flush`] covered, or what reached the disk by itself |
//!
//! ## Threads, forks, signals
//!
//! Threads come and go freely. A forked child gets a ring folder of its own on its first emit. An emit that
//! interrupts another on the same thread (from a signal handler or an allocator) is refused and counted, and so is
//! the first emit of a thread if it comes from a signal handler; handlers installed with `SA_NODEFER` should open a
//! [`signal_scope`].
//!
//! ## Testing what you emit
//!
//! [`testing::capture`] gives a test a tracer with everything enabled and the decoded events.
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("Tracewell's formats are little-endian and its rings are written in place");

// The models compile single files of this crate, with atomics of their own; the rest is nothing to them.
#[cfg(not(loom))]
mod real {
    pub use crate::clock::Clock;
    pub use crate::config::WhenFull;
    pub use crate::error::{AttachError, FlushError};
    #[doc(hidden)]
    pub use crate::sigbus::repair_bus_error;
    pub use crate::stats::Stats;
    pub use crate::thread::SignalScope;
    pub use crate::tracer::{Builder, Guard, Tracer};
    pub use tracewell_schema as schema;
    pub use tracewell_schema::catalog;
    pub use tracewell_schema::{
        Category, CorrelationId, Event, FieldEnum, FieldFlags, Id128, Level, ProcessKey, Timestamp,
    };

    /// Marks the running code as a signal handler's until the guard is dropped: emits are refused and counted.
    ///
    /// Needed only in handlers installed with `SA_NODEFER`, and where a handler's events are not wanted.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn signal_scope() -> SignalScope {
        crate::thread::signal_scope()
    }
}
#[cfg(not(loom))]
pub use real::*;

#[cfg(not(loom))]
pub mod adopt;
#[cfg(not(loom))]
pub mod boot;
#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
pub mod control;
#[cfg(not(loom))]
pub mod dirs;
#[cfg(not(loom))]
mod drain;
#[cfg(not(loom))]
mod emit;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod fork;
#[cfg(not(loom))]
pub mod fs;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
mod orphans;
#[cfg(not(loom))]
mod own_thread;
#[cfg(not(loom))]
mod pack;
#[cfg(not(loom))]
pub mod retention;
#[cfg(not(loom))]
mod ring;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
pub mod settings;
#[cfg(not(loom))]
mod sigbus;
#[cfg(not(loom))]
mod signal;
#[cfg(not(loom))]
mod state;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod storage;
#[cfg(not(loom))]
mod sync;
#[cfg(not(loom))]
mod tend;
#[cfg(not(loom))]
pub mod testing;
#[cfg(not(loom))]
mod thread;
#[cfg(not(loom))]
mod tracer;
#[cfg(not(loom))]
mod uuid;
#[cfg(not(loom))]
mod writer;
