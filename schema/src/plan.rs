//! How the user's settings apply to an event type: [`Plan`].

#[cfg(doc)]
use crate::event::Event;
use crate::event::{Reduction, SchemaRef};

/// How the fields of one event type are written in one session: the schema's own reductions, and the user's.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Key of the keyed hashes.
    pub key: [u8; 32],
    /// What is kept of each field.
    pub reductions: Vec<Reduction>,
    /// Some differ from the schema's own, so that records say which.
    pub changed: bool,
    /// None applies: [`Event::encode`] may be used if [`Event::PLAIN`].
    pub plain: bool,
}

impl Plan {
    /// The plan for a schema: `opted_in` says whether "event" or "event.field" was enabled by name, `stricter` names
    /// the user's reduction of "event.field".
    #[must_use]
    pub fn new(
        schema: &SchemaRef,
        key: [u8; 32],
        opted_in: &dyn Fn(&str) -> bool,
        stricter: &dyn Fn(&str) -> Option<Reduction>,
    ) -> Self {
        let mut changed = false;
        let reductions: Vec<_> = schema
            .fields
            .iter()
            .map(|field| {
                let name = format!("{}.{}", schema.name, field.name);
                let mut reduction = field.reduction;
                if let Some(users) = stricter(&name) {
                    reduction = reduction.stricter(users);
                }
                if field.opt_in && !opted_in(&name) {
                    reduction = Reduction::Off;
                }
                changed |= reduction != field.reduction;
                reduction
            })
            .collect();
        let plain = reductions.iter().all(|r| *r == Reduction::None);
        Self { key, reductions, changed, plain }
    }

    /// What is kept of the `index`-th field.
    #[must_use]
    pub fn reduction(&self, index: usize) -> Reduction {
        self.reductions.get(index).copied().unwrap_or(Reduction::Drop)
    }

    /// Writes the trailer that names changed reductions; returns its length.
    #[doc(hidden)]
    pub fn put_trailer(&self, schema: &SchemaRef, out: &mut [u8]) -> usize {
        if !self.changed {
            return 0;
        }
        let mut at = 0;
        let mut count = 0_u8;
        for (index, (reduction, field)) in self.reductions.iter().zip(schema.fields).enumerate() {
            if *reduction != field.reduction
                && let Some(pair) = out.get_mut(at..at + 2)
            {
                pair.copy_from_slice(&[index as u8, reduction.code()]);
                at += 2;
                count += 1;
            }
        }
        match out.get_mut(at) {
            Some(last) => {
                *last = count;
                at + 1
            }
            None => at,
        }
    }
}
