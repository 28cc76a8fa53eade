//! Time stamps as text.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Formats times; the date and the second are made anew only when they change.
#[derive(Debug)]
pub struct TimeText {
    zone: TimeZone,
    second: i64,
    head: String,
    tail: String,
}

impl TimeText {
    /// In UTC, or in this computer's zone.
    #[must_use]
    pub fn new(local: bool) -> Self {
        let zone = if local { TimeZone::system() } else { TimeZone::UTC };
        Self { zone, second: i64::MIN, head: String::new(), tail: String::new() }
    }

    /// Appends a time as `2026-11-23T17:44:36.123456789Z` (or with the zone's offset).
    pub fn push(&mut self, out: &mut String, ns: i64) {
        let second = ns.div_euclid(1_000_000_000);
        if second != self.second || self.head.is_empty() {
            self.second = second;
            let zoned =
                ZonedDateTime::new(Timestamp::from_second(second).unwrap_or_default(), self.zone.clone());
            self.head = zoned.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
            self.tail =
                if self.zone == TimeZone::UTC { "Z".into() } else { zoned.strftime("%:z").to_string() };
        }
        out.push_str(&self.head);
        let mut digits = [b'0'; 9];
        let mut rest = ns.rem_euclid(1_000_000_000);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
        out.push_str(&self.tail);
    }
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
    use super::*;

    #[test]
    fn times_are_exact() {
        assert_eq!(utc(1_795_455_876_123_456_789), "2026-11-23T17:44:36.123456789Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(utc(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(for_file_name(1_795_455_876_123_456_789, false), "2026-11-23_17.44.36");
    }
}
