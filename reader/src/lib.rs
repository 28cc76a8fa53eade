//! Reads traces: segments, and the rings that killed processes left behind.
//!
//! ```no_run
//! use std::path::Path;
//! use tracewell_reader::{Filter, Item, Trace};
//!
//! let trace = Trace::open(&[Path::new("/var/lib/tracewell").into()], &[])?;
//! let summary = trace.read(&Filter::default(), |item| {
//!     if let Item::Event(event) = item {
//!         println!("{} {}", event.time, event.schema.name);
//!     }
//!     Ok(())
//! })?;
//! assert!(summary.is_complete());
//! # Ok::<(), tracewell_reader::ReadError>(())
//! ```
//!
//! * Every byte is taken as hostile: constants bound all memory, a damaged block costs that block.
//! * Nothing that is read is ever written to; reading twice gives the same.
//! * Events of a thread keep their order of emission; threads and processes are merged by time.
//! * Loss is data: it is shown where it happened, and the law `attempted = delivered + lost` is checked for every ring.
#![forbid(unsafe_code)]

mod batch;
mod batches;
mod clock;
mod error;
mod files;
mod filter;
mod item;
mod lines;
mod load;
mod merge;
mod pool;
pub mod render;
mod ring;
mod segment;
mod source;
mod summary;
mod trace;
mod track;

pub use batches::{Batch, Column, FixedBytes, Part, Strings, Values};
pub use error::ReadError;
pub use files::{Written, write_trace_files, write_trace_files_on, write_trace_files_with};
pub use filter::Filter;
pub use item::{EventRef, Item};
pub use lines::{Form, Progress};
pub use source::ReadAt;
pub use summary::{Damage, LawBreach, Summary};
pub use trace::{ProcessInfo, Trace};
