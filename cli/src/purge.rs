//! `purge`: deletes what was recorded. Only names that Tracewell makes, below directories that are held open and were
//! reached without links; never what a running process uses.

mod remove;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tracewell::dirs::{Dirs, is_session_name};
use tracewell_bundle::dumps::{DumpFile, Dumps};
use tracewell_bundle::{Folder, Store};
use tracewell_schema::format::hex;

use crate::explain::count;
use crate::output::{Failure, Out, safe, size};
use crate::place::{Place, unusable};
use crate::rings::{RingFolder, Rings};
use crate::segments::Session;
use crate::status::current_session;
use crate::{OK, args, audit_file, segments};
use remove::Removed;

/// What would be deleted, and what stays.
#[derive(Debug, Default)]
struct Plan {
    sessions: Vec<Session>,
    folders: Vec<RingFolder>,
    /// Prepared for support: copies of what was recorded.
    bundles: Vec<Folder>,
    dumps: Vec<DumpFile>,
    kept: Vec<(PathBuf, String)>,
    /// Where rings were looked for.
    roots: Vec<PathBuf>,
    /// Where they could not be looked for.
    problems: Vec<String>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.folders.is_empty()
            && self.bundles.is_empty()
            && self.dumps.is_empty()
    }

    fn bytes(&self) -> u64 {
        let sessions: u64 = self.sessions.iter().map(Session::bytes).sum();
        let bundles: u64 = self.bundles.iter().map(Folder::bytes).sum();
        let dumps: u64 = self.dumps.iter().map(|d| d.len).sum();
        sessions + self.folders.iter().map(|f| f.bytes).sum::<u64>() + bundles + dumps
    }
}

/// `tracewell purge`.
pub(crate) fn purge(dir: Option<&Path>, args: &args::Purge, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    if !place.check()? {
        out.line("Nothing was ever recorded; there is nothing to delete.")?;
        return Ok(OK);
    }
    let mut plan = plan(&place)?;
    if plan.is_empty() {
        out.line("There is nothing to delete.")?;
    } else {
        let verb = if args.yes { "Deleting" } else { "These would be deleted" };
        let folders = plan.sessions.len() + plan.folders.len() + plan.bundles.len();
        let folders = count(folders as u64, "folder");
        let dumps = match plan.dumps.len() {
            0 => String::new(),
            n => format!(" and {}", count(n as u64, "memory dump")),
        };
        out.line(format_args!("{verb}: {} in {folders}{dumps}", size(plan.bytes())))?;
        for session in &plan.sessions {
            let files = count(session.segments.len() as u64, "segment");
            out.line(format_args!("  session {} ({files}, {})", safe(&session.path), size(session.bytes())))?;
        }
        for folder in &plan.folders {
            out.line(format_args!("  rings   {} ({})", safe(&folder.path), size(folder.bytes)))?;
        }
        for bundle in &plan.bundles {
            out.line(format_args!("  bundle  {} ({})", safe(bundle.path()), size(bundle.bytes())))?;
        }
    }
    for dump in &plan.dumps {
        let path = Dumps::new(place.dirs.base()).path().join(&dump.name);
        out.line(format_args!("  dump    {} ({})", safe(path), size(dump.len)))?;
    }
    for (path, why) in &plan.kept {
        out.line(format_args!("Stays: {} ({why})", safe(path)))?;
    }
    if !args.yes {
        for problem in &plan.problems {
            out.line(format_args!("Note: {}", safe(problem)))?;
        }
    }
    if !args.yes {
        if !plan.is_empty() {
            out.line("Nothing was deleted; run `tracewell purge --yes` to do it.")?;
        }
        return Ok(OK);
    }
    // What is said must be seen even if deleting takes long.
    out.flush()?;
    for bundle in plan.bundles.drain(..) {
        let path = bundle.path().to_owned();
        audit_file::note(&place, "delete", &format!("bundle {}: purged", bundle.name()));
        bundle.remove().map_err(|e| unusable(&path, &e))?;
    }
    let dumps = Dumps::new(place.dirs.base());
    for dump in plan.dumps.drain(..) {
        audit_file::note(&place, "delete", &format!("memory dump {}: purged", dump.name));
        dumps.remove(&dump).map_err(|e| unusable(&dumps.path().join(&dump.name), &e))?;
    }
    // Only if it is empty: another's file in it stays.
    let _ = std::fs::remove_dir(dumps.path());
    delete(&place, &mut plan, out)?;
    Ok(OK)
}

fn plan(place: &Place) -> Result<Plan, Failure> {
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

fn delete(place: &Place, plan: &mut Plan, out: &mut Out) -> Result<(), Failure> {
    let mut removed = Removed::default();
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
    out.line(removed.summary())?;
    removed.left.append(&mut plan.problems);
    if removed.left.is_empty() {
        return Ok(());
    }
    removed.left.push("look at what is left, and remove it by hand if it is yours".into());
    Err(Failure::Message(removed.left))
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
