//! Sizes and durations as people write them.

use std::time::Duration;

/// Units of sizes, greatest first.
const SIZES: [(u8, u64); 4] = [(b'T', 1 << 40), (b'G', 1 << 30), (b'M', 1 << 20), (b'K', 1 << 10)];
/// Units of durations in seconds, greatest first.
const DURATIONS: [(u8, u64); 4] = [(b'd', 86_400), (b'h', 3600), (b'm', 60), (b's', 1)];

/// A size as "512", "64K", "16M", "1G", "2T", in powers of 1024.
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size; write a number with K, M, G or T, as \"512M\"");
    let trimmed = text.trim();
    let unit =
        trimmed.as_bytes().last().and_then(|b| SIZES.iter().find(|(c, _)| *c == b.to_ascii_uppercase()));
    let (digits, factor) = match unit {
        Some((_, factor)) => (trimmed.get(..trimmed.len() - 1).unwrap_or_default(), *factor),
        None => (trimmed, 1),
    };
    digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// A size as [`parse_size`] reads it, exact: in the greatest unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    match SIZES.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{}", bytes / factor, char::from(*unit)),
        None => bytes.to_string(),
    }
}

/// A duration of whole seconds as [`parse_duration`] reads it, exact: in the greatest unit that divides it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match DURATIONS.iter().find(|(_, unit)| seconds != 0 && seconds.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{}", seconds / unit, char::from(*name)),
        None => format!("{seconds}s"),
    }
}

/// A duration as "90s", "30m", "2h", "7d".
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write a number with s, m, h or d, as \"30m\"");
    let trimmed = text.trim();
    let last = trimmed.as_bytes().last();
    let (_, unit) = last.and_then(|b| DURATIONS.iter().find(|(c, _)| c == b)).ok_or_else(bad)?;
    let n: u64 = trimmed.get(..trimmed.len() - 1).unwrap_or_default().trim().parse().map_err(|_| bad())?;
    let unit = *unit;
    match n.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is out of range; it lasts from 1s to 365d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!((parse_size("7"), parse_size(" 2 t ")), (Ok(7), Ok(2 << 40)));
        for bad in ["99999999999G", "", "M", "é", "-1", "1.5G"] {
            assert!(parse_size(bad).unwrap_err().contains("512M"), "{bad}");
        }
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["0s", "5", "", "m", "é", "366d", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for text in ["512M", "1G", "1025", "1K", "3T", "0"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        for text in ["90s", "30m", "25h", "7d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }
}
