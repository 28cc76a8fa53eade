//! Schemas as data: written by every process, read by any later reader. FORMAT.md section 2.

use crate::decode::Reader;
use crate::error::DecodeError;
use crate::event::{Privacy, Reduction};
use crate::limits::{MAX_MASKS, MAX_SCHEMA, MAX_TEXT, MAX_VALUES};

pub(crate) const BLOB_VERSION: u16 = 1;
/// Deepest nesting of types: an optional or list of something else.
const MAX_DEPTH: u8 = 2;

/// Type of a field, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldType {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F64,
    Str,
    Bytes,
    Fixed(u16),
    Ip,
    Socket,
    Time,
    Duration,
    Enum(Vec<(u32, String)>),
    Flags(Vec<(u64, String)>),
    Optional(Box<FieldType>),
    List(Box<FieldType>),
    Secret,
    Key128,
    Id64,
}

/// A field's description, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: FieldType,
    /// Privacy class.
    pub class: Privacy,
    /// Off until enabled by name.
    pub opt_in: bool,
    /// What is kept of it.
    pub reduction: Reduction,
    /// Unit, or empty.
    pub unit: String,
    /// What it means.
    pub doc: String,
}

/// An event type's description, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Full name.
    pub name: String,
    /// Category; may be one that this reader does not know.
    pub category: u8,
    /// Level; may be one that this reader does not know.
    pub level: u8,
    /// Off until enabled by name.
    pub opt_in: bool,
    /// What it means.
    pub doc: String,
    /// Sentence template.
    pub text: String,
    /// Its fields.
    pub fields: Vec<FieldSchema>,
    /// First eight bytes of the blob's BLAKE3.
    pub fingerprint: u64,
}

fn fingerprint(blob: &[u8]) -> u64 {
    blake3::hash(blob).as_bytes().first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// How many named values follow. Each value of a record is looked up among them, so that they must be few.
fn count(reader: &mut Reader<'_>, most: usize) -> Result<usize, DecodeError> {
    let n = usize::from(reader.u16()?);
    if n > most { Err(reader.error("more named values than a type may have")) } else { Ok(n) }
}

fn parse_type(reader: &mut Reader<'_>, depth: u8) -> Result<FieldType, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(reader.error("type is nested too deep"));
    }
    Ok(match reader.u8()? {
        1 => FieldType::Bool,
        2 => FieldType::U8,
        3 => FieldType::U16,
        4 => FieldType::U32,
        5 => FieldType::U64,
        6 => FieldType::I8,
        7 => FieldType::I16,
        8 => FieldType::I32,
        9 => FieldType::I64,
        10 => FieldType::F64,
        11 => FieldType::Str,
        12 => FieldType::Bytes,
        13 => match reader.u16()? {
            n @ 1..=1024 => FieldType::Fixed(n),
            _ => return Err(reader.error("fixed bytes of an impossible length")),
        },
        14 => FieldType::Ip,
        15 => FieldType::Socket,
        16 => FieldType::Time,
        17 => FieldType::Duration,
        18 => {
            let mut values = Vec::new();
            for _ in 0..count(reader, MAX_VALUES)? {
                values.push((reader.u32()?, reader.str8()?.to_owned()));
            }
            FieldType::Enum(values)
        }
        19 => {
            let mut masks = Vec::new();
            for _ in 0..count(reader, MAX_MASKS)? {
                masks.push((reader.u64()?, reader.str8()?.to_owned()));
            }
            FieldType::Flags(masks)
        }
        code @ (20 | 21) => {
            let inner = parse_type(reader, depth + 1)?;
            if matches!(inner, FieldType::Optional(_) | FieldType::List(_) | FieldType::Secret) {
                return Err(reader.error("optional or list of something that cannot be in one"));
            }
            if code == 20 { FieldType::Optional(Box::new(inner)) } else { FieldType::List(Box::new(inner)) }
        }
        22 => FieldType::Secret,
        23 => FieldType::Key128,
        24 => FieldType::Id64,
        _ => return Err(reader.error("unknown type of field; a newer reader is needed")),
    })
}

impl Schema {
    /// Length of the fixed part of an event's payload, in bytes.
    #[must_use]
    pub fn fixed_len(&self) -> usize {
        self.fields.iter().map(|f| f.ty.fixed_len()).sum()
    }

    /// From a blob.
    ///
    /// # Errors
    /// If it is of a later version, cut, beyond a limit, or has text that is not UTF-8.
    pub fn parse(blob: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(blob);
        if blob.len() > MAX_SCHEMA {
            return Err(reader.error("schema is longer than a schema may be"));
        }
        if reader.u16()? != BLOB_VERSION {
            return Err(DecodeError::new(0, "schema of a later version; a newer reader is needed"));
        }
        let name = reader.str8()?.to_owned();
        let (category, level, flags) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let doc = reader.str16(MAX_TEXT)?.to_owned();
        let text = reader.str16(MAX_TEXT)?.to_owned();
        let mut fields = Vec::new();
        for _ in 0..reader.u8()? {
            let name = reader.str8()?.to_owned();
            let ty = parse_type(&mut reader, 0)?;
            let class = Privacy::from_u8(reader.u8()?).ok_or(reader.error("unknown privacy class"))?;
            let opt_in = reader.u8()? & 1 != 0;
            let (code, n, m) = (reader.u8()?, reader.u16()?, reader.u16()?);
            let reduction = Reduction::from_code(code, n, m).ok_or(reader.error("unknown reduction"))?;
            let unit = reader.str8()?.to_owned();
            let doc = reader.str16(MAX_TEXT)?.to_owned();
            fields.push(FieldSchema { name, ty, class, opt_in, reduction, unit, doc });
        }
        reader.finish()?;
        Ok(Self {
            name,
            category,
            level,
            opt_in: flags & 1 != 0,
            doc,
            text,
            fields,
            fingerprint: fingerprint(blob),
        })
    }
}

impl FieldType {
    /// Bytes of the fixed form.
    #[must_use]
    pub fn fixed_len(&self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::Str | Self::Bytes | Self::List(_) => 2,
            Self::U32 | Self::I32 | Self::Enum(_) => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Time | Self::Duration | Self::Flags(_) | Self::Id64 => {
                8
            }
            Self::Fixed(n) => usize::from(*n),
            Self::Ip | Self::Secret => 17,
            Self::Socket => 19,
            Self::Key128 => 16,
            Self::Optional(inner) => 1 + inner.fixed_len(),
        }
    }

    /// For the layout of columns: whether it is optional, the width of its (inner) fixed form, and whether that is
    /// a length word.
    pub(crate) fn shape(&self) -> (bool, u16, bool) {
        let (optional, inner) = match self {
            Self::Optional(inner) => (true, &**inner),
            other => (false, other),
        };
        let width = u16::try_from(inner.fixed_len()).unwrap_or(u16::MAX);
        (optional, width, matches!(inner, Self::Str | Self::Bytes | Self::List(_)))
    }

    /// Name of an enum's value.
    #[must_use]
    pub fn enum_name(&self, value: u32) -> Option<&str> {
        match self {
            Self::Enum(values) => values.iter().find(|(v, _)| *v == value).map(|(_, n)| n.as_str()),
            Self::Optional(inner) | Self::List(inner) => inner.enum_name(value),
            _ => None,
        }
    }

    /// Names of a flag set's masks.
    #[must_use]
    pub fn flag_names(&self) -> &[(u64, String)] {
        match self {
            Self::Flags(masks) => masks,
            Self::Optional(inner) | Self::List(inner) => inner.flag_names(),
            _ => &[],
        }
    }
}
