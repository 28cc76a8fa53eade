//! Making a dump: into a file without a name, which gets one when all of it is there.

use std::io::{self, BufRead, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use tracewell_bundle::dumps::{DUMPS, DumpKind, DumpReason, DumpWriter, Dumps};
use tracewell_dump::{DumpError, Report, Request};

use super::args::Dump;
use super::find::Found;
use crate::output::{Failure, Out, advice, safe, size};
use crate::place::Place;
use crate::{OK, audit_file};

/// A time that a process was stopped, for people.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Where a dump goes.
enum Target {
    Own(Dumps),
    File { folder: OwnedFd, name: String, path: PathBuf },
}

impl Target {
    fn new(place: &Place, output: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = output else {
            if place.dirs.base().exists() {
                place.check()?;
            }
            return Ok(Self::Own(Dumps::new(place.dirs.base())));
        };
        let shown = path.display();
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(Failure::new(format!("{shown} exists; choose another name, nothing is replaced")));
        }
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let name = name.ok_or_else(|| Failure::new(format!("{shown} is no name of a file")))?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, parent, flags, Mode::empty())
            .map_err(|e| failed(&parent.display().to_string(), &e.into()))?;
        Ok(Self::File { folder, name, path: path.to_owned() })
    }

    fn shown(&self) -> String {
        match self {
            Self::Own(dumps) => dumps.path().display().to_string(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    fn create(&self) -> io::Result<DumpWriter> {
        match self {
            Self::Own(dumps) => dumps.create(),
            Self::File { folder, .. } => DumpWriter::new(folder.try_clone()?),
        }
    }

    fn publish(&self, writer: DumpWriter, found: &Found, kind: DumpKind) -> io::Result<PathBuf> {
        match self {
            Self::Own(dumps) => {
                let now = jiff::Timestamp::now();
                let name = writer.publish(now, &found.name(), found.pid, DumpReason::Request, kind)?;
                Ok(dumps.path().join(name))
            }
            Self::File { name, path, .. } => writer.publish_as(name).map(|()| path.clone()),
        }
    }
}

fn failed(what: &str, e: &io::Error) -> Failure {
    Failure::new(format!("{what}: {e}{}; nothing was kept", advice(e)))
}

pub(super) fn make(place: &Place, found: &Found, args: &Dump, out: &mut Out) -> Result<u8, Failure> {
    // What cannot be dumped makes no folder.
    let request = found.request(None);
    tracewell_dump::can_dump(request.pid, request.started).map_err(|e| Failure::new(e.to_string()))?;
    let target = Target::new(place, args.output.as_deref())?;
    let kind = if args.full { DumpKind::Full } else { DumpKind::Mini };
    let name = found.name();
    let writer = target.create().map_err(|e| failed(&target.shown(), &e))?;
    let (report, len) = fill(&writer, &request, args.full, &target)?;
    let path = target.publish(writer, found, kind).map_err(|e| failed(&target.shown(), &e))?;
    let what = if args.full { "whole memory" } else { "minidump" };
    if place.dirs.base().exists() {
        let detail = format!("{what} of {name}, process {}: {}", found.pid, path.display());
        audit_file::note(place, "dump", &detail);
    }
    out.line(format_args!(
        "Dumped {} process {}: {what}, {} threads, {}; stopped for {}",
        safe(&name),
        found.pid,
        report.threads,
        size(len),
        millis(report.stopped)
    ))?;
    for (why, bytes) in &report.left_out {
        out.line(format_args!("  left out: {} ({why})", size(*bytes)))?;
    }
    if report.unreadable != 0 {
        out.line(format_args!("  not readable, so zeros: {}", size(report.unreadable)))?;
    }
    out.line(format_args!("  {}", safe(&path)))?;
    let where_to = match target {
        Target::Own(_) => format!("`tracewell purge` deletes it, with the rest of `{DUMPS}`."),
        Target::File { .. } => "Delete it when it is not needed any more.".into(),
    };
    out.line(format_args!("Anything that the process works on can be in it. Nothing was sent. {where_to}"))?;
    Ok(OK)
}

/// Writes the dump; how long it is.
fn fill(
    writer: &DumpWriter,
    request: &Request,
    full: bool,
    target: &Target,
) -> Result<(Report, u64), Failure> {
    let of_dump = |e: DumpError| Failure::new(e.to_string());
    let of_file = |e: io::Error| failed(&target.shown(), &e);
    let mut file = writer.file();
    if !full {
        let (bytes, report) = tracewell_dump::minidump(request).map_err(of_dump)?;
        file.write_all(&bytes).map_err(of_file)?;
        return Ok((report, bytes.len() as u64));
    }
    let mut core = tracewell_dump::core(request).map_err(of_dump)?;
    let len = core.len();
    // Better now than after minutes in which the process stands still.
    if tracewell::fs::free_bytes(file).is_ok_and(|free| free < len) {
        drop(core);
        return Err(Failure::new(format!(
            "{}: there is no room for {}; make room, or choose another place with -o; nothing was kept",
            target.shown(),
            size(len)
        )));
    }
    loop {
        let piece = core.fill_buf().map_err(of_file)?;
        if piece.is_empty() {
            break;
        }
        file.write_all(piece).map_err(of_file)?;
        let used = piece.len();
        core.consume(used);
    }
    Ok((core.finish().map_err(of_dump)?, len))
}
