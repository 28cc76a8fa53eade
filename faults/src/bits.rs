//! T-6: every bit of a trace flipped, one at a time. The flip is told, with where; or nothing that comes out is another.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use tracewell_reader::Summary;
use tracewell_schema::decode::Reader;
use tracewell_schema::format::block::{BlockKind, HEADER_LEN, decompress_block};
use tracewell_schema::format::record::{self, KIND_PAD};
use tracewell_schema::format::ring::{PAGE, RingCounters, STATIC_LEN};
use tracewell_schema::format::segment::SegmentHeader;

use crate::goldens::{self, Golden, Kind, Line, Part, Reading, Stage};
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults bits`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BitsArgs {
    #[command(flatten)]
    scale: Scale,
    /// Flips each n-th bit only, from one on that the seed chooses.
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// Only the goldens whose name contains this.
    #[arg(long, default_value = "")]
    golden: String,
}

/// What became of flips.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Verdict {
    /// The file is refused.
    Refused,
    /// Told as damage or by numbers that do not add up.
    Told,
    /// All events are the same.
    Harmless,
    /// A ring's record has another payload or time: it has no checksum.
    Payload,
    /// The first or last event of a ring is taken as the one that was under way when the process was killed.
    HidesOne,
    /// Told, and events that were released before came out again, which only their number tells.
    Stale,
    /// One record of a ring whose length was changed, told with what follows it.
    Misread,
    /// A ring's record has the index of another type of the same shape.
    OtherType,
}

/// Runs the test.
pub(crate) fn run(args: &BitsArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let goldens = goldens::all_of(&args.golden)?;
    let begun = Instant::now();
    let mut all: BTreeMap<Verdict, u64> = BTreeMap::new();
    for golden in &goldens {
        let started = Instant::now();
        let counts = of_golden(golden, args.every.max(1), seed)?;
        let flips: u64 = counts.values().sum();
        let rate = flips as f64 / started.elapsed().as_secs_f64();
        let bytes: usize = golden.files.iter().map(|(_, bytes)| bytes.len()).sum();
        eprintln!("{}: {bytes} bytes, {} flips, {rate:.0}/s: {counts:?}", golden.name, grouped(flips));
        for (verdict, count) in counts {
            *all.entry(verdict).or_default() += count;
        }
    }
    let count = all.values().sum();
    let only = if args.golden.is_empty() { String::new() } else { format!(" --golden {}", args.golden) };
    let of = |verdict| grouped(all.get(&verdict).copied().unwrap_or(0));
    Report {
        test: "bits (T-6)".into(),
        unit: "bits".into(),
        count,
        seed: Some(seed),
        result: format!(
            "{} told, {} refused, {} harmless; of rings: {} payloads or times, {} hide one event, {} stale told, {} \
             misread and told, {} of another type; {:.0}/s",
            of(Verdict::Told),
            of(Verdict::Refused),
            of(Verdict::Harmless),
            of(Verdict::Payload),
            of(Verdict::HidesOne),
            of(Verdict::Stale),
            of(Verdict::Misread),
            of(Verdict::OtherType),
            count as f64 / begun.elapsed().as_secs_f64()
        ),
        command: format!("faults bits{only} --every {} --seed {seed}", args.every),
    }
    .print();
    Ok(())
}

/// Flips on both processors.
fn of_golden(golden: &Golden, every: u64, seed: u64) -> Result<BTreeMap<Verdict, u64>, String> {
    let base = Stage::new(golden)?.read()?.map_err(|error| error.to_string())?;
    let judges: Vec<Judge> = (0..golden.files.len()).map(|file| Judge::new(golden, file)).collect();
    let counts = Mutex::new(BTreeMap::new());
    let is_over = AtomicBool::new(false);
    let first_violation = Mutex::new(None);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (base, judges, counts) = (&base, &judges, &counts);
            let (is_over, first_violation) = (&is_over, &first_violation);
            scope.spawn(move || {
                let mut own = BTreeMap::new();
                let done = (0..golden.files.len()).try_for_each(|file| {
                    flip_file(golden, file, base, &judges[file], (every, seed, thread), &mut own, is_over)
                });
                let mut all = counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for (verdict, count) in own {
                    *all.entry(verdict).or_insert(0) += count;
                }
                if let Err(violation) = done {
                    is_over.store(true, Ordering::Relaxed);
                    *first_violation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                        Some(violation);
                }
            });
        }
    });
    match first_violation.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(violation) => Err(violation),
        None => Ok(counts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)),
    }
}

fn flip_file(
    golden: &Golden,
    file: usize,
    base: &Reading,
    judge: &Judge,
    (every, seed, thread): (u64, u64, u64),
    counts: &mut BTreeMap<Verdict, u64>,
    is_over: &AtomicBool,
) -> Result<(), String> {
    let stage = Stage::new(golden)?;
    let (name, bytes) = &golden.files[file];
    let open = || OpenOptions::new().write(true).open(stage.path(name));
    let written: File = open().map_err(|error| error.to_string())?;
    let put = |at: usize, byte: u8| written.write_all_at(&[byte], at as u64).map_err(|e| e.to_string());
    let first = seed % every + thread * every;
    for bit in (first..bytes.len() as u64 * 8).step_by(2 * every as usize) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (at, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        put(at, bytes[at] ^ mask)?;
        let got = stage.read();
        put(at, bytes[at])?;
        let verdict = got.and_then(|got| {
            let got = match got {
                Ok(got) => got,
                Err(error) if judge.may_refuse(at) => {
                    return if error.to_string().contains(name.as_str()) {
                        Ok(Verdict::Refused)
                    } else {
                        Err(format!("refused without saying which: {error}"))
                    };
                }
                Err(error) => return Err(format!("refused: {error}")),
            };
            judge.judge(at, base, &got)
        });
        let verdict = verdict.map_err(|what| {
            let mut files = golden.files.clone();
            files[file].1[at] ^= mask;
            goldens::keep(golden, &format!("{what}; bit {bit} ({:?}) of {name}", judge.place(at)), &files)
        })?;
        *counts.entry(verdict).or_insert(0) += 1;
    }
    Ok(())
}

/// What a byte of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    SegmentHeader,
    /// Number of the block.
    BlockHeader(usize),
    BlockPayload(usize),
    BlockPadding(usize),
    /// Of a ring's header: under its checksum, in no checksum, not used.
    Static,
    Counter,
    Unused,
    /// Of a record in a ring: its length, event index, kind and flags; the others; and number among the events.
    Structure(usize),
    Index(usize),
    Ticks(usize),
    Payload(usize),
    /// A ring folder's other files.
    Process,
    Schemas,
}

struct Judge {
    places: Vec<Place>,
    pub(crate) parts: Vec<Part>,
    expected: Expected,
}

impl Judge {
    fn new(golden: &Golden, file: usize) -> Self {
        let (name, bytes) = &golden.files[file];
        let mut judge = Self { places: Vec::new(), parts: Vec::new(), expected: Expected::default() };
        match golden.kind {
            Kind::Segment => {
                judge.parts = goldens::parts(bytes);
                judge.expected = Expected::of(bytes, &judge.parts);
                judge.places = vec![Place::SegmentHeader; bytes.len()];
                for (number, part) in judge.parts.iter().enumerate() {
                    let (payload, end) = (part.start + HEADER_LEN, part.payload_end);
                    judge.places[part.start..payload].fill(Place::BlockHeader(number));
                    judge.places[payload..end].fill(Place::BlockPayload(number));
                    judge.places[end..part.end].fill(Place::BlockPadding(number));
                }
            }
            Kind::Ring if name.starts_with("ring-") => judge.places = places_of_ring(golden, bytes),
            Kind::Ring if name == "process" => judge.places = vec![Place::Process; bytes.len()],
            Kind::Ring => judge.places = vec![Place::Schemas; bytes.len()],
        }
        judge
    }

    fn place(&self, at: usize) -> Place {
        self.places[at]
    }

    fn may_refuse(&self, at: usize) -> bool {
        self.place(at) == Place::SegmentHeader
    }

    fn judge(&self, at: usize, base: &Reading, got: &Reading) -> Result<Verdict, String> {
        match self.place(at) {
            Place::SegmentHeader => Err("a damaged header was not refused".into()),
            Place::BlockHeader(part) => self.expected.without(&self.parts, part, base, got, true),
            Place::BlockPayload(part) => self.expected.without(&self.parts, part, base, got, false),
            Place::BlockPadding(_) => same(base, got).map(|()| Verdict::Harmless),
            Place::Static => {
                if is_told(&got.summary) && got.events.is_empty() {
                    return Ok(Verdict::Told);
                }
                same(base, got).map(|()| Verdict::Harmless)
            }
            Place::Unused => same(base, got).map(|()| Verdict::Harmless),
            place => judge_ring(place, base, got),
        }
    }
}

fn places_of_ring(golden: &Golden, bytes: &[u8]) -> Vec<Place> {
    let mut places = vec![Place::Unused; bytes.len()];
    places[..STATIC_LEN].fill(Place::Static);
    (STATIC_LEN..PAGE).filter(|at| goldens::is_counter(*at)).for_each(|at| places[at] = Place::Counter);
    let Some((_, header)) = goldens::ring_of(&golden.files) else { return places };
    let mut event = 0;
    for (position, kind, len) in goldens::records_of(&header, bytes) {
        let at = PAGE + (position & (header.capacity - 1)) as usize;
        let end = if kind == KIND_PAD { at + 8 } else { at + len as usize };
        places[at..at + 8].fill(Place::Structure(event));
        if kind == record::KIND_EVENT {
            places[at + 4..at + 6].fill(Place::Index(event));
        }
        if kind != KIND_PAD {
            places[at + 8..at + record::HEADER_LEN].fill(Place::Ticks(event));
            places[at + record::HEADER_LEN..end].fill(Place::Payload(event));
        }
        event += usize::from(kind == record::KIND_EVENT);
    }
    places
}

/// Whether a summary tells that something is wrong.
pub(crate) fn is_told(summary: &Summary) -> bool {
    !summary.damaged.is_empty() || !summary.law.is_empty() || summary.missing != 0
}

/// Every event is the same, in the same order, and nothing is told.
pub(crate) fn same(base: &Reading, got: &Reading) -> Result<(), String> {
    let mut pairs = base.events.iter().zip(&got.events);
    if base.events.len() != got.events.len() || !pairs.all(|(a, b)| base.whole(a) == got.whole(b)) {
        return Err("events are not the same, and the flip is of no account".into());
    }
    if is_told(&got.summary) {
        return Err(format!("damage where there is none: {:?}", got.summary));
    }
    Ok(())
}

fn judge_ring(place: Place, base: &Reading, got: &Reading) -> Result<Verdict, String> {
    let told = is_told(&got.summary);
    let (before, after) = (&base.events, &got.events);
    let differ: Vec<usize> = before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(_, (a, b))| base.whole(a) != got.whole(b))
        .map(|(at, _)| at)
        .take(2)
        .collect();
    let is_same_number = before.len() == after.len();
    if is_same_number && differ.is_empty() {
        return Ok(if told { Verdict::Told } else { Verdict::Harmless });
    }
    // One record is not as it was, the others are.
    let one = if let (true, [at]) = (is_same_number, &differ[..]) { Some(*at) } else { None };
    match place {
        Place::Ticks(event) | Place::Payload(event) if one == Some(event) => return Ok(Verdict::Payload),
        Place::Index(event) if one == Some(event) && !told => return Ok(Verdict::OtherType),
        _ => {}
    }
    let rests: HashSet<&str> = before.iter().map(|line| base.rest(line)).collect();
    let others = after.iter().filter(|line| !rests.contains(got.rest(line))).count();
    if told {
        return match place {
            _ if others == 0 => Ok(Verdict::Told),
            // The head or the tail lies where released records, or those of the lap before, are.
            Place::Counter => Ok(Verdict::Stale),
            // A length that is wrong can make one record of parts of others, if its values happen to fill it: a ring has
            // no checksums. The reader stops behind it, and says so.
            Place::Structure(_) if others == 1 => Ok(Verdict::Misread),
            _ => Err(format!("{others} events that never were: {:?}", got.summary)),
        };
    }
    let shorter = |from: usize| {
        after.len() + 1 == before.len()
            && after.iter().zip(&before[from..]).all(|(b, a)| got.rest(b) == base.rest(a))
    };
    if place == Place::Counter && (shorter(0) || shorter(1)) {
        return Ok(Verdict::HidesOne);
    }
    Err(format!("not told: {} events instead of {}, {others} others", after.len(), before.len()))
}

/// What is known of a segment's blocks beside what the reader says.
#[derive(Default)]
pub(crate) struct Expected {
    file_sequence: u32,
    /// Rings whose last counters are in the segment.
    ended: BTreeSet<u32>,
    /// Number of the counters' block of each.
    ended_by: BTreeMap<u32, usize>,
}

impl Expected {
    pub(crate) fn of(bytes: &[u8], parts: &[Part]) -> Self {
        let mut expected = Self {
            file_sequence: SegmentHeader::decode(bytes).map_or(0, |header| header.sequence),
            ..Self::default()
        };
        let mut raw = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            if part.header.kind != BlockKind::Counters {
                continue;
            }
            let stored = &bytes[part.start + HEADER_LEN..part.payload_end];
            if decompress_block(&part.header, stored, &mut raw).is_err() {
                continue;
            }
            let mut reader = Reader::new(&raw);
            while let Ok(counters) = RingCounters::decode(&mut reader) {
                if counters.is_final {
                    expected.ended.insert(counters.ring);
                    expected.ended_by.insert(counters.ring, number);
                }
            }
        }
        expected
    }

    /// Events that must be told as missing if a block is gone.
    pub(crate) fn missing(&self, parts: &[Part], gone: usize) -> u64 {
        let header = &parts[gone].header;
        if header.kind != BlockKind::Data {
            return 0;
        }
        let of_ring = |part: &&Part| part.header.kind == BlockKind::Data && part.header.ring == header.ring;
        let is_first = parts[..gone].iter().rfind(of_ring).is_none();
        if is_first && self.file_sequence != 1 {
            // Taken as deleted with the segments before.
            return 0;
        }
        let is_known = parts[gone + 1..].iter().any(|part| of_ring(&part))
            || self.ended_by.get(&header.ring).is_some_and(|counters| *counters != gone);
        if is_known { u64::from(header.events) } else { 0 }
    }

    /// All but one block came out, exactly, and its damage is told where it is.
    fn without(
        &self,
        parts: &[Part],
        hit: usize,
        base: &Reading,
        got: &Reading,
        is_header: bool,
    ) -> Result<Verdict, String> {
        let part = &parts[hit];
        let summary = &got.summary;
        let damage = summary.damaged.iter().find(|damage| damage.offset == part.start as u64);
        let Some(damage) = damage else {
            return Err(format!("not told where the damage is: {summary:?}"));
        };
        let len = if is_header { part.end - part.start } else { part.header.stored_len as usize };
        if damage.bytes != len as u64 || (!is_header && damage.events != u64::from(part.header.events)) {
            return Err(format!("damage of another size than {len} bytes: {damage:?}"));
        }
        without(base, got, &[part])?;
        let missing = self.missing(parts, hit);
        if summary.missing != missing {
            return Err(format!("{} told as missing, {missing} are", summary.missing));
        }
        Ok(Verdict::Told)
    }
}

/// Whether an event came from this block.
fn is_of(part: &Part, line: &Line) -> bool {
    let header = &part.header;
    header.kind == BlockKind::Data
        && header.ring == line.ring
        && (header.sequence..header.sequence + u64::from(header.events)).contains(&line.sequence)
}

/// What was read is what was there without these blocks: other data blocks' events each exactly once, in their order;
/// without clocks or thread names, their times or names may be others; without schemas, events of these may be
/// missing, as many as are told.
pub(crate) fn without(base: &Reading, got: &Reading, gone: &[&Part]) -> Result<(), String> {
    let has = |kind: BlockKind| gone.iter().any(|part| part.header.kind == kind);
    let heads_differ = has(BlockKind::Clocks) || has(BlockKind::Ring);
    let mut before: Vec<&Line> =
        base.events.iter().filter(|line| !gone.iter().any(|part| is_of(part, line))).collect();
    let mut after: Vec<&Line> = got.events.iter().collect();
    if heads_differ {
        // Between the rings the order may be another, in each it may not.
        let per_ring = |lines: &[&Line]| {
            let mut last = BTreeMap::new();
            lines.iter().all(|line| last.insert(line.ring, line.sequence).is_none_or(|n| n < line.sequence))
        };
        if !per_ring(&after) {
            return Err("events of a ring are not in their order".into());
        }
        before.sort_by_key(|line| (line.ring, line.sequence));
        after.sort_by_key(|line| (line.ring, line.sequence));
    }
    let is_same = |a: &Line, b: &Line| {
        (a.ring, a.sequence) == (b.ring, b.sequence)
            && if heads_differ { base.rest(a) == got.rest(b) } else { base.whole(a) == got.whole(b) }
    };
    if has(BlockKind::Schemas) {
        let mut rest = before.iter();
        for line in &after {
            if !rest.by_ref().any(|a| is_same(a, line)) {
                return Err(format!("an event that was not there: {}", got.whole(line)));
            }
        }
        // A block that is cut is told too, with its own.
        let undecodable =
            got.summary.damaged.iter().filter(|damage| damage.what.contains("schema is missing"));
        let told: u64 = undecodable.map(|damage| damage.events).sum();
        let fewer = (before.len() - after.len()) as u64;
        return if told == fewer { Ok(()) } else { Err(format!("{told} told as undecodable, {fewer} are")) };
    }
    if before.len() != after.len() {
        return Err(format!("{} events instead of {}", after.len(), before.len()));
    }
    for (a, b) in before.iter().zip(&after) {
        if !is_same(a, b) {
            return Err(format!("{} instead of {}", got.whole(b), base.whole(a)));
        }
    }
    Ok(())
}
