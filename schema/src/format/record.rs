//! Records: FORMAT.md section 3.

use crate::decode::Reader;
use crate::error::DecodeError;
use crate::limits::MAX_RECORD;

/// Length of a record's header.
pub const HEADER_LEN: usize = 16;
/// An event.
pub const KIND_EVENT: u8 = 1;
/// Counts of what was lost here.
pub const KIND_LOSS: u8 = 2;
/// Nothing, to the end of the lap.
pub const KIND_PAD: u8 = 3;
/// The payload ends with a trailer of reductions.
pub const FLAG_REDUCED: u8 = 1;

/// Why an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LossReason {
    /// The ring was full.
    Full = 0,
    /// The record was longer than a record may be, or than half the ring.
    TooBig = 1,
    /// The emit was inside another of the same thread.
    Nested = 2,
    /// The emit was in a signal handler.
    Signal = 3,
    /// The thread had no ring and could not get one.
    NoRing = 4,
    /// The emit was in a forked child that could not open a ring.
    Forked = 5,
    /// Tracing was disabled during the emit.
    DisabledRace = 6,
    /// Anything else.
    Other = 7,
}

impl LossReason {
    /// All, by index.
    pub const ALL: [Self; 8] = [
        Self::Full,
        Self::TooBig,
        Self::Nested,
        Self::Signal,
        Self::NoRing,
        Self::Forked,
        Self::DisabledRace,
        Self::Other,
    ];

    /// The name in texts and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooBig => "too_big",
            Self::Nested => "nested",
            Self::Signal => "signal",
            Self::NoRing => "no_ring",
            Self::Forked => "forked",
            Self::DisabledRace => "disabled_race",
            Self::Other => "other",
        }
    }
}

/// Counts by reason: the payload of a loss record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts(pub [u64; 8]);

impl LossCounts {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; 64] {
        let mut out = [0; 64];
        for (bytes, count) in out.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&count.to_le_bytes());
        }
        out
    }

    /// From bytes.
    ///
    /// # Errors
    /// If there are fewer than 64.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut counts = [0; 8];
        for count in &mut counts {
            *count = reader.u64()?;
        }
        Ok(Self(counts))
    }

    /// The sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |a, b| a.saturating_add(*b))
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// Header and payload, without padding, in bytes.
    pub len: u32,
    /// Index into the process's event types.
    pub event: u16,
    /// [`KIND_EVENT`], [`KIND_LOSS`] or [`KIND_PAD`].
    pub kind: u8,
    /// [`FLAG_REDUCED`].
    pub flags: u8,
    /// Ticks of the process's clock; 0 in a pad of eight bytes.
    pub ticks: u64,
}

impl RecordHeader {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&self.len.to_le_bytes());
        out[4..6].copy_from_slice(&self.event.to_le_bytes());
        out[6] = self.kind;
        out[7] = self.flags;
        out[8..].copy_from_slice(&self.ticks.to_le_bytes());
        out
    }
}

/// One record of a block.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// The bytes after the header.
    pub payload: &'a [u8],
    /// Offset of the record in the block's payload.
    pub offset: usize,
}

/// The records of a block's decoded payload, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// Over a decoded payload.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn read(&mut self) -> Result<Record<'a>, DecodeError> {
        let offset = self.at;
        let mut reader = Reader::new(self.bytes.get(offset..).unwrap_or_default());
        let at = |what| DecodeError::new(offset, what);
        let len = reader.u32()?;
        let (event, kind, flags) = (reader.u16()?, reader.u8()?, reader.u8()?);
        let size = usize::try_from(len).map_err(|_| at("record length"))?;
        let is_pad = kind == KIND_PAD;
        if is_pad && (size < 8 || !size.is_multiple_of(8)) {
            return Err(at("pad record with a bad length"));
        }
        if !is_pad && !(HEADER_LEN..=MAX_RECORD).contains(&size) {
            return Err(at("record length out of range"));
        }
        if !(KIND_EVENT..=KIND_PAD).contains(&kind) {
            return Err(at("unknown kind of record"));
        }
        let whole = self.bytes.get(offset..offset.saturating_add(size)).ok_or(at("record is cut"))?;
        let ticks = if size >= HEADER_LEN { reader.u64()? } else { 0 };
        self.at = offset.saturating_add(size.next_multiple_of(8));
        Ok(Record {
            header: RecordHeader { len, event, kind, flags, ticks },
            payload: whole.get(HEADER_LEN..).unwrap_or_default(),
            offset,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.at = self.bytes.len();
        }
        Some(record)
    }
}
