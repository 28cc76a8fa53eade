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
    /// Flags of every block.
    flags: u16,
    open: Option<Open>,
    /// Blocks that are not in the file yet.
    buffer: Vec<u8>,
    /// Something that was written could not be synced: a flush must not say that it is safe.
    is_suspect: bool,
    /// Bytes of all segments so far.
    pub(crate) written: u64,
}

struct Open {
    name: String,
    tag: [u8; 8],
    /// Length with what is in the buffer.
    bytes: u64,
    /// Length at the last [`SegmentWriter::commit`]: what is before it is whole and is not written again.
    good: u64,
    /// Some block is to be compressed later.
    is_hasty: bool,
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
    /// Items of schemas from the `from`-th on, at least one if there is one, with how many came before their end.
    fn schemas(&self, from: usize) -> (Vec<u8>, usize);
    /// Counters of all rings, told when a segment is sealed.
    fn counters(&self) -> Vec<RingCounters>;
    /// Whose ring this is.
    fn ring_info(&self, _ring: u32) -> Option<RingInfo> {
        None
    }
}

/// Bytes that are gathered before they are written.
const AT_ONCE: usize = 1 << 20;
/// Points in a block, which may have 1 MiB.
const CLOCKS_AT_ONCE: usize = 4096;

impl<S: Storage> SegmentWriter<S> {
    pub(crate) fn new(storage: S, identity: ProcessIdentity, rotation: Rotation) -> Self {
        Self {
            storage,
            identity,
            rotation,
            sequence: 0,
            flags: 0,
            open: None,
            buffer: Vec::new(),
            is_suspect: false,
            written: 0,
        }
    }

    /// For the segments of a process that has ended: numbers go on after `sequence`, every block has these flags.
    pub(crate) fn of_the_dead(
        storage: S,
        identity: ProcessIdentity,
        rotation: Rotation,
        sequence: u32,
        flags: u16,
    ) -> Self {
        Self { sequence, flags, ..Self::new(storage, identity, rotation) }
    }

    /// Names a ring in the present segment, begun if need be, though no block of it may follow.
    pub(crate) fn write_ring(&mut self, info: &RingInfo, context: &impl Context) -> io::Result<()> {
        self.prepare(Some(info), context)
    }

    /// Adds data blocks from the `safe`-th on, each preceded by what it needs in its segment. `safe` becomes how many of
    /// them are in a segment that was sealed on the way: after a failure the next try must not write those again, and
    /// they may be released whatever comes of the others.
    pub(crate) fn write_blocks<'b>(
        &mut self,
        blocks: impl Iterator<Item = (&'b BlockHeader, &'b RingInfo, &'b [u8])>,
        safe: &mut usize,
        context: &impl Context,
    ) -> io::Result<()> {
        for (at, (header, info, stored)) in blocks.enumerate().skip(*safe) {
            if self.rotate_if_due(context)? {
                *safe = at;
            }
            self.prepare(Some(info), context)?;
            if let Some(open) = &mut self.open {
                open.is_hasty |= header.flags & block::FLAG_HASTY != 0;
            }
            self.append(header.clone(), header.raw_len as usize, stored)?;
        }
        Ok(())
    }

    /// Writes what was added. After this, and only then, its ranges may be released.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        self.write_out()?;
        if let Some(open) = &mut self.open {
            open.good = open.bytes;
        }
        Ok(())
    }

    /// Writes counters, at a flush or when a ring ends.
    pub(crate) fn write_counters(
        &mut self,
        counters: &[RingCounters],
        context: &impl Context,
    ) -> io::Result<()> {
        // A process that only lost events still says so, in a segment of its own.
        self.prepare(None, context)?;
        // A thread that only lost events has no block that says who it is.
        for silent in counters.iter().filter(|c| c.ring != 0 && c.delivered == 0 && c.attempted != 0) {
            if let Some(info) = context.ring_info(silent.ring) {
                self.prepare(Some(&info), context)?;
            }
        }
        for part in counters.chunks(1024) {
            let payload: Vec<u8> = part.iter().flat_map(RingCounters::encode).collect();
            self.append(BlockHeader::meta(BlockKind::Counters), payload.len(), &payload)?;
        }
        Ok(())
    }

    /// Makes everything written so far survive the loss of power.
    ///
    /// # Errors
    /// If this failed now or for anything written since the last call: that is then told once, since what the
    /// kernel could not write it will not try to write again.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let settled = self.storage.settle();
        let synced = if self.open.is_some() { self.storage.sync() } else { Ok(()) };
        if synced.is_err() || settled.is_err() {
            // The file's state on the disk is unknown, or its name's, which the sealed ones' folder has: go on in another.
            self.open = None;
            self.buffer.clear();
        }
        let trusted = self.trust();
        settled.and(synced).and(trusted)
    }

    /// Waits until all sealed segments are on the disk under their last names.
    ///
    /// # Errors
    /// As [`SegmentWriter::sync`].
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        let settled = self.storage.settle();
        settled.and(self.trust())
    }

    /// Tells once that something written could not be synced.
    fn trust(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_suspect) {
            return Err(io::Error::other("events written earlier could not be synced to the disk"));
        }
        Ok(())
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
        if self.open.as_ref().is_some_and(|o| o.is_hasty) {
            end.flags |= block::FLAG_HASTY;
        }
        self.append(end, 0, &[])?;
        self.write_out()?;
        if let Some(open) = &self.open {
            // If this fails, it is still the present one: `abandon` cuts and syncs it.
            self.storage.seal(&format!("{}{}", open.name, segment::OPEN_SUFFIX), &open.name)?;
            self.open = None;
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

    /// After a failed write: leaves the present segment unsealed, as it was at the last [`SegmentWriter::commit`]; the
    /// next try begins a new one.
    pub(crate) fn abandon(&mut self) {
        self.buffer.clear();
        let Some(open) = self.open.take() else { return };
        if open.good == 0 {
            self.storage.remove(&format!("{}{}", open.name, segment::OPEN_SUFFIX));
            return;
        }
        // If it cannot be cut, what is torn or double there is recognised by the reader.
        let _ = self.storage.truncate(open.good);
        // What is in it has been released: a later flush must cover it, or say that it does not.
        self.is_suspect |= self.storage.sync().is_err();
    }

    fn prepare(&mut self, ring: Option<&RingInfo>, context: &impl Context) -> io::Result<()> {
        if self.open.is_none() {
            self.begin()?;
        }
        if self.open.as_ref().is_some_and(|open| !open.has_clock) {
            self.write_clocks(context)?;
        }
        loop {
            let from = self.open.as_ref().map_or(0, |open| open.schemas);
            let (items, count) = context.schemas(from);
            if count <= from {
                break;
            }
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
        self.buffer.extend_from_slice(&header);
        self.written += header.len() as u64;
        let mut tag = [0; 8];
        tag.copy_from_slice(&file_id[..8]);
        self.open = Some(Open {
            name,
            tag,
            bytes: header.len() as u64,
            good: 0,
            is_hasty: false,
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
        // After weeks without an event there are more than a block may have.
        for part in points.chunks(CLOCKS_AT_ONCE) {
            let payload: Vec<u8> = part.iter().flat_map(clock::ClockPoint::encode).collect();
            self.append(BlockHeader::meta(BlockKind::Clocks), payload.len(), &payload)?;
        }
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
        header.flags |= self.flags;
        header.raw_len = u32::try_from(raw_len).map_err(|_| io::ErrorKind::InvalidInput)?;
        header.stored_len = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        header.payload_crc = crc32fast::hash(payload);
        let before = self.buffer.len();
        self.buffer.extend_from_slice(&header.encode());
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
        let len = (self.buffer.len() - before) as u64;
        open.bytes += len;
        open.blocks += 1;
        self.written += len;
        if self.buffer.len() >= AT_ONCE { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.storage.append(&self.buffer)?;
        self.buffer.clear();
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

#[cfg(test)]
mod tests;
