//! The merge: all rings by time, each in its own order, with bounded memory.
//!
//! A ring's block is read when its first event's time has come, so that memory holds one block for each ring that
//! is active at that time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::sync::Arc;

use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, KIND_LOSS, LossCounts, Records};
use tracewell_schema::{EventValues, Schema, decode_event};

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

/// Where a ring's reading is.
struct Track<'a> {
    process_index: usize,
    process: &'a ProcessInfo,
    ring: &'a Ring,
    id: u32,
    next_block: usize,
    /// End of what has been read or skipped.
    covered: Option<u64>,
    sequence: u64,
    /// Events found.
    found: u64,
    /// Losses told in the stream.
    told: [u64; 8],
    raw: Arc<Vec<u8>>,
    at: usize,
    /// Position of the raw bytes' start.
    base: u64,
    last_time: i64,
    loaded: bool,
    /// Events missing before the loaded block, not told yet.
    hole: u64,
}

/// Reads blocks; keeps the last few files open.
struct Loader<'a> {
    trace: &'a Trace,
    files: Vec<(usize, File)>,
    stored: Vec<u8>,
}

impl Loader<'_> {
    fn load(&mut self, block: &Block, out: &mut Vec<u8>) -> Result<(), Damage> {
        match &block.source {
            Source::Copy { bytes, .. } => {
                out.clear();
                out.extend_from_slice(bytes);
                Ok(())
            }
            Source::Ring(leftover) => ring::read_data(leftover, out).map(|_| ()),
            Source::Segment { segment, found } => {
                let path = self.trace.segments.get(*segment).cloned().unwrap_or_default();
                let damage = |what: String| Damage {
                    file: path.clone(),
                    offset: found.offset,
                    bytes: found.header.stored_len.into(),
                    events: found.header.events.into(),
                    what,
                };
                let at = match self.files.iter().position(|(s, _)| s == segment) {
                    Some(at) => at,
                    None => {
                        let file = source::open(&path).map_err(|e| damage(e.to_string()))?;
                        if self.files.len() >= 64 {
                            self.files.remove(0);
                        }
                        self.files.push((*segment, file));
                        self.files.len() - 1
                    }
                };
                let Some((_, file)) = self.files.get(at) else { return Err(damage("not open".into())) };
                segment::read_block(file, found, &mut self.stored, out).map_err(|e| damage(e.what.to_owned()))
            }
        }
    }
}

/// Key of the heap: time first; then a stable order.
type Key = Reverse<(i64, usize, u32, usize)>;

pub(crate) fn merge<E>(
    trace: &Trace,
    filter: &Filter,
    mut summary: Summary,
    mut each: impl FnMut(&Item<'_>) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut loader = Loader { trace, files: Vec::new(), stored: Vec::new() };
    let mut tracks: Vec<Track<'_>> = Vec::new();
    for ((process_index, id), ring) in &trace.rings {
        let Some(process) = trace.processes.get(*process_index) else { continue };
        tracks.push(Track {
            process_index: *process_index,
            process,
            ring,
            id: *id,
            next_block: 0,
            covered: None,
            sequence: 0,
            found: 0,
            told: [0; 8],
            raw: Arc::default(),
            at: 0,
            base: 0,
            last_time: i64::MIN,
            loaded: false,
            hole: 0,
        });
    }
    let mut heap: BinaryHeap<Key> = BinaryHeap::new();
    for (index, track) in tracks.iter_mut().enumerate() {
        if let Some(time) = track.next_time(&mut loader, &mut summary) {
            heap.push(Reverse((time, track.process_index, track.id, index)));
        }
    }
    while let Some(Reverse((_, _, _, index))) = heap.pop() {
        let next = heap.peek().map(|Reverse((time, ..))| *time);
        let Some(track) = tracks.get_mut(index) else { continue };
        // As long as no other ring has anything earlier, stay with this one.
        loop {
            track.step(&mut loader, filter, &mut summary, &mut each)?;
            match track.next_time(&mut loader, &mut summary) {
                Some(time) if next.is_none_or(|n| time < n) => {}
                Some(time) => {
                    heap.push(Reverse((time, track.process_index, track.id, index)));
                    break;
                }
                None => break,
            }
        }
    }
    for track in &tracks {
        track.finish(&mut summary);
    }
    Ok(summary)
}

impl<'a> Track<'a> {
    /// Time of the next record, which is loaded if its block's first time is not known without that.
    fn next_time(&mut self, loader: &mut Loader<'_>, summary: &mut Summary) -> Option<i64> {
        loop {
            if self.loaded {
                if let Some(ticks) = self.peek_ticks() {
                    return Some(self.key(ticks));
                }
                self.loaded = false;
                self.raw = Arc::default();
            }
            let block = self.ring.blocks.get(self.next_block)?;
            if self.covered.is_some_and(|covered| block.to <= covered) {
                summary.duplicates += 1;
                self.next_block += 1;
                continue;
            }
            match block.first_ticks {
                Some(ticks) => return Some(self.key(ticks)),
                None => self.load(loader, summary),
            }
        }
    }

    fn key(&self, ticks: u64) -> i64 {
        self.process.clock.time(ticks).max(self.last_time)
    }

    /// Ticks of the next event or loss; skips pads.
    fn peek_ticks(&mut self) -> Option<u64> {
        loop {
            let rest = self.raw.get(self.at..)?;
            let record = Records::new(rest).next()?.ok()?;
            if record.header.kind == KIND_EVENT || record.header.kind == KIND_LOSS {
                return Some(record.header.ticks);
            }
            self.at += (record.header.len as usize).next_multiple_of(8);
        }
    }

    /// Reads the next block; what cannot be read is damage.
    fn load(&mut self, loader: &mut Loader<'_>, summary: &mut Summary) {
        let Some(block) = self.ring.blocks.get(self.next_block) else { return };
        self.next_block += 1;
        let mut raw = Arc::try_unwrap(std::mem::take(&mut self.raw)).unwrap_or_default();
        match loader.load(block, &mut raw) {
            Ok(()) => {
                self.base = block.from;
                self.at = 0;
                // What an earlier block has covered is skipped, record by record.
                let mut skipped = 0;
                if let Some(covered) = self.covered.filter(|c| *c > block.from) {
                    while self.base + (self.at as u64) < covered {
                        let rest = raw.get(self.at..).unwrap_or_default();
                        let Some(Ok(record)) = Records::new(rest).next() else { break };
                        skipped += u64::from(record.header.kind == KIND_EVENT);
                        self.at += (record.header.len as usize).next_multiple_of(8);
                    }
                }
                let begins = block.sequence.saturating_add(skipped);
                match self.covered {
                    None => {
                        summary.retired = summary.retired.saturating_add(begins);
                        self.sequence = begins;
                    }
                    Some(_) if begins > self.sequence => {
                        summary.missing = summary.missing.saturating_add(begins - self.sequence);
                        self.hole = begins - self.sequence;
                        self.sequence = begins;
                    }
                    Some(_) => {}
                }
                self.covered = Some(block.to);
                self.raw = Arc::new(raw);
                self.loaded = true;
                if let Some(Err(error)) =
                    Records::new(self.raw.get(self.at..).unwrap_or_default()).find(Result::is_err)
                {
                    summary.damage(self.damage_of(block, error.what));
                }
            }
            Err(damage) => {
                if self.covered.is_none() {
                    self.covered = Some(block.from);
                    self.sequence = block.sequence;
                    summary.retired = summary.retired.saturating_add(block.sequence);
                }
                summary.damage(damage);
            }
        }
    }

    fn damage_of(&self, block: &Block, what: &str) -> Damage {
        let file = match &block.source {
            Source::Ring(leftover) => leftover.path.clone(),
            Source::Copy { path, .. } => path.clone(),
            Source::Segment { .. } => Default::default(),
        };
        Damage { file, offset: block.from, bytes: block.to - block.from, events: 0, what: what.to_owned() }
    }

    /// Hands out the next record.
    fn step<E>(
        &mut self,
        loader: &mut Loader<'_>,
        filter: &Filter,
        summary: &mut Summary,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.loaded {
            self.load(loader, summary);
            if !self.loaded {
                return Ok(());
            }
        }
        let Some(ticks) = self.peek_ticks() else { return Ok(()) };
        let time = self.process.clock.time(ticks);
        let hole = std::mem::take(&mut self.hole);
        let wanted = filter.wants_process(self.process);
        if hole != 0 && wanted {
            each(&Item::Hole {
                time,
                process: self.process,
                process_index: self.process_index,
                tid: self.ring.info.tid,
                events: hole,
            })?;
        }
        if time < self.last_time {
            summary.time_went_back += 1;
        }
        self.last_time = self.last_time.max(time);
        let raw = Arc::clone(&self.raw);
        let Some(Ok(record)) = Records::new(raw.get(self.at..).unwrap_or_default()).next() else {
            return Ok(());
        };
        let position = self.base + self.at as u64;
        self.at += (record.header.len as usize).next_multiple_of(8);
        if record.header.kind == KIND_LOSS {
            let counts = LossCounts::decode(record.payload).unwrap_or_default();
            for (told, count) in self.told.iter_mut().zip(counts.0) {
                *told = told.saturating_add(count);
            }
            if wanted {
                each(&Item::Lost {
                    time,
                    process: self.process,
                    process_index: self.process_index,
                    tid: self.ring.info.tid,
                    counts,
                })?;
            }
            return Ok(());
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.found += 1;
        summary.events += 1;
        summary.first = Some(summary.first.map_or(time, |first| first.min(time)));
        summary.last = Some(summary.last.map_or(time, |last| last.max(time)));
        let described = self.process.schemas.get(usize::from(record.header.event)).and_then(Option::as_ref);
        let undecodable = |what: &str| Damage {
            file: Default::default(),
            offset: position,
            bytes: record.header.len.into(),
            events: 1,
            what: format!(
                "event of {} pid {}: {what}",
                self.process.identity.component, self.process.identity.pid
            ),
        };
        let Some(described) = described else {
            summary.damage(undecodable("its schema is missing"));
            return Ok(());
        };
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
                    ticks,
                    schema: &described.schema,
                    values,
                    described,
                };
                if filter.wants(&event) {
                    summary.shown += 1;
                    each(&Item::Event(event))?;
                }
            }
            Err(error) => summary.damage(undecodable(error.what)),
        }
        Ok(())
    }

    /// Checks the law and adds the losses.
    fn finish(&self, summary: &mut Summary) {
        let counters = self.ring.counters.as_ref();
        for (reason, total) in summary.lost.iter_mut().enumerate() {
            let counted = counters.and_then(|c| c.lost.get(reason)).copied().unwrap_or(0);
            let told = self.told.get(reason).copied().unwrap_or(0);
            *total = total.saturating_add(counted.max(told));
        }
        let Some(counters) = counters.filter(|_| self.ring.ended) else {
            summary.law_open += usize::from(self.id != 0);
            return;
        };
        if self.id == 0 {
            return;
        }
        summary.law_checked += 1;
        let lost = counters.lost.iter().fold(0_u64, |a, b| a.saturating_add(*b));
        // A ring without blocks had no events, or all of them were retired with their segments.
        let delivered = if self.covered.is_some() { self.sequence } else { counters.delivered };
        let sum = delivered.saturating_add(lost);
        let in_flight = counters.attempted.checked_sub(sum);
        // A killed process may have one emit under way; a ring that ended in order has none, but cannot be told from
        // the other here when it was killed between two stores.
        if !in_flight.is_some_and(|n| n <= 1) {
            summary.law.push(LawBreach {
                component: self.process.identity.component.clone(),
                pid: self.process.identity.pid,
                ring: self.id,
                attempted: counters.attempted,
                delivered,
                lost,
            });
        }
    }
}
