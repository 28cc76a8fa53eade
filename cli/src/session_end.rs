//! When a session ended, as far as it says itself and its files tell.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tracewell::Event;
use tracewell::catalog::AuditDisabled;
use tracewell::retention::KEEP_FILE;
use tracewell_bundle::expiry::TRACE_STAYS;
use tracewell_reader::{Filter, Item, Trace};
use tracewell_schema::Value;

use crate::audit::OWN_COMPONENT;
use crate::output::Failure;
use crate::segments::Session;

/// What the trace itself says of its end: who enabled it told until when, and who disabled it that they did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) until: Option<Timestamp>,
    pub(crate) disabled: Option<Timestamp>,
}

impl Recorded {
    /// Reads it from the segments of the command, which hold nothing else.
    pub(crate) fn of(session: &Session) -> Self {
        let mut recorded = Self::default();
        for segment in session.segments.iter().filter(|s| s.name.component == OWN_COMPONENT) {
            let Ok(trace) = Trace::open(std::slice::from_ref(&segment.path), &[]) else { continue };
            let _ = trace.read(&Filter::default(), |item| {
                if let Item::Event(event) = item {
                    if event.schema.name == AuditDisabled::SCHEMA.name {
                        recorded.disabled = recorded.disabled.max(stamp(event.time));
                    }
                    for field in event.values.iter().flatten().filter(|f| f.schema.name == "until") {
                        if let Value::Time(time) = field.value {
                            recorded.until = stamp(time);
                        }
                    }
                }
                Ok::<(), Failure>(())
            });
        }
        recorded
    }
}

fn stamp(ns: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(ns)).ok()
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// The user keeps it.
    Kept,
    /// It goes at this time, if it has ended.
    Goes(Timestamp),
    /// Its times lie in the future, so that nobody knows how old it is.
    Unknown,
}

/// A time that is further ahead than this is wrong.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

impl Fate {
    /// Of a session that is not on. `next` is when the one after it began, which ended it at the latest.
    pub(crate) fn of(session: &Session, next: Option<Timestamp>, now: Timestamp) -> Self {
        if session.is_kept {
            return Self::Kept;
        }
        let recorded = Recorded::of(session);
        let begun = begun(&session.name);
        // A time to come is when it was meant to end: it is not on, so it ended before.
        let until = recorded.until.filter(|until| *until <= now && next.is_none_or(|next| *until <= next));
        let said = recorded.disabled.or(until).or(next).max(begun);
        let files = session.changed.and_then(|time| Timestamp::try_from(time).ok());
        let Some(ended) = said.max(files) else { return Self::Unknown };
        if ended.duration_since(now) > AHEAD {
            return Self::Unknown;
        }
        ended.checked_add(TRACE_STAYS).map_or(Self::Unknown, Self::Goes)
    }
}

/// The time in a session's name.
pub(crate) fn begun(name: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%d_%H.%M.%S", name.get(..19)?).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()
}

/// Keeps a session, or lets it go as the others.
pub(crate) fn keep(sessions: &Path, name: &str, keeps: bool) -> std::io::Result<()> {
    let top = tracewell::fs::open_private_dir(sessions)?;
    let folder = tracewell::fs::open_private_dir_at(&top, name)?;
    let done = if keeps {
        tracewell::fs::create_new(&folder, KEEP_FILE).map(drop)
    } else {
        tracewell::fs::unlink_at(&folder, KEEP_FILE)
    };
    match done {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound) => {
            Ok(())
        }
        Err(e) => Err(e),
        Ok(()) => tracewell::fs::sync_dir(&folder),
    }
}
