//! What is remembered of download folders, and how it is made good when changes went unnoticed.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracewell::Timestamp;

use crate::arrival::{self, Begun};
use crate::download::{MAX_BATCH, MAX_WRITING, Stamp, Watcher, Writing, is_partial, stamp};
use crate::missed;
use crate::owners::writers;

/// Files that are known.
const MAX_SEEN: usize = 100_000;
/// How long an empty file may stand for what is written beside it, as browsers do.
const EMPTY: Duration = Duration::from_secs(2);
/// A file that nobody has touched for so long is not being written, whatever was told.
const STALE: Duration = Duration::from_secs(10);

impl Watcher<'_> {
    /// What is there before recording begins is no news.
    pub(crate) fn baseline(&mut self, folder: &Path) {
        for path in files(folder) {
            if let Some((stamp, _)) = stamp(&path) {
                self.see(&path, stamp);
            }
        }
    }

    pub(crate) fn see(&mut self, path: &Path, stamp: Stamp) {
        if self.seen.len() >= MAX_SEEN && !self.seen.contains_key(path) {
            // What is forgotten may be told twice when a queue overflows; nothing is lost.
            let error = std::io::Error::from_raw_os_error(libc::ENOSPC);
            self.shared.error("downloads", "remember the files", &path.to_string_lossy(), &error);
            self.seen.clear();
        }
        self.seen.insert(path.to_owned(), stamp);
    }

    pub(crate) fn write(&mut self, path: PathBuf, writing: Writing) {
        if self.writing.len() >= MAX_WRITING {
            // The oldest is given up, and said to be.
            while let Some(oldest) = self.order.pop_front() {
                if self.writing.remove(&oldest).is_some() {
                    missed::count(&self.shared.missed.downloads);
                    break;
                }
            }
        }
        self.order.push_back(path.clone());
        if self.order.len() > 4 * MAX_WRITING {
            let writing = &self.writing;
            let mut kept = HashSet::new();
            self.order.retain(|p| writing.contains_key(p) && kept.insert(p.clone()));
        }
        self.writing.insert(path, writing);
    }

    pub(crate) fn finish(&mut self, path: &Path, writer: Option<u32>) {
        let begun = self.writing.remove(path).map(|w| w.begun);
        let mut begun = begun.unwrap_or_else(|| Begun::late(self.shared, writer));
        if begun.writer.is_none() {
            begun.writer = writer.map(|pid| crate::owners::owner(self.shared, pid));
        }
        let Some((stamp, _)) = stamp(path) else { return };
        if arrival::finished(self.shared, path, &begun) {
            self.see(path, stamp);
        }
    }

    /// The kernel had no room for some changes: what the folders hold tells what was missed.
    pub(crate) fn overflow(&mut self) {
        let error = std::io::Error::from_raw_os_error(libc::EOVERFLOW);
        let lost = Some("the folders are looked through; what came and went meanwhile is missing");
        self.shared.trouble("downloads", "follow all changes", "inotify", &error, lost);
        self.moved.clear();
        self.folders.refresh(self.shared, &self.inotify);
        for folder in self.folders.all() {
            self.rescan(&folder);
        }
        self.writing.retain(|path, _| std::fs::symlink_metadata(path).is_ok());
        self.seen.retain(|path, _| std::fs::symlink_metadata(path).is_ok());
    }

    /// Tells what a folder has that was not told.
    pub(crate) fn rescan(&mut self, folder: &Path) {
        let new: Vec<_> = files(folder)
            .filter_map(|path| Some((stamp(&path)?.0, path)))
            .filter(|(stamp, path)| self.seen.get(path) != Some(stamp))
            .map(|(_, path)| path)
            .collect();
        // Also when it costs: what somebody still writes is not there yet.
        let open = if new.is_empty() { HashMap::new() } else { writers(&new.iter().cloned().collect()) };
        for path in new {
            match open.get(&path) {
                Some(_) if self.writing.contains_key(&path) => {}
                Some(pid) => {
                    let begun = arrival::started(self.shared, &path, Some(*pid));
                    self.write(path, Writing { begun, closed: None, since: Instant::now() });
                }
                None if is_partial(&path) => {}
                None => self.finish(&path, None),
            }
        }
    }

    pub(crate) fn look_for_roots(&mut self) {
        for folder in self.folders.watch_roots(self.shared, &self.inotify) {
            self.rescan(&folder);
        }
    }

    pub(crate) fn tick(&mut self) {
        self.look_for_roots();
        self.moved.retain(|_, moved| {
            // Both halves of a move come together: this one has left the folders.
            let is_gone = moved.at.elapsed() >= Duration::from_millis(500);
            if let Some(writing) = moved.writing.as_ref().filter(|_| is_gone) {
                arrival::vanished(self.shared, &moved.from, &writing.begun);
            }
            !is_gone
        });
        let now = Timestamp::now().0 / 1_000_000_000;
        let stale: Vec<PathBuf> = self
            .writing
            .iter()
            .filter(|(path, w)| {
                let is_old = w.since.elapsed() >= STALE
                    && stamp(path).is_none_or(|(_, m)| now - m.mtime() >= STALE.as_secs() as i64);
                let is_empty = w.closed.is_some_and(|closed| closed.elapsed() >= EMPTY);
                !is_partial(path) && (is_empty || w.closed.is_none() && is_old)
            })
            .map(|(path, _)| path.clone())
            .take(MAX_BATCH)
            .collect();
        if stale.is_empty() {
            return;
        }
        let open = writers(&stale.iter().cloned().collect());
        for path in stale {
            match self.writing.get_mut(&path) {
                // Slow, but under way; look again later.
                Some(writing) if open.contains_key(&path) => writing.since = Instant::now(),
                _ => self.finish(&path, None),
            }
        }
    }
}

/// Names in a folder.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
