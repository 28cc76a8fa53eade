//! [`Tracer`]: a component's handle. Attached once, cloned freely, does nothing until the user enables tracing.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracewell_schema::format::record::LossReason;
use tracewell_schema::{Category, Event, Id128, Level};

use crate::clock::Clock;
use crate::config::{Config, RING_BUDGET, RING_SIZE, WhenFull};
use crate::control::Control;
use crate::dirs::Dirs;
use crate::error::{AttachError, FlushError};
use crate::orphans::Orphans;
use crate::state::State;
use crate::stats::Stats;
use crate::thread::{self, NO_SESSION, Refusal};
use crate::{boot, drain, emit, signal};

/// The levels of a tracer that is attached to nothing: all off, for ever.
static OFF: [AtomicU8; 32] = [const { AtomicU8::new(0) }; 32];
/// Every tracer, for the end of the process.
static TRACERS: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());
/// After a failed attempt to begin a session, the next one waits this long.
const RETRY: Duration = Duration::from_secs(1);

/// A component's handle for emitting events.
///
/// Cheap to clone, usable from any thread. Attaching maps the control page and does nothing else; the first event
/// of a thread that is enabled makes the thread's ring. When the last clone is dropped, or the process exits,
/// everything emitted is in a segment and nothing is left behind.
///
/// ```
/// use tracewell::{Tracer, emit, catalog::ErrorRaised};
/// # let dir = tempfile::tempdir().unwrap();
/// # let tracer = Tracer::builder("scanner").dir(dir.path().join("trace")).attach().unwrap();
/// // let tracer = Tracer::attach("scanner");
/// emit!(tracer, ErrorRaised { module: "engine", ..Default::default() });
/// ```
#[derive(Clone, Debug)]
pub struct Tracer {
    /// 32 enabled levels by category: in the control page that `inner` keeps mapped, or `OFF`.
    levels: *const AtomicU8,
    inner: Arc<Inner>,
}

// SAFETY: `levels` points to atomics that `inner` keeps mapped as long as any clone lives (or to a static).
unsafe impl Send for Tracer {}
// SAFETY: as above; only atomic loads go through the pointer.
unsafe impl Sync for Tracer {}

#[derive(Debug)]
pub(crate) struct Inner {
    config: Option<Config>,
    control: Option<Control>,
    problem: Option<AttachError>,
    /// Of the present process state, or `NO_SESSION`. Producers compare it on every emit.
    epoch: AtomicU64,
    /// The process that `state` belongs to.
    pid: AtomicU32,
    state: Mutex<Session>,
    orphans: Arc<Orphans>,
    /// Set by `shutdown`: no session begins any more.
    ended: AtomicBool,
    /// Boot time in ms before which no session is tried, unless the control page changes.
    retry_at: AtomicI64,
    /// Generation of the control page when the last try failed.
    failed_generation: AtomicU64,
    /// It failed since no ring could be made, although tracing was on.
    ring_failed: AtomicBool,
    weak: Weak<Inner>,
}

#[derive(Debug, Default)]
struct Session {
    state: Option<Arc<State>>,
    /// Sessions that ended but may not be in their segments yet.
    closing: Vec<Arc<State>>,
    /// The present drain, and those of ended sessions that may still be writing.
    drains: Vec<std::thread::JoinHandle<()>>,
}

/// Collects how a tracer attaches; see [`Tracer::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    component: String,
    version: String,
    dir: Option<PathBuf>,
    ring_dir: Option<PathBuf>,
    ring_size: u64,
    ring_budget: u64,
    linger: Duration,
    clock: Clock,
    when_full: WhenFull,
}

impl Builder {
    /// The trace directory. Default: `TRACEWELL_DIR`, else `/var/lib/tracewell` for root, else
    /// `$XDG_STATE_HOME/tracewell`.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The directory of the ring folders, on tmpfs. Default: derived from the trace directory, below `/run` or
    /// `$XDG_RUNTIME_DIR` or `/dev/shm`. Written down beside the control page, so that readers find it.
    #[must_use]
    pub fn ring_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.ring_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The component's version, at most 31 bytes, shown by the reader.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Capacity of a thread's ring in bytes: a power of two, 64 KiB to 256 MiB. Default 4 MiB.
    #[must_use]
    pub fn ring_size(mut self, bytes: u64) -> Self {
        self.ring_size = bytes;
        self
    }

    /// Sum of the full-sized rings of this process in bytes; threads beyond it get rings of 64 KiB, up to as much
    /// again. Default 256 MiB.
    #[must_use]
    pub fn ring_budget(mut self, bytes: u64) -> Self {
        self.ring_budget = bytes;
        self
    }

    /// How long events may stay in a quiet thread's ring before they go to a segment. Default 1 s.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// The clock that stamps records. Default: [`Clock::Precise`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What an emit does when the thread's ring is full. Default: [`WhenFull::Refuse`].
    #[must_use]
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// Attaches: maps the control page, creating the directory (0700) and the page (0600, off) if they are missing.
    ///
    /// # Errors
    /// If the name or a limit cannot be used, or the directory or the page is not ours alone.
    pub fn attach(self) -> Result<Tracer, AttachError> {
        let mut dirs = Dirs::resolve(self.dir.as_deref())?;
        if let Some(ring_dir) = self.ring_dir {
            dirs = dirs.with_ring_root(ring_dir);
        }
        let config = Config {
            component: self.component,
            version: self.version,
            dirs,
            ring_size: self.ring_size,
            ring_budget: self.ring_budget,
            linger: self.linger,
            clock: self.clock,
            when_full: self.when_full,
        }
        .check()?;
        let control = Control::open_or_create(&config.dirs)
            .map_err(|source| AttachError::Control { path: config.dirs.control(), source })?;
        control.claim_slot(&config.component);
        Ok(Tracer::from_parts(Some(config), Some(control), None))
    }
}

impl Tracer {
    /// Attaches a component under its name (1 to 31 characters of `A-Za-z0-9._-`) with default settings.
    ///
    /// Never fails: a component must not care whether it can be traced. If attaching is not possible the tracer is
    /// inert, and [`Tracer::problem`] says why; [`Builder::attach`] returns the error instead.
    #[must_use]
    pub fn attach(component: &str) -> Self {
        Self::builder(component)
            .attach()
            .unwrap_or_else(|problem| Self::from_parts(None, None, Some(problem)))
    }

    /// Attaches with other than the default settings.
    #[must_use]
    pub fn builder(component: &str) -> Builder {
        Builder {
            component: component.to_owned(),
            version: String::new(),
            dir: None,
            ring_dir: None,
            ring_size: RING_SIZE,
            ring_budget: RING_BUDGET,
            linger: Duration::from_secs(1),
            clock: Clock::Precise,
            when_full: WhenFull::Refuse,
        }
    }

    /// A tracer that is attached to nothing: every event is off, nothing is mapped.
    #[must_use]
    pub fn inert(_component: &str) -> Self {
        Self::from_parts(None, None, None)
    }

    fn from_parts(config: Option<Config>, control: Option<Control>, problem: Option<AttachError>) -> Self {
        let levels = control.as_ref().map_or(OFF.as_ptr(), Control::levels);
        let inner = Arc::new_cyclic(|weak| Inner {
            config,
            control,
            problem,
            epoch: AtomicU64::new(NO_SESSION),
            pid: AtomicU32::new(std::process::id()),
            state: Mutex::default(),
            orphans: Arc::default(),
            ended: AtomicBool::new(false),
            retry_at: AtomicI64::new(0),
            failed_generation: AtomicU64::new(0),
            ring_failed: AtomicBool::new(false),
            weak: weak.clone(),
        });
        Self { levels, inner }
    }

    /// Why this tracer is inert, if it could not attach.
    #[must_use]
    pub fn problem(&self) -> Option<&AttachError> {
        self.inner.problem.as_ref()
    }

    /// Whether events of this category and level are on. One load; for opt-in events ask [`Tracer::is_enabled`].
    #[inline(always)]
    #[must_use]
    pub fn enabled(&self, category: Category, level: Level) -> bool {
        // SAFETY: there are 32 levels and categories are below 32; the memory outlives `self` (see the field).
        let enabled = unsafe { &*self.levels.add(category as usize) }.load(Ordering::Relaxed);
        enabled >= level as u8
    }

    /// Whether anything of this category is on: a component that has to work for its events asks before it works.
    #[inline(always)]
    #[must_use]
    pub fn category_enabled(&self, category: Category) -> bool {
        self.enabled(category, Level::Error)
    }

    /// Identity of the present session; `None` while tracing is off. Not for every event: it reads the whole control
    /// page.
    ///
    /// What a component tells once in a session (see `module.image`) it tells again when this changes.
    #[must_use]
    pub fn session(&self) -> Option<Id128> {
        self.inner.control.as_ref()?.snapshot().ok().map(|page| Id128(page.session_id))
    }

    /// Whether events of type `E` are on.
    #[inline(always)]
    #[must_use]
    pub fn is_enabled<E: Event>(&self) -> bool {
        self.enabled(E::CATEGORY, E::LEVEL) && (!E::OPT_IN || self.opt_in_is_on::<E>())
    }

    #[cold]
    fn opt_in_is_on<E: Event>(&self) -> bool {
        let Some(control) = &self.inner.control else { return false };
        control.is_opted_in(E::slot().name_hash(E::SCHEMA.name))
    }

    #[inline(always)]
    pub(crate) fn epoch(&self) -> u64 {
        self.inner.epoch.load(Ordering::Relaxed)
    }

    /// The first emit of a thread, of a session, after a fork; and what cannot be recorded.
    #[cold]
    #[inline(never)]
    pub(crate) fn emit_cold<E: Event>(&self, event: &E) {
        if let Some(producer) = thread::busy_slot() {
            return emit::refuse_nested(producer, &self.inner.orphans);
        }
        if thread::in_signal_scope() {
            return self.inner.orphans.count(LossReason::Signal);
        }
        let Some(refusal) = Refusal::enter() else {
            return self.inner.orphans.count(LossReason::Nested);
        };
        let epoch = self.epoch();
        let ready =
            if epoch != NO_SESSION && self.inner.is_own_process() { thread::select(epoch) } else { None };
        let producer = match ready {
            Some(producer) => Some(producer),
            None if signal::in_handler() => return self.inner.orphans.count(LossReason::Signal),
            None => self.inner.begin().and_then(|state| self.inner.ring_for_this_thread(&state)),
        };
        drop(refusal);
        let Some(producer) = producer else { return };
        // SAFETY: `select` and `ring_for_this_thread` return slots of this thread; slots are never unmapped.
        let producer = unsafe { producer.as_ref() };
        match self.enter(producer) {
            Some(epoch) => emit::emit_other(producer, event, epoch),
            None => self.inner.orphans.count(LossReason::DisabledRace),
        }
    }

    /// Returns when everything that any thread emitted before this call is in a segment, synced to the disk.
    ///
    /// Returns at once if nothing was emitted since tracing was enabled.
    ///
    /// # Errors
    /// If the segment cannot be written now (the events stay in their rings and are tried again), or after 10 s.
    pub fn flush(&self) -> Result<(), FlushError> {
        if !self.inner.is_own_process() {
            return Ok(());
        }
        let states: Vec<Arc<State>> = {
            // What is allocated under this lock may emit (an allocator that does), and the first emit takes the lock.
            let _refusal = Refusal::enter();
            let session = self.inner.state.lock();
            session.closing.iter().chain(&session.state).cloned().collect()
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        states.iter().try_for_each(|state| state.flush_until(deadline))
    }

    /// Ends tracing for this component: drains, seals the segment, removes the rings. Later emits do nothing.
    pub fn shutdown(&self) {
        self.inner.ended.store(true, Ordering::Release);
        self.inner.end_session();
    }

    /// A guard that calls [`Tracer::shutdown`] when it is dropped.
    #[must_use = "dropping the guard ends tracing"]
    pub fn guard(&self) -> Guard {
        Guard { tracer: self.clone() }
    }

    /// Counters of the present session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { lost: self.inner.orphans.untold(), ..Stats::default() };
        if !self.inner.is_own_process() {
            // A forked child: the session and its rings are the parent's.
            return stats;
        }
        let state = self.inner.state.lock().state.clone();
        if let Some(state) = state {
            state.add_to(&mut stats);
        }
        stats
    }
}

/// Ends tracing for a component when dropped; see [`Tracer::guard`].
#[derive(Debug)]
pub struct Guard {
    tracer: Tracer,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tracer.shutdown();
    }
}

impl Inner {
    fn is_own_process(&self) -> bool {
        self.pid.load(Ordering::Relaxed) == std::process::id()
    }

    /// The state of the present session, made if there is none. Counts what it refuses.
    fn begin(&self) -> Option<Arc<State>> {
        let refuse = |reason| {
            self.orphans.count(reason);
            None
        };
        if self.ended.load(Ordering::Acquire) {
            return refuse(LossReason::DisabledRace);
        }
        let (Some(config), Some(control)) = (&self.config, &self.control) else {
            return refuse(LossReason::Other);
        };
        let mut parent = [0; 16];
        let mut session = if self.is_own_process() {
            self.state.lock()
        } else {
            // A forked child. A lock that another thread of the parent held at the fork is never released here.
            let Some(mut session) = self.state.try_lock() else { return refuse(LossReason::Forked) };
            if let Some(state) = session.state.take() {
                parent = state.identity.process_uuid;
                // Its threads, locks and files are the parent's.
                std::mem::forget(state);
            }
            std::mem::forget(std::mem::take(&mut session.drains));
            std::mem::forget(std::mem::take(&mut session.closing));
            self.epoch.store(NO_SESSION, Ordering::Relaxed);
            self.pid.store(std::process::id(), Ordering::Relaxed);
            control.forget_slot_after_fork();
            control.claim_slot(&config.component);
            session
        };
        if let Some(state) = &session.state
            && !state.stop.load(Ordering::Acquire)
            && self.epoch.load(Ordering::Relaxed) == state.epoch
        {
            return Some(Arc::clone(state));
        }
        let now = i64::try_from(boot::boottime_ns() / 1_000_000).unwrap_or(i64::MAX);
        let generation = control.generation();
        let is_new = generation != self.failed_generation.load(Ordering::Relaxed);
        let must_wait = !is_new && now < self.retry_at.load(Ordering::Relaxed);
        let wait = |time: Duration| {
            self.retry_at.store(now + time.as_millis() as i64, Ordering::Relaxed);
            self.failed_generation.store(generation, Ordering::Relaxed);
        };
        if must_wait && self.ring_failed.load(Ordering::Relaxed) {
            return refuse(LossReason::NoRing);
        }
        if must_wait {
            return None;
        }
        self.ring_failed.store(false, Ordering::Relaxed);
        let page = match control.snapshot() {
            Ok(page) => page,
            Err(why) => {
                // Off meanwhile, expired, of another boot, corrupt: off, whatever its levels say, and nothing is lost.
                control.expire_if_due();
                if !why.is_transient() {
                    wait(Duration::from_millis(100));
                }
                return None;
            }
        };
        let folder = config.dirs.session_folder(page.enabled_at, &page.session_id);
        let made = State::create(config, page, folder, &self.orphans, parent).and_then(|state| {
            let state = Arc::new(state);
            let inner = self.weak.upgrade().ok_or_else(|| {
                crate::error::StateError::folder(&state.ring_folder, std::io::ErrorKind::Interrupted.into())
            })?;
            let drain = drain::start(&inner, &state).map_err(|e| {
                state.remove_folder(true);
                crate::error::StateError::folder(&state.ring_folder, e)
            })?;
            Ok((state, drain))
        });
        match made {
            Ok((state, drain)) => {
                self.register();
                control.set_slot_emitting();
                // The former session's drain, if any, ends by itself; until then a flush covers it.
                let former = session.state.replace(Arc::clone(&state));
                session.closing.extend(former);
                session.drains.retain(|d| !d.is_finished());
                session.drains.push(drain);
                self.epoch.store(state.epoch, Ordering::Release);
                Some(state)
            }
            Err(error) => {
                wait(RETRY);
                self.ring_failed.store(true, Ordering::Relaxed);
                control.set_slot_failed(error.source.raw_os_error().unwrap_or(libc::EIO));
                refuse(LossReason::NoRing)
            }
        }
    }

    fn ring_for_this_thread(&self, state: &Arc<State>) -> Option<std::ptr::NonNull<thread::Producer>> {
        // One claim at a time in this process; see `State::claim`. And none of a session that has ended meanwhile:
        // `retire_epoch` takes this lock before the rings of its session may go.
        let session = self.state.lock();
        if session.state.as_ref().is_none_or(|s| s.epoch != state.epoch) {
            self.orphans.count(LossReason::DisabledRace);
            return None;
        }
        let mut failed = false;
        let adopted = thread::adopt(
            state.epoch,
            &is_live,
            |producer| {
                let ring = state.claim(producer.as_ptr());
                failed = ring.is_none();
                ring
            },
            |producer, ring| emit::fill(producer, ring, state),
        );
        if adopted.is_none() {
            state.count_orphan(LossReason::NoRing);
            if failed && let Some(control) = &self.control {
                control.set_slot_failed(state.stats.ring_errno());
            }
        }
        adopted
    }

    /// Whether `state`'s session is still what the control page says. Also ends what is due. `seen` is the generation
    /// of the page when it last said yes: while that is the same, the page is not read again.
    pub(crate) fn session_is_on(&self, state: &State, seen: &mut Option<u64>) -> bool {
        if self.ended.load(Ordering::Acquire) {
            return false;
        }
        let Some(control) = &self.control else { return false };
        let generation = control.generation();
        if *seen == Some(generation) && !control.is_past_expiry() {
            return true;
        }
        control.expire_if_due();
        match control.snapshot() {
            Ok(page) => {
                let is_on = page.session_id == state.control.session_id && page.is_enabled();
                *seen = Some(generation).filter(|_| is_on && page.generation == generation);
                is_on
            }
            // A change under way is not an end.
            Err(why) => why.is_transient(),
        }
    }

    /// From now on no emit uses the rings of `epoch`; see `state.rs`, "Closing".
    pub(crate) fn retire_epoch(&self, epoch: u64) {
        let _ = self.epoch.compare_exchange(epoch, NO_SESSION, Ordering::SeqCst, Ordering::Relaxed);
        let mut session = self.state.lock();
        session.closing.retain(|s| !s.is_closed());
        if let Some(state) = &session.state
            && state.epoch == epoch
        {
            state.retired.store(true, Ordering::Relaxed);
        }
        if session.state.as_ref().is_some_and(|s| s.epoch == epoch) {
            let ended = session.state.take();
            session.closing.extend(ended);
            if let Some(control) = &self.control {
                control.set_slot_attached();
            }
        }
    }

    /// Tells `tracewell status` why nothing can be written; 0 = it can again.
    pub(crate) fn tell_write_failure(&self, errno: i32) {
        match &self.control {
            Some(control) if errno == 0 => control.set_slot_emitting(),
            Some(control) => control.set_slot_write_failed(errno),
            None => {}
        }
    }

    /// Lets go of sessions that are in their segments.
    pub(crate) fn forget_closed(&self) {
        let closed = {
            let mut session = self.state.lock();
            let all = std::mem::take(&mut session.closing);
            let (closed, open) = all.into_iter().partition(|s| s.is_closed());
            session.closing = open;
            closed
        };
        // Their files are closed outside of the lock.
        drop::<Vec<_>>(closed);
    }

    /// Stops the drain and waits for it.
    fn end_session(&self) {
        if !self.is_own_process() {
            return;
        }
        let (state, drains) = {
            let mut session = self.state.lock();
            (session.state.clone(), std::mem::take(&mut session.drains))
        };
        if let Some(state) = state {
            state.stop.store(true, Ordering::Release);
            state.waker.wake();
        }
        for drain in drains {
            // The last owner may be the drain itself.
            if drain.thread().id() != std::thread::current().id() {
                let _ = drain.join();
            }
        }
    }

    fn register(&self) {
        crate::fork::at_exit(end_all);
        // A lock held by another thread at the moment of a fork stays locked in the child for ever.
        let Some(mut tracers) = TRACERS.try_lock_for(Duration::from_millis(100)) else { return };
        tracers.retain(|t| t.strong_count() != 0 && !Weak::ptr_eq(t, &self.weak));
        tracers.push(self.weak.clone());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The weak pointer is dead already, so the drain ends by itself; wait for it.
        self.epoch.store(NO_SESSION, Ordering::SeqCst);
        self.end_session();
        if self.is_own_process()
            && let Some(control) = &self.control
        {
            control.release_slot();
        }
    }
}

/// Whether some tracer still has a process state with this epoch.
fn is_live(epoch: u64) -> bool {
    TRACERS.try_lock().is_none_or(|all| {
        all.iter().any(|t| t.upgrade().is_some_and(|t| t.epoch.load(Ordering::Relaxed) == epoch))
    })
}

/// The process exits: every tracer ends cleanly.
extern "C" fn end_all() {
    let Some(_refusal) = Refusal::enter_at_exit() else { return };
    let Some(tracers) = TRACERS.try_lock_for(Duration::from_millis(200)) else { return };
    let all: Vec<_> = tracers.iter().filter_map(Weak::upgrade).collect();
    drop(tracers);
    for inner in all {
        inner.ended.store(true, Ordering::Release);
        inner.end_session();
        if inner.is_own_process()
            && let Some(control) = &inner.control
        {
            control.release_slot();
        }
        // A thread that still holds a tracer may be the last owner after us; its drop has nothing left to do.
        std::mem::forget(inner);
    }
}
