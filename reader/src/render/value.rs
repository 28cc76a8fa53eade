//! Values of fields in a line of text.

use std::fmt::Write as _;

use tracewell_schema::{FieldType, FieldValue, Reduction, Value};

use super::buffer::Buffer;
use super::escape::{all, put_escaped};
use super::number::{push_hex, push_i64, push_id, push_ip, push_socket, push_u64};
use super::time::push_utc;

pub(crate) fn is_reduced(field: &FieldValue<'_>) -> bool {
    !matches!(field.reduction, Reduction::None | Reduction::Off)
}

/// How long a secret was, by its class.
pub(crate) fn secret_length(class: u8) -> &'static str {
    match class {
        0 => "empty",
        1 => "1..7",
        2 => "8..15",
        3 => "16..31",
        4 => "32..63",
        5 => "64 or more",
        _ => "unknown",
    }
}

/// Appends a field's value; `quoted` puts text in quotes if it would not stand alone.
pub(crate) fn push_value(out: &mut Buffer, field: &FieldValue<'_>, quoted: bool) {
    match field.reduction {
        Reduction::None | Reduction::Prefix { .. } | Reduction::HostOnly => {
            push_plain(out, &field.value, &field.schema.ty, quoted);
            if field.reduction != Reduction::None && field.value != Value::Absent {
                let _ = write!(out, "<{}>", field.reduction);
            }
        }
        Reduction::Off => out.push_str("<not recorded>"),
        Reduction::Drop => out.push_str("<dropped>"),
        Reduction::Keyed | Reduction::Length => match field.value {
            Value::Absent => {
                out.push_str(if field.reduction == Reduction::Length { "<dropped>" } else { "-" })
            }
            Value::List(_) => out.push_str("<dropped>"),
            _ => {
                let _ = write!(out, "<{} ", field.reduction);
                push_plain(out, &field.value, &field.schema.ty, false);
                out.push('>');
            }
        },
    }
    if quoted && field.value != Value::Absent && !field.schema.unit.is_empty() && is_number(&field.value) {
        put_escaped(out, field.schema.unit.as_bytes(), None);
    }
}

/// Whether text stands alone as a value: printable, and nothing that would end it or look like something of ours,
/// which is a space and any of `"<=>[\]|`.
#[inline]
fn stands_alone(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, |b| (b.wrapping_sub(0x21) < 0x5e) & !is_mark(b) & (b != b'\\'))
}

#[inline(always)]
const fn is_mark(b: u8) -> bool {
    (b == b' ') | (b == b'"') | (b.wrapping_sub(b'<') <= 2) | (b == b'[') | (b == b']') | (b == b'|')
}

/// Appends text; `quoted` puts it in quotes if it would not stand alone.
#[inline]
pub(crate) fn push_text(out: &mut Buffer, bytes: &[u8], cut: bool, quoted: bool) {
    if quoted && stands_alone(bytes) {
        out.push_bytes(bytes);
    } else if quoted && (bytes.is_empty() || !all(bytes, |b| !is_mark(b))) {
        out.put(b"\"", 1);
        put_escaped(out, bytes, Some('"'));
        out.put(b"\"", 1);
    } else {
        put_escaped(out, bytes, None);
    }
    if cut {
        out.push_str("\u{2026}[cut]");
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::U(_) | Value::I(_) | Value::F(_))
}

fn push_plain(out: &mut Buffer, value: &Value<'_>, ty: &FieldType, quoted: bool) {
    match value {
        Value::Absent => out.push('-'),
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::U(v) => push_u64(out, *v),
        Value::I(v) => push_i64(out, *v),
        Value::F(v) => {
            let _ = write!(out, "{v}");
        }
        Value::Str(text) => push_text(out, text.bytes, text.cut, quoted),
        Value::Bytes(bytes) => {
            push_hex(out, bytes.bytes);
            if bytes.cut {
                out.push_str("\u{2026}[cut]");
            }
        }
        Value::Ip(ip) => push_ip(out, ip),
        Value::Socket(socket) => push_socket(out, socket),
        Value::IpKeyed(hash) => push_hex(out, hash),
        Value::SocketKeyed(hash, port) => {
            push_hex(out, hash);
            let _ = write!(out, ":{port}");
        }
        Value::Time(ns) => push_utc(out, *ns),
        Value::Duration(ns) => push_duration(out, *ns),
        Value::Enum(v) => match ty.enum_name(*v) {
            Some(name) => put_escaped(out, name.as_bytes(), None),
            None => {
                let _ = write!(out, "unknown({v})");
            }
        },
        Value::Flags(bits) => push_flags(out, *bits, ty),
        Value::List(list) => {
            out.push('[');
            let mut cut = list.cut;
            for (i, item) in list.iter().enumerate() {
                if out.is_line_long() {
                    cut = true;
                    break;
                }
                if i != 0 {
                    out.push_str(", ");
                }
                match item {
                    Ok(item) => push_plain(out, &item, list.item, true),
                    Err(_) => out.push_str("<undecodable>"),
                }
            }
            out.push_str(if cut { ", \u{2026}[cut]]" } else { "]" });
        }
        Value::Secret(class, hash) => {
            let _ = write!(out, "<secret of {} bytes, keyed ", secret_length(*class));
            push_hex(out, hash.get(..8).unwrap_or_default());
            out.push('>');
        }
        Value::Key128(key) => push_hex(out, key),
        Value::Id64(id) => push_id(out, *id),
        _ => out.push('?'),
    }
}

fn push_flags(out: &mut Buffer, bits: u64, ty: &FieldType) {
    let mut rest = bits;
    let mut first = true;
    for (mask, name) in ty.flag_names() {
        if *mask != 0 && bits & mask == *mask {
            if !first {
                out.push('|');
            }
            put_escaped(out, name.as_bytes(), None);
            first = false;
            rest &= !mask;
        }
    }
    if rest != 0 {
        let _ = write!(out, "{}0x{rest:x}", if first { "" } else { "|" });
    } else if first {
        out.push_str("none");
    }
}

/// A duration in the unit that keeps it exact and short.
fn push_duration(out: &mut Buffer, ns: u64) {
    let (whole, part, unit, width) = match ns {
        0..1_000 => (ns, 0, "ns", 0),
        1_000..1_000_000 => (ns / 1_000, ns % 1_000, "us", 3),
        1_000_000..1_000_000_000 => (ns / 1_000_000, ns % 1_000_000, "ms", 6),
        _ => (ns / 1_000_000_000, ns % 1_000_000_000, "s", 9),
    };
    push_u64(out, whole);
    if part != 0 {
        let digits = format!("{part:0width$}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out.push_str(unit);
}

/// Whether a value tells nothing that its absence would not: lines are read by people. (JSON has them all.)
pub(crate) fn says_nothing(field: &FieldValue<'_>) -> bool {
    match &field.value {
        Value::Absent => true,
        Value::List(list) => list.bytes.is_empty() && !list.cut,
        Value::Enum(number) => field.schema.ty.enum_name(*number) == Some("unknown"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_quoted_only_if_it_would_not_stand_alone(bytes in "[a-z/]{0,20}[ -~]{0,2}[a-z/]{0,20}|\\PC*", cut: bool) {
            let mut out = Buffer::new();
            push_text(&mut out, bytes.as_bytes(), cut, true);
            let quotes = bytes.is_empty() || bytes.chars().any(|c| " =\"|<>[]".contains(c));
            let mut expected = Buffer::new();
            put_escaped(&mut expected, bytes.as_bytes(), quotes.then_some('"'));
            let mark = if quotes { "\"" } else { "" };
            let expected = format!("{mark}{}{mark}{}", expected.as_text(), if cut { "\u{2026}[cut]" } else { "" });
            prop_assert_eq!(out.as_text(), expected);
        }
    }
}
