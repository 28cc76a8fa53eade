//! The segments of a dead process: blocks as its own writer would have written them, with the flag *recovered*.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use tracewell_schema::format::block::{
    self, BlockHeader, BlockKind, Codec, FLAG_RECOVERED, FLAG_UNVERIFIED, Unpacker, compress_block,
    compress_columns,
};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::crc;
use tracewell_schema::format::process::{ProcessFile, encode_schema_payload_item};
use tracewell_schema::format::record::{Record, Records};
use tracewell_schema::format::ring::{RingCounters, RingHeader};
use tracewell_schema::format::segment::{self, SegmentHeader, parse_file_name};
use tracewell_schema::limits::{MAX_BLOCK_RAW, MAX_SCHEMA};
use tracewell_schema::{DecodeError, Schema};

use super::dead::{Fault, Folder, Part, Ring};
use crate::fs;
use crate::segment::{Context, Rotation, SegmentWriter};
use crate::storage::Storage;

/// What a dead process's segments must tell.
struct Told<'a> {
    process: &'a ProcessFile,
    schemas: &'a [(u16, Vec<u8>)],
    counters: Vec<RingCounters>,
}

impl Context for Told<'_> {
    fn clock_points(&self) -> Vec<tracewell_schema::format::clock::ClockPoint> {
        self.process.points.clone()
    }

    /// A block of them at a time: all at once would be as much memory again as they are.
    fn schemas(&self, from: usize) -> (Vec<u8>, usize) {
        let (mut items, mut count) = (Vec::new(), from);
        for (index, blob) in self.schemas.iter().skip(from) {
            items.extend_from_slice(&encode_schema_payload_item(*index, blob));
            count += 1;
            if items.len() + MAX_SCHEMA > MAX_BLOCK_RAW {
                break;
            }
        }
        (items, count)
    }

    fn counters(&self) -> Vec<RingCounters> {
        self.counters.clone()
    }
}

/// Files of a session folder; a sealed segment is on the disk under its last name when `seal` returns.
struct Place<'a> {
    folder: &'a OwnedFd,
    file: Option<File>,
    /// Sealed so far.
    made: &'a mut Vec<String>,
}

impl Place<'_> {
    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Place<'_> {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.file = None;
        self.file = Some(fs::create_new(self.folder, name)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn remove(&mut self, name: &str) {
        self.file = None;
        let _ = fs::unlink_at(self.folder, name);
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        self.made.push(to.to_owned());
        file.sync_data()?;
        fs::rename_at(self.folder, from, to)?;
        fs::sync_dir(self.folder)
    }

    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was written of one ring.
pub(super) struct Written {
    /// End of what is in segments.
    pub(super) to: u64,
    /// Event records of the claim before it.
    pub(super) sequence: u64,
    /// Why not all of it.
    pub(super) damage: Option<String>,
}

/// What was written.
#[derive(Default)]
pub(super) struct Outcome {
    /// By ring, in the order of the folder's.
    pub(super) rings: Vec<Written>,
    pub(super) events: u64,
    pub(super) segments: usize,
    /// Bytes of the segments.
    pub(super) bytes: u64,
}

/// Writes what the rings of a folder hold into sealed, synced segments of a session folder.
///
/// # Errors
/// If that is not possible, or `must_stop` said so: then everything that was written is removed.
pub(super) fn write(
    session: &OwnedFd,
    process: &ProcessFile,
    folder: &Folder<'_>,
    is_unverified: bool,
    segment_bytes: u64,
    must_stop: &mut dyn FnMut() -> bool,
) -> io::Result<Outcome> {
    let before = Before::find(session, process, &folder.rings)?;
    let flags = FLAG_RECOVERED | if is_unverified { FLAG_UNVERIFIED } else { 0 };
    // Where its first segments have gone by retention, this one must not look like the first.
    let had_some = folder.rings.iter().any(|ring| ring.header.sequence_at_tail != 0);
    let number = if had_some { before.number.max(1) } else { before.number };
    let mut made = Vec::new();
    let rotation = Rotation { bytes: segment_bytes, age: Duration::MAX };
    let place = Place { folder: session, file: None, made: &mut made };
    let mut writer = SegmentWriter::of_the_dead(place, process.identity.clone(), rotation, number, flags);
    let mut result = Outcome::default();
    let written = fill(&mut writer, &mut result, process, folder, &before, must_stop);
    result.bytes = writer.written;
    if written.is_err() {
        // Nothing of it was committed, so that all of it goes.
        writer.abandon();
        drop(writer);
        for name in &made {
            let _ = fs::unlink_at(session, name);
        }
    } else {
        drop(writer);
        result.segments = made.len();
    }
    written.map(|()| result)
}

fn fill(
    writer: &mut SegmentWriter<Place<'_>>,
    result: &mut Outcome,
    process: &ProcessFile,
    folder: &Folder<'_>,
    before: &Before,
    must_stop: &mut dyn FnMut() -> bool,
) -> io::Result<()> {
    let mut told = Told { process, schemas: &folder.schemas, counters: Vec::new() };
    let mut layouts: HashMap<u16, Layout> = HashMap::new();
    for (index, blob) in &folder.schemas {
        if let Ok(schema) = Schema::parse(blob) {
            layouts.insert(*index, Layout::of_schema(&schema));
        }
    }
    let mut coder = Coder { layouts, ..Coder::default() };
    let mut part = Part::default();
    for ring in &folder.rings {
        let RingHeader { head, tail, info, .. } = &ring.header;
        let sequence = before.sequence_at(info.ring, *tail).unwrap_or(ring.header.sequence_at_tail);
        let mut at = Written { to: *tail, sequence, damage: None };
        let mut lost = 0_u64;
        let file = match folder.open(ring) {
            Ok(file) => file,
            Err(Fault::Damage(what)) => {
                at.damage = Some(format!("{}: {what}", ring.name));
                result.rings.push(at);
                continue;
            }
            Err(Fault::Lack(e)) => return Err(e),
        };
        while at.to < *head {
            if must_stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match file.part(at.to, &mut part) {
                Ok(()) => {}
                Err(Fault::Damage(what)) => {
                    at.damage = Some(format!("{}: {what}", ring.name));
                    break;
                }
                Err(Fault::Lack(e)) => return Err(e),
            }
            let to = at.to + part.raw.len() as u64;
            lost = lost.saturating_add(part.lost);
            let (codec, stored) = coder.encode(&part.raw);
            let header = BlockHeader {
                ring: info.ring,
                codec,
                raw_len: part.raw.len() as u32,
                events: part.events,
                from: at.to,
                to,
                sequence: at.sequence,
                first_ticks: part.first_ticks,
                last_ticks: part.last_ticks,
                lost,
                ..BlockHeader::meta(BlockKind::Data)
            };
            // A failure takes back everything, so that nothing is tried twice.
            writer.write_blocks(std::iter::once((&header, info, stored)), &mut 0, &told)?;
            at.to = to;
            at.sequence = at.sequence.saturating_add(part.events.into());
            result.events += u64::from(part.events);
        }
        if at.damage.is_none() {
            // Also a ring that has nothing but counts has a thread.
            writer.write_ring(info, &told)?;
            told.counters.push(counters(&ring.header, at.sequence));
        }
        result.rings.push(at);
    }
    writer.seal(&told)
}

/// The last counts of a ring, as its process would have told them.
fn counters(header: &RingHeader, delivered: u64) -> RingCounters {
    // The header's count is without attempts that were refused inside another (FORMAT.md section 5).
    let inside = header.lost[2].saturating_add(header.lost[3]);
    RingCounters {
        ring: header.info.ring,
        is_final: true,
        position: header.head,
        attempted: header.attempted.saturating_add(inside),
        delivered,
        lost: header.lost,
    }
}

/// Makes stored payloads of records.
#[derive(Default)]
struct Coder {
    layouts: HashMap<u16, Layout>,
    encoder: Encoder,
    columns: Vec<u8>,
    stored: Vec<u8>,
    unpacker: Unpacker,
    again: Vec<u8>,
}

impl Coder {
    fn encode<'a>(&'a mut self, raw: &'a [u8]) -> (Codec, &'a [u8]) {
        let layouts = &self.layouts;
        let walk = self.encoder.walk(raw, raw.len(), &mut |index| layouts.get(&index).cloned());
        if walk.is_regular && walk.len == raw.len() {
            self.encoder.encode(raw, &mut self.columns, &mut || {});
            let codec = compress_columns(&self.columns, &mut self.stored);
            if codec == Codec::Columns {
                std::mem::swap(&mut self.columns, &mut self.stored);
            }
            // The ring is removed on the word of this block, and its bytes may be a stranger's.
            if self.gives_back(codec, raw) {
                return (codec, &self.stored);
            }
        }
        match compress_block(raw, &mut self.stored) {
            Codec::Raw => (Codec::Raw, raw),
            codec => (codec, &self.stored),
        }
    }

    fn gives_back(&mut self, codec: Codec, raw: &[u8]) -> bool {
        let header = BlockHeader {
            codec,
            raw_len: raw.len() as u32,
            stored_len: self.stored.len() as u32,
            payload_crc: crc(&self.stored),
            ..BlockHeader::default()
        };
        let mut ours = Records::new(raw);
        let is_same = |theirs: DecodedRecord<'_>, ours: Option<DecodedRecord<'_>>| match (theirs, ours) {
            (Ok(a), Some(Ok(b))) => (a.header, a.payload, a.offset) == (b.header, b.payload, b.offset),
            _ => false,
        };
        self.unpacker.unpack(&header, &self.stored, &mut self.again).is_ok()
            && Records::new(&self.again).all(|theirs| is_same(theirs, ours.next()))
            && ours.next().is_none()
    }
}

type DecodedRecord<'a> = Result<Record<'a>, DecodeError>;

/// The segments that a process has already.
struct Before {
    /// The greatest number.
    number: u32,
    /// Number of the ring's events before the block that begins at its tail, by ring and tail: of the rings that are
    /// adopted, and of no other block, since segments may have blocks without end.
    sequences: HashMap<(u32, u64), Option<u64>>,
}

impl Before {
    /// Looks at them; removes those that a killed collector had not finished: nothing was released on their account.
    fn find(session: &OwnedFd, process: &ProcessFile, rings: &[Ring]) -> io::Result<Self> {
        let tails = rings.iter().map(|ring| ((ring.header.info.ring, ring.header.tail), None));
        let mut before = Self { number: 0, sequences: tails.collect() };
        let uuid = &process.identity.process_uuid;
        let uuid8 = tracewell_schema::format::hex(&uuid[..4]);
        for name in fs::names_in(session)? {
            let Some(parsed) = parse_file_name(&name).filter(|p| p.uuid8 == uuid8) else { continue };
            before.number = before.number.max(parsed.sequence);
            let Ok(file) = fs::open_existing(session, &name, false) else { continue };
            let mut head = [0; segment::HEADER_LEN];
            let is_cut = parsed.is_open && file.metadata()?.len() < head.len() as u64;
            let header = (&file).read_exact(&mut head).ok().and_then(|()| SegmentHeader::decode(&head).ok());
            if header.is_some_and(|h| h.identity.process_uuid != *uuid) {
                continue;
            }
            let has_own = before.read_blocks(&file);
            if parsed.is_open && (is_cut || !has_own) {
                let _ = fs::unlink_at(session, &name);
            }
        }
        Ok(before)
    }

    /// Takes note of the data blocks. True if some block was written by the process itself, or cannot be read.
    fn read_blocks(&mut self, file: &File) -> bool {
        let (mut at, mut has_own) = (segment::HEADER_LEN as u64, false);
        let mut bytes = [0; block::HEADER_LEN];
        let Ok(len) = file.metadata().map(|meta| meta.len()) else { return true };
        while at + block::HEADER_LEN as u64 <= len {
            let read = file.read_exact_at(&mut bytes, at).map_err(drop);
            let Ok(header) = read.and_then(|()| BlockHeader::decode(&bytes).map_err(drop)) else {
                return true;
            };
            let end = at + block::HEADER_LEN as u64 + header.padded_len();
            if end > len {
                break;
            }
            has_own |= header.flags & FLAG_RECOVERED == 0;
            if header.kind == BlockKind::Data
                && let Some(sequence) = self.sequences.get_mut(&(header.ring, header.from))
            {
                *sequence = Some(header.sequence);
            }
            at = end;
        }
        has_own
    }

    /// How many event records come before `tail`. A process that was killed between its two stores of a release has a
    /// number beside its tail that belongs to the next block; that block is in a segment then, and knows better.
    fn sequence_at(&self, ring: u32, tail: u64) -> Option<u64> {
        self.sequences.get(&(ring, tail)).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use tracewell_schema::format::process::ProcessIdentity;
    use tracewell_schema::format::ring::RingInfo;

    use super::*;

    #[test]
    fn of_the_blocks_that_are_there_only_those_at_a_tail_are_kept() {
        let top = tempfile::tempdir().unwrap();
        let session = fs::create_private_dir(&top.path().join("session")).unwrap();
        let identity = ProcessIdentity { component: "scanner".into(), ..ProcessIdentity::default() };
        let name = segment::file_name("scanner", 1, &identity.process_uuid, 3);
        let process = ProcessFile { identity: identity.clone(), points: Vec::new() };
        let header = SegmentHeader { file_id: [1; 16], identity, sequence: 3, created: 1 };
        let mut bytes = header.encode().to_vec();
        for n in 0..1000 {
            let from = 64 * n;
            let block =
                BlockHeader { ring: 1, from, to: from, sequence: n, ..BlockHeader::meta(BlockKind::Data) };
            bytes.extend_from_slice(&block.encode());
        }
        fs::create_new(&session, &name).unwrap().write_all(&bytes).unwrap();
        let ring = |ring, tail| {
            let info = RingInfo { ring, ..RingInfo::default() };
            Ring::of(RingHeader { info, tail, ..RingHeader::default() })
        };
        let rings = [ring(1, 64 * 77), ring(1, 5), ring(2, 64)];
        let before = Before::find(&session, &process, &rings).unwrap();
        assert_eq!((before.number, before.sequences.len()), (3, rings.len()));
        assert_eq!(before.sequence_at(1, 64 * 77), Some(77));
        assert_eq!((before.sequence_at(1, 5), before.sequence_at(2, 64)), (None, None));
    }
}
