//! Batches of blocks that are stored as columns.

use tracewell_schema::decode_event_of;
use tracewell_schema::format::columns::Group;
use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT};

use super::form::Kind;
use super::set::Set;
use crate::trace::Described;

/// Bit 15 of a length word: the value was longer.
const CUT: u16 = tracewell_schema::field::CUT;

/// Whether the columns give what reading record by record would give. They do, if a writer made them; what others made
/// is read record by record.
pub(crate) fn is_plain(group: &Group<'_>, described: &Described) -> bool {
    group.kind == KIND_EVENT
        && group.has_layout(&described.layout)
        && (group.flags & FLAG_REDUCED == 0 || trailer(group, described).is_some())
        && described.forms.iter().filter(|form| form.is_optional && form.kind == Kind::Strings).all(|form| {
            let Some(variable) = group.variables().get(form.variable) else { return false };
            let words = variable.words();
            // Bytes of a value that is not there belong to nobody.
            let is_empty = |word: &u16| word & !CUT == 0;
            let mut present: Vec<u8> = Vec::new();
            words.iter().all(is_empty)
                || group.numbers(form.piece, &mut present)
                    && present.iter().enumerate().all(|(row, present)| {
                        *present == 1 || words.get(row).or(words.first()).is_some_and(is_empty)
                    })
        })
}

/// The counts of loss records, by reason; `None` if they are not laid out as a writer does.
pub(crate) fn losses(group: &Group<'_>) -> Option<[Vec<u64>; 8]> {
    let mut counts: [Vec<u64>; 8] = Default::default();
    counts.iter_mut().enumerate().all(|(reason, counts)| group.numbers(reason, counts)).then_some(counts)
}

/// Bytes after the values that say what was kept of them, if that is the same for all rows.
fn trailer<'a>(group: &Group<'a>, described: &'a Described) -> Option<tracewell_schema::EventValues<'a>> {
    decode_event_of(&described.schema, 0, group.rest()?, true).ok()
}

impl Set {
    /// The columns of a group that is plain; its times are there already.
    pub(crate) fn fill(&mut self, group: &Group<'_>, described: &Described) {
        for (form, store) in described.forms.iter().zip(&mut self.stores) {
            let mut piece = form.piece;
            if form.is_optional {
                group.numbers(piece, &mut store.present);
                piece += 1;
            }
            match form.kind {
                Kind::Bool => drop(group.numbers(piece, &mut store.bytes)),
                Kind::Fixed(_) => group.gather(piece, &mut store.bytes),
                Kind::Strings => {
                    let Some(variable) = group.variables().get(form.variable) else { continue };
                    let words = variable.words();
                    if words.iter().any(|word| word & CUT != 0) {
                        store.cuts.extend(each_row(words, group.rows).map(|word| word & CUT != 0));
                    }
                    if variable.parts().1.is_none() {
                        let mut end = 0;
                        store.bounds.push(0);
                        store.bounds.extend(each_row(words, group.rows).map(|word| {
                            end += u32::from(word & !CUT);
                            end
                        }));
                    }
                }
                _ => store.fill_numbers(group, piece),
            }
        }
        if group.flags & FLAG_REDUCED != 0
            && let Some(values) = trailer(group, described)
        {
            self.reductions.extend((0..described.forms.len()).map(|field| values.reduction(field)));
        }
        self.finish(described, Some(group));
    }
}

/// The length words of the rows, of which there may be only one.
fn each_row(words: &[u16], rows: usize) -> impl Iterator<Item = u16> {
    (0..rows).map(move |row| words.get(row).or(words.first()).copied().unwrap_or(0))
}
