//! Block by block through all rings.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Part;
use super::rows::Rows;
use super::set::Set;
use tracewell_schema::format::columns::Table;
use tracewell_schema::format::record::KIND_EVENT;

use crate::filter::Filter;
use crate::item::Item;
use crate::load::Loader;
use crate::merge::{Key, Run};
use crate::segment::Scratch;
use crate::summary::Summary;
use crate::trace::Trace;
use crate::track::Track;

/// Memory for reading columns, kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) scratch: Scratch,
    pub(crate) ticks: Vec<u64>,
    pub(crate) times: Vec<i64>,
    pub(crate) places: Places,
    pub(crate) set: Set,
}

/// Of a block with records of several kinds: where each kind's are among all.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Kind after kind.
    places: Vec<u32>,
    /// Where each kind's begin in `places`, and the last one's end.
    starts: Vec<u32>,
    /// For each record how many events are before it.
    events: Vec<u32>,
}

impl Places {
    pub(crate) fn find(&mut self, table: &Table<'_>) {
        self.starts.clear();
        self.starts.push(0);
        let mut end = 0;
        for group in table.groups() {
            // A block has at most 65,536 records.
            end += group.rows as u32;
            self.starts.push(end);
        }
        self.places.clear();
        self.places.resize(end as usize, 0);
        self.events.clear();
        let mut next = self.starts.clone();
        let mut events = 0;
        for at in 0..end {
            let group = table.order().get(at as usize).map_or(0, |group| usize::from(*group));
            if let Some(next) = next.get_mut(group) {
                if let Some(place) = self.places.get_mut(*next as usize) {
                    *place = at;
                }
                *next += 1;
            }
            self.events.push(events);
            events += u32::from(table.groups().get(group).is_some_and(|group| group.kind == KIND_EVENT));
        }
    }

    /// Places of a kind's records.
    pub(crate) fn of(&self, group: usize) -> &[u32] {
        match self.starts.get(group..group + 2) {
            Some([start, end]) => self.places.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// How many events are before a record.
    pub(crate) fn events_before(&self, place: u32) -> u64 {
        self.events.get(place as usize).copied().unwrap_or(0).into()
    }
}

pub(super) fn run<E>(
    trace: &Trace,
    filter: &Filter,
    mut each: impl FnMut(&Part<'_>) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut told = |_| {};
    let mut run =
        Run { loader: Loader::new(trace, &mut told, None), filter, summary: trace.summary().clone() };
    let mut tracks = Track::all(trace, filter);
    let (mut reading, mut rows) = (Reading::default(), Rows::default());
    let mut heap: BinaryHeap<Reverse<(Key, usize)>> = BinaryHeap::new();
    for (index, track) in tracks.iter_mut().enumerate() {
        if let Some(time) = track.next_time(&mut run) {
            heap.push(Reverse((track.key(time), index)));
        }
    }
    while let Some(Reverse((_, index))) = heap.pop() {
        let Some(track) = tracks.get_mut(index) else { continue };
        if !track.columns(&mut run, &mut reading, &mut each)? {
            let origin = track.origin();
            // Reading a block, and then handing out all its records, are two steps.
            loop {
                track.step(None, &mut run, &mut |item| {
                    if let Item::Event(event) = item {
                        rows.push(event);
                        if rows.is_full() {
                            rows.flush(&origin, &mut each)?;
                        }
                        return Ok(());
                    }
                    Part::of(item).map_or(Ok(()), |part| each(&part))
                })?;
                if track.next_time(&mut run).is_none() || !track.is_at_record() {
                    break;
                }
            }
            rows.flush(&origin, &mut each)?;
        }
        if let Some(time) = track.next_time(&mut run) {
            heap.push(Reverse((track.key(time), index)));
        }
    }
    Ok(run.summary)
}
