//! Decoding a payload by its schema, without allocating.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::decode::Reader;
use crate::error::DecodeError;
use crate::event::Reduction;
use crate::field::CUT;
use crate::schema::{FieldSchema, FieldType, Schema};

/// Text as stored: hostile, maybe not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// It was longer.
    pub cut: bool,
}

/// A list as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// Type of its items.
    pub item: &'a FieldType,
    /// Their bytes.
    pub bytes: &'a [u8],
    /// It was longer.
    pub cut: bool,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Not there: an optional field without value, an address that was dropped.
    Absent,
    /// bool.
    Bool(bool),
    /// Unsigned integers.
    U(u64),
    /// Signed integers.
    I(i64),
    /// f64.
    F(f64),
    /// str.
    Str(Text<'a>),
    /// bytes and fixed byte arrays.
    Bytes(Text<'a>),
    /// Address.
    Ip(IpAddr),
    /// Keyed hash of an address.
    IpKeyed([u8; 16]),
    /// Socket address.
    Socket(SocketAddr),
    /// Keyed hash of a socket's address, and its port.
    SocketKeyed([u8; 16], u16),
    /// Moment, ns since 1970 UTC.
    Time(i64),
    /// Duration, ns.
    Duration(u64),
    /// Number of an enum's variant.
    Enum(u32),
    /// Bits of a flag set.
    Flags(u64),
    /// List.
    List(List<'a>),
    /// Length class and keyed hash of a secret.
    Secret(u8, [u8; 16]),
    /// Key of 128 bits.
    Key128([u8; 16]),
    /// Correlation id.
    Id64(u64),
}

/// A field of an event.
#[derive(Clone, Copy, Debug)]
pub struct FieldValue<'a> {
    /// Its description.
    pub schema: &'a FieldSchema,
    /// Its value.
    pub value: Value<'a>,
    /// What was kept of it.
    pub reduction: Reduction,
}

/// The fields of one event.
#[derive(Clone, Copy, Debug)]
pub struct EventValues<'a> {
    schema: &'a Schema,
    fixed: &'a [u8],
    variable: &'a [u8],
    trailer: &'a [u8],
}

/// Splits a payload; the fields are decoded when they are asked for.
///
/// # Errors
/// If the payload is shorter than the schema's fixed part or its trailer.
pub fn decode_event<'a>(
    schema: &'a Schema,
    payload: &'a [u8],
    reduced: bool,
) -> Result<EventValues<'a>, DecodeError> {
    decode_event_of(schema, schema.fixed_len(), payload, reduced)
}

/// As [`decode_event`], for many events of one type: `fixed_len` is its [`Schema::fixed_len`].
///
/// # Errors
/// As [`decode_event`].
#[inline]
pub fn decode_event_of<'a>(
    schema: &'a Schema,
    fixed_len: usize,
    payload: &'a [u8],
    reduced: bool,
) -> Result<EventValues<'a>, DecodeError> {
    let (fixed, mut variable) = payload
        .split_at_checked(fixed_len)
        .ok_or(DecodeError::new(payload.len(), "event is shorter than its schema says"))?;
    let mut trailer: &[u8] = &[];
    if reduced {
        let (count, rest) =
            variable.split_last().ok_or(DecodeError::new(payload.len(), "trailer is missing"))?;
        let at = rest
            .len()
            .checked_sub(usize::from(*count) * 2)
            .ok_or(DecodeError::new(payload.len(), "trailer is longer than the event"))?;
        (variable, trailer) =
            rest.split_at_checked(at).ok_or(DecodeError::new(payload.len(), "trailer is cut"))?;
    }
    Ok(EventValues { schema, fixed, variable, trailer })
}

/// Decodes one value: its fixed form is at the start of `fixed`, the bytes it has in the variable part at the start of
/// `variable`.
///
/// # Errors
/// If bytes are missing, or are nothing that the type can be.
pub fn decode_field<'a>(
    ty: &'a FieldType,
    fixed: &'a [u8],
    variable: &'a [u8],
) -> Result<Value<'a>, DecodeError> {
    decode_value(ty, &mut Reader::new(fixed), &mut Reader::new(variable))
}

impl<'a> EventValues<'a> {
    /// The event's schema.
    #[must_use]
    pub const fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// The fields in order. Ends after the first that cannot be decoded.
    #[must_use]
    pub fn iter(&self) -> Fields<'a> {
        Fields {
            fields: self.schema.fields.iter().enumerate(),
            fixed: Reader::new(self.fixed),
            variable: Reader::new(self.variable),
            trailer: self.trailer,
            failed: false,
        }
    }

    /// Pairs of field and reduction that follow the values; empty if all reductions are the schema's.
    #[must_use]
    pub const fn trailer(&self) -> &'a [u8] {
        self.trailer
    }

    /// What was kept of a field, by its index.
    #[must_use]
    pub fn reduction(&self, index: usize) -> Reduction {
        let own = || self.schema.fields.get(index).map_or(Reduction::None, |field| field.reduction);
        if self.trailer.is_empty() { own() } else { reduction_in(self.trailer, index).unwrap_or_else(own) }
    }

    /// Whether every field can be decoded, and nothing of the payload is left over.
    ///
    /// # Errors
    /// What the first wrong field says; or where bytes follow the last.
    pub fn check_whole(&self) -> Result<(), DecodeError> {
        let mut fields = self.iter();
        for field in fields.by_ref() {
            let field = field?;
            if let Value::List(list) = field.value {
                for item in list.iter() {
                    item?;
                }
            }
        }
        if fields.variable.rest().is_empty() {
            Ok(())
        } else {
            Err(fields.variable.error("bytes follow the last field"))
        }
    }

    /// The field with this name, if it can be decoded.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<FieldValue<'a>> {
        self.iter().map_while(Result::ok).find(|f| f.schema.name == name)
    }
}

/// Iterator over the fields of an event.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    fields: std::iter::Enumerate<std::slice::Iter<'a, FieldSchema>>,
    fixed: Reader<'a>,
    variable: Reader<'a>,
    trailer: &'a [u8],
    failed: bool,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<FieldValue<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (index, schema) = self.fields.next()?;
        let reduction = if self.trailer.is_empty() {
            schema.reduction
        } else {
            reduction_in(self.trailer, index).unwrap_or(schema.reduction)
        };
        let value = decode_value(&schema.ty, &mut self.fixed, &mut self.variable);
        self.failed = value.is_err();
        Some(value.map(|value| FieldValue { schema, value, reduction }))
    }
}

/// What a trailer says of a field, if it names it: the last it says.
#[cold]
fn reduction_in(trailer: &[u8], index: usize) -> Option<Reduction> {
    let (pairs, _) = trailer.as_chunks::<2>();
    let [_, code] = pairs.iter().rfind(|[field, _]| usize::from(*field) == index)?;
    Some(Reduction::from_code(*code, 0, 0).unwrap_or(Reduction::Drop))
}

fn ip_of(form: &[u8; 17]) -> Result<Value<'static>, DecodeError> {
    let [kind, bytes @ ..] = form;
    let v4 = || bytes.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |b| Ipv4Addr::from(*b));
    Ok(match kind {
        0 => Value::Absent,
        4 => Value::Ip(v4().into()),
        6 => Value::Ip(Ipv6Addr::from(*bytes).into()),
        0x4b => Value::IpKeyed(*bytes),
        _ => return Err(DecodeError::new(0, "unknown kind of address")),
    })
}

/// Most fields are of a few types: those are decoded where they are asked for.
#[inline(always)]
fn decode_value<'a>(
    ty: &'a FieldType,
    fixed: &mut Reader<'a>,
    variable: &mut Reader<'a>,
) -> Result<Value<'a>, DecodeError> {
    Ok(match ty {
        FieldType::U8 => Value::U(fixed.u8()?.into()),
        FieldType::U16 => Value::U(fixed.u16()?.into()),
        FieldType::U32 => Value::U(fixed.u32()?.into()),
        FieldType::U64 => Value::U(fixed.u64()?),
        FieldType::Str => {
            let word = fixed.u16()?;
            Value::Str(Text { bytes: variable.take(usize::from(word & !CUT))?, cut: word & CUT != 0 })
        }
        FieldType::Fixed(n) => Value::Bytes(Text { bytes: fixed.take(usize::from(*n))?, cut: false }),
        _ => return decode_any(ty, fixed, variable),
    })
}

fn decode_any<'a>(
    ty: &'a FieldType,
    fixed: &mut Reader<'a>,
    variable: &mut Reader<'a>,
) -> Result<Value<'a>, DecodeError> {
    Ok(match ty {
        FieldType::Bool => match fixed.u8()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(fixed.error("bool is neither 0 nor 1")),
        },
        FieldType::U8 => Value::U(fixed.u8()?.into()),
        FieldType::U16 => Value::U(fixed.u16()?.into()),
        FieldType::U32 => Value::U(fixed.u32()?.into()),
        FieldType::U64 => Value::U(fixed.u64()?),
        FieldType::I8 => Value::I(fixed.i8()?.into()),
        FieldType::I16 => Value::I(fixed.i16()?.into()),
        FieldType::I32 => Value::I(fixed.i32()?.into()),
        FieldType::I64 => Value::I(fixed.i64()?),
        FieldType::F64 => Value::F(fixed.f64()?),
        FieldType::Str | FieldType::Bytes => {
            let word = fixed.u16()?;
            let text = Text { bytes: variable.take(usize::from(word & !CUT))?, cut: word & CUT != 0 };
            if matches!(ty, FieldType::Str) { Value::Str(text) } else { Value::Bytes(text) }
        }
        FieldType::Fixed(n) => Value::Bytes(Text { bytes: fixed.take(usize::from(*n))?, cut: false }),
        FieldType::Ip => ip_of(&fixed.array()?)?,
        FieldType::Socket => {
            let ip = ip_of(&fixed.array()?)?;
            let port = fixed.u16()?;
            match ip {
                Value::Ip(ip) => Value::Socket(SocketAddr::new(ip, port)),
                Value::IpKeyed(hash) => Value::SocketKeyed(hash, port),
                other => other,
            }
        }
        FieldType::Time => Value::Time(fixed.i64()?),
        FieldType::Duration => Value::Duration(fixed.u64()?),
        FieldType::Enum(_) => Value::Enum(fixed.u32()?),
        FieldType::Flags(_) => Value::Flags(fixed.u64()?),
        FieldType::Optional(inner) => {
            let present = fixed.u8()?;
            let form = fixed.take(inner.fixed_len())?;
            match present {
                0 => Value::Absent,
                1 => decode_any(inner, &mut Reader::new(form), variable)?,
                _ => return Err(fixed.error("optional field is neither there nor not")),
            }
        }
        FieldType::List(item) => {
            let word = fixed.u16()?;
            let bytes = variable.take(usize::from(word & !CUT))?;
            Value::List(List { item, bytes, cut: word & CUT != 0 })
        }
        FieldType::Secret => {
            let class = fixed.u8()?;
            let hash = fixed.array()?;
            if class == 255 { Value::Absent } else { Value::Secret(class, hash) }
        }
        FieldType::Key128 => Value::Key128(fixed.array()?),
        FieldType::Id64 => match fixed.u64()? {
            0 => Value::Absent,
            id => Value::Id64(id),
        },
    })
}

impl<'a> List<'a> {
    /// The items in order. Ends after the first that cannot be decoded.
    #[must_use]
    pub const fn iter(&self) -> Items<'a> {
        Items { item: self.item, reader: Reader::new(self.bytes), failed: false }
    }
}

/// Iterator over the items of a list.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    item: &'a FieldType,
    reader: Reader<'a>,
    failed: bool,
}

impl<'a> Items<'a> {
    fn read(&mut self) -> Result<Value<'a>, DecodeError> {
        let mut fixed = Reader::new(self.reader.take(self.item.fixed_len())?);
        decode_value(self.item, &mut fixed, &mut self.reader)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Value<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.rest().is_empty() {
            return None;
        }
        let item = self.read();
        self.failed = item.is_err();
        Some(item)
    }
}
