//! Types of fields that the standard library does not have.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::format::hex;

/// A moment, ns since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now, by the wall clock.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        })
    }
}

/// A process, stable across the reuse of process ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProcessKey(pub [u8; 16]);

impl ProcessKey {
    /// From the kernel's boot id, the process id, and the start of the process in clock ticks since boot
    /// (`/proc/PID/stat`, field 22).
    #[must_use]
    pub fn new(boot_id: &[u8; 16], pid: u32, start_ticks: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(boot_id).update(&pid.to_le_bytes()).update(&start_ticks.to_le_bytes());
        let hash = hasher.finalize();
        Self(hash.as_bytes().first_chunk::<16>().copied().unwrap_or_default())
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Any other identity of 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Id128(pub [u8; 16]);

impl fmt::Display for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Joins events into one story; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CorrelationId(pub u64);

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
