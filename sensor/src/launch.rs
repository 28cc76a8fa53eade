//! Launches and ends of processes: what is read of them at once, and what is remembered.

use std::time::{Duration, Instant};

use tracewell::catalog::{LaunchKind, ProcessEnding};
use tracewell::{Category, CorrelationId, ProcessKey, Timestamp};

use crate::missed;
use crate::process::{Later, MODULES_AFTER, Watcher};
use crate::program::Snapshot;
use crate::queue::{Exit, Job, Start};
use crate::stories::{Known, correlation_of};
use crate::times;

/// A copy of its parent that has not launched a program by then is told as one.
const FORK_AFTER: Duration = Duration::from_millis(100);
/// What is looked at later, at most.
pub(crate) const MAX_PENDING: usize = 20_000;

impl Watcher<'_> {
    pub(crate) fn key(&self, snapshot: &Snapshot) -> Option<ProcessKey> {
        snapshot.start_ticks.map(|ticks| ProcessKey::new(&self.shared.boot_id, snapshot.pid, ticks))
    }

    /// Reads what is needed of a process that is not news.
    pub(crate) fn remember(&mut self, pid: u32) -> Option<Known> {
        let mut snapshot = Snapshot::brief(pid);
        snapshot.program = crate::program::path_only(pid);
        let key = self.key(&snapshot)?;
        let known = Known {
            key: Some(key),
            started: snapshot.start_ticks.and_then(times::of_ticks),
            path: snapshot.path(),
            parent: snapshot.parent.unwrap_or(0),
            correlation: correlation_of(Some(key)),
            name: snapshot.name,
            ..Known::default()
        };
        self.shared.processes().insert(pid, known.clone());
        Some(known)
    }

    pub(crate) fn known(&mut self, pid: u32) -> Option<Known> {
        let known = self.shared.processes().get(pid).cloned();
        known.or_else(|| self.remember(pid))
    }

    pub(crate) fn forked(&mut self, parent: u32, child: u32, at: Timestamp, ticks: u64) {
        let snapshot = Snapshot::brief(child);
        if snapshot.is_kernel {
            return;
        }
        // One that has ended since was made when the kernel said so.
        let key = self.key(&snapshot).or(Some(ProcessKey::new(&self.shared.boot_id, child, ticks)));
        if self.shared.processes().alive(child).is_some_and(|k| k.key == key) {
            return;
        }
        let of = self.known(parent).unwrap_or_default();
        let known = Known {
            key,
            started: Some(at),
            path: of.path,
            name: if snapshot.name.is_empty() { of.name } else { snapshot.name },
            command_line: of.command_line,
            parent,
            correlation: correlation_of(key),
            parent_correlation: of.correlation,
        };
        self.shared.processes().insert(child, known);
        self.silent.insert(child, at);
        self.later(FORK_AFTER, Later::Fork { pid: child, key });
    }

    pub(crate) fn later(&mut self, after: Duration, what: Later) {
        if self.later.len() >= MAX_PENDING {
            return missed::count(&self.shared.missed.jobs);
        }
        self.number += 1;
        self.later.insert((Instant::now() + after, self.number), what);
    }

    /// A process runs a program that was not told.
    pub(crate) fn launched(&mut self, pid: u32, launch: LaunchKind, at: Option<Timestamp>) {
        let snapshot = Snapshot::take(pid);
        self.silent.remove(&pid);
        if snapshot.is_kernel {
            return;
        }
        if snapshot.program.is_none() && snapshot.command_line.is_none() {
            missed::count(&self.shared.missed.programs);
        }
        self.start(snapshot, launch, at);
    }

    pub(crate) fn start(&mut self, snapshot: Snapshot, launch: LaunchKind, at: Option<Timestamp>) {
        let pid = snapshot.pid;
        let read = self.key(&snapshot);
        // What is known of an older process with this id is not of this one.
        let former = self.shared.processes().alive(pid).filter(|k| read.is_none() || k.key == read).cloned();
        let key = read.or_else(|| former.as_ref().and_then(|k| k.key));
        // Who made it, not who adopted it since.
        let parent_pid =
            former.as_ref().map(|k| k.parent).filter(|p| *p != 0).or(snapshot.parent).unwrap_or(0);
        let parent = if parent_pid == 0 { None } else { self.known(parent_pid) };
        let began = former.as_ref().and_then(|k| k.started);
        let began = began.or_else(|| snapshot.start_ticks.and_then(times::of_ticks));
        let origin = self.origin(&snapshot);
        let mut path = snapshot.path();
        if path.is_empty() {
            // What it was before says nothing of what it launched.
            path = "(ended at once)".to_owned();
        }
        let known = Known {
            key,
            started: began,
            path,
            name: snapshot.name.clone(),
            command_line: snapshot.command_line.clone(),
            parent: parent_pid,
            correlation: correlation_of(key),
            parent_correlation: origin.or(parent.as_ref().map(|p| p.correlation)).unwrap_or_default(),
        };
        self.shared.processes().insert(pid, known.clone());
        let has_program = snapshot.program.is_some();
        let launched = at.or(began);
        let job = Start { snapshot, launch, launched, known, parent };
        self.jobs.send(Job::Start(Box::new(job)), &self.shared.missed);
        if let Some(key) = key.filter(|_| has_program && self.shared.wants(&[Category::Module])) {
            self.told.remove(&pid);
            for after in MODULES_AFTER {
                self.later(Duration::from_millis(after), Later::Modules { pid, key });
            }
        }
    }

    /// Story of the download that is run: the program itself, or the script that its program was given.
    pub(crate) fn origin(&self, snapshot: &Snapshot) -> Option<CorrelationId> {
        let files = self.shared.files();
        if files.is_empty() {
            return None;
        }
        let id = snapshot.program.as_ref().and_then(|p| p.id);
        id.and_then(|id| files.story(id)).or_else(|| {
            let folder = snapshot.working_directory.clone().unwrap_or_default();
            let paths = snapshot.arguments.iter().skip(1).take(16).map(|a| folder.join(a));
            paths.into_iter().find_map(|path| files.story_at(&path))
        })
    }

    pub(crate) fn ended(&mut self, pid: u32, status: Option<u32>, at: Timestamp) {
        if let Some(made) = self.silent.remove(&pid) {
            self.start_of_copy(pid, made);
        }
        self.told.remove(&pid);
        self.young.remove(&pid);
        let Some(known) = self.shared.processes().end(pid) else { return };
        let signal = status.map(|s| s & 0x7f).filter(|s| *s != 0);
        let code = status.filter(|_| signal.is_none()).map(|s| (s >> 8 & 0xff) as i32);
        let ending = match (status, signal, code) {
            (None, ..) => ProcessEnding::Unknown,
            (Some(status), Some(_), _) if status & 0x80 != 0 => ProcessEnding::CoreDump,
            (_, Some(_), _) => ProcessEnding::Signal,
            (.., Some(0)) => ProcessEnding::Success,
            _ => ProcessEnding::ExitCode,
        };
        let signal = signal.and_then(|s| u8::try_from(s).ok());
        let exit = Exit { pid, known, ending, code, signal, ended: at };
        self.jobs.send(Job::Exit(Box::new(exit)), &self.shared.missed);
    }

    /// A copy of its parent that ended, or that goes on as one.
    pub(crate) fn start_of_copy(&mut self, pid: u32, made: Timestamp) {
        let mut snapshot = Snapshot::take(pid);
        if snapshot.is_kernel {
            return;
        }
        let known = self.shared.processes().alive(pid).cloned();
        if let Some(known) = known
            && snapshot.program.is_none()
        {
            snapshot.name = if known.path.is_empty() { known.name } else { known.path };
        }
        self.start(snapshot, LaunchKind::Fork, Some(made));
    }
}
