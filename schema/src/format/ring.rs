//! Ring files: FORMAT.md section 5.

use super::push_padded;
use crate::decode::Reader;
use crate::error::DecodeError;
use crate::limits::{MAX_RING, MIN_RING};

/// First bytes of a ring file.
pub const MAGIC: [u8; 8] = *b"TWRING\r\n";
/// Length of the header page.
pub const PAGE: usize = 4096;
/// Length of a ring info.
pub const INFO_LEN: usize = 64;
/// Length of ring counters.
pub const COUNTERS_LEN: usize = 104;
/// Length of the part of the header that is written at a claim.
pub const STATIC_LEN: usize = 128;

/// Offset of the state.
pub const STATE: usize = 40;
const INFO: usize = 48;
const START_SEQUENCE: usize = INFO + INFO_LEN;
const CRC: usize = START_SEQUENCE + 8;
/// Offset of the head.
pub const HEAD: usize = 192;
/// Offset of the number of attempts.
pub const ATTEMPTED: usize = HEAD + 8;
/// Offset of the losses by reason.
pub const LOST: usize = 256;
/// Offset of the tail.
pub const TAIL: usize = LOST + 64;
/// Offset of the sequence at the tail.
pub const SEQUENCE_AT_TAIL: usize = TAIL + 8;

/// Whose ring it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingInfo {
    /// Id, unique in its process, from 1.
    pub ring: u32,
    /// Thread id.
    pub tid: u32,
    /// Position of its first record.
    pub start: u64,
    /// When the thread got it, UTC ns.
    pub started: i64,
    /// Capacity, bytes.
    pub capacity: u64,
    /// The thread's name.
    pub thread_name: String,
}

impl RingInfo {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(INFO_LEN);
        out.extend_from_slice(&self.ring.to_le_bytes());
        out.extend_from_slice(&self.tid.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.started.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        push_padded(&mut out, &self.thread_name, 32);
        out
    }

    /// The next info of a reader.
    ///
    /// # Errors
    /// If it is cut or its name is not UTF-8.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ring: reader.u32()?,
            tid: reader.u32()?,
            start: reader.u64()?,
            started: reader.i64()?,
            capacity: reader.u64()?,
            thread_name: reader.padded(32)?.to_owned(),
        })
    }
}

/// What happened to a ring's events so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// The ring's id; 0 for what belongs to no ring.
    pub ring: u32,
    /// The ring has ended: the law must hold exactly.
    pub is_final: bool,
    /// Position up to which `delivered` counts.
    pub position: u64,
    /// Emits.
    pub attempted: u64,
    /// Event records committed before `position`.
    pub delivered: u64,
    /// Refused, by reason.
    pub lost: [u64; 8],
}

impl RingCounters {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(COUNTERS_LEN);
        out.extend_from_slice(&self.ring.to_le_bytes());
        out.extend_from_slice(&u32::from(self.is_final).to_le_bytes());
        for word in [self.position, self.attempted, self.delivered, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for word in self.lost {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// The next counters of a reader.
    ///
    /// # Errors
    /// If they are cut.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (ring, flags) = (reader.u32()?, reader.u32()?);
        let (position, attempted, delivered) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.u64()?;
        let mut lost = [0; 8];
        for count in &mut lost {
            *count = reader.u64()?;
        }
        Ok(Self { ring, is_final: flags & 1 != 0, position, attempted, delivered, lost })
    }
}

/// The header page of a ring file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingHeader {
    /// Capacity, bytes.
    pub capacity: u64,
    /// The process.
    pub process_uuid: [u8; 16],
    /// 0 free, 1 active, 2 closing.
    pub state: u32,
    /// Whose it is.
    pub info: RingInfo,
    /// Event records before its start position.
    pub start_sequence: u64,
    /// End of what is committed.
    pub head: u64,
    /// Emits, without those refused inside others.
    pub attempted: u64,
    /// Refused, by reason.
    pub lost: [u64; 8],
    /// Everything before is in a segment.
    pub tail: u64,
    /// Event records before the tail.
    pub sequence_at_tail: u64,
}

impl RingHeader {
    /// Event records committed, by the other counts; one more than there are if the thread died inside an emit.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let [full, too_big, _nested, _signal, rest @ ..] = self.lost;
        rest.iter().chain(&[full, too_big]).fold(self.attempted, |n, lost| n.saturating_sub(*lost))
    }

    /// The whole page.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE] {
        let mut out = Vec::with_capacity(PAGE);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&4096_u32.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        out.extend_from_slice(&self.process_uuid);
        out.extend_from_slice(&self.state.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.info.encode());
        out.extend_from_slice(&self.start_sequence.to_le_bytes());
        out.extend_from_slice(&static_crc(&out).to_le_bytes());
        out.resize(HEAD, 0);
        for word in [self.head, self.attempted, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(LOST, 0);
        for word in self.lost {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.tail.to_le_bytes());
        out.extend_from_slice(&self.sequence_at_tail.to_le_bytes());
        let mut page = [0; PAGE];
        for (to, from) in page.iter_mut().zip(&out) {
            *to = *from;
        }
        page
    }

    /// From the header page.
    ///
    /// # Errors
    /// If it is not a ring, of a later version, damaged, or its numbers contradict each other.
    pub fn decode(page: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(page);
        if reader.array::<8>()? != MAGIC {
            return Err(DecodeError::new(0, "not a ring"));
        }
        if reader.u16()? != 1 {
            return Err(DecodeError::new(8, "ring of a later version; a newer reader is needed"));
        }
        reader.u16()?;
        if reader.u32()? != 4096 {
            return Err(DecodeError::new(12, "ring of another page size"));
        }
        let capacity = reader.u64()?;
        let process_uuid = reader.array()?;
        let state = reader.u32()?;
        reader.u32()?;
        let info = RingInfo::decode(&mut reader)?;
        let start_sequence = reader.u64()?;
        let expected = reader.u32()?;
        if expected != static_crc(page.get(..CRC).unwrap_or_default()) {
            return Err(DecodeError::new(CRC, "ring header has a wrong checksum"));
        }
        if !capacity.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&capacity) {
            return Err(DecodeError::new(16, "ring of an impossible capacity"));
        }
        let mut reader = Reader::new(page.get(HEAD..).unwrap_or_default());
        let (head, attempted, _) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let mut reader = Reader::new(page.get(LOST..).unwrap_or_default());
        let mut lost = [0; 8];
        for count in &mut lost {
            *count = reader.u64()?;
        }
        let (tail, sequence_at_tail) = (reader.u64()?, reader.u64()?);
        if head.checked_sub(tail).is_none_or(|waiting| waiting > capacity) {
            return Err(DecodeError::new(HEAD, "head and tail of a ring contradict each other"));
        }
        Ok(Self {
            capacity,
            process_uuid,
            state,
            info,
            start_sequence,
            head,
            attempted,
            lost,
            tail,
            sequence_at_tail,
        })
    }
}

/// CRC of the static part without the state, which changes alone.
fn static_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..STATE).unwrap_or_default());
    hasher.update(bytes.get(INFO..CRC).unwrap_or_default());
    hasher.finalize()
}
