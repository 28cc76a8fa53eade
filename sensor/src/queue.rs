//! From the thread that must be quick to the one that hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tracewell::catalog::{LaunchKind, ProcessEnding};
use tracewell::{CorrelationId, ProcessKey, Timestamp};

use crate::maps::Mapped;
use crate::missed::{self, Missed};
use crate::program::Snapshot;
use crate::stories::Known;

/// Jobs that wait.
const LENGTH: usize = 4096;
/// Files of waiting jobs that are open; a process may have 1024.
const MAX_OPEN: usize = 400;

/// Something to be recorded.
#[derive(Debug)]
pub(crate) enum Job {
    Start(Box<Start>),
    Exit(Box<Exit>),
    Modules { pid: u32, key: ProcessKey, correlation: CorrelationId, modules: Vec<Mapped> },
}

/// A launch, as far as the quick thread knows it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) snapshot: Snapshot,
    pub(crate) launch: LaunchKind,
    pub(crate) launched: Option<Timestamp>,
    pub(crate) known: Known,
    pub(crate) parent: Option<Known>,
}

/// An end.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) pid: u32,
    pub(crate) known: Known,
    pub(crate) ending: ProcessEnding,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<u8>,
    pub(crate) ended: Timestamp,
}

impl Job {
    fn files(&self) -> usize {
        match self {
            Self::Start(start) => start.snapshot.program.iter().filter(|p| p.file.is_some()).count(),
            Self::Exit(_) => 0,
            Self::Modules { modules, .. } => modules.iter().filter(|m| m.file.is_some()).count(),
        }
    }

    fn close_files(&mut self) {
        match self {
            Self::Start(start) => start.snapshot.program.iter_mut().for_each(|p| p.file = None),
            Self::Exit(_) => {}
            Self::Modules { modules, .. } => modules.iter_mut().for_each(|m| m.file = None),
        }
    }
}

/// The end that never waits.
#[derive(Debug)]
pub(crate) struct Sender {
    jobs: SyncSender<Job>,
    open: Arc<AtomicUsize>,
}

impl Sender {
    /// Hands a job over; what has no room is counted.
    pub(crate) fn send(&self, mut job: Job, missed: &Missed) {
        let files = job.files();
        if files != 0 && self.open.load(Ordering::Relaxed) + files > MAX_OPEN {
            job.close_files();
            missed::count(&missed.hashes);
        }
        let files = job.files();
        self.open.fetch_add(files, Ordering::Relaxed);
        if self.jobs.try_send(job).is_err() {
            self.open.fetch_sub(files, Ordering::Relaxed);
            missed::count(&missed.jobs);
        }
    }
}

/// The end that works.
#[derive(Debug)]
pub(crate) struct Jobs {
    jobs: Receiver<Job>,
    open: Arc<AtomicUsize>,
}

impl Jobs {
    /// Does each job in order, until there is no sender any more.
    pub(crate) fn each(&self, mut work: impl FnMut(Job)) {
        while let Ok(job) = self.jobs.recv() {
            let files = job.files();
            work(job);
            self.open.fetch_sub(files, Ordering::Relaxed);
        }
    }
}

pub(crate) fn queue() -> (Sender, Jobs) {
    let (sender, receiver) = sync_channel(LENGTH);
    let open = Arc::new(AtomicUsize::new(0));
    (Sender { jobs: sender, open: Arc::clone(&open) }, Jobs { jobs: receiver, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        let (sender, jobs) = queue();
        let missed = Missed::default();
        let modules = || Job::Modules {
            pid: 1,
            key: ProcessKey([1; 16]),
            correlation: CorrelationId(1),
            modules: Vec::new(),
        };
        for _ in 0..LENGTH + 3 {
            sender.send(modules(), &missed);
        }
        assert_eq!(missed.jobs.load(Ordering::Relaxed), 3);
        drop(sender);
        let mut done = 0;
        jobs.each(|_| done += 1);
        assert_eq!(done, LENGTH);
    }
}
