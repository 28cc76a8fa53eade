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
        let own = slope_of(&points).map(|(_, slope)| slope);
        let slope = match kind {
            ClockKind::Monotonic => 1.0,
            _ => own.or(slope_of_boot).unwrap_or(1.0),
        };
        let error = points.iter().map(|p| p.error).max().unwrap_or(0);
        Self { points, slope, error }
    }

    /// UTC ns of a tick count. `hint` is where the last one was found: times come mostly in order.
    #[inline]
    pub(crate) fn time(&self, ticks: u64, hint: &mut usize) -> i64 {
        let is_here = |after: usize| {
            after.checked_sub(1).and_then(|i| self.points.get(i)).is_some_and(|p| p.ticks <= ticks)
                && self.points.get(after).is_none_or(|p| p.ticks > ticks)
        };
        if !is_here(*hint) {
            *hint = self.points.partition_point(|p| p.ticks <= ticks);
        }
        let before = hint.checked_sub(1).and_then(|i| self.points.get(i));
        match (before, self.points.get(*hint)) {
            (Some(a), Some(b)) if a.epoch == b.epoch => {
                let part = (ticks - a.ticks) as f64 / (b.ticks - a.ticks) as f64;
                a.time.saturating_add((b.time.saturating_sub(a.time) as f64 * part).round() as i64)
            }
            (Some(a), _) => a.time.saturating_add(((ticks - a.ticks) as f64 * self.slope).round() as i64),
            (None, Some(b)) => b.time.saturating_sub(((b.ticks - ticks) as f64 * self.slope).round() as i64),
            (None, None) => i64::try_from(ticks).unwrap_or(i64::MAX),
        }
    }
}

/// Ticks that a span must have to tell a rate.
const MIN_SPAN: u64 = 1000;

/// ns per tick over the longest span of one epoch, with that span; `None` if there is none, or no clock could run so.
pub(crate) fn slope_of(points: &[ClockPoint]) -> Option<(u64, f64)> {
    let mut sorted: Vec<&ClockPoint> = points.iter().collect();
    sorted.sort_by_key(|p| p.ticks);
    sorted
        .chunk_by(|a, b| a.epoch == b.epoch)
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            let ticks = last.ticks.checked_sub(first.ticks).filter(|t| *t > MIN_SPAN)?;
            let ns = last.boottime.checked_sub(first.boottime)?;
            let slope = ns as f64 / ticks as f64;
            (slope > 0.01 && slope < 100.0).then_some((ticks, slope))
        })
        .max_by_key(|(ticks, _)| *ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ticks: u64, time: i64) -> ClockPoint {
        ClockPoint { ticks, time, boottime: time as u64, error: 5, epoch: 0 }
    }

    fn time(map: &ClockMap, ticks: u64) -> i64 {
        map.time(ticks, &mut 0)
    }

    #[test]
    fn between_points_and_outside() {
        let map = ClockMap::new(ClockKind::Tsc, vec![point(30_000, 10_500), point(10_000, 500)], None);
        assert_eq!(time(&map, 10_000), 500);
        assert_eq!(time(&map, 20_000), 5_500);
        assert_eq!(time(&map, 40_000), 15_500);
        assert_eq!(time(&map, 9_000), 0);
        assert_eq!(map.error, 5);
    }

    #[test]
    fn one_point_uses_the_slope_of_others() {
        let map = ClockMap::new(ClockKind::Tsc, vec![point(10_000, 500)], Some(0.5));
        assert_eq!(time(&map, 20_000), 5_500);
        assert_eq!(time(&ClockMap::new(ClockKind::Tsc, vec![point(10_000, 500)], None), 20_000), 10_500);
        assert_eq!(time(&ClockMap::new(ClockKind::Tsc, vec![], None), 7), 7);
    }

    #[test]
    fn a_new_epoch_is_not_interpolated_across() {
        // The wall clock was set ahead by an hour between the two epochs.
        let hour = 3_600_000_000_000;
        let mut points = vec![point(0, 0), point(10_000, 10_000)];
        for ticks in [20_000, 40_000] {
            points.push(ClockPoint { time: hour + ticks as i64, epoch: 1, ..point(ticks, ticks as i64) });
        }
        let map = ClockMap::new(ClockKind::Tsc, points, None);
        assert_eq!(time(&map, 15_000), 15_000);
        assert_eq!(time(&map, 20_000), hour + 20_000);
        assert_eq!(time(&map, 30_000), hour + 30_000);
    }

    #[test]
    fn any_hint_gives_the_same() {
        let points: Vec<_> = (0..50).map(|i| point(i * 1000, (i * i * 100) as i64)).collect();
        let map = ClockMap::new(ClockKind::Tsc, points, None);
        let mut hint = 0;
        for ticks in (0..60_000).step_by(777).chain((0..60_000).rev().step_by(1333)) {
            assert_eq!(map.time(ticks, &mut hint), time(&map, ticks));
        }
        hint = usize::MAX;
        assert_eq!(map.time(5, &mut hint), time(&map, 5));
    }

    #[test]
    fn hostile_points_do_not_panic() {
        let extremes = [0, 1, 1 << 63, u64::MAX];
        let points: Vec<_> = extremes
            .iter()
            .flat_map(|t| {
                [i64::MIN, 0, i64::MAX].map(|time| ClockPoint { epoch: *t as u32, ..point(*t, time) })
            })
            .collect();
        for kind in [ClockKind::Tsc, ClockKind::Monotonic] {
            let map = ClockMap::new(kind, points.clone(), Some(50.0));
            for ticks in extremes {
                time(&map, ticks);
            }
        }
    }
}
