//! `dump`: the memory of a running component, as a file of the user's own.

pub(crate) mod args;
pub(crate) mod find;
mod make;

use std::path::Path;

use tracewell_bundle::dumps::{DumpKind, DumpReason, Dumps};
use tracewell_bundle::{DumpSummary, Kind};

use crate::OK;
use crate::output::{Failure, Out, advice, safe, size};
use crate::place::{Place, unusable};
use args::Dump;
use find::Found;
pub(crate) use make::millis;

/// `tracewell dump`.
pub(crate) fn dump(dir: Option<&Path>, args: &Dump, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    if args.list {
        return list(&place, out);
    }
    if let Some(name) = &args.show {
        return show(&place, name, out);
    }
    let found = match (args.pid, &args.component) {
        (Some(pid), name) => Found::of_pid(&place, pid, name.as_deref())?,
        (None, Some(name)) => only(&place, name)?,
        (None, None) => {
            return Err(Failure::new("name a component with --component, or a process with --pid"));
        }
    };
    make::make(&place, &found, args, out)
}

/// The one process of a component.
fn only(place: &Place, name: &str) -> Result<Found, Failure> {
    let mut all = find::by_name(place, name)?;
    match all.len() {
        1 => Ok(all.remove(0)),
        0 => Err(Failure::new(find::missing(place, name))),
        n => {
            let mut lines = vec![format!("{n} processes are component {name}; say which one with --pid:")];
            lines.extend(all.iter().map(|f| format!("--pid {}  {}", f.pid, f.describe())));
            Err(Failure::Message(lines))
        }
    }
}

fn reason(reason: DumpReason) -> &'static str {
    match reason {
        DumpReason::Request => "on request",
        DumpReason::Crash => "crash",
    }
}

fn list(place: &Place, out: &mut Out) -> Result<u8, Failure> {
    let dumps = Dumps::new(place.dirs.base());
    let all = dumps.list().map_err(|e| unusable(dumps.path(), &e))?;
    if all.is_empty() {
        out.line("There are no dumps. `tracewell dump --component NAME` makes one.")?;
        return Ok(OK);
    }
    for dump in &all {
        let kind = match dump.kind {
            DumpKind::Mini => "minidump",
            DumpKind::Full => "whole memory",
        };
        let (at, component, len) = (dump.at, safe(&dump.component), size(dump.len));
        out.line(format_args!(
            "{at}  {:<10}  {component} process {}  {kind}, {len}  {}",
            reason(dump.reason),
            dump.pid,
            safe(&dump.name)
        ))?;
    }
    out.line(format_args!("They lie in {}; `tracewell purge` deletes them.", safe(dumps.path())))?;
    Ok(OK)
}

/// A dump as text: one of the list by its name, or any file.
fn show(place: &Place, name: &str, out: &mut Out) -> Result<u8, Failure> {
    let dumps = Dumps::new(place.dirs.base());
    let own = if name.contains('/') {
        None
    } else {
        let all = dumps.list().map_err(|e| unusable(dumps.path(), &e))?;
        all.into_iter().find(|dump| dump.name == name)
    };
    let failed = |e: &std::io::Error| Failure::new(format!("{name}: {e}{}", advice(e)));
    let (mut file, is_full) = match own {
        Some(dump) => (dumps.open(&dump).map_err(|e| failed(&e))?, dump.kind == DumpKind::Full),
        None => {
            let file = std::fs::File::open(name).map_err(|e| failed(&e))?;
            let mut start = [0; 4];
            let is_full = std::os::unix::fs::FileExt::read_exact_at(&file, &mut start, 0).is_ok()
                && start == *b"\x7fELF";
            (file, is_full)
        }
    };
    let kind = if is_full { Kind::Core } else { Kind::Minidump };
    let summary = DumpSummary::read(kind, &mut file).map_err(|e| failed(&e))?;
    summary.write_text(out).map_err(crate::output::failure)?;
    Ok(OK)
}
