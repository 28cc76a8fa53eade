//! The merge: all rings by time, each in its own order, with bounded memory.
//!
//! A ring's block is read when its first event's time has come, so that memory holds one block for each ring that
//! is active at that time. The key of the merge is the greater of a record's time and the ring's last, so that a
//! clock that goes back, or lies, never changes the order within a thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::filter::Filter;
use crate::item::Item;
use crate::load::Loader;
use crate::summary::Summary;
use crate::track::Track;

/// What the rings are ordered by: time first; then process, ring and place, so that the order is always the same.
pub(crate) type Key = (i64, usize, u32, usize);

pub(crate) fn merge<E>(
    loader: Loader<'_>,
    filter: &Filter,
    summary: Summary,
    mut each: impl FnMut(&Item<'_>) -> Result<(), E>,
) -> Result<Summary, E> {
    let trace = loader.trace;
    let mut run = Run { loader, filter, summary };
    let mut tracks = Track::all(trace, filter);
    let mut heap: BinaryHeap<Reverse<(Key, usize)>> = BinaryHeap::new();
    for (index, track) in tracks.iter_mut().enumerate() {
        if let Some(time) = track.next_time(&mut run) {
            heap.push(Reverse((track.key(time), index)));
        }
    }
    while let Some(Reverse((_, index))) = heap.pop() {
        let limit = heap.peek().map(|Reverse((key, _))| *key);
        let Some(track) = tracks.get_mut(index) else { continue };
        // As long as no other ring has anything earlier, stay with this one.
        loop {
            track.step(limit, &mut run, &mut each)?;
            let Some(time) = track.next_time(&mut run) else { break };
            let key = track.key(time);
            if track.is_hurried() {
                continue;
            }
            if limit.is_some_and(|limit| key >= limit) {
                heap.push(Reverse((key, index)));
                break;
            }
        }
    }
    Ok(run.summary)
}

/// What all tracks share.
pub(crate) struct Run<'a, 'f> {
    pub(crate) loader: Loader<'a>,
    pub(crate) filter: &'f Filter,
    pub(crate) summary: Summary,
}
