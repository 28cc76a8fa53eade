//! Time stamps as text.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::buffer::{Buffer, Literal};
use super::number::{push_digits, push_nanos};

const SECOND: i64 = 1_000_000_000;

/// Formats times; the date and the second are made anew only when they change.
#[derive(Debug)]
pub struct TimeText {
    zone: TimeZone,
    /// First nanosecond of the second, and how many it has; none if the second begins before all times.
    start: i64,
    count: u64,
    head: Literal,
    tail: Literal,
}

impl TimeText {
    /// In UTC, or in this computer's zone.
    #[must_use]
    pub fn new(local: bool) -> Self {
        let zone = if local { TimeZone::system() } else { TimeZone::UTC };
        let mut text = Self { zone, start: 0, count: 0, head: Literal::default(), tail: Literal::default() };
        text.set(0);
        text
    }

    /// Appends a time as `2026-11-23T17:44:36.123456789Z` (or with the zone's offset).
    pub fn push(&mut self, out: &mut String, ns: i64) {
        let mut buffer = Buffer::new();
        self.put(&mut buffer, ns);
        out.push_str(&buffer.as_text());
    }

    #[inline]
    pub(crate) fn put(&mut self, out: &mut Buffer, ns: i64) {
        let mut rest = ns.wrapping_sub(self.start).cast_unsigned();
        if rest >= self.count {
            self.set(ns.div_euclid(SECOND));
            rest = ns.rem_euclid(SECOND).unsigned_abs();
        }
        out.push_literal(&self.head);
        push_nanos(out, rest);
        out.push_literal(&self.tail);
    }

    #[cold]
    fn set(&mut self, second: i64) {
        let start = second.checked_mul(SECOND);
        (self.start, self.count) = (start.unwrap_or(0), start.map_or(0, |_| SECOND.unsigned_abs()));
        let zoned = ZonedDateTime::new(Timestamp::from_second(second).unwrap_or_default(), self.zone.clone());
        self.head = Literal::new(&zoned.strftime("%Y-%m-%dT%H:%M:%S.").to_string());
        self.tail = if self.zone == TimeZone::UTC {
            Literal::new("Z")
        } else {
            Literal::new(&zoned.strftime("%:z").to_string())
        };
    }
}

/// Appends a time in UTC, as [`TimeText`] does, without a calendar's machinery: for the times in fields, which are
/// everywhere.
pub(crate) fn push_utc(out: &mut Buffer, ns: i64) {
    let seconds = ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days since 1970 (Howard Hinnant, chrono-compatible low-level date algorithms).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    push_digits::<4>(out, year.unsigned_abs());
    for (mark, n) in
        [('-', month), ('-', day), ('T', second / 3600), (':', second / 60 % 60), (':', second % 60)]
    {
        out.push(mark);
        push_digits::<2>(out, n.unsigned_abs());
    }
    out.push('.');
    push_nanos(out, ns.rem_euclid(SECOND).unsigned_abs());
    out.push('Z');
}

/// A time in UTC.
#[must_use]
pub fn utc(ns: i64) -> String {
    let mut out = String::new();
    TimeText::new(false).push(&mut out, ns);
    out
}

/// A time as part of a file name: `2026-11-23_17.44.36`.
#[must_use]
pub fn for_file_name(ns: i64, local: bool) -> String {
    let zone = if local { TimeZone::system() } else { TimeZone::UTC };
    let zoned =
        ZonedDateTime::new(Timestamp::from_second(ns.div_euclid(1_000_000_000)).unwrap_or_default(), zone);
    zoned.strftime("%Y-%m-%d_%H.%M.%S").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways_to_write_utc_agree(ns: i64) {
            let mut out = Buffer::new();
            push_utc(&mut out, ns);
            prop_assert_eq!(out.as_text(), utc(ns));
        }

        #[test]
        fn whatever_time_came_before(times in prop::collection::vec(any::<i64>(), 1..9), near in -3_000_000_000..3_000_000_000_i64) {
            let mut text = TimeText::new(false);
            for ns in times.iter().flat_map(|t| [*t, t.saturating_add(near), i64::MIN, i64::MAX]) {
                let mut out = String::new();
                text.push(&mut out, ns);
                prop_assert_eq!(out, utc(ns));
            }
        }
    }

    #[test]
    fn times_are_exact() {
        assert_eq!(utc(1_795_455_876_123_456_789), "2026-11-23T17:44:36.123456789Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(utc(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(for_file_name(1_795_455_876_123_456_789, false), "2026-11-23_17.44.36");
    }
}
