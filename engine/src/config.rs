//! Every limit of a tracer, checked once.

use std::time::Duration;

use tracewell_schema::limits;

use crate::clock::Clock;
use crate::dirs::Dirs;
use crate::error::AttachError;

/// Default capacity of a ring: a drain that polls in batches keeps up with the fastest thread from here on.
pub(crate) const RING_SIZE: u64 = 4 << 20;
/// Default sum of the full-sized rings of a process.
pub(crate) const RING_BUDGET: u64 = 256 << 20;

/// What an emit does when the thread's ring is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It refuses the event and counts it: the thread never waits. Right for nearly every component.
    #[default]
    Refuse,
    /// It waits until the drain has made room, at most this long, then refuses. For batch work that would rather take
    /// longer than lose events; never for a thread that others wait for.
    Wait(Duration),
}

/// What the builder collected.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) component: String,
    pub(crate) version: String,
    pub(crate) dirs: Dirs,
    pub(crate) ring_size: u64,
    pub(crate) ring_budget: u64,
    /// How long committed events may stay in a quiet ring before they go to a segment.
    pub(crate) linger: Duration,
    pub(crate) clock: Clock,
    pub(crate) when_full: WhenFull,
}

impl Config {
    pub(crate) fn check(self) -> Result<Self, AttachError> {
        if self.component.is_empty() || self.component.len() > 31 {
            return Err(AttachError::Component { name: self.component });
        }
        if !self.component.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err(AttachError::Component { name: self.component });
        }
        let ok = self.ring_size.is_power_of_two()
            && (limits::MIN_RING..=limits::MAX_RING).contains(&self.ring_size);
        if !ok {
            return Err(AttachError::RingSize { bytes: self.ring_size });
        }
        Ok(self)
    }
}
