//! The download folders that are watched, and their subfolders.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use inotify::{Inotify, WatchDescriptor, WatchMask};

use crate::shared::Shared;

/// Subfolders of one download folder that are watched.
pub(crate) const MAX_SUBFOLDERS: usize = 64;

/// A download folder.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    is_watched: bool,
    /// That it cannot be watched was told.
    told: bool,
}

/// What is watched.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    roots: Vec<Root>,
    watches: HashMap<WatchDescriptor, PathBuf>,
    told_bound: bool,
}

fn mask() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_FROM
        | WatchMask::MOVED_TO
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
        | WatchMask::DONT_FOLLOW
}

impl Folders {
    pub(crate) fn new(dirs: &[PathBuf]) -> Self {
        let roots = dirs.iter().map(|d| Root { path: d.clone(), is_watched: false, told: false });
        Self { roots: roots.collect(), ..Self::default() }
    }

    pub(crate) fn path(&self, watch: &WatchDescriptor) -> Option<&PathBuf> {
        self.watches.get(watch)
    }

    pub(crate) fn is_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|r| r.path == path)
    }

    /// Everything that is watched now.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        self.watches.values().cloned().collect()
    }

    /// Watches the roots that are not watched; gives what is watched from now on and has to be looked through.
    pub(crate) fn watch_roots(&mut self, shared: &Shared, inotify: &Inotify) -> Vec<PathBuf> {
        let mut new = Vec::new();
        for i in 0..self.roots.len() {
            let Some(root) = self.roots.get_mut(i).filter(|r| !r.is_watched) else { continue };
            match inotify.watches().add(&root.path, mask()) {
                Ok(watch) => {
                    (root.is_watched, root.told) = (true, false);
                    let path = root.path.clone();
                    self.watches.insert(watch, path.clone());
                    new.push(path.clone());
                    new.extend(self.watch_below(shared, inotify, &path));
                }
                // It is tried again every second; it is told once.
                Err(e) if !root.told => {
                    root.told = true;
                    let path = root.path.to_string_lossy().into_owned();
                    let lost = Some("downloads in this folder are not recorded until it is there");
                    shared.trouble("downloads", "watch a folder", &path, &e, lost);
                }
                Err(_) => {}
            }
        }
        new
    }

    /// Watches the folders in a root.
    pub(crate) fn watch_below(&mut self, shared: &Shared, inotify: &Inotify, root: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
        let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        folders.map(|e| e.path()).filter_map(|path| self.watch_one(shared, inotify, &path)).collect()
    }

    /// Watches a folder in a root.
    pub(crate) fn watch_one(&mut self, shared: &Shared, inotify: &Inotify, path: &Path) -> Option<PathBuf> {
        let root = path.parent()?;
        if !self.is_root(root) || self.is_root(path) || shared.is_own(path) {
            return None;
        }
        let siblings = self.watches.values().filter(|p| p.parent() == Some(root) && *p != root).count();
        if siblings >= MAX_SUBFOLDERS {
            if !self.told_bound {
                self.told_bound = true;
                let error = io::Error::from_raw_os_error(libc::ENOSPC);
                let lost = Some("downloads in further subfolders are not recorded");
                shared.trouble("downloads", "watch a subfolder", &path.to_string_lossy(), &error, lost);
            }
            return None;
        }
        match inotify.watches().add(path, mask()) {
            Ok(watch) => {
                self.watches.insert(watch, path.to_owned());
                Some(path.to_owned())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                shared.error("downloads", "watch a subfolder", &path.to_string_lossy(), &e);
                None
            }
        }
    }

    /// Watches anew whatever is there now, after changes went unnoticed.
    pub(crate) fn refresh(&mut self, shared: &Shared, inotify: &Inotify) {
        let before = std::mem::take(&mut self.watches);
        for root in &mut self.roots {
            root.is_watched = false;
        }
        // A folder that still is the same one keeps its watch.
        self.watch_roots(shared, inotify);
        for watch in before.into_keys().filter(|w| !self.watches.contains_key(w)) {
            let _ = inotify.watches().remove(watch);
        }
    }

    /// The folder of this watch is gone, or lies elsewhere. Roots are told and tried again.
    pub(crate) fn lost(&mut self, shared: &Shared, inotify: &Inotify, watch: &WatchDescriptor) {
        let Some(path) = self.watches.remove(watch) else { return };
        // Of a folder that was moved the watch is still there; of one that was removed it is not.
        let _ = inotify.watches().remove(watch.clone());
        let Some(root) = self.roots.iter_mut().find(|r| r.path == path) else { return };
        root.is_watched = false;
        root.told = true;
        let below: Vec<_> =
            self.watches.iter().filter(|(_, p)| p.starts_with(&path)).map(|(w, _)| w.clone()).collect();
        for watch in below {
            self.watches.remove(&watch);
            let _ = inotify.watches().remove(watch);
        }
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        let lost = Some("downloads in this folder are not recorded until it is there again");
        shared.trouble("downloads", "watch a folder", &path.to_string_lossy(), &error, lost);
    }
}
