//! What joins events into stories: the processes that are known, and the downloads that are remembered.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use tracewell::{CorrelationId, ProcessKey, Timestamp};

/// Ended processes that are remembered, for what is noticed after their end.
const MAX_ENDED: usize = 256;
/// Processes that are remembered; more than this are forgotten, and read again when they are met.
const MAX_KNOWN: usize = 65_536;
/// Downloads that are remembered.
const MAX_FILES: usize = 10_000;

/// What is known of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// None if its start could not be read.
    pub(crate) key: Option<ProcessKey>,
    pub(crate) started: Option<Timestamp>,
    /// Path of its program, else its name.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) command_line: Option<String>,
    pub(crate) parent: u32,
    pub(crate) correlation: CorrelationId,
    pub(crate) parent_correlation: CorrelationId,
}

/// Known processes by their id.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    alive: HashMap<u32, Known>,
    ended: VecDeque<(u32, Known)>,
}

impl Processes {
    /// The process that has this id, or had it last.
    pub(crate) fn get(&self, pid: u32) -> Option<&Known> {
        self.alive.get(&pid).or_else(|| self.ended.iter().rev().find(|(p, _)| *p == pid).map(|(_, k)| k))
    }

    pub(crate) fn alive(&self, pid: u32) -> Option<&Known> {
        self.alive.get(&pid)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.alive.keys().copied().collect()
    }

    pub(crate) fn insert(&mut self, pid: u32, known: Known) {
        if self.alive.len() >= MAX_KNOWN {
            self.alive.clear();
        }
        self.alive.insert(pid, known);
    }

    pub(crate) fn end(&mut self, pid: u32) -> Option<Known> {
        let known = self.alive.remove(&pid)?;
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((pid, known.clone()));
        Some(known)
    }

    pub(crate) fn clear(&mut self) {
        self.alive.clear();
        self.ended.clear();
    }
}

/// A process's events share an id made of its key; none for a process without one.
pub(crate) fn correlation_of(key: Option<ProcessKey>) -> CorrelationId {
    let first = key.as_ref().and_then(|k| k.0.first_chunk::<8>());
    CorrelationId(first.map_or(0, |b| u64::from_le_bytes(*b)))
}

/// Which file: device and inode.
pub(crate) type FileId = (u64, u64);

/// Downloads by file and by path.
#[derive(Debug, Default)]
pub(crate) struct Files {
    by_id: HashMap<FileId, (PathBuf, CorrelationId)>,
    by_path: HashMap<PathBuf, FileId>,
    order: VecDeque<FileId>,
}

impl Files {
    pub(crate) fn remember(&mut self, id: FileId, path: &Path, correlation: CorrelationId) {
        if let Some((old, _)) = self.by_id.insert(id, (path.to_owned(), correlation)) {
            self.by_path.remove(&old);
        } else {
            self.order.push_back(id);
        }
        self.by_path.insert(path.to_owned(), id);
        while self.order.len() > MAX_FILES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some((path, _)) = self.by_id.remove(&oldest) {
                self.by_path.remove(&path);
            }
        }
    }

    /// The file has another name now.
    pub(crate) fn renamed(&mut self, from: &Path, to: &Path) {
        if let Some(id) = self.by_path.remove(from)
            && let Some((path, _)) = self.by_id.get_mut(&id)
        {
            to.clone_into(path);
            self.by_path.insert(to.to_owned(), id);
        }
    }

    /// Story of the download of this file.
    pub(crate) fn story(&self, id: FileId) -> Option<CorrelationId> {
        self.by_id.get(&id).map(|(_, correlation)| *correlation)
    }

    /// Story of the download that lies at this path, as a script does.
    pub(crate) fn story_at(&self, path: &Path) -> Option<CorrelationId> {
        self.by_path.get(path).and_then(|id| self.story(*id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
