//! `status`: what is on, who is attached, where data lies, and why nothing comes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tracewell::control::{AttachedComponent, Control, Why};
use tracewell::dirs::Dirs;
use tracewell_reader::render::escape::Escaped;
use tracewell_reader::render::time::utc;
use tracewell_reader::{Filter, Trace};
use tracewell_schema::{Category, Level};

use crate::{Outcome, output};

#[derive(Debug, Serialize)]
struct Status {
    enabled: bool,
    why_off: Option<String>,
    since: Option<String>,
    until: Option<String>,
    categories: Vec<(String, String)>,
    components: Vec<Component>,
    places: Vec<Place>,
    events: u64,
    lost: u64,
    missing: u64,
    damaged: usize,
}

#[derive(Debug, Serialize)]
struct Component {
    component: String,
    pid: u32,
    state: String,
    why_nothing: Option<String>,
}

#[derive(Debug, Serialize)]
struct Place {
    what: String,
    path: PathBuf,
    files: u64,
    bytes: u64,
}

fn component(attached: AttachedComponent, off: Option<&Why>) -> Component {
    let (state, why) = match (attached.state, off) {
        (3, _) => (
            "failed",
            Some(format!(
                "its ring could not be made: {}; free memory in the ring directory or use smaller rings",
                std::io::Error::from_raw_os_error(i32::try_from(attached.errno).unwrap_or(0))
            )),
        ),
        (_, Some(why)) => ("attached", Some(format!("tracing is off: {why}"))),
        (2, None) => ("emitting", None),
        (_, None) => ("attached", Some("nothing happened in the categories that are on".to_owned())),
    };
    Component { component: attached.component, pid: attached.pid, state: state.to_owned(), why_nothing: why }
}

pub(crate) fn status(dirs: &Dirs, json: bool) -> Outcome {
    let control = Control::open(dirs)
        .map_err(|e| format!("the trace directory {} cannot be used: {e}", output::path(dirs.base())))?;
    let page = control.as_ref().map_or(Err(Why::Off), Control::snapshot);
    let off = page.as_ref().err();
    let components = control
        .as_ref()
        .map(Control::attached)
        .unwrap_or_default()
        .into_iter()
        .map(|attached| component(attached, off))
        .collect();
    let places = [
        ("sessions", dirs.sessions()),
        ("rings of processes", dirs.ring_root().to_owned()),
        ("settings", dirs.settings()),
        ("control page", dirs.control()),
    ]
    .into_iter()
    .filter(|(_, path)| path.exists())
    .map(|(what, path)| {
        let (bytes, files) =
            if path.is_dir() { output::usage(&path) } else { (path.metadata().map_or(0, |m| m.len()), 1) };
        Place { what: what.to_owned(), path, files, bytes }
    })
    .collect();
    let mut status = Status {
        enabled: page.is_ok(),
        why_off: off.map(ToString::to_string),
        since: page.as_ref().ok().map(|p| utc(p.enabled_at)),
        until: page.as_ref().ok().filter(|p| p.expires_at != 0).map(|p| utc(p.expires_at)),
        categories: page.as_ref().map_or(Vec::new(), |p| {
            Category::ALL
                .iter()
                .filter_map(|c| {
                    let level = Level::from_u8(*p.levels.get(*c as usize)?)?;
                    Some((c.to_string(), level.to_string()))
                })
                .collect()
        }),
        components,
        places,
        events: 0,
        lost: 0,
        missing: 0,
        damaged: 0,
    };
    if dirs.sessions().is_dir()
        && let Ok(trace) = Trace::open(&[dirs.base().to_owned()], &[dirs.ring_root().to_owned()])
        && let Ok(summary) = trace.read(&Filter::default(), |_| Ok::<(), std::io::Error>(()))
    {
        status.events = summary.events;
        status.lost = summary.lost_total();
        status.missing = summary.missing;
        status.damaged = summary.damaged.len();
    }
    if json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        output::print(&to_text(&status, dirs))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn to_text(status: &Status, dirs: &Dirs) -> String {
    let mut out = String::new();
    if status.enabled {
        let _ = write!(out, "Tracing is on since {}", status.since.as_deref().unwrap_or("?"));
        match &status.until {
            Some(until) => _ = writeln!(out, ", until {until}."),
            None => out.push_str(", until you run `tracewell disable`.\n"),
        }
        let on: Vec<_> = status.categories.iter().map(|(c, l)| format!("{c}={l}")).collect();
        let _ = writeln!(out, "  {}", on.join(", "));
    } else {
        let why = status.why_off.as_deref().filter(|w| *w != "off");
        let _ = writeln!(out, "Tracing is off{}.", why.map(|w| format!(": {w}")).unwrap_or_default());
    }
    if status.components.is_empty() {
        out.push_str("No component of this user is attached to this directory.\n");
    } else {
        out.push_str("Components:\n");
    }
    for c in &status.components {
        let _ = write!(out, "  {} (pid {}): {}", Escaped(&c.component), c.pid, c.state);
        match &c.why_nothing {
            Some(why) => _ = writeln!(out, "; nothing comes, since {why}"),
            None => out.push('\n'),
        }
    }
    let _ = writeln!(
        out,
        "Recorded: {} events; lost {}, missing {}, damaged parts {}.",
        status.events, status.lost, status.missing, status.damaged
    );
    out.push_str("Data lies in:\n");
    for place in &status.places {
        let _ = writeln!(
            out,
            "  {}: {} ({} files, {})",
            place.what,
            output::path(&place.path),
            place.files,
            output::size(place.bytes)
        );
    }
    if status.places.is_empty() {
        let _ = writeln!(out, "  nowhere; it would be {}", output::path(dirs.base()));
    }
    out
}
