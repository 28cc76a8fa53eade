//! `audit`: what was done with the user's data, and whether the record of it is whole.

use std::path::Path;

use tracewell_bundle::audit;

use crate::output::{Failure, Out, advice, safe};
use crate::place::Place;
use crate::{INCOMPLETE, OK};

/// `tracewell audit`.
pub(crate) fn show(dir: Option<&Path>, json: bool, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let path = place.dirs.base().join(audit::AUDIT_FILE);
    let read = audit::read(place.dirs.base())
        .map_err(|e| Failure::new(format!("{}: {e}{}", path.display(), advice(&e))))?;
    for entry in &read.entries {
        if json {
            out.line(serde_json::to_string(entry).map_err(|e| Failure::new(e.to_string()))?)?;
        } else {
            out.line(format_args!("{}  {:<8} {}", safe(&entry.at), safe(&entry.what), safe(&entry.detail)))?;
        }
    }
    if read.entries.is_empty() && !json {
        out.line("Nothing was done yet.")?;
    }
    match read.broken_at {
        None => Ok(OK),
        Some(line) => {
            out.flush()?;
            crate::output::note(&format!(
                "tracewell: {}: line {line} does not follow from the one before it: the file was changed, or a line cut",
                path.display()
            ));
            Ok(INCOMPLETE)
        }
    }
}

/// Notes what a command did. A record that cannot be written is said, and stops nobody from switching tracing off.
pub(crate) fn note(place: &Place, what: &str, detail: &str) {
    if let Err(e) = audit::append(place.dirs.base(), what, detail) {
        crate::output::note(&format!("note: the audit file could not be written: {e}"));
    }
}
