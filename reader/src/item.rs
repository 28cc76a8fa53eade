//! What reading a trace hands out.

use std::sync::Arc;

use tracewell_schema::format::record::LossCounts;
use tracewell_schema::{EventValues, Schema, Value};

use crate::trace::{Described, ProcessInfo, Ring};

/// An event of the trace.
#[derive(Debug)]
pub struct EventRef<'a> {
    /// UTC ns.
    pub time: i64,
    /// The process.
    pub process: &'a ProcessInfo,
    /// Index of the process in [`Trace::processes`](crate::Trace::processes).
    pub process_index: usize,
    /// Thread id.
    pub tid: u32,
    /// Thread name, as stored: hostile.
    pub thread_name: &'a str,
    /// Ring id.
    pub ring: u32,
    /// Number of the event in its ring.
    pub sequence: u64,
    /// Ticks of its time stamp.
    pub ticks: u64,
    /// Its type.
    pub schema: &'a Schema,
    /// Its fields.
    pub values: EventValues<'a>,
    pub(crate) described: &'a Described,
    pub(crate) source: &'a Ring,
    /// The ring's place among all.
    pub(crate) place: usize,
    /// Index of its type.
    pub(crate) index: u16,
    /// The block that its record is in, and where: for whoever hands the record on.
    pub(crate) block: &'a Arc<Vec<u8>>,
    pub(crate) at: u32,
    /// The record's bytes after its header.
    pub(crate) payload: &'a [u8],
    /// Whether they end with a trailer of reductions.
    pub(crate) is_reduced: bool,
    /// It was salvaged from a ring of another boot: nothing proves that it was emitted so.
    pub is_unverified: bool,
}

impl EventRef<'_> {
    /// Whether one of its texts, or its name, contains this text, byte for byte.
    #[must_use]
    pub fn has_text(&self, text: &str) -> bool {
        text.is_empty()
            || self.schema.name.contains(text)
            || self.values.iter().map_while(Result::ok).any(|field| has_text(&field.value, text.as_bytes()))
    }
}

fn has_text(value: &Value<'_>, text: &[u8]) -> bool {
    match value {
        Value::Str(found) => found.bytes.windows(text.len()).any(|part| part == text),
        Value::List(list) => list.iter().map_while(Result::ok).any(|item| has_text(&item, text)),
        _ => false,
    }
}

/// What happened next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item<'a> {
    /// An event.
    Event(EventRef<'a>),
    /// Events were refused here.
    Lost {
        /// UTC ns of the loss record.
        time: i64,
        /// The process.
        process: &'a ProcessInfo,
        /// Index of the process.
        process_index: usize,
        /// Thread id.
        tid: u32,
        /// How many, by reason.
        counts: LossCounts,
        /// Told by a ring of another boot.
        is_unverified: bool,
    },
    /// Events are missing here: a block is damaged or gone.
    Hole {
        /// UTC ns of what comes after.
        time: i64,
        /// The process.
        process: &'a ProcessInfo,
        /// Index of the process.
        process_index: usize,
        /// Thread id.
        tid: u32,
        /// How many events.
        events: u64,
        /// Told by a ring of another boot.
        is_unverified: bool,
    },
}
