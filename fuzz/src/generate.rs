//! Schemas and events from the bytes of a fuzzer: right in form, hostile in content.

use arbitrary::{Result, Unstructured};
use tracewell_schema::{FieldSchema, FieldType, Privacy, Reduction, Schema};

/// Texts that have done harm somewhere.
const TEXTS: [&[u8]; 24] = [
    b"",
    b"/usr/lib/x86_64-linux-gnu/libc.so.6",
    b"a b",
    b"C:\\Users\\x",
    b"say \"\" ]] |=",
    b"\x1b[2J\x1b]0;title\x07\x1bPq\x1b\\",
    b"\xc2\x9b31m\xc2\x9d0;x\xc2\x9c",
    b"\xe2\x80\xaegpj.exe\xe2\x81\xa6\xd8\x9c",
    b"\xff\xfe\xc3",
    b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf3\xa0\x81\x81\xf3\xa0\x80\xa0",
    b"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\x8b\xef\xbb\xbf",
    b"\x00\x00",
    b"line one\r\n2026-11-23T17:44:36Z info  forged[1:1] ui x",
    b"=cmd|' /C calc'!A0",
    b"<script>alert(1)</script>]]>&amp;",
    b"{a}{{}}{",
    b"%n%s%2147483647d",
    b"\xf0\x9f\x98\x80 \xe6\x97\xa5",
    b"\xcc\x81combining first",
    b"\x7f\x80\x9f",
    b"0123456789abcdef|",
];

/// Names of fields: few, so that sentences name them.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "\u{1b}[31m", "x\"y", "\u{202e}", "a}b"];

/// Some text, hostile or any bytes.
///
/// # Errors
/// If the bytes are used up.
pub fn bytes<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let n = usize::from(u.arbitrary::<u8>()?);
    if n < TEXTS.len() { Ok(TEXTS[n]) } else { u.bytes((n - TEXTS.len()).min(u.len())) }
}

/// The same as text.
///
/// # Errors
/// If the bytes are used up.
pub fn text(u: &mut Unstructured<'_>, most: usize) -> Result<String> {
    let text = String::from_utf8_lossy(bytes(u)?).into_owned();
    Ok(text
        .chars()
        .scan(0, |len, c| {
            *len += c.len_utf8();
            (*len <= most).then_some(c)
        })
        .collect())
}

fn simple_type(u: &mut Unstructured<'_>) -> Result<FieldType> {
    use FieldType::{
        Bool, Bytes, Duration, Enum, F64, Fixed, Flags, I8, I16, I32, I64, Id64, Ip, Key128, Socket, Str,
        Time, U8, U16, U32, U64,
    };
    Ok(match u.int_in_range(0..=21_u8)? {
        0 => Bool,
        1 => U8,
        2 => U16,
        3 => U32,
        4 => U64,
        5 => I8,
        6 => I16,
        7 => I32,
        8 => I64,
        9 => F64,
        10 => Bytes,
        11 => Ip,
        12 => Socket,
        13 => Time,
        14 => Duration,
        15 => Key128,
        16 => Id64,
        17 => Fixed(u.int_in_range(1..=1024_u16)?),
        18 => Fixed(u.int_in_range(1..=40_u16)?),
        19 => {
            let n = u.int_in_range(0..=5)?;
            Enum((0..n).map(|_| Ok((u.int_in_range(0..=7)?, text(u, 255)?))).collect::<Result<_>>()?)
        }
        20 => {
            let n = u.int_in_range(0..=5)?;
            Flags((0..n).map(|_| Ok((u.int_in_range(0..=15)?, text(u, 255)?))).collect::<Result<_>>()?)
        }
        _ => Str,
    })
}

fn field(u: &mut Unstructured<'_>) -> Result<FieldSchema> {
    let ty = match u.int_in_range(0..=7_u8)? {
        0 => FieldType::Optional(Box::new(simple_type(u)?)),
        1 => FieldType::List(Box::new(simple_type(u)?)),
        2 => FieldType::Secret,
        _ => simple_type(u)?,
    };
    let reduction = match u.int_in_range(0..=12_u8)? {
        0 => Reduction::Prefix { n: 3, m: 3 },
        1 => Reduction::HostOnly,
        2 => Reduction::Keyed,
        3 => Reduction::Length,
        4 => Reduction::Drop,
        5 => Reduction::Off,
        _ => Reduction::None,
    };
    let name = match u.int_in_range(0..=NAMES.len())? {
        n if n < NAMES.len() => NAMES[n].to_owned(),
        _ => text(u, 255)?,
    };
    let unit = if u.ratio(1, 4)? { text(u, 255)? } else { String::new() };
    Ok(FieldSchema {
        name,
        ty,
        class: Privacy::Public,
        opt_in: u.arbitrary()?,
        reduction,
        unit,
        doc: String::new(),
    })
}

/// A schema that can be: its blob is not longer than it may be.
///
/// # Errors
/// If the bytes are used up.
pub fn schema(u: &mut Unstructured<'_>) -> Result<Schema> {
    let mut sentence = String::new();
    for _ in 0..u.int_in_range(0..=8)? {
        match u.int_in_range(0..=3_u8)? {
            0 => sentence += u.choose(&["{{", "}}", "{", "}", " to ", "{x}"])?,
            1 => sentence += &text(u, 300)?,
            _ => sentence += &format!("{{{}}}", NAMES[u.choose_index(NAMES.len())?]),
        }
    }
    let n = u.int_in_range(0..=9)?;
    Ok(Schema {
        name: text(u, 255)?,
        category: u.arbitrary()?,
        level: u.int_in_range(0..=7)?,
        opt_in: u.arbitrary()?,
        doc: String::new(),
        text: sentence,
        fields: (0..n).map(|_| field(u)).collect::<Result<_>>()?,
        fingerprint: 0,
    })
}

/// Bit 15 of a length word: the value was longer.
const CUT: u16 = 1 << 15;

fn value(
    u: &mut Unstructured<'_>,
    ty: &FieldType,
    honest: bool,
    fixed: &mut Vec<u8>,
    variable: &mut Vec<u8>,
) -> Result<()> {
    let n = ty.fixed_len();
    match ty {
        FieldType::Str | FieldType::Bytes => {
            let text = bytes(u)?;
            let cut = if u.ratio(1, 8)? { CUT } else { 0 };
            fixed.extend_from_slice(&(text.len() as u16 | cut).to_le_bytes());
            variable.extend_from_slice(text);
        }
        FieldType::Bool => fixed.push(u.int_in_range(0..=1)?),
        FieldType::Ip | FieldType::Socket => {
            fixed.push(*u.choose(&[0, 4, 6, 0x4b])?);
            raw(u, n - 1, fixed)?;
        }
        FieldType::Optional(inner) => {
            let is_there = u.arbitrary::<bool>()?;
            fixed.push(is_there.into());
            if is_there {
                value(u, inner, honest, fixed, variable)?;
            } else if honest {
                fixed.resize(fixed.len() + n - 1, 0);
            } else {
                raw(u, n - 1, fixed)?;
            }
        }
        FieldType::List(item) => {
            let mut items = Vec::new();
            for _ in 0..u.int_in_range(0..=6)? {
                let (mut one, mut two) = (Vec::new(), Vec::new());
                value(u, item, honest, &mut one, &mut two)?;
                items.append(&mut one);
                items.append(&mut two);
            }
            fixed.extend_from_slice(&(items.len() as u16).to_le_bytes());
            variable.append(&mut items);
        }
        _ => raw(u, n, fixed)?,
    }
    Ok(())
}

/// Any bytes, zeros where there are none.
fn raw(u: &mut Unstructured<'_>, n: usize, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + n, 0);
    u.fill_buffer(&mut out[start..])
}

/// An event's payload. An `honest` one is as FORMAT.md says; another has any bytes where a reader should not look.
///
/// # Errors
/// If the bytes are used up.
pub fn payload(u: &mut Unstructured<'_>, schema: &Schema, honest: bool) -> Result<Vec<u8>> {
    let (mut fixed, mut variable) = (Vec::new(), Vec::new());
    for field in &schema.fields {
        value(u, &field.ty, honest, &mut fixed, &mut variable)?;
    }
    fixed.append(&mut variable);
    Ok(fixed)
}
