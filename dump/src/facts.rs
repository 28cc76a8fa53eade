//! What is said of a dump inside it, for whoever reads it: JSON, in a stream of the minidump or a note of the core.

use serde::{Deserialize, Serialize};

/// Type of the minidump's stream: the letters `TW` and 1. Other readers pass over it.
pub(crate) const STREAM: u32 = 0x5457_0001;
/// Name and type of the core's note.
pub(crate) const NOTE: (&str, u32) = ("TRACEWELL", 1);

/// Everything that the formats have no place for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Facts {
    /// Version of this text: 1.
    pub format: u32,
    /// The component's name, if it is one.
    pub component: Option<String>,
    /// The process.
    pub pid: u32,
    /// When it was dumped: seconds since 1970.
    pub taken_at: u64,
    /// `on request`, or `crash`.
    pub reason: String,
    /// How long the process was stopped; unknown while a core is written.
    pub stopped_us: Option<u64>,
    /// Its threads: a core has no other place for their names.
    pub threads: Vec<ThreadFacts>,
    /// What was left out.
    pub left_out: Vec<Omitted>,
}

/// A thread.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ThreadFacts {
    /// Its number.
    pub tid: u32,
    /// Its name.
    pub name: String,
}

/// A range of memory that was left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Omitted {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Why.
    pub why: String,
}
