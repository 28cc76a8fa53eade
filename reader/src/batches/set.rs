//! The memory of a batch: its columns, kept from batch to batch.

use tracewell_schema::Reduction;
use tracewell_schema::format::columns::Group;

use super::column::{FixedBytes, Strings, Values};
use super::form::{Check, Form, Kind};
use crate::trace::Described;

/// Bytes of columns above which their memory is not kept for the next batch.
const MOST_KEPT: usize = 8 << 20;

/// The numbers of the events in their ring.
#[derive(Debug)]
pub(crate) enum Sequences {
    /// One after the other.
    From(u64),
    Each(Vec<u64>),
}

impl Default for Sequences {
    fn default() -> Self {
        Self::From(0)
    }
}

/// A batch.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) stores: Vec<Store>,
    pub(crate) times: Vec<i64>,
    pub(crate) sequences: Sequences,
    /// Of each field; empty if they are the schema's.
    pub(crate) reductions: Vec<Reduction>,
    /// Row and field.
    pub(crate) broken: Vec<(usize, usize)>,
}

/// A column.
#[derive(Debug, Default)]
pub(crate) struct Store {
    numbers: Numbers,
    /// Of optional fields: 1 = there, 0 = not.
    pub(super) present: Vec<u8>,
    pub(super) nulls: Vec<bool>,
    /// Of fixed bytes, strings and bools.
    pub(super) bytes: Vec<u8>,
    /// Of strings.
    pub(super) bounds: Vec<u32>,
    pub(super) cuts: Vec<bool>,
    /// Rows of which there are too few variable bytes.
    pub(super) short: Vec<usize>,
}

macro_rules! numbers {
    ($($variant:ident $ty:ty),*) => {
        /// Values of one of the types that have slices.
        #[derive(Debug, Default)]
        enum Numbers {
            #[default]
            None,
            Bool(Vec<bool>),
            $($variant(Vec<$ty>),)*
        }

        impl Numbers {
            /// None of this kind.
            fn clear(&mut self, kind: Kind) {
                match (kind, &mut *self) {
                    $(
                        (Kind::$variant, Self::$variant(values)) => values.clear(),
                        (Kind::$variant, _) => *self = Self::$variant(Vec::new()),
                    )*
                    (Kind::Bool, Self::Bool(values)) => values.clear(),
                    (Kind::Bool, _) => *self = Self::Bool(Vec::new()),
                    (Kind::Fixed(_) | Kind::Strings, _) => *self = Self::None,
                }
            }

            fn fill(&mut self, group: &Group<'_>, piece: usize) {
                match self {
                    // The group has this piece, as wide as that: it has the schema's layout.
                    $(Self::$variant(values) => drop(group.numbers(piece, values)),)*
                    Self::None | Self::Bool(_) => {}
                }
            }

            #[inline]
            fn push(&mut self, bytes: &[u8]) {
                match self {
                    $(Self::$variant(values) => {
                        let chunk = bytes.first_chunk().copied().unwrap_or_default();
                        values.push(<$ty>::from_le_bytes(chunk));
                    })*
                    Self::None | Self::Bool(_) => {}
                }
            }

            fn values(&self) -> Option<Values<'_>> {
                match self {
                    $(Self::$variant(values) => Some(Values::$variant(values)),)*
                    Self::Bool(values) => Some(Values::Bool(values)),
                    Self::None => None,
                }
            }

            fn capacity(&self) -> usize {
                match self {
                    $(Self::$variant(values) => values.capacity() * size_of::<$ty>(),)*
                    Self::Bool(values) => values.capacity(),
                    Self::None => 0,
                }
            }
        }
    };
}

numbers! { U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F64 f64 }

impl Store {
    pub(super) fn clear(&mut self, kind: Kind) {
        self.numbers.clear(kind);
        self.present.clear();
        self.nulls.clear();
        self.bytes.clear();
        self.bounds.clear();
        self.cuts.clear();
        self.short.clear();
    }

    pub(super) fn fill_numbers(&mut self, group: &Group<'_>, piece: usize) {
        self.numbers.fill(group, piece);
    }

    #[inline]
    pub(super) fn push_number(&mut self, bytes: &[u8]) {
        self.numbers.push(bytes);
    }

    /// Bytes of memory.
    fn capacity(&self) -> usize {
        let bytes =
            self.present.capacity() + self.nulls.capacity() + self.bytes.capacity() + self.cuts.capacity();
        bytes + self.numbers.capacity() + 4 * self.bounds.capacity() + 8 * self.short.capacity()
    }

    /// The values, as they are handed out.
    pub(super) fn values<'a>(&'a self, form: &Form, group: Option<&'a Group<'a>>) -> Values<'a> {
        match (form.kind, self.numbers.values()) {
            (Kind::Fixed(width), _) => Values::Fixed(self.fixed(width, form, group)),
            (_, Some(values)) => values,
            (_, None) => Values::Strings(self.strings(form, group)),
        }
    }

    fn fixed<'a>(&'a self, width: usize, form: &Form, group: Option<&'a Group<'a>>) -> FixedBytes<'a> {
        let piece = form.piece + usize::from(form.is_optional);
        let (values, ids) =
            group.map_or((self.bytes.as_slice(), [].as_slice()), |g| g.bytes(piece, &self.bytes));
        FixedBytes { width, values, ids }
    }

    fn strings<'a>(&'a self, form: &Form, group: Option<&'a Group<'a>>) -> Strings<'a> {
        let (mut bytes, mut bounds, mut ids) = (self.bytes.as_slice(), self.bounds.as_slice(), [].as_slice());
        if let Some(variable) = group.and_then(|g| g.variables().get(form.variable)) {
            let (values, dictionary) = variable.parts();
            bytes = values;
            if let Some(numbered) = dictionary {
                (bounds, ids) = (numbered.bounds, numbered.ids);
            }
        }
        Strings { bytes, bounds, ids, cuts: &self.cuts }
    }

    /// Finds out which rows are null, and adds to `bad` those whose bytes are no value.
    fn finish(&mut self, form: &Form, group: Option<&Group<'_>>, rows: usize, bad: &mut Vec<usize>) {
        if form.is_optional && self.present.iter().any(|p| *p != 1) {
            self.nulls.extend(self.present.iter().map(|p| *p != 1));
            bad.extend(rows_where(&self.present, |p| *p > 1));
        }
        match &mut self.numbers {
            Numbers::Bool(values) => {
                values.extend(self.bytes.iter().map(|b| *b == 1));
                if self.bytes.iter().any(|b| *b > 1) {
                    let nulls = &self.nulls;
                    bad.extend(rows_where(&self.bytes, |b| *b > 1).filter(|row| !is_null(nulls, *row)));
                }
            }
            Numbers::U64(values) if form.check == Check::Id && values.contains(&0) => {
                self.nulls.resize(rows, false);
                self.nulls.iter_mut().zip(values.iter()).for_each(|(null, id)| *null |= *id == 0);
            }
            _ => {}
        }
        if let (Check::Address | Check::Secret, Kind::Fixed(width)) = (form.check, form.kind) {
            let values = self.fixed(width, form, group);
            let kinds: Vec<u8> = values.values().map(|v| v.first().copied().unwrap_or(0)).collect();
            let is_absent = |kind: u8| if form.check == Check::Secret { kind == 255 } else { kind == 0 };
            let is_bad = |kind: u8| form.check == Check::Address && !matches!(kind, 0 | 4 | 6 | 0x4b);
            if kinds.iter().any(|kind| is_absent(*kind) || is_bad(*kind)) {
                let ids = values.ids.to_vec();
                let id = |row: usize| {
                    if ids.is_empty() { row } else { ids.get(row).map_or(0, |id| usize::from(*id)) }
                };
                self.nulls.resize(rows, false);
                for (row, null) in self.nulls.iter_mut().enumerate() {
                    let kind = kinds.get(id(row)).copied().unwrap_or(0);
                    if is_bad(kind) && !*null {
                        bad.push(row);
                    }
                    *null |= is_absent(kind);
                }
            }
        }
        if !self.cuts.contains(&true) {
            self.cuts.clear();
        }
        bad.extend(&self.short);
    }
}

fn is_null(nulls: &[bool], row: usize) -> bool {
    nulls.get(row).copied().unwrap_or(false)
}

fn rows_where<T>(values: &[T], is: impl Fn(&T) -> bool) -> impl Iterator<Item = usize> {
    values.iter().enumerate().filter(move |(_, value)| is(value)).map(|(row, _)| row)
}

impl Set {
    /// Empty, for events of this type.
    pub(crate) fn clear(&mut self, described: &Described) {
        if self.stores.len() < described.forms.len() {
            self.stores.resize_with(described.forms.len(), Store::default);
        }
        for (store, form) in self.stores.iter_mut().zip(&described.forms) {
            store.clear(form.kind);
        }
        self.times.clear();
        self.sequences = Sequences::From(0);
        self.reductions.clear();
        self.broken.clear();
    }

    /// Finds out which values are null and which are none.
    pub(super) fn finish(&mut self, described: &Described, group: Option<&Group<'_>>) {
        let rows = self.times.len();
        let mut bad = Vec::new();
        let mut is_broken: Vec<bool> = Vec::new();
        for (field, (store, form)) in self.stores.iter_mut().zip(&described.forms).enumerate() {
            bad.clear();
            store.finish(form, group, rows, &mut bad);
            for row in &bad {
                is_broken.resize(rows, false);
                if let Some(known) = is_broken.get_mut(*row).filter(|known| !**known) {
                    *known = true;
                    self.broken.push((*row, field));
                }
            }
            if !self.broken.is_empty() {
                store.nulls.resize(rows, false);
                store.nulls.iter_mut().zip(&is_broken).for_each(|(null, broken)| *null |= *broken);
            }
        }
        self.broken.sort_unstable();
    }

    pub(super) fn sequence(&self, row: usize) -> u64 {
        match &self.sequences {
            Sequences::From(first) => first.saturating_add(row as u64),
            Sequences::Each(all) => all.get(row).copied().unwrap_or(0),
        }
    }

    /// Lets go of memory that only a strange trace needs.
    pub(crate) fn trim(&mut self) {
        if self.stores.iter().map(Store::capacity).sum::<usize>() > MOST_KEPT {
            self.stores.clear();
            self.stores.shrink_to_fit();
        }
    }
}
