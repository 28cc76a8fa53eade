//! One pass over a segment's block headers: what is where. Payloads of data blocks are read later, in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tracewell_schema::DecodeError;
use tracewell_schema::format::block::{self, BlockHeader, BlockKind, HEADER_LEN, decompress_block};
use tracewell_schema::format::segment::{self, SegmentHeader};
use tracewell_schema::limits::MAX_SEGMENT;

use crate::error::ReadError;
use crate::source;
use crate::summary::Damage;

/// A block and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) header: BlockHeader,
    /// Offset of the header in the file.
    pub(crate) offset: u64,
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) header: SegmentHeader,
    pub(crate) blocks: Vec<Found>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) bytes: u64,
}

/// Reads up to `buffer.len()` bytes; the count is short only at the end of the file.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// The stored payload of a block, decoded into `out`.
pub(crate) fn read_block(
    file: &File,
    found: &Found,
    stored: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    // The header's limits were checked when it was decoded.
    stored.resize(found.header.stored_len as usize, 0);
    let n = read_at(file, stored, found.offset + HEADER_LEN as u64)
        .map_err(|_| DecodeError::new(0, "block cannot be read"))?;
    stored.truncate(n);
    decompress_block(&found.header, stored, out)
}

/// Indexes a segment.
pub(crate) fn index(path: &Path) -> Result<Index, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    let file = source::open(path).map_err(unreadable)?;
    let len = file.metadata().map_err(unreadable)?.len();
    let mut start = [0; segment::HEADER_LEN];
    let n = read_at(&file, &mut start, 0).map_err(unreadable)?;
    let start = start.get(..n).unwrap_or_default();
    if let Some(found) = SegmentHeader::version_of(start).filter(|v| v.0 > segment::MAJOR) {
        return Err(ReadError::Version { path: path.to_owned(), found });
    }
    let header = SegmentHeader::decode(start)
        .map_err(|e| ReadError::Foreign { path: path.to_owned(), what: e.to_string() })?;
    let mut index = Index { header, blocks: Vec::new(), damage: Vec::new(), bytes: len.min(MAX_SEGMENT) };
    let tag: [u8; 8] = index.header.file_id.first_chunk::<8>().copied().unwrap_or_default();
    let mut at = segment::HEADER_LEN as u64;
    let mut bytes = [0; HEADER_LEN];
    let mut sealed = false;
    while at < index.bytes {
        let n = read_at(&file, &mut bytes, at).map_err(unreadable)?;
        let decoded = BlockHeader::decode(bytes.get(..n).unwrap_or_default()).and_then(|h| {
            if h.file_tag == tag { Ok(h) } else { Err(DecodeError::new(72, "block of another file")) }
        });
        match decoded {
            Ok(header) => {
                let end = at + HEADER_LEN as u64 + header.padded_len();
                if end > index.bytes {
                    index.damage.push(Damage {
                        file: path.to_owned(),
                        offset: at,
                        bytes: index.bytes - at,
                        events: u64::from(header.events),
                        what: "the last block is cut".to_owned(),
                    });
                    return Ok(index);
                }
                sealed = header.kind == BlockKind::End;
                index.blocks.push(Found { header, offset: at });
                at = end;
            }
            Err(error) => {
                let next = next_block(&file, at + 8, index.bytes, tag).map_err(unreadable)?;
                let end = next.unwrap_or(index.bytes);
                index.damage.push(Damage {
                    file: path.to_owned(),
                    offset: at,
                    bytes: end - at,
                    events: 0,
                    what: error.what.to_owned(),
                });
                at = end;
            }
        }
    }
    let named_open = path.extension().is_some_and(|e| e == "open");
    if !sealed && !named_open {
        index.damage.push(Damage {
            file: path.to_owned(),
            offset: index.bytes,
            bytes: 0,
            events: 0,
            what: "the end of the segment is missing".to_owned(),
        });
    }
    Ok(index)
}

/// The next place, aligned to eight, with a header of this file that is whole.
fn next_block(file: &File, from: u64, end: u64, tag: [u8; 8]) -> io::Result<Option<u64>> {
    const WINDOW: usize = 256 * 1024;
    let mut window = vec![0; WINDOW + HEADER_LEN];
    let mut at = from;
    while at < end {
        let n = read_at(file, &mut window, at)?;
        let bytes = window.get(..n).unwrap_or_default();
        for offset in (0..bytes.len().min(WINDOW)).step_by(8) {
            let Some(candidate) = bytes.get(offset..) else { break };
            if candidate.starts_with(&block::MAGIC)
                && BlockHeader::decode(candidate).is_ok_and(|h| h.file_tag == tag)
            {
                return Ok(Some(at + offset as u64));
            }
        }
        at += WINDOW as u64;
    }
    Ok(None)
}
