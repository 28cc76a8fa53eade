//! When what was kept goes by itself, and whether the clock can be trusted with that.
//!
//! Whatever is deleted by age needs two witnesses, what the thing says of itself and the times of its files, and a clock
//! that has not jumped.

mod clock;

pub use clock::{Clock, Now, look_at_clock};

use std::io;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::AtFlags;

use crate::draft::FILE as DRAFT;
use crate::send::{RECEIPT, receipt};
use crate::store::Folder;

/// How long a trace stays after tracing ended, and a dump after it was taken.
pub const TRACE_STAYS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a bundle stays after it was prepared, if it was not sent.
pub const BUNDLE_STAYS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a bundle stays after the server confirmed that it has it: time to look at what was given.
pub const SENT_STAYS: SignedDuration = SignedDuration::from_hours(24);
/// How long the folder of a bundle stays that was never finished.
const UNFINISHED_STAYS: SignedDuration = SignedDuration::from_hours(24);

/// When a bundle goes, and why then.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Why, in words for the user.
    pub why: String,
}

impl Folder {
    /// When this bundle goes by itself.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn due(&self) -> io::Result<Due> {
        let fd = self.fd()?;
        let changed = |name: &str| -> io::Result<Option<Timestamp>> {
            match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(Timestamp::from_second(stat.st_mtime).ok()),
                Err(rustix::io::Errno::NOENT) => Ok(None),
                Err(e) => Err(e.into()),
            }
        };
        let later = |a: Option<Timestamp>, b: Option<Timestamp>| a.max(b).unwrap_or(Timestamp::MAX);
        if let Some(receipt) = receipt(self)? {
            let sent = later(receipt.received_at.parse().ok(), changed(RECEIPT)?);
            let why = format!("it was sent (digest {}, receipt {})", receipt.digest, receipt.location);
            return Ok(Due { at: plus(sent, SENT_STAYS), why });
        }
        let named = self.name().get(..15).and_then(named);
        let (made, stays, why) = match changed(DRAFT)? {
            Some(made) => (Some(made), BUNDLE_STAYS, "it was prepared 30 days ago and not sent"),
            None => (changed(".")?, UNFINISHED_STAYS, "it was never finished"),
        };
        Ok(Due { at: plus(later(named, made), stays), why: why.into() })
    }
}

fn plus(at: Timestamp, stays: SignedDuration) -> Timestamp {
    at.checked_add(stays).unwrap_or(Timestamp::MAX)
}

/// The time in a bundle's name.
fn named(name: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", name).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{DraftWriter, OwnKey, Store, Terms};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_bundle_stays_thirty_days_or_one_after_it_was_sent() {
        let dir = crate::unnamed::tests::private_dir();
        let store = Store::new(dir.path());
        let key = OwnKey::load_or_create(dir.path()).unwrap();
        let prepared = at("2026-11-01T10:00:00Z");
        let folder = store.create(prepared).unwrap();
        let set = |name: &str, time: Timestamp| {
            let file = std::fs::File::open(folder.path().join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(time.as_second().unsigned_abs())).unwrap();
        };
        set("", prepared);
        assert_eq!(folder.due().unwrap().at, at("2026-11-02T10:00:00Z"), "never finished");
        let draft = DraftWriter::new(folder.fd().unwrap(), &key, Terms::default()).unwrap();
        draft.finish().unwrap();
        // The file is newer than the name says: the later of both counts.
        set("draft.age", at("2026-11-05T10:00:00Z"));
        assert_eq!(folder.due().unwrap().at, at("2026-12-05T10:00:00Z"));
        set("draft.age", at("2025-01-01T00:00:00Z"));
        assert_eq!(folder.due().unwrap().at, at("2026-12-01T10:00:00Z"));
        let receipt = crate::send::Receipt {
            digest: "d".into(),
            len: 1,
            location: "https://support.example/1".into(),
            received_at: "2026-11-10T12:00:00Z".into(),
        };
        folder.put_note(RECEIPT, &receipt).unwrap();
        set(RECEIPT, at("2026-11-09T00:00:00Z"));
        let due = folder.due().unwrap();
        assert_eq!(due.at, at("2026-11-11T12:00:00Z"));
        assert!(due.why.contains("support.example/1"));
        set(RECEIPT, at("2026-11-20T00:00:00Z"));
        assert_eq!(folder.due().unwrap().at, at("2026-11-21T00:00:00Z"));
    }
}
