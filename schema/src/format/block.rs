//! Blocks: FORMAT.md section 4. Compression lives here, so that both directions stand side by side.

use super::columns::Decoder;
use super::crc;
use crate::decode::Reader;
use crate::error::DecodeError;
use crate::limits::{MAX_BLOCK_RAW, MAX_BLOCK_STORED};

/// First bytes of a block.
pub const MAGIC: [u8; 4] = *b"TWB1";
/// Length of a block's header.
pub const HEADER_LEN: usize = 96;
/// The block was recovered by a collector.
pub const FLAG_RECOVERED: u16 = 1;
/// The block was stored in haste, without LZ4, to be compressed later; in an end block: some block of this segment was.
pub const FLAG_HASTY: u16 = 2;
/// The block comes from a ring that outlived a restart of the computer: its pages may be of different moments.
pub const FLAG_UNVERIFIED: u16 = 4;

/// Longest columns: what a block may store.
const MAX_COLUMNS: usize = MAX_BLOCK_STORED;
const CRC_AT: usize = HEADER_LEN - 4;

/// What a block's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    /// Records of one ring.
    #[default]
    Data = 1,
    /// Schemas.
    Schemas = 2,
    /// Clock points.
    Clocks = 3,
    /// Infos of rings.
    Ring = 4,
    /// Counters of rings.
    Counters = 5,
    /// The segment is whole.
    End = 6,
    /// A kind of a later minor version: to be skipped.
    Unknown = 0,
}

/// How a payload is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    #[default]
    Raw = 0,
    /// LZ4 block format.
    Lz4 = 1,
    /// Columns; see [`super::columns`].
    Columns = 2,
    /// Columns, then LZ4: their length as u32, then the LZ4 block.
    ColumnsLz4 = 3,
}

/// A block's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the payload is.
    pub kind: BlockKind,
    /// How it is stored.
    pub codec: Codec,
    /// [`FLAG_RECOVERED`], [`FLAG_HASTY`], [`FLAG_UNVERIFIED`].
    pub flags: u16,
    /// Stored bytes, without padding.
    pub stored_len: u32,
    /// Bytes after decompression.
    pub raw_len: u32,
    /// The ring's id; 0 if the block belongs to none.
    pub ring: u32,
    /// Event records in it.
    pub events: u32,
    /// Start of its range of positions.
    pub from: u64,
    /// End of its range of positions.
    pub to: u64,
    /// Event records of this ring before it. In an end block: blocks before it.
    pub sequence: u64,
    /// Ticks of the first event record.
    pub first_ticks: u64,
    /// Ticks of the last event record.
    pub last_ticks: u64,
    /// Losses told by loss records of this ring up to its end.
    pub lost: u64,
    /// First bytes of the file's id.
    pub file_tag: [u8; 8],
    /// CRC of the stored payload.
    pub payload_crc: u32,
}

impl BlockHeader {
    /// A header of this kind with everything else zero.
    #[must_use]
    pub fn meta(kind: BlockKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Stored payload with its padding, in bytes.
    #[must_use]
    pub const fn padded_len(&self) -> u64 {
        (self.stored_len as u64).next_multiple_of(8)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind as u8, self.codec as u8]);
        out.extend_from_slice(&self.flags.to_le_bytes());
        for word in [self.stored_len, self.raw_len, self.ring, self.events] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.from, self.to, self.sequence, self.first_ticks, self.last_ticks, self.lost] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.file_tag);
        for word in [0, self.payload_crc, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&crc(&out).to_le_bytes());
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// From bytes: magic, CRC and limits are checked, so a header that exists is within bounds.
    ///
    /// # Errors
    /// If it is not a header, is damaged, or asks for more than a block may have.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let whole = bytes.first_chunk::<HEADER_LEN>().ok_or(DecodeError::new(0, "block header is cut"))?;
        let mut reader = Reader::new(whole);
        if reader.array::<4>()? != MAGIC {
            return Err(DecodeError::new(0, "no block begins here"));
        }
        let stored_crc = Reader::new(whole.get(CRC_AT..).unwrap_or_default()).u32()?;
        if stored_crc != crc(whole.get(..CRC_AT).unwrap_or_default()) {
            return Err(DecodeError::new(CRC_AT, "block header has a wrong checksum"));
        }
        let kind = match reader.u8()? {
            1 => BlockKind::Data,
            2 => BlockKind::Schemas,
            3 => BlockKind::Clocks,
            4 => BlockKind::Ring,
            5 => BlockKind::Counters,
            6 => BlockKind::End,
            _ => BlockKind::Unknown,
        };
        let codec = match reader.u8()? {
            0 => Codec::Raw,
            1 => Codec::Lz4,
            2 => Codec::Columns,
            3 => Codec::ColumnsLz4,
            _ => return Err(DecodeError::new(5, "unknown compression; a newer reader is needed")),
        };
        let header = Self {
            kind,
            codec,
            flags: reader.u16()?,
            stored_len: reader.u32()?,
            raw_len: reader.u32()?,
            ring: reader.u32()?,
            events: reader.u32()?,
            from: reader.u64()?,
            to: reader.u64()?,
            sequence: reader.u64()?,
            first_ticks: reader.u64()?,
            last_ticks: reader.u64()?,
            lost: reader.u64()?,
            file_tag: reader.array()?,
            payload_crc: {
                reader.u32()?;
                reader.u32()?
            },
        };
        if header.raw_len as usize > MAX_BLOCK_RAW || header.stored_len as usize > MAX_BLOCK_STORED {
            return Err(DecodeError::new(8, "block is larger than a block may be"));
        }
        let span = header.to.checked_sub(header.from);
        if header.kind == BlockKind::Data && span != Some(u64::from(header.raw_len)) {
            return Err(DecodeError::new(24, "range of positions does not match the length"));
        }
        if header.sequence.checked_add(u64::from(header.events)).is_none() {
            return Err(DecodeError::new(40, "sequence overflows"));
        }
        Ok(header)
    }
}

/// Compresses `raw` into `out` if that makes it smaller; says which of the two to store.
pub fn compress_block(raw: &[u8], out: &mut Vec<u8>) -> Codec {
    out.clear();
    if lz4_after(raw, out, 0) { Codec::Lz4 } else { Codec::Raw }
}

/// Compresses columns into `out` if that makes them smaller by an eighth; says which of the two to store.
pub fn compress_columns(columns: &[u8], out: &mut Vec<u8>) -> Codec {
    out.clear();
    out.extend_from_slice(&(columns.len() as u32).to_le_bytes());
    if lz4_after(columns, out, columns.len() / 8) { Codec::ColumnsLz4 } else { Codec::Columns }
}

/// Appends `raw` compressed to `out`. False, with `out` empty, if not more than `gain` bytes are won.
fn lz4_after(raw: &[u8], out: &mut Vec<u8>, gain: usize) -> bool {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    match lz4_flex::block::compress_into(raw, room) {
        Ok(n) if start + n + gain < raw.len() => {
            out.truncate(start + n);
            true
        }
        _ => {
            out.clear();
            false
        }
    }
}

/// The decoded payload of a block, into `out`. The checksum is checked before anything else.
///
/// # Errors
/// If the payload is cut or damaged, or does not have the length that the header says.
pub fn decompress_block(header: &BlockHeader, stored: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    Unpacker::default().unpack(header, stored, out)
}

/// Decodes payloads of blocks; keeps its memory from block to block.
#[derive(Debug, Default)]
pub struct Unpacker {
    columns: Vec<u8>,
    decoder: Decoder,
}

impl Unpacker {
    /// As [`decompress_block`].
    ///
    /// # Errors
    /// If the payload is cut or damaged, or does not have the length that the header says.
    pub fn unpack(
        &mut self,
        header: &BlockHeader,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let stored = checked(header, stored)?;
        let raw_len = (header.raw_len as usize).min(MAX_BLOCK_RAW);
        out.clear();
        match header.codec {
            Codec::Raw if stored.len() == raw_len => out.extend_from_slice(stored),
            Codec::Raw => return Err(DecodeError::new(8, "raw block with two lengths")),
            Codec::Lz4 => {
                out.resize(raw_len, 0);
                inflate(stored, out)?;
            }
            Codec::Columns | Codec::ColumnsLz4 => {
                let columns = columns_of(header, stored, &mut self.columns)?;
                out.resize(raw_len, 0);
                self.decoder.decode(columns, out)?;
            }
        }
        Ok(())
    }

    /// The columns of a payload, for [`Table`](super::columns::Table); `None` if it has none.
    ///
    /// # Errors
    /// If the payload is cut or damaged.
    pub fn columns<'s>(
        &'s mut self,
        header: &BlockHeader,
        stored: &'s [u8],
    ) -> Result<Option<&'s [u8]>, DecodeError> {
        match header.codec {
            Codec::Raw | Codec::Lz4 => Ok(None),
            _ => columns_of(header, checked(header, stored)?, &mut self.columns).map(Some),
        }
    }
}

/// The payload, its checksum being right.
fn checked<'s>(header: &BlockHeader, stored: &'s [u8]) -> Result<&'s [u8], DecodeError> {
    let stored = stored
        .get(..header.stored_len as usize)
        .ok_or(DecodeError::new(HEADER_LEN, "block payload is cut"))?;
    if crc(stored) != header.payload_crc {
        return Err(DecodeError::new(HEADER_LEN, "block payload has a wrong checksum"));
    }
    Ok(stored)
}

/// The columns that a payload is, or that it decompresses to.
fn columns_of<'s>(
    header: &BlockHeader,
    stored: &'s [u8],
    room: &'s mut Vec<u8>,
) -> Result<&'s [u8], DecodeError> {
    if header.codec != Codec::ColumnsLz4 {
        return Ok(stored);
    }
    let mut reader = Reader::new(stored);
    let len = reader.u32()? as usize;
    if len > MAX_COLUMNS {
        return Err(DecodeError::new(HEADER_LEN, "columns are longer than they may be"));
    }
    room.clear();
    room.resize(len, 0);
    inflate(reader.rest(), room)?;
    Ok(room)
}

/// Decompresses LZ4 to exactly the length of `out`.
fn inflate(stored: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
    let n = lz4_flex::block::decompress_into(stored, out)
        .map_err(|_| DecodeError::new(HEADER_LEN, "block payload does not decompress"))?;
    if n == out.len() {
        Ok(())
    } else {
        Err(DecodeError::new(HEADER_LEN, "block decompresses to another length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BlockHeader {
        BlockHeader {
            kind: BlockKind::Data,
            codec: Codec::Lz4,
            stored_len: 3,
            raw_len: 16,
            ring: 9,
            events: 1,
            from: 32,
            to: 48,
            sequence: 4,
            first_ticks: 5,
            last_ticks: 6,
            lost: 7,
            file_tag: [8; 8],
            payload_crc: 10,
            ..BlockHeader::default()
        }
    }

    #[test]
    fn a_header_survives_and_every_flipped_bit_is_noticed() {
        let bytes = sample().encode();
        assert_eq!(BlockHeader::decode(&bytes).unwrap(), sample());
        for bit in 0..HEADER_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(BlockHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn payloads_come_back() {
        let mut stored = Vec::new();
        let raw = vec![7; 5000];
        let codec = compress_block(&raw, &mut stored);
        assert_eq!(codec, Codec::Lz4);
        let header = BlockHeader {
            codec,
            raw_len: 5000,
            stored_len: stored.len() as u32,
            payload_crc: crc(&stored),
            ..BlockHeader::default()
        };
        let mut out = Vec::new();
        decompress_block(&header, &stored, &mut out).unwrap();
        assert_eq!(out, raw);
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decompress_block(&header, &flipped, &mut out).is_err(), "bit {bit}");
        }
        assert_eq!(compress_block(&[1, 2, 3], &mut stored), Codec::Raw);
    }
}
