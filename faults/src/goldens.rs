//! Goldens: small traces that the engine has just written, one for each shape that the format has; and how they are
//! read back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;
use tracewell::{Clock, Tracer, emit};
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, ReadError, Summary, Trace};
use tracewell_schema::catalog::sample;
use tracewell_schema::format::block::{
    BlockHeader, BlockKind, Codec, FLAG_HASTY, HEADER_LEN, compress_block, decompress_block,
};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, KIND_PAD, Record, Records};
use tracewell_schema::format::ring::{ATTEMPTED, HEAD, LOST, PAGE, RingHeader, SEQUENCE_AT_TAIL, TAIL};
use tracewell_schema::format::{crc, segment};
use tracewell_schema::{Event, Reduction};
use tracewell_tests::{Numbered, Place};

use crate::random::Random;

/// Most that reading a golden, whatever was done to it, may take. Its constants: a block stored, decoded and as
/// columns, 3 MiB; a window of a ring and of a search, 1.3 MiB; schemas, rendering and lists, the rest.
pub(crate) const MEMORY: u64 = 16 << 20;
/// Where the data of a ring's file begins.
pub(crate) const RING_HEADER: usize = PAGE;
/// Capacity of the rings.
pub(crate) const CAPACITY: u64 = 64 << 10;

/// What a golden is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment,
    /// A ring folder.
    Ring,
}

/// A small trace.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Its files, by name. Of a segment: one.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A block of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) header: BlockHeader,
    pub(crate) start: usize,
    /// End of its payload, and of its padding.
    pub(crate) payload_end: usize,
    pub(crate) end: usize,
}

/// Incompressible text that belongs to a number.
pub(crate) fn noise_of(number: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = Random::new(number);
    let len = 20 + random.below(120);
    (0..len).map(|_| char::from(LETTERS[random.below(64) as usize])).collect()
}

/// Text that LZ4 makes shorter.
fn echo_of(number: u64) -> String {
    noise_of(number).chars().take(24).collect::<String>().repeat(4)
}

/// Types of the catalog that are in goldens: with lists, secrets, optional values, addresses, times and flags. All of
/// them would make reading a golden, millions of times, a matter of parsing schemas.
const TYPES: [&str; 6] = [
    "detection.object",
    "download.started",
    "network.connection",
    "process.start",
    "web.login",
    "message.mail",
];

pub(crate) struct Emit<'a>(pub(crate) &'a Tracer);

impl sample::Visitor for Emit<'_> {
    fn event<E: Event>(&mut self, event: &E) {
        if TYPES.contains(&E::SCHEMA.name) && self.0.is_enabled::<E>() {
            self.0.emit(event);
        }
    }
}

fn told(what: &str) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Everything that the tests need, three segments and four ring folders.
pub(crate) fn all() -> Result<Vec<Golden>, String> {
    all_of("")
}

/// Those whose name contains a text.
pub(crate) fn all_of(name: &str) -> Result<Vec<Golden>, String> {
    type Maker = fn() -> Result<Golden, String>;
    let makers: [(&str, Maker); 7] = [
        ("one-block", one_block),
        ("many-blocks", many_blocks),
        ("all-features", all_features),
        ("ring-crashed", || ring("crashed")),
        ("ring-lapped", || ring("lapped")),
        ("ring-lossy", || ring("lossy")),
        ("ring-overflowed", || ring("overflowed")),
    ];
    let wanted = makers.iter().filter(|(maker, _)| maker.contains(name));
    let all: Vec<Golden> = wanted.map(|(_, make)| make()).collect::<Result<_, _>>()?;
    for golden in &all {
        check(golden)?;
    }
    Ok(all)
}

/// What the generator knows of a golden holds in what is read: the oracle beside the format.
fn check(golden: &Golden) -> Result<(), String> {
    let stage = Stage::new(golden)?;
    let mut wrong = Vec::new();
    let trace = Trace::open(&stage.paths, &[]).map_err(|e| e.to_string())?;
    let summary = trace.read(&Filter::default(), |item| {
        if let Item::Event(event) = item
            && event.schema.name == "custom.numbered"
            && !event.values.iter().flatten().any(|field| field.reduction != Reduction::None)
        {
            let mut values = event.values.iter().flatten().map(|field| field.value);
            let (_, number, text) = (values.next(), values.next(), values.next());
            let (Some(tracewell_schema::Value::U(n)), Some(tracewell_schema::Value::Str(text))) =
                (number, text)
            else {
                wrong.push(event.sequence);
                return Ok(());
            };
            if text.bytes != noise_of(n).as_bytes() && text.bytes != echo_of(n).as_bytes() {
                wrong.push(event.sequence);
            }
        }
        Ok::<(), ReadError>(())
    });
    let summary = summary.map_err(|e| e.to_string())?;
    let is_sound = summary.damaged.is_empty() && summary.law.is_empty() && summary.missing == 0;
    if is_sound && wrong.is_empty() && summary.events > 20 {
        Ok(())
    } else {
        Err(format!("the golden {} is not what was emitted: {wrong:?}, {summary:?}", golden.name))
    }
}

fn segments_of(place: &Place) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(place.dirs.sessions())
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|session| std::fs::read_dir(session.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|e| e == "twseg"))
        .collect();
    all.sort();
    all
}

fn of_segment(name: &str, bytes: Vec<u8>) -> Golden {
    Golden {
        name: name.into(),
        kind: Kind::Segment,
        files: vec![("a_pid1_00000000_000001.twseg".into(), bytes)],
    }
}

fn attach(place: &Place) -> Result<Tracer, String> {
    let builder = Tracer::builder("golden").dir(place.dirs.base());
    builder.attach().map_err(|error| error.to_string())
}

/// One data block of texts that do not compress: columns alone. The drain may come in between, so it may take a few
/// attempts.
fn one_block() -> Result<Golden, String> {
    for _ in 0..200 {
        let place = Place::new();
        place.enable();
        let tracer = attach(&place)?;
        let texts: Vec<String> = (0..800).map(noise_of).collect();
        // The ring is made by the first emit of any: that takes its time, and none of the events should wait for it.
        for (number, text) in (0..).zip(&texts) {
            emit!(tracer, Numbered { lane: 0, number, text });
        }
        tracer.shutdown();
        let [path] = &segments_of(&place)[..] else { continue };
        let bytes = std::fs::read(path).map_err(told("golden"))?;
        let blocks = parts(&bytes);
        if blocks.iter().filter(|part| part.header.kind == BlockKind::Data).count() == 1 {
            return Ok(of_segment("one-block", bytes));
        }
    }
    Err("no segment of one block in 200 attempts".into())
}

/// Many blocks of three rings and all types of the catalog, each codec among them.
fn many_blocks() -> Result<Golden, String> {
    let mut codecs = BTreeSet::new();
    // What the drain finds at a time, and so whether LZ4 makes it shorter, is a matter of chance.
    for _ in 0..50 {
        let bytes = many_blocks_once()?;
        codecs = parts(&bytes)
            .iter()
            .filter(|part| part.header.kind == BlockKind::Data)
            .map(|part| part.header.codec as u8)
            .collect();
        if codecs.len() == 4 {
            return Ok(of_segment("many-blocks", bytes));
        }
    }
    Err(format!("codecs {codecs:?} of four, in 50 attempts"))
}

/// The engine itself stores columns, with and without LZ4; every third block is stored again as plain records, with or
/// without LZ4.
fn many_blocks_once() -> Result<Vec<u8>, String> {
    let place = Place::new();
    place.enable();
    let tracer = attach(&place)?;
    std::thread::scope(|scope| {
        for lane in 0..3 {
            let tracer = tracer.clone();
            scope.spawn(move || {
                for round in 0..5 {
                    if lane != 0 {
                        sample::visit(round * 3 + u64::from(lane), &mut Emit(&tracer));
                    }
                    for number in round * 40..round * 40 + 40 {
                        let text = if lane == 0 { noise_of(number) } else { echo_of(number) };
                        emit!(tracer, Numbered { lane, number, text: &text });
                    }
                    let _ = tracer.flush();
                }
            });
        }
    });
    tracer.shutdown();
    let segments = segments_of(&place);
    let bytes = std::fs::read(segments.first().ok_or("no segment")?).map_err(told("golden"))?;
    let mut out = bytes.get(..segment::HEADER_LEN).ok_or("no header")?.to_vec();
    let mut data = 0;
    for part in parts(&bytes) {
        let stored = &bytes[part.start + HEADER_LEN..part.payload_end];
        data += usize::from(part.header.kind == BlockKind::Data);
        let codec = match (part.header.kind, data % 6) {
            (BlockKind::Data, 0) => Codec::Raw,
            (BlockKind::Data, 3) => Codec::Lz4,
            _ => {
                out.extend_from_slice(&bytes[part.start..part.end]);
                continue;
            }
        };
        let (mut raw, mut packed) = (Vec::new(), Vec::new());
        decompress_block(&part.header, stored, &mut raw).map_err(|e| e.to_string())?;
        let is_packed = codec == Codec::Lz4 && compress_block(&raw, &mut packed) == Codec::Lz4;
        let (codec, stored) = if is_packed { (codec, packed) } else { (Codec::Raw, raw) };
        let header =
            BlockHeader { codec, stored_len: stored.len() as u32, payload_crc: crc(&stored), ..part.header };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(&stored);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    Ok(out)
}

/// A segment that was stored in haste and packed later, of a component with a coarse clock, reduced fields and
/// losses.
fn all_features() -> Result<Golden, String> {
    // How many events come before the drain has time: that losses and blocks come out depends on the machine.
    const BURSTS: [u64; 4] = [20_000, 4_000, 2_000, 1_000];
    let begun = Instant::now();
    for burst in BURSTS.into_iter().cycle().take_while(|_| begun.elapsed() < Duration::from_secs(90)) {
        let place = Place::new();
        place.enable_with(&EnableRequest {
            levels: [5; 32],
            segment_bytes: 192 << 10,
            reduce: vec![("custom.numbered.lane".into(), Reduction::Drop)],
            ..EnableRequest::default()
        });
        let attach = || {
            let builder = Tracer::builder("golden").dir(place.dirs.base()).clock(Clock::Coarse);
            builder.ring_size(CAPACITY).attach().map_err(|error| error.to_string())
        };
        let tracer = attach()?;
        let texts: Vec<String> = (0..2000).map(echo_of).collect();
        for number in 0..20_000 {
            emit!(
                tracer,
                Numbered { lane: 7, number: number % 2000, text: &texts[(number % 2000) as usize] }
            );
            if number % burst == burst - 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        tracer.shutdown();
        let is_hasty = |bytes: &[u8]| parts(bytes).iter().any(|part| part.header.flags & FLAG_HASTY != 0);
        let read = |path: &PathBuf| std::fs::read(path).map_err(told("golden"));
        let mut hasty = Vec::new();
        for path in segments_of(&place) {
            if is_hasty(&read(&path)?) {
                hasty.push(path);
            }
        }
        // The next process packs them.
        let tracer = attach()?;
        emit!(tracer, Numbered { lane: 1, number: 0, text: &texts[0] });
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && hasty.iter().any(|p| std::fs::read(p).is_ok_and(|b| is_hasty(&b)))
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        tracer.shutdown();
        for path in hasty {
            let bytes = read(&path)?;
            let parts = parts(&bytes);
            let has = |wanted: &dyn Fn(&Part) -> bool| parts.iter().any(wanted);
            let is_wanted = !is_hasty(&bytes)
                && has(&|part| part.header.codec == Codec::ColumnsLz4)
                && has(&|part| part.header.kind == BlockKind::Data && part.header.lost != 0)
                && has(&|part| part.header.kind == BlockKind::Counters);
            if is_wanted && (16 << 10..128 << 10).contains(&bytes.len()) {
                return Ok(of_segment("all-features", bytes));
            }
        }
    }
    Err("no packed segment with losses in 90 seconds of attempts".into())
}

/// The blocks of a segment that is whole.
pub(crate) fn parts(bytes: &[u8]) -> Vec<Part> {
    let (mut at, mut out) = (segment::HEADER_LEN, Vec::new());
    while let Some(header) = bytes.get(at..).and_then(|b| BlockHeader::decode(b).ok()) {
        let payload_end = at + HEADER_LEN + header.stored_len as usize;
        let end = at + HEADER_LEN + header.padded_len() as usize;
        out.push(Part { header, start: at, payload_end, end });
        at = end;
    }
    out
}

/// The files of a ring folder as they are at one moment of its life, which is as good as a kill at that moment: the
/// thread that emits is this one. Nothing if the drain was at work meanwhile.
pub(crate) fn snapshot(place: &Place) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = std::fs::read_dir(place.dirs.ring_root()).ok()?.flatten().next()?.path();
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, std::fs::read(entry.path()).ok()?)))
        .collect();
    files.sort();
    let again = |name: &str| std::fs::read(folder.join(name)).ok();
    let is_still = files
        .iter()
        .filter(|(name, _)| name.starts_with("ring-"))
        .all(|(name, bytes)| again(name).is_some_and(|now| now.get(..PAGE) == bytes.get(..PAGE)));
    is_still.then_some(files)
}

/// The header of the only ring.
pub(crate) fn ring_of(files: &[(String, Vec<u8>)]) -> Option<(usize, RingHeader)> {
    let at = files.iter().position(|(name, _)| name.starts_with("ring-"))?;
    Some((at, RingHeader::decode(files.get(at)?.1.get(..PAGE)?).ok()?))
}

/// The records of a ring's file between tail and head, with their positions.
pub(crate) fn records_of(header: &RingHeader, file: &[u8]) -> Vec<(u64, u8, u32)> {
    let data = file.get(PAGE..).unwrap_or_default();
    let mut line = Vec::new();
    for position in header.tail..header.head {
        line.push(data.get((position & (header.capacity - 1)) as usize).copied().unwrap_or(0));
    }
    let place =
        |record: Record<'_>| (header.tail + record.offset as u64, record.header.kind, record.header.len);
    Records::new(&line).map_while(Result::ok).map(place).collect()
}

/// A ring folder that a kill left, of one of these shapes: `crashed` early, with an emit under way; `lapped`, with
/// what waits on both sides of the end of a lap, and a pad; `lossy`, with a loss record and reduced events;
/// `overflowed`, full to the brim.
fn ring(shape: &str) -> Result<Golden, String> {
    for _ in 0..2000 {
        let place = Place::new();
        let reduce = vec![("custom.numbered.text".into(), Reduction::Prefix { n: 40, m: 0 })];
        place.enable_with(&EnableRequest {
            levels: [5; 32],
            reduce: if shape == "lossy" { reduce } else { Vec::new() },
            ..EnableRequest::default()
        });
        let builder = Tracer::builder("golden").dir(place.dirs.base()).ring_size(CAPACITY);
        let tracer = builder.attach().map_err(|error| error.to_string())?;
        let texts: Vec<String> = (0..3000).map(noise_of).collect();
        let mut number = 0;
        let mut burst = |count: usize| {
            for text in texts.iter().cycle().skip(number % 3000).take(count) {
                emit!(tracer, Numbered { lane: 0, number: (number % 3000) as u64, text });
                number += 1;
            }
        };
        let flush = || tracer.flush().map_err(|error| error.to_string());
        burst(1);
        match shape {
            "crashed" => {
                sample::visit(1, &mut Emit(&tracer));
                burst(220);
            }
            "lapped" => {
                for _ in 0..2 {
                    sample::visit(1, &mut Emit(&tracer));
                    burst(220);
                    flush()?;
                }
                burst(230);
            }
            "lossy" => {
                burst(2000);
                flush()?;
                burst(150);
                sample::visit(1, &mut Emit(&tracer));
            }
            _ => burst(3000),
        }
        let Some(mut files) = snapshot(&place) else { continue };
        let Some((at, header)) = ring_of(&files) else { continue };
        let kinds: Vec<u8> = records_of(&header, &files[at].1).into_iter().map(|record| record.1).collect();
        let waiting = header.head - header.tail;
        let is_wanted = match shape {
            "crashed" => header.tail == 0 && waiting > 16 << 10,
            "lapped" => kinds.contains(&KIND_PAD) && header.tail > 0 && waiting > 16 << 10,
            "lossy" => kinds.contains(&KIND_LOSS) && waiting > 8 << 10,
            _ => header.lost[0] != 0 && waiting > CAPACITY - 512,
        };
        if !is_wanted || !kinds.contains(&KIND_EVENT) {
            continue;
        }
        if shape == "crashed" {
            let attempted = (header.attempted + 1).to_le_bytes();
            files[at].1[ATTEMPTED..ATTEMPTED + 8].copy_from_slice(&attempted);
        }
        return Ok(Golden { name: format!("ring-{shape}"), kind: Kind::Ring, files });
    }
    Err(format!("no ring of the shape {shape} in 2000 attempts"))
}

/// A ring folder with few events: a neighbour that must not suffer.
pub(crate) fn small_ring() -> Result<Golden, String> {
    for _ in 0..2000 {
        let place = Place::new();
        place.enable();
        let builder = Tracer::builder("honest").dir(place.dirs.base()).ring_size(CAPACITY);
        let tracer = builder.attach().map_err(|error| error.to_string())?;
        for number in 0..25 {
            emit!(tracer, Numbered { lane: 9, number, text: &noise_of(number) });
        }
        let Some(files) = snapshot(&place) else { continue };
        if ring_of(&files).is_some_and(|(_, header)| header.tail == 0 && header.head != 0) {
            let golden = Golden { name: "honest".into(), kind: Kind::Ring, files };
            check(&golden)?;
            return Ok(golden);
        }
    }
    Err("the drain was never late enough in 2000 attempts".into())
}

/// Whether an offset of a ring's file lies in a number of its header that no checksum covers.
pub(crate) fn is_counter(offset: usize) -> bool {
    (HEAD..HEAD + 16).contains(&offset)
        || (LOST..LOST + 64).contains(&offset)
        || (TAIL..SEQUENCE_AT_TAIL + 8).contains(&offset)
}

/// A line of an event in what was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) ring: u32,
    pub(crate) sequence: u64,
    pub(crate) is_unverified: bool,
    from: usize,
    /// After who and when.
    rest: usize,
    to: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    text: String,
    pub(crate) events: Vec<Line>,
    pub(crate) summary: Summary,
}

impl Reading {
    pub(crate) fn whole(&self, line: &Line) -> &str {
        &self.text[line.from..line.to]
    }

    /// The line without time and thread, which other blocks tell.
    pub(crate) fn rest(&self, line: &Line) -> &str {
        &self.text[line.rest..line.to]
    }

    /// The lines without time and thread.
    pub(crate) fn rests(&self) -> Vec<&str> {
        self.events.iter().map(|line| self.rest(line)).collect()
    }
}

/// A folder with a golden's files, for one thread.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Stage {
    /// Writes a golden's files, in memory if the machine has a file system there.
    pub(crate) fn new(golden: &Golden) -> Result<Self, String> {
        let dir = temporary()?;
        let stage = Self { paths: Vec::new(), dir };
        let paths = match golden.kind {
            Kind::Segment => golden.files.iter().map(|(name, _)| stage.dir.path().join(name)).collect(),
            Kind::Ring => vec![stage.dir.path().to_owned()],
        };
        for (name, bytes) in &golden.files {
            stage.write(name, bytes)?;
        }
        Ok(Self { paths, ..stage })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file anew.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        std::fs::write(self.path(name), bytes).map_err(told(name))
    }

    /// Reads everything with its paths: within [`MEMORY`], without a panic. Else a violation.
    pub(crate) fn read(&self) -> Result<Result<Reading, ReadError>, String> {
        read(&self.paths, MEMORY)
    }
}

/// A temporary directory in memory, where the machine has a file system there.
pub(crate) fn temporary() -> Result<tempfile::TempDir, String> {
    let shm = Path::new("/dev/shm");
    let mut ours = tempfile::Builder::new();
    ours.prefix("tracewell-faults-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let made = ours.tempdir_in(shm);
    made.or_else(|_| ours.tempdir()).map_err(told("a temporary directory"))
}

/// Reads everything below some paths, within so many bytes of memory and without a panic. Else a violation.
pub(crate) fn read(paths: &[PathBuf], most: u64) -> Result<Result<Reading, ReadError>, String> {
    let mut reading = Reading::default();
    // What is kept here of the lines is this test's memory, not the reader's.
    reading.text.reserve(4 << 20);
    reading.events.reserve(1 << 16);
    let mut renderer = TextRenderer::new(false);
    let call = || -> Result<(), ReadError> {
        let trace = Trace::open(paths, &[])?;
        reading.summary = trace.read(&Filter::default(), |item| {
            let from = reading.text.len();
            let mut line = std::mem::take(&mut reading.text);
            renderer.push(&mut line, item);
            reading.text = line;
            if let Item::Event(event) = item {
                let rest = reading.text[from..].find("] ").map_or(from, |at| from + at + 2);
                reading.events.push(Line {
                    ring: event.ring,
                    sequence: event.sequence,
                    is_unverified: event.is_unverified,
                    from,
                    rest,
                    to: reading.text.len(),
                });
            }
            Ok::<(), ReadError>(())
        })?;
        Ok(())
    };
    let call = std::panic::AssertUnwindSafe(call);
    let (caught, peak) = crate::memory::peak_of(|| std::panic::catch_unwind(call));
    let done = caught.map_err(|_| "the reader panicked".to_owned())?;
    if peak > most {
        return Err(format!("the reader had {peak} bytes, more than {most}"));
    }
    Ok(done.map(|()| reading))
}

/// Keeps what was read in a violation, and says where.
pub(crate) fn keep(golden: &Golden, change: &str, files: &[(String, Vec<u8>)]) -> String {
    format!("{change} of {}; {}", golden.name, keep_files(&golden.name, files))
}

/// Keeps files, and says where.
pub(crate) fn keep_files(name: &str, files: &[(String, Vec<u8>)]) -> String {
    let dir = std::env::temp_dir().join(format!("tracewell-fault-{name}-{}", std::process::id()));
    let kept = std::fs::create_dir_all(&dir)
        .and_then(|()| files.iter().try_for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes)));
    match kept {
        Ok(()) => format!("kept in {}, read it with `tracewell read`", dir.display()),
        Err(error) => format!("could not be kept: {error}"),
    }
}
