//! `read`: trace files, or everything on standard output.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use tracewell::dirs::Dirs;
use tracewell_reader::render::time::for_file_name;
use tracewell_reader::{Filter, Form, ReadError, Summary, Trace, write_trace_files};

use crate::args::{self, Format};
use crate::output::{self, Failure, Out, advice, note, number, safe};
use crate::place::{Place, base_of, unusable};
use crate::{INCOMPLETE, OK, progress, rings, segments};

/// Name of the file with everything, as JSON.
const JSON_FILE: &str = "all.trace.jsonl";

/// What is read: places for the reader, and the roots of their rings.
struct Sources {
    paths: Vec<PathBuf>,
    ring_roots: Vec<PathBuf>,
}

/// `tracewell read`.
pub(crate) fn read(dir: Option<&Path>, args: &args::Read, out: &mut Out) -> Result<u8, Failure> {
    let filter = filter(args)?;
    let sources = sources(dir, args)?;
    let trace = Trace::open(&sources.paths, &sources.ring_roots).map_err(|e| failure(&e))?;
    let total =
        segments::below(&sources.paths).iter().filter_map(|p| segments::facts(p)).map(|f| f.events).sum();
    let to_stdout = args.stdout || (args.format == Format::Json && args.out.is_none());
    let bar = progress::bar(total, to_stdout);
    let summary = if to_stdout {
        lines(&trace, &filter, args, &bar, &mut *out).map_err(output::failure)
    } else {
        let folder = args.out.clone().unwrap_or_else(|| default_folder(args.local));
        files(&trace, &filter, args, &folder, &bar, out)
    };
    bar.finish_and_clear();
    let summary = summary?;
    out.flush()?;
    summarise(&summary);
    Ok(if summary.is_complete() { OK } else { INCOMPLETE })
}

/// The reader's errors, with what to do about those of the system.
fn failure(error: &ReadError) -> Failure {
    match error {
        ReadError::Output { source, .. } => Failure::new(format!("{error}{}", advice(source))),
        _ => Failure::new(error.to_string()),
    }
}

fn sources(dir: Option<&Path>, args: &args::Read) -> Result<Sources, Failure> {
    if args.paths.is_empty() {
        let place = Place::resolve(dir)?;
        let missing = || {
            Failure::new(format!(
                "{} holds no trace: nothing was ever enabled there; run `tracewell enable`, or name another with --dir",
                place.dirs.base().display()
            ))
        };
        if !place.check()? {
            return Err(missing());
        }
        if !args.last {
            let base = place.dirs.base().to_owned();
            return Ok(Sources { paths: vec![base], ring_roots: ring_roots(&place.dirs) });
        }
        let folder = place.dirs.sessions();
        let all = segments::sessions(&folder).map_err(|e| unusable(&folder, &e))?;
        let last = all.last().ok_or_else(missing)?;
        return Ok(Sources { paths: with_rings(&last.path, &place.dirs), ring_roots: Vec::new() });
    }
    let mut sources = Sources { paths: Vec::new(), ring_roots: Vec::new() };
    for path in &args.paths {
        let dirs = base_of(path).and_then(|base| Dirs::resolve(Some(&base)).ok());
        match dirs {
            Some(dirs) if path.canonicalize().is_ok_and(|p| p == dirs.base()) => {
                sources.paths.push(path.clone());
                sources.ring_roots.extend(ring_roots(&dirs));
            }
            Some(dirs) if path.is_dir() => sources.paths.extend(with_rings(path, &dirs)),
            _ => sources.paths.push(path.clone()),
        }
    }
    Ok(sources)
}

/// Every place where rings of a trace directory may lie; says which cannot be looked at.
fn ring_roots(dirs: &Dirs) -> Vec<PathBuf> {
    let rings = rings::Rings::find(dirs);
    rings.problems().for_each(|problem| note(&format!("note: {problem}")));
    rings.roots
}

/// A session, and the ring folders that belong to it.
fn with_rings(session: &Path, dirs: &Dirs) -> Vec<PathBuf> {
    let name = session.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let folders = rings::Rings::find(dirs).folders.into_iter();
    let own = folders.filter(|f| {
        f.identity.as_ref().is_some_and(|i| {
            let id = tracewell_schema::format::hex(i.session_id.get(..4).unwrap_or_default());
            name.rsplit('_').next() == Some(id.as_str())
        })
    });
    let mut paths: Vec<_> = own.map(|f| f.path).collect();
    // A session of which nothing was written yet lives in its rings alone.
    let has_segments = !segments::below(std::slice::from_ref(&session.to_path_buf())).is_empty();
    if has_segments || paths.is_empty() {
        paths.insert(0, session.to_owned());
    }
    paths
}

fn filter(args: &args::Read) -> Result<Filter, Failure> {
    let time = |text: &Option<String>, name: &str| match text {
        None => Ok(None),
        Some(text) => {
            parse_time(text, args.local).map(Some).map_err(|e| Failure::new(format!("--{name}: {e}")))
        }
    };
    Ok(Filter {
        categories: args.category.iter().map(|c| *c as u8).collect(),
        level: args.level.map_or(0, |l| l as u8),
        components: args.component.clone(),
        pids: args.pid.clone(),
        events: args.event.clone(),
        since: time(&args.since, "since")?,
        until: time(&args.until, "until")?,
    })
}

/// A point in time, UTC ns: RFC 3339; a date and time in the zone that is shown; or a duration before now.
fn parse_time(text: &str, local: bool) -> Result<i64, String> {
    if let Ok(ago) = tracewell::settings::parse_duration(text) {
        let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        return Ok(tracewell::boot::realtime_ns().saturating_sub(ago));
    }
    let zone = if local { jiff::tz::TimeZone::system() } else { jiff::tz::TimeZone::UTC };
    let stamp = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| text.parse::<jiff::civil::DateTime>().and_then(|d| zone.to_timestamp(d)));
    let bad = |_| {
        format!(
            "{text:?} is no time; write 2026-11-23T17:44:36Z, 2026-11-23T17:44, or 10m for ten minutes ago"
        )
    };
    i64::try_from(stamp.map_err(bad)?.as_nanosecond()).map_err(|_| format!("{text:?} is out of range"))
}

/// Lines in the form that was asked for, on all processors.
fn lines(
    trace: &Trace,
    filter: &Filter,
    args: &args::Read,
    bar: &ProgressBar,
    out: impl Write + Send,
) -> io::Result<Summary> {
    let form = match args.format {
        Format::Text => Form::Text { local: args.local },
        Format::Json => Form::Json,
    };
    trace.write_lines(filter, form, 0, out, |progress| bar.set_position(progress.events))
}

/// A folder that does not exist yet, named by the time.
fn default_folder(local: bool) -> PathBuf {
    let stem = format!("tracewell-trace-{}", for_file_name(tracewell::boot::realtime_ns(), local));
    let free = |name: &String| std::fs::symlink_metadata(name).is_err();
    let more = (2..1000).map(|n| format!("{stem}-{n}"));
    std::iter::once(stem.clone()).chain(more).find(free).unwrap_or(stem).into()
}

fn files(
    trace: &Trace,
    filter: &Filter,
    args: &args::Read,
    folder: &Path,
    bar: &ProgressBar,
    out: &mut Out,
) -> Result<Summary, Failure> {
    let name = if args.format == Format::Json { JSON_FILE } else { "all.trace.log" };
    if std::fs::symlink_metadata(folder.join(name)).is_ok() {
        return Err(Failure::new(format!(
            "{} exists already and is not overwritten; give another folder with --out",
            folder.join(name).display()
        )));
    }
    let is_new = std::fs::symlink_metadata(folder).is_err();
    let written = match args.format {
        Format::Text => write_trace_files(trace, folder, filter, args.local, |count| bar.set_position(count))
            .map(|written| (written.summary, [vec![written.all], written.files].concat()))
            .map_err(|e| failure(&e)),
        Format::Json => json_file(trace, filter, args, folder, bar),
    };
    if is_new && written.is_err() {
        // Empty by now: nothing half-written stays.
        let _ = std::fs::remove_dir(folder);
    }
    let (summary, paths) = written?;
    bar.finish_and_clear();
    for path in paths {
        out.line(safe(path))?;
    }
    Ok(summary)
}

fn json_file(
    trace: &Trace,
    filter: &Filter,
    args: &args::Read,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<(Summary, Vec<PathBuf>), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| output_failure(folder, &e))?;
    let (path, temporary) = (folder.join(JSON_FILE), folder.join(format!(".{JSON_FILE}.part")));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let file = file.map_err(|e| output_failure(&temporary, &e))?;
    let written = lines(trace, filter, args, bar, file).and_then(|summary| {
        // Unlike a rename, a link replaces nothing.
        std::fs::hard_link(&temporary, &path).or_else(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Err(e),
            _ => std::fs::rename(&temporary, &path),
        })?;
        Ok(summary)
    });
    let _ = std::fs::remove_file(&temporary);
    Ok((written.map_err(|e| output_failure(&path, &e))?, vec![path]))
}

fn output_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}{}", path.display(), advice(error)))
}

/// The summary on stderr.
fn summarise(summary: &Summary) {
    for line in summary.to_text().lines() {
        note(line);
    }
    if summary.events == 0 && summary.is_complete() {
        note("no event was recorded; `tracewell status` says why");
    } else if summary.shown == 0 && summary.events != 0 {
        note(&format!("the filter lets none of the {} events through", number(summary.events)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_three_forms() {
        assert_eq!(parse_time("2026-11-23T17:44:36Z", false), Ok(1_795_455_876_000_000_000));
        assert_eq!(parse_time("2026-11-23T17:44:36", false), Ok(1_795_455_876_000_000_000));
        assert_eq!(parse_time("2026-11-23 17:44", false), Ok(1_795_455_840_000_000_000));
        let now = tracewell::boot::realtime_ns();
        let ago = parse_time("10m", false).unwrap();
        assert!((now - ago - 600_000_000_000).abs() < 10_000_000_000);
        assert!(parse_time("yesterday", false).is_err());
    }
}
