//! The tender: what must not hold up the segment writer. Seals segments (the sync waits for the disk), deletes what is
//! beyond the limits, and compresses later what was stored in haste (`pack.rs`).
//!
//! One thread of the lowest priority for each session. It is told what to do through a channel and never holds a lock
//! while it waits for the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::lock::{Condvar, Mutex};
use crate::own_thread::{self, OwnThread};
use crate::storage::Names;
use crate::{fs, pack, retention};

/// A segment that has its end block.
pub(crate) struct ToSeal {
    pub(crate) folder: OwnedFd,
    pub(crate) names: Arc<Names>,
    pub(crate) file: File,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Packing waits until for so long nothing was sealed and nothing stored in haste.
const CALM: Duration = Duration::from_secs(1);

enum Task {
    Seal(ToSeal),
    Retain,
    Stop,
}

/// The way to a session's tender.
#[derive(Clone, Debug)]
pub(crate) struct Tender {
    tasks: Sender<Task>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    sealing: Mutex<Sealing>,
    changed: Condvar,
    /// A block was stored in haste since this was last looked at.
    haste: AtomicBool,
}

#[derive(Debug, Default)]
struct Sealing {
    asked: u64,
    done: u64,
    error: Option<io::Error>,
}

/// What the tender's thread needs.
pub(crate) struct Place {
    /// Folder of all sessions.
    pub(crate) sessions: PathBuf,
    pub(crate) limits: retention::Limits,
}

impl Tender {
    /// Starts the thread.
    pub(crate) fn start(place: Place) -> io::Result<(Self, OwnThread<()>)> {
        let (tasks, inbox) = unbounded();
        let tender = Self { tasks, progress: Arc::default() };
        let progress = Arc::clone(&tender.progress);
        let handle = own_thread::spawn("tracewell-tend", move || {
            crate::thread::Refusal::forever();
            crate::fork::block_all_signals();
            crate::fork::run_as_the_process_does();
            let tid = rustix::thread::gettid();
            // On Linux a thread has a priority of its own.
            let _ = rustix::process::setpriority_process(Some(tid), 19);
            run(&place, &inbox, &progress);
        })?;
        Ok((tender, handle))
    }

    /// Seals a segment soon; [`Tender::settle`] tells when.
    pub(crate) fn seal(&self, segment: ToSeal) {
        self.progress.sealing.lock().asked += 1;
        // The thread ends only after `stop`; nothing is sealed after that.
        let _ = self.tasks.send(Task::Seal(segment));
    }

    /// The drain is pressed: packing would take processor and disk from it.
    pub(crate) fn note_haste(&self) {
        self.progress.haste.store(true, Ordering::Relaxed);
    }

    /// Deletes what is beyond the limits, soon.
    pub(crate) fn retain(&self) {
        let _ = self.tasks.send(Task::Retain);
    }

    /// Waits until everything that is to be sealed is; the first failure since the last call.
    pub(crate) fn settle(&self) -> io::Result<()> {
        let mut sealing = self.progress.sealing.lock();
        while sealing.done < sealing.asked {
            sealing = self.progress.changed.wait(sealing);
        }
        sealing.error.take().map_or(Ok(()), Err)
    }

    /// Ends the thread after what it was told before; packing stops where it is.
    pub(crate) fn stop(&self) {
        let _ = self.tasks.send(Task::Stop);
    }
}

fn run(place: &Place, inbox: &Receiver<Task>, progress: &Progress) {
    let mut hasty: VecDeque<pack::Candidate> = pack::find(&place.sessions).into();
    loop {
        let task = if hasty.is_empty() {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(CALM)
        };
        match task {
            Ok(Task::Seal(segment)) => {
                let result = seal(&segment);
                let candidate = pack::Candidate { folder: segment.folder, name: segment.to };
                if result.is_ok() && pack::is_hasty(&candidate) {
                    hasty.push_back(candidate);
                }
                let mut sealing = progress.sealing.lock();
                sealing.done += 1;
                if let Err(error) = result {
                    sealing.error.get_or_insert(error);
                }
                drop(sealing);
                progress.changed.notify_all();
                let _ = retention::retain(&place.sessions, &place.limits);
            }
            Ok(Task::Retain) => {
                let _ = retention::retain(&place.sessions, &place.limits);
            }
            Err(RecvTimeoutError::Timeout) => {
                if progress.haste.swap(false, Ordering::Relaxed) {
                    continue;
                }
                if let Some(candidate) = hasty.pop_front() {
                    // Whatever goes wrong, the segment stays as it is, and whole.
                    let mut must_stop = || !inbox.is_empty() || progress.haste.load(Ordering::Relaxed);
                    let _ = pack::pack(&candidate, &mut must_stop);
                    if must_stop() && pack::is_hasty(&candidate) {
                        hasty.push_back(candidate);
                    }
                }
            }
            Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn seal(segment: &ToSeal) -> io::Result<()> {
    segment.file.sync_data()?;
    fs::rename_at(&segment.folder, &segment.from, &segment.to)?;
    segment.names.sync(&segment.folder)
}
