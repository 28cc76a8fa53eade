//! Whether the clock has jumped. One that did is believed after it has run for seven days.
//!
//! What was seen last is kept in `BASE/clock.json`. Within one run of the computer the time since it was started says how far the
//! clock should have come; across a restart nothing says it, and more than a year is taken for a jump.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::unnamed::replace;

/// Name of the file.
const FILE: &str = "clock.json";
/// Further ahead than this, in one run of the computer, the clock was set. Seconds.
const STEP: i64 = 86_400;
/// Further ahead than this it has jumped, if nothing else is known. Seconds.
const YEAR: i64 = 366 * 86_400;
/// So long a clock must run before it is believed. Seconds.
const BELIEVED: i64 = 7 * 86_400;
/// The file is written when it would change by this. Seconds.
const WORTH: i64 = 3600;
/// Longest file, in bytes.
const MAX_FILE: u64 = 4096;

/// The time, and what it can be held against.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Now {
    /// The clock: seconds since 1970.
    pub wall: i64,
    /// Which run of the computer.
    pub boot_id: String,
    /// Seconds since the computer was started, suspend included.
    pub boottime: i64,
}

impl Now {
    /// The time of this computer.
    #[must_use]
    pub fn real() -> Self {
        Self {
            wall: tracewell::boot::realtime_ns().div_euclid(1_000_000_000),
            boot_id: tracewell::schema::format::hex(&tracewell::boot::boot_id()),
            boottime: i64::try_from(tracewell::boot::boottime_ns() / 1_000_000_000).unwrap_or(i64::MAX),
        }
    }

    /// The clock as a time stamp.
    #[must_use]
    pub fn timestamp(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.wall).unwrap_or(jiff::Timestamp::MIN)
    }
}

/// What the clock is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// Nothing speaks against it.
    Right,
    /// It has jumped ahead by so many seconds, and will be believed in so many.
    Jumped {
        /// How far.
        ahead: i64,
        /// Until it is believed.
        left: i64,
    },
}

/// What was seen last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Seen {
    wall: i64,
    boot_id: String,
    boottime: i64,
    /// Since when the clock is not believed.
    doubted: Option<Doubt>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Doubt {
    wall: i64,
    boot_id: String,
    boottime: i64,
}

impl Seen {
    fn of(now: &Now) -> Self {
        Self { wall: now.wall, boot_id: now.boot_id.clone(), boottime: now.boottime, doubted: None }
    }
}

/// What the clock is worth, and what is to be remembered.
fn judge(seen: &Seen, now: &Now) -> (Seen, Clock) {
    let is_same_run = !seen.boot_id.is_empty() && seen.boot_id == now.boot_id;
    let (passed, most) = if is_same_run { (now.boottime - seen.boottime, STEP) } else { (0, YEAR) };
    let ahead = now.wall - seen.wall.saturating_add(passed.max(0));
    if ahead <= most {
        // A clock that was set back must not forget how far it had come.
        let next = if now.wall >= seen.wall { Seen::of(now) } else { Seen { doubted: None, ..seen.clone() } };
        return (next, Clock::Right);
    }
    let doubt = match &seen.doubted {
        // It was set back since: that is another jump.
        Some(doubt) if now.wall + WORTH >= doubt.wall => doubt.clone(),
        _ => Doubt { wall: now.wall, boot_id: now.boot_id.clone(), boottime: now.boottime },
    };
    // A second jump is no time that has gone by.
    let ran = match doubt.boot_id == now.boot_id {
        true => (now.wall - doubt.wall).min(now.boottime - doubt.boottime),
        false => now.wall - doubt.wall,
    };
    if ran >= BELIEVED {
        return (Seen::of(now), Clock::Right);
    }
    let left = BELIEVED - ran.max(0);
    (Seen { doubted: Some(doubt), ..seen.clone() }, Clock::Jumped { ahead, left })
}

/// Looks at the clock of a trace directory. `newest` is the newest time known of anything in it, which counts if nothing
/// was remembered; `believe` takes the clock for right whatever it shows.
///
/// # Errors
/// If what was seen cannot be remembered.
pub fn look_at_clock(base: &Path, now: &Now, newest: i64, believe: bool) -> io::Result<Clock> {
    use std::io::Read;
    let folder = tracewell::fs::open_private_dir(base)?;
    let kept: Option<Seen> = tracewell::fs::open_existing(&folder, FILE, false).ok().and_then(|file| {
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    });
    let seen = kept.clone().unwrap_or_else(|| Seen { wall: newest, ..Seen::default() });
    let (next, clock) = match believe {
        true => (Seen::of(now), Clock::Right),
        false => judge(&seen, now),
    };
    let is_worth_it = kept.is_none_or(|kept| {
        kept.boot_id != next.boot_id || kept.doubted != next.doubted || (kept.wall - next.wall).abs() >= WORTH
    });
    if is_worth_it {
        replace(&folder, FILE, &serde_json::to_vec(&next)?)?;
    }
    Ok(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn now(wall: i64, boot: &str, boottime: i64) -> Now {
        Now { wall, boot_id: boot.into(), boottime }
    }

    /// Looks at these times one after the other; what the last is worth.
    fn after(times: &[Now]) -> Clock {
        let mut seen = Seen { wall: T, ..Seen::default() };
        let mut last = Clock::Right;
        for time in times {
            (seen, last) = judge(&seen, time);
        }
        last
    }

    #[test]
    fn a_clock_that_jumps_is_believed_after_it_has_run_for_a_week() {
        assert_eq!(after(&[now(T + 300 * DAY, "a", 50)]), Clock::Right, "long switched off");
        let far = T + 400 * DAY;
        assert!(
            matches!(after(&[now(far, "a", 50)]), Clock::Jumped { ahead, left } if ahead == 400 * DAY && left == 7 * DAY)
        );
        let week = [now(far, "a", 0), now(far + 6 * DAY, "b", 0), now(far + 7 * DAY, "b", DAY)];
        assert!(matches!(after(&week[..2]), Clock::Jumped { left, .. } if left == DAY));
        assert_eq!(after(&week), Clock::Right);
        // In one run of the computer the time since its start is a witness: a day ahead is enough.
        let run = |ahead: i64| [now(T, "a", 100), now(T + 10 * DAY + ahead, "a", 100 + 10 * DAY)];
        assert_eq!(after(&run(DAY / 2)), Clock::Right);
        assert!(matches!(after(&run(2 * DAY)), Clock::Jumped { .. }));
    }

    #[test]
    fn a_second_jump_is_no_week() {
        let far = T + 400 * DAY;
        let twice = [now(far, "a", 0), now(far + 30 * DAY, "a", 60)];
        assert!(matches!(after(&twice), Clock::Jumped { left, .. } if left > 6 * DAY));
        // Set right again: nothing was wrong; and the next jump is one.
        let back = [now(far, "a", 0), now(T + DAY, "a", 60), now(T + 2 * DAY, "a", 60 + DAY)];
        assert_eq!(after(&back), Clock::Right);
        let again = [back.to_vec(), vec![now(far + 8 * DAY, "a", 70 + DAY)]].concat();
        assert!(matches!(after(&again), Clock::Jumped { left, .. } if left == 7 * DAY));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_forget() {
        // No clock of its own: 1970 at each start, until the network tells.
        let start = [now(1000, "b", 10), now(T + 3 * DAY, "b", 60)];
        assert_eq!(after(&start), Clock::Right);
        assert!(matches!(after(&[now(1000, "b", 10), now(T + 400 * DAY, "b", 60)]), Clock::Jumped { .. }));
    }

    #[test]
    fn it_is_remembered_in_a_file() {
        let dir = crate::unnamed::tests::private_dir();
        let look = |now: &Now, believe| look_at_clock(dir.path(), now, T, believe).unwrap();
        assert_eq!(look(&now(T + DAY, "a", 100), false), Clock::Right);
        let jumped = now(T + 500 * DAY, "b", 10);
        assert!(matches!(look(&jumped, false), Clock::Jumped { .. }));
        assert_eq!(look(&now(T + 508 * DAY, "b", 10 + 8 * DAY), false), Clock::Right);
        assert!(matches!(look(&now(T + 1000 * DAY, "c", 10), false), Clock::Jumped { .. }));
        assert_eq!(look(&now(T + 1000 * DAY, "c", 20), true), Clock::Right);
        assert_eq!(look(&now(T + 1001 * DAY, "c", 30 + DAY), false), Clock::Right);
        std::fs::write(dir.path().join(FILE), "nonsense").unwrap();
        assert_eq!(look(&now(T + 2 * DAY, "d", 1), false), Clock::Right);
    }
}
