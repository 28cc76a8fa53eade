//! T-7: traces cut at every length, with bytes put between blocks, with blocks swapped, doubled, taken out, and put
//! behind those of another file. The whole blocks come out, each once; what is missing is told, and how many.

use std::fs::OpenOptions;

use clap::Args;
use tracewell_reader::ReadError;
use tracewell_schema::format::block::{BlockKind, HEADER_LEN};
use tracewell_schema::format::record::{KIND_EVENT, KIND_PAD};
use tracewell_schema::format::ring::PAGE;
use tracewell_schema::format::segment;

use crate::bits::{Expected, is_told, same, without};
use crate::goldens::{self, Golden, Kind, Part, Reading, Stage};
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults lengths`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LengthsArgs {
    #[command(flatten)]
    scale: Scale,
    /// Cuts at each n-th length only, from one on that the seed chooses; changes of blocks are tried all.
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// Only the goldens whose name contains this.
    #[arg(long, default_value = "")]
    golden: String,
}

const SEALED: &str = "a_pid1_00000000_000001.twseg";
const OPEN: &str = "a_pid1_00000000_000001.twseg.open";

#[derive(Debug, Default)]
struct Counts {
    lengths: u64,
    insertions: u64,
    moves: u64,
    splices: u64,
}

/// Runs the test.
pub(crate) fn run(args: &LengthsArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let every = args.every.max(1);
    let all = goldens::all()?;
    let goldens: Vec<&Golden> = all.iter().filter(|g| g.name.contains(&args.golden)).collect();
    let mut counts = Counts::default();
    for golden in &goldens {
        match golden.kind {
            Kind::Segment => {
                for name in [SEALED, OPEN] {
                    counts.lengths += both(|thread| cut_segment(golden, name, every, seed, thread))?;
                }
                let cut = Cut::new(golden)?;
                counts.insertions += cut.insertions()?;
                counts.moves += cut.moves()?;
                for other in all.iter().filter(|g| g.kind == Kind::Segment && g.name != golden.name) {
                    counts.splices += cut.splices(other)?;
                }
            }
            Kind::Ring => {
                for file in 0..golden.files.len() {
                    counts.lengths += both(|thread| cut_ring(golden, file, every, seed, thread))?;
                }
            }
        }
        eprintln!("{}: {counts:?} so far", golden.name);
    }
    Report {
        test: "lengths (T-7)".into(),
        unit: "changed files".into(),
        count: counts.lengths + counts.insertions + counts.moves + counts.splices,
        seed: Some(seed),
        result: format!(
            "{} lengths, {} insertions, {} blocks moved, doubled or taken out, {} splices; whole blocks exactly, none \
             twice",
            grouped(counts.lengths),
            grouped(counts.insertions),
            grouped(counts.moves),
            grouped(counts.splices)
        ),
        command: format!("faults lengths --every {every} --seed {seed}"),
    }
    .print();
    Ok(())
}

/// A part of the work on each of two threads; what they did together.
fn both(part: impl Fn(u64) -> Result<u64, String> + Sync) -> Result<u64, String> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| part(1));
        let own = part(0)?;
        Ok(own + other.join().map_err(|_| "a thread of the test panicked".to_owned())??)
    })
}

/// The lengths of one thread, from the longest on.
fn lengths(len: usize, every: u64, seed: u64, thread: u64) -> impl Iterator<Item = usize> {
    let first = seed % every + thread * every;
    let all: Vec<usize> = (first..len as u64).step_by(2 * every as usize).map(|at| at as usize).collect();
    all.into_iter().rev()
}

fn cut_segment(golden: &Golden, name: &str, every: u64, seed: u64, thread: u64) -> Result<u64, String> {
    let base = Stage::new(golden)?.read()?.map_err(|error| error.to_string())?;
    let bytes = &golden.files[0].1;
    let parts = goldens::parts(bytes);
    let stage = Stage::new(&Golden { files: vec![(name.into(), bytes.clone())], ..golden.clone() })?;
    let file = OpenOptions::new().write(true).open(stage.path(name)).map_err(|e| e.to_string())?;
    let mut count = 0;
    for len in lengths(bytes.len(), every, seed, thread) {
        file.set_len(len as u64).map_err(|e| e.to_string())?;
        let judged = stage.read().and_then(|got| judge_cut(&base, &parts, name == OPEN, len, got));
        judged.map_err(|what| {
            let files = [(name.to_owned(), bytes[..len].to_vec())];
            goldens::keep(golden, &format!("{what}; {name} cut to {len} bytes"), &files)
        })?;
        count += 1;
    }
    Ok(count)
}

fn judge_cut(
    base: &Reading,
    parts: &[Part],
    is_open: bool,
    len: usize,
    got: Result<Reading, ReadError>,
) -> Result<(), String> {
    if len < segment::HEADER_LEN {
        return match got {
            Err(error) if error.to_string().contains(SEALED) => Ok(()),
            // A segment that was only begun.
            Ok(got) if is_open && got.events.is_empty() && got.summary.torn == 1 => Ok(()),
            other => Err(format!("a cut header gave {other:?}")),
        };
    }
    let got = got.map_err(|error| error.to_string())?;
    let gone: Vec<&Part> = parts.iter().filter(|part| part.payload_end > len).collect();
    without(base, &got, &gone)?;
    let summary = &got.summary;
    let cut = gone.first().filter(|part| part.start < len);
    let has_header = cut.is_some_and(|part| part.start + HEADER_LEN <= len);
    let is_data = cut.is_some_and(|part| part.header.kind == BlockKind::Data);
    let events = cut.filter(|_| has_header).map_or(0, |part| u64::from(part.header.events));
    if is_open {
        let torn = cut.map_or(0, |part| len - part.start) as u64;
        let missing = if is_data { events } else { 0 };
        let found = (summary.torn, summary.torn_bytes, summary.missing);
        if found != (u64::from(cut.is_some()), torn, missing) || !summary.damaged.is_empty() {
            return Err(format!(
                "the torn end of {torn} bytes and {missing} events is not told so: {summary:?}"
            ));
        }
        return Ok(());
    }
    let offset = cut.map_or(len, |part| part.start) as u64;
    let Some(damage) = summary.damaged.iter().find(|damage| damage.offset == offset) else {
        return Err(format!("the cut is not told at byte {offset}: {summary:?}"));
    };
    if (damage.events, damage.bytes) != (events, len as u64 - offset) || summary.missing != 0 {
        return Err(format!("{} bytes and {events} events are cut off: {summary:?}", len as u64 - offset));
    }
    Ok(())
}

fn cut_ring(golden: &Golden, number: usize, every: u64, seed: u64, thread: u64) -> Result<u64, String> {
    let stage = Stage::new(golden)?;
    let base = stage.read()?.map_err(|error| error.to_string())?;
    let (name, bytes) = &golden.files[number];
    let file = OpenOptions::new().write(true).open(stage.path(name)).map_err(|e| e.to_string())?;
    let mut count = 0;
    for len in lengths(bytes.len(), every, seed, thread) {
        file.set_len(len as u64).map_err(|e| e.to_string())?;
        let judged = stage.read().and_then(|got| {
            let got = got.map_err(|error| format!("refused: {error}"))?;
            match name.as_str() {
                "process" | "schemas" => judge_other(&base, &got),
                _ => judge_cut_ring(golden, bytes, len, &base, &got),
            }
        });
        judged.map_err(|what| {
            let mut files = golden.files.clone();
            files[number].1.truncate(len);
            goldens::keep(golden, &format!("{what}; {name} cut to {len} bytes"), &files)
        })?;
        count += 1;
    }
    Ok(count)
}

/// A cut ring gives the records before the first that is not whole, and is told.
fn judge_cut_ring(
    golden: &Golden,
    bytes: &[u8],
    len: usize,
    base: &Reading,
    got: &Reading,
) -> Result<(), String> {
    let (_, header) = goldens::ring_of(&golden.files).ok_or("no ring")?;
    let mut whole = 0;
    let mut is_cut = false;
    for (position, kind, size) in goldens::records_of(&header, bytes) {
        let at = PAGE + (position & (header.capacity - 1)) as usize;
        // Of a pad only the first eight bytes mean anything; the last record's padding does not.
        let last = position + u64::from(size).next_multiple_of(8) == header.head;
        let end =
            at + if last && kind != KIND_PAD { size as usize } else { size.next_multiple_of(8) as usize };
        is_cut |= end > len;
        if is_cut {
            break;
        }
        whole += usize::from(kind == KIND_EVENT);
    }
    if len < PAGE {
        // A file without a byte was just made by a process that was killed then.
        return if got.events.is_empty() && (len == 0 || is_told(&got.summary)) {
            Ok(())
        } else {
            Err(format!("a cut header gave {} events: {:?}", got.events.len(), got.summary))
        };
    }
    let is_same = got.events.len() >= whole && base.rests().starts_with(&got.rests());
    // The padding of the record before the cut may be missing.
    if !is_same || got.events.len() > whole + 1 {
        return Err(format!("{} events, not the first {whole}", got.events.len()));
    }
    if is_cut && got.events.len() < base.events.len() && got.summary.damaged.is_empty() {
        return Err(format!("not told: {:?}", got.summary));
    }
    Ok(())
}

/// Of the other files of a ring folder: told, and nothing else comes out than before.
fn judge_other(base: &Reading, got: &Reading) -> Result<(), String> {
    if same(base, got).is_ok() {
        return Ok(());
    }
    let (before, after) = (base.rests(), got.rests());
    let mut rest = before.iter();
    if !after.iter().all(|line| rest.any(|b| b == line)) {
        return Err("events that were not there".into());
    }
    if got.summary.damaged.is_empty() {
        return Err(format!("{} of {} events, not told: {:?}", after.len(), before.len(), got.summary));
    }
    Ok(())
}

/// A segment whose blocks are changed as wholes.
struct Cut<'a> {
    golden: &'a Golden,
    bytes: &'a [u8],
    parts: Vec<Part>,
    expected: Expected,
    base: Reading,
    stage: Stage,
}

impl<'a> Cut<'a> {
    fn new(golden: &'a Golden) -> Result<Self, String> {
        let bytes = &golden.files[0].1;
        let parts = goldens::parts(bytes);
        let stage = Stage::new(golden)?;
        let base = stage.read()?.map_err(|error| error.to_string())?;
        Ok(Self { golden, bytes, expected: Expected::of(bytes, &parts), parts, base, stage })
    }

    fn head(&self) -> &[u8] {
        &self.bytes[..segment::HEADER_LEN]
    }

    fn block(&self, number: usize) -> &[u8] {
        let part = &self.parts[number];
        &self.bytes[part.start..part.end]
    }

    /// A file of these blocks in this order.
    fn of_blocks(&self, order: impl IntoIterator<Item = usize>) -> Vec<u8> {
        order.into_iter().fold(self.head().to_vec(), |mut out, number| {
            out.extend_from_slice(self.block(number));
            out
        })
    }

    fn try_one(
        &self,
        what: &str,
        bytes: &[u8],
        judge: impl FnOnce(&Reading) -> Result<(), String>,
    ) -> Result<(), String> {
        self.stage.write(SEALED, bytes)?;
        let judged = self
            .stage
            .read()
            .and_then(|got| got.map_err(|error| error.to_string()))
            .and_then(|got| judge(&got));
        judged.map_err(|wrong| {
            let files = [(SEALED.to_owned(), bytes.to_vec())];
            goldens::keep(self.golden, &format!("{wrong}; {what}"), &files)
        })
    }

    /// A byte before each block and at the end: every block comes out, the byte is told.
    fn insertions(&self) -> Result<u64, String> {
        let mut count = 0;
        let places = self.parts.iter().map(|part| part.start).chain([self.bytes.len()]);
        for place in places {
            for byte in [0, b'T', 0xff] {
                let mut bytes = self.bytes.to_vec();
                bytes.insert(place, byte);
                self.try_one(&format!("byte {byte} put in at {place}"), &bytes, |got| {
                    without(&self.base, got, &[])?;
                    let damage = got.summary.damaged.iter().find(|damage| damage.offset == place as u64);
                    if damage.is_some_and(|damage| damage.bytes == 1) && got.summary.missing == 0 {
                        Ok(())
                    } else {
                        Err(format!("not told: {:?}", got.summary))
                    }
                })?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn moves(&self) -> Result<u64, String> {
        let n = self.parts.len();
        let mut count = 0;
        let end = self.parts.iter().position(|part| part.header.kind == BlockKind::End);
        let must_tell = |is_needed: bool, got: &Reading| {
            if is_needed && !is_told(&got.summary) {
                return Err(format!("not told: {:?}", got.summary));
            }
            Ok(())
        };
        for a in 0..n {
            for b in a + 1..n {
                let bytes = self.of_blocks((0..n).map(|at| {
                    if at == a {
                        b
                    } else if at == b {
                        a
                    } else {
                        at
                    }
                }));
                self.try_one(&format!("blocks {a} and {b} swapped"), &bytes, |got| {
                    without(&self.base, got, &[])?;
                    must_tell(end == Some(b), got)
                })?;
                count += 1;
            }
            for place in 0..=n {
                let mut order: Vec<usize> = (0..n).collect();
                order.insert(place, a);
                let bytes = self.of_blocks(order);
                self.try_one(&format!("block {a} once more before {place}"), &bytes, |got| {
                    without(&self.base, got, &[])?;
                    let is_data = self.parts[a].header.kind == BlockKind::Data;
                    if got.summary.duplicates != u64::from(is_data) {
                        return Err(format!("{} told as duplicates", got.summary.duplicates));
                    }
                    // The end has the number of blocks; after it more may follow only if it is another end.
                    must_tell(Some(a) != end && place < n, got)
                })?;
                count += 1;
            }
            let bytes = self.of_blocks((0..n).filter(|at| *at != a));
            self.try_one(&format!("block {a} taken out"), &bytes, |got| {
                let part = &self.parts[a];
                without(&self.base, got, &[part])?;
                let missing = self.expected.missing(&self.parts, a);
                if got.summary.missing != missing {
                    return Err(format!("{} told as missing, {missing} are", got.summary.missing));
                }
                must_tell(true, got)
            })?;
            count += 1;
        }
        Ok(count)
    }

    /// The first blocks of this file, then the last of another.
    fn splices(&self, other: &Golden) -> Result<u64, String> {
        let theirs = &other.files[0].1;
        let mut count = 0;
        let froms: Vec<usize> =
            goldens::parts(theirs).iter().map(|part| part.start).chain([theirs.len()]).collect();
        for kept in 0..=self.parts.len() {
            for from in &froms {
                let mut bytes = self.of_blocks(0..kept);
                let end = bytes.len() as u64;
                bytes.extend_from_slice(&theirs[*from..]);
                self.try_one(&format!("{kept} blocks, then {} from {from} on", other.name), &bytes, |got| {
                    let gone: Vec<&Part> = self.parts[kept..].iter().collect();
                    without(&self.base, got, &gone)?;
                    let is_whole = kept == self.parts.len() && *from == theirs.len();
                    if is_whole {
                        return same(&self.base, got);
                    }
                    let is_there = got.summary.damaged.iter().any(|damage| damage.offset == end);
                    if is_there { Ok(()) } else { Err(format!("not told: {:?}", got.summary)) }
                })?;
                count += 1;
            }
        }
        Ok(count)
    }
}
