//! Makes segments and ring folders without an engine.

use std::fs;
use std::path::{Path, PathBuf};

use tracewell_reader::{Filter, Item, ReadError, Summary, Trace};
use tracewell_schema::format::block::{BlockHeader, BlockKind, HEADER_LEN, compress_block};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::crc;
use tracewell_schema::format::process::{
    ClockKind, ProcessFile, ProcessIdentity, encode_schema_payload_item,
};
use tracewell_schema::format::process::{PROCESS_FILE, SCHEMAS_FILE, encode_schema_item, folder_name};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts, RecordHeader};
use tracewell_schema::format::ring::{PAGE, RingCounters, RingHeader, RingInfo};
use tracewell_schema::format::segment::{SegmentHeader, file_name};
use tracewell_schema::{Category, FieldRef, Level, Privacy, Reduction, SchemaRef, TypeRef};

/// UTC of tick 0: 2026-11-23T17:44:36Z. A tick is a nanosecond.
pub(crate) const START: i64 = 1_795_455_876_000_000_000;

const fn field(name: &'static str, ty: TypeRef) -> FieldRef {
    let (class, reduction, unit, doc) = (Privacy::Public, Reduction::None, "", "");
    FieldRef { name, ty, class, opt_in: false, reduction, unit, doc, max: 1000 }
}

/// The one event type of these traces, at index 3.
pub(crate) const STEP: SchemaRef = SchemaRef {
    name: "test.step",
    category: Category::Custom,
    level: Level::Info,
    opt_in: false,
    doc: "",
    text: "step {number}",
    fields: &[field("number", TypeRef::U64), field("path", TypeRef::Str)],
};

/// This machine's boot id: rings of another one are unverified.
fn this_boot() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let digits = text.trim_end().replace('-', "");
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

pub(crate) fn identity(component: &str, pid: u32) -> ProcessIdentity {
    ProcessIdentity {
        process_uuid: [pid as u8; 16],
        boot_id: this_boot(),
        session_id: [2; 16],
        pid,
        clock: ClockKind::Monotonic,
        resolution: 0,
        component: component.into(),
        version: "1".into(),
        attached: START,
        ..ProcessIdentity::default()
    }
}

pub(crate) fn record(kind: u8, event: u16, ticks: u64, payload: &[u8]) -> Vec<u8> {
    let len = (16 + payload.len()) as u32;
    let mut out = RecordHeader { len, event, kind, flags: 0, ticks }.encode().to_vec();
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0xee);
    out
}

/// A step: its number is its content too.
pub(crate) fn step(number: u64, ticks: u64) -> Vec<u8> {
    text_step(number, ticks, b"/tmp/x")
}

pub(crate) fn text_step(number: u64, ticks: u64, text: &[u8]) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.extend_from_slice(&(text.len() as u16).to_le_bytes());
    payload.extend_from_slice(text);
    record(KIND_EVENT, 3, ticks, &payload)
}

pub(crate) fn steps(numbers: std::ops::Range<u64>, tick: u64) -> Vec<u8> {
    numbers.flat_map(|n| step(n, n * tick)).collect()
}

pub(crate) fn loss(ticks: u64, full: u64) -> Vec<u8> {
    record(KIND_LOSS, 0, ticks, &LossCounts([full, 0, 0, 0, 0, 0, 0, 0]).encode())
}

pub(crate) fn pad(len: u32) -> Vec<u8> {
    let mut out = RecordHeader { len, event: 0, kind: KIND_PAD, flags: 0, ticks: 0 }.encode()[..8].to_vec();
    out.resize(len as usize, 0);
    out
}

pub(crate) fn points() -> Vec<ClockPoint> {
    [0, 1_000_000_000]
        .map(|ticks| ClockPoint {
            ticks: ticks + 1,
            time: START + ticks as i64 + 1,
            boottime: ticks,
            error: 50,
            epoch: 0,
        })
        .to_vec()
}

pub(crate) fn info(ring: u32) -> RingInfo {
    RingInfo {
        ring,
        tid: 100 + ring,
        started: START,
        capacity: 1 << 16,
        thread_name: "main".into(),
        start: 0,
    }
}

/// A segment in the making.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Vec<u8>,
    /// Where each block begins.
    pub(crate) blocks: Vec<usize>,
}

impl Segment {
    /// With schemas, clocks and the infos of rings 1 and 2.
    pub(crate) fn new(component: &str, pid: u32, sequence: u32) -> Self {
        let mut file_id = [9; 16];
        file_id[0] = pid as u8;
        file_id[1] = sequence as u8;
        let header = SegmentHeader { file_id, identity: identity(component, pid), sequence, created: START };
        let mut segment = Self { bytes: header.encode().to_vec(), header, blocks: Vec::new() };
        segment.meta(BlockKind::Schemas, &encode_schema_payload_item(3, &STEP.to_blob()));
        segment.meta(BlockKind::Clocks, &points().iter().flat_map(ClockPoint::encode).collect::<Vec<_>>());
        segment.meta(BlockKind::Ring, &[info(1).encode(), info(2).encode()].concat());
        segment
    }

    pub(crate) fn block(&mut self, mut header: BlockHeader, raw: &[u8]) -> &mut Self {
        let mut stored = Vec::new();
        header.codec = compress_block(raw, &mut stored);
        let stored = if stored.is_empty() { raw } else { &stored };
        header.raw_len = raw.len() as u32;
        header.stored_len = stored.len() as u32;
        header.payload_crc = crc(stored);
        header.file_tag.copy_from_slice(&self.header.file_id[..8]);
        self.blocks.push(self.bytes.len());
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(stored);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self
    }

    pub(crate) fn meta(&mut self, kind: BlockKind, payload: &[u8]) -> &mut Self {
        self.block(BlockHeader::meta(kind), payload)
    }

    /// A data block: `sequence` events of its ring, and `from` bytes, were before it.
    pub(crate) fn data(&mut self, ring: u32, from: u64, sequence: u64, records: &[u8]) -> &mut Self {
        let parsed: Vec<_> = tracewell_schema::format::record::Records::new(records)
            .map_while(Result::ok)
            .filter(|r| r.header.kind == KIND_EVENT)
            .map(|r| r.header.ticks)
            .collect();
        let header = BlockHeader {
            ring,
            from,
            to: from + records.len() as u64,
            sequence,
            events: parsed.len() as u32,
            first_ticks: parsed.first().copied().unwrap_or(0),
            last_ticks: parsed.last().copied().unwrap_or(0),
            ..BlockHeader::meta(BlockKind::Data)
        };
        self.block(header, records)
    }

    pub(crate) fn counters(&mut self, ring: u32, delivered: u64, full: u64) -> &mut Self {
        let lost = [full, 0, 0, 0, 0, 0, 0, 0];
        let attempted = delivered + full;
        let counters = RingCounters { ring, is_final: true, position: 0, attempted, delivered, lost };
        self.meta(BlockKind::Counters, &counters.encode())
    }

    pub(crate) fn end(&mut self) -> &mut Self {
        let header = BlockHeader { sequence: self.blocks.len() as u64, ..BlockHeader::meta(BlockKind::End) };
        self.block(header, &[])
    }

    pub(crate) fn name(&self) -> String {
        let identity = &self.header.identity;
        file_name(&identity.component, identity.pid, &identity.process_uuid, self.header.sequence)
    }

    /// Writes it under the name of a sealed segment.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join(self.name());
        fs::write(&path, &self.bytes).unwrap();
        path
    }

    /// Writes it under the name of one that is not sealed.
    pub(crate) fn write_open(&self, dir: &Path) -> PathBuf {
        let path = dir.join(self.name() + ".open");
        fs::write(&path, &self.bytes).unwrap();
        path
    }

    /// Offset of a block's payload.
    pub(crate) fn payload_of(&self, block: usize) -> usize {
        self.blocks[block] + HEADER_LEN
    }
}

/// A ring with `records` between `tail` and head.
pub(crate) struct RingFile {
    pub(crate) header: RingHeader,
    pub(crate) data: Vec<u8>,
}

impl RingFile {
    pub(crate) fn new(pid: u32, ring: u32, capacity: u64, tail: u64, sequence: u64, records: &[u8]) -> Self {
        let mut data = vec![0xaa; capacity as usize];
        for (i, byte) in records.iter().enumerate() {
            data[((tail + i as u64) % capacity) as usize] = *byte;
        }
        let events = tracewell_schema::format::record::Records::new(records)
            .map_while(Result::ok)
            .filter(|r| r.header.kind == KIND_EVENT)
            .count() as u64;
        let header = RingHeader {
            capacity,
            process_uuid: identity("", pid).process_uuid,
            state: 1,
            info: RingInfo { capacity, ..info(ring) },
            head: tail + records.len() as u64,
            attempted: sequence + events,
            tail,
            sequence_at_tail: sequence,
            ..RingHeader::default()
        };
        Self { header, data }
    }
}

/// Writes a ring folder; returns its path.
pub(crate) fn write_folder(root: &Path, component: &str, pid: u32, rings: &[RingFile]) -> PathBuf {
    let identity = identity(component, pid);
    let folder = root.join(folder_name(&identity));
    fs::create_dir_all(&folder).unwrap();
    let process = ProcessFile { identity, points: points() };
    fs::write(folder.join(PROCESS_FILE), process.encode()).unwrap();
    fs::write(folder.join(SCHEMAS_FILE), encode_schema_item(3, &STEP.to_blob())).unwrap();
    for (number, ring) in rings.iter().enumerate() {
        let mut bytes = ring.header.encode().to_vec();
        assert_eq!(bytes.len(), PAGE);
        bytes.extend_from_slice(&ring.data);
        fs::write(folder.join(format!("ring-{number:06}")), bytes).unwrap();
    }
    folder
}

/// What came out of a trace, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// pid, ring, number.
    Event(u32, u32, u64),
    /// pid, tid, how many.
    Lost(u32, u32, u64),
    /// pid, tid, how many.
    Hole(u32, u32, u64),
}

pub(crate) fn read_with(
    paths: &[PathBuf],
    roots: &[PathBuf],
    filter: &Filter,
) -> Result<(Vec<Seen>, Summary), ReadError> {
    let trace = Trace::open(paths, roots)?;
    let mut seen = Vec::new();
    let summary = trace.read(filter, |item| {
        seen.push(match item {
            Item::Event(event) => {
                let number = match event.values.get("number").map(|f| f.value) {
                    Some(tracewell_schema::Value::U(n)) => n,
                    _ => u64::MAX,
                };
                Seen::Event(event.process.identity.pid, event.ring, number)
            }
            Item::Lost { process, tid, counts, .. } => Seen::Lost(process.identity.pid, *tid, counts.total()),
            Item::Hole { process, tid, events, .. } => Seen::Hole(process.identity.pid, *tid, *events),
            _ => unreachable!(),
        });
        Ok::<(), ReadError>(())
    })?;
    Ok((seen, summary))
}

pub(crate) fn read(path: &Path) -> (Vec<Seen>, Summary) {
    read_with(&[path.to_owned()], &[], &Filter::default()).unwrap()
}

/// Events of one ring.
pub(crate) fn events(pid: u32, ring: u32, numbers: std::ops::Range<u64>) -> Vec<Seen> {
    numbers.map(|n| Seen::Event(pid, ring, n)).collect()
}
