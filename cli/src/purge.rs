//! `purge`: deletes what was recorded. Only names that Tracewell makes, below directories that are held open and were
//! reached without links; never what a running process uses.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use tracewell::fs;
use tracewell_schema::format::hex;
use tracewell_schema::format::process::PROCESS_FILE;
use tracewell_schema::format::segment::parse_file_name;

use crate::output::{Failure, Out, safe, size};
use crate::place::{Place, unusable};
use crate::rings::RingFolder;
use crate::segments::Session;
use crate::status::current_session;
use crate::{OK, args, rings, segments};

/// What would be deleted, and what stays.
#[derive(Debug, Default)]
struct Plan {
    sessions: Vec<Session>,
    folders: Vec<RingFolder>,
    kept: Vec<(PathBuf, String)>,
}

impl Plan {
    fn bytes(&self) -> u64 {
        let sessions: u64 = self.sessions.iter().map(Session::bytes).sum();
        sessions + self.folders.iter().map(|f| f.bytes).sum::<u64>()
    }
}

/// `tracewell purge`.
pub(crate) fn purge(dir: Option<&Path>, args: &args::Purge, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    if !place.check()? {
        out.line("Nothing was ever recorded; there is nothing to delete.")?;
        return Ok(OK);
    }
    let mut plan = plan(&place)?;
    if plan.sessions.is_empty() && plan.folders.is_empty() {
        out.line("There is nothing to delete.")?;
    } else {
        let verb = if args.yes { "Deleting" } else { "These would be deleted" };
        let folders = plan.sessions.len() + plan.folders.len();
        out.line(format_args!("{verb}: {} in {folders} folders", size(plan.bytes())))?;
        for session in &plan.sessions {
            let files = session.segments.len();
            out.line(format_args!(
                "  session {} ({files} segments, {})",
                safe(&session.path),
                size(session.bytes())
            ))?;
        }
        for folder in &plan.folders {
            out.line(format_args!("  rings   {} ({})", safe(&folder.path), size(folder.bytes)))?;
        }
    }
    for (path, why) in &plan.kept {
        out.line(format_args!("Stays: {} ({why})", safe(path)))?;
    }
    if !args.yes {
        if !plan.sessions.is_empty() || !plan.folders.is_empty() {
            out.line("Nothing was deleted; run `tracewell purge --yes` to do it.")?;
        }
        return Ok(OK);
    }
    // What is said must be seen even if deleting takes long.
    out.flush()?;
    delete(&place, &mut plan, out)?;
    Ok(OK)
}

fn plan(place: &Place) -> Result<Plan, Failure> {
    let dirs = &place.dirs;
    let current = place.control()?.as_ref().and_then(current_session);
    let mut plan = Plan::default();
    let mut live = BTreeSet::new();
    for folder in rings::folders(dirs.ring_root()).map_err(|e| unusable(dirs.ring_root(), &e))? {
        if folder.is_alive {
            let who = folder.identity.as_ref();
            live.extend(who.and_then(|i| i.process_uuid.get(..4)).map(hex));
            let who =
                who.map_or_else(|| "a running process".into(), |i| format!("{} pid {}", i.component, i.pid));
            plan.kept.push((folder.path, format!("{} records into it", safe(who))));
        } else if is_being_made(&folder) {
            plan.kept.push((folder.path, "a running process is making it".into()));
        } else {
            plan.folders.push(folder);
        }
    }
    for session in segments::sessions(&dirs.sessions()).map_err(|e| unusable(&dirs.sessions(), &e))? {
        let is_live = session.segments.iter().any(|s| s.name.is_open && live.contains(&s.name.uuid8));
        if current.as_ref() == Some(&session.name) {
            plan.kept.push((session.path, "the session that is on; `tracewell disable` first".into()));
        } else if is_live {
            plan.kept.push((session.path, "a running process is still writing it".into()));
        } else if !is_session_name(&session.name) {
            plan.kept.push((session.path, "not a folder that Tracewell made".into()));
        } else {
            plan.sessions.push(session);
        }
    }
    Ok(plan)
}

/// No process file yet, and the process that its name tells is there: it is about to write one.
fn is_being_made(folder: &RingFolder) -> bool {
    let name = folder.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let pid = name.rsplit('-').nth(1).and_then(|p| p.parse().ok());
    folder.identity.is_none() && pid.is_none_or(|pid| tracewell::boot::start_ticks(pid).is_some())
}

/// `2026-11-23_17.44.36_0a1b2c3d`
fn is_session_name(name: &str) -> bool {
    let shape: String = name.chars().map(|c| if c.is_ascii_hexdigit() { '0' } else { c }).collect();
    shape == "0000-00-00_00.00.00_00000000"
}

fn delete(place: &Place, plan: &mut Plan, out: &mut Out) -> Result<(), Failure> {
    let mut freed = 0;
    let mut left = Vec::new();
    let mut take = |path: &Path, bytes: u64, result: io::Result<()>| match result {
        Ok(()) => freed += bytes,
        Err(e) => left.push(format!("{} was not deleted: {e}", path.display())),
    };
    for folder in plan.folders.drain(..) {
        take(&folder.path, folder.bytes, delete_rings(place.dirs.ring_root(), &folder.path));
    }
    for session in plan.sessions.drain(..) {
        take(&session.path, session.bytes(), delete_session(&place.dirs.sessions(), &session.path));
    }
    // Only if it is empty: who still records keeps a folder there.
    let _ = std::fs::remove_dir(place.dirs.ring_root());
    out.line(format_args!("Deleted {}.", size(freed)))?;
    if left.is_empty() {
        return Ok(());
    }
    left.push("look at what is left, and remove it by hand if it is yours".into());
    Err(Failure::Message(left))
}

/// Opens a folder below a parent, both without following links.
fn open(parent: &Path, path: &Path) -> io::Result<(OwnedFd, OwnedFd, String)> {
    let parent = fs::open_private_dir(parent)?;
    let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let folder = rustix::fs::openat(&parent, name.as_str(), flags, Mode::empty())?;
    Ok((parent, folder, name))
}

fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => names.push(name.to_owned()),
            Err(_) => return Err(io::Error::other("it holds a file that Tracewell did not make")),
        }
    }
    Ok(names)
}

fn remove_all(
    parent: &OwnedFd,
    folder: &OwnedFd,
    name: &str,
    is_ours: impl Fn(&str) -> bool,
) -> io::Result<()> {
    let (ours, others): (Vec<_>, Vec<_>) = names(folder)?.into_iter().partition(|n| is_ours(n));
    for file in ours {
        // Removes the name, whatever it is: a link, never what it points to.
        fs::unlink_at(folder, &file)?;
    }
    if !others.is_empty() {
        return Err(io::Error::other(format!("{} files in it were not made by Tracewell", others.len())));
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn delete_session(sessions: &Path, path: &Path) -> io::Result<()> {
    let (parent, folder, name) = open(sessions, path)?;
    remove_all(&parent, &folder, &name, |n| parse_file_name(n).is_some())
}

fn delete_rings(root: &Path, path: &Path) -> io::Result<()> {
    let (parent, folder, name) = open(root, path)?;
    // Holding the lock, nobody else salvages or revives it meanwhile.
    let _lock = match fs::open_existing(&folder, PROCESS_FILE, true) {
        Ok(file) if fs::try_lock_ofd(&file)? => Some(file),
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a running process records into it"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    remove_all(&parent, &folder, &name, rings::is_own_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_tracewell_makes() {
        assert!(is_session_name("2026-11-23_17.44.36_0a1b2c3d"));
        assert!(!is_session_name("notes") && !is_session_name("2026-11-23_17.44.36_0a1b2c3d.old"));
    }

    #[test]
    fn links_in_a_session_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join("sessions");
        let session = sessions.join("2026-11-23_17.44.36_0a1b2c3d");
        fs::create_private_dir_all(&session).unwrap();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "stays").unwrap();
        std::os::unix::fs::symlink(&precious, session.join("a_pid1_00000000_000001.twseg")).unwrap();
        delete_session(&sessions, &session).unwrap();
        assert!(!session.exists());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "stays");
        std::os::unix::fs::symlink(dir.path(), &session).unwrap();
        assert!(delete_session(&sessions, &session).is_err());
        assert!(precious.exists());
    }

    #[test]
    fn what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join("sessions");
        let session = sessions.join("2026-11-23_17.44.36_0a1b2c3d");
        fs::create_private_dir_all(&session).unwrap();
        std::fs::write(session.join("a_pid1_00000000_000001.twseg"), "x").unwrap();
        std::fs::write(session.join("notes.txt"), "stays").unwrap();
        assert!(delete_session(&sessions, &session).is_err());
        assert_eq!(std::fs::read_to_string(session.join("notes.txt")).unwrap(), "stays");
    }
}
