//! The drain: moves committed records of all rings into blocks, in batches, and ends the session.
//!
//! Two threads. `tracewell-drain` copies ranges out of the rings and cuts them into blocks; `tracewell-write`
//! compresses, writes, and only then releases the range, so that a kill between the two leaves the records in the
//! ring. A bounded channel joins them; when it fills, rings fill, and producers count what they lose.
//!
//! The drain polls rather than spins (a cache line takes half a microsecond from core to core) and is woken by a
//! producer whose ring is half full. Quiet rings are left alone until a block is worth its header or `linger`
//! has passed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracewell_schema::format::block::{BlockHeader, BlockKind};
use tracewell_schema::format::record::{self, HEADER_LEN, KIND_EVENT, KIND_LOSS};
use tracewell_schema::format::ring::{RingCounters, RingInfo};

use crate::clock;
use crate::ring::Ring;
use crate::state::State;
use crate::tracer::Inner;
use crate::writer;

/// Raw bytes of a block: large enough to compress well, small enough to lose little to damage.
pub(crate) const BLOCK: usize = 256 * 1024;
/// A ring with this much waiting is drained at once.
const WORTH_IT: u64 = 128 * 1024;
/// Blocks on their way to the writer.
const IN_FLIGHT: usize = 8;
const BUSY_POLL: Duration = Duration::from_millis(2);
const IDLE_POLL: Duration = Duration::from_millis(40);
const CONTROL_POLL: Duration = Duration::from_millis(20);
const CLOCK_PERIOD: Duration = Duration::from_secs(1);

/// What goes to the segment writer, in order.
pub(crate) enum Job {
    /// A block of one ring; released when written.
    Data(Box<DataJob>),
    /// The last of a ring's claim: its counters; then the ring is free.
    RingEnd(Arc<Ring>),
    /// Everything before this is to be in a segment, synced.
    Flush(u64),
    /// Clock points are waiting.
    Clock,
    /// Seal the segment; the rest of the session's counters go in first.
    Close,
}

pub(crate) struct DataJob {
    pub(crate) ring: Arc<Ring>,
    pub(crate) info: RingInfo,
    pub(crate) header: BlockHeader,
    pub(crate) raw: Vec<u8>,
    pub(crate) compress: bool,
    pub(crate) sequence_after: u64,
}

/// Starts the two threads of a process state.
pub(crate) fn start(inner: &Arc<Inner>, state: &Arc<State>) -> std::io::Result<thread::JoinHandle<()>> {
    let (jobs, inbox) = bounded::<Job>(IN_FLIGHT);
    let (empties, spare) = bounded::<Vec<u8>>(IN_FLIGHT * 2);
    let for_writer = Arc::clone(state);
    let writer = thread::Builder::new().name("tracewell-write".into()).spawn(move || {
        crate::thread::Refusal::forever();
        writer::run(&for_writer, &inbox, &empties)
    })?;
    let (inner, state) = (Arc::downgrade(inner), Arc::clone(state));
    thread::Builder::new().name("tracewell-drain".into()).spawn(move || {
        crate::thread::Refusal::forever();
        crate::fork::block_all_signals();
        state.waker.set(thread::current());
        let mut drain = Drain { state: &state, jobs, spare, next_clock: Instant::now() };
        let inner = drain.run(&inner);
        let quiet = drain.close(inner.as_deref());
        drop(drain);
        // True if everything that was committed is in a sealed segment; else the rings stay for salvage.
        let complete = writer.join().unwrap_or(false);
        if complete {
            state.remove_folder(quiet);
        } else {
            state.keep_folder();
        }
        let mut served = state.flush.served.lock();
        served.closed = true;
        drop(served);
        state.flush.changed.notify_all();
    })
}

struct Drain<'a> {
    state: &'a Arc<State>,
    jobs: Sender<Job>,
    spare: Receiver<Vec<u8>>,
    next_clock: Instant,
}

impl Drain<'_> {
    /// Until the session ends. Returns the tracer if it still exists.
    fn run(&mut self, inner: &std::sync::Weak<Inner>) -> Option<Arc<Inner>> {
        let mut next_control = Instant::now();
        let mut asked = 0;
        loop {
            // Acquire: what the asking thread emitted before is seen below.
            let ticket = self.state.flush.asked.load(Ordering::Acquire);
            let moved = self.pass(ticket != asked);
            if ticket != asked {
                asked = ticket;
                self.send(Job::Flush(ticket));
            }
            let now = Instant::now();
            if now >= self.next_clock {
                self.next_clock = now + CLOCK_PERIOD;
                self.state.add_clock_point(clock::sample(0));
                self.send(Job::Clock);
            }
            if now >= next_control {
                next_control = now + CONTROL_POLL;
                let inner = inner.upgrade()?;
                if self.state.stop.load(Ordering::Acquire) || !inner.session_is_on(self.state) {
                    return Some(inner);
                }
            }
            if self.state.stop.load(Ordering::Acquire) {
                return inner.upgrade();
            }
            thread::park_timeout(if moved { BUSY_POLL } else { CONTROL_POLL.min(IDLE_POLL) });
        }
    }

    /// One look at every ring; `all` takes what would otherwise wait for more. True if anything was moved.
    fn pass(&mut self, all: bool) -> bool {
        let rings: Vec<Arc<Ring>> = self.state.rings.lock().clone();
        let mut moved = false;
        for ring in &rings {
            if ring.state() != crate::ring::FREE {
                moved |= self.drain_ring(ring, all);
            }
        }
        moved
    }

    fn drain_ring(&mut self, ring: &Arc<Ring>, all: bool) -> bool {
        // Acquire, before the head: a thread that is gone has stored its last head.
        let gone = ring.thread_gone.load(Ordering::Acquire);
        let head = ring.cursor().committed();
        let mut moved = false;
        // At most what was committed when we came: one ring with a fast producer must not starve the others.
        loop {
            let (read, take) = {
                let mut view = ring.drain.lock();
                let waiting = head - view.read;
                let since = *view.waiting_since.get_or_insert_with(Instant::now);
                let due = all
                    || gone
                    || moved
                    || waiting >= WORTH_IT.min(ring.capacity() / 4)
                    || since.elapsed() >= self.state.config.linger;
                if waiting == 0 {
                    view.waiting_since = None;
                }
                (view.read, waiting != 0 && due)
            };
            if !take {
                break;
            }
            self.take_block(ring, read, head);
            moved = true;
        }
        if gone && !std::mem::replace(&mut ring.drain.lock().finished, true) {
            ring.set_closing();
            self.send(Job::RingEnd(Arc::clone(ring)));
        }
        moved
    }

    /// Copies one block's worth from `read` on and sends it.
    fn take_block(&mut self, ring: &Arc<Ring>, read: u64, head: u64) {
        let lap_end = (read & !(ring.capacity() - 1)) + ring.capacity();
        let to = head.min(lap_end).min(read + BLOCK as u64);
        let mut raw = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        raw.clear();
        ring.memory().copy_out(read, to, &mut raw);
        let cut = Cut::of(&raw);
        raw.truncate(cut.len);
        let to = read + cut.len as u64;
        // Under pressure the block goes as it is: loss must begin only where memory or disk bandwidth ends.
        let pressed =
            head - ring.cursor().released() > ring.capacity() / 4 * 3 || self.jobs.len() >= IN_FLIGHT - 1;
        let mut view = ring.drain.lock();
        let lost_before = view.lost;
        view.lost += cut.lost;
        let header = BlockHeader {
            ring: ring.id(),
            events: cut.events,
            from: read,
            to,
            sequence: view.sequence,
            first_ticks: cut.first_ticks,
            last_ticks: cut.last_ticks,
            lost: lost_before + cut.lost,
            ..BlockHeader::meta(BlockKind::Data)
        };
        view.read = to;
        view.sequence += u64::from(cut.events);
        view.waiting_since = None;
        let sequence_after = view.sequence;
        drop(view);
        let job = DataJob {
            ring: Arc::clone(ring),
            info: ring.info(),
            header,
            raw,
            compress: !pressed,
            sequence_after,
        };
        self.send(Job::Data(Box::new(job)));
    }

    fn send(&self, job: Job) {
        // The writer ends only after `Close`; if it is gone it has failed, and the rings keep everything.
        let _ = self.jobs.send(job);
    }

    /// The end of the session: no more emits, everything into the segment. True if no thread can touch the rings.
    fn close(&mut self, inner: Option<&Inner>) -> bool {
        if let Some(inner) = inner {
            inner.retire_epoch(self.state.epoch);
        }
        let quiet = self.state.quiesce();
        self.state.add_clock_point(clock::sample(0));
        self.pass(true);
        self.send(Job::Clock);
        self.send(Job::Close);
        quiet
    }
}

/// Where a copied range is cut, and what is in it.
struct Cut {
    len: usize,
    events: u32,
    first_ticks: u64,
    last_ticks: u64,
    lost: u64,
}

impl Cut {
    /// Walks the records of `raw`, which begins with one; the last may be incomplete.
    fn of(raw: &[u8]) -> Self {
        let mut cut = Self { len: 0, events: 0, first_ticks: 0, last_ticks: 0, lost: 0 };
        while let Some(rest) = raw.get(cut.len..).filter(|r| r.len() >= 8) {
            let Some(word) = rest.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else { break };
            let len = (word & 0xffff_ffff) as usize;
            let size = len.next_multiple_of(8);
            // A length that cannot be (someone else wrote into our memory) must not stop the drain for ever.
            if size < 8 {
                cut.len = raw.len();
                break;
            }
            if size > rest.len() {
                if cut.len == 0 {
                    cut.len = raw.len();
                }
                break;
            }
            match (word >> 48) as u8 {
                KIND_EVENT => {
                    let ticks = rest
                        .get(8..HEADER_LEN)
                        .and_then(|b| b.first_chunk::<8>())
                        .map_or(0, |b| u64::from_le_bytes(*b));
                    if cut.events == 0 {
                        cut.first_ticks = ticks;
                    }
                    cut.last_ticks = ticks;
                    cut.events += 1;
                }
                KIND_LOSS => {
                    cut.lost += record::LossCounts::decode(rest.get(HEADER_LEN..size).unwrap_or_default())
                        .map_or(0, |counts| counts.total());
                }
                _ => {}
            }
            cut.len += size;
        }
        cut
    }
}

/// The counters of all rings and of the process, for a segment that is sealed or flushed.
pub(crate) fn all_counters(state: &State) -> Vec<RingCounters> {
    let rings: Vec<Arc<Ring>> = state.rings.lock().clone();
    let mut counters: Vec<RingCounters> = rings
        .iter()
        .filter(|ring| ring.state() != crate::ring::FREE)
        .map(|ring| ring.counters(state.stop_is_final()))
        .collect();
    let mut lost = [0; 8];
    for (count, orphan) in lost.iter_mut().zip(&state.orphans) {
        *count = orphan.load(Ordering::Relaxed);
    }
    let attempted = lost.iter().sum();
    if attempted != 0 {
        counters.push(RingCounters { ring: 0, is_final: false, position: 0, attempted, delivered: 0, lost });
    }
    counters
}
