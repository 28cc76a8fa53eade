//! Human-readable lines.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use tracewell_schema::format::record::LossReason;
use tracewell_schema::{FieldType, FieldValue, Reduction, Value};

use super::escape::push_escaped;
use super::template::Part;
use super::time::{TimeText, push_utc};
use super::{Scratch, level_name};
use crate::item::{EventRef, Item};
use crate::trace::ProcessInfo;

/// Turns items into lines: time, level, component, pid and thread, category, sentence, then the remaining fields.
#[derive(Debug)]
pub struct TextRenderer {
    time: TimeText,
    scratch: Scratch,
}

impl TextRenderer {
    /// With times in UTC, or in this computer's zone.
    #[must_use]
    pub fn new(local: bool) -> Self {
        Self { time: TimeText::new(local), scratch: Scratch::default() }
    }

    /// Appends one line, with its end.
    pub fn push(&mut self, out: &mut String, item: &Item<'_>) {
        match item {
            Item::Event(event) => self.event(out, event),
            Item::Lost { time, process, tid, counts, .. } => {
                self.head(out, *time, "-----", process, *tid, "");
                let _ = write!(out, "-- lost {} events here (", counts.total());
                let mut first = true;
                for (reason, n) in LossReason::ALL.iter().zip(counts.0).filter(|(_, n)| *n != 0) {
                    let _ = write!(out, "{}{} {n}", if first { "" } else { ", " }, reason.name());
                    first = false;
                }
                out.push_str(") --\n");
            }
            Item::Hole { time, process, tid, events, .. } => {
                self.head(out, *time, "-----", process, *tid, "");
                let _ =
                    writeln!(out, "-- {events} events are missing here: their block is damaged or gone --");
            }
        }
    }

    fn head(
        &mut self,
        out: &mut String,
        time: i64,
        level: &str,
        process: &ProcessInfo,
        tid: u32,
        name: &str,
    ) {
        self.time.push(out, time);
        out.push(' ');
        push_padded(out, level, 5);
        out.push(' ');
        push_escaped(out, process.identity.component.as_bytes(), None);
        out.push('[');
        push_u64(out, process.identity.pid.into());
        out.push(':');
        push_u64(out, tid.into());
        if !name.is_empty() {
            out.push(' ');
            push_escaped(out, name.as_bytes(), Some(']'));
        }
        out.push_str("] ");
    }

    fn event(&mut self, out: &mut String, event: &EventRef<'_>) {
        let level = level_name(event.schema.level);
        self.head(out, event.time, level, event.process, event.tid, event.thread_name);
        let template = &event.described.template;
        out.push_str(&template.category);
        let mut fields = self.scratch.take();
        let mut broken = None;
        for field in event.values.iter() {
            match field {
                Ok(field) => fields.push(field),
                Err(error) => broken = Some(error),
            }
        }
        for part in &template.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(index) => match fields.get(*index) {
                    Some(field) => push_value(out, field, false),
                    None => out.push('?'),
                },
            }
        }
        out.push_str(&template.event);
        for (index, field) in fields.iter().enumerate() {
            let is_shown = template.shows.get(index).copied().unwrap_or(false);
            let is_absent = field.value == Value::Absent && !is_reduced(field);
            if is_shown || is_absent || field.reduction == Reduction::Off {
                continue;
            }
            out.push_str(template.labels.get(index).map_or(" ?=", String::as_str));
            push_value(out, field, true);
        }
        if let Some(error) = broken {
            let _ = write!(out, " <undecodable: {error}>");
        }
        out.push('\n');
        self.scratch.give(fields);
    }
}

fn push_padded(out: &mut String, text: &str, width: usize) {
    out.push_str(text);
    for _ in text.len()..width {
        out.push(' ');
    }
}

/// Appends a decimal number.
pub(crate) fn push_u64(out: &mut String, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 || at == 0 {
            break;
        }
    }
    out.push_str(digits.get(at..).and_then(|d| std::str::from_utf8(d).ok()).unwrap_or_default());
}

pub(crate) fn push_i64(out: &mut String, n: i64) {
    if n < 0 {
        out.push('-');
    }
    push_u64(out, n.unsigned_abs());
}

/// Appends hex digits.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 128];
    for part in bytes.chunks(digits.len() / 2) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            if let [high, low] = pair {
                *high = DIGITS[usize::from(byte >> 4)];
                *low = DIGITS[usize::from(byte & 15)];
            }
        }
        let used = digits.get(..part.len() * 2).unwrap_or_default();
        out.push_str(std::str::from_utf8(used).unwrap_or_default());
    }
}

/// Appends an id as 16 hex digits.
pub(crate) fn push_id(out: &mut String, id: u64) {
    let mut bytes = id.to_le_bytes();
    bytes.reverse();
    push_hex(out, &bytes);
}

/// Appends an address; the common kind without the formatting machinery.
pub(crate) fn push_ip(out: &mut String, ip: &IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (i, octet) in ip.octets().into_iter().enumerate() {
                if i != 0 {
                    out.push('.');
                }
                push_u64(out, octet.into());
            }
        }
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// Appends `address:port`, with brackets around an IPv6 address.
pub(crate) fn push_socket(out: &mut String, socket: &SocketAddr) {
    let is_v6 = socket.is_ipv6();
    if is_v6 {
        out.push('[');
    }
    push_ip(out, &socket.ip());
    if is_v6 {
        out.push(']');
    }
    out.push(':');
    push_u64(out, socket.port().into());
}

fn is_reduced(field: &FieldValue<'_>) -> bool {
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
pub(crate) fn push_value(out: &mut String, field: &FieldValue<'_>, quoted: bool) {
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
        push_escaped(out, field.schema.unit.as_bytes(), None);
    }
}

/// Characters that would end a value, or look like something of ours.
static NEEDS_QUOTES: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b" =\"|<>[]";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::U(_) | Value::I(_) | Value::F(_))
}

fn push_plain(out: &mut String, value: &Value<'_>, ty: &FieldType, quoted: bool) {
    match value {
        Value::Absent => out.push('-'),
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::U(v) => push_u64(out, *v),
        Value::I(v) => push_i64(out, *v),
        Value::F(v) => {
            let _ = write!(out, "{v}");
        }
        Value::Str(text) => {
            let quotes =
                quoted && (text.bytes.is_empty() || text.bytes.iter().any(|b| NEEDS_QUOTES[usize::from(*b)]));
            if quotes {
                out.push('"');
            }
            push_escaped(out, text.bytes, quotes.then_some('"'));
            if quotes {
                out.push('"');
            }
            if text.cut {
                out.push_str("\u{2026}[cut]");
            }
        }
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
            Some(name) => push_escaped(out, name.as_bytes(), None),
            None => {
                let _ = write!(out, "unknown({v})");
            }
        },
        Value::Flags(bits) => push_flags(out, *bits, ty),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i != 0 {
                    out.push_str(", ");
                }
                match item {
                    Ok(item) => push_plain(out, &item, list.item, true),
                    Err(_) => out.push_str("<undecodable>"),
                }
            }
            out.push_str(if list.cut { ", \u{2026}[cut]]" } else { "]" });
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

fn push_flags(out: &mut String, bits: u64, ty: &FieldType) {
    let mut rest = bits;
    let mut first = true;
    for (mask, name) in ty.flag_names() {
        if *mask != 0 && bits & mask == *mask {
            if !first {
                out.push('|');
            }
            push_escaped(out, name.as_bytes(), None);
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
fn push_duration(out: &mut String, ns: u64) {
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
