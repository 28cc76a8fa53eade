//! Clock points: what ties ticks to UTC.

use crate::decode::Reader;
use crate::error::DecodeError;

/// Ticks, UTC and boot time at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPoint {
    /// Ticks of the process's clock.
    pub ticks: u64,
    /// UTC, ns since 1970.
    pub time: i64,
    /// Boot time, ns.
    pub boottime: u64,
    /// Bound of the error of `time` at `ticks`, ns.
    pub error: u32,
    /// Span of one calibration; a suspend or a step of the wall clock begins a new one.
    pub epoch: u32,
}

/// Length of an encoded point.
pub const CLOCK_POINT_LEN: usize = 40;

impl ClockPoint {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; CLOCK_POINT_LEN] {
        let mut out = [0; CLOCK_POINT_LEN];
        out[..8].copy_from_slice(&self.ticks.to_le_bytes());
        out[8..16].copy_from_slice(&self.time.to_le_bytes());
        out[16..24].copy_from_slice(&self.boottime.to_le_bytes());
        out[24..28].copy_from_slice(&self.error.to_le_bytes());
        out[28..32].copy_from_slice(&self.epoch.to_le_bytes());
        out
    }

    /// The next point of a reader.
    ///
    /// # Errors
    /// If it is cut.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let point = Self {
            ticks: reader.u64()?,
            time: reader.i64()?,
            boottime: reader.u64()?,
            error: reader.u32()?,
            epoch: reader.u32()?,
        };
        reader.u64()?;
        Ok(point)
    }

    /// All points of a clocks block.
    ///
    /// # Errors
    /// If the last is cut.
    pub fn decode_all(payload: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut points = Vec::new();
        while !reader.rest().is_empty() {
            points.push(Self::decode(&mut reader)?);
        }
        Ok(points)
    }
}
