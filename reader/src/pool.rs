//! Threads that decompress blocks ahead of the merge and render batches behind it, in bounded memory.
//!
//! The merge itself is one thread's work. Whoever has rendered the batch that is next in order writes it, and those
//! after it that are ready; whoever would have to wait renders instead. So all threads are busy, whichever part of the
//! work is the greatest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tracewell_schema::DecodeError;
use tracewell_schema::format::block::BlockHeader;

use crate::batch::{Batch, Chunk};
use crate::lines::Form;
use crate::load::MAX_SPARE;
use crate::render::Renderer;
use crate::segment;
use crate::source::Input;
use crate::trace::{Ring, Trace};

/// Most bytes of text that wait to be written, of one batch; only hostile events come to more.
const MOST_WAITING: usize = 4 << 20;

/// Where a block is: number of the segment, and offset in it.
pub(crate) type Place = (u32, u64);

/// A block that is to be read ahead.
pub(crate) struct Load {
    pub(crate) place: Place,
    pub(crate) file: Input,
    pub(crate) stored_len: u32,
    /// Memory for its bytes.
    pub(crate) raw: Vec<u8>,
}

/// What reading it gave.
pub(crate) type Loaded = (Result<BlockHeader, DecodeError>, Vec<u8>);

/// Reading ahead, as the merge sees it.
pub(crate) trait Ahead {
    /// Whether another block may be asked for.
    fn has_room(&self, place: Place) -> bool;
    /// Asks for a block.
    fn ask(&self, load: Load);
    /// What was asked for, if it was begun; waits for it.
    fn take(&self, place: Place) -> Option<Loaded>;
    /// Memory of a block whose records are rendered.
    fn spare(&self) -> Option<Vec<u8>>;
}

/// Where rendered chunks go.
pub(crate) trait Sink: Send {
    type Error: Send;
    fn write(&mut self, chunk: &Chunk) -> Result<(), Self::Error>;
}

enum Ask {
    Queued(Load),
    Running,
    Done(Loaded),
}

struct State<S: Sink> {
    asked: HashMap<Place, Ask>,
    /// In the order of asking; may name some that were taken back.
    to_load: VecDeque<Place>,
    to_render: VecDeque<(u64, Batch)>,
    /// By number: the batch, what was rendered of it, and how many of its items that was.
    rendered: BTreeMap<u64, (Batch, Chunk, usize)>,
    /// Number of the next batch, and of the next to write.
    submitted: u64,
    written: u64,
    events: u64,
    /// Missing while somebody writes.
    sink: Option<S>,
    error: Option<S::Error>,
    spare_blocks: Vec<Vec<u8>>,
    spare_batches: Vec<Batch>,
    spare_chunks: Vec<Chunk>,
    /// Threads without work, and whether the merge waits: to wake nobody costs a system call too.
    idle: usize,
    is_waiting: bool,
    is_over: bool,
    /// A worker ended before its time: nobody may wait for it.
    is_broken: bool,
}

enum Job {
    Load(Load),
    Render(u64, Batch, Chunk),
}

pub(crate) struct Pool<'a, S: Sink> {
    trace: &'a Trace,
    rings: Vec<(u32, &'a Ring)>,
    form: Form,
    threads: usize,
    state: Mutex<State<S>>,
    /// There is a job, or all is over.
    work: Condvar,
    /// A job is done.
    done: Condvar,
}

/// What a thread keeps from job to job.
pub(crate) struct Worker {
    renderer: Renderer,
    scratch: segment::Scratch,
}

impl<'a, S: Sink> Pool<'a, S> {
    /// For this many threads, the one of the merge included.
    pub(crate) fn new(trace: &'a Trace, form: Form, threads: usize, sink: S) -> Self {
        let state = State {
            asked: HashMap::new(),
            to_load: VecDeque::new(),
            to_render: VecDeque::new(),
            rendered: BTreeMap::new(),
            submitted: 0,
            written: 0,
            events: 0,
            sink: Some(sink),
            error: None,
            spare_blocks: Vec::new(),
            spare_batches: Vec::new(),
            spare_chunks: Vec::new(),
            idle: 0,
            is_waiting: false,
            is_over: false,
            is_broken: false,
        };
        Self {
            trace,
            rings: trace.rings.iter().map(|((_, id), ring)| (*id, ring)).collect(),
            form,
            threads,
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker { renderer: Renderer::new(self.form), scratch: segment::Scratch::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job.
    fn wait_for_work<'g>(&self, mut state: MutexGuard<'g, State<S>>) -> MutexGuard<'g, State<S>> {
        state.idle += 1;
        state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state
    }

    /// Waits for a job of another thread: the merge does.
    fn wait_for_others<'g>(&self, mut state: MutexGuard<'g, State<S>>) -> MutexGuard<'g, State<S>> {
        state.is_waiting = true;
        state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.is_waiting = false;
        state
    }

    fn tell_of_work(&self, state: &State<S>) {
        if state.idle != 0 {
            self.work.notify_one();
        }
    }

    fn tell_of_end(&self, state: &State<S>) {
        if state.is_waiting {
            self.done.notify_one();
        }
    }

    /// Batches that may be on their way: some for each thread to have one at hand.
    const fn most_batches(&self) -> u64 {
        2 * self.threads as u64 + 2
    }

    /// Does jobs until all is over: the life of a thread.
    pub(crate) fn work(&self) {
        let guard = Broken(self);
        let mut worker = self.worker();
        let mut state = self.lock();
        loop {
            if state.is_over {
                break;
            }
            if let Some(job) = state.next_job() {
                drop(state);
                self.run(job, &mut worker);
                state = self.lock();
            } else {
                state = self.wait_for_work(state);
            }
        }
        drop(state);
        std::mem::forget(guard);
    }

    /// Hands a batch on and gives an empty one, when there is room again. `None` if writing has failed.
    pub(crate) fn submit(&self, batch: Batch, worker: &mut Worker) -> Option<Batch> {
        let mut state = self.lock();
        let number = state.submitted;
        state.submitted += 1;
        state.to_render.push_back((number, batch));
        self.tell_of_work(&state);
        state = self.help_until(state, worker, |state| state.submitted - state.written < self.most_batches());
        if state.error.is_some() || state.is_broken {
            return None;
        }
        Some(state.spare_batches.pop().unwrap_or_default())
    }

    /// Waits for all batches.
    pub(crate) fn finish(&self, worker: &mut Worker) {
        drop(self.help_until(self.lock(), worker, |state| state.submitted == state.written));
    }

    /// Lets the other threads end.
    pub(crate) fn end(&self) {
        self.lock().is_over = true;
        self.work.notify_all();
    }

    /// Events written so far.
    pub(crate) fn events(&self) -> u64 {
        self.lock().events
    }

    /// The sink, or the error at which it ended.
    pub(crate) fn into_sink(self) -> Result<Option<S>, S::Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(state.sink), Err)
    }

    fn help_until<'g>(
        &'g self,
        mut state: MutexGuard<'g, State<S>>,
        worker: &mut Worker,
        is_enough: impl Fn(&State<S>) -> bool,
    ) -> MutexGuard<'g, State<S>> {
        while !is_enough(&state) && state.error.is_none() && !state.is_broken {
            if let Some(job) = state.next_job() {
                drop(state);
                self.run(job, worker);
                state = self.lock();
            } else {
                state = self.wait_for_others(state);
            }
        }
        state
    }

    fn run(&self, job: Job, worker: &mut Worker) {
        match job {
            Job::Load(mut load) => {
                let (place, file) = (load.place, &load.file);
                let read =
                    segment::read_block(file, place.1, load.stored_len, &mut worker.scratch, &mut load.raw);
                let mut state = self.lock();
                state.asked.insert(place, Ask::Done((read, load.raw)));
                self.tell_of_end(&state);
            }
            Job::Render(number, batch, mut chunk) => {
                let mut next = batch.render(0, self.trace, &self.rings, &mut worker.renderer, &mut chunk);
                // Not to be kept while it waits for its turn: then it is rendered again.
                if chunk.text.len() > MOST_WAITING {
                    chunk.clear();
                    next = 0;
                }
                let mut state = self.lock();
                state.rendered.insert(number, (batch, chunk, next));
                self.write_ready(state, worker);
            }
        }
    }

    /// Writes what is next in order, as long as it is ready and nobody else writes.
    fn write_ready<'g>(&'g self, mut state: MutexGuard<'g, State<S>>, worker: &mut Worker) {
        loop {
            let number = state.written;
            if state.sink.is_none() || !state.rendered.contains_key(&number) {
                return;
            }
            let Some((batch, mut chunk, next)) = state.rendered.remove(&number) else { return };
            let Some(mut sink) = state.sink.take() else { return };
            let is_wanted = state.error.is_none();
            drop(state);
            let mut events = chunk.events;
            let mut result = if is_wanted { sink.write(&chunk) } else { Ok(()) };
            let mut next = next;
            // A batch of more text than a chunk may have: the rest follows in its turn.
            while is_wanted && result.is_ok() && next < batch.len() {
                chunk.clear();
                next = batch.render(next, self.trace, &self.rings, &mut worker.renderer, &mut chunk);
                events += chunk.events;
                result = sink.write(&chunk);
            }
            state = self.lock();
            state.sink = Some(sink);
            state.error = state.error.take().or(result.err());
            state.written += 1;
            state.events += events;
            state.recycle(batch, chunk);
            self.tell_of_end(&state);
        }
    }
}

impl<S: Sink> State<S> {
    /// Blocks first: the merge waits for them.
    fn next_job(&mut self) -> Option<Job> {
        while let Some(place) = self.to_load.pop_front() {
            match self.asked.insert(place, Ask::Running) {
                Some(Ask::Queued(load)) => return Some(Job::Load(load)),
                Some(other) => drop(self.asked.insert(place, other)),
                None => drop(self.asked.remove(&place)),
            }
        }
        let (number, batch) = self.to_render.pop_front()?;
        Some(Job::Render(number, batch, self.spare_chunks.pop().unwrap_or_default()))
    }

    fn recycle(&mut self, mut batch: Batch, mut chunk: Chunk) {
        for block in batch.clear() {
            if let Ok(block) = Arc::try_unwrap(block)
                && self.spare_blocks.len() < MAX_SPARE
            {
                self.spare_blocks.push(block);
            }
        }
        chunk.clear();
        self.spare_batches.push(batch);
        self.spare_chunks.push(chunk);
    }
}

impl<S: Sink> Ahead for Pool<'_, S> {
    fn has_room(&self, place: Place) -> bool {
        let state = self.lock();
        state.asked.len() < 2 * self.threads && !state.asked.contains_key(&place)
    }

    fn spare(&self) -> Option<Vec<u8>> {
        self.lock().spare_blocks.pop()
    }

    fn ask(&self, load: Load) {
        let mut state = self.lock();
        state.to_load.push_back(load.place);
        state.asked.insert(load.place, Ask::Queued(load));
        self.tell_of_work(&state);
    }

    fn take(&self, place: Place) -> Option<Loaded> {
        let mut state = self.lock();
        loop {
            match state.asked.remove(&place)? {
                Ask::Done(loaded) => return Some(loaded),
                // Nobody has begun: whoever needs it is as fast.
                Ask::Queued(_) => return None,
                Ask::Running if state.is_broken => return None,
                Ask::Running => {
                    state.asked.insert(place, Ask::Running);
                    state = self.wait_for_others(state);
                }
            }
        }
    }
}

/// Dropped by a worker that panics.
struct Broken<'p, 'a, S: Sink>(&'p Pool<'a, S>);

impl<S: Sink> Drop for Broken<'_, '_, S> {
    fn drop(&mut self) {
        self.0.lock().is_broken = true;
        self.0.done.notify_all();
    }
}
