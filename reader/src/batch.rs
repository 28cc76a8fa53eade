//! Items put aside, so that another thread renders them.

use std::sync::Arc;

use tracewell_schema::decode_event_of;
use tracewell_schema::format::record::{HEADER_LEN, LossCounts};

use crate::item::{EventRef, Item};
use crate::render::Renderer;
use crate::render::buffer::Buffer;
use crate::trace::{Ring, Trace};
use crate::track::Header;

/// Most payload bytes and items of a batch: some hundred KiB of text, which stay in a core's cache.
const BYTES: usize = 128 << 10;
const ITEMS: usize = 2048;
/// Text after which a chunk is handed on. A hostile trace has events of which a few bytes make many lines: that is
/// what bounds the memory, and not the size of a batch.
pub(crate) const CHUNK: usize = 256 << 10;
const MOST_CHUNK: usize = 2 << 20;

/// Rendered lines, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) text: Buffer,
    /// Whose lines they are: index of a process, and the end of its lines, which begin where those before end.
    pub(crate) parts: Vec<(usize, usize)>,
    /// Events among them.
    pub(crate) events: u64,
}

impl Chunk {
    #[inline]
    pub(crate) fn push(&mut self, renderer: &mut Renderer, item: &Item<'_>) {
        renderer.render(&mut self.text, item);
        let process = match item {
            Item::Event(event) => {
                self.events += 1;
                event.process_index
            }
            Item::Lost { process_index, .. } | Item::Hole { process_index, .. } => *process_index,
        };
        let end = self.text.len();
        match self.parts.last_mut() {
            Some(part) if part.0 == process => part.1 = end,
            _ => self.parts.push((process, end)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.text.shrink(MOST_CHUNK);
        self.parts.clear();
        self.events = 0;
    }
}

/// Most blocks that a batch shares with the merge, and their bytes: records of more are copied, so that a few records
/// of many large blocks do not keep them all in memory.
const MOST_BLOCKS: usize = 32;
const MOST_SHARED: usize = 4 << 20;

/// What is needed to make an item again: its time, and where its record is.
#[derive(Debug)]
struct Entry {
    time: i64,
    at: u32,
}

/// Items that follow each other, up to entry `end`.
#[derive(Debug)]
struct Run {
    end: usize,
    process_index: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Events of one ring and block, one after the other.
    Events {
        /// The ring's place.
        place: usize,
        /// Number of the first.
        sequence: u64,
        /// Which block; `None` if it is among the copies.
        block: Option<usize>,
        is_unverified: bool,
    },
    Lost {
        tid: u32,
        counts: Box<LossCounts>,
        is_unverified: bool,
    },
    Hole {
        tid: u32,
        events: u64,
        is_unverified: bool,
    },
}

/// Items, with the blocks that their records are in.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    runs: Vec<Run>,
    blocks: Vec<Arc<Vec<u8>>>,
    /// Bytes of the blocks.
    shared: usize,
    /// Records that are in none of them.
    copies: Arc<Vec<u8>>,
    /// Bytes of the records.
    bytes: usize,
    /// First entry of the last run.
    run_start: usize,
}

impl Batch {
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ITEMS || self.bytes >= BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Lets go of everything; gives back the blocks.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Arc<Vec<u8>>> {
        self.entries.clear();
        self.runs.clear();
        Arc::make_mut(&mut self.copies).clear();
        (self.shared, self.bytes) = (0, 0);
        self.blocks.drain(..)
    }

    #[inline]
    pub(crate) fn push(&mut self, item: &Item<'_>) {
        match item {
            Item::Event(event) => self.push_event(event),
            Item::Lost { time, process_index, tid, counts, is_unverified, .. } => {
                let (counts, is_unverified) = (Box::new(*counts), *is_unverified);
                let what = What::Lost { tid: *tid, counts, is_unverified };
                self.begin(*time, 0, *process_index, what);
            }
            Item::Hole { time, process_index, tid, events, is_unverified, .. } => {
                let what = What::Hole { tid: *tid, events: *events, is_unverified: *is_unverified };
                self.begin(*time, 0, *process_index, what);
            }
        }
    }

    #[inline]
    fn push_event(&mut self, event: &EventRef<'_>) {
        self.bytes += event.payload.len();
        if let Some(Run { end, what: What::Events { place, sequence, block: Some(block), .. }, .. }) =
            self.runs.last_mut()
            && *place == event.place
            && sequence.wrapping_add((*end - self.run_start) as u64) == event.sequence
            && self.blocks.get(*block).is_some_and(|known| Arc::ptr_eq(known, event.block))
        {
            *end += 1;
            return self.entries.push(Entry { time: event.time, at: event.at });
        }
        let (block, at) = self.share(event);
        let is_unverified = event.is_unverified;
        let what = What::Events { place: event.place, sequence: event.sequence, block, is_unverified };
        self.begin(event.time, at, event.process_index, what);
    }

    /// Makes an event's record part of the batch: its block, and its place there.
    fn share(&mut self, event: &EventRef<'_>) -> (Option<usize>, u32) {
        if let Some(known) = self.blocks.iter().rposition(|known| Arc::ptr_eq(known, event.block)) {
            return (Some(known), event.at);
        }
        if self.blocks.len() < MOST_BLOCKS && self.shared + event.block.len() <= MOST_SHARED {
            self.shared += event.block.len();
            self.blocks.push(Arc::clone(event.block));
            return (Some(self.blocks.len() - 1), event.at);
        }
        // A batch has few bytes more than `BYTES`.
        let at = self.copies.len() as u32;
        let start = event.at as usize;
        let record = event.block.get(start..start + HEADER_LEN + event.payload.len()).unwrap_or_default();
        // Nobody else has it.
        Arc::make_mut(&mut self.copies).extend_from_slice(record);
        (None, at)
    }

    fn begin(&mut self, time: i64, at: u32, process_index: usize, what: What) {
        self.run_start = self.entries.len();
        self.entries.push(Entry { time, at });
        self.runs.push(Run { end: self.entries.len(), process_index, what });
    }

    /// Renders the items from number `from` on, until a chunk is large. Returns the number of the next.
    pub(crate) fn render(
        &self,
        from: usize,
        trace: &Trace,
        rings: &[(u32, &Ring)],
        renderer: &mut Renderer,
        chunk: &mut Chunk,
    ) -> usize {
        let mut next = from;
        let first = self.runs.partition_point(|run| run.end <= from);
        let mut start =
            first.checked_sub(1).and_then(|before| self.runs.get(before)).map_or(0, |run| run.end);
        for run in self.runs.get(first..).unwrap_or_default() {
            for (index, entry) in self.entries.get(next..run.end).unwrap_or_default().iter().enumerate() {
                let number = (next - start + index) as u64;
                if let Some(item) = self.item(run, entry, number, trace, rings) {
                    chunk.push(renderer, &item);
                }
                if chunk.text.len() >= MOST_CHUNK {
                    return next + index + 1;
                }
            }
            next = run.end;
            start = run.end;
        }
        next
    }

    /// The item again, number `number` of its run. There always is one: it was made from the same trace.
    #[inline]
    fn item<'a>(
        &'a self,
        run: &'a Run,
        entry: &Entry,
        number: u64,
        trace: &'a Trace,
        rings: &[(u32, &'a Ring)],
    ) -> Option<Item<'a>> {
        let (time, process_index) = (entry.time, run.process_index);
        let process = trace.processes.get(process_index)?;
        Some(match &run.what {
            What::Events { place, sequence, block, is_unverified } => {
                let (ring, source) = *rings.get(*place)?;
                let bytes = match block {
                    Some(block) => self.blocks.get(*block)?,
                    None => &self.copies,
                };
                let at = entry.at as usize;
                let record = Header::at(bytes, at)?;
                let payload = bytes.get(at + HEADER_LEN..at + record.len)?;
                let described = process.schemas.get(usize::from(record.event))?.as_deref()?;
                let (schema, is_reduced) = (&described.schema, record.is_reduced());
                Item::Event(EventRef {
                    time,
                    process,
                    process_index,
                    tid: source.info.tid,
                    thread_name: &source.info.thread_name,
                    ring,
                    sequence: sequence.saturating_add(number),
                    ticks: record.ticks,
                    schema,
                    values: decode_event_of(schema, described.fixed_len, payload, is_reduced).ok()?,
                    described,
                    source,
                    place: *place,
                    index: record.event,
                    block: bytes,
                    at: entry.at,
                    payload,
                    is_reduced,
                    is_unverified: *is_unverified,
                })
            }
            What::Lost { tid, counts, is_unverified } => {
                let (tid, counts, is_unverified) = (*tid, **counts, *is_unverified);
                Item::Lost { time, process, process_index, tid, counts, is_unverified }
            }
            What::Hole { tid, events, is_unverified } => {
                let (tid, events, is_unverified) = (*tid, *events, *is_unverified);
                Item::Hole { time, process, process_index, tid, events, is_unverified }
            }
        })
    }
}
