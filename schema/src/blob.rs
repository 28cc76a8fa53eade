//! Writing a schema's bytes: FORMAT.md section 2.

use crate::error::DecodeError;
use crate::event::SchemaRef;
use crate::field::TypeRef;
use crate::limits::{MAX_SCHEMA, MAX_TEXT};
use crate::schema::{BLOB_VERSION, Schema};

fn put_str8(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len().min(255);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.push(len as u8);
    out.extend_from_slice(text.as_bytes().get(..len).unwrap_or_default());
}

fn put_str16(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes().get(..len).unwrap_or_default());
}

impl TypeRef {
    fn put(&self, out: &mut Vec<u8>) {
        let code = match self {
            Self::Bool => 1,
            Self::U8 => 2,
            Self::U16 => 3,
            Self::U32 => 4,
            Self::U64 => 5,
            Self::I8 => 6,
            Self::I16 => 7,
            Self::I32 => 8,
            Self::I64 => 9,
            Self::F64 => 10,
            Self::Str => 11,
            Self::Bytes => 12,
            Self::Fixed(_) => 13,
            Self::Ip => 14,
            Self::Socket => 15,
            Self::Time => 16,
            Self::Duration => 17,
            Self::Enum(_) => 18,
            Self::Flags(_) => 19,
            Self::Optional(_) => 20,
            Self::List(_) => 21,
            Self::Secret => 22,
            Self::Key128 => 23,
            Self::Id64 => 24,
        };
        out.push(code);
        match self {
            Self::Fixed(n) => out.extend_from_slice(&n.to_le_bytes()),
            Self::Enum(values) => {
                out.extend_from_slice(&(values.len() as u16).to_le_bytes());
                for (value, name) in *values {
                    out.extend_from_slice(&value.to_le_bytes());
                    put_str8(out, name);
                }
            }
            Self::Flags(masks) => {
                out.extend_from_slice(&(masks.len() as u16).to_le_bytes());
                for (mask, name) in *masks {
                    out.extend_from_slice(&mask.to_le_bytes());
                    put_str8(out, name);
                }
            }
            Self::Optional(inner) | Self::List(inner) => inner.put(out),
            _ => {}
        }
    }
}

const fn names_len(count: usize, value_len: usize, text: usize) -> usize {
    2 + count * (value_len + 1) + text
}

impl TypeRef {
    const fn blob_len(&self) -> usize {
        1 + match self {
            Self::Fixed(_) => 2,
            Self::Enum(values) => {
                let (mut text, mut i) = (0, 0);
                while i < values.len() {
                    text += values[i].1.len();
                    i += 1;
                }
                names_len(values.len(), 4, text)
            }
            Self::Flags(masks) => {
                let (mut text, mut i) = (0, 0);
                while i < masks.len() {
                    text += masks[i].1.len();
                    i += 1;
                }
                names_len(masks.len(), 8, text)
            }
            Self::Optional(inner) | Self::List(inner) => inner.blob_len(),
            _ => 0,
        }
    }
}

impl SchemaRef {
    /// Whether its blob is within the limits of the format: checked when an event is compiled.
    #[doc(hidden)]
    #[must_use]
    pub const fn fits(&self) -> bool {
        let mut len = 2 + 1 + self.name.len() + 3 + 2 + self.doc.len() + 2 + self.text.len() + 1;
        let mut i = 0;
        while i < self.fields.len() {
            let f = &self.fields[i];
            len += 1 + f.name.len() + f.ty.blob_len() + 7 + 1 + f.unit.len() + 2 + f.doc.len();
            i += 1;
        }
        len <= MAX_SCHEMA
    }

    /// The schema's bytes.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut out = BLOB_VERSION.to_le_bytes().to_vec();
        put_str8(&mut out, self.name);
        out.extend_from_slice(&[self.category as u8, self.level as u8, u8::from(self.opt_in)]);
        put_str16(&mut out, self.doc);
        put_str16(&mut out, self.text);
        out.push(self.fields.len() as u8);
        for field in self.fields {
            put_str8(&mut out, field.name);
            field.ty.put(&mut out);
            let (code, n, m) = field.reduction.parts();
            out.extend_from_slice(&[field.class as u8, u8::from(field.opt_in), code]);
            out.extend_from_slice(&n.to_le_bytes());
            out.extend_from_slice(&m.to_le_bytes());
            put_str8(&mut out, field.unit);
            put_str16(&mut out, field.doc);
        }
        out
    }

    /// The schema as a reader sees it.
    ///
    /// # Errors
    /// If its blob is longer than a blob may be.
    pub fn to_schema(&self) -> Result<Schema, DecodeError> {
        Schema::parse(&self.to_blob())
    }
}
