//! The segment writer's thread: takes jobs of the drain in order, writes, then releases.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::encode_schema_payload_item;
use tracewell_schema::format::ring::RingCounters;

use crate::drain::{DataJob, Job, all_counters};
use crate::retention;
use crate::segment::{Context, Data, Rotation, SegmentWriter};
use crate::state::State;
use crate::stats::add;
use crate::storage::SessionFolder;

/// How long a closing session tries to write before it leaves the rest in the rings.
const LAST_TRIES: Duration = Duration::from_secs(3);

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
}

struct Writer<'a> {
    state: &'a Arc<State>,
    segments: SegmentWriter<SessionFolder>,
    failing_since: Option<Instant>,
    closing: bool,
}

/// Until `Job::Close`. True if everything that was sent is in a sealed segment.
pub(crate) fn run(state: &Arc<State>, inbox: &Receiver<Job>, empties: &Sender<Vec<u8>>) -> bool {
    crate::fork::block_all_signals();
    let rotation = Rotation {
        bytes: state.control.segment_bytes.max(64 * 1024),
        age: Duration::from_secs(state.control.segment_age.max(1)),
    };
    let segments =
        SegmentWriter::new(SessionFolder::new(&state.session_folder), state.identity.clone(), rotation);
    let mut writer = Writer { state, segments, failing_since: None, closing: false };
    loop {
        match inbox.recv_timeout(Duration::from_secs(1)) {
            Ok(Job::Data(job)) => writer.data(*job, empties),
            Ok(Job::RingEnd(ring)) => {
                let counters = [ring.counters(true)];
                if writer.persist(|w| w.segments.write_counters(&counters, w.state)) {
                    ring.set_free();
                }
            }
            Ok(Job::Flush(ticket)) => writer.flush(ticket),
            Ok(Job::Clock) => {
                writer.persist(|w| w.segments.note_clocks(w.state));
            }
            Ok(Job::Close) => {
                writer.closing = true;
                return writer.close();
            }
            Err(RecvTimeoutError::Timeout) => {
                if writer.segments.is_aged() {
                    writer.persist(|w| w.segments.seal(w.state));
                    writer.retain();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

impl Writer<'_> {
    fn data(&mut self, job: DataJob, empties: &Sender<Vec<u8>>) {
        let mut rotated = false;
        let written = self.persist(|w| {
            let data = Data {
                header: job.header.clone(),
                info: job.info.clone(),
                raw: &job.raw,
                compress: job.compress,
            };
            rotated |= w.segments.write_data(data, w.state)?;
            Ok(())
        });
        if written {
            job.ring.release(job.header.to, job.sequence_after);
            let stats = &self.state.stats;
            add(&stats.delivered, u64::from(job.header.events));
            add(&stats.raw_bytes, job.raw.len() as u64);
            add(&stats.blocks, 1);
            stats.written_bytes.store(self.segments.written, Ordering::Relaxed);
        }
        let _ = empties.try_send(job.raw);
        if rotated {
            self.retain();
        }
    }

    /// Tries until it works: the ring keeps the records, producers count what they lose meanwhile. A session that
    /// is closing gives up after a while. False if it gave up.
    fn persist(&mut self, mut work: impl FnMut(&mut Self) -> io::Result<()>) -> bool {
        let mut pause = Duration::from_millis(5);
        loop {
            match work(self) {
                Ok(()) => {
                    self.failing_since = None;
                    return true;
                }
                Err(error) => {
                    add(&self.state.stats.write_errors, 1);
                    // What the failed write left in the file is unknown; the next try begins a new one.
                    self.segments.abandon();
                    let since = *self.failing_since.get_or_insert_with(Instant::now);
                    self.tell_failure(&error);
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

    fn tell_failure(&self, error: &io::Error) {
        let mut served = self.state.flush.served.lock();
        served.error = Some(format!("{}: {error}", self.state.session_folder.display()));
        drop(served);
        self.state.flush.changed.notify_all();
    }

    fn flush(&mut self, ticket: u64) {
        let counters = all_counters(self.state);
        let done = self.persist(|w| {
            if !counters.is_empty() {
                w.segments.write_counters(&counters, w.state)?;
            }
            w.segments.sync()
        });
        let mut served = self.state.flush.served.lock();
        served.ticket = ticket;
        if done {
            served.error = None;
        }
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
        self.retain();
        let all_released =
            self.state.rings.lock().iter().all(|ring| ring.cursor().committed() == ring.cursor().released());
        sealed && all_released
    }

    fn retain(&self) {
        let limits = retention::Limits {
            max_total: self.state.control.max_total,
            max_age: Duration::from_secs(self.state.control.max_age),
        };
        let _ = retention::retain(&self.state.config.dirs.sessions(), &limits);
    }
}
