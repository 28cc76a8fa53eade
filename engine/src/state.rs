//! What a process has while it traces: ring folder, rings, event table, drain. Made by the first emit of a session,
//! gone when the session ends.
//!
//! ## Closing
//!
//! `disable`, expiry, `shutdown` and the end of the process all close the same way (`drain.rs` calls
//! [`State::quiesce`]):
//!
//! 1. the tracer's epoch becomes `NO_SESSION`, so that emits from now on take the cold path;
//! 2. `membarrier` makes every thread of the process pass a full barrier. A thread that had read the old epoch has
//!    also, before that in program order, marked its slot `BUSY`; after the barrier that store is visible here. (The
//!    barrier is paid by the closer, so the hot path needs none between its store of `BUSY` and its load of
//!    the epoch.)
//! 3. wait until no producer is busy: from here on no thread touches a ring of this epoch;
//! 4. drain what is committed, write the final counters, seal the segment, unmap and remove the rings.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::columns::Layout;
use tracewell_schema::format::control::{ControlPage, name_hash};
use tracewell_schema::format::process::{self as process_file, ProcessFile, ProcessIdentity};
use tracewell_schema::format::record::LossReason;
use tracewell_schema::format::ring::RingInfo;
use tracewell_schema::{Event, Plan, SchemaRef};

use crate::clock::Stamp;
use crate::config::Config;
use crate::emit::{PLAIN, PLANNED, REFUSED, UNKNOWN};
use crate::error::{FlushError, StateError};
use crate::lock::{Condvar, Mutex};
use crate::orphans::Orphans;
use crate::ring::{Ring, Waker, ticket};
use crate::thread::{self, Producer};
use crate::{boot, clock, fs, uuid};

/// Event types that one process can emit; FORMAT.md's limit.
pub(crate) const MAX_EVENTS: usize = tracewell_schema::limits::MAX_EVENTS;

/// Entries of the table of event types: more than there can be, so that an index needs no check but a mask. The last
/// one stands for types without an index yet.
pub(crate) const EVENT_TABLE: usize = 2048;
const _: () = assert!(MAX_EVENTS < EVENT_TABLE && u16::MAX as usize % EVENT_TABLE == EVENT_TABLE - 1);

/// Rings below this are not made: `emit` counts `no_ring` instead.
pub(crate) const MIN_RING: u64 = 64 * 1024;

static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);
/// Event types of this process, by index; the index is the same for every tracer.
static EVENT_TYPES: Mutex<Vec<&'static SchemaRef>> = Mutex::new(Vec::new());

/// See the module's description.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) epoch: u64,
    /// How this process's records are stamped.
    pub(crate) stamp: Stamp,
    pub(crate) identity: ProcessIdentity,
    pub(crate) config: Config,
    pub(crate) control: ControlPage,
    pub(crate) session_folder: PathBuf,
    pub(crate) ring_folder: PathBuf,
    folder: OwnedFd,
    /// Holds the liveness lock; also the `process` file.
    process: Mutex<ProcessClock>,
    schemas_file: Mutex<SchemasFile>,
    pub(crate) schemas: Mutex<Vec<(u16, Vec<u8>)>>,
    events: Box<[AtomicU8]>,
    plans: Box<[OnceLock<Plan>]>,
    pub(crate) rings: Mutex<Vec<Arc<Ring>>>,
    ring_bytes: AtomicU64,
    next_ring: AtomicU32,
    pub(crate) waker: Arc<Waker>,
    pub(crate) flush: Flush,
    /// Counts that belong to no ring, by reason.
    pub(crate) orphans: [AtomicU64; 8],
    /// Those that the tracer has counted since they were told last.
    pub(crate) untold: Arc<Orphans>,
    pub(crate) stop: AtomicBool,
    /// No emit of this session begins any more; those that wait for room give up.
    pub(crate) retired: AtomicBool,
    quiet: AtomicBool,
    pub(crate) stats: crate::stats::Counters,
}

#[derive(Debug)]
struct ProcessClock {
    file: File,
    slot: usize,
    points: Vec<ClockPoint>,
    epochs: clock::Epochs,
}

#[derive(Debug)]
struct SchemasFile {
    file: File,
    len: u64,
}

/// Tickets of `flush`: asked by callers, served by the segment writer.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    pub(crate) asked: AtomicU64,
    pub(crate) served: Mutex<Served>,
    pub(crate) changed: Condvar,
}

/// What the segment writer has done so far.
#[derive(Debug, Default)]
pub(crate) struct Served {
    ticket: u64,
    /// Why what is written now fails.
    pub(crate) error: Option<String>,
    /// The last ticket whose records could not be synced, and why.
    failed: Option<(u64, String)>,
    pub(crate) closed: bool,
}

impl Served {
    /// Everything before `ticket` is synced, or could not be.
    pub(crate) fn serve(&mut self, ticket: u64, failure: Option<String>) {
        self.ticket = ticket;
        self.failed = failure.clone().map(|why| (ticket, why)).or(self.failed.take());
        self.error = failure;
    }

    /// What a flush with this ticket returns; `None` if it has to wait.
    fn outcome(&self, ticket: u64) -> Option<Result<(), FlushError>> {
        if self.ticket < ticket && !self.closed {
            return None;
        }
        // Who comes late, after the next ticket was served, is told of the failure of his own.
        let own = self.failed.as_ref().filter(|(failed, _)| ticket <= *failed).map(|(_, why)| why);
        let failed = |why: &String| Err(FlushError::Io { message: why.clone() });
        Some(self.error.as_ref().or(own).map_or(Ok(()), failed))
    }
}

/// Makes and locks the process file, with its first content, and the file for schemas. After a failure neither is there.
fn make_files(folder: &OwnedFd, first: &[u8]) -> std::io::Result<(File, File)> {
    let make_process = || {
        let mut file = fs::create_new(folder, process_file::PROCESS_FILE)?;
        file.write_all(first)?;
        if fs::try_lock_ofd(&file)? { Ok(file) } else { Err(std::io::ErrorKind::WouldBlock.into()) }
    };
    let made = make_process().and_then(|file| {
        crate::fork::remember(&file);
        match fs::create_new(folder, process_file::SCHEMAS_FILE) {
            Ok(schemas) => Ok((file, schemas)),
            Err(e) => {
                // Its number may be somebody else's soon, which a forked child must not close.
                crate::fork::forget(&file);
                Err(e)
            }
        }
    });
    if made.is_err() {
        let _ = fs::unlink_at(folder, process_file::PROCESS_FILE);
    }
    made
}

impl State {
    /// Makes the ring folder and its files. No thread yet.
    pub(crate) fn create(
        config: &Config,
        control: ControlPage,
        session_folder: PathBuf,
        untold: &Arc<Orphans>,
        parent: [u8; 16],
    ) -> Result<Self, StateError> {
        clock::init();
        clock::publish();
        crate::retention::watch_clock();
        let stamp = Stamp::of(config.clock);
        let point = clock::sample(0);
        let identity = ProcessIdentity {
            process_uuid: uuid::random(),
            boot_id: control.boot_id,
            session_id: control.session_id,
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            start_ticks: boot::own_start_ticks(),
            clock: stamp.kind(),
            resolution: match stamp {
                Stamp::Coarse => clock::COARSE_RESOLUTION.as_nanos() as u32,
                _ => 0,
            },
            component: config.component.clone(),
            version: config.version.clone(),
            attached: boot::realtime_ns(),
            parent_uuid: parent,
        };
        let root = config.dirs.ring_root();
        crate::control::roots::record(&config.dirs);
        let name = process_file::folder_name(&identity);
        let ring_folder = root.join(&name);
        let make = || {
            fs::create_private_dir_all(root).map_err(|e| StateError::folder(root, e))?;
            fs::create_private_dir(&ring_folder).map_err(|e| StateError::folder(&ring_folder, e))
        };
        // A process that ends removes the root if nobody else is in it: then once more.
        let folder = make().or_else(|_| make())?;
        let first = ProcessFile { identity: identity.clone(), points: vec![point] }.encode();
        let (file, schemas_file) = make_files(&folder, &first).map_err(|e| {
            // Nothing is left: the next try has a folder of another name.
            let _ = std::fs::remove_dir(&ring_folder);
            StateError::folder(&ring_folder, e)
        })?;
        let state = Self {
            epoch: NEXT_EPOCH.fetch_add(1, Ordering::Relaxed),
            stamp,
            identity,
            config: config.clone(),
            control,
            session_folder,
            folder,
            process: Mutex::new(ProcessClock {
                file,
                slot: 1,
                points: vec![point],
                epochs: clock::Epochs::new(point),
            }),
            schemas_file: Mutex::new(SchemasFile { file: schemas_file, len: 0 }),
            schemas: Mutex::new(Vec::new()),
            events: (0..EVENT_TABLE).map(|_| AtomicU8::new(UNKNOWN)).collect(),
            plans: (0..MAX_EVENTS).map(|_| OnceLock::new()).collect(),
            rings: Mutex::new(Vec::new()),
            ring_bytes: AtomicU64::new(0),
            next_ring: AtomicU32::new(1),
            waker: Arc::default(),
            flush: Flush::default(),
            orphans: std::array::from_fn(|_| AtomicU64::new(0)),
            untold: Arc::clone(untold),
            stop: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            stats: crate::stats::Counters::default(),
            ring_folder,
        };
        state.add_clock_point();
        Ok(state)
    }

    pub(crate) fn events_table(&self) -> *const AtomicU8 {
        self.events.as_ptr()
    }

    /// Decides how events of a type are recorded: its plan is made, and its schema written to the ring folder, before
    /// the first record that uses it. `None` if the type cannot be recorded.
    pub(crate) fn learn<E: Event>(&self) -> Option<u8> {
        let index = event_index(E::slot(), E::SCHEMA)?;
        let entry = self.events.get(usize::from(index))?;
        let mut file = self.schemas_file.lock();
        let known = entry.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return Some(known);
        }
        let plan = self.make_plan(E::SCHEMA);
        let off = E::OPT_IN && !self.opted_in(E::SCHEMA.name);
        let verdict = match (off, E::PLAIN && plan.plain) {
            (true, _) => REFUSED,
            (false, true) => PLAIN,
            (false, false) => PLANNED,
        };
        if !off {
            self.write_schema(&mut file, index, E::SCHEMA)?;
        }
        let _ = self.plans.get(usize::from(index))?.set(plan);
        // Release: a thread that reads the verdict also sees the plan, and the schema written.
        entry.store(verdict, Ordering::Release);
        Some(verdict)
    }

    /// The plan of an event type that was learned. No lock.
    pub(crate) fn plan(&self, index: u16) -> Option<&Plan> {
        self.plans.get(usize::from(index))?.get()
    }

    fn make_plan(&self, schema: &SchemaRef) -> Plan {
        Plan::new(schema, self.control.key, &|name| self.opted_in(name), &|name| {
            let hash = name_hash(name);
            self.control.reductions.iter().find(|r| r.name == hash).map(|r| r.reduction)
        })
    }

    fn opted_in(&self, name: &str) -> bool {
        self.control.opt_ins.contains(&name_hash(name))
    }

    fn write_schema(&self, out: &mut SchemasFile, index: u16, schema: &SchemaRef) -> Option<()> {
        let blob = schema.to_blob();
        let item = process_file::encode_schema_item(index, &blob);
        if out.file.write_all(&item).is_err() {
            // Half an item would hide all that come after it.
            let _ = out.file.set_len(out.len);
            let _ = out.file.seek(SeekFrom::Start(out.len));
            return None;
        }
        out.len += item.len() as u64;
        self.schemas.lock().push((index, blob));
        Some(())
    }

    /// Where the values of an event type lie, for the columns of blocks.
    pub(crate) fn layout_of(index: u16) -> Option<Layout> {
        // A lock held by another thread at the moment of a fork stays locked in the child for ever. Without a layout
        // the records are stored as they are.
        let types = EVENT_TYPES.try_lock_for(Duration::from_millis(100))?;
        types.get(usize::from(index)).map(|schema| Layout::of(schema))
    }

    /// Gives this thread a ring: a free one, or a new one within the budget. `None` is counted by the caller.
    pub(crate) fn claim(&self, producer: *mut Producer) -> Option<Arc<Ring>> {
        let info = RingInfo {
            ring: self.next_ring.fetch_add(1, Ordering::Relaxed),
            tid: rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(),
            start: 0,
            started: boot::realtime_ns(),
            capacity: 0,
            thread_name: thread_name(),
        };
        let ring = {
            let mut rings = self.rings.lock();
            match rings.iter().find(|r| r.state() == crate::ring::FREE && !r.is_broken()) {
                Some(free) => Arc::clone(free),
                None => {
                    let ring = Arc::new(self.create_ring(info.ring)?);
                    rings.push(Arc::clone(&ring));
                    ring
                }
            }
        };
        // Nobody else claims it: only cold paths do, one at a time, under the tracer's lock.
        ring.claim(info, self.identity.process_uuid, producer);
        Some(ring)
    }

    fn create_ring(&self, id: u32) -> Option<Ring> {
        let _no_signal = crate::fork::FileSizeSignal::block();
        let used = self.ring_bytes.load(Ordering::Relaxed);
        // Full-sized rings while the budget lasts, then small ones for the many quiet threads.
        let mut capacity = if used + self.config.ring_size <= self.config.ring_budget {
            self.config.ring_size
        } else if used + MIN_RING <= self.config.ring_budget.saturating_mul(2) {
            MIN_RING
        } else {
            self.stats.ring_failed(libc::EDQUOT);
            return None;
        };
        // A small /dev/shm (64 MiB in many containers) is shared with others: take an eighth of what is free.
        if let Ok(free) = fs::free_bytes(&self.folder) {
            while capacity > MIN_RING && capacity > free / 8 {
                capacity /= 2;
            }
        }
        let name = format!("ring-{id:06}");
        loop {
            let made = fs::create_new(&self.folder, &name)
                .and_then(|file| Ring::create(&file, name.clone(), capacity, Arc::clone(&self.waker)));
            match made {
                Ok(ring) => {
                    self.ring_bytes.fetch_add(capacity, Ordering::Relaxed);
                    return Some(ring);
                }
                Err(e) => {
                    let _ = fs::unlink_at(&self.folder, &name);
                    if capacity == MIN_RING {
                        self.stats.ring_failed(e.raw_os_error().unwrap_or(libc::EIO));
                        return None;
                    }
                    capacity = (capacity / 4).max(MIN_RING);
                }
            }
        }
    }

    /// Takes a clock point, and keeps it for the next segment and in the ring folder, from where a killed process is dated.
    pub(crate) fn add_clock_point(&self) {
        let mut process = self.process.lock();
        let point = process.epochs.sample();
        process.points.push(point);
        let slot = process.slot;
        // Slots 0 and 1 keep the first two points for good; the others go round.
        process.slot = if slot + 1 < process_file::CLOCK_SLOTS { slot + 1 } else { 2 };
        let (offset, bytes) = process_file::encode_clock_slot(slot, &point);
        let _ = rustix::io::pwrite(&process.file, &bytes, offset);
    }

    /// Clock points since the last call, and always the newest.
    pub(crate) fn take_clock_points(&self) -> Vec<ClockPoint> {
        let mut process = self.process.lock();
        let points = std::mem::take(&mut process.points);
        process.points.extend(points.last().copied());
        points
    }

    /// Waits until no thread is inside an emit of this epoch; the tracer's epoch is retired already. False after two
    /// seconds (a thread that was stopped inside an emit): then the rings must stay mapped.
    pub(crate) fn quiesce(&self) -> bool {
        if !crate::fork::full_barrier() {
            // No membarrier (a strict seccomp filter): a store of `busy` becomes visible within far less.
            std::thread::sleep(Duration::from_millis(50));
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        for ring in self.rings.lock().iter() {
            while thread::is_busy(ring.producer.load(Ordering::Acquire)) {
                if Instant::now() > deadline {
                    return false;
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        self.quiet.store(true, Ordering::Release);
        true
    }

    /// Removes the ring folder. `quiet` says that no thread can touch the rings any more, so they are unmapped.
    pub(crate) fn remove_folder(&self, quiet: bool) {
        for ring in self.rings.lock().drain(..) {
            let _ = fs::unlink_at(&self.folder, &ring.file_name);
            if quiet {
                ring.unmap_after_quiesce();
            } else {
                std::mem::forget(ring);
            }
        }
        let _ = fs::unlink_at(&self.folder, process_file::SCHEMAS_FILE);
        let _ = fs::unlink_at(&self.folder, process_file::PROCESS_FILE);
        let _ = std::fs::remove_dir(&self.ring_folder);
        // Only if nobody else is in it.
        let _ = std::fs::remove_dir(self.config.dirs.ring_root());
        crate::fork::forget(&self.process.lock().file);
    }

    /// Leaves the ring folder for salvage: something in it could not be written to a segment. `quiet` as above: what is
    /// mapped no more is gone when who salvages it removes the files.
    pub(crate) fn keep_folder(&self, quiet: bool) {
        for ring in self.rings.lock().drain(..) {
            if quiet {
                ring.unmap_after_quiesce();
            } else {
                std::mem::forget(ring);
            }
        }
        crate::fork::forget(&self.process.lock().file);
    }

    /// Whether counters told now are the last: no thread can add to them.
    pub(crate) fn stop_is_final(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    pub(crate) fn add_to(&self, stats: &mut crate::stats::Stats) {
        let counters = &self.stats;
        stats.delivered = counters.delivered.load(Ordering::Relaxed);
        stats.raw_bytes = counters.raw_bytes.load(Ordering::Relaxed);
        stats.written_bytes = counters.written_bytes.load(Ordering::Relaxed);
        stats.blocks = counters.blocks.load(Ordering::Relaxed);
        stats.write_errors = counters.write_errors.load(Ordering::Relaxed);
        stats.ring_errno = counters.ring_errno();
        stats.ring_bytes = self.ring_bytes.load(Ordering::Relaxed);
        let rings = self.rings.lock();
        stats.rings = rings.len() as u64;
        for (reason, lost) in stats.lost.iter_mut().enumerate() {
            *lost += self.orphans[reason].load(Ordering::Relaxed);
            *lost += counters.lost_before[reason].load(Ordering::Relaxed);
            for ring in rings.iter().filter(|r| r.state() != crate::ring::FREE) {
                *lost += ring.lost(reason).load(Ordering::Relaxed);
            }
        }
    }

    /// As `Tracer::flush`, for this session.
    pub(crate) fn flush_until(&self, deadline: Instant) -> Result<(), FlushError> {
        let ticket = ticket::ask(&self.flush.asked);
        self.waker.wake();
        let mut served = self.flush.served.lock();
        loop {
            if let Some(outcome) = served.outcome(ticket) {
                return outcome;
            }
            let is_late;
            (served, is_late) = self.flush.changed.wait_until(served, deadline);
            if is_late {
                let why = served.error.clone();
                return Err(why.map_or(FlushError::Timeout, |message| FlushError::Io { message }));
            }
        }
    }

    /// Whether everything is in segments, or was given up.
    pub(crate) fn is_closed(&self) -> bool {
        self.flush.served.lock().closed
    }

    /// Counts a loss that belongs to no ring.
    pub(crate) fn count_orphan(&self, reason: LossReason) {
        self.orphans[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The index of an event type in this process: assigned at its first use, the same for all tracers.
fn event_index(slot: &tracewell_schema::EventSlot, schema: &'static SchemaRef) -> Option<u16> {
    let index = slot.index();
    if usize::from(index) < MAX_EVENTS {
        return Some(index);
    }
    // A lock held by another thread at the moment of a fork stays locked in the child for ever.
    let mut types = EVENT_TYPES.try_lock_for(Duration::from_millis(100))?;
    let index = slot.index();
    if usize::from(index) < MAX_EVENTS {
        return Some(index);
    }
    if types.len() >= MAX_EVENTS {
        return None;
    }
    let index = u16::try_from(types.len()).ok()?;
    types.push(schema);
    slot.assign(index);
    Some(index)
}

fn thread_name() -> String {
    // The kernel's name of the thread (at most 15 bytes), which threads of other languages have too.
    let path = format!("/proc/self/task/{}/comm", rustix::thread::gettid().as_raw_nonzero());
    std::fs::read_to_string(path).map(|s| s.trim_end().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flush_is_told_of_its_own_failure() {
        let mut served = Served::default();
        assert!(served.outcome(1).is_none());
        served.serve(2, None);
        assert!(matches!(served.outcome(1), Some(Ok(()))) && served.outcome(3).is_none());
        served.serve(4, Some("no space".into()));
        served.serve(6, None);
        // The waiter for 4 wakes only now.
        for ticket in [3, 4] {
            assert!(matches!(served.outcome(ticket), Some(Err(FlushError::Io { .. }))), "{ticket}");
        }
        for ticket in [5, 6] {
            assert!(matches!(served.outcome(ticket), Some(Ok(()))), "{ticket}");
        }
        // The session ends.
        assert!(served.outcome(7).is_none());
        served.closed = true;
        assert!(matches!(served.outcome(7), Some(Ok(()))));
        served.error = Some("given up".into());
        assert!(matches!(served.outcome(7), Some(Err(FlushError::Io { .. }))));
    }

    #[test]
    fn of_a_ring_folder_that_cannot_be_made_whole_nothing_is_left() {
        if std::env::var_os("TRACEWELL_TEST_HALF").is_none() {
            // In a process of its own, where no other test opens files.
            let name = "state::tests::of_a_ring_folder_that_cannot_be_made_whole_nothing_is_left";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let ended = alone.args(["--exact", name]).env("TRACEWELL_TEST_HALF", "1").output().unwrap();
            let is_run = String::from_utf8_lossy(&ended.stdout).contains("1 passed");
            assert!(ended.status.success() && is_run, "{ended:?}");
            return;
        }
        use std::os::fd::AsRawFd;
        let top = tempfile::tempdir().unwrap();
        let folder = fs::create_private_dir_all(&top.path().join("rings")).unwrap();
        fs::create_new(&folder, process_file::SCHEMAS_FILE).unwrap();
        let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
        assert_eq!(make_files(&folder, b"first").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert!(!crate::fork::is_remembered(next), "a forked child would close what has this number next");
        assert_eq!(fs::names_in(&folder).unwrap(), [process_file::SCHEMAS_FILE]);
        let other = fs::create_private_dir_all(&top.path().join("others")).unwrap();
        let (file, _schemas) = make_files(&other, b"first").unwrap();
        assert!(crate::fork::is_remembered(file.as_raw_fd()));
        crate::fork::forget(&file);
    }

    #[test]
    fn the_drain_of_a_child_does_not_wait_for_a_lock_that_nobody_releases() {
        let held = EVENT_TYPES.lock();
        let begun = Instant::now();
        assert!(std::thread::spawn(|| State::layout_of(0)).join().unwrap().is_none());
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(held);
    }
}
