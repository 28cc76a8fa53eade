//! Records to columns.

use super::dictionary::{Dictionary, Span, encode_plain};
use super::integers::Choice;
use super::{Layout, MAX_SHAPES, Shape, load, ticks, variable_len};
use crate::format::record::{HEADER_LEN, KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts};
use crate::limits::{MAX_EVENTS, MAX_RECORD};

/// Blocks for which a column that had too many distinct values gets no dictionary.
const SKIP: u8 = 15;
/// Rows from which on a dictionary that was not worth it is remembered.
const WORTH_NOTING: usize = 256;

/// What [`Encoder::walk`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Bytes of whole records.
    pub len: usize,
    /// Event records among them.
    pub events: u32,
    /// Ticks of the first event record; 0 if none.
    pub first_ticks: u64,
    /// Ticks of the last event record; 0 if none.
    pub last_ticks: u64,
    /// Losses that loss records tell.
    pub lost: u64,
    /// The records can be laid out as columns; if not, store them as they are.
    pub is_regular: bool,
}

/// The records of one kind in the present block.
#[derive(Debug, Default)]
struct Rows {
    shape: Shape,
    layout: Layout,
    fixed: usize,
    /// Where each record begins.
    at: Vec<u32>,
    /// Length of each record without padding; empty while all are as long as the first.
    lens: Vec<u32>,
}

/// Remembers, from block to block, which columns of an event type are not worth a dictionary.
#[derive(Debug, Default)]
struct Memory {
    skip: Vec<u8>,
}

impl Memory {
    /// Whether column `index` should be tried.
    fn wants(&mut self, index: usize) -> bool {
        if self.skip.len() <= index {
            self.skip.resize(index + 1, 0);
        }
        match self.skip.get_mut(index) {
            Some(0) | None => true,
            Some(n) => {
                *n -= 1;
                false
            }
        }
    }

    /// A dictionary was not worth it. Few rows (the rest of a lap, a quiet time) say nothing about the next block.
    fn failed(&mut self, index: usize, rows: usize) {
        if rows < WORTH_NOTING {
            return;
        }
        if let Some(n) = self.skip.get_mut(index) {
            *n = SKIP;
        }
    }
}

/// Lays out blocks of one process as columns. Keeps its memory from block to block.
#[derive(Debug, Default)]
pub struct Encoder {
    rows: Vec<Rows>,
    used: usize,
    order: Vec<u8>,
    differences: Vec<u64>,
    pad: u32,
    /// Layouts by event index, as far as they were asked for.
    layouts: Vec<Option<Layout>>,
    memory: Vec<Memory>,
    dictionary: Dictionary,
    values: Vec<u64>,
    spans: Vec<Span>,
}

impl Encoder {
    /// Walks over the whole records at the start of `raw`, at most `limit` bytes, and makes them ready for
    /// [`Encoder::encode`]. `layout_of` is asked once for each event index.
    pub fn walk(
        &mut self,
        raw: &[u8],
        limit: usize,
        layout_of: &mut dyn FnMut(u16) -> Option<Layout>,
    ) -> Walk {
        self.used = 0;
        self.pad = 0;
        self.order.clear();
        self.differences.clear();
        let raw = raw.get(..limit).unwrap_or(raw);
        let mut walk = Walk { is_regular: true, ..Walk::default() };
        let (mut before, mut current, mut key) = (0_u64, 0_usize, None);
        while walk.len + 8 <= raw.len() {
            let word = load(raw, walk.len);
            let len = word as u32 as usize;
            let size = len.next_multiple_of(8);
            if (word >> 48) as u8 == KIND_PAD {
                let end = (walk.len + size).min(raw.len());
                if walk.len + size > end && walk.len != 0 {
                    // Cut by `limit`, as a record can be: its second half would be what the last lap left there.
                    break;
                }
                // A pad ends the lap, and so the block.
                walk.is_regular &=
                    size >= 8 && walk.len + size == end && word >> 32 == u64::from(KIND_PAD) << 16;
                self.pad = size as u32;
                walk.len = if size >= 8 { end } else { raw.len() };
                break;
            }
            if size > raw.len() - walk.len {
                // Cut by `limit` unless nothing came before it, which no writer of records does.
                if walk.len == 0 {
                    (walk.len, walk.is_regular) = (raw.len(), false);
                }
                break;
            }
            if !(HEADER_LEN..=MAX_RECORD).contains(&len) {
                (walk.len, walk.is_regular) = (raw.len(), false);
                break;
            }
            if key != Some(word >> 32) {
                key = Some(word >> 32);
                match self.shape((word >> 32) as u32, layout_of) {
                    Some(index) => current = index,
                    None => walk.is_regular = false,
                }
            }
            // Records of one type come in runs, all with the same first word.
            let rest = raw.get(walk.len..).unwrap_or_default();
            let run = rest.chunks_exact(size).take_while(|record| load(record, 0) == word).count();
            if (word >> 48) as u8 == KIND_LOSS {
                // Each of them: losses of several kinds can follow each other.
                for record in rest.chunks_exact(size).take(run) {
                    let payload = record.get(HEADER_LEN..).unwrap_or_default();
                    let lost = LossCounts::decode(payload).map_or(0, |counts| counts.total());
                    walk.lost = walk.lost.saturating_add(lost);
                }
            }
            let stamps = rest.chunks_exact(size).take(run).map(|record| load(record, 8));
            let (first, last) = (load(rest, 8), load(rest, (run - 1) * size + 8));
            if walk.is_regular {
                if let Some(rows) = self.rows.get_mut(current) {
                    walk.is_regular = rows.push_run(raw, walk.len, len, run);
                }
                self.order.resize(self.order.len() + run, current as u8);
                self.differences
                    .extend(stamps.map(|stamp| stamp.wrapping_sub(std::mem::replace(&mut before, stamp))));
            }
            if (word >> 48) as u8 == KIND_EVENT {
                if walk.events == 0 {
                    walk.first_ticks = first;
                }
                walk.last_ticks = last;
                walk.events += run as u32;
            }
            walk.len += run * size;
        }
        walk
    }

    /// The rows of this shape, made if there are none yet.
    fn shape(&mut self, key: u32, layout_of: &mut dyn FnMut(u16) -> Option<Layout>) -> Option<usize> {
        let shape = Shape { key };
        if let Some(index) = self.rows.iter().take(self.used).position(|r| r.shape == shape) {
            return Some(index);
        }
        if self.used >= MAX_SHAPES {
            return None;
        }
        let event = usize::from(key as u16);
        if event >= MAX_EVENTS {
            return None;
        }
        let layout = if shape.is_loss() {
            Layout::of_losses()
        } else {
            if self.layouts.len() <= event {
                self.layouts.resize(event + 1, None);
                self.memory.resize_with(event + 1, Memory::default);
            }
            let known = self.layouts.get_mut(event)?;
            if known.is_none() {
                *known = layout_of(key as u16);
            }
            known.clone()?
        };
        if self.rows.len() == self.used {
            self.rows.push(Rows::default());
        }
        let rows = self.rows.get_mut(self.used)?;
        rows.fixed = usize::from(layout.fixed_len());
        (rows.shape, rows.layout) = (shape, layout);
        rows.at.clear();
        rows.lens.clear();
        self.used += 1;
        Some(self.used - 1)
    }

    /// Writes the records that [`Encoder::walk`] walked over; `raw` is the same bytes.
    ///
    /// `pace` is called whenever some records (of about 4 KiB) are done, so that the caller can have something else
    /// done by the way, as fetching memory.
    pub fn encode(&mut self, raw: &[u8], out: &mut Vec<u8>, pace: &mut dyn FnMut()) {
        out.clear();
        out.extend_from_slice(&(self.order.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.pad.to_le_bytes());
        out.push(self.used as u8);
        for rows in self.rows.iter().take(self.used) {
            rows.describe(out);
        }
        if self.used > 1 {
            out.extend_from_slice(&self.order);
        }
        ticks::encode(&self.differences, out);
        for index in 0..self.used {
            let Some(rows) = self.rows.get_mut(index) else { break };
            let mut rows = std::mem::take(rows);
            self.encode_rows(raw, &rows, out, pace);
            rows.at.clear();
            if let Some(place) = self.rows.get_mut(index) {
                *place = rows;
            }
        }
    }

    fn encode_rows(&mut self, raw: &[u8], rows: &Rows, out: &mut Vec<u8>, pace: &mut dyn FnMut()) {
        let mut none = Memory::default();
        let event = usize::from(rows.shape.key as u16);
        let is_loss = rows.shape.is_loss();
        let mut memory = match self.memory.get_mut(event) {
            Some(memory) if !is_loss => std::mem::take(memory),
            _ => Memory::default(),
        };
        let count = rows.at.len();
        // Every column goes over all records; the first one keeps the pace.
        let mut pace = Some(pace);
        let mut column = 0;
        // The fixed part as a whole, if enough of its rows are equal.
        let mut is_whole = rows.fixed == 0;
        if rows.fixed != 0 && count > 1 && memory.wants(column) {
            let found = self.dictionary.fill_fixed(raw, &rows.at, HEADER_LEN, rows.fixed, pace.take());
            if found && self.dictionary.cost(false) * 2 <= rows.fixed * count {
                out.push(1);
                self.dictionary.encode(raw, false, out);
                is_whole = true;
            } else {
                memory.failed(column, count);
            }
        }
        column += 1;
        if rows.fixed != 0 && !is_whole {
            out.push(0);
            let mut offset = HEADER_LEN;
            for width in &rows.layout.pieces {
                self.encode_piece(raw, rows, offset, usize::from(*width), &mut memory, column, out);
                column += 1;
                offset += usize::from(*width);
            }
        }
        column = 1 + rows.layout.pieces.len();
        self.spans.clear();
        let start = (HEADER_LEN + rows.fixed) as u32;
        self.spans.extend(rows.at.iter().map(|at| Span { at: at + start, len: 0 }));
        for word in &rows.layout.lengths {
            for (span, at) in self.spans.iter_mut().zip(&rows.at) {
                let at = *at as usize + HEADER_LEN + usize::from(*word);
                *span = Span { at: span.at + span.len, len: variable_len(raw, at) as u32 };
            }
            self.encode_spans(raw, true, &mut memory, column, out);
            column += 1;
        }
        let has_rest = !rows.lens.is_empty();
        if has_rest {
            for ((span, at), len) in self.spans.iter_mut().zip(&rows.at).zip(&rows.lens) {
                let begin = span.at + span.len;
                *span = Span { at: begin, len: (at + len).saturating_sub(begin) };
            }
            self.values.clear();
            self.values.extend(self.spans.iter().map(|s| u64::from(s.len)));
            Choice::of(&self.values, 4).encode(&self.values, out);
            self.encode_spans(raw, true, &mut memory, column, out);
        }
        let keep = if is_loss { &mut none } else { self.memory.get_mut(event).unwrap_or(&mut none) };
        *keep = memory;
    }

    #[expect(clippy::too_many_arguments, reason = "one column of one shape")]
    fn encode_piece(
        &mut self,
        raw: &[u8],
        rows: &Rows,
        offset: usize,
        width: usize,
        memory: &mut Memory,
        column: usize,
        out: &mut Vec<u8>,
    ) {
        if matches!(width, 1 | 2 | 4 | 8) {
            self.values.clear();
            let cut = 64 - 8 * width as u32;
            // The header before it makes eight bytes that end with the value.
            self.values.extend(rows.at.iter().map(|at| load(raw, *at as usize + offset + width - 8) >> cut));
            let choice = Choice::of(&self.values, width);
            if choice.width >= 4 && memory.wants(column) {
                let found = self.dictionary.fill_fixed(raw, &rows.at, offset, width, None);
                if found && self.dictionary.cost(false) + 16 <= rows.at.len() * choice.width {
                    out.push(1);
                    return self.dictionary.encode(raw, false, out);
                }
                memory.failed(column, rows.at.len());
            }
            out.push(0);
            return choice.encode(&self.values, out);
        }
        if memory.wants(column) {
            let found = self.dictionary.fill_fixed(raw, &rows.at, offset, width, None);
            if found && self.dictionary.cost(false) < rows.at.len() * width {
                return self.dictionary.encode(raw, false, out);
            }
            memory.failed(column, rows.at.len());
        }
        let spans = rows.at.iter().map(|at| Span { at: at + offset as u32, len: width as u32 });
        encode_plain(raw, spans, out);
    }

    /// The values of `self.spans`.
    fn encode_spans(
        &mut self,
        raw: &[u8],
        with_lengths: bool,
        memory: &mut Memory,
        column: usize,
        out: &mut Vec<u8>,
    ) {
        let total: usize = self.spans.iter().map(|s| s.len as usize).sum();
        if total != 0 && self.spans.len() > 1 && memory.wants(column) {
            let found = self.dictionary.fill_spans(raw, self.spans.iter().copied(), self.spans.len());
            if found && self.dictionary.cost(with_lengths) < total {
                return self.dictionary.encode(raw, with_lengths, out);
            }
            memory.failed(column, self.spans.len());
        }
        encode_plain(raw, self.spans.iter().copied(), out);
    }
}

impl Rows {
    /// Adds `run` records that are all `len` bytes long; false if their lengths do not fit them.
    fn push_run(&mut self, raw: &[u8], at: usize, len: usize, run: usize) -> bool {
        let size = len.next_multiple_of(8);
        if self.layout.lengths.is_empty() && len == HEADER_LEN + self.fixed && self.lens.is_empty() {
            self.at.extend((0..run).map(|i| (at + i * size) as u32));
            return true;
        }
        (0..run).all(|i| self.push(raw, at + i * size, len))
    }

    /// Adds a record; false if its lengths do not fit it.
    #[inline]
    fn push(&mut self, raw: &[u8], at: usize, len: usize) -> bool {
        let expected = if self.layout.lengths.is_empty() {
            HEADER_LEN + self.fixed
        } else {
            let record = raw.get(at..at + len).unwrap_or_default();
            match self.layout.record_len(record, self.fixed) {
                Some(expected) => expected,
                None => return false,
            }
        };
        if expected != len || !self.lens.is_empty() {
            return self.push_longer(raw, at, len, expected);
        }
        self.at.push(at as u32);
        true
    }

    /// A record with bytes after its values (a trailer of reductions, or of a later version of the schema).
    #[cold]
    fn push_longer(&mut self, raw: &[u8], at: usize, len: usize, expected: usize) -> bool {
        if len < expected {
            return false;
        }
        if self.lens.is_empty() {
            // The records before had nothing there: their length is what their values need.
            for at in &self.at {
                let record = raw.get(*at as usize..).unwrap_or_default();
                let len = self.layout.record_len(record, self.fixed).unwrap_or(HEADER_LEN + self.fixed);
                self.lens.push(len as u32);
            }
        }
        self.at.push(at as u32);
        self.lens.push(len as u32);
        true
    }

    fn describe(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shape.key.to_le_bytes());
        out.extend_from_slice(&(self.at.len() as u32).to_le_bytes());
        out.push(u8::from(!self.lens.is_empty()));
        for list in [&self.layout.pieces, &self.layout.lengths] {
            out.extend_from_slice(&(list.len() as u16).to_le_bytes());
            for n in list {
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
    }
}
