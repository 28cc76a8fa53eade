//! `faults errors` (T-10): the n-th call to the disk fails, once, for a while, or for ever.
//!
//! In two ways: *through the storage* that the segment writer writes to, within this process, every call with every
//! error; and *through the kernel*, where strace lets the n-th system call of each thread of a component fail. The
//! component must live, its emits must not wait, and every emit must be read or be counted as lost.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use tracewell::testing::{Storage, wrap_storage};

use crate::disk::{Component, Done, Stalls, Texts, check_sum, enable, read};
use crate::random::Random;
use crate::report::{Report, Scale};

/// Arguments of `faults errors`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    scale: Scale,
    /// Only this one, as told by a violation: `storage:CALL:ERROR:TIMES` or `kernel:CALL:ERROR:WHEN:SCENARIO`.
    #[arg(long)]
    only: Option<String>,
    /// Runs at a time: most of them wait.
    #[arg(long, default_value_t = 24)]
    at_once: usize,
}

const ERRORS: [(&str, i32); 9] = [
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EIO", libc::EIO),
    ("EROFS", libc::EROFS),
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("EACCES", libc::EACCES),
    ("EINTR", libc::EINTR),
    ("EAGAIN", libc::EAGAIN),
];

/// System calls that fail, with how many calls of one thread are tried.
const CALLS: [(&str, u64); 15] = [
    ("openat", 14),
    ("mkdirat", 4),
    ("ftruncate", 3),
    ("fallocate", 2),
    ("mmap", 8),
    ("madvise", 8),
    ("write", 14),
    ("pwrite64", 4),
    ("fsync", 4),
    ("fdatasync", 4),
    ("renameat,renameat2", 3),
    ("unlinkat", 4),
    ("fcntl", 6),
    ("clone3", 3),
    ("lseek", 2),
];

/// What a component of the second way does: joins a session, or makes directory and session itself.
const SCENARIOS: [(&str, &str); 3] = [
    ("joins", "--rounds 3 --events 30 --go"),
    ("makes", "--rounds 3 --events 30 --segment 65536 --go"),
    ("packs", "--rounds 2 --events 120 --text 300 --segment 65536 --ring 65536 --wait --rest 2500 --go"),
];

/// What Rust's library says when it ends a process for want of memory.
const MEMORY: [&str; 2] = ["failed to allocate an alternative stack", "memory allocation of"];

#[derive(Clone, Debug)]
enum Try {
    Storage { call: u64, error: (&'static str, i32), times: u64 },
    Kernel { call: &'static str, error: &'static str, when: String, scenario: usize },
}

impl Try {
    fn name(&self) -> String {
        match self {
            Self::Storage { call, error, times } => format!("storage:{call}:{}:{times}", error.0),
            Self::Kernel { call, error, when, scenario } => {
                format!("kernel:{call}:{error}:{when}:{}", SCENARIOS[*scenario].0)
            }
        }
    }

    /// It waits for long: flushes and the end give up only after seconds.
    fn is_long(&self) -> bool {
        matches!(self, Self::Storage { times: u64::MAX, .. })
            || matches!(self, Self::Kernel { when, .. } if when.ends_with('+'))
    }
}

#[derive(Debug, Default)]
struct Totals {
    storage: AtomicU64,
    kernel: AtomicU64,
    failed: AtomicU64,
    events: AtomicU64,
    lost: AtomicU64,
    inert: AtomicU64,
    /// Ended by the library for want of memory.
    memory: AtomicU64,
}

/// Runs the test.
pub(crate) fn run(args: &ErrorsArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let calls = calls_of_storage()?;
    let mut tries = all_tries(calls);
    let whole = tries.len();
    let mut random = Random::new(seed);
    for at in (1..tries.len()).rev() {
        tries.swap(at, random.below(at as u64 + 1) as usize);
    }
    if let Some(only) = &args.only {
        tries.retain(|one| one.name() == *only);
    }
    tries.truncate(args.scale.count_or(whole as u64) as usize);
    // Those that wait first.
    tries.sort_by_key(|one| !one.is_long());
    eprintln!("errors: {} of {whole} tries, {calls} calls through the storage, seed {seed}", tries.len());
    let begun = Instant::now();
    let (next, totals) = (AtomicUsize::new(0), Totals::default());
    let violation = Mutex::new(None);
    let (running, ended) = (Mutex::new(HashMap::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&tries, &running, &ended));
        for _ in 0..args.at_once.max(1) {
            scope.spawn(|| {
                while let Some(one) = tries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    lock(&running).insert(one.name(), Instant::now());
                    let done = match one {
                        Try::Storage { call, error, times } => {
                            through_storage(*call, error.1, *times, &totals)
                        }
                        Try::Kernel { call, error, when, scenario } => {
                            let words = SCENARIOS[*scenario].1;
                            // As with the storage.
                            let quiet = if one.is_long() { " --quiet-from 1 --pause 40" } else { "" };
                            through_kernel(call, error, when, &format!("{words}{quiet}"), &totals)
                        }
                    };
                    let name = one.name();
                    lock(&running).remove(&name);
                    ended.fetch_add(1, Ordering::Relaxed);
                    if let Err(what) = done {
                        eprintln!("errors: {name} violates; waiting for the others");
                        let text = format!("errors, {name}: {what}\nrepeat: faults errors --only '{name}'");
                        violation.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
                        ended.store(u64::MAX / 2, Ordering::Relaxed);
                        next.store(usize::MAX / 2, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if let Some(violation) = violation.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(violation);
    }
    eprintln!("errors: {:.0} s", begun.elapsed().as_secs_f64());
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    if get(&totals.failed) == 0 {
        return Err("errors: nothing failed, so nothing was tried".into());
    }
    Report {
        test: "errors (T-10)".into(),
        unit: "tries".into(),
        count: get(&totals.storage) + get(&totals.kernel),
        seed: Some(seed),
        result: format!(
            "{} through the storage, {} through the kernel ({} failed calls, {} could not attach, {} ended by \
             Rust's library as mmap gave no memory): {} events read, {} \
             counted as lost, all emits accounted for",
            get(&totals.storage),
            get(&totals.kernel),
            get(&totals.failed),
            get(&totals.inert),
            get(&totals.memory),
            get(&totals.events),
            get(&totals.lost)
        ),
        command: format!("faults errors --count {}", tries.len()),
    }
    .print();
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a try may last: flushes of ten seconds, the end, and the machine.
const LONGEST: Duration = Duration::from_secs(150);

/// Until all tries have ended: tells how far it is, and ends the program if a component hangs.
fn watch(tries: &[Try], running: &Mutex<HashMap<String, Instant>>, ended: &AtomicU64) {
    let stalls = Stalls::watch();
    for second in 1_u64.. {
        std::thread::sleep(Duration::from_secs(1));
        let count = ended.load(Ordering::Relaxed);
        if count >= tries.len() as u64 {
            return;
        }
        if second.is_multiple_of(30) {
            eprintln!("errors: {count} done");
        }
        let hangs = lock(running)
            .iter()
            .find(|(_, begun)| stalls.is_beyond(begun.elapsed(), LONGEST))
            .map(|(name, _)| name.clone());
        if let Some(name) = hangs {
            eprintln!("faults: errors, {name}: the component hangs\nrepeat: faults errors --only '{name}'");
            std::process::exit(1);
        }
    }
}

fn all_tries(calls: u64) -> Vec<Try> {
    let mut tries = Vec::new();
    for call in 1..=calls {
        for error in ERRORS {
            for times in [1, 2, 5, u64::MAX] {
                tries.push(Try::Storage { call, error, times });
            }
        }
    }
    for (call, most) in CALLS {
        for n in 1..=most {
            for (error, _) in ERRORS {
                for scenario in 0..SCENARIOS.len() {
                    for when in [format!("{n}"), format!("{n}+")] {
                        // An interrupted call is made again, by the standard library too, until it is not; and the last
                        // scenario's component has chosen to wait for room.
                        if when.ends_with('+') && (error == "EINTR" || scenario == 2) {
                            continue;
                        }
                        tries.push(Try::Kernel { call, error, when, scenario });
                    }
                }
            }
        }
    }
    tries
}

/// What fails of a session's storage.
#[derive(Debug, Default)]
struct Plan {
    first: u64,
    times: u64,
    errno: i32,
    calls: AtomicU64,
    failed: AtomicU64,
}

impl Plan {
    fn call(&self) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number < self.first || number - self.first >= self.times {
            return Ok(());
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        Err(io::Error::from_raw_os_error(self.errno))
    }
}

static PLANS: Mutex<Option<HashMap<PathBuf, Arc<Plan>>>> = Mutex::new(None);

struct Failing {
    plan: Arc<Plan>,
    inner: Box<dyn Storage>,
}

impl Storage for Failing {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.create(name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.plan.call() {
            // A part is written before the disk is full.
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.append(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.plan.call()?;
        self.inner.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.sync()
    }

    fn remove(&mut self, name: &str) {
        self.inner.remove(name);
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.seal(from, to)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.settle()
    }
}

/// A flush that cannot be served waits ten seconds: one only where every call fails.
const THROUGH_STORAGE: [&str; 2] = [
    "--rounds 4 --events 30 --segment 65536",
    "--rounds 4 --events 30 --segment 65536 --quiet-from 1 --pause 40",
];

/// How many calls a life makes in which nothing fails.
fn calls_of_storage() -> Result<u64, String> {
    wrap_storage(Box::new(|folder, inner| {
        let plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plans.iter().flatten().find(|(base, _)| folder.starts_with(base));
        match plan {
            Some((_, plan)) => Box::new(Failing { plan: Arc::clone(plan), inner }),
            None => inner,
        }
    }));
    let plan = one_life(Plan::default(), &Totals::default())?;
    Ok(plan.calls.load(Ordering::Relaxed))
}

fn through_storage(call: u64, errno: i32, times: u64, totals: &Totals) -> Result<(), String> {
    let plan = Plan { first: call, times, errno, ..Plan::default() };
    let plan = one_life(plan, totals)?;
    totals.storage.fetch_add(1, Ordering::Relaxed);
    totals.failed.fetch_add(plan.failed.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(())
}

fn one_life(plan: Plan, totals: &Totals) -> Result<Arc<Plan>, String> {
    let place = tempfile::tempdir_in("/dev/shm").map_err(|error| error.to_string())?;
    let (base, rings) = (place.path().join("trace"), place.path().join("rings"));
    let plan = Arc::new(plan);
    let set = |plan: Option<Arc<Plan>>| {
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let plans = plans.get_or_insert_default();
        match plan {
            Some(plan) => drop(plans.insert(base.clone(), plan)),
            None => drop(plans.remove(&base)),
        }
    };
    set(Some(Arc::clone(&plan)));
    let words = THROUGH_STORAGE[usize::from(plan.times == u64::MAX)];
    let component = Component::of(words, &base, &rings);
    let done = component.run();
    set(None);
    let seen = judge(&done, &base, &rings, &component.texts())?;
    if done.emitted.iter().sum::<u64>() != component.all() {
        return Err(format!("not everything was emitted: {done:?}"));
    }
    // What was written and is safe is not written again. (What cannot be cut off may be.)
    if plan.times == 1 && seen.2 != 0 {
        return Err(format!("{} blocks are there twice after one failure: {done:?}", seen.2));
    }
    // The rings hold far more than is emitted: whatever the disk does, nothing is lost.
    if seen.1 != 0 {
        return Err(format!("{} events were lost: {done:?}", seen.1));
    }
    let failed = plan.failed.load(Ordering::Relaxed);
    if failed == 0 && done.flushes.contains(&false) {
        return Err(format!("a flush failed, and nothing else: {done:?}"));
    }
    if plan.times != u64::MAX && done.flushes.iter().filter(|worked| !**worked).count() as u64 > failed {
        return Err(format!("{failed} calls failed, but more flushes: {done:?}"));
    }
    totals.events.fetch_add(seen.0, Ordering::Relaxed);
    Ok(plan)
}

/// Reads what a component left; its events, those counted as lost, and blocks that are there twice.
fn judge(done: &Done, base: &Path, rings: &Path, texts: &Texts) -> Result<(u64, u64, u64), String> {
    let seen = read(&[base.to_owned()], &[rings.to_owned()], texts)?.unwrap_or_default();
    check_sum(done, &seen)?;
    done.waited(&Stalls::watch())?;
    Ok((seen.events(), seen.summary.lost_total() + done.untold, seen.summary.duplicates))
}

fn through_kernel(call: &str, error: &str, when: &str, words: &str, totals: &Totals) -> Result<(), String> {
    let tell = |error: io::Error| error.to_string();
    let place = tempfile::tempdir_in("/dev/shm").map_err(tell)?;
    let (base, rings) = (place.path().join("trace"), place.path().join("rings"));
    let component = Component::of(words, &base, &rings);
    if component.segment.is_none() {
        enable(&base, &rings, 65536, 0)?;
    }
    let told = place.path().join("told");
    let mut child = Command::new(std::env::current_exe().map_err(tell)?)
        .arg("component")
        .args(["--dir".as_ref(), base.as_os_str(), "--rings".as_ref(), rings.as_os_str()])
        .args(words.split(' '))
        .arg("--told")
        .arg(&told)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tell)?;
    let mut out = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    out.read_line(&mut line).map_err(tell)?;
    let log = place.path().join("log");
    let mut strace = Command::new("strace")
        .args(["-f", "-p", &child.id().to_string(), "-e", &format!("trace={call}"), "-e"])
        .arg(format!("inject={call}:error={error}:when={when}"))
        .arg("-o")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("strace: {error}; install the package strace"))?;
    // It says so when all threads are its own.
    let mut said = BufReader::new(strace.stderr.take().ok_or("no messages")?);
    let mut attached = String::new();
    said.read_line(&mut attached).map_err(tell)?;
    if !attached.contains("attached") {
        return Err(format!("strace cannot attach: {attached}"));
    }
    if let Some(mut input) = child.stdin.take() {
        input.write_all(b"go\n").map_err(tell)?;
    }
    let mut text = String::new();
    out.read_to_string(&mut text).map_err(tell)?;
    let ended = child.wait().map_err(tell)?;
    let _ = strace.wait();
    if !ended.success() {
        let mut why = String::new();
        let _ = child.stderr.take().map(|mut err| err.read_to_string(&mut why));
        // Rust's library ends a process that cannot get memory for a new thread's signal stack, or at all: of the calls
        // here only mmap is asked for memory.
        if call == "mmap" && MEMORY.iter().any(|words| why.contains(words)) {
            totals.memory.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        return Err(format!("the component ended with {ended}: {why}"));
    }
    let text = std::fs::read_to_string(&told).map_err(tell)?;
    let done: Done = serde_json::from_str(text.trim()).map_err(|error| format!("{error}: {text}"))?;
    let (events, lost, _) = judge(&done, &base, &rings, &component.texts())?;
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    let injected = log.matches("(INJECTED)").count() as u64;
    if injected == 0 && (lost != 0 || done.problem.is_some() || done.flushes.contains(&false)) {
        return Err(format!("nothing failed: {done:?}"));
    }
    totals.kernel.fetch_add(1, Ordering::Relaxed);
    totals.failed.fetch_add(injected, Ordering::Relaxed);
    totals.events.fetch_add(events, Ordering::Relaxed);
    totals.lost.fetch_add(lost, Ordering::Relaxed);
    totals.inert.fetch_add(done.problem.is_some().into(), Ordering::Relaxed);
    Ok(())
}
