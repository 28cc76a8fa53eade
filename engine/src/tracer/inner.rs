//! What clones of a tracer share: its sessions, each begun by the first emit that is on and ended by the drain, by the
//! last clone, or by the end of the process.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracewell_schema::format::record::LossReason;

use crate::config::Config;
use crate::control::Control;
use crate::error::AttachError;
use crate::fork::own_pid;
use crate::lock::Mutex;
use crate::orphans::Orphans;
use crate::own_thread::OwnThread;
use crate::ring::gate::{self, NO_SESSION};
use crate::state::State;
use crate::thread::{self, Refusal};
use crate::{boot, drain, emit};

/// Every tracer, for the end of the process.
static TRACERS: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());
/// After a failed attempt to begin a session, the next one waits this long.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of a tracer waits for its sessions to be in their segments.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// Most ended sessions that are not in their segments yet; each has its rings and threads. While there are as many, none
/// begins.
const MOST_CLOSING: usize = 8;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) config: Option<Config>,
    pub(super) control: Option<Control>,
    pub(super) problem: Option<AttachError>,
    /// Of the present process state, or `NO_SESSION`. Producers compare it on every emit.
    pub(super) epoch: AtomicU64,
    /// The process that `state` belongs to.
    pub(super) pid: AtomicU32,
    pub(super) state: Mutex<Session>,
    pub(super) orphans: Arc<Orphans>,
    /// Set by `shutdown`: no session begins any more.
    pub(super) ended: AtomicBool,
    /// Boot time in ms before which no session is tried, unless the control page changes.
    pub(super) retry_at: AtomicI64,
    /// Generation of the control page when the last try failed.
    pub(super) failed_generation: AtomicU64,
    /// It failed since no ring could be made, although tracing was on.
    pub(super) ring_failed: AtomicBool,
    pub(super) weak: Weak<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) state: Option<Arc<State>>,
    /// Sessions that ended but may not be in their segments yet.
    pub(super) closing: Vec<Arc<State>>,
    /// The present drain, and those of ended sessions that may still be writing.
    drains: Vec<OwnThread<()>>,
}
impl Inner {
    pub(super) fn is_own_process(&self) -> bool {
        self.pid.load(Ordering::Relaxed) == own_pid()
    }

    /// The session that this process records, if it records one.
    pub(super) fn recorded_session(&self) -> Option<[u8; 16]> {
        if !self.is_own_process() {
            return None;
        }
        let session = self.state.lock();
        session.state.as_ref().map(|state| state.control.session_id)
    }

    /// The state of the present session, made if there is none. Counts what it refuses.
    pub(super) fn begin(&self) -> Option<Arc<State>> {
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
            self.pid.store(own_pid(), Ordering::Relaxed);
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
        if session.closing.iter().filter(|s| !s.is_closed()).count() >= MOST_CLOSING {
            wait(RETRY);
            self.ring_failed.store(true, Ordering::Relaxed);
            control.set_slot_failed(libc::EBUSY);
            return refuse(LossReason::NoRing);
        }
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
        let no_signal = crate::fork::FileSizeSignal::block();
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
        drop(no_signal);
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

    pub(super) fn ring_for_this_thread(
        &self,
        state: &Arc<State>,
    ) -> Option<std::ptr::NonNull<thread::Producer>> {
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
        let mut session = self.state.lock();
        // Under the lock: the drain may find the session over before `begin`, which started it, has stored the epoch.
        gate::retire(&self.epoch, epoch);
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

    /// Stops the drains and waits for them, but not for a disk that does not answer: what is not in a segment then is in the
    /// rings, and the drains go on as long as the process lives.
    pub(super) fn end_session(&self) {
        if !self.is_own_process() {
            return;
        }
        let (states, drains) = {
            // What is allocated under this lock may emit (an allocator that does), and the first emit takes the lock.
            let _refusal = Refusal::enter();
            let mut session = self.state.lock();
            let ended = session.closing.iter().cloned();
            let states: Vec<_> = ended.chain(session.state.clone()).collect();
            (states, std::mem::take(&mut session.drains))
        };
        for state in states {
            // Also of those that have ended, and try to write for as long as it takes.
            state.stop.store(true, Ordering::Release);
            state.waker.wake();
        }
        let deadline = Instant::now() + LAST_WAIT;
        for drain in drains {
            // The last owner may be the drain itself.
            if !drain.is_current() {
                drain.join_until(deadline);
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

/// What the clones of a tracer share and the drain does not: the drain looks at `Inner` now and then, and if it were
/// the last to let go of it, whoever dropped the last clone would not have waited for the end of the session.
#[derive(Debug)]
pub(super) struct Owner(pub(super) Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        let inner = &self.0;
        inner.ended.store(true, Ordering::Release);
        inner.epoch.store(NO_SESSION, Ordering::SeqCst);
        inner.end_session();
        if inner.is_own_process()
            && let Some(control) = &inner.control
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
