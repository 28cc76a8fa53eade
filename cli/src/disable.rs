//! `disable`.

use std::path::Path;

use crate::enable::dir_option;
use crate::output::{Failure, Out, safe};
use crate::place::{Place, unusable};
use crate::{OK, audit, audit_file};

/// `tracewell disable`.
pub(crate) fn disable(dir: Option<&Path>, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let Some(control) = place.control()? else {
        out.line("Tracing was not on.")?;
        return Ok(OK);
    };
    // That it is told who did it needs no disk; that is waited for only after the switch.
    let telling = control.snapshot().is_ok().then(|| audit::disabled(&place.dirs));
    control.disable().map_err(|e| unusable(&place.dirs.control(), &e))?;
    out.line(if telling.is_some() { "Tracing is off." } else { "Tracing was not on." })?;
    let option = dir_option(&place.dirs);
    out.line(format_args!(
        "What was recorded stays in {}; `tracewell read{option}` shows it, `tracewell purge{option}` deletes it.",
        safe(place.dirs.base())
    ))?;
    out.flush()?;
    if let Some(telling) = telling {
        audit_file::note(&place, "disable", "by the user");
        telling.finish();
    }
    Ok(OK)
}
