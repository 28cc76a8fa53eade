//! Trace files: one for each process of a component, and one with everything.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::ReadError;
use crate::filter::Filter;
use crate::merge::Item;
use crate::render::text::TextRenderer;
use crate::render::time::for_file_name;
use crate::summary::Summary;
use crate::trace::Trace;

/// Most files that are open at once; processes beyond it have their events in `all.trace.log` only.
const MAX_OPEN: usize = 500;

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file with everything.
    pub all: PathBuf,
    /// One file for each process.
    pub files: Vec<PathBuf>,
    /// What was read.
    pub summary: Summary,
}

struct Output {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    fn create(dir: &Path, name: &str) -> Result<Self, ReadError> {
        let path = dir.join(name);
        let temporary = dir.join(format!(".{name}.part"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = made.map_err(|source| ReadError::Output { path: temporary.clone(), source })?;
        Ok(Self { path, temporary, file: BufWriter::with_capacity(1 << 17, file) })
    }

    fn write(&mut self, text: &str) -> Result<(), ReadError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| ReadError::Output { path: self.temporary.clone(), source })
    }

    /// Gives the file its name: only a whole file has it.
    fn finish(mut self) -> Result<PathBuf, ReadError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| ReadError::Output { path, source }
        };
        self.file.flush().map_err(error(&self.temporary))?;
        std::fs::hard_link(&self.temporary, &self.path)
            .or_else(|e| {
                if e.kind() == io::ErrorKind::AlreadyExists {
                    Err(e)
                } else {
                    std::fs::rename(&self.temporary, &self.path)
                }
            })
            .map_err(error(&self.path))?;
        let _ = std::fs::remove_file(&self.temporary);
        Ok(self.path)
    }
}

/// Writes the trace files of everything that the filter wants into `dir`, which is made if it is missing (0700).
/// `progress` is told the number of events from time to time.
///
/// # Errors
/// If the directory or a file cannot be written; nothing half-written keeps a file's name.
pub fn write_trace_files(
    trace: &Trace,
    dir: &Path,
    filter: &Filter,
    local: bool,
    mut progress: impl FnMut(u64),
) -> Result<Written, ReadError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| ReadError::Output { path: dir.to_owned(), source })?;
    let mut all = Output::create(dir, "all.trace.log")?;
    let mut files: Vec<Option<Output>> = trace.processes().iter().map(|_| None).collect();
    let mut open = 0;
    let mut renderer = TextRenderer::new(local);
    let mut line = String::new();
    let mut count = 0_u64;
    let result = trace.read(filter, |item| {
        line.clear();
        renderer.push(&mut line, item);
        all.write(&line)?;
        let process = match item {
            Item::Event(event) => event.process_index,
            Item::Lost { process_index, .. } | Item::Hole { process_index, .. } => *process_index,
        };
        count += 1;
        if count.is_multiple_of(65_536) {
            progress(count);
        }
        let Some(slot) = files.get_mut(process) else { return Ok(()) };
        if slot.is_none() && open < MAX_OPEN {
            *slot = Some(process_file(trace, process, dir, local)?);
            open += 1;
        }
        slot.as_mut().map_or(Ok(()), |output| output.write(&line))
    });
    let outputs = files.into_iter().flatten();
    match result {
        Ok(summary) => {
            let all = all.finish()?;
            let files = outputs.map(Output::finish).collect::<Result<Vec<_>, _>>()?;
            Ok(Written { all, files, summary })
        }
        Err(error) => {
            for output in outputs.chain([all]) {
                let _ = std::fs::remove_file(&output.temporary);
            }
            Err(error)
        }
    }
}

/// `scanner_2026-11-23_17.44.36_pid1234.trace.log`: from the component's checked name, when it attached, its pid.
fn process_file(trace: &Trace, process: usize, dir: &Path, local: bool) -> Result<Output, ReadError> {
    let identity = trace.processes().get(process).map(|p| &p.identity);
    let component: String = identity
        .map_or("unknown", |i| i.component.as_str())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let component = component.trim_start_matches('.');
    let (attached, pid) = identity.map_or((0, 0), |i| (i.attached, i.pid));
    let stem = format!("{component}_{}_pid{pid}", for_file_name(attached, local));
    for suffix in 1..10_000 {
        let name =
            if suffix == 1 { format!("{stem}.trace.log") } else { format!("{stem}-{suffix}.trace.log") };
        if dir.join(&name).exists() {
            continue;
        }
        match Output::create(dir, &name) {
            Err(ReadError::Output { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Output::create(dir, &format!("{stem}-many.trace.log"))
}
