//! One pass over a segment's block headers: what is where. Payloads of data blocks are read later, in order.

use std::io;
use std::path::Path;

use tracewell_schema::DecodeError;
use tracewell_schema::format::block::{self, BlockHeader, BlockKind, HEADER_LEN, Unpacker};
use tracewell_schema::format::record;
use tracewell_schema::format::segment::{self, SegmentHeader};
use tracewell_schema::limits::{MAX_BLOCK_STORED, MAX_SEGMENT};

use crate::error::ReadError;
use crate::source::{self, Input, ReadAt, read_at};
use crate::summary::{Damage, MAX_LISTED};

/// Most blocks of one segment: the rest is reported, not read.
const MAX_BLOCKS: usize = 4 << 20;

/// A block and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) header: BlockHeader,
    /// Offset of the header in the file.
    pub(crate) offset: u64,
}

/// The end of an unsealed segment: a write that a kill or a full disk cut.
///
/// The writer releases a ring's range only after its block is written, so what the cut block was to hold is still
/// in the ring, or in a later segment. It is a loss only if it is in neither.
#[derive(Debug)]
pub(crate) struct Torn {
    /// Its header, if that much was written.
    pub(crate) header: Option<BlockHeader>,
    pub(crate) bytes: u64,
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Index {
    /// The file that was looked at: its name may lead to a packed one by now, or to nothing since it was sealed.
    pub(crate) file: Input,
    pub(crate) header: SegmentHeader,
    pub(crate) blocks: Vec<Found>,
    pub(crate) torn: Option<Torn>,
    pub(crate) damage: Vec<Damage>,
    /// More damaged parts than are listed.
    pub(crate) more_damaged: u64,
    pub(crate) bytes: u64,
}

/// Memory for reading blocks, kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    stored: Vec<u8>,
    unpacker: Unpacker,
}

/// Reads the block at `offset`, whose payload is stored in `stored_len` bytes, and decodes it into `out`.
pub(crate) fn read_block(
    file: &Input,
    offset: u64,
    stored_len: u32,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<BlockHeader, DecodeError> {
    let (header, stored) = read_stored(file, offset, stored_len, &mut scratch.stored)?;
    scratch.unpacker.unpack(&header, stored, out)?;
    Ok(header)
}

/// The columns of a block; `None` if it is stored otherwise.
pub(crate) fn read_columns<'s>(
    file: &Input,
    offset: u64,
    stored_len: u32,
    scratch: &'s mut Scratch,
) -> Result<Option<(BlockHeader, &'s [u8])>, DecodeError> {
    let (header, stored) = read_stored(file, offset, stored_len, &mut scratch.stored)?;
    let columns = scratch.unpacker.columns(&header, stored)?;
    Ok(columns.map(|columns| (header, columns)))
}

/// A block's header, and its payload as it is stored, which may be cut.
fn read_stored<'s>(
    file: &Input,
    offset: u64,
    stored_len: u32,
    buffer: &'s mut Vec<u8>,
) -> Result<(BlockHeader, &'s [u8]), DecodeError> {
    buffer.resize(HEADER_LEN + (stored_len as usize).min(MAX_BLOCK_STORED), 0);
    let n = read_at(file, buffer, offset).map_err(|_| DecodeError::new(0, "block cannot be read"))?;
    let bytes = buffer.get(..n).unwrap_or_default();
    let header = BlockHeader::decode(bytes)?;
    Ok((header, bytes.get(HEADER_LEN..).unwrap_or_default()))
}

fn decode_header(bytes: &[u8], tag: [u8; 8]) -> Result<BlockHeader, DecodeError> {
    let header = BlockHeader::decode(bytes)?;
    if header.file_tag != tag {
        return Err(DecodeError::new(72, "block of another file"));
    }
    if u64::from(header.events) * record::HEADER_LEN as u64 > u64::from(header.raw_len) {
        return Err(DecodeError::new(20, "block claims more events than it has room for"));
    }
    Ok(header)
}

/// What a segment file turned out to be.
#[derive(Debug)]
pub(crate) enum Indexed {
    Whole(Box<Index>),
    /// A kill came between its creation and the first write: nothing was ever in it but these bytes of its header.
    Begun(u64),
}

/// Indexes a segment.
pub(crate) fn index(path: &Path) -> Result<Indexed, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    index_of(path, Input::File(source::open(path).map_err(unreadable)?.into()))
}

/// Indexes a segment whose bytes are at hand; `path` names it.
pub(crate) fn index_of(path: &Path, file: Input) -> Result<Indexed, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    let len = file.size().map_err(unreadable)?;
    let mut start = [0; segment::HEADER_LEN];
    let n = read_at(&file, &mut start, 0).map_err(unreadable)?;
    let start = start.get(..n).unwrap_or_default();
    let is_open = path.extension().is_some_and(|e| e == "open");
    if is_open && n < segment::HEADER_LEN && start.iter().zip(&segment::MAGIC).all(|(a, b)| a == b) {
        return Ok(Indexed::Begun(n as u64));
    }
    if let Some(found) = SegmentHeader::version_of(start).filter(|v| v.0 > segment::MAJOR) {
        return Err(ReadError::Version { path: path.to_owned(), found });
    }
    let header = SegmentHeader::decode(start)
        .map_err(|e| ReadError::Foreign { path: path.to_owned(), what: e.what.to_owned() })?;
    let bytes = len.min(MAX_SEGMENT);
    let (blocks, damage) = (Vec::new(), Vec::new());
    let mut index = Index { file, header, blocks, torn: None, damage, more_damaged: 0, bytes };
    if len > MAX_SEGMENT {
        index.damaged(path, MAX_SEGMENT, len - MAX_SEGMENT, 0, "more bytes than a segment may have");
    }
    index.walk(path, is_open).map_err(unreadable)?;
    Ok(Indexed::Whole(Box::new(index)))
}

/// How long an unsealed segment is that ends within its header, since its process was killed when it began it (or the
/// disk was full): nothing was released for it. `None` if that does not explain what is there.
pub(crate) fn unborn(path: &Path) -> Option<u64> {
    let mut start = [0; segment::HEADER_LEN];
    let n = source::open(path).and_then(|file| read_at(&file, &mut start, 0)).ok()?;
    let is_begun = start.iter().take(n).zip(&segment::MAGIC).all(|(a, b)| a == b);
    let is_open = path.extension().is_some_and(|e| e == "open");
    (is_open && n < segment::HEADER_LEN && is_begun).then_some(n as u64)
}

impl Index {
    fn damaged(&mut self, path: &Path, offset: u64, bytes: u64, events: u64, what: &str) {
        // As the summary does it: one cause, one line, and not more lines than anybody reads.
        if let Some(last) = self.damage.last_mut().filter(|last| last.what == what) {
            last.bytes = last.bytes.saturating_add(bytes);
            last.events = last.events.saturating_add(events);
        } else if self.damage.len() < MAX_LISTED {
            let (file, what) = (path.to_owned(), what.to_owned());
            self.damage.push(Damage { file, offset, bytes, events, what });
        } else {
            self.more_damaged += 1;
        }
    }

    fn walk(&mut self, path: &Path, is_open: bool) -> io::Result<()> {
        let tag = self.header.file_id.first_chunk::<8>().copied().unwrap_or_default();
        let mut at = segment::HEADER_LEN as u64;
        let mut buffer = [0; HEADER_LEN];
        let mut sealed = false;
        while at < self.bytes {
            if self.blocks.len() >= MAX_BLOCKS {
                self.damaged(path, at, self.bytes - at, 0, "more blocks than a segment may have");
                return Ok(());
            }
            let n = read_at(&self.file, &mut buffer, at)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            match decode_header(bytes, tag) {
                Ok(header) => {
                    let payload = at + HEADER_LEN as u64;
                    let end = payload + header.padded_len();
                    // A block without its last padding is whole.
                    if payload + u64::from(header.stored_len) > self.bytes {
                        let (rest, events) = (self.bytes - at, u64::from(header.events));
                        if is_open {
                            self.torn = Some(Torn { header: Some(header), bytes: rest });
                        } else {
                            self.damaged(path, at, rest, events, "the last block is cut");
                        }
                        return Ok(());
                    }
                    sealed = header.kind == BlockKind::End;
                    if sealed && self.damage.is_empty() && header.sequence != self.blocks.len() as u64 {
                        self.damaged(path, at, 0, 0, "the end names another number of blocks");
                    }
                    self.blocks.push(Found { header, offset: at });
                    at = end;
                }
                // Less than a header, and what is there is the beginning of one.
                Err(_)
                    if is_open && n < HEADER_LEN && bytes.iter().zip(&block::MAGIC).all(|(a, b)| a == b) =>
                {
                    self.torn = Some(Torn { header: None, bytes: self.bytes - at });
                    return Ok(());
                }
                Err(error) => {
                    let end = next_block(&self.file, at + 1, self.bytes, tag)?.unwrap_or(self.bytes);
                    self.damaged(path, at, end - at, 0, error.what);
                    at = end;
                }
            }
        }
        if !sealed && !is_open {
            self.damaged(path, self.bytes, 0, 0, "the end of the segment is missing");
        }
        Ok(())
    }
}

/// The next place with a header of this file that is whole. At any byte: where some were inserted or taken out, what
/// follows is not aligned any more.
fn next_block(file: &Input, from: u64, end: u64, tag: [u8; 8]) -> io::Result<Option<u64>> {
    // Short at first: a file of nothing but damaged headers must not be read over and over.
    const FIRST: usize = 512;
    const MOST: usize = 256 * 1024;
    let (mut at, mut len) = (from, FIRST);
    let mut window = Vec::new();
    while at < end {
        let data = match file {
            Input::File(file) => source::next_data(file, at),
            Input::Given(_) => Some(at),
        };
        let Some(data) = data else { return Ok(None) };
        at = data;
        window.resize(len + HEADER_LEN, 0);
        let n = read_at(file, &mut window, at)?;
        let bytes = window.get(..n).unwrap_or_default();
        let mut offset = 0;
        while let Some(next) =
            bytes.get(offset..n.min(len)).and_then(|b| b.iter().position(|b| *b == block::MAGIC[0]))
        {
            offset += next;
            let candidate = bytes.get(offset..).unwrap_or_default();
            if candidate.starts_with(&block::MAGIC) && decode_header(candidate, tag).is_ok() {
                return Ok(Some(at + offset as u64));
            }
            offset += 1;
        }
        at += len as u64;
        len = (2 * len).min(MOST);
    }
    Ok(None)
}
