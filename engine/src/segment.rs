//! The segment writer: appends blocks, rotates, seals.

use std::io;
use std::time::{Duration, Instant};

use tracewell_schema::format::block::{self, BlockHeader, BlockKind};
use tracewell_schema::format::clock::{self, ClockPoint};
use tracewell_schema::format::process::ProcessIdentity;
use tracewell_schema::format::ring::{RingCounters, RingInfo};
use tracewell_schema::format::segment::{self, SegmentHeader};

use crate::storage::Storage;
use crate::{boot, uuid};

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
}

/// Appends blocks to the present segment; makes, rotates and seals segments.
pub(crate) struct SegmentWriter<S> {
    storage: S,
    identity: ProcessIdentity,
    rotation: Rotation,
    sequence: u32,
    open: Option<Open>,
    buffer: Vec<u8>,
    stored: Vec<u8>,
    /// Bytes of all segments so far.
    pub(crate) written: u64,
}

struct Open {
    name: String,
    tag: [u8; 8],
    bytes: u64,
    blocks: u64,
    since: Instant,
    schemas: usize,
    rings: Vec<u32>,
    has_clock: bool,
}

/// What a new segment needs to stand alone.
pub(crate) trait Context {
    /// Clock points not told yet, the newest at least.
    fn clock_points(&self) -> Vec<ClockPoint>;
    /// Items of schemas from the `from`-th on, with how many there are now.
    fn schemas(&self, from: usize) -> (Vec<u8>, usize);
    /// Counters of all rings, told when a segment is sealed.
    fn counters(&self) -> Vec<RingCounters>;
}

/// A data block to be written.
pub(crate) struct Data<'a> {
    pub(crate) header: BlockHeader,
    pub(crate) info: RingInfo,
    pub(crate) raw: &'a [u8],
    pub(crate) compress: bool,
}

impl<S: Storage> SegmentWriter<S> {
    pub(crate) fn new(storage: S, identity: ProcessIdentity, rotation: Rotation) -> Self {
        Self {
            storage,
            identity,
            rotation,
            sequence: 0,
            open: None,
            buffer: Vec::new(),
            stored: Vec::new(),
            written: 0,
        }
    }

    /// Writes a data block, preceded by what it needs in this segment. True if a segment was sealed before it.
    pub(crate) fn write_data(&mut self, data: Data<'_>, context: &impl Context) -> io::Result<bool> {
        let rotated = self.rotate_if_due(context)?;
        self.prepare(Some(&data.info), context)?;
        let codec =
            if data.compress { block::compress_block(data.raw, &mut self.stored) } else { block::Codec::Raw };
        let mut header = data.header;
        header.kind = BlockKind::Data;
        header.codec = codec;
        let stored = std::mem::take(&mut self.stored);
        let payload: &[u8] = if codec == block::Codec::Raw { data.raw } else { &stored };
        let done = self.append(header, data.raw.len(), payload);
        self.stored = stored;
        done.map(|()| rotated)
    }

    /// Writes counters, at a flush or when a ring ends.
    pub(crate) fn write_counters(
        &mut self,
        counters: &[RingCounters],
        context: &impl Context,
    ) -> io::Result<()> {
        // A process that only lost events still says so, in a segment of its own.
        self.prepare(None, context)?;
        for part in counters.chunks(1024) {
            let payload: Vec<u8> = part.iter().flat_map(RingCounters::encode).collect();
            self.append(BlockHeader::meta(BlockKind::Counters), payload.len(), &payload)?;
        }
        Ok(())
    }

    /// Makes everything written so far survive the loss of power.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.open.is_some() { self.storage.sync() } else { Ok(()) }
    }

    /// Ends the present segment: counters, clocks, end block, sync, rename.
    pub(crate) fn seal(&mut self, context: &impl Context) -> io::Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        let counters = context.counters();
        self.write_counters(&counters, context)?;
        self.write_clocks(context)?;
        let mut end = BlockHeader::meta(BlockKind::End);
        end.sequence = self.open.as_ref().map_or(0, |o| o.blocks);
        self.append(end, 0, &[])?;
        self.storage.sync()?;
        if let Some(open) = self.open.take() {
            self.storage.seal(&format!("{}{}", open.name, segment::OPEN_SUFFIX), &open.name)?;
        }
        Ok(())
    }

    fn rotate_if_due(&mut self, context: &impl Context) -> io::Result<bool> {
        let due = self.open.as_ref().is_some_and(|open| {
            open.bytes >= self.rotation.bytes || open.since.elapsed() >= self.rotation.age
        });
        if due {
            self.seal(context)?;
        }
        Ok(due)
    }

    /// Whether the present segment is old enough to be sealed although nothing new comes.
    pub(crate) fn is_aged(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.since.elapsed() >= self.rotation.age)
    }

    /// Leaves the present segment as it is, unsealed: after a failed write its end is suspect.
    pub(crate) fn abandon(&mut self) {
        self.open = None;
    }

    fn prepare(&mut self, ring: Option<&RingInfo>, context: &impl Context) -> io::Result<()> {
        if self.open.is_none() {
            self.begin()?;
        }
        if self.open.as_ref().is_some_and(|open| !open.has_clock) {
            self.write_clocks(context)?;
        }
        let from = self.open.as_ref().map_or(0, |open| open.schemas);
        let (items, count) = context.schemas(from);
        if count > from {
            for part in schema_parts(&items) {
                self.append(BlockHeader::meta(BlockKind::Schemas), part.len(), part)?;
            }
            if let Some(open) = &mut self.open {
                open.schemas = count;
            }
        }
        let Some(info) = ring else { return Ok(()) };
        if self.open.as_ref().is_some_and(|open| !open.rings.contains(&info.ring)) {
            let payload = info.encode();
            self.append(BlockHeader::meta(BlockKind::Ring), payload.len(), &payload)?;
            if let Some(open) = &mut self.open {
                open.rings.push(info.ring);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let file_id = uuid::random();
        // The number is used up even if this fails: two files never share a name.
        self.sequence += 1;
        let name = segment::file_name(
            &self.identity.component,
            self.identity.pid,
            &self.identity.process_uuid,
            self.sequence,
        );
        self.storage.create(&format!("{name}{}", segment::OPEN_SUFFIX))?;
        let header = SegmentHeader {
            file_id,
            identity: self.identity.clone(),
            sequence: self.sequence,
            created: boot::realtime_ns(),
        }
        .encode();
        self.storage.append(&header)?;
        self.written += header.len() as u64;
        let mut tag = [0; 8];
        tag.copy_from_slice(&file_id[..8]);
        self.open = Some(Open {
            name,
            tag,
            bytes: header.len() as u64,
            blocks: 0,
            since: Instant::now(),
            schemas: 0,
            rings: Vec::new(),
            has_clock: false,
        });
        Ok(())
    }

    fn write_clocks(&mut self, context: &impl Context) -> io::Result<()> {
        let points = context.clock_points();
        let payload: Vec<u8> = points.iter().flat_map(clock::ClockPoint::encode).collect();
        self.append(BlockHeader::meta(BlockKind::Clocks), payload.len(), &payload)?;
        if let Some(open) = &mut self.open {
            open.has_clock = true;
        }
        Ok(())
    }

    /// Tells clock points gathered meanwhile, if a segment is open.
    pub(crate) fn note_clocks(&mut self, context: &impl Context) -> io::Result<()> {
        if self.open.is_some() { self.write_clocks(context) } else { Ok(()) }
    }

    fn append(&mut self, mut header: BlockHeader, raw_len: usize, payload: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        header.file_tag = open.tag;
        header.raw_len = u32::try_from(raw_len).map_err(|_| io::ErrorKind::InvalidInput)?;
        header.stored_len = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        header.payload_crc = crc32fast::hash(payload);
        self.buffer.clear();
        self.buffer.extend_from_slice(&header.encode());
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
        self.storage.append(&self.buffer)?;
        open.bytes += self.buffer.len() as u64;
        open.blocks += 1;
        self.written += self.buffer.len() as u64;
        Ok(())
    }
}

/// Cuts schema items into payloads that respect the limit of a block.
fn schema_parts(items: &[u8]) -> Vec<&[u8]> {
    let limit = tracewell_schema::limits::MAX_BLOCK_RAW;
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at + 6 <= items.len() {
        let len = u32::from_le_bytes([items[at + 2], items[at + 3], items[at + 4], items[at + 5]]);
        let next = at + 6 + len as usize;
        if next - start > limit {
            parts.push(&items[start..at]);
            start = at;
        }
        at = next;
    }
    if at > start {
        parts.push(&items[start..at.min(items.len())]);
    }
    parts
}
