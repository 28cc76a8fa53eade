//! A ring's next block as columns.

use tracewell_schema::format::columns::{Group, Table};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, LossCounts};

use super::{Next, Track};
use crate::batches::{Batch, Origin, Part, Places, Reading, Sequences, is_plain, losses};
use crate::item::Item;
use crate::load::is_block;
use crate::merge::Run;
use crate::segment;
use crate::trace::{Described, Source};

impl<'a> Track<'a> {
    /// Whose events it hands out.
    pub(crate) fn origin(&self) -> Origin<'a> {
        let is_unverified = match self.next {
            Next::Block => match self.ring.blocks.as_slice().get(self.next_block) {
                Some(block) => block.is_unverified,
                None => false,
            },
            _ => self.is_unverified,
        };
        let (process, process_index, ring, id) = (self.process, self.process_index, self.ring, self.id);
        Origin { process, process_index, ring, id, is_unverified }
    }

    /// Whether a record is next.
    pub(crate) const fn is_at_record(&self) -> bool {
        matches!(self.next, Next::Record(_))
    }

    fn described(&self, event: u16) -> Option<&'a Described> {
        self.process.schemas.get(usize::from(event))?.as_deref()
    }

    /// Hands out the next block, if it can be read as columns and gives the same as record by record. False if not, or
    /// if no block is next: then nothing has changed.
    pub(crate) fn columns<E>(
        &mut self,
        run: &mut Run<'_, '_>,
        reading: &mut Reading,
        each: &mut impl FnMut(&Part<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Next::Block = self.next else { return Ok(false) };
        let Some(block) = self.ring.blocks.get(self.next_block) else { return Ok(false) };
        let Source::Segment { segment, stored_len, offset, .. } = &block.source else { return Ok(false) };
        // Of a block that was covered in part, only the rest is wanted.
        if self.covered.is_some_and(|covered| covered > block.from) {
            return Ok(false);
        }
        let Reading { scratch, ticks, times, places, set } = reading;
        let Ok(file) = run.loader.file(*segment) else { return Ok(false) };
        let read = segment::read_columns(&file, *offset, *stored_len, scratch);
        let Ok(Some((header, columns))) = read else { return Ok(false) };
        if !is_block(&header, block, self.id) {
            return Ok(false);
        }
        let Ok(table) = Table::read(columns, header.raw_len as usize, ticks) else { return Ok(false) };
        let is_known = |group: &Group<'_>| match group.kind {
            KIND_LOSS => losses(group).is_some(),
            _ => self.described(group.event).is_some_and(|described| is_plain(group, described)),
        };
        if !table.groups().iter().all(is_known) {
            return Ok(false);
        }
        times.clear();
        self.process.clock.times(ticks, &mut self.span, times);
        let Some(is_wanted) = wanted(times, run) else { return Ok(false) };

        // From here on it is handed out.
        let (from, to, sequence) = (block.from, block.to, block.sequence);
        let origin = self.origin();
        self.is_unverified = block.is_unverified;
        self.next = Next::Unknown;
        self.next_block += 1;
        run.loader.count(*stored_len);
        self.check_gap(block, from, sequence, run);
        self.begin_at(sequence, run);
        self.covered = Some(self.covered.map_or(to, |covered| covered.max(to)));
        self.base = from;
        if let Some(first) = times.first() {
            self.tell_hole(*first, run.filter, &mut |item| tell(item, each))?;
        }
        let is_only = matches!(table.groups(), [only] if only.kind == KIND_EVENT);
        if !is_only {
            places.find(&table);
        }
        self.note_times(times, &table, (!is_only).then_some(&*places), run);
        let first = self.sequence;
        let events: usize = table.groups().iter().filter(|g| g.kind == KIND_EVENT).map(|g| g.rows).sum();
        self.sequence = first.saturating_add(events as u64);
        run.summary.events += events as u64;
        run.summary.unverified += if origin.is_unverified { events as u64 } else { 0 };
        for (index, group) in table.groups().iter().enumerate() {
            if group.kind == KIND_LOSS {
                self.tell_losses(group, places.of(index), times, run, each)?;
                continue;
            }
            let Some(described) = self.described(group.event) else { continue };
            if !self.is_wanted || !is_wanted || !run.filter.wants_type(&described.schema) {
                continue;
            }
            run.summary.shown += group.rows as u64;
            set.clear(described);
            if is_only {
                std::mem::swap(&mut set.times, times);
                set.sequences = Sequences::From(first);
            } else {
                let rows = places.of(index);
                set.times.extend(rows.iter().filter_map(|at| times.get(*at as usize)));
                let numbers = rows.iter().map(|at| first.saturating_add(places.events_before(*at)));
                set.sequences = Sequences::Each(numbers.collect());
            }
            set.fill(group, described);
            each(&Part::Batch(Batch::new(&origin, described, set, Some(group))))?;
            set.trim();
        }
        Ok(true)
    }

    /// What the summary says of times, and the ring's last one. `places` if not all records are events.
    fn note_times(
        &mut self,
        times: &[i64],
        table: &Table<'_>,
        places: Option<&Places>,
        run: &mut Run<'_, '_>,
    ) {
        let summary = &mut run.summary;
        let is_in_order = times.is_sorted() && times.first().is_none_or(|first| *first >= self.last_time);
        if is_in_order {
            self.last_time = times.last().copied().unwrap_or(self.last_time);
        } else {
            for time in times {
                summary.time_went_back += u64::from(*time < self.last_time);
                self.last_time = self.last_time.max(*time);
            }
        }
        let mut add = |least: i64, greatest: i64| {
            summary.first = Some(summary.first.map_or(least, |first| first.min(least)));
            summary.last = Some(summary.last.map_or(greatest, |last| last.max(greatest)));
        };
        let mut add_all = |times: &mut dyn Iterator<Item = i64>| times.for_each(|time| add(time, time));
        let Some(places) = places else {
            let (ends, all) = ([times.first(), times.last()].into_iter().flatten(), times.iter());
            return if is_in_order { add_all(&mut ends.copied()) } else { add_all(&mut all.copied()) };
        };
        for (index, group) in table.groups().iter().enumerate() {
            if group.kind == KIND_EVENT {
                add_all(&mut places.of(index).iter().filter_map(|at| times.get(*at as usize)).copied());
            }
        }
    }

    fn tell_losses<E>(
        &mut self,
        group: &Group<'_>,
        places: &[u32],
        times: &[i64],
        run: &Run<'_, '_>,
        each: &mut impl FnMut(&Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(counts) = losses(group) else { return Ok(()) };
        for (row, at) in places.iter().enumerate() {
            let of_row = counts.each_ref().map(|counts| counts.get(row).copied().unwrap_or(0));
            let time = times.get(*at as usize).copied().unwrap_or(0);
            self.tell_lost(time, LossCounts(of_row), run.filter, &mut |item| tell(item, each))?;
        }
        Ok(())
    }
}

/// Whether the filter wants all of these times, or none of them; `None` if it wants some.
fn wanted(times: &[i64], run: &Run<'_, '_>) -> Option<bool> {
    if run.filter.since.is_none() && run.filter.until.is_none() {
        return Some(true);
    }
    let all = times.iter().all(|time| run.filter.wants_time(*time));
    (all || !times.iter().any(|time| run.filter.wants_time(*time))).then_some(all)
}

fn tell<E>(item: &Item<'_>, each: &mut impl FnMut(&Part<'_>) -> Result<(), E>) -> Result<(), E> {
    Part::of(item).map_or(Ok(()), |part| each(&part))
}
