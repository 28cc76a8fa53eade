//! Trace files: one for each process of a component, and one with everything.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::batch::Chunk;
use crate::error::ReadError;
use crate::filter::Filter;
use crate::lines::{Form, Progress};
use crate::pool::Sink;
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

    fn write(&mut self, text: &[u8]) -> Result<(), ReadError> {
        if self.file.is_none() {
            let file = append_to(&self.temporary).map_err(|e| self.error(e))?;
            self.file = Some(BufWriter::with_capacity(BUFFER, file));
        }
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(text));
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
        lines: &[u8],
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
        output.write(lines)
    }

    fn close_oldest(&mut self) -> Result<(), ReadError> {
        let used = |process: &usize| self.files.get(*process).and_then(Option::as_ref).map_or(0, |o| o.used);
        let oldest = self.open.iter().enumerate().min_by_key(|(_, process)| used(process)).map(|(at, _)| at);
        let Some(process) = oldest.map(|at| self.open.swap_remove(at)) else { return Ok(()) };
        self.files.get_mut(process).and_then(Option::as_mut).map_or(Ok(()), Output::close)
    }
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
    progress: impl FnMut(Progress),
) -> Result<Written, ReadError> {
    write_trace_files_on(trace, dir, filter, local, 0, progress)
}

/// As [`write_trace_files_with`], on this many threads; 0 = one for each processor, as the others.
///
/// # Errors
/// As [`write_trace_files`].
pub fn write_trace_files_on(
    trace: &Trace,
    dir: &Path,
    filter: &Filter,
    local: bool,
    threads: usize,
    mut progress: impl FnMut(Progress),
) -> Result<Written, ReadError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| ReadError::Output { path: dir.to_owned(), source })?;
    let all = Output::create(dir, "all")?;
    let files = trace.processes().iter().map(|_| None).collect();
    let outputs = Outputs { files, open: Vec::new(), clock: 0 };
    let sink = Files { trace, dir, local, all, outputs };
    let form = Form::Text { local };
    let (summary, sink) = trace.write_chunks(filter, form, threads, sink, &mut progress)?;
    let Some(Files { mut all, mut outputs, .. }) = sink else {
        let source = io::ErrorKind::Interrupted.into();
        return Err(ReadError::Output { path: dir.to_owned(), source });
    };
    // The disk may be full: that shows when everything is written out, and before anything has its name.
    all.close()?;
    for output in outputs.files.iter_mut().flatten() {
        output.close()?;
    }
    let files = outputs.files.iter_mut().flatten().map(Output::finish).collect::<Result<Vec<_>, _>>()?;
    Ok(Written { all: all.finish()?, files, summary })
}

/// Every line goes to the file with everything, and to its process's.
struct Files<'a> {
    trace: &'a Trace,
    dir: &'a Path,
    local: bool,
    all: Output,
    outputs: Outputs,
}

impl Sink for Files<'_> {
    type Error = ReadError;

    fn write(&mut self, chunk: &Chunk) -> Result<(), ReadError> {
        let text = chunk.text.as_bytes();
        self.all.write(text)?;
        let mut from = 0;
        for (process, to) in &chunk.parts {
            let lines = text.get(from..*to).unwrap_or_default();
            self.outputs.write(self.trace, *process, self.dir, self.local, lines)?;
            from = *to;
        }
        Ok(())
    }
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
