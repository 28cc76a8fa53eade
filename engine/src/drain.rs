//! The drain: turns committed records of all rings into blocks, in batches, and ends the session.
//!
//! Four threads. `tracewell-drain` lays the records of a range out as columns, in place; `tracewell-write` writes
//! blocks, and only then releases their ranges, so that a kill between the two leaves the records in the ring;
//! `tracewell-tend` does what waits for the disk, `tracewell-pack` what can wait itself. What joins them is bounded; when
//! it fills, rings fill, and producers count what they lose.
//!
//! The drain polls rather than spins (a cache line takes half a microsecond from core to core), as often as the
//! fastest ring needs, and is woken by a producer whose ring is half full. Quiet rings are left alone until a block
//! is worth its header or `linger` has passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use tracewell_schema::format::block::{
    BlockHeader, BlockKind, Codec, FLAG_HASTY, compress_block, compress_columns,
};
use tracewell_schema::format::columns::Encoder;
use tracewell_schema::format::record::Records;
use tracewell_schema::format::ring::{RingCounters, RingInfo};

use crate::clock::{self, Stamp};
use crate::own_thread::{self, OwnThread};
use crate::ring::{Ring, ticket};
use crate::state::State;
use crate::tend::{Place, Tender};
use crate::tracer::Inner;
use crate::{retention, writer};

/// Bytes of records in a block: large enough to compress well, small enough to lose little to damage.
pub(crate) const BLOCK: usize = 256 * 1024;
/// Bytes of the next block that are asked for whenever the encoder has done a few records of this one.
const FETCHED_AT_ONCE: u64 = 4096;
/// Blocks on their way to the writer.
const IN_FLIGHT: usize = 8;
/// The drain is so busy, in 1/1024 of its time, that LZ4 must wait.
const MOSTLY_BUSY: u64 = 600;
/// A ring that is so full, in 1/1024, is looked at more often.
const MUCH: u64 = 384;
/// Bounds of the time between two looks at the rings.
const SHORTEST_POLL: Duration = Duration::from_micros(250);
const LONGEST_POLL: Duration = Duration::from_millis(100);
const CONTROL_POLL: Duration = Duration::from_millis(100);
const CLOCK_PERIOD: Duration = Duration::from_secs(1);
/// Between clock points while nothing is emitted.
const QUIET_CLOCK_PERIOD: Duration = Duration::from_secs(60);

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
    pub(crate) stored: Vec<u8>,
    pub(crate) sequence_after: u64,
}

/// Starts the threads of a process state.
pub(crate) fn start(inner: &Arc<Inner>, state: &Arc<State>) -> std::io::Result<OwnThread<()>> {
    let (jobs, inbox) = bounded::<Job>(IN_FLIGHT);
    let (empties, spare) = bounded::<Vec<u8>>(IN_FLIGHT * 3);
    let limits = retention::Limits {
        max_total: state.control.max_total,
        max_age: Duration::from_secs(state.control.max_age),
    };
    let sessions = state.config.dirs.sessions();
    let place = Place { sessions, limits, segment_bytes: state.control.segment_bytes };
    let (tender, tending) = Tender::start(place)?;
    let for_writer = (Arc::clone(state), tender.clone());
    let writer = own_thread::spawn("tracewell-write", move || {
        crate::thread::Refusal::forever();
        let (state, tender) = for_writer;
        writer::run(&state, &tender, &inbox, &empties)
    })?;
    let (inner, state) = (Arc::downgrade(inner), Arc::clone(state));
    own_thread::spawn("tracewell-drain", move || {
        crate::thread::Refusal::forever();
        crate::fork::block_all_signals();
        crate::fork::run_as_the_process_does();
        state.waker.set(thread::current());
        let mut drain = Drain::new(&state, inner.clone(), jobs, spare, tender.clone());
        drain.run();
        let inner = inner.upgrade();
        let quiet = drain.close(inner.as_deref());
        drop(drain);
        // True if everything that was committed is in a sealed segment; else the rings stay for salvage.
        let complete = writer.join().unwrap_or(false);
        tender.stop();
        let _ = tending.join();
        if complete {
            state.remove_folder(quiet);
        } else {
            state.keep_folder(quiet);
        }
        if !quiet {
            // A thread that was stopped inside an emit may go on with what it holds of this state.
            std::mem::forget(Arc::clone(&state));
        }
        let mut served = state.flush.served.lock();
        served.closed = true;
        if complete {
            served.error = None;
        } else {
            served
                .error
                .get_or_insert_with(|| "not everything could be written; the rest is in the rings".into());
        }
        drop(served);
        state.flush.changed.notify_all();
        if let Some(inner) = inner {
            inner.forget_closed();
        }
    })
}

struct Drain<'a> {
    state: &'a Arc<State>,
    inner: Weak<Inner>,
    tender: Tender,
    jobs: Sender<Job>,
    spare: Receiver<Vec<u8>>,
    next_clock: Instant,
    encoder: Encoder,
    columns: Vec<u8>,
    rings: Vec<Arc<Ring>>,
    poll: Duration,
    /// Share of the last few milliseconds that the drain was at work, in 1/1024.
    busy: u64,
    next_control: Instant,
    /// Generation of the control page when it last said that the session is on.
    seen: Option<u64>,
    /// What `status` was told last.
    told_errno: i32,
    /// The session is over.
    is_over: bool,
}

/// In 1/1024.
fn fullness(waiting: u64, capacity: u64) -> u64 {
    waiting.saturating_mul(1024) / capacity
}

impl<'a> Drain<'a> {
    fn new(
        state: &'a Arc<State>,
        inner: Weak<Inner>,
        jobs: Sender<Job>,
        spare: Receiver<Vec<u8>>,
        tender: Tender,
    ) -> Self {
        Self {
            state,
            inner,
            tender,
            jobs,
            spare,
            next_clock: Instant::now(),
            encoder: Encoder::default(),
            columns: Vec::new(),
            rings: Vec::new(),
            poll: SHORTEST_POLL,
            busy: 0,
            next_control: Instant::now(),
            seen: None,
            told_errno: 0,
            is_over: false,
        }
    }

    fn is_coarse(&self) -> bool {
        self.state.stamp == Stamp::Coarse
    }

    /// The longest time between two calls of [`Drain::look_around`].
    fn patience(&self) -> Duration {
        if self.is_coarse() { clock::COARSE_RESOLUTION * 3 / 4 } else { CONTROL_POLL }
    }

    /// What goes on also while the disk holds the segment writer up, and rings fill: the time of the coarse clock; the end
    /// of the session, so that nothing is recorded any more by rules that the user has changed; what `status` tells.
    fn look_around(&mut self) {
        if self.is_coarse() {
            clock::publish();
        }
        let now = Instant::now();
        if now < self.next_control || self.is_over {
            return;
        }
        self.next_control = now + CONTROL_POLL;
        let Some(inner) = self.inner.upgrade() else {
            self.is_over = true;
            return;
        };
        if self.state.stop.load(Ordering::Acquire) || !inner.session_is_on(self.state, &mut self.seen) {
            self.is_over = true;
            inner.retire_epoch(self.state.epoch);
            return;
        }
        let errno = self.state.stats.write_errno.load(Ordering::Relaxed);
        if errno != self.told_errno {
            self.told_errno = errno;
            inner.tell_write_failure(errno);
        }
    }

    /// Until the session ends.
    fn run(&mut self) {
        let mut asked = 0;
        let mut is_stale = true;
        loop {
            self.look_around();
            let begun = Instant::now();
            let ticket = ticket::newest(&self.state.flush.asked);
            let fullest = self.pass(ticket != asked);
            if ticket != asked {
                asked = ticket;
                self.send(Job::Flush(ticket));
            }
            let now = Instant::now();
            // A point is needed where events are; while there are none, now and then.
            is_stale |= fullest != 0;
            if now >= self.next_clock && (is_stale || now >= self.next_clock + QUIET_CLOCK_PERIOD) {
                self.next_clock = now + CLOCK_PERIOD;
                is_stale = false;
                self.state.add_clock_point();
                self.send(Job::Clock);
            }
            self.look_around();
            if self.is_over || self.state.stop.load(Ordering::Acquire) {
                return;
            }
            self.adapt(fullest);
            if fullest >= MUCH && self.has_much() {
                // Producers are faster than a look and a sleep.
                self.note_load(begun.elapsed(), begun.elapsed());
                continue;
            }
            let worked = begun.elapsed();
            thread::park_timeout(self.poll.min(self.patience()));
            self.note_load(worked, begun.elapsed());
        }
    }

    /// Whether some ring has filled up again meanwhile.
    fn has_much(&self) -> bool {
        self.rings.iter().any(|ring| {
            let waiting = ring.cursor().committed().saturating_sub(ring.drain.lock().read);
            ring.state() != crate::ring::FREE
                && !ring.is_broken()
                && fullness(waiting, ring.capacity()) >= MUCH
        })
    }

    /// Takes note of a round in which the drain worked for some of the time.
    fn note_load(&mut self, worked: Duration, passed: Duration) {
        let (worked, passed) = (worked.as_nanos() as u64, passed.as_nanos() as u64);
        let share = worked.saturating_mul(1024) / passed.max(1);
        // The longer a round, the more it counts; four milliseconds are all of it.
        let weight = passed.min(4_000_000);
        self.busy = (self.busy * (4_000_000 - weight) + share * weight) / 4_000_000;
    }

    /// Sets the time until the next look: so that at the present rate the fastest ring will be about a quarter full.
    /// `fullest` is what the fullest ring held at this look, in 1/1024 of its capacity.
    fn adapt(&mut self, fullest: u64) {
        self.poll = match fullest {
            MUCH.. => self.poll / 2,
            192..MUCH => self.poll,
            // Idle: nothing to adapt to.
            0 => LONGEST_POLL,
            _ => self.poll * 2,
        }
        .clamp(SHORTEST_POLL, LONGEST_POLL);
    }

    /// One look at every ring; `all` takes what would otherwise wait for more. Tells how full the fullest was.
    fn pass(&mut self, all: bool) -> u64 {
        let mut rings = std::mem::take(&mut self.rings);
        rings.clear();
        rings.extend(self.state.rings.lock().iter().cloned());
        let mut fullest = 0;
        for ring in &rings {
            if ring.state() != crate::ring::FREE {
                fullest = fullest.max(self.drain_ring(ring, all));
            }
        }
        self.rings = rings;
        fullest
    }

    /// Returns how full the ring was, in 1/1024.
    fn drain_ring(&mut self, ring: &Arc<Ring>, all: bool) -> u64 {
        // Before the head: a thread that is gone has stored its last head.
        let gone = ring.has_ended();
        let head = ring.cursor().committed();
        let capacity = ring.capacity();
        ring.note_counts(&mut ring.drain.lock());
        let fullness = fullness(head.wrapping_sub(ring.cursor().released()), capacity);
        // At most what was committed when we came: one ring with a fast producer must not starve the others.
        loop {
            let (read, take) = {
                let mut view = ring.drain.lock();
                let waiting = head.saturating_sub(view.read);
                // Heads only grow, and never pass what is released by more than a ring.
                if head < view.read || waiting > capacity {
                    ring.set_spoiled();
                }
                let due = all || gone || waiting >= (BLOCK as u64).min(capacity / 4);
                let due = due
                    || waiting != 0 && {
                        let since = *view.waiting_since.get_or_insert_with(Instant::now);
                        since.elapsed() >= self.state.config.linger
                    };
                if waiting == 0 {
                    view.waiting_since = None;
                }
                (view.read, waiting != 0 && due && !ring.is_broken())
            };
            if !take {
                break;
            }
            self.take_block(ring, read, head);
        }
        if !ring.is_broken() {
            ring.grow_ahead(head);
        }
        if gone {
            ring.drain.lock().finished = true;
            ring.set_closing();
            self.send(Job::RingEnd(Arc::clone(ring)));
        }
        fullness
    }

    /// Makes one block of what is there from `read` on, and sends it.
    fn take_block(&mut self, ring: &Arc<Ring>, read: u64, head: u64) {
        let capacity = ring.capacity();
        let lap_end = (read & !(capacity - 1)) + capacity;
        let to = head.min(lap_end).min(read + BLOCK as u64);
        // In haste blocks go without LZ4: loss must begin only where memory or disk bandwidth ends.
        let backlog = head.wrapping_sub(ring.cursor().released());
        let is_hasty = self.busy > MOSTLY_BUSY || backlog > capacity / 2 || self.jobs.len() >= IN_FLIGHT - 2;
        if is_hasty {
            self.tender.note_haste();
        }
        let mut stored = self.spare.try_recv().unwrap_or_default();
        let (encoder, columns) = (&mut self.encoder, &mut self.columns);
        // While this block is laid out, what comes after it is on its way from the producer's core.
        let mut ahead = to;
        let ahead_end = if to < lap_end { head.min(lap_end).min(to + BLOCK as u64) } else { to };
        let mut pace = || {
            let next = (ahead + FETCHED_AT_ONCE).min(ahead_end);
            ring.fetch(ahead, next);
            ahead = next;
        };
        let laid_out = ring.committed(read, to, |raw| {
            let walk = encoder.walk(raw, raw.len(), &mut State::layout_of);
            // Rare; and no writer of records leaves what is none.
            let is_sound = walk.is_regular
                || Records::new(raw.get(..walk.len).unwrap_or(raw)).all(|record| record.is_ok());
            let raw = raw.get(..walk.len).unwrap_or(raw);
            let codec = if walk.is_regular {
                encoder.encode(raw, columns, &mut pace);
                if is_hasty { Codec::Columns } else { compress_columns(columns, &mut stored) }
            } else if is_hasty {
                stored.clear();
                Codec::Raw
            } else {
                compress_block(raw, &mut stored)
            };
            match codec {
                Codec::Columns => std::mem::swap(&mut stored, columns),
                Codec::Raw => stored.extend_from_slice(raw),
                _ => {}
            }
            is_sound.then_some((walk, codec))
        });
        // After it was read: what was put in the place of the file meanwhile is not what was emitted.
        let Some((walk, codec)) = laid_out.flatten().filter(|_| !ring.is_broken()) else {
            return ring.set_spoiled();
        };
        let to = read + walk.len as u64;
        let mut view = ring.drain.lock();
        let lost = view.lost + walk.lost;
        view.lost = lost;
        let header = BlockHeader {
            ring: ring.id(),
            codec,
            flags: if is_hasty { FLAG_HASTY } else { 0 },
            raw_len: walk.len as u32,
            events: walk.events,
            from: read,
            to,
            sequence: view.sequence,
            first_ticks: walk.first_ticks,
            last_ticks: walk.last_ticks,
            lost,
            ..BlockHeader::meta(BlockKind::Data)
        };
        view.read = to;
        view.sequence += u64::from(walk.events);
        view.waiting_since = None;
        let sequence_after = view.sequence;
        drop(view);
        let job = DataJob { ring: Arc::clone(ring), info: ring.info(), header, stored, sequence_after };
        self.send(Job::Data(Box::new(job)));
    }

    fn send(&mut self, mut job: Job) {
        // The writer ends only after `Close`; if it is gone it has failed, and the rings keep everything.
        while let Err(SendTimeoutError::Timeout(back)) = self.jobs.send_timeout(job, self.patience()) {
            job = back;
            self.look_around();
        }
    }

    /// The end of the session: no more emits, everything into the segment. True if no thread can touch the rings.
    fn close(&mut self, inner: Option<&Inner>) -> bool {
        if let Some(inner) = inner {
            inner.retire_epoch(self.state.epoch);
        }
        let quiet = self.state.quiesce();
        self.state.add_clock_point();
        self.pass(true);
        self.send(Job::Clock);
        self.send(Job::Close);
        quiet
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
    state.untold.take(&state.orphans);
    let lost = state.orphans.each_ref().map(|count: &AtomicU64| count.load(Ordering::Relaxed));
    let attempted = lost.iter().sum();
    if attempted != 0 {
        counters.push(RingCounters { ring: 0, is_final: false, position: 0, attempted, delivered: 0, lost });
    }
    counters
}
