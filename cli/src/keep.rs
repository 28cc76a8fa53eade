//! `keep`: a session or a dump that is not deleted after seven days.

use std::path::Path;

use tracewell::dirs::is_session_name;
use tracewell_bundle::dumps::{DumpFile, Dumps};

use crate::output::{Failure, Out, safe};
use crate::place::{Place, unusable};
use crate::{OK, args, audit_file, segments, session_end};

/// `tracewell keep`.
pub(crate) fn keep(dir: Option<&Path>, args: &args::Keep, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    place.check()?;
    let folder = place.dirs.sessions();
    let sessions = segments::sessions(&folder).map_err(|e| unusable(&folder, &e))?;
    let names: Vec<&String> = sessions.iter().map(|s| &s.name).filter(|name| is_session_name(name)).collect();
    let found: Vec<&&String> = match args.session.as_str() {
        "last" => names.last().into_iter().collect(),
        part => names.iter().filter(|name| name.contains(part)).collect(),
    };
    if let Some(dump) = found.is_empty().then(|| dump(&place, &args.session)).transpose()?.flatten() {
        let dumps = Dumps::new(place.dirs.base());
        dumps.keep(&dump, !args.undo).map_err(|e| unusable(dumps.path(), &e))?;
        let dump = dump.name;
        audit_file::note(
            &place,
            "keep",
            &format!("dump {dump}: {}", if args.undo { "let go" } else { "kept" }),
        );
        out.line(format_args!(
            "Dump {} {}.",
            safe(&dump),
            if args.undo { "goes seven days after it was taken" } else { "is kept" }
        ))?;
        return Ok(OK);
    }
    let [name] = found[..] else {
        let what = match found.len() {
            0 => format!("no session and no dump is named {:?}", args.session),
            n => format!("{n} sessions fit {:?}; give more of the name", args.session),
        };
        return Err(Failure::new(format!("{what}; `tracewell status` lists them")));
    };
    session_end::keep(&folder, name, !args.undo).map_err(|e| unusable(&folder.join(name), &e))?;
    let (what, says) = if args.undo {
        ("let go", "goes seven days after tracing ended, as the others do")
    } else {
        (
            "kept",
            "is kept until you delete it with `tracewell purge`, or let it go with `tracewell keep --undo`",
        )
    };
    audit_file::note(&place, "keep", &format!("session {name}: {what}"));
    out.line(format_args!("Session {} {says}.", safe(name)))?;
    Ok(OK)
}

/// The dump of this name.
fn dump(place: &Place, name: &str) -> Result<Option<DumpFile>, Failure> {
    let dumps = Dumps::new(place.dirs.base());
    let all = dumps.list().map_err(|e| unusable(dumps.path(), &e))?;
    Ok(all.into_iter().find(|dump| dump.name == name))
}
