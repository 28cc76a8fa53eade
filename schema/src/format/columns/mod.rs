//! The columns codec: a block's records by type and field instead of by time (FORMAT.md section 4, "Columns").
//!
//! Records of one type repeat themselves: the same path, the same host, a time stamp a little later. Laid out as
//! columns, each is stored as what it is: equal rows and texts as numbers of a dictionary, integers as differences.
//! That is smaller than LZ4 over records and several times faster, since no match has to be searched for byte by
//! byte. A block stands alone: nothing refers to another block.
//!
//! `encode.rs` and `decode.rs` stand side by side; `dictionary.rs` and `integers.rs` are the two kinds of columns,
//! each with both directions. `table.rs` reads columns as columns, for whoever wants no records.

mod decode;
mod dictionary;
mod encode;
mod integers;
mod table;
mod ticks;

pub use decode::Decoder;
pub use encode::{Encoder, Walk};
pub use integers::Number;
pub use table::{Group, Numbered, Table, Variable};

use super::record::{HEADER_LEN, KIND_LOSS};
use crate::event::SchemaRef;
use crate::field::TypeRef;
use crate::schema::Schema;

/// Most different kinds of records in a block of columns.
pub const MAX_SHAPES: usize = 255;
/// Most distinct values of a dictionary.
pub const MAX_DISTINCT: usize = 4096;

/// Where an event type's values lie in its payload: what the encoder needs to know to take it apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Widths of the values of the fixed part, in order.
    pub(crate) pieces: Vec<u16>,
    /// Offsets, in the fixed part, of the length words of values with variable bytes.
    pub(crate) lengths: Vec<u16>,
}

impl Layout {
    /// Of an event type of this process.
    #[must_use]
    pub fn of(schema: &SchemaRef) -> Self {
        let mut layout = Self::default();
        for field in schema.fields {
            layout.add(&field.ty);
        }
        layout
    }

    /// Of an event type that was read.
    #[must_use]
    pub fn of_schema(schema: &Schema) -> Self {
        let mut layout = Self::default();
        for field in &schema.fields {
            let (optional, width, has_length) = field.ty.shape();
            layout.push(optional, width, has_length);
        }
        layout
    }

    /// Of a loss record.
    fn of_losses() -> Self {
        Self { pieces: vec![8; 8], lengths: Vec::new() }
    }

    fn add(&mut self, ty: &TypeRef) {
        let (optional, inner) = match ty {
            TypeRef::Optional(inner) => (true, *inner),
            other => (false, other),
        };
        let (width, has_length) = match inner {
            TypeRef::Bool | TypeRef::U8 | TypeRef::I8 => (1, false),
            TypeRef::U16 | TypeRef::I16 => (2, false),
            TypeRef::U32 | TypeRef::I32 | TypeRef::Enum(_) => (4, false),
            TypeRef::U64
            | TypeRef::I64
            | TypeRef::F64
            | TypeRef::Time
            | TypeRef::Duration
            | TypeRef::Flags(_)
            | TypeRef::Id64 => (8, false),
            TypeRef::Str | TypeRef::Bytes | TypeRef::List(_) => (2, true),
            TypeRef::Fixed(n) => (*n, false),
            TypeRef::Ip | TypeRef::Secret => (17, false),
            TypeRef::Socket => (19, false),
            TypeRef::Key128 => (16, false),
            // Not possible: an optional is not nested.
            TypeRef::Optional(_) => (0, false),
        };
        self.push(optional, width, has_length);
    }

    fn push(&mut self, optional: bool, width: u16, has_length: bool) {
        if optional {
            self.pieces.push(1);
        }
        if has_length {
            self.lengths.push(self.fixed_len());
        }
        self.pieces.push(width);
    }

    /// Bytes of the fixed part.
    pub(crate) fn fixed_len(&self) -> u16 {
        self.pieces.iter().fold(0, |sum, width| sum.saturating_add(*width))
    }

    /// Length of a record with this fixed part, header included, by its own length words. `None` if it is cut.
    fn record_len(&self, record: &[u8], fixed: usize) -> Option<usize> {
        let mut len = HEADER_LEN + fixed;
        if record.len() < len {
            return None;
        }
        for at in &self.lengths {
            len += variable_len(record, HEADER_LEN + usize::from(*at));
        }
        (len <= record.len()).then_some(len)
    }
}

/// Bytes of the value whose length word is at `at`.
fn variable_len(record: &[u8], at: usize) -> usize {
    let word = record.get(at..).and_then(|r| r.first_chunk::<2>()).map_or(0, |b| u16::from_le_bytes(*b));
    usize::from(word & !crate::field::CUT)
}

/// A kind of records: those that share event index, kind and flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// The upper half of the record's first word: event index, kind, flags.
    key: u32,
}

impl Shape {
    const fn kind(self) -> u8 {
        (self.key >> 16) as u8
    }

    const fn is_loss(self) -> bool {
        self.kind() == KIND_LOSS
    }
}

/// Eight bytes at `at` as an integer; zeros where there are none.
#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|b| b.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_last(bytes, at),
    }
}

#[cold]
fn load_last(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(at..).unwrap_or_default();
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}
