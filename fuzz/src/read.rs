//! The oracle of reading: everything that is asserted of a trace, whatever its bytes are.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Form, Item, Summary, Trace};
use tracewell_schema::Value;
use tracewell_schema::format::block::{BlockKind, HEADER_LEN};

use crate::checksums::{blocks, header_of};
use crate::output::{assert_json_line, assert_line, assert_printable};

/// Most bytes that the blocks of an input may decode to: a larger one only takes longer.
pub const MOST_DECODED: u64 = 4 << 20;

/// What is rendered and looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Lines of text.
    pub text: bool,
    /// Lines of JSON.
    pub json: bool,
    /// Block headers do not lie about the time of their first event, so that the merge is in the order of time.
    pub is_honest: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of each event in order: index of the process, ring, number in the ring, time, its field `number` if it has one.
    pub events: Vec<(usize, u32, u64, i64, Option<u64>)>,
    /// What the reader says of it; none if it could not be opened.
    pub summary: Option<Summary>,
    /// Why it could not be opened.
    pub error: Option<String>,
    /// Bytes that were written.
    pub written: u64,
}

/// Bytes that the blocks of a segment decode to.
#[must_use]
pub fn decoded_len(segment: &[u8]) -> u64 {
    let headers = blocks(segment).into_iter().filter_map(|at| header_of(&segment[at..]));
    headers.map(|h| u64::from(h.raw_len) * if h.kind == BlockKind::Data { 1 } else { 4 }).sum::<u64>()
        + (segment.len() / HEADER_LEN) as u64
}

/// Length and checksum of what is written, so that much of it takes no room.
#[derive(Default)]
struct Digest {
    hasher: crc32fast::Hasher,
    len: u64,
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Digest {
    fn end(self) -> (u64, u32) {
        (self.len, self.hasher.finalize())
    }
}

fn as_json(summary: &Summary) -> String {
    serde_json::to_string(summary).expect("a summary is JSON")
}

/// Reads and renders everything, twice, and asserts what must hold.
///
/// # Panics
/// If something does not hold.
#[must_use]
pub fn check(paths: &[PathBuf], ring_roots: &[PathBuf], look: Look) -> Outcome {
    let mut outcome = Outcome::default();
    let trace = match Trace::open(paths, ring_roots) {
        Ok(trace) => trace,
        Err(error) => {
            let error = error.to_string();
            assert_printable(&error);
            outcome.error = Some(error);
            return outcome;
        }
    };
    let (mut text, mut json) = (TextRenderer::new(false), JsonRenderer::new());
    let (mut texts, mut objects) = (Digest::default(), Digest::default());
    let mut line = String::new();
    let (mut holes, mut losses) = (0_u64, 0_u64);
    let mut rings: HashMap<(usize, u32), (u64, i64)> = HashMap::new();
    let mut newest = i64::MIN;
    let read = trace.read(&Filter::default(), |item| {
        match item {
            Item::Event(event) => {
                let key = (event.process_index, event.ring);
                if let Some((sequence, time)) = rings.get_mut(&key) {
                    let is_next = event.sequence > *sequence || event.sequence == u64::MAX;
                    assert!(is_next, "event {} after {sequence} of ring {key:?}", event.sequence);
                    (*sequence, *time) = (event.sequence, event.time.max(*time));
                } else {
                    rings.insert(key, (event.sequence, event.time));
                }
                let order = rings[&key].1;
                assert!(!look.is_honest || order >= newest, "{order} after {newest}");
                newest = newest.max(order);
                let number = match event.values.get("number").map(|field| field.value) {
                    Some(Value::U(number)) => Some(number),
                    _ => None,
                };
                if outcome.events.len() < 4096 {
                    outcome.events.push((key.0, key.1, event.sequence, event.time, number));
                }
                assert!(event.has_text(""));
                let _ = event.has_text("x");
            }
            Item::Hole { events, .. } => holes = holes.saturating_add(*events),
            Item::Lost { counts, .. } => losses = losses.saturating_add(counts.total()),
            _ => {}
        }
        if look.text {
            line.clear();
            text.push(&mut line, item);
            assert_line(&line);
            texts.write_all(line.as_bytes())?;
        }
        if look.json {
            line.clear();
            json.push(&mut line, item);
            assert_json_line(&line);
            objects.write_all(line.as_bytes())?;
        }
        Ok::<(), io::Error>(())
    });
    let summary = read.expect("nothing fails here");
    outcome.written = texts.len + objects.len;
    assert_counts(&summary, outcome.events.len() as u64, holes, losses);
    // Again, by the other way, from the start.
    let again = Trace::open(paths, ring_roots).expect("it could be opened before");
    for (form, first) in [(Form::Text { local: false }, texts), (Form::Json, objects)] {
        if if form == Form::Json { look.json } else { look.text } {
            let mut digest = Digest::default();
            let second = again.write_lines(&Filter::default(), form, 1, &mut digest, |_| {});
            assert_eq!(as_json(&second.expect("nothing fails here")), as_json(&summary));
            assert_eq!(digest.end(), first.end(), "lines written at once and one by one");
        }
    }
    let text = summary.to_text();
    text.split_inclusive('\n').for_each(assert_line);
    serde_json::from_str::<serde_json::Value>(&as_json(&summary)).expect("a summary is JSON");
    outcome.summary = Some(summary);
    outcome
}

/// The numbers of a summary, against what was handed out.
fn assert_counts(summary: &Summary, handed_out: u64, holes: u64, losses: u64) {
    assert!(summary.shown == handed_out || handed_out == 4096, "{} shown, {handed_out} seen", summary.shown);
    assert_eq!(summary.missing, holes, "what is missing is told where it is");
    assert_eq!(summary.lost_total(), losses, "what was lost is told where it was");
    let undecodable = summary.events.checked_sub(summary.shown).expect("no more is shown than there is");
    let damaged = summary.damaged.iter().fold(0_u64, |sum, damage| sum.saturating_add(damage.events));
    let is_whole = summary.damaged.is_empty() && summary.more_damaged == 0;
    assert!(undecodable <= damaged || summary.more_damaged != 0, "{undecodable} undecodable, {damaged} told");
    assert!(!summary.is_complete() || is_whole && summary.missing == 0 && summary.law.is_empty());
    assert!(summary.law_checked + summary.law_open <= summary.rings, "{summary:?}");
    assert!(summary.damaged.len() <= 1000);
    assert!(summary.first <= summary.last);
}
