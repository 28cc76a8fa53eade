//! Ticks to UTC.

use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::ClockKind;

/// Converts a process's ticks; between two points by interpolation, outside by the nearest slope.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockMap {
    points: Vec<ClockPoint>,
    /// ns per tick outside of the points.
    slope: f64,
    /// Largest error bound of the points, ns.
    pub(crate) error: u32,
}

impl ClockMap {
    pub(crate) fn new(kind: ClockKind, mut points: Vec<ClockPoint>, slope_of_boot: Option<f64>) -> Self {
        points.sort_by_key(|p| p.ticks);
        points.dedup_by_key(|p| p.ticks);
        let own = slope_of(&points);
        let slope = match kind {
            ClockKind::Monotonic => 1.0,
            _ => own.or(slope_of_boot).unwrap_or(1.0),
        };
        let error = points.iter().map(|p| p.error).max().unwrap_or(0);
        Self { points, slope, error }
    }

    /// UTC ns of a tick count.
    #[inline]
    pub(crate) fn time(&self, ticks: u64) -> i64 {
        let after = self.points.partition_point(|p| p.ticks <= ticks);
        let before = after.checked_sub(1).and_then(|i| self.points.get(i));
        match (before, self.points.get(after)) {
            (Some(a), Some(b)) if a.epoch == b.epoch => {
                let span = (b.ticks - a.ticks) as f64;
                let part = (ticks - a.ticks) as f64 / span;
                a.time.saturating_add(((b.time.saturating_sub(a.time)) as f64 * part) as i64)
            }
            (Some(a), _) => a.time.saturating_add(((ticks - a.ticks) as f64 * self.slope) as i64),
            (None, Some(b)) => b.time.saturating_sub(((b.ticks - ticks) as f64 * self.slope) as i64),
            (None, None) => i64::try_from(ticks).unwrap_or(i64::MAX),
        }
    }
}

/// ns per tick over the points' whole span; `None` if that is too short or no clock could run so.
pub(crate) fn slope_of(points: &[ClockPoint]) -> Option<f64> {
    let (first, last) = (points.iter().min_by_key(|p| p.ticks)?, points.iter().max_by_key(|p| p.ticks)?);
    let ticks = last.ticks.checked_sub(first.ticks).filter(|t| *t > 1000)?;
    let ns = last.boottime.checked_sub(first.boottime)?;
    let slope = ns as f64 / ticks as f64;
    (slope > 0.01 && slope < 100.0).then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ticks: u64, time: i64) -> ClockPoint {
        ClockPoint { ticks, time, boottime: time as u64, error: 5, epoch: 0 }
    }

    #[test]
    fn between_points_and_outside() {
        let map = ClockMap::new(ClockKind::Tsc, vec![point(30_000, 10_500), point(10_000, 500)], None);
        assert_eq!(map.time(10_000), 500);
        assert_eq!(map.time(20_000), 5_500);
        assert_eq!(map.time(40_000), 15_500);
        assert_eq!(map.time(9_000), 0);
        assert_eq!(map.error, 5);
    }

    #[test]
    fn one_point_uses_the_slope_of_others() {
        let map = ClockMap::new(ClockKind::Tsc, vec![point(10_000, 500)], Some(0.5));
        assert_eq!(map.time(20_000), 5_500);
        assert_eq!(ClockMap::new(ClockKind::Tsc, vec![], None).time(7), 7);
    }
}
