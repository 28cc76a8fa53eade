//! `status` for a person.

use crate::explain::losses;
use crate::output::{Failure, Out, number, safe, size, span, time};
use crate::status::{Component, Report};

/// Prints the report.
pub(crate) fn print(report: &Report, out: &mut Out) -> Result<(), Failure> {
    head(report, out)?;
    out.line("")?;
    if report.components.is_empty() {
        out.line("Components: none is attached.")?;
    } else {
        out.line("Components:")?;
        for component in &report.components {
            one(component, out)?;
        }
    }
    out.line("")?;
    out.line(format_args!("Data: {} in {} places", size(report.bytes), report.places.len()))?;
    for place in &report.places {
        let note = place.note.as_ref().map_or_else(String::new, |n| format!("  ({})", safe(n)));
        out.line(format_args!("  {:<8} {:>10}  {}{note}", place.kind, size(place.bytes), safe(&place.path)))?;
    }
    out.line(format_args!("Lost: {}", losses(&report.lost_counts)))?;
    for note in &report.notes {
        out.line(format_args!("Note: {}", safe(note)))?;
    }
    Ok(())
}

fn head(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let Some(session) = &report.session else {
        let why = match report.off {
            Some("expired") => ": its time is over",
            Some("other_boot") => ": it was enabled before the last start of the computer",
            Some("damaged") => ": the control page is damaged; `tracewell disable` makes a new one",
            Some("changing") => ": it is being changed at this moment; ask again",
            _ => "",
        };
        out.line(format_args!("Tracing is off{why}."))?;
        return out.line(format_args!("  directory {}", safe(&report.dir)));
    };
    out.line("Tracing is on.")?;
    out.line(format_args!("  records   {}", session.scope))?;
    match (session.ends_at_ns, session.seconds_left) {
        (Some(at), Some(left)) => out.line(format_args!("  until     {} (in {})", time(at), span(left)))?,
        _ => out.line("  until     `tracewell disable`")?,
    }
    out.line(format_args!("  since     {}", session.enabled_at))?;
    out.line(format_args!("  into      {}", safe(&session.folder)))?;
    if !session.opt_ins.is_empty() {
        out.line(format_args!("  opt-ins   {}", safe(session.opt_ins.join(", "))))?;
    }
    for (field, reduction) in &session.reductions {
        out.line(format_args!("  reduced   {} as {reduction}", safe(field)))?;
    }
    let most = if session.max_bytes == 0 { "no limit of size".into() } else { size(session.max_bytes) };
    out.line(format_args!("  keeps     {most}, {}", span(session.max_age_seconds)))
}

fn one(component: &Component, out: &mut Out) -> Result<(), Failure> {
    let pid = component.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
    out.push(&format!("  {}{pid}: ", safe(&component.component)))?;
    if component.delivers {
        out.push(&format!(
            "{} events, {} rings ({})",
            number(component.delivered),
            component.rings,
            size(component.ring_bytes)
        ))?;
        if component.lost != 0 {
            out.push(&format!(", {} lost", number(component.lost)))?;
        }
        return out.line("");
    }
    let why = component.explanation.as_deref().unwrap_or("delivers nothing");
    out.line(safe(why))
}
