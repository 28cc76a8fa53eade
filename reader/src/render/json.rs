//! One JSON object a line. The contract is reader/JSON.md.

use std::fmt::Write as _;

use tracewell_schema::format::record::LossReason;
use tracewell_schema::{FieldType, FieldValue, Reduction, Value};

use super::buffer::Buffer;
use super::escape::all;
use super::level_name;
use super::number::{push_hex, push_i64, push_id, push_ip, push_socket, push_u64};
use super::time::TimeText;
use super::value::secret_length;
use crate::item::{EventRef, Item};
use crate::trace::ProcessInfo;

/// Above this, integers are strings: a reader that uses doubles would round them.
const EXACT: u64 = 1 << 53;

/// Turns items into JSON lines.
#[derive(Debug)]
pub struct JsonRenderer {
    time: TimeText,
    /// For [`JsonRenderer::push`].
    buffer: Buffer,
}

impl Default for JsonRenderer {
    fn default() -> Self {
        Self::new()
    }
}

impl JsonRenderer {
    /// Times are always UTC.
    #[must_use]
    pub fn new() -> Self {
        Self { time: TimeText::new(false), buffer: Buffer::new() }
    }

    /// Appends one object and a newline.
    pub fn push(&mut self, out: &mut String, item: &Item<'_>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.render(&mut buffer, item);
        out.push_str(&buffer.as_text());
        self.buffer = buffer;
    }

    /// As [`JsonRenderer::push`], where text is collected as bytes: the fast way.
    pub fn render(&mut self, out: &mut Buffer, item: &Item<'_>) {
        out.begin_line();
        match item {
            Item::Event(event) => self.event(out, event),
            Item::Lost { time, process, tid, counts, is_unverified, .. } => {
                self.head(out, *time, "warn");
                push_source(out, process, *tid, "");
                push_unverified(out, *is_unverified);
                out.push_str(",\"category\":\"tracewell\",\"event\":\"tracewell.lost\",\"fields\":{");
                for (reason, n) in LossReason::ALL.iter().zip(counts.0).filter(|(_, n)| *n != 0) {
                    let _ = write!(out, "\"{}\":", reason.name());
                    push_exact(out, n);
                    out.push(',');
                }
                out.push_str("\"total\":");
                push_exact(out, counts.total());
                out.push_str("}}\n");
            }
            Item::Hole { time, process, tid, events, is_unverified, .. } => {
                self.head(out, *time, "warn");
                push_source(out, process, *tid, "");
                push_unverified(out, *is_unverified);
                out.push_str(
                    ",\"category\":\"tracewell\",\"event\":\"tracewell.missing\",\"fields\":{\"events\":",
                );
                push_exact(out, *events);
                out.push_str("}}\n");
            }
        }
    }

    fn head(&mut self, out: &mut Buffer, time: i64, level: &str) {
        out.push_str("{\"ts\":\"");
        self.time.put(out, time);
        out.push_str("\",\"time_ns\":\"");
        push_i64(out, time);
        out.push_str("\",\"level\":\"");
        out.push_str(level);
        out.push('"');
    }

    fn event(&mut self, out: &mut Buffer, event: &EventRef<'_>) {
        self.head(out, event.time, level_name(event.schema.level));
        out.push_literal(&event.source.json_head);
        push_unverified(out, event.is_unverified);
        let template = &event.described.template;
        out.push_str(&template.json_event);
        let mut first = true;
        let mut broken = None;
        for (index, field) in event.values.iter().enumerate() {
            match field {
                Ok(field) if field.reduction == Reduction::Off => {}
                Ok(field) => {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    match template.json_labels.get(index) {
                        Some(label) => out.push_literal(label),
                        None => out.push_str("\"?\":"),
                    }
                    push_field(out, &field);
                }
                Err(error) => broken = Some(error),
            }
        }
        out.push('}');
        if let Some(error) = broken {
            out.push_str(",\"undecodable\":");
            push_string(out, error.to_string().as_bytes());
        }
        out.push_str("}\n");
    }
}

/// Appends what says whose event it is.
pub(crate) fn push_source(out: &mut Buffer, process: &ProcessInfo, tid: u32, name: &str) {
    out.push_str(",\"component\":");
    push_string(out, process.identity.component.as_bytes());
    out.push_str(",\"pid\":");
    push_u64(out, process.identity.pid.into());
    out.push_str(",\"tid\":");
    push_u64(out, tid.into());
    if !name.is_empty() {
        out.push_str(",\"thread\":");
        push_string(out, name.as_bytes());
    }
}

fn push_unverified(out: &mut Buffer, is_unverified: bool) {
    if is_unverified {
        out.push_str(",\"unverified\":true");
    }
}

fn push_field(out: &mut Buffer, field: &FieldValue<'_>) {
    let is_reduced = field.reduction != Reduction::None;
    if is_reduced {
        let _ = write!(out, "{{\"reduced\":\"{}\",\"value\":", field.reduction.name());
    }
    match field.value {
        Value::List(_)
            if matches!(field.reduction, Reduction::Drop | Reduction::Keyed | Reduction::Length) =>
        {
            out.push_str("null");
        }
        _ if field.reduction == Reduction::Drop => out.push_str("null"),
        _ => push_json(out, &field.value, &field.schema.ty),
    }
    if is_reduced {
        out.push('}');
    }
}

fn push_exact(out: &mut Buffer, n: u64) {
    if n > EXACT {
        let _ = write!(out, "\"{n}\"");
    } else {
        push_u64(out, n);
    }
}

fn push_json(out: &mut Buffer, value: &Value<'_>, ty: &FieldType) {
    match value {
        Value::Absent => out.push_str("null"),
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::U(v) | Value::Duration(v) => push_exact(out, *v),
        Value::I(v) | Value::Time(v) if v.unsigned_abs() > EXACT => {
            out.push('"');
            push_i64(out, *v);
            out.push('"');
        }
        Value::I(v) | Value::Time(v) => push_i64(out, *v),
        Value::F(v) if v.is_finite() => {
            let _ = write!(out, "{v:?}");
        }
        Value::F(v) => {
            let _ = write!(out, "\"{v}\"");
        }
        Value::Str(text) => {
            push_cut(out, text.cut, |out| push_string(out, text.bytes));
        }
        Value::Bytes(bytes) => push_cut(out, bytes.cut, |out| {
            out.push('"');
            push_hex(out, bytes.bytes);
            out.push('"');
        }),
        Value::Ip(ip) => {
            out.push('"');
            push_ip(out, ip);
            out.push('"');
        }
        Value::Socket(socket) => {
            out.push('"');
            push_socket(out, socket);
            out.push('"');
        }
        Value::IpKeyed(hash) | Value::Key128(hash) => {
            out.push('"');
            push_hex(out, hash);
            out.push('"');
        }
        Value::SocketKeyed(hash, port) => {
            out.push('"');
            push_hex(out, hash);
            let _ = write!(out, ":{port}\"");
        }
        Value::Enum(v) => match ty.enum_name(*v) {
            Some(name) => push_string(out, name.as_bytes()),
            None => push_u64(out, (*v).into()),
        },
        Value::Flags(bits) => {
            out.push('[');
            let mut rest = *bits;
            let mut first = true;
            for (mask, name) in ty.flag_names().iter().filter(|(m, _)| *m != 0 && bits & m == *m) {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                push_string(out, name.as_bytes());
                rest &= !mask;
            }
            if rest != 0 {
                let _ = write!(out, "{}\"0x{rest:x}\"", if first { "" } else { "," });
            }
            out.push(']');
        }
        Value::List(list) => {
            let begin = out.len();
            let mut cut = list.cut;
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if out.is_line_long() {
                    cut = true;
                    break;
                }
                if i != 0 {
                    out.push(',');
                }
                match item {
                    Ok(item) => push_json(out, &item, list.item),
                    Err(_) => out.push_str("null"),
                }
            }
            out.push(']');
            if cut {
                out.insert(begin, b"{\"cut\":");
                out.push('}');
            }
        }
        Value::Secret(class, hash) => {
            let _ = write!(out, "{{\"secret_bytes\":\"{}\",\"keyed\":\"", secret_length(*class));
            push_hex(out, hash);
            out.push_str("\"}");
        }
        Value::Id64(id) => {
            out.push('"');
            push_id(out, *id);
            out.push('"');
        }
        _ => out.push_str("null"),
    }
}

fn push_cut(out: &mut Buffer, cut: bool, value: impl FnOnce(&mut Buffer)) {
    if cut {
        out.push_str("{\"cut\":");
    }
    value(out);
    if cut {
        out.push('}');
    }
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD; `<`, `>`, `&` and line separators are escaped, so
/// that the text can stand in a page; so is everything that is not printable.
pub(crate) fn push_string(out: &mut Buffer, bytes: &[u8]) {
    out.push('"');
    if all(bytes, is_plain) {
        out.push_bytes(bytes);
    } else {
        put_strange(out, bytes);
    }
    out.push('"');
}

/// The inside of a string with something in it that does not stand for itself.
fn put_strange(out: &mut Buffer, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '<' | '>' | '&' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c if super::escape::is_printable(c) => out.push(c),
                c => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.push('\u{fffd}');
        }
    }
}

/// Whether a byte stands for itself in a string.
#[inline(always)]
const fn is_plain(b: u8) -> bool {
    (b.wrapping_sub(0x20) < 0x5f) & (b != b'"') & (b != b'\\') & (b != b'<') & (b != b'>') & (b != b'&')
}
