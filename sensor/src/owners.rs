//! Which process a socket or a file belongs to.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tracewell::ProcessKey;

use crate::program;
use crate::shared::Shared;
use crate::stories::{Known, correlation_of};

/// A process that something belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    pub(crate) known: Known,
}

/// What is known of a process: remembered, else read.
pub(crate) fn owner(shared: &Shared, pid: u32) -> Owner {
    if let Some(known) = shared.processes().alive(pid).cloned() {
        return Owner { pid, known };
    }
    let mut snapshot = program::Snapshot::brief(pid);
    snapshot.program = program::path_only(pid);
    let key = snapshot.start_ticks.map(|ticks| ProcessKey::new(&shared.boot_id, pid, ticks));
    // It has ended meanwhile, and is the last that had this id.
    if key.is_none()
        && let Some(known) = shared.processes().get(pid).cloned()
    {
        return Owner { pid, known };
    }
    let known = Known {
        key,
        path: snapshot.path(),
        correlation: correlation_of(key),
        parent: snapshot.parent.unwrap_or(0),
        name: snapshot.name,
        ..Known::default()
    };
    Owner { pid, known }
}

/// Calls `see` with each open descriptor of each process that this user may look at.
fn each_descriptor(mut see: impl FnMut(u32, &Path)) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    // A child that has inherited a descriptor comes after its parent, most often.
    pids.sort_unstable();
    for pid in pids {
        let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for target in fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()) {
            see(pid, &target);
        }
    }
}

/// Process ids by inode of their sockets.
pub(crate) fn owners() -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    each_descriptor(|pid, target| {
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:["));
        if let Some(inode) = inode.and_then(|t| t.strip_suffix(']')?.parse().ok()) {
            owners.entry(inode).or_insert(pid);
        }
    });
    owners
}

/// Process ids by path of these files that they have open; not this process.
pub(crate) fn writers(paths: &HashSet<PathBuf>) -> HashMap<PathBuf, u32> {
    let own = std::process::id();
    let mut writers = HashMap::new();
    each_descriptor(|pid, target| {
        if pid != own && paths.contains(target) {
            writers.entry(target.to_owned()).or_insert(pid);
        }
    });
    writers
}
