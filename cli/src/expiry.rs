//! What goes by itself: with every command that touches the trace directory, hourly with the service, and with `purge --expired`.
//!
//! A component that records deletes segments beyond the limits itself (`engine/src/retention.rs`); one that does not has neither
//! thread nor descriptor, and gets none for this.

use jiff::Timestamp;
use tracewell_bundle::expiry::{Clock, Now, TRACE_STAYS, look_at_clock};

use crate::output::{Failure, Out, note, size, span};
use crate::place::{Place, unusable};
use crate::purge::{Plan, delete_all, plan};
use crate::session_end::{Fate, begun};
use crate::{OK, audit_file};

/// Most sessions, bundles and dumps of one pass, each.
const AT_ONCE: usize = 64;

/// What a pass did.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Passed {
    /// What was deleted, in words.
    pub(crate) gone: Option<String>,
    /// What could not be, and why; that the clock is not believed.
    pub(crate) problems: Vec<String>,
}

/// Deletes what has expired, unless the clock has jumped and is not believed (`believe`: it is).
pub(crate) fn pass(place: &Place, now: &Now, believe: bool) -> Result<Passed, Failure> {
    if !place.check()? {
        return Ok(Passed::default());
    }
    let base = place.dirs.base();
    let mut plan = plan(place)?;
    if plan.is_empty() && plan.kept.is_empty() {
        // Nothing is there; asking makes nothing.
        return Ok(Passed::default());
    }
    let newest = newest(place, &plan);
    let why = only_expired(&mut plan, now.timestamp());
    let clock =
        look_at_clock(base, now, newest.unwrap_or(now.wall), believe).map_err(|e| unusable(base, &e))?;
    if plan.is_empty() {
        return Ok(Passed::default());
    }
    if let Clock::Jumped { ahead, left } = clock {
        let (ahead, left) = (span(ahead.unsigned_abs()), span(left.unsigned_abs()));
        let what = plan.summary();
        return Ok(Passed {
            gone: None,
            problems: vec![format!(
                "the clock of this computer seems to have jumped ahead by {ahead}, so {what} that would be too old stay for \
                 {left}; if the clock is right, `tracewell purge --expired --yes` deletes them now"
            )],
        });
    }
    let summary = format!("{} ({})", plan.summary(), size(plan.bytes()));
    // Noted before: a record that says more than was done is better than one that says less.
    for line in why {
        audit_file::note(place, "delete", &line);
    }
    // Where rings cannot be looked for is told by who is asked for them.
    plan.problems.clear();
    let (_, problems) = delete_all(place, &mut plan);
    Ok(Passed { gone: Some(summary), problems })
}

/// Leaves in the plan what has expired; a line for each.
fn only_expired(plan: &mut Plan, now: Timestamp) -> Vec<String> {
    let mut why = Vec::new();
    let all = std::mem::take(&mut plan.all);
    plan.sessions.retain(|session| {
        let place = all.iter().position(|name| *name == session.name);
        let next = place.and_then(|place| all.get(place + 1)).and_then(|name| begun(name));
        let is_due = matches!(Fate::of(session, next, now), Fate::Goes(at) if at <= now);
        if is_due {
            why.push(format!("session {}: tracing ended more than seven days ago", session.name));
        }
        is_due
    });
    plan.sessions.truncate(AT_ONCE);
    why.truncate(AT_ONCE);
    // What a dead process of such a session left in memory goes with it.
    let ids: Vec<&str> = plan.sessions.iter().filter_map(|s| s.name.rsplit('_').next()).collect();
    plan.folders.retain(|folder| {
        let id =
            folder.identity.as_ref().and_then(|i| i.session_id.get(..4)).map(tracewell_schema::format::hex);
        id.is_some_and(|id| ids.contains(&id.as_str()))
    });
    let before = why.len();
    plan.bundles.retain(|bundle| match bundle.due() {
        Ok(due) if due.at <= now => {
            why.push(format!("bundle {}: {}", bundle.name(), due.why));
            true
        }
        _ => false,
    });
    plan.bundles.truncate(AT_ONCE);
    why.truncate(before + AT_ONCE);
    let before = why.len();
    plan.dumps.retain(|dump| {
        let is_due = !dump.is_kept && dump_goes(dump.made).is_some_and(|at| at <= now);
        if is_due {
            why.push(format!("dump {}: taken more than seven days ago", dump.name));
        }
        is_due
    });
    plan.dumps.truncate(AT_ONCE);
    why.truncate(before + AT_ONCE);
    why
}

/// When a dump goes that was made then.
pub(crate) fn dump_goes(made: i64) -> Option<Timestamp> {
    Timestamp::from_second(made).ok()?.checked_add(TRACE_STAYS).ok()
}

/// The newest time that anything in the trace directory has: how far the clock has come at least.
fn newest(place: &Place, plan: &Plan) -> Option<i64> {
    let base = place.dirs.base();
    let files = ["settings.toml", "audit.jsonl", "control.lock"].iter();
    let changed = files.filter_map(|name| std::fs::symlink_metadata(base.join(name)).ok()?.modified().ok());
    let times = changed.chain(plan.sessions.iter().filter_map(|session| session.changed));
    times.filter_map(|time| Timestamp::try_from(time).ok()).map(Timestamp::as_second).max()
}

/// A pass that no command is held up by: what it does is told, what it cannot do as well, and no more.
pub(crate) fn quietly(place: &Place) {
    // A place that cannot be used was told by the command itself.
    let Ok(passed) = pass(place, &Now::real(), false) else { return };
    if let Some(gone) = passed.gone {
        note(&format!("note: deleted what was older than it may be: {gone}; `tracewell audit` says why"));
    }
    for problem in passed.problems {
        note(&format!("note: {problem}"));
    }
}

/// `purge --expired`.
pub(crate) fn purge(place: &Place, now: &Now, believe: bool, out: &mut Out) -> Result<u8, Failure> {
    let passed = pass(place, now, believe)?;
    match &passed.gone {
        Some(gone) => out.line(format_args!("Deleted what was older than it may be: {gone}."))?,
        None if passed.problems.is_empty() => out.line("Nothing is older than it may be.")?,
        None => {}
    }
    if passed.problems.is_empty() { Ok(OK) } else { Err(Failure::Message(passed.problems)) }
}

#[cfg(test)]
mod tests;
