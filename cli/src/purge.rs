//! `purge`: deletes what was recorded. Only names that Tracewell makes, below directories that are held open and were
//! reached without links; never what a running process uses.

mod everything;
mod remove;
mod rest;
mod users;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tracewell::dirs::{Dirs, is_session_name};
use tracewell_bundle::dumps::{DumpFile, Dumps};
use tracewell_bundle::expiry::Now;
use tracewell_bundle::{Folder, Store};
use tracewell_schema::format::hex;

use crate::explain::count;
use crate::output::{Failure, Out, safe, size};
use crate::place::{Place, unusable};
use crate::rings::{RingFolder, Rings};
use crate::segments::Session;
use crate::status::current_session;
use crate::{OK, args, audit_file, expiry, segments};
use remove::Removed;

/// What would be deleted, and what stays.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All sessions, by name: the next one says when one ended.
    pub(crate) all: Vec<String>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) folders: Vec<RingFolder>,
    /// Prepared for support: copies of what was recorded.
    pub(crate) bundles: Vec<Folder>,
    /// Memory of components.
    pub(crate) dumps: Vec<DumpFile>,
    pub(crate) kept: Vec<(PathBuf, String)>,
    /// Where rings were looked for.
    roots: Vec<PathBuf>,
    /// Where they could not be looked for.
    pub(crate) problems: Vec<String>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.folders.is_empty()
            && self.bundles.is_empty()
            && self.dumps.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let sessions: u64 = self.sessions.iter().map(Session::bytes).sum();
        let bundles: u64 = self.bundles.iter().map(Folder::bytes).sum();
        let dumps: u64 = self.dumps.iter().map(|dump| dump.len).sum();
        sessions + self.folders.iter().map(|f| f.bytes).sum::<u64>() + bundles + dumps
    }

    /// `2 sessions, 1 bundle`
    pub(crate) fn summary(&self) -> String {
        let counts = [
            (self.sessions.len(), "session"),
            (self.folders.len(), "ring folder"),
            (self.bundles.len(), "bundle"),
            (self.dumps.len(), "dump"),
        ];
        let some = counts.iter().filter(|(n, _)| *n != 0);
        some.map(|(n, of)| count(*n as u64, of)).collect::<Vec<_>>().join(", ")
    }
}

/// `tracewell purge`.
pub(crate) fn purge(dir: Option<&Path>, args: &args::Purge, out: &mut Out) -> Result<u8, Failure> {
    if args.all_users {
        return users::all(dir, args, out);
    }
    let place = Place::resolve(dir)?;
    if !place.check()? {
        out.line("Nothing was ever recorded; there is nothing to delete.")?;
        return Ok(OK);
    }
    if args.expired {
        return expiry::purge(&place, &Now::real(), args.yes, out);
    }
    if args.everything && args.yes {
        everything::switch_off(&place)?;
    }
    let mut plan = plan(&place)?;
    let rest = rest::Rest::find(&place, args.everything)?;
    print(&plan, &rest, args.yes, out)?;
    if !args.yes {
        for problem in &plan.problems {
            out.line(format_args!("Note: {}", safe(problem)))?;
        }
        if !plan.is_empty() || !rest.is_empty() {
            out.line("Nothing was deleted; run `tracewell purge --yes` to do it.")?;
        }
        return Ok(OK);
    }
    // What is said must be seen even if deleting takes long.
    out.flush()?;
    if !plan.is_empty() && !args.everything {
        audit_file::note(&place, "delete", &format!("purged by the user: {}", plan.summary()));
    }
    let is_used = plan.kept.iter().any(|(_, why)| !why.starts_with("of another"));
    let mut left = delete(&place, &mut plan, out)?;
    rest.remove(&mut left);
    if args.everything && is_used {
        left.push(
            "something is still used, so that the trace directory itself stays; end the components first"
                .into(),
        );
    }
    if args.everything && left.is_empty() {
        everything::remove(&place, &plan.roots, &mut left);
        if left.is_empty() {
            out.line(format_args!("Nothing of Tracewell is left in {}.", safe(place.dirs.base())))?;
        }
    }
    if left.is_empty() {
        return Ok(OK);
    }
    left.push("look at what is left, and remove it by hand if it is yours".into());
    Err(Failure::Message(left))
}

/// What would be deleted or is.
fn print(plan: &Plan, rest: &rest::Rest, is_done: bool, out: &mut Out) -> Result<(), Failure> {
    if plan.is_empty() && rest.is_empty() {
        out.line("There is nothing to delete.")?;
    } else {
        let verb = if is_done { "Deleting" } else { "These would be deleted" };
        let folders = plan.sessions.len() + plan.folders.len() + plan.bundles.len();
        let folders = count(folders as u64, "folder");
        let dumps = match plan.dumps.len() {
            0 => String::new(),
            n => format!(" and {}", count(n as u64, "memory dump")),
        };
        out.line(format_args!("{verb}: {} in {folders}{dumps}", size(plan.bytes())))?;
        for session in &plan.sessions {
            let files = count(session.segments.len() as u64, "segment");
            let kept = if session.is_kept { ", which you kept" } else { "" };
            let bytes = size(session.bytes());
            out.line(format_args!("  session {} ({files}, {bytes}{kept})", safe(&session.path)))?;
        }
        for folder in &plan.folders {
            out.line(format_args!("  rings   {} ({})", safe(&folder.path), size(folder.bytes)))?;
        }
        for bundle in &plan.bundles {
            out.line(format_args!("  bundle  {} ({})", safe(bundle.path()), size(bundle.bytes())))?;
        }
        for dump in &plan.dumps {
            out.line(format_args!(
                "  dump    {} ({})",
                safe(Dumps::new(&rest.base).path().join(&dump.name)),
                size(dump.len)
            ))?;
        }
        for (path, what) in &rest.named {
            out.line(format_args!("  {:<7} {}", what, safe(path)))?;
        }
    }
    for (path, why) in &plan.kept {
        out.line(format_args!("Stays: {} ({why})", safe(path)))?;
    }
    Ok(())
}

pub(crate) fn plan(place: &Place) -> Result<Plan, Failure> {
    let dirs = &place.dirs;
    let current = place.look()?.as_ref().and_then(current_session);
    let rings = Rings::find(dirs);
    let problems = rings.problems().collect();
    let mut plan = Plan { roots: rings.roots, problems, ..Plan::default() };
    let store = Store::new(dirs.base());
    for name in store.list().map_err(|e| unusable(dirs.base(), &e))? {
        plan.bundles.push(store.open(&name).map_err(|e| unusable(dirs.base(), &e))?);
    }
    let dumps = Dumps::new(dirs.base());
    plan.dumps = dumps.list().map_err(|e| unusable(dumps.path(), &e))?;
    let mut live = BTreeSet::new();
    let sessions = segments::sessions(&dirs.sessions()).map_err(|e| unusable(&dirs.sessions(), &e))?;
    for folder in rings.folders {
        if folder.is_alive {
            let who = folder.identity.as_ref();
            live.extend(who.and_then(|i| i.process_uuid.get(..4)).map(hex));
            let who =
                who.map_or_else(|| "a running process".into(), |i| format!("{} pid {}", i.component, i.pid));
            plan.kept.push((folder.path, format!("{} records into it", safe(who))));
        } else if is_being_made(&folder) {
            plan.kept.push((folder.path, "a running process is making it".into()));
        } else if !is_of(dirs, &folder, &sessions) {
            plan.kept
                .push((folder.path, "of another trace directory; purge that, or remove it by hand".into()));
        } else {
            plan.folders.push(folder);
        }
    }
    plan.all = sessions.iter().map(|session| session.name.clone()).collect();
    for session in sessions {
        let is_live = session.segments.iter().any(|s| s.name.is_open && live.contains(&s.name.uuid8));
        if current.as_ref() == Some(&session.name) {
            plan.kept.push((session.path, "the session that is on; `tracewell disable` first".into()));
        } else if is_live {
            plan.kept.push((session.path, "a running process is still writing it".into()));
        } else if !is_session_name(&session.name) {
            plan.kept.push((session.path, "not a folder that Tracewell made".into()));
        } else {
            plan.sessions.push(session);
        }
    }
    Ok(plan)
}

/// No process file yet, and the process that its name tells is there: it is about to write one.
fn is_being_made(folder: &RingFolder) -> bool {
    let name = folder.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let pid = name.rsplit('-').nth(1).and_then(|p| p.parse().ok());
    folder.identity.is_none() && pid.is_none_or(|pid| tracewell::boot::start_ticks(pid).is_some())
}

/// Whether a ring folder is of this trace directory: it lies in a place that is this one's alone by its name, or it is of
/// a session that lies here. A component can be told to put its rings where those of another trace directory are too.
fn is_of(dirs: &Dirs, folder: &RingFolder, sessions: &[Session]) -> bool {
    if folder.path.parent().is_some_and(|root| dirs.is_own_ring_root(root)) {
        return true;
    }
    let id = folder.identity.as_ref().and_then(|i| i.session_id.get(..4)).map(hex);
    id.is_some_and(|id| sessions.iter().any(|s| s.name.rsplit('_').next() == Some(id.as_str())))
}

/// Deletes; what could not be, and why.
pub(crate) fn delete(place: &Place, plan: &mut Plan, out: &mut Out) -> Result<Vec<String>, Failure> {
    let (text, left) = delete_all(place, plan);
    out.line(text)?;
    Ok(left)
}

/// Deletes; what was, and what could not be.
pub(crate) fn delete_all(place: &Place, plan: &mut Plan) -> (String, Vec<String>) {
    let mut removed = Removed::default();
    for bundle in plan.bundles.drain(..) {
        let path = bundle.path().to_owned();
        let (done, bytes) = (bundle.bytes(), bundle.remove());
        removed.other("bundle", &path, done, bytes);
    }
    let dumps = Dumps::new(place.dirs.base());
    for dump in plan.dumps.drain(..) {
        removed.other("dump", &dumps.path().join(&dump.name), dump.len, dumps.remove(&dump));
    }
    for folder in plan.folders.drain(..) {
        removed.rings(&folder.path);
    }
    for session in plan.sessions.drain(..) {
        removed.session(&place.dirs.sessions(), &session.path);
    }
    for root in &plan.roots {
        // Only if it is empty: who still records keeps a folder there.
        let _ = std::fs::remove_dir(root);
    }
    let text = removed.summary();
    removed.left.append(&mut plan.problems);
    (text, removed.left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_tracewell_makes() {
        assert!(is_session_name("2026-11-23_17.44.36_0a1b2c3d"));
        assert!(!is_session_name("notes") && !is_session_name("2026-11-23_17.44.36_0a1b2c3d.old"));
    }
}
