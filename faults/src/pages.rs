//! T-8: rings after a loss of power. Each page, sector or line of a ring file is taken from a moment of its own, and
//! the folder has the boot id of another boot. Whatever comes out is marked as unverified, and none of it is mixed
//! with what is sound.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use tracewell::{Tracer, emit};
use tracewell_schema::catalog::sample;
use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts, Records};
use tracewell_schema::format::ring::{PAGE, RingHeader};
use tracewell_tests::{Numbered, Place};

use crate::goldens::{self, CAPACITY, Emit, MEMORY, Reading, noise_of};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults pages`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PagesArgs {
    #[command(flatten)]
    scale: Scale,
}

/// What is torn apart at a loss of power: a page of memory, a sector of a disk, a line of a cache.
const UNITS: [usize; 3] = [4096, 512, 64];
/// Moments of a recording.
const MOMENTS: usize = 24;
const RECORDINGS: u64 = 4;
const FOREIGN: &str = "foreign";
const HONEST: &str = "honest";
const MARK: &str = "(unverified) ";

/// A ring at several moments.
struct Recording {
    files: Vec<(String, Vec<u8>)>,
    ring: usize,
    moments: Vec<Vec<u8>>,
    /// Every event that was emitted, without time and thread.
    emitted: HashSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    images: u64,
    refused: u64,
    told: u64,
    events: u64,
    whole: u64,
    torn: u64,
}

/// Runs the test.
pub(crate) fn run(args: &PagesArgs) -> Result<(), String> {
    let (seed, count) = (args.scale.seed(), args.scale.count_or(20_000));
    let recordings: Vec<Recording> = (0..RECORDINGS).map(record).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    let halves = std::thread::scope(|scope| {
        let half = |odd: u64| {
            let recordings = &recordings;
            move || images(recordings, (seed + odd..seed + count).step_by(2), count)
        };
        let other = scope.spawn(half(1));
        let own = half(0)();
        (own, other.join().unwrap_or_else(|_| Err("a thread of the test panicked".into())))
    });
    let (a, b) = (halves.0?, halves.1?);
    let sum = |of: fn(&Counts) -> u64| grouped(of(&a) + of(&b));
    if a.torn + b.torn == 0 || a.whole + b.whole == 0 {
        return Err("no image had a torn event, or none a whole one: nothing was mixed".into());
    }
    Report {
        test: "pages (T-8)".into(),
        unit: "images".into(),
        count: a.images + b.images,
        seed: Some(seed),
        result: format!(
            "{} events, all marked unverified: {} as emitted, {} torn; {} images told as damaged, {} rings refused; \
             {:.0}/s",
            sum(|c| c.events),
            sum(|c| c.whole),
            sum(|c| c.torn),
            sum(|c| c.told),
            sum(|c| c.refused),
            count as f64 / begun.elapsed().as_secs_f64()
        ),
        command: format!("faults pages --count {count} --seed {seed}"),
    }
    .print();
    Ok(())
}

/// Has a component emit for a while, and keeps its ring as it is from time to time.
fn record(number: u64) -> Result<Recording, String> {
    let place = Place::new();
    place.enable();
    let builder = Tracer::builder("foreign").dir(place.dirs.base()).ring_size(CAPACITY);
    let tracer = builder.attach().map_err(|error| error.to_string())?;
    let mut random = Random::new(number);
    let (mut next, mut moments, mut files, mut ring) = (0, Vec::new(), Vec::new(), 0);
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    while moments.len() < MOMENTS {
        if Instant::now() > deadline {
            return Err("the drain never stood still for a moment".into());
        }
        if random.below(3) == 0 {
            sample::visit(next, &mut Emit(&tracer));
        }
        for _ in 0..20 + random.below(300) {
            emit!(tracer, Numbered { lane: 0, number: next, text: &noise_of(next) });
            next += 1;
        }
        let Some(found) = goldens::snapshot(&place) else { continue };
        let Some((at, header)) = goldens::ring_of(&found) else { continue };
        if header.head != header.tail {
            moments.push(found[at].1.clone());
            (files, ring) = (found, at);
        }
        if random.below(2) == 0 {
            tracer.flush().map_err(|error| error.to_string())?;
        }
    }
    tracer.shutdown();
    let paths = [place.dirs.base().to_owned()];
    let all = goldens::read(&paths, 256 << 20)?.map_err(|error| error.to_string())?;
    let emitted = all.rests().into_iter().map(str::to_owned).collect();
    let process = &mut files.iter_mut().find(|(name, _)| name == PROCESS_FILE).ok_or("no process file")?.1;
    let mut other = ProcessFile::decode(process).map_err(|error| error.to_string())?;
    other.identity.boot_id[0] ^= 1;
    *process = other.encode();
    Ok(Recording { files, ring, moments, emitted })
}

fn write_all(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<(), String> {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| files.iter().try_for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes)));
    written.map_err(|error| format!("{}: {error}", dir.display()))
}

fn images(recordings: &[Recording], seeds: impl Iterator<Item = u64>, count: u64) -> Result<Counts, String> {
    let dir = goldens::temporary()?;
    let paths = [dir.path().to_owned()];
    let honest = goldens::small_ring()?;
    write_all(&dir.path().join(HONEST), &honest.files)?;
    let base = goldens::read(&paths, MEMORY)?.map_err(|error| error.to_string())?;
    let mut counts = Counts::default();
    let mut of = None;
    for seed in seeds {
        let mut random = Random::new(seed);
        let number = random.below(RECORDINGS);
        let recording = &recordings[number as usize];
        let folder = dir.path().join(FOREIGN);
        if of != Some(number) {
            let _ = std::fs::remove_dir_all(&folder);
            write_all(&folder, &recording.files)?;
            of = Some(number);
        }
        let image = mix(recording, &mut random);
        let path = folder.join(&recording.files[recording.ring].0);
        std::fs::write(&path, &image).map_err(|error| error.to_string())?;
        let judged = goldens::read(&paths, MEMORY)
            .and_then(|got| got.map_err(|error| error.to_string()))
            .and_then(|got| judge(&base, &recording.emitted, &image, &got, &mut counts));
        judged.map_err(|what| {
            let mut files = recording.files.clone();
            files[recording.ring].1 = image;
            goldens::keep_files("pages", &files)
                + &format!("; {what}; repeat with: faults pages --count {count} --seed {seed}")
        })?;
        counts.images += 1;
    }
    Ok(counts)
}

/// An image of a ring: each unit of one size from one of a few moments.
fn mix(recording: &Recording, random: &mut Random) -> Vec<u8> {
    let unit = UNITS[random.below(UNITS.len() as u64) as usize];
    let from: Vec<&Vec<u8>> =
        (0..2 + random.below(4)).map(|_| &recording.moments[random.below(MOMENTS as u64) as usize]).collect();
    // Often most of it is of one moment: what was not written yet when the power went is the less.
    let rest = 1 + random.below(8);
    let mut image = from[0].clone();
    for (number, part) in image.chunks_mut(unit).enumerate() {
        if random.below(rest) == 0 {
            let other = from[random.below(from.len() as u64) as usize];
            if let Some(bytes) = other.get(number * unit..number * unit + part.len()) {
                part.copy_from_slice(bytes);
            }
        }
    }
    image
}

/// The events that the rules of FORMAT.md, section 5, let through: a reading of the image that is not the reader's.
fn walk(image: &[u8]) -> Option<u64> {
    let header = RingHeader::decode(image.get(..PAGE)?).ok()?;
    let mask = header.capacity - 1;
    let data = image.get(PAGE..)?;
    let line: Vec<u8> = (header.tail..header.head).map(|at| data[(at & mask) as usize]).collect();
    let mut events = 0;
    if !header.tail.is_multiple_of(8) {
        return Some(0);
    }
    for record in Records::new(&line).map_while(Result::ok) {
        let begin = header.tail + record.offset as u64;
        let end = begin + u64::from(record.header.len).next_multiple_of(8);
        let lap_end = (begin | mask) + 1;
        let is_wrong = end > lap_end
            || (record.header.kind == KIND_PAD && end != lap_end)
            || (record.header.kind == KIND_LOSS
                && record.payload.len() != LossCounts::default().encode().len());
        if is_wrong {
            break;
        }
        events += u64::from(record.header.kind == KIND_EVENT);
    }
    Some(events)
}

fn judge(
    base: &Reading,
    emitted: &HashSet<String>,
    image: &[u8],
    got: &Reading,
    counts: &mut Counts,
) -> Result<(), String> {
    let summary = &got.summary;
    if summary.is_complete() || summary.unverified_rings > 1 {
        return Err(format!("not told: {summary:?}"));
    }
    let honest: Vec<&str> = got.events.iter().filter(|l| !l.is_unverified).map(|l| got.whole(l)).collect();
    if !base.events.iter().map(|line| base.whole(line)).eq(honest.iter().copied()) {
        return Err(format!("{} events that are not marked, {} sound ones", honest.len(), base.events.len()));
    }
    let foreign: Vec<&str> = got.events.iter().filter(|l| l.is_unverified).map(|l| got.rest(l)).collect();
    if !foreign.iter().all(|line| line.starts_with(MARK)) {
        return Err("an event whose line is not marked".into());
    }
    let read = summary.events - base.summary.events;
    if summary.unverified != read {
        return Err(format!("{read} events of another boot, {} counted", summary.unverified));
    }
    match walk(image) {
        Some(events) if events == read => {}
        None if read == 0 && !summary.damaged.is_empty() => counts.refused += 1,
        other => return Err(format!("{read} events, the format lets {other:?} through")),
    }
    counts.events += read;
    for line in foreign {
        let is_whole = emitted.contains(&line[MARK.len()..]);
        counts.whole += u64::from(is_whole);
        counts.torn += u64::from(!is_whole);
    }
    counts.told += u64::from(!summary.damaged.is_empty() || !summary.law.is_empty());
    Ok(())
}
