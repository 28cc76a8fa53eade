//! FORMAT.md section 7: its hex is what the encoders write today, and what the decoders read.
//!
//! After a change that is meant: `TRACEWELL_WRITE_SAMPLES=1 cargo test -p tracewell-schema --test core format_samples`
//! writes the section anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tracewell_schema::format::block::{
    BlockHeader, BlockKind, Codec, FLAG_HASTY, HEADER_LEN, compress_block, compress_columns, decompress_block,
};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::control::{ControlPage, NamedReduction, name_hash};
use tracewell_schema::format::process::{
    ClockKind, ProcessFile, ProcessIdentity, SchemaItems, encode_schema_item, encode_schema_payload_item,
};
use tracewell_schema::format::record::{
    FLAG_REDUCED, KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts, RecordHeader, Records,
};
use tracewell_schema::format::ring::{RingCounters, RingHeader, RingInfo};
use tracewell_schema::format::segment::SegmentHeader;
use tracewell_schema::format::{crc, hex};
use tracewell_schema::{Event, FieldEnum, Plan, Reduction, Schema};

const DOCUMENT: &str = include_str!("../../FORMAT.md");
const HEADING: &str = "\n## 7. Sample bytes\n";
const INTRO: &str = "
Made by schema/tests/core/format_samples.rs, which also checks them. Right of the bar is what the bytes on the left are;
`00 x n` stands for n zeros. The segment header and the blocks, in their order here, are one sealed segment, whose four
data blocks hold the same records at different ticks; the files of the ring folder belong to the same process, and its
ring is empty.
";
const KEY: [u8; 32] = [0x4b; 32];

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
#[repr(u32)]
enum State {
    Idle = 0,
    Busy = 7,
}

/// A sample.
#[derive(Event, Clone, Copy)]
#[event(
    crate = "tracewell_schema",
    name = "custom.sample",
    category = "custom",
    level = "info",
    text = "{number}: {host}"
)]
struct Sample<'a> {
    /// Counts.
    #[field(public)]
    number: u32,
    #[field(public, unit = "bytes")]
    size: u64,
    #[field(public)]
    state: Option<State>,
    #[field(personal)]
    host: &'a str,
    #[field(personal)]
    path: &'a str,
    #[field(secret)]
    token: &'a str,
}

/// Bytes that are taken apart, with a note on each part.
struct Rows {
    bytes: Vec<u8>,
    at: usize,
    rows: Vec<(usize, String)>,
}

impl Rows {
    fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), at: 0, rows: Vec::new() }
    }

    fn take(&mut self, n: usize, note: impl Into<String>) -> &[u8] {
        self.at += n;
        if n != 0 {
            self.rows.push((n, note.into()));
        }
        &self.bytes[self.at - n..self.at]
    }

    /// A little-endian number of `n` bytes.
    fn number(&mut self, n: usize, note: &str) -> usize {
        let mut word = [0; 8];
        word[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        let value = u64::from_le_bytes(word);
        self.take(n, format!("u{} {note}: {value}", 8 * n));
        value as usize
    }

    fn numbers(&mut self, parts: &[(usize, &str)]) {
        for (n, note) in parts {
            self.number(*n, note);
        }
    }

    fn takes(&mut self, parts: &[(usize, &str)]) {
        for (n, note) in parts {
            self.take(*n, *note);
        }
    }

    fn text(&mut self, n: usize, note: &str) {
        let text = String::from_utf8(self.bytes[self.at..self.at + n].to_vec()).unwrap();
        self.take(n, format!("{note} {:?}", text.trim_end_matches('\0')));
    }

    fn rest(&mut self, note: &str) {
        self.take(self.bytes.len() - self.at, note);
    }

    fn render(&self, out: &mut String) {
        assert_eq!(self.at, self.bytes.len(), "something is left without a note");
        let mut at = 0;
        for (n, note) in &self.rows {
            let bytes = &self.bytes[at..at + n];
            at += n;
            let mut note = note.as_str();
            let mut line = |left: &str, note: &mut &str| {
                let line = format!("{left:<47} | {}", std::mem::take(note));
                assert!(line.len() <= 120, "{line}");
                let _ = writeln!(out, "{}", line.trim_end_matches([' ', '|']));
            };
            if *n > 16 && bytes.iter().all(|b| *b == 0) {
                line(&format!("00 x {n}"), &mut note);
                continue;
            }
            for part in bytes.chunks(16) {
                let left: Vec<String> = part.iter().map(|b| format!("{b:02X}")).collect();
                line(&left.join(" "), &mut note);
            }
        }
    }
}

/// The bytes of hex lines.
fn parse_hex(lines: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.lines() {
        let left = line.split('|').next().unwrap_or_default().trim();
        match left.strip_prefix("00 x ") {
            Some(n) => out.resize(out.len() + n.parse::<usize>().unwrap(), 0),
            None => out.extend(left.split_whitespace().map(|h| u8::from_str_radix(h, 16).unwrap())),
        }
    }
    out
}

/// The hex blocks of the document, by name.
fn blocks_of(document: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in document.split("```hex ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap();
        let lines = rest.split("```").next().unwrap();
        assert!(found.insert(name.to_owned(), parse_hex(lines)).is_none(), "{name} is there twice");
    }
    found
}

fn identity() -> ProcessIdentity {
    ProcessIdentity {
        process_uuid: *b"process uuid 16b",
        boot_id: *b"the boot id, 16b",
        session_id: *b"session id (16b)",
        pid: 4321,
        uid: 1000,
        start_ticks: 98_765,
        clock: ClockKind::Coarse,
        resolution: 4_000_000,
        component: "scanner".into(),
        version: "1.2.3".into(),
        attached: 1_700_000_000_000_000_000,
        parent_uuid: [0; 16],
    }
}

fn points() -> Vec<ClockPoint> {
    [1_000_000, 9_000_000]
        .map(|ticks| ClockPoint {
            ticks,
            time: 1_700_000_000_000_000_000 + ticks as i64,
            boottime: 50_000_000_000 + ticks,
            error: 250,
            epoch: 1,
        })
        .to_vec()
}

fn info() -> RingInfo {
    RingInfo {
        ring: 1,
        tid: 4322,
        start: 0,
        started: 1_700_000_000_000_500_000,
        capacity: 65_536,
        thread_name: "worker".into(),
    }
}

fn payload(event: &Sample<'_>, reduction: &dyn Fn(&str) -> Option<Reduction>) -> (Vec<u8>, bool) {
    let plan = Plan::new(Sample::SCHEMA, KEY, &|_| true, reduction);
    let mut out = vec![0; event.reduced_len_bound()];
    let len = event.encode_reduced(&plan, &mut out);
    out.truncate(len);
    (out, plan.changed)
}

fn put(out: &mut Vec<u8>, kind: u8, flags: u8, ticks: u64, payload: &[u8]) {
    let header = RecordHeader { len: 16 + payload.len() as u32, event: 0, kind, flags, ticks };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Seven events, of which one is reduced, a loss, and a pad.
fn records(ticks: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut event = Sample {
        number: 70_000,
        size: 4096,
        state: Some(State::Busy),
        host: "example.com",
        path: "/srv/data/first.bin",
        token: "correct horse",
    };
    let steps = [0, 30, 60, 90, 70_000, 70_030, 70_060];
    for (i, step) in steps.into_iter().enumerate() {
        event.number -= 1;
        event.size = 4096 + 50 * i as u64;
        event.host = ["example.com", "example.net"][i % 2];
        event.path = ["/srv/data/first.bin", "/srv/data/second.bin"][usize::from(i > 3)];
        event.state = (i != 2).then_some(if i == 5 { State::Idle } else { State::Busy });
        let keyed = |name: &str| (i == 4 && name == "custom.sample.host").then_some(Reduction::Keyed);
        let (bytes, changed) = payload(&event, &keyed);
        if i == 4 {
            put(&mut out, KIND_LOSS, 0, ticks + step - 1, &LossCounts([3, 0, 0, 0, 0, 0, 0, 1]).encode());
        }
        put(&mut out, KIND_EVENT, if changed { FLAG_REDUCED } else { 0 }, ticks + step, &bytes);
    }
    out.extend_from_slice(&[8, 0, 0, 0, 0, 0, KIND_PAD, 0]);
    out
}

fn note_record(rows: &mut Rows, fixed: bool) {
    let len = rows.number(4, "length");
    let index = rows.at;
    let kind = rows.bytes[index + 2];
    let reduced = rows.bytes[index + 3] == FLAG_REDUCED;
    let kind_name = ["", "event", "loss", "pad"][usize::from(kind)];
    rows.takes(&[(2, "u16 event index"), (1, &format!("kind: {kind_name}"))]);
    rows.take(1, if reduced { "flags: REDUCED" } else { "flags" });
    if len == 8 {
        return;
    }
    rows.number(8, "ticks");
    match kind {
        KIND_EVENT => {
            let begin = rows.at;
            if fixed {
                rows.numbers(&[(4, "number"), (8, "size"), (1, "state: present"), (4, "state")]);
            } else {
                rows.take(17, "number, size, state");
            }
            let (host, path) = (rows.number(2, "host: length word"), rows.number(2, "path: length word"));
            rows.takes(&[(1, "token: length class"), (16, "token: keyed hash")]);
            rows.text(host, "host");
            rows.text(path, "path");
            if reduced {
                rows.takes(&[(2, "trailer: field 3 (host), 3 keyed"), (1, "trailer: one pair")]);
            }
            assert_eq!(rows.at - begin, len - 16);
        }
        KIND_LOSS => {
            rows.take(64, "8 x u64 lost by reason: 3 full, 1 other");
        }
        _ => {
            rows.take(len - 16, "zeros");
        }
    }
    rows.take(len.next_multiple_of(8) - len, "padding");
}

/// A block, annotated up to its payload.
fn block(mut header: BlockHeader, raw_len: usize, stored: &[u8]) -> Rows {
    header.file_tag = *b"the file";
    header.raw_len = raw_len as u32;
    header.stored_len = stored.len() as u32;
    header.payload_crc = crc(stored);
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(stored);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let mut rows = Rows::new(bytes);
    rows.text(4, "magic");
    rows.take(1, format!("kind: {:?}", header.kind).to_lowercase());
    rows.take(1, format!("codec {}", header.codec as u8));
    rows.take(2, if header.flags & FLAG_HASTY == 0 { "flags" } else { "flags: HASTY" });
    rows.numbers(&[(4, "stored length"), (4, "decoded length"), (4, "ring id"), (4, "event records")]);
    if header.kind == BlockKind::Data {
        rows.numbers(&[
            (8, "from"),
            (8, "to"),
            (8, "sequence"),
            (8, "first ticks"),
            (8, "last ticks"),
            (8, "lost"),
        ]);
    } else if header.kind == BlockKind::End {
        rows.take(16, "from, to");
        rows.number(8, "sequence");
        rows.take(24, "first ticks, last ticks, lost");
    } else {
        rows.take(48, "from, to, sequence, first ticks, last ticks, lost");
    }
    rows.takes(&[(8, "first bytes of the file id"), (4, "reserved"), (4, "crc of the stored payload")]);
    rows.takes(&[(4, "reserved"), (4, "crc of the header")]);
    rows
}

/// Bytes of the columns' integers.
fn note_integers(rows: &mut Rows, count: usize, width: usize, what: &str) -> Vec<u64> {
    let form = rows.number(1, &format!("{what}: integers, form"));
    let mut width_now = width;
    let mut base = 0;
    if form == 1 {
        return vec![rows.number(8, &format!("{what}: constant")) as u64; count];
    }
    if form != 0 {
        width_now = rows.number(1, &format!("{what}: bytes of an integer"));
        base = rows.number(8, &format!("{what}: base")) as u64;
    }
    let kind = ["values", "", "offsets from base", "zigzag differences"][form];
    let bytes = rows.take(count * width_now, format!("{what}: {kind}")).to_vec();
    let mut before = base;
    let numbers = bytes.chunks(width_now).map(|chunk| {
        let n = chunk.iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        match form {
            0 => n,
            2 => base.wrapping_add(n),
            _ => {
                before = before.wrapping_add(n >> 1 ^ (n & 1).wrapping_neg());
                before
            }
        }
    });
    numbers.collect()
}

/// The values of a byte column.
fn note_bytes(rows: &mut Rows, lengths: &[usize], width: Option<usize>, what: &str) -> Vec<Vec<u8>> {
    if rows.number(1, &format!("{what}: bytes, form")) == 0 {
        return lengths
            .iter()
            .enumerate()
            .map(|(i, n)| rows.take(*n, format!("{what}: row {i}")).to_vec())
            .collect();
    }
    let d = rows.number(2, &format!("{what}: distinct values"));
    let sizes: Vec<usize> = match width {
        Some(width) => vec![width; d],
        None => (0..d).map(|i| rows.number(2, &format!("{what}: length of value {i}"))).collect(),
    };
    let values: Vec<Vec<u8>> =
        sizes.iter().enumerate().map(|(i, n)| rows.take(*n, format!("{what}: value {i}")).to_vec()).collect();
    if d == 1 {
        return vec![values[0].clone(); lengths.len()];
    }
    let ids = rows.take(lengths.len(), format!("{what}: number of each row's value")).to_vec();
    ids.iter().map(|id| values[usize::from(*id)].clone()).collect()
}

/// Walks through columns, as FORMAT.md has them.
fn note_columns(rows: &mut Rows) {
    let n = rows.number(4, "number of records");
    rows.number(4, "pad");
    let shapes = rows.number(1, "number of shapes");
    let mut described = Vec::new();
    for shape in 0..shapes {
        let what = |part: &str| format!("shape {shape}: {part}");
        rows.number(2, &what("event index"));
        let kind = rows.number(1, &what("kind"));
        rows.number(1, &what("flags"));
        let count = rows.number(4, &what("rows"));
        let rest = rows.number(1, &what("rest"));
        let mut list = |name: &str| -> Vec<usize> {
            let n = rows.number(2, &what(&format!("number of {name}s")));
            let bytes = rows.take(2 * n, what(&format!("{name}s"))).to_vec();
            bytes.chunks(2).map(|b| usize::from(b[0]) | usize::from(b[1]) << 8).collect()
        };
        let (widths, offsets) = (list("width"), list("offset"));
        described.push((kind, count, rest, widths, offsets));
    }
    if shapes > 1 {
        rows.take(n, "order: shape of each record");
    }
    assert!(n <= 256, "one group");
    let width = rows.number(1, "ticks: bytes of a difference");
    let exceptions = rows.number(1, "ticks: exceptions");
    rows.take(n * width, "ticks: differences");
    for _ in 0..exceptions {
        rows.numbers(&[(1, "ticks: place of an exception"), (8, "ticks: its difference")]);
    }
    for (shape, (kind, count, rest, widths, offsets)) in described.into_iter().enumerate() {
        let fixed: usize = widths.iter().sum();
        let what = |part: &str| format!("shape {shape}: {part}");
        let parts = if rows.number(1, &what("fixed parts, 1 whole, 0 by value")) == 1 {
            note_bytes(rows, &vec![fixed; count], Some(fixed), &what("fixed parts"))
        } else {
            let mut parts = vec![Vec::new(); count];
            let names: &[&str] = match kind as u8 {
                KIND_LOSS => {
                    &["full", "too_big", "nested", "signal", "no_ring", "forked", "disabled_race", "other"]
                }
                _ => &["number", "size", "state: present", "state", "host: length", "path: length", "token"],
            };
            for (width, name) in widths.into_iter().zip(names) {
                let is_number = matches!(width, 1 | 2 | 4 | 8);
                let name = what(name);
                if is_number && rows.number(1, &format!("{name}: 0 integers, 1 bytes")) == 0 {
                    for (part, n) in parts.iter_mut().zip(note_integers(rows, count, width, &name)) {
                        part.extend_from_slice(&n.to_le_bytes()[..width]);
                    }
                } else {
                    let values = note_bytes(rows, &vec![width; count], Some(width), &name);
                    parts.iter_mut().zip(values).for_each(|(part, value)| part.extend(value));
                }
            }
            parts
        };
        for (offset, name) in offsets.into_iter().zip(["host", "path"]) {
            let lengths: Vec<usize> = parts
                .iter()
                .map(|p| usize::from(p[offset]) | usize::from(p[offset + 1] & 0x7f) << 8)
                .collect();
            note_bytes(rows, &lengths, None, &what(name));
        }
        if rest == 1 {
            let lengths = note_integers(rows, count, 4, &what("length of the rest"));
            let lengths: Vec<usize> = lengths.into_iter().map(|n| n as usize).collect();
            note_bytes(rows, &lengths, None, &what("rest"));
        }
    }
}

fn data_block(codec: Codec, from: u64) -> Rows {
    let ticks = 2_000_000 + from * 1000;
    let raw = records(ticks);
    let mut columns = Vec::new();
    let mut encoder = Encoder::default();
    let walk = encoder.walk(&raw, raw.len(), &mut |_| Some(Layout::of(Sample::SCHEMA)));
    assert!(walk.is_regular && walk.len == raw.len());
    encoder.encode(&raw, &mut columns, &mut || {});
    let mut stored = Vec::new();
    match codec {
        Codec::Raw => stored.clone_from(&raw),
        Codec::Lz4 => assert_eq!(compress_block(&raw, &mut stored), codec),
        Codec::Columns => stored = columns,
        Codec::ColumnsLz4 => assert_eq!(compress_columns(&columns, &mut stored), codec),
    }
    let number = from / raw.len() as u64;
    let header = BlockHeader {
        codec,
        flags: if matches!(codec, Codec::Raw | Codec::Columns) { FLAG_HASTY } else { 0 },
        ring: 1,
        events: walk.events,
        from,
        to: from + raw.len() as u64,
        sequence: number * u64::from(walk.events),
        first_ticks: walk.first_ticks,
        last_ticks: walk.last_ticks,
        lost: (number + 1) * walk.lost,
        ..BlockHeader::meta(BlockKind::Data)
    };
    let mut rows = block(header, raw.len(), &stored);
    let end = rows.at + stored.len();
    match codec {
        Codec::Raw => {
            note_record(&mut rows, true);
            while rows.at < end {
                note_record(&mut rows, false);
            }
        }
        Codec::Lz4 => {
            rows.take(stored.len(), "one LZ4 block");
        }
        Codec::Columns => note_columns(&mut rows),
        Codec::ColumnsLz4 => {
            rows.number(4, "length of the columns");
            rows.take(stored.len() - 4, "one LZ4 block");
        }
    }
    assert_eq!(rows.at, end);
    rows.rest("padding");
    rows
}

fn note_identity(rows: &mut Rows) {
    rows.takes(&[(16, "process uuid"), (16, "boot id"), (16, "session id")]);
    rows.numbers(&[(4, "pid"), (4, "uid"), (8, "start time of the process")]);
    rows.takes(&[(1, "clock: 3 coarse"), (3, "reserved")]);
    rows.number(4, "resolution ns");
    rows.text(32, "component");
    rows.text(32, "version");
    rows.number(8, "time attached");
    rows.take(16, "parent's process uuid: none");
}

fn note_blob(rows: &mut Rows) {
    let text = |rows: &mut Rows, width: usize, what: &str| {
        let n = rows.number(width, &format!("length of the {what}"));
        rows.text(n, what);
    };
    rows.number(2, "blob version");
    text(rows, 1, "name");
    rows.takes(&[(1, "category: 13 custom"), (1, "level: 3 info"), (1, "flags")]);
    text(rows, 2, "doc");
    text(rows, 2, "text");
    for _ in 0..rows.number(1, "number of fields") {
        text(rows, 1, "field");
        let mut code = rows.number(1, "type");
        if code == 20 {
            code = rows.number(1, "type in the optional");
        }
        if code == 18 {
            for _ in 0..rows.number(2, "number of values of the enum") {
                rows.number(4, "value");
                text(rows, 1, "name of the value");
            }
        }
        rows.number(1, "privacy class");
        rows.take(1, "flags");
        rows.number(1, "reduction");
        rows.take(4, "u16 n, u16 m");
        text(rows, 1, "unit");
        text(rows, 2, "doc");
    }
}

fn note_info(rows: &mut Rows) {
    rows.numbers(&[(4, "ring id"), (4, "tid"), (8, "start position"), (8, "start time"), (8, "capacity")]);
    rows.text(32, "thread name");
}

fn note_points(rows: &mut Rows, crcs: bool) {
    for _ in points() {
        rows.numbers(&[(8, "ticks"), (8, "time"), (8, "boottime ns"), (4, "error bound ns"), (4, "epoch")]);
        rows.take(8, "reserved");
        if crcs {
            rows.takes(&[(4, "crc of the clock item"), (4, "zero")]);
        }
    }
}

fn note_lost(rows: &mut Rows) {
    for reason in tracewell_schema::format::record::LossReason::ALL {
        rows.number(8, &format!("lost: {}", reason.name()));
    }
}

/// Name, heading and bytes of each sample.
fn samples() -> Vec<(&'static str, &'static str, Rows)> {
    let mut all = Vec::new();
    let blob = Sample::SCHEMA.to_blob();

    let mut rows = Rows::new(blob.clone());
    note_blob(&mut rows);
    all.push(("schema_blob", "Schema blob (section 2)", rows));

    let raw = records(2_000_000);
    let first = Records::new(&raw).nth(1).unwrap().unwrap().offset;
    let mut rows = Rows::new(&raw[..first]);
    note_record(&mut rows, true);
    all.push(("record_event", "Record: an event (section 3)", rows));
    let header = SegmentHeader {
        file_id: *b"the file id, 16b",
        identity: identity(),
        sequence: 1,
        created: 1_700_000_000_000_400_000,
    };

    let mut rows = Rows::new(header.encode());
    rows.take(8, "magic");
    rows.numbers(&[(2, "major"), (2, "minor"), (4, "header length")]);
    rows.take(16, "file id");
    note_identity(&mut rows);
    rows.number(4, "sequence of the segment");
    rows.take(4, "reserved");
    rows.number(8, "time created");
    rows.takes(&[(44, "reserved"), (4, "crc of the header")]);
    all.push(("segment_header", "Segment header (section 4)", rows));

    let payload: Vec<u8> = points().iter().flat_map(ClockPoint::encode).collect();
    let mut rows = block(BlockHeader::meta(BlockKind::Clocks), payload.len(), &payload);
    note_points(&mut rows, false);
    all.push(("block_clocks", "Clocks block", rows));

    let payload = encode_schema_payload_item(0, &blob);
    let mut rows = block(BlockHeader::meta(BlockKind::Schemas), payload.len(), &payload);
    rows.numbers(&[(2, "event index"), (4, "length")]);
    rows.take(blob.len(), "the schema blob above");
    rows.rest("padding");
    all.push(("block_schemas", "Schemas block", rows));

    let payload = info().encode();
    let mut rows = block(BlockHeader::meta(BlockKind::Ring), payload.len(), &payload);
    note_info(&mut rows);
    all.push(("block_ring", "Ring block", rows));

    let len = raw.len() as u64;
    all.push(("block_data_0", "Data block, codec 0 raw", data_block(Codec::Raw, 0)));
    all.push(("block_data_1", "Data block, codec 1 LZ4", data_block(Codec::Lz4, len)));
    all.push(("block_data_2", "Data block, codec 2 columns", data_block(Codec::Columns, 2 * len)));
    all.push((
        "block_data_3",
        "Data block, codec 3 columns, then LZ4",
        data_block(Codec::ColumnsLz4, 3 * len),
    ));

    let lost = [12, 0, 1, 0, 0, 0, 0, 4];
    let counters =
        RingCounters { ring: 1, is_final: true, position: 4 * len, attempted: 45, delivered: 28, lost };
    let payload = counters.encode();
    let mut rows = block(BlockHeader::meta(BlockKind::Counters), payload.len(), &payload);
    rows.numbers(&[
        (4, "ring id"),
        (4, "flags, 1 final"),
        (8, "position"),
        (8, "attempted"),
        (8, "delivered"),
    ]);
    rows.take(8, "reserved");
    note_lost(&mut rows);
    all.push(("block_counters", "Counters block", rows));

    let end = BlockHeader { flags: FLAG_HASTY, sequence: 8, ..BlockHeader::meta(BlockKind::End) };
    all.push(("block_end", "End block", block(end, 0, &[])));

    let file = ProcessFile { identity: identity(), points: points() };
    let mut rows = Rows::new(file.encode());
    rows.take(8, "magic");
    rows.numbers(&[(2, "major"), (2, "minor"), (4, "page size")]);
    note_identity(&mut rows);
    rows.takes(&[(4, "crc"), (76, "zero")]);
    note_points(&mut rows, true);
    rows.rest("62 free slots, and what is left of the page");
    all.push(("process_file", "Process file (section 5)", rows));

    let mut rows = Rows::new(encode_schema_item(0, &blob));
    rows.numbers(&[(2, "event index"), (4, "length")]);
    rows.take(4, "crc of the blob");
    rows.rest("the schema blob above");
    all.push(("schemas_item", "Item of the schemas file", rows));

    let header = RingHeader {
        capacity: 65_536,
        process_uuid: identity().process_uuid,
        state: 1,
        info: info(),
        start_sequence: 0,
        head: 4 * len,
        attempted: 44,
        lost,
        tail: 4 * len,
        sequence_at_tail: 28,
    };
    let mut rows = Rows::new(header.encode());
    rows.take(8, "magic");
    rows.numbers(&[(2, "major"), (2, "minor"), (4, "page size"), (8, "capacity")]);
    rows.take(16, "process uuid");
    rows.number(4, "state, 1 active");
    rows.take(4, "reserved");
    note_info(&mut rows);
    rows.number(8, "sequence at start position");
    rows.takes(&[(4, "crc of bytes 0..40 and 48..120"), (68, "zero")]);
    rows.numbers(&[(8, "head"), (8, "attempted, without nested and signal")]);
    rows.takes(&[(8, "reserved"), (40, "zero")]);
    note_lost(&mut rows);
    rows.numbers(&[(8, "tail"), (8, "sequence at tail")]);
    rows.rest("the rest of the page");
    all.push(("ring_header", "Ring header", rows));

    let mut levels = [0; 32];
    levels[1] = 3;
    levels[13] = 5;
    let page = ControlPage {
        generation: 6,
        levels,
        boot_id: identity().boot_id,
        session_id: identity().session_id,
        enabled_at: 1_700_000_000_000_000_000,
        expires_boottime: 3_650_000_000_000,
        expires_at: 1_700_003_600_000_000_000,
        key: KEY,
        max_total: 1 << 30,
        segment_bytes: 64 << 20,
        segment_age: 3600,
        max_age: 86_400,
        opt_ins: vec![name_hash("web.login")],
        reductions: vec![NamedReduction {
            name: name_hash("custom.sample.host"),
            reduction: Reduction::Prefix { n: 24, m: 48 },
        }],
    };
    let mut rows = Rows::new(page.encode());
    rows.take(8, "magic");
    rows.numbers(&[(2, "major"), (2, "minor"), (4, "size"), (8, "generation")]);
    rows.take(32, "levels: category 1 detection 3 info, 13 custom 5 trace");
    rows.takes(&[(16, "boot id"), (16, "session id")]);
    rows.numbers(&[(8, "time enabled"), (8, "expiry in boottime ns"), (8, "expiry time")]);
    rows.take(32, "session key");
    rows.numbers(&[(8, "max total bytes"), (8, "segment bytes"), (8, "segment age s"), (8, "max age s")]);
    rows.numbers(&[(2, "number of opt-ins"), (2, "number of reductions")]);
    rows.takes(&[(4, "reserved"), (8, "name hash of \"web.login\""), (63 * 8, "free")]);
    rows.takes(&[(8, "name hash of \"custom.sample.host\""), (1, "code: 1 prefix"), (1, "zero")]);
    rows.numbers(&[(2, "n"), (2, "m")]);
    rows.takes(&[(2, "zero"), (127 * 16, "free"), (4, "crc of bytes 0..16 and 24..2744")]);
    all.push(("control_page", "Control page, its first 2,748 bytes (section 6)", rows));
    all
}

fn section(samples: &[(&str, &str, Rows)]) -> String {
    let mut out = format!("{HEADING}{INTRO}");
    for (name, heading, rows) in samples {
        let _ = write!(out, "\n### {heading}\n\n```hex {name}\n");
        rows.render(&mut out);
        out.push_str("```\n");
    }
    out
}

#[test]
fn the_document_has_what_the_encoders_write() {
    let samples = samples();
    let written = section(&samples);
    let normative = DOCUMENT.split(HEADING).next().unwrap();
    if std::env::var_os("TRACEWELL_WRITE_SAMPLES").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md");
        std::fs::write(path, format!("{}\n{written}", normative.trim_end())).unwrap();
        return;
    }
    let found = blocks_of(DOCUMENT);
    let hint = "the first lines of this test's file say how to write the samples anew";
    assert_eq!(found.len(), samples.len(), "{hint}");
    for (name, _, rows) in &samples {
        let bytes = found.get(*name).unwrap_or_else(|| panic!("{name} is not in FORMAT.md; {hint}"));
        let same = bytes.iter().zip(&rows.bytes).take_while(|(a, b)| a == b).count();
        assert!(*bytes == rows.bytes, "{name} is not what is written today, from byte {same} on; {hint}");
    }
    assert!(DOCUMENT == format!("{normative}{written}"), "notes or order of the samples; {hint}");
}

/// What the document's bytes are to the decoders, without any encoder.
#[test]
fn the_decoders_read_the_document() {
    let found = blocks_of(DOCUMENT);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("{name} is not in FORMAT.md")).as_slice();
    let schema = Schema::parse(get("schema_blob")).unwrap();
    assert_eq!((schema.name.as_str(), schema.fields.len()), ("custom.sample", 6));
    let header = SegmentHeader::decode(get("segment_header")).unwrap();
    assert_eq!(header.identity, identity());
    assert_eq!(ProcessFile::decode(get("process_file")).unwrap().identity, identity());
    let (index, blob) = SchemaItems::of_file(get("schemas_item")).next().unwrap().unwrap();
    assert_eq!((index, blob), (0, get("schema_blob")));
    let ring = RingHeader::decode(get("ring_header")).unwrap();
    assert_eq!((ring.delivered(), ring.info), (28, info()));
    let page = ControlPage::decode(get("control_page")).unwrap();
    assert_eq!((page.levels[13], page.reductions.len()), (5, 1));

    let mut last: Option<Vec<u8>> = None;
    for codec in 0..4_u64 {
        let bytes = get(&format!("block_data_{codec}"));
        let header = BlockHeader::decode(bytes).unwrap();
        assert_eq!(u64::from(header.codec as u8), codec);
        let mut out = Vec::new();
        decompress_block(&header, &bytes[HEADER_LEN..], &mut out).unwrap();
        // The same records but for their ticks.
        let mut same = Vec::new();
        let mut events = 0;
        for record in Records::new(&out).map(Result::unwrap) {
            events += u32::from(record.header.kind == KIND_EVENT);
            same.extend_from_slice(&[record.header.kind, record.header.flags]);
            same.extend_from_slice(record.payload);
        }
        assert_eq!((events, header.events), (7, 7));
        if let Some(last) = last.replace(same.clone()) {
            assert!(last == same, "codec {codec}: {}", hex(&same));
        }
    }
}
