//! A schema's bytes, by FORMAT.md section 2 and not by the schema crate: the other side of its parser.

use tracewell_schema::{FieldType, Schema};

fn str8(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn str16(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn type_of(out: &mut Vec<u8>, ty: &FieldType) {
    out.push(match ty {
        FieldType::Bool => 1,
        FieldType::U8 => 2,
        FieldType::U16 => 3,
        FieldType::U32 => 4,
        FieldType::U64 => 5,
        FieldType::I8 => 6,
        FieldType::I16 => 7,
        FieldType::I32 => 8,
        FieldType::I64 => 9,
        FieldType::F64 => 10,
        FieldType::Str => 11,
        FieldType::Bytes => 12,
        FieldType::Fixed(_) => 13,
        FieldType::Ip => 14,
        FieldType::Socket => 15,
        FieldType::Time => 16,
        FieldType::Duration => 17,
        FieldType::Enum(_) => 18,
        FieldType::Flags(_) => 19,
        FieldType::Optional(_) => 20,
        FieldType::List(_) => 21,
        FieldType::Secret => 22,
        FieldType::Key128 => 23,
        FieldType::Id64 => 24,
    });
    match ty {
        FieldType::Fixed(n) => out.extend_from_slice(&n.to_le_bytes()),
        FieldType::Enum(values) => {
            out.extend_from_slice(&(values.len() as u16).to_le_bytes());
            for (value, name) in values {
                out.extend_from_slice(&value.to_le_bytes());
                str8(out, name);
            }
        }
        FieldType::Flags(masks) => {
            out.extend_from_slice(&(masks.len() as u16).to_le_bytes());
            for (mask, name) in masks {
                out.extend_from_slice(&mask.to_le_bytes());
                str8(out, name);
            }
        }
        FieldType::Optional(inner) | FieldType::List(inner) => type_of(out, inner),
        _ => {}
    }
}

/// The blob of a schema, whose texts are not longer than they may be.
#[must_use]
pub fn of(schema: &Schema) -> Vec<u8> {
    let mut out = 1_u16.to_le_bytes().to_vec();
    str8(&mut out, &schema.name);
    out.extend_from_slice(&[schema.category, schema.level, u8::from(schema.opt_in)]);
    str16(&mut out, &schema.doc);
    str16(&mut out, &schema.text);
    out.push(schema.fields.len() as u8);
    for field in &schema.fields {
        str8(&mut out, &field.name);
        type_of(&mut out, &field.ty);
        let (code, n, m) = field.reduction.parts();
        out.extend_from_slice(&[field.class as u8, u8::from(field.opt_in), code]);
        out.extend_from_slice(&n.to_le_bytes());
        out.extend_from_slice(&m.to_le_bytes());
        str8(&mut out, &field.unit);
        str16(&mut out, &field.doc);
    }
    out
}
