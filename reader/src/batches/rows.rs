//! Batches of records, as they come one by one.

use std::collections::HashMap;

use super::form::Kind;
use super::set::{Sequences, Set};
use super::{Batch, Origin, Part};
use crate::item::EventRef;

/// Most rows and payload bytes that are gathered: those of a block.
const MOST_ROWS: usize = 65_536;
const MOST_BYTES: usize = 1 << 20;
/// Most batches that are gathered at once.
const MOST_SETS: usize = 64;

const CUT: u16 = tracewell_schema::field::CUT;

/// Events of one ring by type, and by what was kept of their values.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    sets: Vec<(u16, Set)>,
    by_kind: HashMap<(u16, Vec<u8>), usize>,
    /// The last event's type, whose values were all kept as usual, and its set.
    last: Option<(u16, usize)>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    /// Whether it is time to hand them out.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES || self.by_kind.len() >= MOST_SETS
    }

    pub(crate) fn push(&mut self, event: &EventRef<'_>) {
        let described = event.described;
        let trailer = event.values.trailer();
        let index = match self.last {
            Some((last, index)) if last == event.index && trailer.is_empty() => index,
            _ => self.set_of(event, trailer),
        };
        let Some((_, set)) = self.sets.get_mut(index) else { return };
        let row = set.times.len();
        set.times.push(event.time);
        if let Sequences::Each(all) = &mut set.sequences {
            all.push(event.sequence);
        }
        // It was decoded: the fixed part and the trailer are there.
        let (fixed, rest) = event.payload.split_at_checked(described.fixed_len).unwrap_or_default();
        let end = rest.len() - if event.is_reduced { trailer.len() + 1 } else { 0 };
        let mut variable = rest.get(..end).unwrap_or_default();
        for (form, store) in described.forms.iter().zip(&mut set.stores) {
            let mut is_there = true;
            if form.is_optional {
                let present = fixed.get(form.offset - 1).copied().unwrap_or(0);
                is_there = present == 1;
                store.present.push(present);
            }
            let part = fixed.get(form.offset..form.offset + form.width).unwrap_or_default();
            match form.kind {
                Kind::Bool | Kind::Fixed(_) => store.bytes.extend_from_slice(part),
                Kind::Strings => {
                    let word = part.first_chunk().map_or(0, |word| u16::from_le_bytes(*word));
                    let len = if is_there { usize::from(word & !CUT) } else { 0 };
                    match variable.split_at_checked(len) {
                        Some((value, after)) => {
                            store.bytes.extend_from_slice(value);
                            variable = after;
                        }
                        None => store.short.push(row),
                    }
                    store.cuts.push(is_there && word & CUT != 0);
                    store.bounds.push(store.bytes.len() as u32);
                }
                _ => store.push_number(part),
            }
        }
        self.rows += 1;
        self.bytes += event.payload.len();
    }

    /// The set for an event, made if there is none yet.
    fn set_of(&mut self, event: &EventRef<'_>, trailer: &[u8]) -> usize {
        let next = self.by_kind.len();
        let index = *self.by_kind.entry((event.index, trailer.to_vec())).or_insert(next);
        if index == next {
            if self.sets.len() == next {
                self.sets.push((0, Set::default()));
            }
            if let Some((kind, set)) = self.sets.get_mut(next) {
                *kind = event.index;
                set.clear(event.described);
                set.sequences = Sequences::Each(Vec::new());
                for (form, store) in event.described.forms.iter().zip(&mut set.stores) {
                    if form.kind == Kind::Strings {
                        store.bounds.push(0);
                    }
                }
                if !trailer.is_empty() {
                    let fields = 0..event.described.forms.len();
                    set.reductions.extend(fields.map(|field| event.values.reduction(field)));
                }
            }
        }
        if trailer.is_empty() {
            self.last = Some((event.index, index));
        }
        index
    }

    /// Hands out what there is.
    pub(crate) fn flush<E>(
        &mut self,
        origin: &Origin<'_>,
        each: &mut impl FnMut(&Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.by_kind.len();
        for (kind, set) in self.sets.iter_mut().take(count) {
            let described = origin.process.schemas.get(usize::from(*kind)).and_then(Option::as_ref);
            if let Some(described) = described.filter(|_| !set.times.is_empty()) {
                set.finish(described, None);
                each(&Part::Batch(Batch::new(origin, described, set, None)))?;
            }
            set.trim();
        }
        // A trace with many types keeps the memory of few.
        self.sets.truncate(4);
        self.by_kind.clear();
        (self.last, self.rows, self.bytes) = (None, 0, 0);
        Ok(())
    }
}
