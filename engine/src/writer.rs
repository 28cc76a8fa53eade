//! The segment writer's thread: takes jobs of the drain in order, writes, then releases.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::encode_schema_payload_item;
use tracewell_schema::format::ring::{RingCounters, RingInfo};

use crate::drain::{DataJob, Job, all_counters};
use crate::retention;
use crate::ring::Ring;
use crate::segment::{Context, Rotation, SegmentWriter};
use crate::state::State;
use crate::stats::add;
use crate::storage::{SessionFolder, Storage};
use crate::tend::Tender;

/// How long a closing session tries to write before it leaves the rest in the rings.
const LAST_TRIES: Duration = Duration::from_secs(3);
/// Most blocks that are written together.
const TOGETHER: usize = 16;

impl Context for Arc<State> {
    fn clock_points(&self) -> Vec<ClockPoint> {
        self.take_clock_points()
    }

    fn schemas(&self, from: usize) -> (Vec<u8>, usize) {
        let schemas = self.schemas.lock();
        let mut items = Vec::new();
        for (index, blob) in schemas.iter().skip(from) {
            items.extend_from_slice(&encode_schema_payload_item(*index, blob));
        }
        (items, schemas.len())
    }

    fn counters(&self) -> Vec<RingCounters> {
        all_counters(self)
    }

    fn ring_info(&self, ring: u32) -> Option<RingInfo> {
        let rings = self.rings.lock();
        rings.iter().find(|r| r.id() == ring).map(|r| r.info())
    }
}

struct Writer<'a> {
    state: &'a Arc<State>,
    tender: &'a Tender,
    segments: SegmentWriter<Box<dyn Storage>>,
    /// Blocks that are not released yet.
    pending: Vec<DataJob>,
    failing_since: Option<Instant>,
    closing: bool,
}

/// Until `Job::Close`. True if everything that was sent is in a sealed segment.
pub(crate) fn run(
    state: &Arc<State>,
    tender: &Tender,
    inbox: &Receiver<Job>,
    empties: &Sender<Vec<u8>>,
) -> bool {
    crate::fork::block_all_signals();
    crate::fork::run_as_the_process_does();
    let rotation = Rotation {
        bytes: state.control.segment_bytes.max(64 * 1024),
        age: Duration::from_secs(state.control.segment_age.max(1)),
    };
    let folder = SessionFolder::new(&state.session_folder, tender.clone());
    let storage = crate::testing::storage_for(&state.session_folder, Box::new(folder));
    let segments = SegmentWriter::new(storage, state.identity.clone(), rotation);
    let pending = Vec::new();
    let mut writer = Writer { state, tender, segments, pending, failing_since: None, closing: false };
    loop {
        let job = match inbox.recv_timeout(Duration::from_secs(1)) {
            Ok(Job::Data(job)) => {
                writer.pending.push(*job);
                // What waits already goes with it, in one write.
                while writer.pending.len() < TOGETHER
                    && let Ok(next) = inbox.try_recv()
                {
                    match next {
                        Job::Data(job) => writer.pending.push(*job),
                        other => {
                            writer.write_pending(empties);
                            if let Some(end) = writer.serve(other) {
                                return end;
                            }
                        }
                    }
                }
                writer.write_pending(empties);
                None
            }
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        if let Some(end) = job.and_then(|job| writer.serve(job)) {
            return end;
        }
        if writer.segments.is_aged() {
            writer.persist(|w| w.segments.seal(w.state));
            writer.tender.retain();
        }
    }
}

impl Writer<'_> {
    /// Anything but data. `Some` if it was the end.
    fn serve(&mut self, job: Job) -> Option<bool> {
        match job {
            Job::RingEnd(ring) => {
                let counters = [ring.counters(true)];
                if self.persist(|w| w.segments.write_counters(&counters, w.state)) {
                    for (sum, lost) in self.state.stats.lost_before.iter().zip(counters[0].lost) {
                        add(sum, lost);
                    }
                    ring.set_free();
                }
            }
            Job::Flush(ticket) => self.flush(ticket),
            Job::Clock => {
                self.persist(|w| w.segments.note_clocks(w.state));
            }
            Job::Close => {
                self.closing = true;
                return Some(self.close());
            }
            Job::Data(_) => {}
        }
        None
    }

    /// Writes what is pending, then releases it.
    fn write_pending(&mut self, empties: &Sender<Vec<u8>>) {
        let pending = std::mem::take(&mut self.pending);
        let mut safe = 0;
        let all = self.persist(|w| {
            let blocks = pending.iter().map(|job| (&job.header, &job.info, job.stored.as_slice()));
            w.segments.write_blocks(blocks, &mut safe, w.state)
        });
        let written = if all { pending.len() } else { safe };
        for (at, job) in pending.into_iter().enumerate() {
            if at < written {
                job.ring.release(job.header.to, job.sequence_after);
                let stats = &self.state.stats;
                add(&stats.delivered, u64::from(job.header.events));
                add(&stats.raw_bytes, u64::from(job.header.raw_len));
                add(&stats.blocks, 1);
            }
            let _ = empties.try_send(job.stored);
        }
        self.state.stats.written_bytes.store(self.segments.written, Ordering::Relaxed);
    }

    /// Tries until it works: the ring keeps the records, producers count what they lose meanwhile. A session that
    /// is closing gives up after a while. False if it gave up.
    fn persist(&mut self, mut work: impl FnMut(&mut Self) -> io::Result<()>) -> bool {
        let mut pause = Duration::from_millis(5);
        loop {
            let before = self.segments.written;
            match work(self).and_then(|()| self.segments.commit()) {
                Ok(()) => {
                    // With nothing to write nothing has shown that it works again.
                    if self.segments.written != before {
                        self.failing_since = None;
                        self.state.stats.write_errno.store(0, Ordering::Relaxed);
                    }
                    return true;
                }
                Err(error) => {
                    add(&self.state.stats.write_errors, 1);
                    // What the failed write left in the file is unknown; the next try begins a new one.
                    self.segments.abandon();
                    let since = *self.failing_since.get_or_insert_with(Instant::now);
                    self.tell_failure(&error);
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.state.stats.write_errno.store(errno, Ordering::Relaxed);
                    let ending = self.closing || self.state.stop.load(Ordering::Relaxed);
                    if ending && since.elapsed() > LAST_TRIES {
                        return false;
                    }
                    if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) {
                        self.retain();
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
            }
        }
    }

    fn failure(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.state.session_folder.display())
    }

    fn tell_failure(&self, error: &io::Error) {
        let mut served = self.state.flush.served.lock();
        served.error = Some(self.failure(error));
        drop(served);
        self.state.flush.changed.notify_all();
    }

    fn flush(&mut self, ticket: u64) {
        let counters = all_counters(self.state);
        let written = self.persist(|w| {
            if counters.is_empty() { Ok(()) } else { w.segments.write_counters(&counters, w.state) }
        });
        // Not tried again: what the kernel failed to write once it may forget.
        let synced = self.segments.sync();
        let mut served = self.state.flush.served.lock();
        let failure = match synced {
            Ok(()) if written => None,
            Ok(()) => served.error.take(),
            Err(error) => Some(self.failure(&error)),
        };
        served.serve(ticket, failure);
        drop(served);
        self.state.flush.changed.notify_all();
    }

    fn close(&mut self) -> bool {
        let counters = all_counters(self.state);
        let sealed = self.persist(|w| {
            if !counters.is_empty() {
                w.segments.write_counters(&counters, w.state)?;
            }
            w.segments.seal(w.state)
        });
        let settled = self.segments.settle();
        if let Err(error) = &settled {
            self.tell_failure(error);
        }
        self.tender.retain();
        // What a broken ring has is nothing to salvage.
        let is_done = |ring: &Ring| ring.is_broken() || ring.cursor().committed() == ring.cursor().released();
        let all_released = self.state.rings.lock().iter().all(|ring| is_done(ring));
        sealed && settled.is_ok() && all_released
    }

    /// Makes room on a full disk, now.
    fn retain(&self) {
        let limits = retention::Limits {
            max_total: self.state.control.max_total,
            max_age: Duration::from_secs(self.state.control.max_age),
        };
        let _ = retention::retain(&self.state.config.dirs.sessions(), &limits);
    }
}
