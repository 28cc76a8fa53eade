//! [`Tracer`]: a component's handle. Attached once, cloned freely, does nothing until the user enables tracing.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell_schema::format::record::LossReason;
use tracewell_schema::{Category, Event, Id128, Level};

use crate::clock::Clock;
use crate::config::{Config, RING_BUDGET, RING_SIZE, WhenFull};
use crate::control::Control;
use crate::error::{AttachError, FlushError};
use crate::lock::Mutex;
use crate::ring::gate::NO_SESSION;
use crate::state::State;
use crate::stats::Stats;
use crate::thread::{self, Refusal};
use crate::{emit, signal};

mod builder;
mod inner;

pub use builder::Builder;
pub(crate) use inner::Inner;
use inner::Owner;

/// The levels of a tracer that is attached to nothing: all off, for ever.
static OFF: [AtomicU8; 32] = [const { AtomicU8::new(0) }; 32];

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
    _owner: Arc<Owner>,
}

// SAFETY: `levels` points to atomics that `inner` keeps mapped as long as any clone lives (or to a static).
unsafe impl Send for Tracer {}
// SAFETY: as above; only atomic loads go through the pointer.
unsafe impl Sync for Tracer {}

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
            survives_bus_errors: false,
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
            pid: AtomicU32::new(crate::fork::own_pid()),
            state: Mutex::default(),
            orphans: Arc::default(),
            ended: AtomicBool::new(false),
            retry_at: AtomicI64::new(0),
            failed_generation: AtomicU64::new(0),
            ring_failed: AtomicBool::new(false),
            weak: weak.clone(),
        });
        let _owner = Arc::new(Owner(Arc::clone(&inner)));
        Self { levels, inner, _owner }
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

    /// Identity of the session that events go into now; `None` while tracing is off. Not for every event: it reads the
    /// whole control page, and takes a lock.
    ///
    /// What a component tells once in a session (see `module.image`) it tells again when this changes. For up to 100 ms after
    /// a session has given way to another, events still go into the former one, and this says so.
    #[must_use]
    pub fn session(&self) -> Option<Id128> {
        let page = self.inner.control.as_ref()?.snapshot().ok()?;
        Some(Id128(self.inner.recorded_session().unwrap_or(page.session_id)))
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
        self.epoch_word().load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn epoch_word(&self) -> &AtomicU64 {
        &self.inner.epoch
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
        if crate::fork::is_guest() {
            // A drain or a ring of a child in its parent's memory would be the parent's, and end with the child.
            return self.inner.orphans.count(LossReason::Forked);
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
    ///
    /// Returns after at most 10 s, also if the disk does not answer: then what is in no segment yet stays in the rings, from
    /// where the reader has it, and is still written while the process lives.
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

#[cfg(test)]
mod tests;
