//! `faults storage` (T-4): loss of power after every operation that a real component did to its disk.
//!
//! The component runs under strace, which records what the drain, the tender, the packer and retention do; the model
//! (`model.rs`) takes the operations one by one and draws after each what a crash could leave; the reader reads it.
//! The component's own words, written before it emits and after a flush has answered, say what must be there.

mod model;
mod record;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use tracewell_schema::format::segment::{PACKING_SUFFIX, parse_file_name};

use self::model::{Disk, Draw, State};
use self::record::Op;
use crate::disk::{Seen, Texts, read};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults storage`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StorageArgs {
    #[command(flatten)]
    scale: Scale,
    /// Only the scenarios whose names have this in them.
    #[arg(long, default_value = "")]
    scenario: String,
}

/// A component's life that is recorded.
struct Scenario {
    name: &'static str,
    component: &'static str,
    inject: &'static [&'static str],
}

const LANES: u32 = 2;

const fn of(name: &'static str, component: &'static str, inject: &'static [&'static str]) -> Scenario {
    Scenario { name, component, inject }
}

const STEADY: &str = "--rounds 7 --events 22 --segment 65536";

/// What is tried. Failures are those of the n-th call of a thread: of the segment writer's and the tender's.
const SCENARIOS: &[Scenario] = &[
    of("steady", STEADY, &[]),
    of("unflushed", "--rounds 6 --events 22 --segment 65536 --quiet-from 2 --pause 40", &[]),
    of("retention", "--rounds 9 --events 30 --segment 65536 --total 200000", &[]),
    of("packing", "--rounds 3 --events 150 --text 300 --segment 65536 --ring 65536 --wait --rest 3500", &[]),
    of("first sync fails", STEADY, &["inject=fdatasync:error=EIO:when=1"]),
    of("second sync fails", STEADY, &["inject=fdatasync:error=EIO:when=2"]),
    of("third sync fails", STEADY, &["inject=fdatasync:error=EIO:when=3"]),
    of("every second sync fails", STEADY, &["inject=fdatasync:error=EIO:when=2+2"]),
    of("a directory's sync fails", STEADY, &["inject=fsync:error=EIO:when=1"]),
    of("a directory's second sync fails", STEADY, &["inject=fsync:error=EIO:when=2"]),
    of("a write fails", STEADY, &["inject=write:error=ENOSPC:when=4"]),
    of("some writes fail", STEADY, &["inject=write:error=ENOSPC:when=3+3"]),
    of("a rename fails", STEADY, &["inject=renameat,renameat2,rename:error=EIO:when=2"]),
    of("cutting fails too", STEADY, &["inject=write:error=EIO:when=4", "inject=ftruncate:error=EIO:when=1"]),
];

/// What is known of a recorded life.
struct Life {
    name: &'static str,
    ops: Vec<Op>,
    texts: Texts,
    /// The events of each file when it was longest.
    events: HashMap<usize, HashSet<(u32, u64)>>,
}

/// Runs the test.
pub(crate) fn run(args: &StorageArgs) -> Result<(), String> {
    let (seed, count) = (args.scale.seed(), args.scale.count_or(20_000));
    let begun = Instant::now();
    let mut lives = Vec::new();
    for scenario in SCENARIOS.iter().filter(|s| s.name.contains(&args.scenario)) {
        lives.push(live(scenario)?);
    }
    let points: usize = lives.iter().map(|life| life.ops.len() + 1).sum();
    let each = count.div_ceil(points.max(1) as u64).max(2);
    eprintln!("storage: {} lives, {points} points, {each} states each, seed {seed}", lives.len());
    let sampling = Instant::now();
    let (states, distinct, events) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    for life in &lives {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let outcomes: Vec<Result<Counts, String>> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|part| scope.spawn(move || crash_all(life, seed, each, part, threads)))
                .collect();
            all.into_iter()
                .map(|one| one.join().unwrap_or_else(|_| Err("the test itself fails".into())))
                .collect()
        });
        for outcome in outcomes {
            let counts = outcome.map_err(|violation| {
                format!(
                    "storage, {}: {violation}\nrepeat: faults storage --count {count} --seed {seed} --scenario '{}'",
                    life.name, life.name
                )
            })?;
            states.fetch_add(counts.states, Ordering::Relaxed);
            distinct.fetch_add(counts.distinct, Ordering::Relaxed);
            events.fetch_add(counts.events, Ordering::Relaxed);
        }
    }
    let (states, seconds) = (states.into_inner(), sampling.elapsed().as_secs_f64());
    eprintln!(
        "storage: {:.0} states/s, {:.1} s in all",
        states as f64 / seconds,
        begun.elapsed().as_secs_f64()
    );
    Report {
        test: "storage (T-4)".into(),
        unit: "states".into(),
        count: states,
        seed: Some(seed),
        result: format!(
            "{} lives, {points} points, {} states differ, {} events read: all that a flush covered, 0 invented",
            lives.len(),
            grouped(distinct.into_inner()),
            grouped(events.into_inner())
        ),
        command: format!("faults storage --count {count}"),
    }
    .print();
    Ok(())
}

/// Records one life.
fn live(scenario: &Scenario) -> Result<Life, String> {
    let tell = |error: std::io::Error| error.to_string();
    let place = tempfile::tempdir_in("/dev/shm").map_err(tell)?;
    let (base, oracle) = (place.path().join("trace"), place.path().join("oracle"));
    let program = std::env::current_exe().map_err(tell)?;
    let mut command = vec![program.display().to_string(), "component".into()];
    for (name, path) in [("--dir", &base), ("--rings", &place.path().join("rings")), ("--oracle", &oracle)] {
        command.extend([name.to_owned(), path.display().to_string()]);
    }
    command.extend(["--threads".into(), LANES.to_string()]);
    command.extend(scenario.component.split(' ').map(str::to_owned));
    let inject: Vec<String> = scenario.inject.iter().map(|rule| (*rule).to_owned()).collect();
    let ops = record::record(&command, &inject, &base, &oracle, &place.path().join("log"))?;
    let words: Vec<&str> = scenario.component.split(' ').collect();
    let after = |name| words.iter().skip_while(|w| **w != name).nth(1).and_then(|n| n.parse::<u64>().ok());
    let all = after("--rounds").unwrap_or(0) * after("--events").unwrap_or(0);
    let texts = Texts::new(LANES, all, after("--text").unwrap_or(900) as usize);
    if !matches!(ops.last(), Some(Op::End)) && !ops.iter().any(|op| matches!(op, Op::End)) {
        return Err(format!("{}: the component did not say its last word", scenario.name));
    }
    // A life in which the machine was too busy for the drain says little: all must be there in the end.
    let whole = read(&[base], &[], &texts)?.unwrap_or_default();
    let s = &whole.summary;
    if s.lost_total() != 0 || whole.events() + s.retired != all * u64::from(LANES) {
        return Err(format!(
            "{}: {} events and {} retired of {}: {s:?}",
            scenario.name,
            whole.events(),
            s.retired,
            all * u64::from(LANES)
        ));
    }
    let has = |what: fn(&Op) -> bool| ops.iter().filter(|op| what(op)).count();
    eprintln!(
        "storage: {}: {} operations, {} files, {} syncs, {} failed, {} names changed, {} removed, {} flushes failed",
        scenario.name,
        ops.len(),
        has(|op| matches!(op, Op::Create(..))),
        has(|op| matches!(op, Op::Sync { .. } | Op::SyncDir { .. })),
        has(|op| matches!(op, Op::Sync { worked: false, .. } | Op::SyncDir { worked: false, .. })),
        has(|op| matches!(op, Op::Rename { .. })),
        has(|op| matches!(op, Op::Unlink(_))),
        has(|op| matches!(op, Op::Flushed(_, false))),
    );
    let is_there = |what: fn(&Op) -> bool| has(what) != 0;
    let missing = match scenario.name {
        "packing" => !is_there(|op| matches!(op, Op::Rename { exchange: true, .. })),
        "retention" => s.retired == 0,
        name if name.contains("sync fails") => {
            !is_there(|op| matches!(op, Op::Sync { worked: false, .. } | Op::SyncDir { worked: false, .. }))
        }
        _ => false,
    };
    if missing {
        return Err(format!("{}: what it is about did not happen", scenario.name));
    }
    let events = events_of_files(&ops, &texts)?;
    Ok(Life { name: scenario.name, ops, texts, events })
}

/// Which events each file held when it was longest.
fn events_of_files(ops: &[Op], texts: &Texts) -> Result<HashMap<usize, HashSet<(u32, u64)>>, String> {
    let mut longest: HashMap<usize, (String, Arc<Vec<u8>>)> = HashMap::new();
    let mut disk = Disk::default();
    for (at, op) in ops.iter().enumerate() {
        disk.take(at, op)?;
        for (path, file, bytes) in disk.files() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            let name = name.strip_suffix(PACKING_SUFFIX).unwrap_or(name);
            if parse_file_name(name).is_some()
                && longest.get(&file).is_none_or(|(_, before)| before.len() <= bytes.len())
            {
                longest.insert(file, (name.to_owned(), Arc::clone(bytes)));
            }
        }
    }
    let place = tempfile::tempdir_in("/dev/shm").map_err(|error| error.to_string())?;
    let mut events = HashMap::new();
    for (file, (name, bytes)) in longest {
        let path = place.path().join(name);
        std::fs::write(&path, &*bytes).map_err(|error| error.to_string())?;
        let seen = read(&[path], &[], texts)?.unwrap_or_default();
        let all = seen.lanes.iter().flat_map(|(lane, numbers)| numbers.iter().map(|n| (*lane, *n)));
        events.insert(file, all.collect());
    }
    Ok(events)
}

/// What one thread did.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    states: u64,
    distinct: u64,
    events: u64,
}

/// What must hold at a point.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// Nothing at or above it was emitted.
    emitted: u64,
    /// Numbers that flushes have covered.
    covered: Vec<(u64, u64)>,
    /// Everything below was covered, or a flush has said that it may be gone.
    told: u64,
    /// Events that retention has deleted.
    retired: HashSet<(u32, u64)>,
}

impl Promise {
    fn take(&mut self, op: &Op, disk: &Disk, life: &Life) {
        match op {
            Op::Emit(upto) => self.emitted = *upto,
            Op::Flushed(upto, worked) => {
                if *worked {
                    self.covered.push((self.told, *upto));
                }
                self.told = *upto;
            }
            Op::Unlink(_) => {
                let gone = disk.gone();
                let all = |is_gone: bool| {
                    let gone = &gone;
                    life.events
                        .iter()
                        .filter(move |(file, _)| gone.contains(file) == is_gone)
                        .flat_map(|(_, e)| e)
                };
                let kept: HashSet<_> = all(false).copied().collect();
                self.retired = all(true).filter(|event| !kept.contains(event)).copied().collect();
            }
            _ => {}
        }
    }

    /// Whether a reading keeps it.
    fn check(&self, seen: &Seen) -> Result<(), String> {
        let empty = Vec::new();
        let mut gaps = 0;
        for lane in 0..LANES {
            let numbers = seen.lanes.get(&lane).unwrap_or(&empty);
            if let Some(last) = numbers.last() {
                if *last >= self.emitted {
                    return Err(format!("event {last} of lane {lane} was not emitted yet"));
                }
                gaps += last + 1 - numbers.len() as u64;
            }
            for number in self.covered.iter().flat_map(|(from, to)| *from..*to) {
                if numbers.binary_search(&number).is_err() && !self.retired.contains(&(lane, number)) {
                    return Err(format!("event {number} of lane {lane} is gone, and a flush had covered it"));
                }
            }
        }
        let s = &seen.summary;
        let stated = s.missing + s.retired;
        if stated < gaps {
            return Err(format!("{gaps} events are missing between others, the reader says {stated}"));
        }
        let all = self.emitted * u64::from(LANES);
        if stated + s.lost_total() + seen.events() > all {
            return Err(format!(
                "{all} events were emitted: {} read, {stated} missing, {} lost",
                seen.events(),
                s.lost_total()
            ));
        }
        // A block can outlive the one with its schemas: its events are counted and told, and nobody can read them.
        let without_schema = s.damaged.iter().filter(|damage| damage.what.contains("schema is missing"));
        let unreadable: u64 = without_schema.map(|damage| damage.events).sum();
        if s.events != seen.events() + unreadable {
            return Err(format!(
                "{} events are there, {} could be read: {:?}",
                s.events,
                seen.events(),
                s.damaged
            ));
        }
        Ok(())
    }
}

/// Draws states after every operation of a life; this thread those of its part.
fn crash_all(life: &Life, seed: u64, each: u64, part: u64, parts: u64) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let mut place = Place::new()?;
    let mut known = HashSet::new();
    let (mut disk, mut promise) = (Disk::default(), Promise::default());
    for point in 0..=life.ops.len() {
        for number in (0..each).filter(|number| number % parts == part) {
            let draw = match number {
                0 => Draw::Least,
                1 => Draw::Most,
                _ => Draw::Any,
            };
            let mut random = Random::new(seed ^ (point as u64) << 40 ^ number << 4);
            let state = disk.crash(Path::new("sessions"), draw, &mut random);
            counts.states += 1;
            counts.distinct += u64::from(known.insert(mark(&state)));
            let checked = place.read(&state, &life.texts).and_then(|seen| {
                promise.check(&seen)?;
                Ok(seen.events())
            });
            counts.events += checked.map_err(|violation| {
                let op = life.ops.get(point.wrapping_sub(1));
                let files: Vec<_> = state
                    .iter()
                    .map(|(path, content)| (path, content.as_ref().map(|content| content.bytes.len())))
                    .collect();
                let op: String = format!("{op:?}").chars().take(200).collect();
                format!("after operation {point} ({op}), state {number} ({draw:?}): {violation}\n{promise:?}\n{files:?}")
            })?;
        }
        if let Some(op) = life.ops.get(point) {
            disk.take(point, op)?;
            promise.take(op, &disk, life);
        }
    }
    Ok(counts)
}

fn mark(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, content) in state {
        (path, content.as_ref().map(|content| content.mark)).hash(&mut hasher);
    }
    hasher.finish()
}

/// A directory in memory that is made to hold one state after the other; only what differs is written.
struct Place {
    dir: tempfile::TempDir,
    there: State,
}

impl Place {
    fn new() -> Result<Self, String> {
        let dir = tempfile::tempdir_in("/dev/shm").map_err(|error| error.to_string())?;
        std::fs::write(dir.path().join("control"), "").map_err(|error| error.to_string())?;
        Ok(Self { dir, there: State::new() })
    }

    fn read(&mut self, state: &State, texts: &Texts) -> Result<Seen, String> {
        self.hold(state).map_err(|error| format!("the state cannot be made: {error}"))?;
        let seen = read(&[self.dir.path().to_owned()], &[], texts)?;
        Ok(seen.unwrap_or_default())
    }

    fn hold(&mut self, state: &State) -> std::io::Result<()> {
        let at = |path: &PathBuf| self.dir.path().join(path);
        for (path, content) in self.there.iter().rev() {
            match (content, state.get(path)) {
                (Some(_), Some(Some(_))) | (None, Some(None)) => {}
                (Some(_), _) => std::fs::remove_file(at(path))?,
                (None, _) => std::fs::remove_dir(at(path))?,
            }
        }
        for (path, content) in state {
            match (content, self.there.get(path)) {
                (Some(new), Some(Some(old))) if new.mark == old.mark => {}
                (Some(new), _) => std::fs::write(at(path), &*new.bytes)?,
                (None, Some(None)) => {}
                (None, _) => std::fs::create_dir(at(path))?,
            }
        }
        self.there.clone_from(state);
        Ok(())
    }
}
