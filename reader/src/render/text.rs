//! Human-readable lines.

use std::fmt::Write as _;

use tracewell_schema::format::record::LossReason;
use tracewell_schema::{EventValues, Reduction};

use super::buffer::Buffer;
use super::escape::put_escaped;
use super::number::push_u64;
use super::program::Scratch;
use super::template::{Part, Template};
use super::time::TimeText;
use super::value::{is_reduced, push_value, says_nothing};
use crate::item::{EventRef, Item};
use crate::trace::ProcessInfo;

/// Before the category of what was read from a ring of another boot; no category is named so.
const UNVERIFIED: &str = "(unverified) ";

/// Turns items into lines: time, level, component, pid and thread, category, sentence, then the remaining fields.
#[derive(Debug)]
pub struct TextRenderer {
    time: TimeText,
    scratch: Scratch,
    /// For [`TextRenderer::push`].
    buffer: Buffer,
}

impl TextRenderer {
    /// With times in UTC, or in this computer's zone.
    #[must_use]
    pub fn new(local: bool) -> Self {
        Self { time: TimeText::new(local), scratch: Scratch::default(), buffer: Buffer::new() }
    }

    /// Appends one line, with its end.
    pub fn push(&mut self, out: &mut String, item: &Item<'_>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.render(&mut buffer, item);
        out.push_str(&buffer.as_text());
        self.buffer = buffer;
    }

    /// As [`TextRenderer::push`], where text is collected as bytes: the fast way.
    #[inline]
    pub fn render(&mut self, out: &mut Buffer, item: &Item<'_>) {
        out.begin_line();
        match item {
            Item::Event(event) => self.event(out, event),
            other => self.other(out, other),
        }
    }

    #[cold]
    fn other(&mut self, out: &mut Buffer, item: &Item<'_>) {
        match item {
            Item::Event(_) => {}
            Item::Lost { time, process, tid, counts, is_unverified, .. } => {
                self.head(out, *time, process, *tid, *is_unverified);
                let _ = write!(out, "-- lost {} events here (", counts.total());
                let mut first = true;
                for (reason, n) in LossReason::ALL.iter().zip(counts.0).filter(|(_, n)| *n != 0) {
                    let _ = write!(out, "{}{} {n}", if first { "" } else { ", " }, reason.name());
                    first = false;
                }
                out.push_str(") --\n");
            }
            Item::Hole { time, process, tid, events, is_unverified, .. } => {
                self.head(out, *time, process, *tid, *is_unverified);
                let _ =
                    writeln!(out, "-- {events} events are missing here: their block is damaged or gone --");
            }
        }
    }

    /// Head of a line that is not an event's.
    fn head(&mut self, out: &mut Buffer, time: i64, process: &ProcessInfo, tid: u32, is_unverified: bool) {
        self.time.put(out, time);
        out.push_str(" ----- ");
        push_source(out, process, tid, "");
        if is_unverified {
            out.push_str(UNVERIFIED);
        }
    }

    /// Appends what stands in an event's line after its time, level and source: category, sentence, and the other
    /// fields after ` | event=`.
    pub fn push_body(&mut self, out: &mut String, event: &EventRef<'_>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.begin_line();
        self.body(&mut buffer, event);
        out.push_str(&buffer.as_text());
        self.buffer = buffer;
    }

    fn event(&mut self, out: &mut Buffer, event: &EventRef<'_>) {
        self.time.put(out, event.time);
        out.push_literal(&event.described.template.level);
        out.push_literal(&event.source.text_head);
        if event.is_unverified {
            out.push_str(UNVERIFIED);
        }
        self.body(out, event);
    }

    #[inline]
    fn body(&mut self, out: &mut Buffer, event: &EventRef<'_>) {
        let described = event.described;
        let begin = out.len();
        if event.is_reduced
            || described.program.run(event.schema, event.payload, &mut self.scratch, out).is_none()
        {
            out.truncate(begin);
            fields_one_by_one(out, &described.template, &event.values);
        }
    }
}

/// Appends `scanner[7:101 main] `.
pub(crate) fn push_source(out: &mut Buffer, process: &ProcessInfo, tid: u32, name: &str) {
    put_escaped(out, process.identity.component.as_bytes(), None);
    out.push('[');
    push_u64(out, process.identity.pid.into());
    out.push(':');
    push_u64(out, tid.into());
    if !name.is_empty() {
        out.push(' ');
        put_escaped(out, name.as_bytes(), Some(']'));
    }
    out.push_str("] ");
}

/// From the category on, without a program: for events whose fields are reduced in ways of their own, or of which
/// some cannot be decoded.
pub(crate) fn fields_one_by_one(out: &mut Buffer, template: &Template, values: &EventValues<'_>) {
    out.push_str(&template.category);
    let mut fields = Vec::new();
    let mut broken = None;
    for field in values.iter() {
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
        let is_absent = says_nothing(field) && !is_reduced(field);
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
}
