//! `status` for a person.

use crate::explain::{count, losses, off_sentence};
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
    out.line(format_args!("Data: {} in {}", size(report.bytes), count(report.places.len() as u64, "place")))?;
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
        match report.off {
            Some(why) if why != "off" => out.line(format_args!("Tracing is off: {}.", off_sentence(why)))?,
            _ => out.line("Tracing is off; `tracewell enable` switches it on.")?,
        }
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
    let most = if session.max_bytes == 0 {
        "no limit of size".into()
    } else {
        format!("at most {}", size(session.max_bytes))
    };
    let age = match session.max_age_seconds {
        0 => "no limit of age".into(),
        seconds => span(seconds),
    };
    out.line(format_args!("  keeps     {most}, {age}; the oldest goes first"))
}

fn one(component: &Component, out: &mut Out) -> Result<(), Failure> {
    let pid = component.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
    out.push(&format!("  {}{pid}: ", safe(&component.component)))?;
    if component.delivers {
        out.push(&format!(
            "{}, {} ({})",
            count(component.delivered, "event"),
            count(component.rings as u64, "ring"),
            size(component.ring_bytes)
        ))?;
        if component.lost != 0 {
            out.push(&format!(", {} lost", number(component.lost)))?;
        }
        if let Some(problem) = &component.problem {
            out.push(&format!("; {}", safe(problem)))?;
        }
        return out.line("");
    }
    let why = component.explanation.as_deref().unwrap_or("delivers nothing");
    out.line(safe(why))
}
