//! The merge: all rings by time, each in its own order, with bounded memory.
//!
//! A ring's block is read when its first event's time has come, so that memory holds one block for each ring that
//! is active at that time. The key of the merge is the greater of a record's time and the ring's last, so that a
//! clock that goes back, or lies, never changes the order within a thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::PathBuf;

use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, KIND_LOSS, LossCounts, Records};
use tracewell_schema::{EventValues, Schema, Value, decode_event};

use crate::clock::Span;
use crate::filter::Filter;
use crate::ring;
use crate::segment;
use crate::source;
use crate::summary::{Damage, LawBreach, Summary};
use crate::trace::{Block, Described, ProcessInfo, Ring, Source, Trace};

/// An event of the trace.
#[derive(Debug)]
pub struct EventRef<'a> {
    /// UTC ns.
    pub time: i64,
    /// The process.
    pub process: &'a ProcessInfo,
    /// Index of the process in [`Trace::processes`].
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
    },
}

/// Reads blocks; keeps the last few files open.
struct Loader<'a> {
    trace: &'a Trace,
    files: Vec<(u32, File)>,
    buffer: Vec<u8>,
    /// Memory of blocks that have been read.
    spare: Vec<Vec<u8>>,
    /// Bytes of data blocks that have been read.
    done: u64,
    progress: &'a mut dyn FnMut(u64),
}

/// Most segments that are open at once.
const MAX_OPEN: usize = 64;
/// Most blocks whose memory is kept for the next.
const MAX_SPARE: usize = 16;

impl Loader<'_> {
    /// Takes back the memory of a block.
    fn give(&mut self, mut raw: Vec<u8>) {
        if raw.capacity() != 0 && self.spare.len() < MAX_SPARE {
            raw.clear();
            self.spare.push(raw);
        }
    }

    /// Whole records from `from` on, which lies in the block. Returns the position after them.
    fn load(&mut self, block: &Block, from: u64, out: &mut Vec<u8>) -> Result<u64, Damage> {
        let (segment, stored_len, events, offset) = match &block.source {
            Source::Ring(leftover) => return ring::read_window(leftover, from, out),
            Source::Segment { segment, stored_len, events, offset } => {
                (*segment, *stored_len, *events, *offset)
            }
        };
        self.done = self.done.saturating_add(stored_len.into());
        (self.progress)(self.done);
        let path = self.trace.path_of(segment);
        let damage = |what: &str| Damage {
            offset,
            bytes: stored_len.into(),
            events: events.into(),
            ..Damage::of_file(&path, what)
        };
        let at = match self.files.iter().position(|(s, _)| *s == segment) {
            Some(at) => at,
            None => {
                // It was sealed meanwhile: the same file under its last name.
                let file =
                    source::open(&path)
                        .or_else(|error| {
                            if is_open(&path) { source::open(&path.with_extension("")) } else { Err(error) }
                        })
                        .map_err(|e| damage(&e.to_string()))?;
                if self.files.len() >= MAX_OPEN {
                    self.files.remove(0);
                }
                self.files.push((segment, file));
                self.files.len() - 1
            }
        };
        let Some((_, file)) = self.files.get(at) else { return Err(damage("not open")) };
        let header = segment::read_block(file, offset, stored_len, &mut self.buffer, out)
            .map_err(|e| damage(e.what))?;
        if (header.from, header.to, header.sequence) != (block.from, block.to, block.sequence) {
            return Err(damage("the file was changed while it was read"));
        }
        Ok(block.to)
    }
}

fn is_open(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|e| e == "open")
}

/// Key of the heap: time first; then a stable order.
type Key = Reverse<(i64, usize, u32, usize)>;

pub(crate) fn merge<E>(
    trace: &Trace,
    filter: &Filter,
    summary: Summary,
    progress: &mut dyn FnMut(u64),
    mut each: impl FnMut(&Item<'_>) -> Result<(), E>,
) -> Result<Summary, E> {
    let loader =
        Loader { trace, files: Vec::new(), buffer: Vec::new(), spare: Vec::new(), done: 0, progress };
    let mut run = Run { loader, filter, summary };
    let mut tracks: Vec<Track<'_>> = trace
        .rings
        .iter()
        .filter_map(|((process_index, id), ring)| {
            Some(Track::new(*process_index, trace.processes.get(*process_index)?, *id, ring, filter))
        })
        .collect();
    let mut heap: BinaryHeap<Key> = BinaryHeap::new();
    for (index, track) in tracks.iter_mut().enumerate() {
        if let Some(time) = track.next_time(&mut run) {
            heap.push(Reverse((time, track.process_index, track.id, index)));
        }
    }
    while let Some(Reverse((_, _, _, index))) = heap.pop() {
        let next = heap.peek().map(|Reverse((time, ..))| *time);
        let Some(track) = tracks.get_mut(index) else { continue };
        // As long as no other ring has anything earlier, stay with this one.
        loop {
            track.step(&mut run, &mut each)?;
            match track.next_time(&mut run) {
                Some(time) if next.is_none_or(|n| time < n) => {}
                Some(time) => {
                    heap.push(Reverse((time, track.process_index, track.id, index)));
                    break;
                }
                None => break,
            }
        }
    }
    Ok(run.summary)
}

/// What all tracks share.
struct Run<'a> {
    loader: Loader<'a>,
    filter: &'a Filter,
    summary: Summary,
}

/// What a track hands out next.
#[derive(Clone, Copy)]
enum Next {
    /// Look for it.
    Unknown,
    /// Its next block has to be read.
    Block,
    /// The record at `at`, of this time.
    Record(i64),
    /// What the ring's counters say at its end.
    End,
    /// Nothing more.
    Nothing,
}

/// Where a ring's reading is.
struct Track<'a> {
    process_index: usize,
    process: &'a ProcessInfo,
    ring: &'a Ring,
    id: u32,
    is_wanted: bool,
    next: Next,
    next_block: usize,
    /// End of what has been read or skipped.
    covered: Option<u64>,
    /// Number of the next event.
    sequence: u64,
    /// Losses told in the stream.
    told: [u64; 8],
    raw: Vec<u8>,
    at: usize,
    /// Position of the raw bytes' start.
    base: u64,
    last_time: i64,
    /// Events missing before the loaded block, not told yet.
    hole: u64,
    span: Span,
}

impl<'a> Track<'a> {
    fn new(index: usize, process: &'a ProcessInfo, id: u32, ring: &'a Ring, filter: &Filter) -> Self {
        Self {
            process_index: index,
            process,
            ring,
            id,
            is_wanted: filter.wants_process(process),
            next: Next::Unknown,
            next_block: 0,
            covered: None,
            sequence: 0,
            told: [0; 8],
            raw: Vec::new(),
            at: 0,
            base: 0,
            last_time: i64::MIN,
            hole: 0,
            span: Span::NONE,
        }
    }

    /// Key of what comes next, which stays unread if that is known without reading it.
    fn next_time(&mut self, run: &mut Run<'_>) -> Option<i64> {
        loop {
            match self.next {
                Next::Record(time) => return Some(time.max(self.last_time)),
                Next::Nothing => return None,
                Next::End => return Some(self.end_time()),
                Next::Block => {
                    let block = self.ring.blocks.get(self.next_block)?;
                    match block.first_ticks {
                        Some(ticks) => {
                            return Some(self.process.clock.time(ticks, &mut self.span).max(self.last_time));
                        }
                        None => self.load(run),
                    }
                }
                Next::Unknown => self.next = self.look(run),
            }
        }
    }

    fn end_time(&self) -> i64 {
        if self.last_time > i64::MIN {
            return self.last_time;
        }
        let started =
            if self.ring.info.started != 0 { self.ring.info.started } else { self.process.identity.attached };
        started.max(self.last_time)
    }

    /// The next event or loss of the loaded bytes, else the next block, else the end.
    fn look(&mut self, run: &mut Run<'_>) -> Next {
        while let Some(Ok(record)) = Records::new(self.raw.get(self.at..).unwrap_or_default()).next() {
            if record.header.kind == KIND_EVENT || record.header.kind == KIND_LOSS {
                return Next::Record(self.process.clock.time(record.header.ticks, &mut self.span));
            }
            self.at += (record.header.len as usize).next_multiple_of(8);
        }
        // Memory is kept only by rings that have something loaded.
        run.loader.give(std::mem::take(&mut self.raw));
        self.at = 0;
        while let Some(block) = self.ring.blocks.get(self.next_block) {
            if self.covered.is_none_or(|covered| block.to > covered) {
                return Next::Block;
            }
            run.summary.duplicates += 1;
            self.next_block += 1;
        }
        Next::End
    }

    fn is_segment(&self, block: &Block) -> bool {
        matches!(block.source, Source::Segment { .. })
    }

    /// Reads the next block, or a part of a leftover; what cannot be read is damage.
    fn load(&mut self, run: &mut Run<'_>) {
        self.next = Next::Unknown;
        let Some(block) = self.ring.blocks.get(self.next_block) else { return };
        let is_segment = self.is_segment(block);
        // What an earlier block has covered is skipped: whole in a leftover, record by record in a segment's block.
        let covered = self.covered.filter(|c| *c > block.from);
        let from = if is_segment { block.from } else { covered.unwrap_or(block.from) };
        let mut raw = run.loader.spare.pop().unwrap_or_default();
        let end = match run.loader.load(block, from, &mut raw) {
            Ok(end) => end,
            Err(damage) => {
                self.next_block += 1;
                run.loader.give(raw);
                run.summary.damage(damage);
                return;
            }
        };
        (self.base, self.at, self.raw) = (from, 0, raw);
        let mut skipped = 0;
        while covered.is_some_and(|covered| self.base + (self.at as u64) < covered) {
            let rest = self.raw.get(self.at..).unwrap_or_default();
            let Some(Ok(record)) = Records::new(rest).next() else { break };
            skipped += u64::from(record.header.kind == KIND_EVENT);
            self.at += (record.header.len as usize).next_multiple_of(8);
        }
        // A leftover is numbered from its start on, wherever reading begins.
        let numbered = block.sequence.saturating_add(skipped);
        let begins = if !is_segment && covered.is_some() { self.sequence } else { numbered };
        self.begin_at(begins, run);
        self.covered = Some(self.covered.map_or(end, |covered| covered.max(end)));
        if end >= block.to {
            self.next_block += 1;
        }
        if let Some(Err(error)) =
            Records::new(self.raw.get(self.at..).unwrap_or_default()).find(Result::is_err)
        {
            let (path, offset) = match &block.source {
                Source::Ring(leftover) => (leftover.path.clone(), 0),
                Source::Segment { segment, offset, .. } => (run.loader.trace.path_of(*segment), *offset),
            };
            let bytes = self.raw.len() as u64;
            run.summary.damage(Damage { offset, bytes, ..Damage::of_file(&path, error.what) });
        }
    }

    /// Takes note that the next event is number `begins`: those between the last and it are missing, or were retired.
    fn begin_at(&mut self, begins: u64, run: &mut Run<'_>) {
        let Some(missing) = begins.checked_sub(self.sequence) else { return };
        if self.covered.is_none() && self.is_retired() {
            run.summary.retired = run.summary.retired.saturating_add(missing);
        } else {
            run.summary.missing = run.summary.missing.saturating_add(missing);
            self.hole = self.hole.saturating_add(missing);
        }
        self.sequence = begins;
    }

    /// Whether the process's first segments are not there: retention deletes the oldest.
    fn is_retired(&self) -> bool {
        self.process.first_segment != Some(1)
    }

    /// Hands out what is next.
    fn step<E>(
        &mut self,
        run: &mut Run<'_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            // Its first record may be a loss, earlier than its first event: look again.
            Next::Block => {
                self.load(run);
                Ok(())
            }
            Next::Record(time) => self.record(time, run, each),
            Next::End => {
                self.next = Next::Nothing;
                self.finish(run, each)
            }
            Next::Unknown | Next::Nothing => Ok(()),
        }
    }

    fn tell_hole<E>(
        &mut self,
        time: i64,
        filter: &Filter,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let events = std::mem::take(&mut self.hole);
        if events == 0 || !self.is_wanted || !filter.wants_time(time) {
            return Ok(());
        }
        let (process, process_index, tid) = (self.process, self.process_index, self.ring.info.tid);
        each(&Item::Hole { time, process, process_index, tid, events })
    }

    fn tell_lost<E>(
        &mut self,
        time: i64,
        counts: LossCounts,
        filter: &Filter,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (told, count) in self.told.iter_mut().zip(counts.0) {
            *told = told.saturating_add(count);
        }
        if counts.total() == 0 || !self.is_wanted || !filter.wants_time(time) {
            return Ok(());
        }
        let (process, process_index, tid) = (self.process, self.process_index, self.ring.info.tid);
        each(&Item::Lost { time, process, process_index, tid, counts })
    }

    fn record<E>(
        &mut self,
        time: i64,
        run: &mut Run<'_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let filter = run.filter;
        if self.hole != 0 {
            self.tell_hole(time, filter, each)?;
        }
        let summary = &mut run.summary;
        summary.time_went_back += u64::from(time < self.last_time);
        self.last_time = self.last_time.max(time);
        let Some(Ok(record)) = Records::new(self.raw.get(self.at..).unwrap_or_default()).next() else {
            return Ok(());
        };
        let position = self.base + self.at as u64;
        self.at += (record.header.len as usize).next_multiple_of(8);
        if record.header.kind == KIND_LOSS {
            let counts = LossCounts::decode(record.payload).unwrap_or_default();
            return self.tell_lost(time, counts, filter, each);
        }
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        summary.events += 1;
        summary.first = Some(summary.first.map_or(time, |first| first.min(time)));
        summary.last = Some(summary.last.map_or(time, |last| last.max(time)));
        let identity = &self.process.identity;
        let undecodable = |what: &str| Damage {
            file: PathBuf::new(),
            offset: position,
            bytes: record.header.len.into(),
            events: 1,
            what: format!("event of {} pid {} ring {}: {what}", identity.component, identity.pid, self.id),
        };
        let described = self.process.schemas.get(usize::from(record.header.event)).and_then(Option::as_ref);
        let Some(described) = described else {
            summary.damage(undecodable("its schema is missing"));
            return Ok(());
        };
        if !self.is_wanted || !filter.wants_type(&described.schema) || !filter.wants_time(time) {
            return Ok(());
        }
        let reduced = record.header.flags & FLAG_REDUCED != 0;
        match decode_event(&described.schema, record.payload, reduced) {
            Ok(values) => {
                let event = EventRef {
                    time,
                    process: self.process,
                    process_index: self.process_index,
                    tid: self.ring.info.tid,
                    thread_name: &self.ring.info.thread_name,
                    ring: self.id,
                    sequence,
                    ticks: record.header.ticks,
                    schema: &described.schema,
                    values,
                    described,
                };
                summary.shown += 1;
                each(&Item::Event(event))?;
            }
            Err(error) => summary.damage(undecodable(error.what)),
        }
        Ok(())
    }

    /// At the end of a ring: what only its counters tell, and the law.
    fn finish<E>(
        &mut self,
        run: &mut Run<'_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let time = self.end_time();
        // A block that a kill cut, and that neither a ring nor a later segment has.
        for torn in &self.ring.torn {
            if self.covered.is_none_or(|covered| covered < torn.to) {
                self.begin_at(torn.sequence_after, run);
            }
        }
        let counters = self.ring.counters.as_ref();
        if let Some(counters) = counters.filter(|_| self.ring.ended) {
            // A killed process may have counted one that its head does not cover: that is the one in flight.
            if counters.delivered > self.sequence.saturating_add(self.ring.killed.into()) {
                self.begin_at(counters.delivered, run);
            }
        }
        self.tell_hole(time, run.filter, each)?;
        let mut untold = LossCounts::default();
        for ((rest, total), (told, counted)) in untold
            .0
            .iter_mut()
            .zip(&mut run.summary.lost)
            .zip(self.told.iter().zip(counters.map_or([0; 8], |c| c.lost)))
        {
            *rest = counted.saturating_sub(*told);
            *total = total.saturating_add(counted.max(*told));
        }
        self.tell_lost(time, untold, run.filter, each)?;
        if self.id != 0 {
            self.check_law(&mut run.summary);
        }
        Ok(())
    }

    fn check_law(&self, summary: &mut Summary) {
        let Some(counters) = self.ring.counters.as_ref().filter(|_| self.ring.ended) else {
            summary.law_open += 1;
            return;
        };
        summary.law_checked += 1;
        let lost = counters.lost.iter().fold(0_u64, |a, b| a.saturating_add(*b));
        // Those that are missing are reported as such; the number of the next event counts them.
        let sum = self.sequence.saturating_add(lost);
        // A killed process may have one emit under way.
        let most = u64::from(self.ring.killed);
        if counters.attempted.checked_sub(sum).is_none_or(|in_flight| in_flight > most) {
            summary.law.push(LawBreach {
                component: self.process.identity.component.clone(),
                pid: self.process.identity.pid,
                ring: self.id,
                attempted: counters.attempted,
                delivered: self.sequence,
                lost,
            });
        }
    }
}
