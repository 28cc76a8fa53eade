//! Who a process is, and the files of its ring folder but the rings: FORMAT.md sections 4 and 5.

use super::clock::{CLOCK_POINT_LEN, ClockPoint};
use super::{crc, hex, push_padded};
use crate::decode::Reader;
use crate::error::DecodeError;
use crate::limits::{MAX_EVENTS, MAX_SCHEMA};

/// Name of the file with identity, clock and liveness lock.
pub const PROCESS_FILE: &str = "process";
/// Name of the file with the schemas.
pub const SCHEMAS_FILE: &str = "schemas";
/// First bytes of the process file.
pub const MAGIC: [u8; 8] = *b"TWPROC\r\n";
/// Length of the process file.
pub const FILE_LEN: usize = 4096;
/// Length of an identity.
pub const IDENTITY_LEN: usize = 160;
/// Clock slots in the process file.
pub const CLOCK_SLOTS: usize = 64;

const IDENTITY_AT: usize = 16;
const CRC_AT: usize = IDENTITY_AT + IDENTITY_LEN;
const SLOTS_AT: usize = 256;
const SLOT_LEN: usize = 48;

/// The clock that stamps a process's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ClockKind {
    /// The processor's time stamp counter.
    #[default]
    Tsc = 1,
    /// `CLOCK_MONOTONIC`, ns.
    Monotonic = 2,
    /// The time that the drain last published.
    Coarse = 3,
}

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Random, new for each process and session.
    pub process_uuid: [u8; 16],
    /// The kernel's boot id.
    pub boot_id: [u8; 16],
    /// The session's id.
    pub session_id: [u8; 16],
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Start of the process, clock ticks since boot.
    pub start_ticks: u64,
    /// What stamps its records.
    pub clock: ClockKind,
    /// How much older than its event a time stamp can be, ns: 0 but for a coarse clock.
    pub resolution: u32,
    /// Component name.
    pub component: String,
    /// Component version.
    pub version: String,
    /// When it attached, UTC ns.
    pub attached: i64,
    /// The parent's process uuid if it was forked, else zero.
    pub parent_uuid: [u8; 16],
}

impl ProcessIdentity {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(IDENTITY_LEN);
        for id in [&self.process_uuid, &self.boot_id, &self.session_id] {
            out.extend_from_slice(id);
        }
        out.extend_from_slice(&self.pid.to_le_bytes());
        out.extend_from_slice(&self.uid.to_le_bytes());
        out.extend_from_slice(&self.start_ticks.to_le_bytes());
        out.push(self.clock as u8);
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.resolution.to_le_bytes());
        push_padded(&mut out, &self.component, 32);
        push_padded(&mut out, &self.version, 32);
        out.extend_from_slice(&self.attached.to_le_bytes());
        out.extend_from_slice(&self.parent_uuid);
        out
    }

    /// From bytes.
    ///
    /// # Errors
    /// If it is cut, names an unknown clock, or has text that is not UTF-8.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (process_uuid, boot_id, session_id) = (reader.array()?, reader.array()?, reader.array()?);
        let (pid, uid, start_ticks) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let clock = match reader.u8()? {
            1 => ClockKind::Tsc,
            2 => ClockKind::Monotonic,
            3 => ClockKind::Coarse,
            _ => return Err(reader.error("unknown clock")),
        };
        reader.take(3)?;
        let resolution = reader.u32()?;
        Ok(Self {
            process_uuid,
            boot_id,
            session_id,
            pid,
            uid,
            start_ticks,
            clock,
            resolution,
            component: reader.padded(32)?.to_owned(),
            version: reader.padded(32)?.to_owned(),
            attached: reader.i64()?,
            parent_uuid: reader.array()?,
        })
    }
}

/// Name of a process's ring folder.
#[must_use]
pub fn folder_name(identity: &ProcessIdentity) -> String {
    let uuid8 = hex(identity.process_uuid.get(..4).unwrap_or_default());
    format!("{}-{}-{uuid8}", identity.component, identity.pid)
}

/// The process file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFile {
    /// Who the process is.
    pub identity: ProcessIdentity,
    /// Its clock points, by ticks.
    pub points: Vec<ClockPoint>,
}

impl ProcessFile {
    /// The whole file. At most [`CLOCK_SLOTS`] points.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&4096_u32.to_le_bytes());
        out.extend_from_slice(&self.identity.encode());
        out.extend_from_slice(&crc(&out).to_le_bytes());
        out.resize(SLOTS_AT, 0);
        for (slot, point) in self.points.iter().take(CLOCK_SLOTS).enumerate() {
            out.extend_from_slice(&encode_clock_slot(slot, point).1);
        }
        out.resize(FILE_LEN, 0);
        out
    }

    /// From the file's bytes; damaged clock slots are left out.
    ///
    /// # Errors
    /// If it is not such a file, of a later major version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<8>()? != MAGIC {
            return Err(DecodeError::new(0, "not a process file"));
        }
        if reader.u16()? != 1 {
            return Err(DecodeError::new(8, "process file of a later version; a newer reader is needed"));
        }
        reader.u16()?;
        reader.u32()?;
        let identity = ProcessIdentity::decode(&mut reader)?;
        if reader.u32()? != crc(bytes.get(..CRC_AT).unwrap_or_default()) {
            return Err(DecodeError::new(CRC_AT, "process file has a wrong checksum"));
        }
        let mut points = Vec::new();
        for slot in bytes.get(SLOTS_AT..).unwrap_or_default().chunks_exact(SLOT_LEN).take(CLOCK_SLOTS) {
            let mut reader = Reader::new(slot);
            let point = ClockPoint::decode(&mut reader)?;
            if point.ticks != 0 && reader.u32()? == crc(slot.get(..CLOCK_POINT_LEN).unwrap_or_default()) {
                points.push(point);
            }
        }
        points.sort_by_key(|p| p.ticks);
        Ok(Self { identity, points })
    }
}

/// How many clock slots of a process file are neither free nor right, those counted that are not there because the
/// file was cut.
#[must_use]
pub fn damaged_slots(bytes: &[u8]) -> usize {
    (0..CLOCK_SLOTS)
        .filter(|slot| {
            let at = SLOTS_AT + slot * SLOT_LEN;
            bytes.get(at..at + SLOT_LEN).is_none_or(|slot| {
                let (point, rest) = slot.split_at(CLOCK_POINT_LEN);
                let is_right = crc(point).to_le_bytes() == *rest.first_chunk().unwrap_or(&[0; 4]);
                !is_right && slot.iter().any(|byte| *byte != 0)
            })
        })
        .count()
}

/// Offset and bytes of a clock slot.
#[must_use]
pub fn encode_clock_slot(slot: usize, point: &ClockPoint) -> (u64, Vec<u8>) {
    let mut out = point.encode().to_vec();
    out.extend_from_slice(&crc(&out).to_le_bytes());
    out.resize(SLOT_LEN, 0);
    ((SLOTS_AT + slot * SLOT_LEN) as u64, out)
}

/// An item of the schemas file.
#[must_use]
pub fn encode_schema_item(index: u16, blob: &[u8]) -> Vec<u8> {
    let mut out = index.to_le_bytes().to_vec();
    out.extend_from_slice(&(blob.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(blob).to_le_bytes());
    out.extend_from_slice(blob);
    out
}

/// An item of a schemas block.
#[must_use]
pub fn encode_schema_payload_item(index: u16, blob: &[u8]) -> Vec<u8> {
    let mut out = index.to_le_bytes().to_vec();
    out.extend_from_slice(&(blob.len() as u32).to_le_bytes());
    out.extend_from_slice(blob);
    out
}

/// Items of a schemas file (`with_crc`) or block: event index and blob. Ends after the first error: a schemas
/// file may end with a torn item, which no record uses.
#[derive(Clone, Debug)]
pub struct SchemaItems<'a> {
    reader: Reader<'a>,
    with_crc: bool,
    failed: bool,
}

impl<'a> SchemaItems<'a> {
    /// Items of a schemas file.
    #[must_use]
    pub const fn of_file(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), with_crc: true, failed: false }
    }

    /// Items of a schemas block.
    #[must_use]
    pub const fn of_block(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload), with_crc: false, failed: false }
    }

    fn read(&mut self) -> Result<(u16, &'a [u8]), DecodeError> {
        let index = self.reader.u16()?;
        let len = self.reader.u32()? as usize;
        if len > MAX_SCHEMA || usize::from(index) >= MAX_EVENTS {
            return Err(self.reader.error("schema out of range"));
        }
        let expected = if self.with_crc { Some(self.reader.u32()?) } else { None };
        let blob = self.reader.take(len)?;
        if expected.is_some_and(|e| e != crc(blob)) {
            return Err(self.reader.error("schema has a wrong checksum"));
        }
        Ok((index, blob))
    }
}

impl<'a> Iterator for SchemaItems<'a> {
    type Item = Result<(u16, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.rest().is_empty() {
            return None;
        }
        let item = self.read();
        self.failed = item.is_err();
        Some(item)
    }
}
