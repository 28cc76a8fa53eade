//! Items put aside, so that another thread renders them.

use tracewell_schema::decode_event_of;
use tracewell_schema::format::record::LossCounts;

use crate::item::{EventRef, Item};
use crate::render::Renderer;
use crate::render::buffer::Buffer;
use crate::trace::{Ring, Trace};

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

/// What is needed to make an item again.
#[derive(Debug)]
struct Entry {
    time: i64,
    process_index: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Of which ring by its place, of which type by its index.
    Event {
        place: usize,
        sequence: u64,
        ticks: u64,
        event: u16,
        is_reduced: bool,
        from: usize,
        to: usize,
    },
    Lost {
        tid: u32,
        counts: Box<LossCounts>,
    },
    Hole {
        tid: u32,
        events: u64,
    },
}

/// Items, with copies of their payloads.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    payloads: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ITEMS || self.payloads.len() >= BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.payloads.clear();
    }

    #[inline]
    pub(crate) fn push(&mut self, item: &Item<'_>) {
        let entry = match item {
            Item::Event(event) => {
                let from = self.payloads.len();
                self.payloads.extend_from_slice(event.payload);
                let what = What::Event {
                    place: event.place,
                    sequence: event.sequence,
                    ticks: event.ticks,
                    event: event.index,
                    is_reduced: event.is_reduced,
                    from,
                    to: self.payloads.len(),
                };
                Entry { time: event.time, process_index: event.process_index, what }
            }
            Item::Lost { time, process_index, tid, counts, .. } => {
                let what = What::Lost { tid: *tid, counts: Box::new(*counts) };
                Entry { time: *time, process_index: *process_index, what }
            }
            Item::Hole { time, process_index, tid, events, .. } => {
                let what = What::Hole { tid: *tid, events: *events };
                Entry { time: *time, process_index: *process_index, what }
            }
        };
        self.entries.push(entry);
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
        for entry in self.entries.get(from..).unwrap_or_default() {
            next += 1;
            if let Some(item) = self.item(entry, trace, rings) {
                chunk.push(renderer, &item);
            }
            if chunk.text.len() >= MOST_CHUNK {
                break;
            }
        }
        next
    }

    /// The item again. There always is one: it was made from the same trace.
    #[inline]
    fn item<'a>(&'a self, entry: &Entry, trace: &'a Trace, rings: &[(u32, &'a Ring)]) -> Option<Item<'a>> {
        let process_index = entry.process_index;
        let process = trace.processes.get(process_index)?;
        Some(match &entry.what {
            What::Event { place, sequence, ticks, event, is_reduced, from, to } => {
                let (ring, source) = *rings.get(*place)?;
                let described = process.schemas.get(usize::from(*event))?.as_ref()?;
                let payload = self.payloads.get(*from..*to)?;
                let schema = &described.schema;
                Item::Event(EventRef {
                    time: entry.time,
                    process,
                    process_index,
                    tid: source.info.tid,
                    thread_name: &source.info.thread_name,
                    ring,
                    sequence: *sequence,
                    ticks: *ticks,
                    schema,
                    values: decode_event_of(schema, described.fixed_len, payload, *is_reduced).ok()?,
                    described,
                    source,
                    place: *place,
                    index: *event,
                    payload,
                    is_reduced: *is_reduced,
                })
            }
            What::Lost { tid, counts } => {
                Item::Lost { time: entry.time, process, process_index, tid: *tid, counts: **counts }
            }
            What::Hole { tid, events } => {
                Item::Hole { time: entry.time, process, process_index, tid: *tid, events: *events }
            }
        })
    }
}
