//! What the trace of the demo tells.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tracewell::catalog;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, Summary, Trace, write_trace_files};
use tracewell_schema::Value;

use super::Played;
use super::stage::Stage;
use crate::activity::Activity;
use crate::demo_component::{LOADGEN, most_of_a_round};
use crate::output::{Failure, Out, note, number, safe, size};
use crate::segments;

/// Longest line of a trace that is shown, in characters.
const WIDTH: usize = 200;

/// What the trace told.
pub(super) struct Told {
    pub(super) files: Vec<PathBuf>,
    pub(super) is_complete: bool,
}

/// What one reading of the trace collects.
#[derive(Default)]
struct Collected {
    /// By category: number of events, the first line, and the sensor's first line.
    categories: BTreeMap<u8, (u64, String, String)>,
    events: BTreeMap<String, u64>,
    of_process: BTreeMap<u32, u64>,
    seen: Seen,
}

/// What of the real activity was found.
#[derive(Default)]
struct Seen {
    program: bool,
    connection: bool,
    download: bool,
    origin: bool,
    detection: bool,
}

impl Seen {
    /// What happened and must be in the trace, but is not. The origin of a file is kept by some file systems only.
    fn missed(&self, activity: &Activity) -> Vec<&'static str> {
        let origin = self.origin || activity.no_origin.is_some();
        [
            (self.program, "the launch of a program"),
            (self.connection, "the connection"),
            (self.download, "the download"),
            (origin || !self.download, "the URL that the download came from"),
            (self.detection, "the EICAR test file"),
        ]
        .into_iter()
        .filter(|(is_seen, _)| !is_seen)
        .map(|(_, what)| what)
        .collect()
    }
}

pub(super) fn show(stage: &Stage, played: &Played, out: &mut Out) -> Result<Told, Failure> {
    let fail = |e: tracewell_reader::ReadError| stage.failure("reading", e);
    let base = stage.dirs.base().to_owned();
    let trace = Trace::open(&[base], &[stage.dirs.ring_root().to_owned()]).map_err(fail)?;
    let filter = Filter::default();
    let written = write_trace_files(&trace, &stage.trace_dir(), &filter, false, |_| {}).map_err(fail)?;
    let mut collected = Collected::default();
    let mut renderer = TextRenderer::new(false);
    trace.read(&filter, |item| {
        collect_item(item, &mut renderer, &mut collected, played);
        Ok::<(), Failure>(())
    })?;
    print_categories(&collected, out)?;
    let sources = played.sources.iter().filter(|l| *l != "ready");
    print_seen(&collected.seen, played, sources, out)?;
    let missed = collected.seen.missed(&played.activity);
    let kept = print_counts(stage, &written.summary, &collected, played, out)?;
    if !missed.is_empty() {
        note(&format!(
            "the sensor did not see {}; a busy computer, or missing rights, may be why",
            missed.join(", ")
        ));
    }
    let files = std::iter::once(written.all).chain(written.files).collect();
    Ok(Told { files, is_complete: written.summary.is_complete() && kept && missed.is_empty() })
}

fn collect_item(item: &Item<'_>, renderer: &mut TextRenderer, collected: &mut Collected, played: &Played) {
    let Item::Event(event) = item else { return };
    let entry = collected.categories.entry(event.schema.category).or_default();
    entry.0 += 1;
    let pid = event.process.identity.pid;
    let first = if pid == played.sensor_pid { &mut entry.2 } else { &mut entry.1 };
    if first.is_empty() {
        renderer.push(first, item);
    }
    match collected.events.get_mut(&event.schema.name) {
        Some(count) => *count += 1,
        None => drop(collected.events.insert(event.schema.name.clone(), 1)),
    }
    *collected.of_process.entry(pid).or_default() += 1;
    if pid != played.sensor_pid {
        return;
    }
    let text = |field: &str, wanted: &str| {
        event.values.iter().flatten().any(|f| match f.value {
            Value::Str(text) => f.schema.name == field && text.bytes == wanted.as_bytes(),
            _ => false,
        })
    };
    let port = |wanted: u16| {
        event.values.iter().flatten().any(|f| match f.value {
            Value::Socket(socket) => socket.port() == wanted,
            Value::U(n) => n == u64::from(wanted) && f.schema.name.contains("port"),
            _ => false,
        })
    };
    let seen = &mut collected.seen;
    match event.schema.name.as_str() {
        "process.start" => seen.program |= text("command_line", &played.activity.program),
        "network.connection" => seen.connection |= port(played.activity.port),
        "download.finished" => {
            seen.download |= text("file_name", "report.pdf");
            seen.origin |= event.values.iter().flatten().any(|f| {
                f.schema.name == "url"
                    && matches!(f.value, Value::Str(t) if t.bytes.starts_with(b"https://downloads"))
            });
        }
        "detection.object" => seen.detection = true,
        _ => {}
    }
}

fn print_categories(collected: &Collected, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    out.line("The first lines of each category, what the sensor saw first:")?;
    for (category, (count, other, real)) in &collected.categories {
        let name = tracewell::Category::from_u8(*category).map_or("later", tracewell::Category::name);
        out.line(format_args!("  {name} ({} events)", number(*count)))?;
        for line in [real.trim_end(), other.trim_end()].into_iter().filter(|l| !l.is_empty()) {
            let cut: String = line.chars().take(WIDTH).collect();
            let more = if cut.len() < line.len() { "\u{2026}" } else { "" };
            out.line(format_args!("    {cut}{more}"))?;
        }
    }
    Ok(())
}

fn print_seen<'a>(
    seen: &Seen,
    played: &Played,
    sources: impl Iterator<Item = &'a String>,
    out: &mut Out,
) -> Result<(), Failure> {
    let origin = match (&played.activity.no_origin, seen.origin) {
        (_, true) => " with the URL that it came from",
        (Some(_), _) => " (this file system keeps no origin)",
        (None, _) => " (without the URL that it came from)",
    };
    out.line("")?;
    out.line("Real activity that the sensor recorded:")?;
    let (port, programs) = (played.activity.port, played.activity.programs);
    for (is_seen, what) in [
        (seen.program, format!("the launch of `{}` ({programs} programs were run)", played.activity.program)),
        (seen.connection, format!("the connection to 127.0.0.1:{port}")),
        (seen.download, format!("the download of report.pdf{origin}")),
        (seen.detection, "the EICAR test file, as a detection".to_owned()),
    ] {
        out.line(format_args!("  {} {what}", if is_seen { "yes" } else { "NO " }))?;
    }
    for source in sources {
        out.line(format_args!("  source of {}", safe(source)))?;
    }
    Ok(())
}

/// False if events are missing that should be there.
fn print_counts(
    stage: &Stage,
    summary: &Summary,
    collected: &Collected,
    played: &Played,
    out: &mut Out,
) -> Result<bool, Failure> {
    let found = collected.of_process.get(&played.loadgen_pid).copied().unwrap_or(0);
    let names = catalog::all();
    let kinds = names.iter().filter(|s| collected.events.contains_key(s.name)).count();
    let (mut events, mut bytes, mut files) = (0, 0, 0);
    for path in segments::below(&[stage.dirs.base().to_owned()]) {
        if let Some(facts) = segments::facts(&path) {
            events += facts.events;
            bytes += facts.used;
            files += 1;
        }
    }
    out.line("")?;
    out.line(format_args!(
        "Events: {}, {} of {} types of the catalog, {} from the killed component (it had emitted {})",
        number(summary.events),
        kinds,
        names.len(),
        number(found),
        number(played.emitted)
    ))?;
    let lost = if summary.is_complete() {
        "none".to_owned()
    } else {
        number(summary.lost_total() + summary.missing)
    };
    out.line(format_args!("Lost: {lost}; the numbers of {} threads add up", summary.law_checked))?;
    if !summary.is_complete() {
        out.flush()?;
        summary.to_text().lines().for_each(note);
    }
    out.line(format_args!(
        "On disk: {:.1} bytes per event ({} events in {files} segments, {}); {} more were salvaged from memory",
        bytes as f64 / (events.max(1)) as f64,
        number(events),
        size(bytes),
        number(summary.events.saturating_sub(events))
    ))?;
    let kept = found >= played.emitted && found <= played.emitted + most_of_a_round();
    if !kept {
        note(&format!("{LOADGEN} emitted {} events, the trace has {found} of it", played.emitted));
    }
    if kinds != names.len() {
        let missing: Vec<_> =
            names.iter().filter(|s| !collected.events.contains_key(s.name)).map(|s| s.name).collect();
        note(&format!("not in the trace: {}", missing.join(", ")));
    }
    Ok(kept && kinds == names.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_seen_and_was_not_is_named() {
        let mut activity = Activity::default();
        let mut seen =
            Seen { program: true, connection: true, download: true, origin: true, detection: true };
        assert!(seen.missed(&activity).is_empty());
        seen.origin = false;
        assert_eq!(seen.missed(&activity).len(), 1);
        activity.no_origin = Some("not supported".into());
        assert!(seen.missed(&activity).is_empty(), "a file system without it");
        assert_eq!(Seen::default().missed(&activity).len(), 4);
    }
}
