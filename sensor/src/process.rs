//! Launched programs, their ends, and their modules.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use procfs::process::{MMapPath, Process};
use tracewell::catalog::{LaunchKind, LoadKind, ModuleLoad, ProcessExit, ProcessStart};
use tracewell::{CorrelationId, ProcessKey, Timestamp, emit};

use crate::Shared;
use crate::facts::{self, FileFacts, HashCache};
use crate::image;
use crate::netlink::{Connector, ProcessEvent};

const POLL: Duration = Duration::from_millis(100);
/// How long after a launch the modules are looked at: then the loader has done its work.
const MODULES_AFTER: Duration = Duration::from_millis(100);

struct Known {
    key: ProcessKey,
    path: String,
    since: Instant,
}

struct Watcher<'a> {
    shared: &'a Shared,
    known: HashMap<u32, Known>,
    parents: HashMap<u32, u32>,
    pending: VecDeque<(Instant, u32)>,
    hashes: HashCache,
    images: HashSet<[u8; 32]>,
}

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared, connector: Option<Connector>) {
    let mut watcher = Watcher {
        shared,
        known: HashMap::new(),
        parents: HashMap::new(),
        pending: VecDeque::new(),
        hashes: HashCache::default(),
        images: HashSet::new(),
    };
    for pid in pids() {
        watcher.remember(pid);
    }
    while !shared.is_stopped() {
        match &connector {
            Some(connector) => match connector.next() {
                Some(ProcessEvent::Fork { parent, child }) => {
                    if watcher.parents.len() > 100_000 {
                        watcher.parents.clear();
                    }
                    watcher.parents.insert(child, parent);
                    watcher.remember(child);
                }
                Some(ProcessEvent::Exec { pid }) => watcher.started(pid, LaunchKind::Exec),
                Some(ProcessEvent::Exit { pid, status }) => watcher.ended(pid, Some(status)),
                Some(ProcessEvent::Overrun) => {
                    let error = std::io::Error::from_raw_os_error(libc::ENOBUFS);
                    shared.error("processes", "follow all launches", "process connector", &error);
                    watcher.compare();
                }
                None => {}
            },
            None => {
                std::thread::sleep(POLL);
                watcher.compare();
            }
        }
        watcher.modules();
    }
}

fn pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

impl Watcher<'_> {
    fn key(&self, pid: u32) -> Option<ProcessKey> {
        let start = tracewell::boot::start_ticks(pid)?;
        Some(ProcessKey::new(&self.shared.boot_id, pid, start))
    }

    fn remember(&mut self, pid: u32) -> Option<()> {
        let key = self.key(pid)?;
        let path = exe_of(pid).unwrap_or_default().to_string_lossy().into_owned();
        self.known.insert(pid, Known { key, path, since: Instant::now() });
        Some(())
    }

    /// What is new and what is gone since the last look.
    fn compare(&mut self) {
        let now: HashSet<u32> = pids().into_iter().collect();
        let gone: Vec<u32> = self.known.keys().copied().filter(|pid| !now.contains(pid)).collect();
        for pid in gone {
            self.ended(pid, None);
        }
        for pid in now {
            let Some(key) = self.key(pid) else { continue };
            match self.known.get(&pid) {
                Some(known) if known.key == key => {}
                Some(_) => {
                    self.ended(pid, None);
                    self.started(pid, LaunchKind::Unknown);
                }
                None => self.started(pid, LaunchKind::Unknown),
            }
        }
    }

    fn started(&mut self, pid: u32, launch: LaunchKind) {
        let process = i32::try_from(pid).ok().and_then(|p| Process::new(p).ok());
        let stat = process.as_ref().and_then(|p| p.stat().ok());
        // Kernel threads have no program.
        if stat.as_ref().is_some_and(|s| s.ppid == 2 || pid == 2) {
            let _ = self.remember(pid);
            return;
        }
        let parent_pid = stat
            .as_ref()
            .and_then(|s| u32::try_from(s.ppid).ok())
            .or_else(|| self.parents.get(&pid).copied())
            .unwrap_or(0);
        let exe = exe_of(pid);
        let image_path = match &exe {
            Some(path) => path.to_string_lossy().into_owned(),
            // Gone before we looked: at least its name, if the kernel still has it.
            None => stat.as_ref().map_or_else(|| "(ended at once)".to_owned(), |s| s.comm.clone()),
        };
        let key = self.key(pid).or_else(|| self.known.get(&pid).map(|k| k.key)).unwrap_or_default();
        if !self.known.contains_key(&parent_pid) {
            let _ = self.remember(parent_pid);
        }
        let (parent_key, parent_path) =
            self.known.get(&parent_pid).map(|p| (p.key, p.path.clone())).unwrap_or_default();
        let status = process.as_ref().and_then(|p| p.status().ok());
        let command_line =
            process.as_ref().and_then(|p| p.cmdline().ok()).map(|args| args.join(" ")).unwrap_or_default();
        let cwd = process.as_ref().and_then(|p| p.cwd().ok()).map(|c| c.to_string_lossy().into_owned());
        let names: Vec<String> = process
            .as_ref()
            .and_then(|p| p.environ().ok())
            .map(|e| e.keys().map(|k| k.to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        let cgroup = cgroup.as_deref().and_then(|c| c.lines().last()).and_then(|l| l.rsplit(':').next());
        // Through /proc, so that a program that was replaced or deleted is still the one that runs.
        let (facts, sha256) = self.file_facts(pid, exe.as_deref());
        let correlation = correlation_of(&key);
        emit!(
            self.shared.tracer,
            ProcessStart {
                process_key: key,
                pid,
                parent_key,
                parent_pid,
                image_path: &image_path,
                parent_path: &parent_path,
                command_line: &command_line,
                working_directory: cwd.as_deref(),
                environment_names: &names,
                uid: status.as_ref().map_or(0, |s| s.ruid),
                session: stat.as_ref().and_then(|s| u32::try_from(s.session).ok()),
                capabilities: status.as_ref().map_or(0, |s| s.capeff),
                cgroup,
                seccomp: status.as_ref().and_then(|s| s.seccomp).and_then(|s| u8::try_from(s).ok()),
                no_new_privileges: status.as_ref().and_then(|s| s.nonewprivs).map(|n| n != 0),
                traced_by: status.as_ref().and_then(|s| u32::try_from(s.tracerpid).ok()).filter(|t| *t != 0),
                started: Timestamp::now(),
                launch,
                size: facts.size,
                created: facts.created,
                modified: facts.modified,
                attributes: facts.attributes,
                sha256,
                correlation,
                ..Default::default()
            }
        );
        if let (Some(hash), Some(path)) = (sha256, &exe) {
            self.image(path, &PathBuf::from(format!("/proc/{pid}/exe")), hash, &facts);
        }
        self.known.insert(pid, Known { key, path: image_path, since: Instant::now() });
        if exe.is_some() && self.pending.len() < 10_000 {
            self.pending.push_back((Instant::now() + MODULES_AFTER, pid));
        }
    }

    fn file_facts(&mut self, pid: u32, exe: Option<&Path>) -> (FileFacts, Option<[u8; 32]>) {
        let Some(exe) = exe else { return Default::default() };
        let Ok(mut file) = File::open(format!("/proc/{pid}/exe")) else { return Default::default() };
        let facts = facts::of_file(&file, exe).unwrap_or_default();
        let hash = self.hashes.get(&mut file, &facts);
        (facts, hash)
    }

    /// Facts of an image, once for each hash.
    fn image(&mut self, path: &Path, open_as: &Path, sha256: [u8; 32], facts: &FileFacts) {
        if self.images.len() > 100_000 {
            self.images.clear();
        }
        if !self.images.insert(sha256) {
            return;
        }
        if let Some(bytes) = image::read(open_as) {
            image::report(&self.shared.tracer, path, &bytes, sha256, facts);
        }
    }

    fn ended(&mut self, pid: u32, status: Option<u32>) {
        let Some(known) = self.known.remove(&pid) else { return };
        let signal = status.map(|s| s & 0x7f).filter(|s| *s != 0);
        let code = status.filter(|_| signal.is_none()).map(|s| (s >> 8 & 0xff) as i32);
        emit!(
            self.shared.tracer,
            ProcessExit {
                process_key: known.key,
                pid,
                image_path: &known.path,
                exit_code: code,
                signal: signal.and_then(|s| u8::try_from(s).ok()),
                ended: Timestamp::now(),
                lifetime: Some(known.since.elapsed()),
                correlation: correlation_of(&known.key),
            }
        );
    }

    /// Modules of processes that were launched a moment ago.
    fn modules(&mut self) {
        while let Some((due, pid)) = self.pending.front().copied() {
            if due > Instant::now() {
                return;
            }
            self.pending.pop_front();
            let Some(key) = self.known.get(&pid).map(|k| k.key) else { continue };
            let maps = i32::try_from(pid).ok().and_then(|p| Process::new(p).ok()).and_then(|p| p.maps().ok());
            let mut ranges: HashMap<PathBuf, (u64, u64, bool)> = HashMap::new();
            for map in maps.into_iter().flatten() {
                let MMapPath::Path(path) = map.pathname else { continue };
                let is_code = map.perms.contains(procfs::process::MMPermissions::EXECUTE);
                let range = ranges.entry(path).or_insert((map.address.0, map.address.1, false));
                *range = (range.0.min(map.address.0), range.1.max(map.address.1), range.2 || is_code);
            }
            for (path, (base, end, _)) in ranges.into_iter().filter(|(_, r)| r.2) {
                self.module(pid, key, &path, base, end - base);
            }
        }
    }

    fn module(&mut self, pid: u32, process_key: ProcessKey, path: &Path, base: u64, mapped: u64) {
        let text = path.to_string_lossy();
        let deleted = text.strip_suffix(" (deleted)");
        let mut sha256 = None;
        if deleted.is_none()
            && let Ok(mut file) = File::open(path)
        {
            let facts = facts::of_file(&file, path).unwrap_or_default();
            sha256 = self.hashes.get(&mut file, &facts);
            if let Some(hash) = sha256 {
                self.image(path, path, hash, &facts);
            }
        }
        emit!(
            self.shared.tracer,
            ModuleLoad {
                process_key,
                pid,
                path: deleted.unwrap_or(&text),
                base,
                mapped,
                load: if deleted.is_some() { LoadKind::DeletedFile } else { LoadKind::Normal },
                sha256,
                correlation: correlation_of(&process_key),
                ..Default::default()
            }
        );
    }
}

fn exe_of(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A process's events share an id made of its key.
pub(crate) fn correlation_of(key: &ProcessKey) -> CorrelationId {
    CorrelationId(key.0.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)))
}
