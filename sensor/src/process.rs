//! Launched programs, their ends, and their modules: the thread that must look at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use tracewell::catalog::LaunchKind;
use tracewell::{Category, ProcessKey, Timestamp};

use crate::launch::MAX_PENDING;
use crate::maps;
use crate::netlink::{Connector, What};
use crate::program::Snapshot;
use crate::queue::{Job, Sender};
use crate::shared::Shared;
use crate::stories::correlation_of;
use crate::times;

/// Between two looks at `/proc`, where the kernel does not tell.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How long after a launch the modules are looked at: some programs end soon, others load for long.
pub(crate) const MODULES_AFTER: [u64; 3] = [5, 30, 100];
/// Where the kernel does not tell, a process of this age may still launch its program.
const YOUNG: Duration = Duration::from_secs(2);

/// Categories that need to know of processes.
const NEEDED_BY: [Category; 4] = [Category::Process, Category::Module, Category::Network, Category::Download];

/// What is looked at after a while.
pub(crate) enum Later {
    Modules { pid: u32, key: ProcessKey },
    Fork { pid: u32, key: Option<ProcessKey> },
}

/// What the quick thread knows.
pub(crate) struct Watcher<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) jobs: &'a Sender,
    /// Of what is large and can wait.
    pub(crate) slow: &'a Sender,
    /// Made, but not told: they may launch a program soon.
    pub(crate) silent: HashMap<u32, Timestamp>,
    pub(crate) later: BTreeMap<(Instant, u64), Later>,
    pub(crate) number: u64,
    /// Modules that were told of processes that still load.
    pub(crate) told: HashMap<u32, HashSet<(String, u64)>>,
    pub(crate) young: HashMap<u32, Instant>,
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
            // When it did so nobody has seen.
            self.launched(pid, LaunchKind::Exec, None);
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
