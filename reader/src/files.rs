//! Trace files: one for each process of a component, and one with everything.

use std::cell::Cell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::ReadError;
use crate::filter::Filter;
use crate::item::Item;
use crate::render::text::TextRenderer;
use crate::render::time::for_file_name;
use crate::summary::Summary;
use crate::trace::Trace;

/// Most files that are open at once.
const MAX_OPEN: usize = 128;
/// Most files of the same name but for a number.
const MAX_SAME: u32 = 100_000;
const BUFFER: usize = 1 << 17;

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file with everything.
    pub all: PathBuf,
    /// One file for each process that has something in it.
    pub files: Vec<PathBuf>,
    /// What was read.
    pub summary: Summary,
}

/// A file that gets its name when it is whole. Dropped before that, it is removed.
struct Output {
    path: PathBuf,
    temporary: PathBuf,
    /// Closed while too many are open.
    file: Option<BufWriter<File>>,
    /// When it was last written to, by the count of items.
    used: u64,
    is_finished: bool,
}

impl Output {
    /// `name` and, if that is taken, the same with a number before the first dot of `.trace.log`.
    fn create(dir: &Path, stem: &str) -> Result<Self, ReadError> {
        let mut number = 1;
        loop {
            let name =
                if number == 1 { format!("{stem}.trace.log") } else { format!("{stem}-{number}.trace.log") };
            let path = dir.join(&name);
            let temporary = dir.join(format!(".{name}.part"));
            let is_taken = std::fs::symlink_metadata(&path).is_ok();
            let made =
                if is_taken { Err(io::ErrorKind::AlreadyExists.into()) } else { create_new(&temporary) };
            match made {
                Ok(file) => {
                    let file = Some(BufWriter::with_capacity(BUFFER, file));
                    return Ok(Self { path, temporary, file, used: 0, is_finished: false });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < MAX_SAME => number += 1,
                Err(source) => return Err(ReadError::Output { path, source }),
            }
        }
    }

    fn error(&self, source: io::Error) -> ReadError {
        ReadError::Output { path: self.path.clone(), source }
    }

    fn write(&mut self, text: &str) -> Result<(), ReadError> {
        if self.file.is_none() {
            let file = append_to(&self.temporary).map_err(|e| self.error(e))?;
            self.file = Some(BufWriter::with_capacity(BUFFER, file));
        }
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()));
        written.map_err(|e| self.error(e))
    }

    /// Writes out what is buffered and closes the file, which stays under its temporary name.
    fn close(&mut self) -> Result<(), ReadError> {
        match self.file.take() {
            Some(mut file) => file.flush().map_err(|e| self.error(e)),
            None => Ok(()),
        }
    }

    /// Gives the file its name, which nothing else has got meanwhile.
    fn finish(&mut self) -> Result<PathBuf, ReadError> {
        self.close()?;
        std::fs::hard_link(&self.temporary, &self.path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // A file system without hard links.
                _ => std::fs::rename(&self.temporary, &self.path),
            })
            .map_err(|e| self.error(e))?;
        let _ = std::fs::remove_file(&self.temporary);
        self.is_finished = true;
        Ok(self.path.clone())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn append_to(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new().append(true).custom_flags(flags).open(path)
}

/// The files of the processes, of which a bounded number is open.
struct Outputs {
    files: Vec<Option<Output>>,
    open: Vec<usize>,
    clock: u64,
}

impl Outputs {
    fn write(
        &mut self,
        trace: &Trace,
        process: usize,
        dir: &Path,
        local: bool,
        line: &str,
    ) -> Result<(), ReadError> {
        self.clock += 1;
        let is_open = self.files.get(process).is_some_and(|f| f.as_ref().is_some_and(|o| o.file.is_some()));
        if !is_open {
            if self.open.len() >= MAX_OPEN {
                self.close_oldest()?;
            }
            self.open.push(process);
        }
        let Some(slot) = self.files.get_mut(process) else { return Ok(()) };
        let output = match slot {
            Some(output) => output,
            None => slot.insert(Output::create(dir, &stem_of(trace, process, local))?),
        };
        output.used = self.clock;
        output.write(line)
    }

    fn close_oldest(&mut self) -> Result<(), ReadError> {
        let used = |process: &usize| self.files.get(*process).and_then(Option::as_ref).map_or(0, |o| o.used);
        let oldest = self.open.iter().enumerate().min_by_key(|(_, process)| used(process)).map(|(at, _)| at);
        let Some(process) = oldest.map(|at| self.open.swap_remove(at)) else { return Ok(()) };
        self.files.get_mut(process).and_then(Option::as_mut).map_or(Ok(()), Output::close)
    }
}

/// How far the writing of trace files has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events that were written.
    pub events: u64,
    /// Bytes of the trace that were read.
    pub done: u64,
    /// Bytes of the trace.
    pub total: u64,
}

/// Writes the trace files of everything that the filter wants into `dir`, which is made if it is missing (0700).
/// `local` writes times in this computer's zone. `progress` is told the number of events from time to time.
///
/// # Errors
/// If the directory or a file cannot be written. Then no file has its name but those that are whole, and the rest is
/// removed.
pub fn write_trace_files(
    trace: &Trace,
    dir: &Path,
    filter: &Filter,
    local: bool,
    mut progress: impl FnMut(u64),
) -> Result<Written, ReadError> {
    write_trace_files_with(trace, dir, filter, local, |told| progress(told.events))
}

/// As [`write_trace_files`], with the progress in bytes too.
///
/// # Errors
/// As [`write_trace_files`].
pub fn write_trace_files_with(
    trace: &Trace,
    dir: &Path,
    filter: &Filter,
    local: bool,
    mut progress: impl FnMut(Progress),
) -> Result<Written, ReadError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| ReadError::Output { path: dir.to_owned(), source })?;
    let mut all = Output::create(dir, "all")?;
    let files = trace.processes().iter().map(|_| None).collect();
    let mut outputs = Outputs { files, open: Vec::new(), clock: 0 };
    let mut renderer = TextRenderer::new(local);
    let mut line = String::new();
    let events = Cell::new(0);
    let told = |done, total| progress(Progress { events: events.get(), done, total });
    let summary = trace.read_with_progress(filter, told, |item| {
        line.clear();
        renderer.push(&mut line, item);
        all.write(&line)?;
        let process = match item {
            Item::Event(event) => {
                events.set(events.get() + 1);
                event.process_index
            }
            Item::Lost { process_index, .. } | Item::Hole { process_index, .. } => *process_index,
        };
        outputs.write(trace, process, dir, local, &line)
    })?;
    // The disk may be full: that shows when everything is written out, and before anything has its name.
    all.close()?;
    for output in outputs.files.iter_mut().flatten() {
        output.close()?;
    }
    let files = outputs.files.iter_mut().flatten().map(Output::finish).collect::<Result<Vec<_>, _>>()?;
    Ok(Written { all: all.finish()?, files, summary })
}

/// `scanner_2026-11-23_17.44.36_pid1234`: from the component's name, as far as that is safe, when it attached, its pid.
fn stem_of(trace: &Trace, process: usize, local: bool) -> String {
    let identity = trace.processes().get(process).map(|p| &p.identity);
    let component: String = identity
        .map_or("", |i| i.component.as_str())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let component = match component.trim_start_matches('.') {
        "" => "unknown",
        name => name,
    };
    let (attached, pid) = identity.map_or((0, 0), |i| (i.attached, i.pid));
    format!("{component}_{}_pid{pid}", for_file_name(attached, local))
}
