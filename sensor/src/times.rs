//! Times of the kernel as times of the wall clock.

use rustix::time::{ClockId, clock_gettime};
use tracewell::Timestamp;

fn now(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// From clock ticks since boot, as in `/proc/PID/stat`.
pub(crate) fn of_ticks(ticks: u64) -> Option<Timestamp> {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let since_boot = i64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(per_second)).ok()?;
    Some(Timestamp(now(ClockId::Realtime) - now(ClockId::Boottime) + since_boot))
}

/// From the kernel's monotonic clock, as in messages of the process connector.
pub(crate) fn of_monotonic(ns: u64) -> Timestamp {
    let ns = i64::try_from(ns).unwrap_or(i64::MAX);
    Timestamp((now(ClockId::Realtime) - now(ClockId::Monotonic)).saturating_add(ns))
}

/// Clock ticks since boot of a moment of the kernel's monotonic clock: the start of a process that is told to have been
/// made then, as `/proc/PID/stat` would have it.
pub(crate) fn ticks_of_monotonic(ns: u64) -> u64 {
    let suspended = u64::try_from(now(ClockId::Boottime) - now(ClockId::Monotonic)).unwrap_or(0);
    let per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
    let ticks = u128::from(ns.saturating_add(suspended)) * per_second / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_began_before_now() {
        let ticks = tracewell::boot::own_start_ticks();
        let (began, now) = (of_ticks(ticks).unwrap(), Timestamp::now());
        assert!(began <= now && now.0 - began.0 < 3_600_000_000_000, "{began:?} {now:?}");
        let monotonic = rustix::time::clock_gettime(ClockId::Monotonic);
        let ns = monotonic.tv_sec as u64 * 1_000_000_000 + monotonic.tv_nsec as u64;
        assert!((of_monotonic(ns).0 - now.0).abs() < 1_000_000_000);
        let back = of_ticks(ticks_of_monotonic(ns)).unwrap();
        assert!((back.0 - now.0).abs() < 1_000_000_000, "{back:?} {now:?}");
    }
}
