//! Columns as they are handed out.

use tracewell_schema::value::{List, Text};
use tracewell_schema::{FieldSchema, FieldType, Reduction, Value, decode_field};

/// The values of one field in the events of a batch.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Column<'a> {
    /// The field.
    pub schema: &'a FieldSchema,
    /// What was kept of the values.
    pub reduction: Reduction,
    /// For each row whether it has no value: an optional field that is absent, an address that was dropped, bytes that
    /// are no value of the type ([`Batch::broken`](crate::Batch::broken)). Empty if every row has one.
    pub nulls: &'a [bool],
    /// The values, one for each row. Where a row is null there is one too, which means nothing.
    pub values: Values<'a>,
}

/// The values of a column. The field's type says what they mean: an enum's number is u32; flags, durations and ids
/// are u64; times are i64; addresses, sockets, secrets and keys are bytes in the forms of FORMAT.md, section 1.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Values<'a> {
    Bool(&'a [bool]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    F64(&'a [f64]),
    /// Bytes of one width.
    Fixed(FixedBytes<'a>),
    /// Texts, bytes, and lists as they are stored.
    Strings(Strings<'a>),
}

/// Bytes of one width: those of each row, or a dictionary and for each row the number of its value.
#[derive(Clone, Copy, Debug)]
pub struct FixedBytes<'a> {
    pub(super) width: usize,
    pub(super) values: &'a [u8],
    pub(super) ids: &'a [u16],
}

impl<'a> FixedBytes<'a> {
    /// Bytes of each value, at least one.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The number of each row's value in [`FixedBytes::values`]; `None` if there is no dictionary, so that row i has
    /// value i.
    #[must_use]
    pub fn ids(&self) -> Option<&'a [u16]> {
        (!self.ids.is_empty()).then_some(self.ids)
    }

    /// The values: of the dictionary, or of the rows.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.values.chunks_exact(self.width)
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> usize {
        if self.ids.is_empty() { self.values.len() / self.width } else { self.ids.len() }
    }

    /// The value of a row; empty if there is no such row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> &'a [u8] {
        let id = if self.ids.is_empty() {
            row
        } else {
            self.ids.get(row).map_or(usize::MAX, |id| usize::from(*id))
        };
        let start = id.saturating_mul(self.width);
        self.values.get(start..start.saturating_add(self.width)).unwrap_or_default()
    }

    /// The values of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let own = *self;
        (0..own.rows()).map(move |row| own.get(row))
    }
}

/// Strings of bytes: those of each row, or a dictionary and for each row the number of its value.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) bounds: &'a [u32],
    pub(super) ids: &'a [u16],
    pub(super) cuts: &'a [bool],
}

impl<'a> Strings<'a> {
    /// All values, back to back: of the dictionary, or of the rows.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where each value begins in [`Strings::bytes`], and where the last ends: one more than values.
    #[must_use]
    pub const fn bounds(&self) -> &'a [u32] {
        self.bounds
    }

    /// The number of each row's value; `None` if there is no dictionary, so that row i has value i.
    #[must_use]
    pub fn ids(&self) -> Option<&'a [u16]> {
        (!self.ids.is_empty()).then_some(self.ids)
    }

    /// The values: of the dictionary, or of the rows.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let own = *self;
        (0..self.bounds.len().saturating_sub(1)).map(move |id| own.value(id))
    }

    #[inline]
    fn value(&self, id: usize) -> &'a [u8] {
        let end = id.checked_add(1).and_then(|next| self.bounds.get(next));
        match (self.bounds.get(id), end) {
            (Some(start), Some(end)) => self.bytes.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> usize {
        if self.ids.is_empty() { self.bounds.len().saturating_sub(1) } else { self.ids.len() }
    }

    /// The value of a row, as stored: hostile, maybe not UTF-8; empty if there is no such row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> &'a [u8] {
        let id = if self.ids.is_empty() {
            row
        } else {
            self.ids.get(row).map_or(usize::MAX, |id| usize::from(*id))
        };
        self.value(id)
    }

    /// Whether the value of a row was longer.
    #[must_use]
    pub fn is_cut(&self, row: usize) -> bool {
        self.cuts.get(row).copied().unwrap_or(false)
    }

    /// The values of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let own = *self;
        (0..own.rows()).map(move |row| own.get(row))
    }
}

macro_rules! slices {
    ($($name:ident $variant:ident $ty:ty),*) => {$(
        #[doc = concat!("The values, if they are ", stringify!($ty), ".")]
        #[must_use]
        pub const fn $name(&self) -> Option<&'a [$ty]> {
            match self {
                Self::$variant(values) => Some(values),
                _ => None,
            }
        }
    )*};
}

impl<'a> Values<'a> {
    slices! {
        bools Bool bool, u8s U8 u8, u16s U16 u16, u32s U32 u32, u64s U64 u64,
        i8s I8 i8, i16s I16 i16, i32s I32 i32, i64s I64 i64, f64s F64 f64
    }

    /// The values, if they are bytes of one width.
    #[must_use]
    pub const fn fixed(&self) -> Option<FixedBytes<'a>> {
        match self {
            Self::Fixed(values) => Some(*values),
            _ => None,
        }
    }

    /// The values, if they are texts, bytes or lists.
    #[must_use]
    pub const fn strings(&self) -> Option<Strings<'a>> {
        match self {
            Self::Strings(values) => Some(*values),
            _ => None,
        }
    }
}

impl<'a> Column<'a> {
    /// Whether a row has no value.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row).copied().unwrap_or(false)
    }

    /// The value of a row by its type, as reading event by event gives it; absent if there is no such row. For many
    /// values the slices are faster.
    #[must_use]
    pub fn value(&self, row: usize) -> Value<'a> {
        if self.is_null(row) {
            return Value::Absent;
        }
        let ty = match &self.schema.ty {
            FieldType::Optional(inner) => inner,
            other => other,
        };
        self.present(ty, row).unwrap_or(Value::Absent)
    }

    fn present(&self, ty: &'a FieldType, row: usize) -> Option<Value<'a>> {
        Some(match self.values {
            Values::Bool(values) => Value::Bool(*values.get(row)?),
            Values::U8(values) => Value::U((*values.get(row)?).into()),
            Values::U16(values) => Value::U((*values.get(row)?).into()),
            Values::U32(values) => match (ty, *values.get(row)?) {
                (FieldType::Enum(_), n) => Value::Enum(n),
                (_, n) => Value::U(n.into()),
            },
            Values::U64(values) => match (ty, *values.get(row)?) {
                (FieldType::Duration, n) => Value::Duration(n),
                (FieldType::Flags(_), n) => Value::Flags(n),
                (FieldType::Id64, n) => Value::Id64(n),
                (_, n) => Value::U(n),
            },
            Values::I8(values) => Value::I((*values.get(row)?).into()),
            Values::I16(values) => Value::I((*values.get(row)?).into()),
            Values::I32(values) => Value::I((*values.get(row)?).into()),
            Values::I64(values) => match (ty, *values.get(row)?) {
                (FieldType::Time, n) => Value::Time(n),
                (_, n) => Value::I(n),
            },
            Values::F64(values) => Value::F(*values.get(row)?),
            Values::Fixed(values) => decode_field(ty, values.get(row), &[]).ok()?,
            Values::Strings(values) if row >= values.rows() => return None,
            Values::Strings(values) => {
                let (bytes, cut) = (values.get(row), values.is_cut(row));
                match ty {
                    FieldType::Str => Value::Str(Text { bytes, cut }),
                    FieldType::List(item) => Value::List(List { item, bytes, cut }),
                    _ => Value::Bytes(Text { bytes, cut }),
                }
            }
        })
    }
}
