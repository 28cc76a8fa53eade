//! A whole trace as lines, on as many threads as there are.

use std::io::{self, Write};
use std::num::NonZero;
use std::thread;

use crate::batch::{Batch, CHUNK, Chunk};
use crate::filter::Filter;
use crate::pool::{Ahead, Pool, Sink};
use crate::render::Renderer;
use crate::summary::Summary;
use crate::trace::Trace;

/// Form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Text {
        /// Times in this computer's zone, not in UTC.
        local: bool,
    },
    /// One JSON object a line (reader/JSON.md).
    Json,
}

/// How far writing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events that were written.
    pub events: u64,
    /// Bytes of the trace that were read.
    pub done: u64,
    /// Bytes of the trace.
    pub total: u64,
}

/// Traces smaller than this are not worth a thread.
const SMALL: u64 = 1 << 20;
/// Most threads: what the merge can keep busy.
const MOST_THREADS: usize = 64;

impl Trace {
    /// Writes every event that the filter wants, and every loss and hole, merged by time, as lines of the given form
    /// to `out`, in large pieces. `threads` is how many threads work on it, this one included; 0 = one for each
    /// processor. The lines are the same for any number of threads, and the memory is bounded whatever the size of the
    /// trace: some MiB for each thread. `progress` is told how far it has come, from time to time and at the end.
    ///
    /// ```no_run
    /// use tracewell_reader::{Filter, Form, Trace};
    ///
    /// let trace = Trace::open(&["/var/lib/tracewell".into()], &[])?;
    /// let summary =
    ///     trace.write_lines(&Filter::default(), Form::Json, 0, std::io::stdout(), |_| {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What `out` returns. Then it has got the beginning of the lines, up to an unknown place.
    pub fn write_lines<W: Write + Send>(
        &self,
        filter: &Filter,
        form: Form,
        threads: usize,
        out: W,
        mut progress: impl FnMut(Progress),
    ) -> io::Result<Summary> {
        let sink = ToWriter(out);
        let (summary, mut sink) = self.write_chunks(filter, form, threads, sink, &mut progress)?;
        if let Some(sink) = &mut sink {
            sink.0.flush()?;
        }
        Ok(summary)
    }

    /// As [`Trace::write_lines`], in chunks that know whose lines they are.
    pub(crate) fn write_chunks<S: Sink>(
        &self,
        filter: &Filter,
        form: Form,
        threads: usize,
        sink: S,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Summary, Option<S>), S::Error> {
        let total = self.bytes();
        let threads = match threads {
            _ if total < SMALL => 1,
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            n => n,
        };
        let (summary, sink, events) = match threads.min(MOST_THREADS) {
            1 => self.on_one_thread(filter, form, sink, progress)?,
            threads => self.on_threads(filter, form, threads, sink, progress)?,
        };
        progress(Progress { events, done: total, total });
        Ok((summary, sink))
    }

    fn on_one_thread<S: Sink>(
        &self,
        filter: &Filter,
        form: Form,
        mut sink: S,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Summary, Option<S>, u64), S::Error> {
        let total = self.bytes();
        let written = std::cell::Cell::new(0);
        let mut told = |done: u64| progress(Progress { events: written.get(), done: done.min(total), total });
        let (mut renderer, mut chunk) = (Renderer::new(form), Chunk::default());
        let summary = self.merge(filter, &mut told, None, |item| {
            chunk.push(&mut renderer, item);
            if chunk.text.len() >= CHUNK {
                sink.write(&chunk)?;
                written.set(written.get() + chunk.events);
                chunk.clear();
            }
            Ok(())
        })?;
        sink.write(&chunk)?;
        Ok((summary, Some(sink), written.get() + chunk.events))
    }

    fn on_threads<S: Sink>(
        &self,
        filter: &Filter,
        form: Form,
        threads: usize,
        sink: S,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Summary, Option<S>, u64), S::Error> {
        let total = self.bytes();
        let pool = Pool::new(self, form, threads, sink);
        let mut told = |done: u64| progress(Progress { events: pool.events(), done: done.min(total), total });
        let summary = thread::scope(|scope| {
            // Without the threads that the system does not give, it takes longer.
            let begun = (1..threads)
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, || pool.work()).ok())
                .count();
            let mut worker = pool.worker();
            let mut batch = Batch::default();
            let ahead: Option<&dyn Ahead> = if begun == 0 { None } else { Some(&pool) };
            let read = self.merge(filter, &mut told, ahead, |item| {
                batch.push(item);
                if batch.is_full() {
                    batch = pool.submit(std::mem::take(&mut batch), &mut worker).ok_or(Stopped)?;
                }
                Ok::<(), Stopped>(())
            });
            if read.is_ok() {
                if !batch.is_empty() {
                    pool.submit(batch, &mut worker);
                }
                pool.finish(&mut worker);
            }
            pool.end();
            read.ok()
        });
        let events = pool.events();
        let sink = pool.into_sink()?;
        // It is stopped by an error only, which was just returned.
        Ok((summary.unwrap_or_default(), sink, events))
    }
}

/// Writing has failed.
struct Stopped;

struct ToWriter<W>(W);

impl<W: Write + Send> Sink for ToWriter<W> {
    type Error = io::Error;

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.0.write_all(chunk.text.as_bytes())
    }
}
