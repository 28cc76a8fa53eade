//! Time stamps: ticks on the hot path, and the points that tie ticks to UTC.
//!
//! Ticks are the processor's time stamp counter where CPUID calls it invariant *and* the kernel itself uses it as
//! clock source (it withdraws it when it finds skew); elsewhere they are nanoseconds of `CLOCK_MONOTONIC`.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::ClockKind;

/// Which clock stamps a tracer's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// Each emit reads the clock: about ten nanoseconds, and most of what an emit costs.
    #[default]
    Precise,
    /// An emit copies the time that the drain thread last published, which is up to [`COARSE_RESOLUTION`] old. For
    /// components that emit very often and need the order within a thread more than times.
    Coarse,
}

/// How old a coarse time stamp can be (while the machine lets the drain thread run in time).
pub const COARSE_RESOLUTION: std::time::Duration = std::time::Duration::from_millis(4);

const UNKNOWN: u8 = 0;
const TSC: u8 = 1;
const MONOTONIC: u8 = 2;

static KIND: AtomicU8 = AtomicU8::new(UNKNOWN);
/// The ticks that a drain last published, for coarse time stamps. On a line of its own: it is written often.
static PUBLISHED: Padded = Padded(AtomicU64::new(0));

#[repr(align(128))]
struct Padded(AtomicU64);

/// How a producer stamps its records: what the hot path asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stamp {
    Monotonic = 0,
    Tsc = 1,
    Coarse = 2,
}

impl Stamp {
    /// Of a tracer with this choice, in this process.
    pub(crate) fn of(clock: Clock) -> Self {
        match (clock, KIND.load(Ordering::Relaxed) == TSC) {
            (Clock::Coarse, _) => Self::Coarse,
            (Clock::Precise, true) => Self::Tsc,
            (Clock::Precise, false) => Self::Monotonic,
        }
    }

    /// What the trace says of it.
    pub(crate) fn kind(self) -> ClockKind {
        match self {
            Self::Monotonic => ClockKind::Monotonic,
            Self::Tsc => ClockKind::Tsc,
            Self::Coarse => ClockKind::Coarse,
        }
    }

    /// The time stamp of a record.
    #[inline(always)]
    pub(crate) fn ticks(self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Tsc {
            // SAFETY: RDTSC exists on every x86_64 processor and touches no memory.
            return unsafe { std::arch::x86_64::_rdtsc() };
        }
        if self == Self::Coarse {
            // Relaxed: a number; nothing is read through it.
            return PUBLISHED.0.load(Ordering::Relaxed);
        }
        monotonic_ns()
    }
}

/// Publishes the present time for coarse time stamps. Called by drains.
pub(crate) fn publish() {
    PUBLISHED.0.fetch_max(ticks(), Ordering::Relaxed);
}

/// Decides which clock this process uses; called before the first ring is made.
pub(crate) fn init() {
    if KIND.load(Ordering::Relaxed) == UNKNOWN {
        KIND.store(if tsc_is_usable() { TSC } else { MONOTONIC }, Ordering::Relaxed);
    }
}

#[cfg(target_arch = "x86_64")]
fn tsc_is_usable() -> bool {
    let highest = std::arch::x86_64::__cpuid(0x8000_0000).eax;
    let invariant = highest >= 0x8000_0007 && std::arch::x86_64::__cpuid(0x8000_0007).edx & (1 << 8) != 0;
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    invariant && source.is_ok_and(|s| s.trim_ascii() == b"tsc")
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc_is_usable() -> bool {
    false
}

/// The current tick count of this process's clock.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if KIND.load(Ordering::Relaxed) == TSC {
            // SAFETY: RDTSC exists on every x86_64 processor and touches no memory.
            return unsafe { std::arch::x86_64::_rdtsc() };
        }
    }
    monotonic_ns()
}

#[cold]
fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64)
}

/// Ties ticks to UTC and boot time now: the best of five bracketed readings.
pub(crate) fn sample(epoch: u32) -> ClockPoint {
    let mut best = ClockPoint { ticks: 0, time: 0, boottime: 0, error: u32::MAX, epoch };
    let mut narrowest = u64::MAX;
    for _ in 0..5 {
        let mono_before = nanoseconds(ClockId::MonotonicRaw);
        let before = ticks();
        let time = nanoseconds(ClockId::Realtime);
        let boottime = nanoseconds(ClockId::Boottime);
        let after = ticks();
        let mono_after = nanoseconds(ClockId::MonotonicRaw);
        let width = after.wrapping_sub(before);
        if width < narrowest {
            narrowest = width;
            best.ticks = before + width / 2;
            best.time = time as i64;
            best.boottime = boottime;
            best.error = u32::try_from(mono_after - mono_before).unwrap_or(u32::MAX);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_advance_and_a_sample_is_bounded() {
        init();
        let a = ticks();
        let point = sample(0);
        let b = ticks();
        assert!(a <= point.ticks && point.ticks <= b);
        assert!(point.error < 1_000_000_000);
        assert!(point.time > 1_500_000_000_000_000_000);
    }
}
