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

/// Numbers the spans between which no time may be interpolated: the wall clock was set, or the computer slept.
#[derive(Debug)]
pub(crate) struct Epochs {
    last: ClockPoint,
    /// Time that the computer has slept, ns.
    asleep: u64,
}

/// Differences that come from reading clocks one after the other, or that are no worse than a bound of error.
const SAME: u64 = 1_000_000;

impl Epochs {
    pub(crate) fn new(first: ClockPoint) -> Self {
        Self { last: first, asleep: asleep() }
    }

    /// Ties ticks to UTC and boot time now.
    pub(crate) fn sample(&mut self) -> ClockPoint {
        self.number(sample(self.last.epoch), asleep())
    }

    fn number(&mut self, mut point: ClockPoint, asleep: u64) -> ClockPoint {
        // Corrections by degrees change both clocks alike.
        let offset = |p: &ClockPoint| i128::from(p.time) - i128::from(p.boottime);
        let set_by = (offset(&point) - offset(&self.last)).unsigned_abs();
        let same = u128::from(SAME) + u128::from(point.error) + u128::from(self.last.error);
        if set_by > same || asleep.abs_diff(self.asleep) > SAME {
            point.epoch = self.last.epoch.wrapping_add(1);
        }
        (self.last, self.asleep) = (point, asleep);
        point
    }
}

/// Boot time goes on while the computer sleeps, the monotonic clock does not. The best of five readings.
fn asleep() -> u64 {
    let readings = (0..5).map(|_| {
        let before = nanoseconds(ClockId::Monotonic);
        let boottime = nanoseconds(ClockId::Boottime);
        let after = nanoseconds(ClockId::Monotonic);
        (after - before, boottime.saturating_sub(before))
    });
    readings.min().map_or(0, |(_, asleep)| asleep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_and_a_sleep_begin_an_epoch_and_nothing_else_does() {
        let second = 1_000_000_000;
        let at = |n: u64, ahead: i64| ClockPoint {
            ticks: n * 7,
            time: n as i64 + ahead,
            boottime: n,
            error: 900,
            epoch: 0,
        };
        let mut epochs = Epochs { last: at(0, 0), asleep: 5 };
        let mut epoch = |point: ClockPoint, asleep| {
            let last = epochs.last.epoch;
            epochs.number(ClockPoint { epoch: last, ..point }, asleep).epoch
        };
        assert_eq!(epoch(at(second, 400_000), 300_000), 0, "within what reading them takes");
        assert_eq!(epoch(at(2 * second, -3_600_000_000_000), 5), 1, "set back by an hour");
        assert_eq!(epoch(at(3 * second, -3_600_000_000_000), 5), 1);
        assert_eq!(epoch(at(90 * second, -3_600_000_000_000), 80 * second), 2, "asleep for eighty seconds");
        assert_eq!(epoch(at(91 * second, 0), 80 * second), 3, "set right");
        let mut real = Epochs::new(sample(0));
        assert!((0..50).all(|_| real.sample().epoch == 0));
    }

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
