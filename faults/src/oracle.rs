//! What the producers of the kill tests emit, what they acknowledge, and what must be read after their death.
//!
//! A producer writes the number of its emits that returned to a page that it shares with the supervisor and with
//! nothing of Tracewell. Everything in an event follows from seed, lane and number, so that each byte can be checked.
#![allow(unsafe_code)]

mod events;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};
use tracewell::Tracer;
use tracewell_reader::{Filter, Item, Summary, Trace};
use tracewell_schema::format::record::LossReason;
use tracewell_schema::limits::MAX_RECORD;

use events::mix;
pub(crate) use events::{Plan, prepare};

/// Threads that one try can have, one after the other included.
pub(crate) const LANES: usize = 96;
/// Words of a page that a test uses as it likes.
pub(crate) const WORDS: usize = 32;

/// What a thread of a producer acknowledges.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Lane {
    /// Emits begun.
    begun: AtomicU64,
    /// Emits that returned.
    acked: AtomicU64,
    /// The thread.
    tid: AtomicU32,
}

/// The page that producers and supervisor share: anonymous, so that it is no file that Tracewell could touch.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Page {
    lanes: [Lane; LANES],
    pub(crate) words: [AtomicU64; WORDS],
}

impl Page {
    /// Maps one, for the life of the program.
    pub(crate) fn new() -> Result<&'static Self, String> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice; it is never unmapped. All-zero bytes
        // are a valid page of atomics, and mmap aligns it to more than a cache line.
        unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                size_of::<Self>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
            .map(|page| &*page.cast::<Self>())
        }
        .map_err(|error| format!("shared page: {error}"))
    }

    /// Back to zero, before the next try.
    pub(crate) fn clear(&self) {
        for lane in &self.lanes {
            lane.begun.store(0, Ordering::Relaxed);
            lane.acked.store(0, Ordering::Relaxed);
            lane.tid.store(0, Ordering::Relaxed);
        }
        for word in &self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// What every lane says, for [`Page::restore`].
    pub(crate) fn save(&self) -> Vec<[u64; 3]> {
        let load = |lane: &Lane| {
            let tid = lane.tid.load(Ordering::Relaxed);
            [lane.begun.load(Ordering::Relaxed), lane.acked.load(Ordering::Relaxed), tid.into()]
        };
        self.lanes.iter().map(load).collect()
    }

    /// Takes the lanes back to a state that was saved; the words go to zero.
    pub(crate) fn restore(&self, saved: &[[u64; 3]]) {
        self.clear();
        for (lane, [begun, acked, tid]) in self.lanes.iter().zip(saved) {
            lane.begun.store(*begun, Ordering::Relaxed);
            lane.acked.store(*acked, Ordering::Relaxed);
            lane.tid.store(u32::try_from(*tid).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Emits that returned, of a lane.
    pub(crate) fn acked(&self, lane: usize) -> u64 {
        self.lanes.get(lane).map_or(0, |lane| lane.acked.load(Ordering::Acquire))
    }

    /// Whether any emit has returned.
    pub(crate) fn any_acked(&self) -> bool {
        self.lanes.iter().any(|lane| lane.acked.load(Ordering::Acquire) != 0)
    }
}

impl Page {
    /// Emits the next events of a lane until `more` says no; it is told the number of the next.
    pub(crate) fn emit(&self, tracer: &Tracer, plan: &Plan, lane: usize, mut more: impl FnMut(u64) -> bool) {
        let Some(own) = self.lanes.get(lane) else { return };
        own.tid.store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Relaxed);
        let mut number = own.begun.load(Ordering::Relaxed);
        while more(number) {
            own.begun.store(number + 1, Ordering::Release);
            plan.emit(tracer, lane as u32, number);
            number += 1;
            own.acked.store(number, Ordering::Release);
        }
    }
}

/// What reading a trace gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// For each lane the numbers, in the order of reading.
    pub(crate) lanes: BTreeMap<u32, Vec<u64>>,
    /// Losses told, by thread.
    lost: BTreeMap<u32, u64>,
    /// Everything handed out, in order, as a hash.
    digest: u64,
    /// As text, for comparison and for messages.
    pub(crate) summary: String,
    /// Events.
    pub(crate) events: u64,
    /// Refused and counted.
    pub(crate) counted: u64,
    /// Of them, those that were too big.
    too_big: u64,
    /// Blocks that were there twice, and were dropped.
    pub(crate) duplicates: u64,
    /// Unsealed segments that end in a write that was cut.
    pub(crate) torn: u64,
    /// Rings whose sums were checked.
    pub(crate) law_checked: u64,
    /// Rings read from the folders of dead processes.
    pub(crate) leftover: u64,
}

/// What must be so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Capacity of every ring.
    pub(crate) ring_size: u64,
    /// Emits that may be lost without a count: those in the moment when a session ends.
    pub(crate) uncounted: u64,
    /// Before this, UTC ns, nothing was emitted.
    pub(crate) since: i64,
    /// Nothing of the trace may still be open: everybody ended in order.
    pub(crate) is_closed: bool,
    /// Someone deletes: what is left must be whole, but need not be all.
    pub(crate) may_be_gone: bool,
}

/// Times may be off by so much, ns: a process that lived for a millisecond is dated by two points.
const MISDATED: i64 = 20_000_000;

/// Reads everything below a trace directory and holds each event against the plan.
pub(crate) fn read(base: &Path, rings: &Path, plan: &Plan, since: i64) -> Result<(Seen, Summary), String> {
    let trace = Trace::open(&[base.to_owned()], &[rings.to_owned()]).map_err(|error| error.to_string())?;
    read_trace(&trace, plan, since)
}

/// As [`read`], of an opened trace.
pub(crate) fn read_trace(trace: &Trace, plan: &Plan, since: i64) -> Result<(Seen, Summary), String> {
    let mut seen = Seen::default();
    let mut last_times: BTreeMap<u32, i64> = BTreeMap::new();
    let until = tracewell::boot::realtime_ns() + MISDATED;
    let summary = trace.read(&Filter::default(), |item| {
        let note = match item {
            // What the command itself records.
            Item::Event(event) if !event.schema.name.starts_with("fault.") => 5,
            Item::Event(event) => {
                let (lane, number) = plan.check(event)?;
                let numbers = seen.lanes.entry(lane).or_default();
                if numbers.last().is_some_and(|last| *last >= number) {
                    return Err(format!("lane {lane}: {number} comes after {:?}", numbers.last()));
                }
                // What was told to be lost so far are numbers that were passed over.
                let passed = number - numbers.len() as u64;
                let told = seen.lost.get(&event.tid).copied().unwrap_or(0);
                if told > passed {
                    return Err(format!(
                        "lane {lane}: before {number}, {told} losses are told, but only {passed} are missing"
                    ));
                }
                numbers.push(number);
                if event.time < since - MISDATED || event.time > until {
                    return Err(format!("lane {lane} number {number} is dated {}", event.time));
                }
                let before = last_times.insert(lane, event.time).unwrap_or(i64::MIN);
                if event.time < before {
                    return Err(format!("lane {lane} number {number} is dated before the one before it"));
                }
                u64::from(lane) << 48 ^ number ^ event.time.cast_unsigned()
            }
            Item::Lost { tid, counts, time, .. } => {
                *seen.lost.entry(*tid).or_default() += counts.total();
                mix(counts.total()) ^ time.cast_unsigned()
            }
            Item::Hole { events, .. } => mix(*events + 1),
            _ => 3,
        };
        seen.digest = mix(seen.digest ^ note);
        Ok(())
    })?;
    seen.summary = summary.to_text();
    seen.events = summary.events;
    seen.counted = summary.lost_total();
    seen.too_big = summary.lost[LossReason::TooBig as usize];
    seen.duplicates = summary.duplicates;
    seen.torn = summary.torn;
    seen.law_checked = summary.law_checked as u64;
    seen.leftover = summary.leftover_rings as u64;
    Ok((seen, summary))
}

/// Holds what was read against what was acknowledged.
pub(crate) fn judge(
    page: &Page,
    plan: &Plan,
    rules: &Rules,
    seen: &Seen,
    summary: &Summary,
) -> Result<(), String> {
    let tell = |what: String| Err(format!("{what}\n{}", seen.summary));
    if !summary.damaged.is_empty() || summary.more_damaged != 0 {
        return tell("something is damaged".into());
    }
    if !rules.may_be_gone && !summary.law.is_empty() {
        return tell("attempted is not delivered and lost".into());
    }
    if !rules.may_be_gone && summary.missing != 0 {
        return tell(format!("{} events are missing between blocks", summary.missing));
    }
    if rules.is_closed && (summary.law_open != 0 || summary.leftover_rings != 0 || summary.torn != 0) {
        return tell(format!("{} rings are open although everybody has ended in order", summary.law_open));
    }
    if let Some(lane) = seen.lanes.keys().find(|lane| **lane as usize >= LANES) {
        return tell(format!("lane {lane} is invented"));
    }
    let (mut uncounted, mut told, mut too_big, mut in_flight) = (0, 0, 0, 0);
    for (lane, own) in page.lanes.iter().enumerate() {
        let acked = own.acked.load(Ordering::Acquire);
        let begun = own.begun.load(Ordering::Acquire);
        let empty = Vec::new();
        let numbers = seen.lanes.get(&(lane as u32)).unwrap_or(&empty);
        if begun - acked > 1 {
            return tell(format!("lane {lane}: the oracle is wrong, {begun} begun and {acked} returned"));
        }
        if let Some(last) = numbers.last().filter(|last| **last >= begun) {
            return tell(format!("lane {lane}: {last} was read, but only {begun} were emitted"));
        }
        let read = numbers.iter().filter(|number| **number < acked).count() as u64;
        let missing = acked - read;
        let tid = own.tid.load(Ordering::Relaxed);
        // Under thread 0 is what belongs to no ring.
        let lost = if tid == 0 { 0 } else { seen.lost.get(&tid).copied().unwrap_or(0) };
        told += lost;
        // The one under way may have been counted as lost, or read, or neither.
        let flying = (begun - acked) - (numbers.len() as u64 - read);
        in_flight += begun - acked;
        if rules.may_be_gone {
            continue;
        }
        if lost > missing + flying {
            return tell(format!(
                "lane {lane}: {lost} are counted as lost, but {missing} of {acked} are missing"
            ));
        }
        if missing > lost {
            let mut next = 0;
            let first = numbers.iter().find(|number| {
                next += 1;
                **number != next - 1
            });
            if rules.uncounted == 0 {
                return tell(format!(
                    "lane {lane}: {missing} of {acked} acknowledged emits are missing, {lost} are counted as lost; \
                     the first gap is before {first:?}"
                ));
            }
            uncounted += missing - lost;
        }
        too_big += (0..acked)
            .filter(|_| plan.large != 0)
            .filter(|number| {
                let len = plan.large_len(lane as u32, *number);
                len > MAX_RECORD || len.next_multiple_of(8) as u64 > rules.ring_size / 2
            })
            .count() as u64;
    }
    if uncounted > rules.uncounted + seen.lost.get(&0).copied().unwrap_or(0) {
        return tell(format!("{uncounted} acknowledged emits are neither read nor counted as lost"));
    }
    if rules.uncounted == 0 && !rules.may_be_gone {
        if seen.lost.values().sum::<u64>() != told {
            return tell(format!("losses of threads that nobody knows: {:?}", seen.lost));
        }
        if !(too_big..=too_big + in_flight).contains(&seen.too_big) {
            return tell(format!("{too_big} emits were too big, {} are counted as such", seen.too_big));
        }
    }
    Ok(())
}

/// Every file of some folders: its bytes and when it was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, (Vec<u8>, i64, i64)>);

impl Snapshot {
    /// Reads everything below these folders; a folder that is missing holds nothing.
    pub(crate) fn of(folders: &[&Path]) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        let mut open: Vec<PathBuf> = folders.iter().map(|path| (*path).to_owned()).collect();
        while let Some(folder) = open.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let path = entry?.path();
                let meta = std::fs::symlink_metadata(&path)?;
                if meta.is_dir() {
                    open.push(path);
                    continue;
                }
                use std::os::unix::fs::MetadataExt;
                all.insert(path.clone(), (std::fs::read(&path)?, meta.mtime(), meta.mtime_nsec()));
            }
        }
        Ok(Self(all))
    }

    /// The first file in which another one differs.
    pub(crate) fn differs(&self, other: &Self) -> Option<String> {
        let all = self.0.keys().chain(other.0.keys());
        all.into_iter().find(|path| self.0.get(*path) != other.0.get(*path)).map(|p| p.display().to_string())
    }
}

/// Reads, judges, reads again: the second time must give the same, and no byte of what is read may change.
pub(crate) fn verify(
    base: &Path,
    rings: &Path,
    page: &Page,
    plan: &Plan,
    rules: &Rules,
) -> Result<Seen, String> {
    let tell = |error: io::Error| format!("what is read cannot be copied: {error}");
    let before = Snapshot::of(&[base, rings]).map_err(tell)?;
    let (seen, summary) = read(base, rings, plan, rules.since)?;
    judge(page, plan, rules, &seen, &summary)?;
    let (again, _) = read(base, rings, plan, rules.since)?;
    if again != seen {
        return Err(format!("read twice, it is not the same:\n{}{}", seen.summary, again.summary));
    }
    let after = Snapshot::of(&[base, rings]).map_err(tell)?;
    if let Some(path) = before.differs(&after) {
        return Err(format!("reading has changed {path}"));
    }
    Ok(seen)
}
