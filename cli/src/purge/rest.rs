//! What else lies in a trace directory: dumps, the user's key, the request, and half-made files of commands that were killed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType};
use tracewell::fs;
use tracewell_bundle::Store;

use crate::output::{Failure, advice};
use crate::place::{Place, unusable};

/// Folder of the dumps in the trace directory.
const DUMPS: &str = "dumps";
/// A file of a dump's name and this keeps it.
const KEEP_SUFFIX: &str = ".keep";
/// Folder of the user's key.
const KEYS: &str = "keys";
/// How half-made files begin.
const HALF_MADE: [&str; 4] = [".control-", ".settings-", ".ring-roots-", ".clock.json-"];
/// A half-made file that is younger may still become whole.
const QUIET: Duration = Duration::from_secs(60);

/// A file that holds memory of a component.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dump {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// When it was made, the later of what its name says and when it was written: seconds since 1970.
    pub(crate) made: i64,
    /// The user keeps it.
    pub(crate) is_kept: bool,
}

impl Dump {
    /// Deletes it, and what keeps it.
    pub(crate) fn remove(&self, base: &Path) -> io::Result<()> {
        let folder = fs::open_private_dir(&base.join(DUMPS))?;
        fs::unlink_at(&folder, &self.name)?;
        match fs::unlink_at(&folder, &format!("{}{KEEP_SUFFIX}", self.name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// The dumps of a trace directory, by name. Links and other things are none.
pub(crate) fn dumps(base: &Path) -> io::Result<Vec<Dump>> {
    let path = base.join(DUMPS);
    let folder = match fs::open_private_dir(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = fs::names_in(&folder)?;
    names.sort_unstable();
    let mut all = Vec::new();
    for name in &names {
        let Ok(stat) = rustix::fs::statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let keeps = name.strip_suffix(KEEP_SUFFIX).is_some_and(|of| names.iter().any(|n| n == of));
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && !keeps {
            let keep = format!("{name}{KEEP_SUFFIX}");
            all.push(Dump {
                name: name.clone(),
                path: path.join(name),
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                made: named(name).map_or(stat.st_mtime, |named| named.max(stat.st_mtime)),
                is_kept: names.contains(&keep),
            });
        }
    }
    Ok(all)
}

/// The time that a dump's name begins with: `20261126-041500-scanner-..`.
fn named(name: &str) -> Option<i64> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", name.get(..15)?).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_second())
}

/// Keeps a dump, or lets it go as the others.
pub(crate) fn keep_dump(base: &Path, name: &str, keeps: bool) -> io::Result<()> {
    let folder = fs::open_private_dir(&base.join(DUMPS))?;
    let mark = format!("{name}{KEEP_SUFFIX}");
    let done = if keeps { fs::create_new(&folder, &mark).map(drop) } else { fs::unlink_at(&folder, &mark) };
    match done {
        Err(e) if !matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(e),
        _ => Ok(()),
    }
}

/// What is deleted with the rest, and how it is named to the user.
#[derive(Debug)]
pub(super) struct Rest {
    base: PathBuf,
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
