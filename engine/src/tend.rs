//! The tender: what must not hold up the segment writer. Seals segments (the sync waits for the disk), deletes what is
//! beyond the limits, and compresses later what was stored in haste (`pack.rs`).
//!
//! Two threads for each session: `tracewell-tend` seals and deletes, with the priority of the process, so that limits hold on
//! a machine whose processors are all busy; `tracewell-pack` compresses with the lowest, and only while there is nothing to
//! seal. They are told what to do through channels and never hold a lock while they wait for the disk. Where the disk does
//! not keep up, the segment writer waits until fewer segments wait to be sealed: rings fill, losses are counted, and
//! neither disk nor descriptors go far beyond their limits.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::lock::{Condvar, Mutex};
use crate::own_thread::{self, OwnThread};
use crate::storage::Names;
use crate::{fs, pack, retention};

/// A segment that has its end block.
pub(crate) struct ToSeal {
    pub(crate) folder: Arc<OwnedFd>,
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
    /// Most segments that wait to be sealed.
    most: u64,
}

/// Each holds a descriptor.
const MOST_UNSEALED: u64 = 64;

#[derive(Debug, Default)]
struct Progress {
    sealing: Mutex<Sealing>,
    changed: Condvar,
    /// As `sealing` has it, for the packer: who runs last must not hold a lock that others wait for.
    unsealed: AtomicU64,
    /// A block was stored in haste since this was last looked at.
    haste: AtomicBool,
    /// The session is over.
    over: AtomicBool,
}

impl Progress {
    /// Whether packing must make way. Relaxed: it is asked again soon, and nothing else is told by it.
    fn has_better_to_do(&self) -> bool {
        self.over.load(Ordering::Relaxed)
            || self.haste.load(Ordering::Relaxed)
            || self.unsealed.load(Ordering::Relaxed) != 0
    }
}

/// Dropped when the tender ends, however it does: nobody waits for it any more.
struct End(Arc<Progress>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.sealing.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

#[derive(Debug, Default)]
struct Sealing {
    asked: u64,
    done: u64,
    is_over: bool,
    error: Option<io::Error>,
}

/// What the tender's threads need.
pub(crate) struct Place {
    /// Folder of all sessions.
    pub(crate) sessions: PathBuf,
    pub(crate) limits: retention::Limits,
    /// Bytes of a segment.
    pub(crate) segment_bytes: u64,
}

impl Place {
    /// Segments that wait to be sealed are beyond the limit on disk: by a quarter, or two segments where that is more.
    fn most_unsealed(&self) -> u64 {
        match self.limits.max_total {
            0 => MOST_UNSEALED,
            total => (total / 4 / self.segment_bytes.max(1)).clamp(2, MOST_UNSEALED),
        }
    }
}

impl Tender {
    /// Starts the threads; the handle is that of the one that ends last.
    pub(crate) fn start(place: Place) -> io::Result<(Self, OwnThread<()>)> {
        let (tasks, inbox) = unbounded();
        let tender = Self { tasks, progress: Arc::default(), most: place.most_unsealed() };
        let (packer, packs) = bounded(pack::MOST);
        let (sessions, progress) = (place.sessions.clone(), Arc::clone(&tender.progress));
        let packing = own_thread::spawn("tracewell-pack", move || {
            crate::thread::Refusal::forever();
            crate::fork::block_all_signals();
            crate::fork::run_as_the_process_does();
            let tid = rustix::thread::gettid();
            // On Linux a thread has a priority of its own.
            let _ = rustix::process::setpriority_process(Some(tid), 19);
            let mut is_over = || progress.over.load(Ordering::Relaxed);
            pack_when_calm(pack::find(&sessions, &mut is_over).into(), &packs, &progress);
        })?;
        let progress = Arc::clone(&tender.progress);
        let handle = own_thread::spawn("tracewell-tend", move || {
            crate::thread::Refusal::forever();
            crate::fork::block_all_signals();
            crate::fork::run_as_the_process_does();
            let end = End(progress);
            run(&place, &inbox, &packer, &end.0);
            drop(end);
            drop(packer);
            let _ = packing.join();
        })?;
        Ok((tender, handle))
    }

    /// Seals a segment soon; [`Tender::settle`] tells when. Waits while too many are still to be sealed.
    pub(crate) fn seal(&self, segment: ToSeal) {
        let mut sealing = self.progress.sealing.lock();
        while sealing.asked - sealing.done >= self.most && !sealing.is_over {
            sealing = self.progress.changed.wait(sealing);
        }
        sealing.asked += 1;
        self.progress.unsealed.store(sealing.asked - sealing.done, Ordering::Relaxed);
        drop(sealing);
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
            if sealing.is_over {
                return Err(io::Error::other("the thread that seals segments has failed"));
            }
            sealing = self.progress.changed.wait(sealing);
        }
        sealing.error.take().map_or(Ok(()), Err)
    }

    /// Ends the thread after what it was told before; packing stops where it is.
    pub(crate) fn stop(&self) {
        let _ = self.tasks.send(Task::Stop);
    }
}

fn run(place: &Place, inbox: &Receiver<Task>, packer: &Sender<pack::Candidate>, progress: &Progress) {
    while let Ok(task) = inbox.recv() {
        match task {
            Task::Seal(segment) => {
                let result = seal(&segment);
                let folder = Arc::from(segment.names.folder());
                let candidate = pack::Candidate { folder, name: segment.to };
                if result.is_ok() && pack::is_hasty(&candidate) {
                    // If the packer never gets a turn, a later session finds the segment.
                    let _ = packer.try_send(candidate);
                }
                let mut sealing = progress.sealing.lock();
                sealing.done += 1;
                progress.unsealed.store(sealing.asked - sealing.done, Ordering::Relaxed);
                if let Err(error) = result {
                    sealing.error.get_or_insert(error);
                }
                drop(sealing);
                progress.changed.notify_all();
                let _ = retention::retain(&place.sessions, &place.limits);
            }
            Task::Retain => {
                let _ = retention::retain(&place.sessions, &place.limits);
            }
            Task::Stop => return,
        }
    }
}

/// Packs what was stored in haste, one segment after the other, until the tender ends.
fn pack_when_calm(
    mut hasty: VecDeque<pack::Candidate>,
    inbox: &Receiver<pack::Candidate>,
    progress: &Progress,
) {
    loop {
        let more = if hasty.is_empty() {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(CALM)
        };
        match more {
            Ok(candidate) => {
                hasty.push_back(candidate);
                if hasty.len() > pack::MOST {
                    hasty.pop_front();
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if progress.haste.swap(false, Ordering::Relaxed) || progress.has_better_to_do() {
                    continue;
                }
                if let Some(candidate) = hasty.pop_front() {
                    // Whatever goes wrong, the segment stays as it is, and whole.
                    let mut must_stop = || !inbox.is_empty() || progress.has_better_to_do();
                    let _ = pack::pack(&candidate, &mut must_stop);
                    if must_stop() && pack::is_hasty(&candidate) {
                        hasty.push_back(candidate);
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn seal(segment: &ToSeal) -> io::Result<()> {
    segment.file.sync_data()?;
    fs::rename_at(&segment.folder, &segment.from, &segment.to)?;
    segment.names.sync(&segment.folder)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn place(max_total: u64, segment_bytes: u64) -> Place {
        let limits = retention::Limits { max_total, max_age: Duration::ZERO };
        Place { sessions: PathBuf::from("/nowhere"), limits, segment_bytes }
    }

    fn segment() -> ToSeal {
        let file = File::open("/dev/null").unwrap();
        let folder = Arc::new(File::open("/").unwrap().into());
        ToSeal { folder, names: Arc::default(), file, from: "a".into(), to: "b".into() }
    }

    #[test]
    fn unsealed_segments_are_at_most_a_quarter_of_the_limit_or_two() {
        assert_eq!(place(2048 << 20, 8 << 20).most_unsealed(), 64);
        assert_eq!(place(256 << 20, 16 << 20).most_unsealed(), 4);
        assert_eq!(place(1 << 20, 1 << 20).most_unsealed(), 2);
        assert_eq!(place(0, 16 << 20).most_unsealed(), 64);
    }

    #[test]
    fn nobody_waits_for_a_tender_that_has_ended() {
        let (tasks, _inbox) = unbounded();
        let tender = Tender { tasks, progress: Arc::default(), most: 1 };
        tender.seal(segment());
        drop(End(Arc::clone(&tender.progress)));
        tender.seal(segment());
        assert!(tender.settle().unwrap_err().to_string().contains("seals segments"));
    }

    #[test]
    fn the_writer_waits_while_too_many_segments_are_to_be_sealed() {
        let (tasks, inbox) = unbounded();
        let tender = Tender { tasks, progress: Arc::default(), most: 2 };
        tender.seal(segment());
        tender.seal(segment());
        let writer = thread::spawn({
            let tender = tender.clone();
            move || tender.seal(segment())
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!writer.is_finished() && inbox.len() == 2);
        tender.progress.sealing.lock().done += 1;
        tender.progress.changed.notify_all();
        writer.join().unwrap();
        assert_eq!(inbox.len(), 3);
    }
}
