//! Ticks to UTC.

use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::ClockKind;

/// Converts a process's ticks; between two points by interpolation, outside by the nearest slope.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockMap {
    points: Vec<ClockPoint>,
    /// Of the ticks before the first point, from each point to the next, and after the last: one more than points.
    spans: Vec<Span>,
    /// Largest error bound of the points, ns.
    pub(crate) error: u32,
}

/// Ticks that are converted alike: `anchor_time` plus or minus their distance from `anchor`, times the rate.
///
/// The rate is an integer of at most 63 bits and a power of two, so that an event's time costs one multiplication and
/// no division. Within a span between two points the product errs by less than 2^-62 of the span's nanoseconds, which
/// is less than half a nanosecond: the time is that of exact interpolation, rounded to the nearest nanosecond, but
/// where exact interpolation falls so near the middle of two that either is right. It never decreases with the ticks
/// within a span, and never goes beyond the span's ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: u64,
    /// How many ticks it has; one too few for the last tick of all, which is looked up each time.
    count: u64,
    anchor: u64,
    anchor_time: i64,
    rate: u64,
    shift: u32,
    /// Greatest distance from the anchor's time.
    most: i64,
    /// Time before the anchor's, not after it.
    is_before: bool,
}

impl Default for Span {
    /// Ticks are nanoseconds.
    fn default() -> Self {
        Self {
            first: 0,
            count: u64::MAX,
            anchor: 0,
            anchor_time: 0,
            rate: 1,
            shift: 0,
            most: i64::MAX,
            is_before: false,
        }
    }
}

impl Span {
    /// A span that has no ticks, to begin with.
    pub(crate) const NONE: Self =
        Self { first: 0, count: 0, anchor: 0, anchor_time: 0, rate: 0, shift: 0, most: 0, is_before: false };

    fn between(a: &ClockPoint, b: &ClockPoint) -> Self {
        let ns = b.time.saturating_sub(a.time);
        let (rate, shift) = rate_of(ns.unsigned_abs(), b.ticks - a.ticks);
        Self {
            first: a.ticks,
            count: b.ticks - a.ticks,
            anchor: a.ticks,
            anchor_time: a.time,
            rate,
            shift,
            most: i64::try_from(ns.unsigned_abs()).unwrap_or(i64::MAX),
            is_before: ns < 0,
        }
    }

    /// `count` ticks from `first` on, by a slope in ns per tick, which is less than 128.
    fn sloped(first: u64, count: u64, anchor: &ClockPoint, slope: f64) -> Self {
        const SHIFT: u32 = 56;
        Self {
            first,
            count,
            anchor: anchor.ticks,
            anchor_time: anchor.time,
            rate: (slope * (1_u64 << SHIFT) as f64) as u64 & (u64::MAX >> 1),
            shift: SHIFT,
            most: i64::MAX,
            is_before: first < anchor.ticks,
        }
    }

    #[inline]
    pub(crate) const fn has(&self, ticks: u64) -> bool {
        ticks.wrapping_sub(self.first) < self.count
    }

    /// UTC ns of ticks that [`ClockMap::span`] gave it for.
    #[inline]
    pub(crate) fn time(&self, ticks: u64) -> i64 {
        let product = u128::from(ticks.abs_diff(self.anchor)) * u128::from(self.rate);
        // The product is below 2^127, for the rate is below 2^63.
        let ns = (product + ((1_u128 << self.shift) >> 1)) >> self.shift;
        let ns = i64::try_from(ns).unwrap_or(i64::MAX).min(self.most);
        if self.is_before { self.anchor_time.saturating_sub(ns) } else { self.anchor_time.saturating_add(ns) }
    }
}

impl Span {
    /// Appends the UTC ns of ticks that are all in it: as [`Span::time`], with what is the same for all done once.
    fn extend(&self, ticks: &[u64], times: &mut Vec<i64>) {
        // The rate as a fraction of 2^64, if it is less than one: then the upper half of the product is the time.
        let rate = 64_u32.checked_sub(self.shift).and_then(|up| {
            let rate = self.rate.checked_shl(up)?;
            (rate >> up == self.rate).then_some(rate)
        });
        let most = self.most.unsigned_abs();
        match rate {
            // Then no tick is before the anchor.
            Some(rate) if !self.is_before && self.anchor == self.first => {
                times.extend(ticks.iter().map(|ticks| {
                    let product = u128::from(ticks.wrapping_sub(self.anchor)) * u128::from(rate);
                    // Less than 2^128 - 2^64, plus less than 2^64.
                    let ns = ((product + (1 << 63)) >> 64) as u64;
                    self.anchor_time.saturating_add(i64::try_from(ns.min(most)).unwrap_or(i64::MAX))
                }));
            }
            _ => times.extend(ticks.iter().map(|ticks| self.time(*ticks))),
        }
    }
}

/// `ns / ticks` as a rate of at most 63 bits and a shift, as exact as that can be. `ns` is below 2^64, `ticks` not 0.
fn rate_of(ns: u64, ticks: u64) -> (u64, u32) {
    if ns == 0 {
        return (0, 0);
    }
    let shift = u128::from(ns).leading_zeros();
    let quotient = (u128::from(ns) << shift) / u128::from(ticks);
    let excess = (128 - quotient.leading_zeros()).saturating_sub(63);
    (u64::try_from(quotient >> excess).unwrap_or(u64::MAX >> 1), shift.saturating_sub(excess))
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
        let mut spans = Vec::with_capacity(points.len() + 1);
        spans.push(match points.first() {
            Some(first) if first.ticks != 0 => Span::sloped(0, first.ticks, first, slope),
            Some(_) => Span::NONE,
            None => Span::default(),
        });
        for (at, a) in points.iter().enumerate() {
            let next = points.get(at + 1);
            spans.push(match next {
                Some(b) if a.epoch == b.epoch => Span::between(a, b),
                _ => {
                    let end = next.map_or(u64::MAX, |b| b.ticks);
                    Span::sloped(a.ticks, end - a.ticks, a, slope)
                }
            });
        }
        Self { points, spans, error }
    }

    /// The span that has these ticks.
    #[cold]
    pub(crate) fn span(&self, ticks: u64) -> Span {
        let at = self.points.partition_point(|p| p.ticks <= ticks);
        self.spans.get(at).copied().unwrap_or_default()
    }

    /// Appends the UTC ns of tick counts to `times`.
    pub(crate) fn times(&self, ticks: &[u64], span: &mut Span, times: &mut Vec<i64>) {
        let mut rest = ticks;
        while let Some(first) = rest.first() {
            times.push(self.time(*first, span));
            rest = rest.get(1..).unwrap_or_default();
            let same = *span;
            let run = rest.iter().take_while(|ticks| same.has(**ticks)).count();
            let (run, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            same.extend(run, times);
            rest = after;
        }
    }

    /// UTC ns of a tick count. `span` is that of the last one: times come mostly in order.
    #[inline]
    pub(crate) fn time(&self, ticks: u64, span: &mut Span) -> i64 {
        if !span.has(ticks) {
            *span = self.span(ticks);
        }
        span.time(ticks)
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
    use proptest::prelude::*;

    use super::*;

    fn point(ticks: u64, time: i64) -> ClockPoint {
        ClockPoint { ticks, time, boottime: time as u64, error: 5, epoch: 0 }
    }

    fn time(map: &ClockMap, ticks: u64) -> i64 {
        map.time(ticks, &mut { Span::NONE })
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
    fn any_span_before_gives_the_same() {
        let points: Vec<_> = (0..50).map(|i| point(i * 1000, (i * i * 100) as i64)).collect();
        let map = ClockMap::new(ClockKind::Tsc, points, None);
        let mut span = Span::NONE;
        for ticks in (0..60_000).step_by(777).chain((0..60_000).rev().step_by(1333)) {
            assert_eq!(map.time(ticks, &mut span), time(&map, ticks));
        }
    }

    /// Twice the distance in ns from exact interpolation, which is `numerator / ticks`; at most 1 is the nearest.
    fn twice_off(ns: i128, numerator: i128, ticks: i128) -> f64 {
        2.0 * ((ns * ticks - numerator) as f64 / ticks as f64).abs()
    }

    proptest! {
        #[test]
        fn times_are_those_of_exact_interpolation(
            start in any::<u32>(), ticks in 1..1_u64 << 50, ns in -(1_i64 << 50)..1 << 50, part in 0.0..1.0_f64,
        ) {
            let (a, b) = (point(start.into(), 7), point(u64::from(start) + ticks, 7 + ns));
            let map = ClockMap::new(ClockKind::Tsc, vec![a, b], None);
            let d = ((ticks as f64 * part) as u64).min(ticks);
            let got = i128::from(time(&map, a.ticks + d) - 7);
            prop_assert!(twice_off(got, i128::from(ns) * i128::from(d), ticks.into()) <= 1.000_001);
            prop_assert_eq!(time(&map, a.ticks), 7);
            prop_assert_eq!(time(&map, b.ticks), 7 + ns);
        }

        #[test]
        fn time_never_goes_back_where_the_points_do_not(
            steps in prop::collection::vec((1..1_u64 << 40, 0..1_i64 << 40), 1..8),
            at in prop::collection::vec(any::<u64>(), 1..40),
        ) {
            let mut points = vec![point(1 << 20, 1 << 20)];
            for (ticks, ns) in steps {
                let last = points[points.len() - 1];
                points.push(point(last.ticks + ticks, last.time + ns));
            }
            let end = points[points.len() - 1].ticks;
            let mut at: Vec<_> = at.into_iter().flat_map(|t| [t % (end + end / 4), t % (end + end / 4) + 1]).collect();
            at.extend(points.iter().flat_map(|p| [p.ticks - 1, p.ticks, p.ticks + 1]));
            at.sort_unstable();
            let map = ClockMap::new(ClockKind::Tsc, points, None);
            prop_assert!(at.iter().map(|t| time(&map, *t)).is_sorted());
        }
    }

    proptest! {
        #[test]
        fn many_times_at_once_are_those_of_one_at_a_time(
            steps in prop::collection::vec((1..1_u64 << 40, -10..1_i64 << 41), 0..5),
            mut at in prop::collection::vec((any::<u64>(), 0..64_u32), 1..60),
            is_sorted: bool,
            slope in 0.02..90.0_f64,
        ) {
            let mut points = vec![point(1 << 20, 1 << 20)];
            for (ticks, ns) in steps {
                let last = points[points.len() - 1];
                points.push(point(last.ticks + ticks, last.time + ns));
            }
            points.extend([point(1 << 62, i64::MAX - 5), point(1 << 63, i64::MAX)]);
            if is_sorted {
                at.sort_unstable_by_key(|(ticks, less)| ticks >> less);
            }
            let at: Vec<u64> = at.into_iter().map(|(ticks, less)| ticks >> less).collect();
            for map in [
                ClockMap::new(ClockKind::Tsc, points.clone(), None),
                ClockMap::new(ClockKind::Monotonic, points[..1].to_vec(), None),
                ClockMap::new(ClockKind::Tsc, points[..1].to_vec(), Some(slope)),
                ClockMap::new(ClockKind::Tsc, vec![], None),
            ] {
                let mut times = Vec::new();
                map.times(&at, &mut { Span::NONE }, &mut times);
                let one_by_one: Vec<i64> = at.iter().map(|ticks| time(&map, *ticks)).collect();
                prop_assert_eq!(times, one_by_one);
            }
        }
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
