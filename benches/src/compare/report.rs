//! The table, as Markdown and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::figures::{Better, Figures, Measure};
use super::goals::{self, Goal, show};
use super::options::Options;
use super::peers::{Peer, State};
use super::{Outcome, elsewhere, measures};

const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";

/// Writes `compare.json` and `compare.md`, and the part of a document if that was asked for; prints the latter.
pub(super) fn write(options: &Options, outcome: &mut Outcome) -> Result<(), String> {
    let goals = goals::all(&outcome.figures);
    let table = markdown(options, outcome, &goals);
    println!("\n{table}");
    let at = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(&options.out).map_err(|e| at(&options.out, e))?;
    let json = json!({
        "command": options.command,
        "machine": machine(),
        "quick": options.quick,
        "reps": options.reps,
        "secs": options.secs,
        "debug_build": cfg!(debug_assertions),
        "rdtsc_ns": outcome.figures.rdtsc(),
        "peers": outcome.peers.iter().map(|p| json!({
            "name": p.name,
            "settings": p.settings,
            "state": state(p),
        })).collect::<Vec<_>>(),
        "figures": outcome.figures.json(measures::ALL),
        "goals": goals.iter().map(Goal::json).collect::<Vec<_>>(),
        "notes": outcome.notes,
    });
    let text = serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?;
    for (name, text) in [("compare.json", &text), ("compare.md", &table)] {
        let path = options.out.join(name);
        std::fs::write(&path, text).map_err(|e| at(&path, e))?;
        println!("wrote {}", path.display());
        outcome.files.push(path);
    }
    if let Some(document) = &options.write {
        let text = std::fs::read_to_string(document).map_err(|e| at(document, e))?;
        let text = between(&text, &table)
            .ok_or_else(|| format!("{} has no lines {BEGIN} and {END}", document.display()))?;
        std::fs::write(document, text).map_err(|e| at(document, e))?;
        outcome.files.push(document.clone());
    }
    Ok(())
}

/// The document with the part between the markers replaced.
fn between(document: &str, part: &str) -> Option<String> {
    let begin = document.find(BEGIN)? + BEGIN.len();
    let end = begin + document[begin..].find(END)?;
    Some(format!("{}\n\n{}\n\n{}", &document[..begin], part.trim(), &document[end..]))
}

fn state(peer: &Peer) -> String {
    match &peer.state {
        State::Ready => "ran".into(),
        State::Unwanted => "not asked for".into(),
        State::Missing(why) => why.clone(),
    }
}

/// What this machine is, as far as it says.
#[must_use]
pub fn machine() -> serde_json::Value {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = info.lines().find(|l| l.starts_with(key));
        line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    json!({
        "cpu": field("model name"),
        "mhz": field("cpu MHz"),
        "cpus": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "kernel": release.trim(),
        "unix_time": now.as_secs(),
        "date": date(now.as_secs()),
    })
}

/// Day of a time, UTC.
fn date(unix: u64) -> String {
    // Days to a date of the proleptic Gregorian calendar, by eras of 400 years that begin in March.
    let z = unix as i64 / 86_400 + 719_468;
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = year_of_era + z.div_euclid(146_097) * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

fn markdown(options: &Options, outcome: &Outcome, goals: &[Goal]) -> String {
    let mut out = String::new();
    let machine = machine();
    let text = |key: &str| machine[key].as_str().map_or_else(|| machine[key].to_string(), str::to_owned);
    let (cpu, cpus, kernel, date) = (text("cpu"), text("cpus"), text("kernel"), text("date"));
    let _ = writeln!(out, "`{}` on {date}: {cpu}, {cpus} processors, Linux {kernel}.", options.command);
    let rdtsc = outcome.figures.rdtsc().map_or_else(|| "?".into(), |ns| format!("{ns:.2}"));
    let _ = writeln!(out, "Medians of {} processes; bare `rdtsc` took {rdtsc} ns.", options.reps);
    if options.quick || cfg!(debug_assertions) {
        out.push_str(
            "\n**A quick run or a debug build: it shows that everything works, not how fast it is.**\n",
        );
    }
    limits(&mut out, &outcome.figures);
    table(&mut out, outcome);
    out.push_str(
        "\n### Goals\n\n| measure | goal | reached | | best peer |\n| --- | --- | --- | --- | --- |\n",
    );
    for goal in goals {
        let Goal { what, goal: wanted, reached, best_peer, .. } = goal;
        let _ = writeln!(out, "| {what} | {wanted} | {reached} | {} | {best_peer} |", goal.verdict());
    }
    let count = |met| goals.iter().filter(|g| g.met == met).count();
    let (met, not, open) = (count(Some(true)), count(Some(false)), count(None));
    let _ = writeln!(
        out,
        "\n{met} met, {not} not met, {open} not measured. `*`: measured elsewhere, by its ratio to LTTng."
    );
    out.push_str("\n### Who took part\n\n");
    for peer in &outcome.peers {
        let _ = writeln!(out, "- {}: {}; {}", peer.name, state(peer), peer.settings);
    }
    if !outcome.notes.is_empty() {
        out.push_str("\nNotes:\n\n");
        for note in &outcome.notes {
            let _ = writeln!(out, "- {}", note.replace('\n', " "));
        }
    }
    out
}

fn limits(out: &mut String, figures: &Figures) {
    out.push_str("\n### Limits of the machine\n\n| what | median | min to max | x rdtsc |\n| --- | --- | --- | --- |\n");
    for measure in measures::ALL.iter().filter(|m| m.better == Better::Neither) {
        for w in figures.workloads(measure.id) {
            let Some(median) = figures.median(measure.id, w, "machine") else { continue };
            let (low, high) = (figures.min(measure.id, w, "machine"), figures.max(measure.id, w, "machine"));
            let (low, high) = (low.unwrap_or(median), high.unwrap_or(median));
            let ratio = ratio(figures.to_rdtsc(measure, w, "machine"));
            let unit = measure.unit;
            let range = format!("{} to {}", show(unit, low), show(unit, high));
            let _ = writeln!(out, "| {} {w} | {} | {range} | {ratio} |", measure.title, show(unit, median));
        }
    }
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |v| if v < 10.0 { format!("{v:.2}") } else { format!("{v:.0}") })
}

/// Every measure, every peer: the value, and in brackets its ratio to LTTng's.
fn table(out: &mut String, outcome: &Outcome) {
    let figures = &outcome.figures;
    let columns: Vec<&Peer> = outcome.peers.iter().filter(|p| p.state != State::Unwanted).collect();
    out.push_str("\n### Ours and the peers\n\nIn brackets: times LTTng's. **Bold**: better than ours.\n\n");
    out.push_str("| measure | ours x rdtsc |");
    for peer in &columns {
        let _ = write!(out, " {} |", peer.name);
    }
    out.push_str(" better than ours |\n| --- | --- |");
    columns.iter().for_each(|_| out.push_str(" --- |"));
    out.push_str(" --- |\n");
    for measure in measures::ALL.iter().filter(|m| m.better != Better::Neither) {
        let mut workloads = figures.workloads(measure.id);
        if workloads.is_empty() {
            workloads.push("");
        }
        for w in workloads {
            row(out, figures, measure, w, &columns);
        }
    }
}

fn row(out: &mut String, figures: &Figures, measure: &Measure, w: &str, columns: &[&Peer]) {
    let ours = ["ours", "ours-wait"].map(|p| figures.median(measure.id, w, p));
    // Where ours that never waits loses events, it is the one that waits that is compared.
    let lost = match measure.id {
        "to_file_2t" => &measures::LOST_2T,
        _ => &measures::LOST_1T,
    };
    let is_run = figures.median(measure.id, w, "ours-wait").is_some();
    let own = if is_run { goals::lossless(figures, lost, w) } else { "ours" };
    let best = figures.median(measure.id, w, own).or(ours[0]).or(ours[1]);
    let is_better = |value: f64| match (measure.better, best) {
        (Better::Higher, Some(own)) => value > own,
        (Better::Lower, Some(own)) => value < own,
        _ => false,
    };
    // Microseconds are beside the point there; the JSON has them.
    let to_rdtsc = figures.to_rdtsc(measure, w, own).filter(|_| measure.unit != "us");
    let _ = write!(out, "| {} {w} | {} |", measure.title, ratio(to_rdtsc));
    let mut winners = Vec::new();
    for peer in columns {
        let Some(value) = figures.median(measure.id, w, peer.name) else {
            out.push_str(if peer.is_ready() { " - |" } else { " not installed |" });
            continue;
        };
        let wins = !peer.name.starts_with("ours") && is_better(value);
        let bold = if wins { "**" } else { "" };
        let to = figures
            .to_lttng(measure, w, peer.name)
            .map_or_else(String::new, |r| format!(" ({})", ratio(Some(r))));
        let _ = write!(out, " {bold}{}{bold}{to} |", show(measure.unit, value));
        if wins {
            winners.push(peer.name.to_owned());
        }
    }
    let elsewhere = elsewhere::here(figures, measure, w).into_iter();
    winners.extend(elsewhere.filter(|(_, v)| is_better(*v)).map(|(p, _)| format!("{p}*")));
    let _ = writeln!(out, " {} |", winners.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
    }

    #[test]
    fn only_the_part_between_the_markers_changes() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between(&document, "new\n").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(between("a", "new"), None);
    }
}
