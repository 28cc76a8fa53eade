//! One ring's way through the merge: its blocks and records in their order, and what its counters say at the end.

mod columns;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracewell_schema::decode_event_of;
use tracewell_schema::format::record::{
    FLAG_REDUCED, HEADER_LEN, KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts, Records,
};
use tracewell_schema::limits::MAX_RECORD;

use crate::clock::Span;
use crate::filter::Filter;
use crate::item::{EventRef, Item};
use crate::load::Loader;
use crate::merge::{Key, Run};
use crate::ring;
use crate::summary::{Damage, LawBreach, Summary};
use crate::trace::{Block, ProcessInfo, Ring, Source, Trace};

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
pub(crate) struct Track<'a> {
    /// Among all rings.
    place: usize,
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
    /// The loaded records; none while nothing is loaded.
    raw: Option<Arc<Vec<u8>>>,
    at: usize,
    /// Position of the raw bytes' start.
    base: u64,
    /// The segment that they come from; none if it is a leftover ring.
    loaded_from: Option<u32>,
    last_time: i64,
    /// Events missing before the loaded block, not told yet.
    hole: u64,
    span: Span,
    /// What is handed out is of another boot.
    is_unverified: bool,
    /// Bytes that it counts as loaded.
    held: usize,
    /// What is loaded is handed out at once, whatever the others have.
    is_hurried: bool,
}

/// Most bytes that all tracks may have loaded at a time. Beyond that, which no trace reaches but one made to, a block
/// is handed out as soon as it is read: memory counts for more than the order between threads.
const MAX_HELD: usize = 256 << 20;

impl<'a> Track<'a> {
    pub(crate) fn new(
        place: usize,
        index: usize,
        process: &'a ProcessInfo,
        id: u32,
        ring: &'a Ring,
        filter: &Filter,
    ) -> Self {
        Self {
            place,
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
            raw: None,
            at: 0,
            base: 0,
            loaded_from: None,
            last_time: i64::MIN,
            hole: 0,
            span: Span::NONE,
            is_unverified: false,
            held: 0,
            is_hurried: false,
        }
    }

    /// Those of all rings.
    pub(crate) fn all(trace: &'a Trace, filter: &Filter) -> Vec<Self> {
        trace
            .rings
            .iter()
            .enumerate()
            .filter_map(|(place, ((process_index, id), ring))| {
                Some(Self::new(
                    place,
                    *process_index,
                    trace.processes.get(*process_index)?,
                    *id,
                    ring,
                    filter,
                ))
            })
            .collect()
    }

    /// Whether what is loaded must go at once.
    pub(crate) const fn is_hurried(&self) -> bool {
        self.is_hurried
    }

    /// What it is ordered by at a time.
    pub(crate) fn key(&self, time: i64) -> Key {
        (time, self.process_index, self.id, self.place)
    }

    /// Time of what comes next, which stays unread if that is known without reading it.
    pub(crate) fn next_time(&mut self, run: &mut Run<'_, '_>) -> Option<i64> {
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
    fn look(&mut self, run: &mut Run<'_, '_>) -> Next {
        while let Some(record) = Header::at(self.raw(), self.at) {
            if record.kind != KIND_PAD {
                return Next::Record(self.process.clock.time(record.ticks, &mut self.span));
            }
            self.at += record.padded_len();
        }
        // Memory is kept only by rings that have something loaded.
        run.loader.give_shared(self.raw.take());
        run.loader.held -= std::mem::take(&mut self.held);
        self.is_hurried = false;
        self.at = 0;
        while let Some(block) = self.ring.blocks.get(self.next_block) {
            if self.covered.is_none_or(|covered| block.to > covered) {
                return Next::Block;
            }
            run.summary.duplicates += 1;
            run.loader.forget(block);
            self.next_block += 1;
        }
        Next::End
    }

    fn raw(&self) -> &[u8] {
        self.raw.as_deref().map_or(&[], Vec::as_slice)
    }

    fn is_segment(&self, block: &Block) -> bool {
        matches!(block.source, Source::Segment { .. })
    }

    /// Reads the next block, or a part of a leftover; what cannot be read is damage.
    fn load(&mut self, run: &mut Run<'_, '_>) {
        self.next = Next::Unknown;
        let Some(block) = self.ring.blocks.get(self.next_block) else { return };
        let is_segment = self.is_segment(block);
        // What an earlier block has covered is skipped: whole in a leftover, record by record in a segment's block.
        let covered = self.covered.filter(|c| *c > block.from);
        let from = if is_segment { block.from } else { covered.unwrap_or(block.from) };
        let mut raw = run.loader.spare();
        let end = match run.loader.load(block, self.id, from, &mut raw) {
            Ok(end) => end,
            Err(damage) => {
                self.next_block += 1;
                run.loader.give(raw);
                run.summary.damage(damage);
                return;
            }
        };
        let mut end = end;
        if let Source::Ring(leftover) = &block.source
            && let Some((at, what)) = ring::first_wrong(leftover, &raw, from, end)
        {
            // Nothing after it is read: where the next record begins only this one could tell.
            let position = from.saturating_add(at as u64);
            let (offset, bytes) = (ring::offset_of(leftover, position), block.to.saturating_sub(position));
            run.summary.damage(Damage { offset, bytes, ..Damage::of_file(&leftover.path, what) });
            raw.truncate(at);
            end = block.to;
        }
        self.held = raw.capacity();
        run.loader.held += self.held;
        if run.loader.held > MAX_HELD {
            self.is_hurried = true;
            run.summary.hurried += 1;
        }
        self.is_unverified = block.is_unverified;
        (self.base, self.at, self.raw) = (from, 0, Some(Arc::new(raw)));
        self.loaded_from = match &block.source {
            Source::Segment { segment, .. } => Some(*segment),
            Source::Ring(_) => None,
        };
        let mut skipped = 0;
        while covered.is_some_and(|covered| self.base + (self.at as u64) < covered) {
            let Some(record) = Header::at(self.raw(), self.at) else { break };
            skipped += u64::from(record.kind == KIND_EVENT);
            self.at += record.padded_len();
        }
        // A leftover is numbered from its start on, wherever reading begins.
        let numbered = block.sequence.saturating_add(skipped);
        let begins = if !is_segment && covered.is_some() { self.sequence } else { numbered };
        self.check_gap(block, from, begins, run);
        self.begin_at(begins, run);
        self.covered = Some(self.covered.map_or(end, |covered| covered.max(end)));
        if end >= block.to {
            self.next_block += 1;
            run.loader.foresee(self.ring.blocks.get(self.next_block..).unwrap_or_default());
        }
        let mut end = self.at;
        while let Some(record) = Header::at(self.raw(), end) {
            end += record.padded_len();
        }
        if let Some(Err(error)) = Records::new(self.raw().get(end..).unwrap_or_default()).next() {
            let (path, offset) = match &block.source {
                Source::Ring(leftover) => (leftover.path.clone(), ring::offset_of(leftover, from)),
                Source::Segment { segment, offset, .. } => (run.loader.trace.path_of(*segment), *offset),
            };
            let bytes = self.raw().len() as u64;
            run.summary.damage(Damage { offset, bytes, ..Damage::of_file(&path, error.what) });
        }
    }

    /// Tells a gap in the positions before `from` that has no events, though its next event is number `begins`: what lay
    /// there had none, or a ring's tail is not where it was.
    fn check_gap(&self, block: &Block, from: u64, begins: u64, run: &mut Run<'_, '_>) {
        let gap = self.covered.map_or(0, |covered| from.saturating_sub(covered));
        if gap == 0 || begins > self.sequence {
            return;
        }
        let path = match &block.source {
            Source::Ring(leftover) => leftover.path.clone(),
            Source::Segment { segment, .. } => run.loader.trace.path_of(*segment),
        };
        let what = "bytes are missing before this, and no events with them";
        run.summary.damage(Damage { bytes: gap, ..Damage::of_file(&path, what) });
    }

    /// Takes note that the next event is number `begins`: those between the last and it are missing, or were retired.
    fn begin_at(&mut self, begins: u64, run: &mut Run<'_, '_>) {
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

    /// Hands out what is next, and the records that follow as long as they come before `limit`.
    pub(crate) fn step<E>(
        &mut self,
        limit: Option<Key>,
        run: &mut Run<'_, '_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            // Its first record may be a loss, earlier than its first event: look again.
            Next::Block => {
                self.load(run);
                Ok(())
            }
            Next::Record(_) => {
                let Some(raw) = self.raw.take() else { return Ok(()) };
                let limit = limit.filter(|_| !self.is_hurried);
                let done = self.records(&raw, limit, run, each);
                self.raw = Some(raw);
                done
            }
            Next::End => {
                self.next = Next::Nothing;
                self.is_unverified = self.ring.is_unverified;
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
        let is_unverified = self.is_unverified;
        each(&Item::Hole { time, process, process_index, tid, events, is_unverified })
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
        let is_unverified = self.is_unverified;
        each(&Item::Lost { time, process, process_index, tid, counts, is_unverified })
    }

    /// Hands out the records from `at` on, at least one.
    fn records<E>(
        &mut self,
        raw: &Arc<Vec<u8>>,
        limit: Option<Key>,
        run: &mut Run<'_, '_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut is_first = true;
        while let Some(record) = Header::at(raw, self.at) {
            if record.kind == KIND_PAD {
                self.at += record.padded_len();
                continue;
            }
            let time = self.process.clock.time(record.ticks, &mut self.span);
            let key = time.max(self.last_time);
            if !std::mem::take(&mut is_first) && limit.is_some_and(|limit| self.key(key) >= limit) {
                self.next = Next::Record(time);
                return Ok(());
            }
            if self.hole != 0 {
                self.tell_hole(time, run.filter, each)?;
            }
            run.summary.time_went_back += u64::from(time < self.last_time);
            self.last_time = key;
            let at = self.at;
            let payload = raw.get(at + HEADER_LEN..at + record.len).unwrap_or_default();
            self.at += record.padded_len();
            if record.kind == KIND_LOSS {
                let counts = LossCounts::decode(payload).unwrap_or_default();
                self.tell_lost(time, counts, run.filter, each)?;
            } else {
                self.event(&record, time, (raw, at), payload, run, each)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn event<E>(
        &mut self,
        record: &Header,
        time: i64,
        (block, at): (&Arc<Vec<u8>>, usize),
        payload: &[u8],
        run: &mut Run<'_, '_>,
        each: &mut impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (filter, summary) = (run.filter, &mut run.summary);
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        summary.events += 1;
        summary.unverified += u64::from(self.is_unverified);
        summary.first = Some(summary.first.map_or(time, |first| first.min(time)));
        summary.last = Some(summary.last.map_or(time, |last| last.max(time)));
        let position = self.base + at as u64;
        let described = self.process.schemas.get(usize::from(record.event)).and_then(Option::as_ref);
        let Some(described) = described else {
            summary.damage(self.undecodable(&run.loader, record, position, "its schema is missing"));
            return Ok(());
        };
        if !self.is_wanted || !filter.wants_type(&described.schema) || !filter.wants_time(time) {
            return Ok(());
        }
        let is_reduced = record.is_reduced();
        let values = decode_event_of(&described.schema, described.fixed_len, payload, is_reduced);
        // Bytes of a segment are what was written, by their checksum; those of a ring are so only if they fit.
        let values = match values {
            Ok(values) if self.loaded_from.is_none() => values.check_whole().map(|()| values),
            values => values,
        };
        match values {
            Ok(values) => {
                summary.shown += 1;
                each(&Item::Event(EventRef {
                    time,
                    process: self.process,
                    process_index: self.process_index,
                    tid: self.ring.info.tid,
                    thread_name: &self.ring.info.thread_name,
                    ring: self.id,
                    sequence,
                    ticks: record.ticks,
                    schema: &described.schema,
                    values,
                    described,
                    source: self.ring,
                    place: self.place,
                    index: record.event,
                    block,
                    // Blocks are 1 MiB at most, and what is read of a ring at once is no longer than a ring.
                    at: at as u32,
                    payload,
                    is_reduced,
                    is_unverified: self.is_unverified,
                }))?;
            }
            Err(error) => summary.damage(self.undecodable(&run.loader, record, position, error.what)),
        }
        Ok(())
    }

    fn whose(&self) -> String {
        let identity = &self.process.identity;
        format!("{} pid {} ring {}", identity.component, identity.pid, self.id)
    }

    #[cold]
    fn undecodable(&self, loader: &Loader<'_>, record: &Header, position: u64, what: &str) -> Damage {
        let file = self.loaded_from.map_or_else(PathBuf::new, |segment| loader.trace.path_of(segment));
        Damage {
            file,
            offset: position,
            bytes: record.len as u64,
            events: 1,
            what: format!("events of {}: {what}", self.whose()),
        }
    }

    /// At the end of a ring: what only its counters tell, and the law.
    fn finish<E>(
        &mut self,
        run: &mut Run<'_, '_>,
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
        let counted = counters.filter(|_| self.ring.ended).map(|c| c.lost);
        if counted.is_some_and(|counted| self.told.iter().zip(counted).any(|(told, n)| *told > n)) {
            let what = format!("{}: its records tell more losses than its counters", self.whose());
            run.summary.damage(Damage::of_file(Path::new(""), &what));
        }
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

/// A record's header, in bytes that hold the whole record.
pub(crate) struct Header {
    /// Header and payload.
    pub(crate) len: usize,
    pub(crate) event: u16,
    kind: u8,
    flags: u8,
    pub(crate) ticks: u64,
}

impl Header {
    /// Of the record at `at`, if one is there: exactly where [`Records`] finds one, but most records by one check.
    #[inline]
    pub(crate) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let rest = bytes.get(at..)?;
        let ([l0, l1, l2, l3, e0, e1, kind, flags, ..], ticks) =
            (rest.first_chunk::<8>()?, rest.get(8..).and_then(|r| r.first_chunk::<8>()));
        let len = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let is_common = *kind == KIND_EVENT && (HEADER_LEN..=MAX_RECORD).contains(&len) && len <= rest.len();
        match ticks {
            Some(ticks) if is_common => Some(Self {
                len,
                event: u16::from_le_bytes([*e0, *e1]),
                kind: *kind,
                flags: *flags,
                ticks: u64::from_le_bytes(*ticks),
            }),
            _ => Self::of_other(rest),
        }
    }

    #[cold]
    fn of_other(rest: &[u8]) -> Option<Self> {
        let header = Records::new(rest).next()?.ok()?.header;
        Some(Self {
            len: header.len as usize,
            event: header.event,
            kind: header.kind,
            flags: header.flags,
            ticks: header.ticks,
        })
    }

    /// Whether its payload ends with a trailer of reductions.
    pub(crate) const fn is_reduced(&self) -> bool {
        self.flags & FLAG_REDUCED != 0
    }

    const fn padded_len(&self) -> usize {
        self.len.next_multiple_of(8)
    }
}
