//! Downloads appearing in folders, whatever happens to the folders and however fast they come.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor};
use tracewell::Category;

use crate::arrival::{self, Begun};
use crate::folders::Folders;
use crate::netlink::wait;
use crate::owners::writers;
use crate::shared::Shared;

/// Downloads under way that are followed.
pub(crate) const MAX_WRITING: usize = 10_000;
/// Events that are taken at once.
pub(crate) const MAX_BATCH: usize = 4096;
/// A look for writing processes may take this part of the time.
const SHARE: u32 = 20;
/// Endings of files that are not there yet.
const PARTIAL: [&str; 6] = ["part", "crdownload", "partial", "download", "opdownload", "tmp"];

/// What tells one state of a file from another.
pub(crate) type Stamp = (u64, u64, u64, i64, i64);

struct Change {
    watch: WatchDescriptor,
    mask: EventMask,
    cookie: u32,
    name: Option<OsString>,
}

/// A download under way.
pub(crate) struct Writing {
    pub(crate) begun: Begun,
    /// Closed, but empty or partial: it may go on.
    pub(crate) closed: Option<Instant>,
    pub(crate) since: Instant,
}

/// A file that has left a name.
pub(crate) struct Moved {
    pub(crate) from: PathBuf,
    pub(crate) writing: Option<Writing>,
    /// It was told, or was there before.
    pub(crate) was_seen: bool,
    pub(crate) at: Instant,
}

/// What is known of the download folders.
pub(crate) struct Watcher<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) inotify: Inotify,
    pub(crate) folders: Folders,
    pub(crate) writing: HashMap<PathBuf, Writing>,
    pub(crate) order: VecDeque<PathBuf>,
    /// Files that were told, or that were there before recording began.
    pub(crate) seen: HashMap<PathBuf, Stamp>,
    /// By cookie: files that have left a name and may come up under another.
    pub(crate) moved: HashMap<u32, Moved>,
    /// When processes may be looked through again.
    pub(crate) look_at: Instant,
}

const NEEDED_BY: [Category; 2] = [Category::Download, Category::Detection];

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared, dirs: &[PathBuf]) {
    let dirs: Vec<PathBuf> = dirs.iter().filter(|d| !shared.is_own(d)).cloned().collect();
    let mut told = false;
    while !shared.is_stopped() {
        if dirs.is_empty() || !shared.wants(&NEEDED_BY) {
            shared.rest(Duration::from_millis(50));
            continue;
        }
        match Inotify::init() {
            Ok(inotify) => Watcher::new(shared, inotify, &dirs).run(),
            Err(e) => {
                if !told {
                    shared.error("downloads", "watch folders", "inotify", &e);
                }
                told = true;
                shared.rest(Duration::from_secs(1));
            }
        }
    }
}

/// Whether a file is not there yet, by its name.
pub(crate) fn is_partial(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| PARTIAL.contains(&e))
}

/// State of a plain file; none of anything else.
pub(crate) fn stamp(path: &Path) -> Option<(Stamp, std::fs::Metadata)> {
    let m = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(((m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec()), m))
}

impl<'a> Watcher<'a> {
    fn new(shared: &'a Shared, inotify: Inotify, dirs: &[PathBuf]) -> Self {
        Self {
            shared,
            inotify,
            folders: Folders::new(dirs),
            writing: HashMap::new(),
            order: VecDeque::new(),
            seen: HashMap::new(),
            moved: HashMap::new(),
            look_at: Instant::now(),
        }
    }

    fn run(mut self) {
        for folder in self.folders.watch_roots(self.shared, &self.inotify) {
            self.baseline(&folder);
        }
        let mut buffer = vec![0; 64 * 1024];
        let mut tick = Instant::now();
        while !self.shared.is_stopped() && self.shared.wants(&NEEDED_BY) {
            if wait(&self.inotify, Duration::from_millis(50)) {
                let batch = self.batch(&mut buffer);
                self.changes(batch);
            }
            if tick.elapsed() >= Duration::from_millis(500) {
                tick = Instant::now();
                self.tick();
            }
        }
    }

    fn batch(&mut self, buffer: &mut [u8]) -> Vec<Change> {
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH {
            match self.inotify.read_events(buffer) {
                Ok(events) => batch.extend(events.map(|e| Change {
                    watch: e.wd,
                    mask: e.mask,
                    cookie: e.cookie,
                    name: e.name.map(OsString::from),
                })),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) => {
                    self.shared.error("downloads", "read changes", "inotify", &e);
                    self.shared.rest(Duration::from_millis(500));
                    break;
                }
            }
        }
        batch
    }

    /// Who writes these files: one look for all of them, and not more often than is bearable.
    fn writers(&mut self, paths: &HashSet<PathBuf>) -> HashMap<PathBuf, u32> {
        let began = Instant::now();
        if paths.is_empty() || began < self.look_at {
            return HashMap::new();
        }
        let found = writers(paths);
        self.look_at = Instant::now() + began.elapsed() * SHARE;
        found
    }

    fn changes(&mut self, batch: Vec<Change>) {
        let news = EventMask::CREATE | EventMask::CLOSE_WRITE | EventMask::MOVED_TO;
        let fresh = batch.iter().filter(|c| c.mask.intersects(news) && !c.mask.contains(EventMask::ISDIR));
        let fresh = fresh.filter_map(|c| Some(self.folders.path(&c.watch)?.join(c.name.as_ref()?)));
        let fresh: HashSet<PathBuf> = fresh.filter(|p| !self.writing.contains_key(p)).collect();
        let writers = self.writers(&fresh);
        for change in batch {
            if change.mask.contains(EventMask::Q_OVERFLOW) {
                self.overflow();
            } else if change.mask.intersects(
                EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT,
            ) {
                self.folders.lost(self.shared, &self.inotify, &change.watch);
                self.look_for_roots();
            } else if let (Some(folder), Some(name)) = (self.folders.path(&change.watch), &change.name) {
                let path = folder.join(name);
                if change.mask.contains(EventMask::ISDIR) {
                    self.folder_changed(&path, change.mask);
                } else {
                    let writer = writers.get(&path).copied();
                    self.file_changed(path, &change, writer);
                }
            }
        }
    }

    fn folder_changed(&mut self, path: &Path, mask: EventMask) {
        if mask.intersects(EventMask::CREATE | EventMask::MOVED_TO)
            && let Some(folder) = self.folders.watch_one(self.shared, &self.inotify, path)
        {
            if mask.contains(EventMask::MOVED_TO) {
                self.baseline(&folder);
            } else {
                self.rescan(&folder);
            }
        }
    }

    fn file_changed(&mut self, path: PathBuf, change: &Change, writer: Option<u32>) {
        let mask = change.mask;
        if mask.contains(EventMask::CREATE) {
            let Some((_, meta)) = stamp(&path) else { return };
            // Another name of a file that is there: nobody writes it.
            if meta.nlink() > 1 {
                return self.finish(&path, writer);
            }
            let begun = arrival::started(self.shared, &path, writer);
            self.write(path, Writing { begun, closed: None, since: Instant::now() });
        } else if mask.contains(EventMask::CLOSE_WRITE) {
            let Some((stamp, meta)) = stamp(&path) else { return };
            // Opened and closed: it is what was told already.
            if self.seen.get(&path) == Some(&stamp) && !self.writing.contains_key(&path) {
                return;
            }
            let is_empty = meta.len() == 0;
            match self.writing.get_mut(&path) {
                Some(writing) if is_empty || is_partial(&path) => {
                    writing.closed = Some(Instant::now());
                    if writing.begun.writer.is_none() {
                        writing.begun.writer = writer.map(|pid| crate::owners::owner(self.shared, pid));
                    }
                }
                // A partial file of a download that was taken up again.
                None if is_partial(&path) => {
                    let begun = Begun::late(self.shared, writer);
                    self.write(path, Writing { begun, closed: Some(Instant::now()), since: Instant::now() });
                }
                _ => self.finish(&path, writer),
            }
        } else if mask.contains(EventMask::MOVED_FROM) {
            let writing = self.writing.remove(&path);
            let was_seen = self.seen.remove(&path).is_some();
            if self.moved.len() >= MAX_WRITING {
                self.moved.clear();
            }
            self.moved.insert(change.cookie, Moved { from: path, writing, was_seen, at: Instant::now() });
        } else if mask.contains(EventMask::MOVED_TO) {
            self.arrived(path, change.cookie, writer);
        } else if mask.contains(EventMask::DELETE) {
            self.seen.remove(&path);
            if let Some(writing) = self.writing.remove(&path) {
                arrival::vanished(self.shared, &path, &writing.begun);
            }
        }
    }

    /// A file has come under this name: from another name here, or from elsewhere.
    fn arrived(&mut self, path: PathBuf, cookie: u32, writer: Option<u32>) {
        let from = self.moved.remove(&cookie);
        match from {
            Some(Moved { writing: Some(mut writing), .. }) => {
                // What stood here was a place for it.
                self.writing.remove(&path);
                if is_partial(&path) || writing.closed.is_none() {
                    // It is still being written, or not there yet.
                    writing.since = Instant::now();
                    self.write(path, writing);
                } else {
                    self.write(path.clone(), writing);
                    self.finish(&path, writer);
                }
            }
            // The user gave a file another name.
            Some(Moved { from: old, was_seen: true, .. }) if !is_partial(&old) => {
                self.shared.files().renamed(&old, &path);
                if let Some((stamp, _)) = stamp(&path) {
                    self.see(&path, stamp);
                }
            }
            _ if is_partial(&path) => {
                let begun = Begun::late(self.shared, writer);
                self.write(path, Writing { begun, closed: Some(Instant::now()), since: Instant::now() });
            }
            _ => self.finish(&path, writer),
        }
    }
}
