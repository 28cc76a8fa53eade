//! Launched programs, their ends, and their modules: the thread that must look at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use tracewell::catalog::{LaunchKind, ProcessEnding};
use tracewell::{Category, CorrelationId, ProcessKey, Timestamp};

use crate::maps;
use crate::missed;
use crate::netlink::{Connector, What};
use crate::program::Snapshot;
use crate::queue::{Exit, Job, Sender, Start};
use crate::shared::Shared;
use crate::stories::{Known, correlation_of};
use crate::times;

/// Between two looks at `/proc`, where the kernel does not tell.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How long after a launch the modules are looked at: some programs end soon, others load for long.
pub(crate) const MODULES_AFTER: [u64; 3] = [5, 30, 100];
/// A copy of its parent that has not launched a program by then is told as one.
const FORK_AFTER: Duration = Duration::from_millis(100);
/// What is looked at later, at most.
const MAX_PENDING: usize = 20_000;
/// Where the kernel does not tell, a process of this age may still launch its program.
const YOUNG: Duration = Duration::from_secs(2);

/// Categories that need to know of processes.
const NEEDED_BY: [Category; 4] = [Category::Process, Category::Module, Category::Network, Category::Download];

enum Later {
    Modules { pid: u32, key: ProcessKey },
    Fork { pid: u32, key: Option<ProcessKey> },
}

struct Watcher<'a> {
    shared: &'a Shared,
    jobs: &'a Sender,
    /// Of what is large and can wait.
    slow: &'a Sender,
    /// Made, but not told: they may launch a program soon.
    silent: HashMap<u32, Timestamp>,
    later: BTreeMap<(Instant, u64), Later>,
    number: u64,
    /// Modules that were told of processes that still load.
    told: HashMap<u32, HashSet<(String, u64)>>,
    young: HashMap<u32, Instant>,
}

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared, jobs: &Sender, slow: &Sender) {
    while !shared.is_stopped() {
        if !shared.wants(&NEEDED_BY) {
            shared.processes().clear();
            shared.rest(Duration::from_millis(50));
            continue;
        }
        // The connector first: what begins while the rest is read is told.
        let connector = Connector::open().ok();
        let mut watcher = Watcher {
            shared,
            jobs,
            slow,
            silent: HashMap::new(),
            later: BTreeMap::new(),
            number: 0,
            told: HashMap::new(),
            young: HashMap::new(),
        };
        for pid in pids() {
            watcher.remember(pid);
        }
        while !shared.is_stopped() && shared.wants(&NEEDED_BY) {
            match &connector {
                Some(connector) => watcher.follow(connector),
                None => {
                    std::thread::sleep(POLL);
                    watcher.compare();
                }
            }
            watcher.due();
        }
    }
}

fn pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

impl Watcher<'_> {
    fn key(&self, snapshot: &Snapshot) -> Option<ProcessKey> {
        snapshot.start_ticks.map(|ticks| ProcessKey::new(&self.shared.boot_id, snapshot.pid, ticks))
    }

    /// Reads what is needed of a process that is not news.
    fn remember(&mut self, pid: u32) -> Option<Known> {
        let mut snapshot = Snapshot::brief(pid);
        snapshot.program = crate::program::path_only(pid);
        let key = self.key(&snapshot)?;
        let known = Known {
            key: Some(key),
            started: snapshot.start_ticks.and_then(times::of_ticks),
            path: snapshot.path(),
            parent: snapshot.parent.unwrap_or(0),
            correlation: correlation_of(Some(key)),
            name: snapshot.name,
            ..Known::default()
        };
        self.shared.processes().insert(pid, known.clone());
        Some(known)
    }

    fn known(&mut self, pid: u32) -> Option<Known> {
        let known = self.shared.processes().get(pid).cloned();
        known.or_else(|| self.remember(pid))
    }

    fn follow(&mut self, connector: &Connector) {
        let next = self.later.keys().next().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let time = next.unwrap_or(Duration::from_millis(50)).min(Duration::from_millis(50));
        // Rounded up: a wait that is too short would come again and again.
        let Some(event) = connector.next(time + Duration::from_micros(200)) else { return };
        let at = times::of_monotonic(event.monotonic_ns);
        match event.what {
            What::Fork { parent, child } => {
                self.forked(parent, child, at, times::ticks_of_monotonic(event.monotonic_ns));
            }
            What::Exec { pid } => self.launched(pid, LaunchKind::Exec, Some(at)),
            What::Exit { pid, status } => self.ended(pid, Some(status), at),
            What::Overrun => {
                let error = std::io::Error::from_raw_os_error(libc::ENOBUFS);
                let lost = Some("launches and ends are missing");
                self.shared.trouble("processes", "follow all processes", "process connector", &error, lost);
                self.compare();
            }
            What::Nothing => {}
        }
    }

    fn forked(&mut self, parent: u32, child: u32, at: Timestamp, ticks: u64) {
        let snapshot = Snapshot::brief(child);
        if snapshot.is_kernel {
            return;
        }
        // One that has ended since was made when the kernel said so.
        let key = self.key(&snapshot).or(Some(ProcessKey::new(&self.shared.boot_id, child, ticks)));
        if self.shared.processes().alive(child).is_some_and(|k| k.key == key) {
            return;
        }
        let of = self.known(parent).unwrap_or_default();
        let known = Known {
            key,
            started: Some(at),
            path: of.path,
            name: if snapshot.name.is_empty() { of.name } else { snapshot.name },
            command_line: of.command_line,
            parent,
            correlation: correlation_of(key),
            parent_correlation: of.correlation,
        };
        self.shared.processes().insert(child, known);
        self.silent.insert(child, at);
        self.later(FORK_AFTER, Later::Fork { pid: child, key });
    }

    fn later(&mut self, after: Duration, what: Later) {
        if self.later.len() >= MAX_PENDING {
            return missed::count(&self.shared.missed.jobs);
        }
        self.number += 1;
        self.later.insert((Instant::now() + after, self.number), what);
    }

    /// A process runs a program that was not told.
    fn launched(&mut self, pid: u32, launch: LaunchKind, at: Option<Timestamp>) {
        let snapshot = Snapshot::take(pid);
        self.silent.remove(&pid);
        if snapshot.is_kernel {
            return;
        }
        if snapshot.program.is_none() && snapshot.command_line.is_none() {
            missed::count(&self.shared.missed.programs);
        }
        self.start(snapshot, launch, at);
    }

    fn start(&mut self, snapshot: Snapshot, launch: LaunchKind, at: Option<Timestamp>) {
        let pid = snapshot.pid;
        let read = self.key(&snapshot);
        // What is known of an older process with this id is not of this one.
        let former = self.shared.processes().alive(pid).filter(|k| read.is_none() || k.key == read).cloned();
        let key = read.or_else(|| former.as_ref().and_then(|k| k.key));
        // Who made it, not who adopted it since.
        let parent_pid =
            former.as_ref().map(|k| k.parent).filter(|p| *p != 0).or(snapshot.parent).unwrap_or(0);
        let parent = if parent_pid == 0 { None } else { self.known(parent_pid) };
        let began = former.as_ref().and_then(|k| k.started);
        let began = began.or_else(|| snapshot.start_ticks.and_then(times::of_ticks));
        let origin = self.origin(&snapshot);
        let mut path = snapshot.path();
        if path.is_empty() {
            // What it was before says nothing of what it launched.
            path = "(ended at once)".to_owned();
        }
        let known = Known {
            key,
            started: began,
            path,
            name: snapshot.name.clone(),
            command_line: snapshot.command_line.clone(),
            parent: parent_pid,
            correlation: correlation_of(key),
            parent_correlation: origin.or(parent.as_ref().map(|p| p.correlation)).unwrap_or_default(),
        };
        self.shared.processes().insert(pid, known.clone());
        let has_program = snapshot.program.is_some();
        let launched = at.or(began);
        let job = Start { snapshot, launch, launched, known, parent };
        self.jobs.send(Job::Start(Box::new(job)), &self.shared.missed);
        if let Some(key) = key.filter(|_| has_program && self.shared.wants(&[Category::Module])) {
            self.told.remove(&pid);
            for after in MODULES_AFTER {
                self.later(Duration::from_millis(after), Later::Modules { pid, key });
            }
        }
    }

    /// Story of the download that is run: the program itself, or the script that its program was given.
    fn origin(&self, snapshot: &Snapshot) -> Option<CorrelationId> {
        let files = self.shared.files();
        if files.is_empty() {
            return None;
        }
        let id = snapshot.program.as_ref().and_then(|p| p.id);
        id.and_then(|id| files.story(id)).or_else(|| {
            let folder = snapshot.working_directory.clone().unwrap_or_default();
            let paths = snapshot.arguments.iter().skip(1).take(16).map(|a| folder.join(a));
            paths.into_iter().find_map(|path| files.story_at(&path))
        })
    }

    fn ended(&mut self, pid: u32, status: Option<u32>, at: Timestamp) {
        if let Some(made) = self.silent.remove(&pid) {
            self.start_of_copy(pid, made);
        }
        self.told.remove(&pid);
        self.young.remove(&pid);
        let Some(known) = self.shared.processes().end(pid) else { return };
        let signal = status.map(|s| s & 0x7f).filter(|s| *s != 0);
        let code = status.filter(|_| signal.is_none()).map(|s| (s >> 8 & 0xff) as i32);
        let ending = match (status, signal, code) {
            (None, ..) => ProcessEnding::Unknown,
            (Some(status), Some(_), _) if status & 0x80 != 0 => ProcessEnding::CoreDump,
            (_, Some(_), _) => ProcessEnding::Signal,
            (.., Some(0)) => ProcessEnding::Success,
            _ => ProcessEnding::ExitCode,
        };
        let signal = signal.and_then(|s| u8::try_from(s).ok());
        let exit = Exit { pid, known, ending, code, signal, ended: at };
        self.jobs.send(Job::Exit(Box::new(exit)), &self.shared.missed);
    }

    /// A copy of its parent that ended, or that goes on as one.
    fn start_of_copy(&mut self, pid: u32, made: Timestamp) {
        let mut snapshot = Snapshot::take(pid);
        if snapshot.is_kernel {
            return;
        }
        let known = self.shared.processes().alive(pid).cloned();
        if let Some(known) = known
            && snapshot.program.is_none()
        {
            snapshot.name = if known.path.is_empty() { known.name } else { known.path };
        }
        self.start(snapshot, LaunchKind::Fork, Some(made));
    }

    /// What is new and what is gone since the last look.
    fn compare(&mut self) {
        let now: HashSet<u32> = pids().into_iter().collect();
        let before = self.shared.processes().pids();
        for pid in before.iter().filter(|pid| !now.contains(pid)) {
            self.ended(*pid, None, Timestamp::now());
        }
        let before: HashSet<u32> = before.into_iter().collect();
        for pid in now {
            if !before.contains(&pid) {
                self.young.insert(pid, Instant::now());
                self.launched(pid, LaunchKind::Unknown, None);
            } else if self.young.contains_key(&pid) {
                self.look_again(pid);
            }
        }
        self.young.retain(|_, since| since.elapsed() < YOUNG);
    }

    /// A process that was made a moment ago may run another program by now, or be another with the same id.
    fn look_again(&mut self, pid: u32) {
        let mut snapshot = Snapshot::brief(pid);
        let key = self.key(&snapshot);
        snapshot.program = crate::program::path_only(pid);
        let Some(known) = self.shared.processes().alive(pid).cloned() else { return };
        if key.is_none() || snapshot.is_kernel {
            return;
        }
        if known.key != key {
            self.ended(pid, None, Timestamp::now());
            self.launched(pid, LaunchKind::Unknown, None);
        } else if snapshot.program.is_some() && known.path != snapshot.path() {
            self.launched(pid, LaunchKind::Exec, Some(Timestamp::now()));
        }
    }

    /// Does what is due.
    fn due(&mut self) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > Instant::now() {
                return;
            }
            match entry.remove() {
                Later::Modules { pid, key } => self.modules(pid, key),
                Later::Fork { pid, key } => {
                    let is_it = self.shared.processes().alive(pid).is_some_and(|k| k.key == key);
                    if let Some(made) = self.silent.remove(&pid).filter(|_| is_it) {
                        self.start_of_copy(pid, made);
                    }
                }
            }
        }
        if self.told.len() > MAX_PENDING {
            self.told.clear();
        }
    }

    fn modules(&mut self, pid: u32, key: ProcessKey) {
        let mut modules = maps::of_process(&self.shared.boot_id, pid, key);
        if modules.is_empty() {
            return;
        }
        let told = self.told.entry(pid).or_default();
        modules.retain(|m| told.insert((m.path.clone(), m.base)));
        modules.iter_mut().for_each(|m| m.open(pid));
        let job = Job::Modules { pid, key, correlation: correlation_of(Some(key)), modules };
        self.slow.send(job, &self.shared.missed);
    }
}
