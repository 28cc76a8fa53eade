//! What else lies in a trace directory: the user's key, the request, and half-made files of commands that were killed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracewell::fs;
use tracewell_bundle::Store;
use tracewell_bundle::dumps::DUMPS;

use crate::output::{Failure, advice};
use crate::place::{Place, unusable};

/// Folder of the user's key.
const KEYS: &str = "keys";
/// How half-made files begin.
const HALF_MADE: [&str; 4] = [".control-", ".settings-", ".ring-roots-", ".clock.json-"];
/// A half-made file that is younger may still become whole.
const QUIET: Duration = Duration::from_secs(60);

/// What is deleted with the rest, and how it is named to the user.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) base: PathBuf,
    pub(super) named: Vec<(PathBuf, &'static str)>,
    half_made: Vec<String>,
}

impl Rest {
    /// Looks for it. Half-made files only if they are not being made right now, or everything goes.
    pub(super) fn find(place: &Place, everything: bool) -> Result<Self, Failure> {
        let base = place.dirs.base();
        let mut rest = Self { base: base.to_owned(), named: Vec::new(), half_made: Vec::new() };
        let there = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        let key = base.join(KEYS).join("own.txt");
        if there(&key) {
            rest.named.push((key, "key"));
        }
        let request = base.join("bundles/request.json");
        if there(&request) {
            rest.named.push((request, "request"));
        }
        let folder = fs::open_private_dir(base).map_err(|e| unusable(base, &e))?;
        for name in fs::names_in(&folder).map_err(|e| unusable(base, &e))? {
            if HALF_MADE.iter().any(|start| name.starts_with(start)) {
                let changed = std::fs::symlink_metadata(base.join(&name)).and_then(|meta| meta.modified());
                let age = changed.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
                if everything || age.is_some_and(|age| age > QUIET) {
                    rest.half_made.push(name);
                }
            }
        }
        Ok(rest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.half_made.is_empty()
    }

    /// Deletes it; what cannot be is added to `left`.
    pub(super) fn remove(&self, left: &mut Vec<String>) {
        let mut told = |path: &Path, done: io::Result<()>| match done {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                left.push(format!("{} was not deleted: {e}{}", path.display(), advice(&e)));
            }
            _ => {}
        };
        let half_made = fs::open_private_dir(&self.base)
            .and_then(|folder| self.half_made.iter().try_for_each(|name| fs::unlink_at(&folder, name)));
        told(&self.base, half_made);
        let dumps = self.base.join(DUMPS);
        if std::fs::symlink_metadata(&dumps).is_ok() {
            told(&dumps, std::fs::remove_dir(&dumps));
        }
        // Bundles that could not be deleted are told already, and need their key.
        if !Store::new(&self.base).list().is_ok_and(|all| all.is_empty()) {
            return;
        }
        told(&self.base.join("bundles"), Store::new(&self.base).remove_rest());
        let keys = self.base.join(KEYS);
        let removed = fs::open_private_dir(&keys).and_then(|folder| {
            for name in fs::names_in(&folder)? {
                if name == "own.txt" || name.starts_with(".own.txt-") || name.starts_with(".partial-") {
                    fs::unlink_at(&folder, &name)?;
                }
            }
            std::fs::remove_dir(&keys)
        });
        told(&keys, removed);
    }
}
