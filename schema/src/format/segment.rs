//! Segment headers and file names: FORMAT.md section 4.

use super::process::ProcessIdentity;
use super::{crc, hex};
use crate::decode::Reader;
use crate::error::DecodeError;

/// First bytes of a segment.
pub const MAGIC: [u8; 8] = *b"TWSEG\r\n\x1a";
/// The version written here.
pub const MAJOR: u16 = 1;
/// The minor version written here.
pub const MINOR: u16 = 0;
/// Length of the header.
pub const HEADER_LEN: usize = 256;
/// End of a sealed segment's name.
pub const SUFFIX: &str = ".twseg";
/// What is appended to the name until the segment is sealed.
pub const OPEN_SUFFIX: &str = ".open";
/// Appended to the name of a segment that is being packed: a second copy, not to be read.
pub const PACKING_SUFFIX: &str = ".packing";

const CRC_AT: usize = HEADER_LEN - 4;

/// The header of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random id of the file; its first bytes are in every block.
    pub file_id: [u8; 16],
    /// Who wrote it.
    pub identity: ProcessIdentity,
    /// Its number in its process, from 1.
    pub sequence: u32,
    /// When it was begun, UTC ns.
    pub created: i64,
}

impl SegmentHeader {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&MAJOR.to_le_bytes());
        out.extend_from_slice(&MINOR.to_le_bytes());
        out.extend_from_slice(&(HEADER_LEN as u32).to_le_bytes());
        out.extend_from_slice(&self.file_id);
        out.extend_from_slice(&self.identity.encode());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.created.to_le_bytes());
        out.resize(CRC_AT, 0);
        out.extend_from_slice(&crc(&out).to_le_bytes());
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// If it is not a segment's header, of a later major version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let whole = bytes.first_chunk::<HEADER_LEN>().ok_or(DecodeError::new(0, "segment header is cut"))?;
        let mut reader = Reader::new(whole);
        if reader.array::<8>()? != MAGIC {
            return Err(DecodeError::new(0, "not a segment"));
        }
        if reader.u16()? > MAJOR {
            return Err(DecodeError::new(8, "segment of a later version; a newer reader is needed"));
        }
        let stored = Reader::new(whole.get(CRC_AT..).unwrap_or_default()).u32()?;
        if stored != crc(whole.get(..CRC_AT).unwrap_or_default()) {
            return Err(DecodeError::new(CRC_AT, "segment header has a wrong checksum"));
        }
        reader.u16()?;
        if reader.u32()? as usize != HEADER_LEN {
            return Err(DecodeError::new(12, "segment header of another length"));
        }
        let file_id = reader.array()?;
        let identity = ProcessIdentity::decode(&mut reader)?;
        let sequence = reader.u32()?;
        reader.u32()?;
        Ok(Self { file_id, identity, sequence, created: reader.i64()? })
    }

    /// Major and minor version, if these are a segment's first bytes.
    #[must_use]
    pub fn version_of(bytes: &[u8]) -> Option<(u16, u16)> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array::<8>().ok()?;
        let versions = (reader.u16().ok()?, reader.u16().ok()?);
        (magic == MAGIC).then_some(versions)
    }
}

/// Name of a sealed segment.
#[must_use]
pub fn file_name(component: &str, pid: u32, process_uuid: &[u8; 16], sequence: u32) -> String {
    let uuid8 = hex(process_uuid.get(..4).unwrap_or_default());
    format!("{component}_pid{pid}_{uuid8}_{sequence:06}{SUFFIX}")
}

/// The parts of a segment's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Component.
    pub component: String,
    /// Process id.
    pub pid: u32,
    /// First eight hex digits of the process's uuid.
    pub uuid8: String,
    /// Number in the process.
    pub sequence: u32,
    /// Not sealed.
    pub is_open: bool,
}

/// Takes a name apart; `None` if it is not one of ours.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<FileName> {
    let (stem, is_open) = match name.strip_suffix(OPEN_SUFFIX) {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let mut parts = stem.strip_suffix(SUFFIX)?.rsplitn(4, '_');
    let sequence = parts.next().filter(|s| s.len() >= 6)?.parse().ok()?;
    let uuid8 = parts.next().filter(|u| u.len() == 8 && u.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let pid = parts.next()?.strip_prefix("pid")?.parse().ok()?;
    let component = parts.next().filter(|c| {
        (1..=31).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    })?;
    Some(FileName { component: component.to_owned(), pid, uuid8: uuid8.to_owned(), sequence, is_open })
}
