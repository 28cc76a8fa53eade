//! T-16: neighbours that do everything to a reader: a live process that rewrites its rings while they are read, things
//! that are no files, names that are no names, and more of everything than fits. The reader always ends, within its
//! memory; it gives the honest neighbours' events, all of them and nothing else of theirs; and it tells what is odd.

mod adopt;
mod odd;
mod peer;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, ReadError, Summary, Trace};
use tracewell_schema::format::process::{ProcessFile, folder_name};
use tracewell_schema::format::segment::SegmentHeader;
use tracewell_tests::Place;

use crate::goldens::{self, Golden};
use crate::memory::peak_of;
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

pub(crate) use peer::{PeerArgs, run as peer};

/// Arguments of `faults hostile`.
#[derive(Args, Clone, Debug)]
pub(crate) struct HostileArgs {
    #[command(flatten)]
    scale: Scale,
    /// How long the live peers are read.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only the part whose name contains this: odd, files, rings, live, adopt.
    #[arg(long, default_value = "")]
    part: String,
}

/// Arguments of the reader in a process of its own, whose address space is bounded.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReaderArgs {
    dir: PathBuf,
    /// MiB.
    limit: u64,
}

pub(super) const MIB: u64 = 1 << 20;
/// Most memory for a folder of odd things.
const MOST_ODD: u64 = 48 * MIB;
/// For hundreds of thousands of files: what is kept of each is its path.
const MOST_FILES: u64 = 128 * MIB;
/// For thousands of rings of which all have events at the same time: what tracks may load (256 MiB), and the rest.
const MOST_RINGS: u64 = 320 * MIB;
/// For live peers, whose rings are copied before they are read: the reader's budget for that (512 MiB), and the rest.
const MOST_LIVE: u64 = 768 * MIB;
/// Most time of the processor that reading them may take: not that of searching four gigabytes of a hole.
const MOST_ODD_WORK: Duration = Duration::from_millis(600);
/// Longest that a pass may take before the test gives it up.
const MOST_TIME: Duration = Duration::from_secs(60);

/// The neighbours whose events must come out.
pub(super) struct Honest {
    pub(super) ring: Golden,
    segment: Golden,
    /// Their processes.
    uuids: Vec<[u8; 16]>,
    lines: Vec<String>,
}

/// What a pass gave.
pub(super) struct Pass {
    pub(super) summary: Summary,
    pub(super) took: Duration,
    /// Time of the processor.
    pub(super) work: Duration,
    pub(super) peak: u64,
}

/// Time of the processor that this thread has had.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

impl Honest {
    fn new() -> Result<Self, String> {
        let ring = goldens::small_ring()?;
        let mut segment = goldens::all_of("many-blocks")?.pop().ok_or("no segment")?;
        segment.name = "honest segment".into();
        let process = ProcessFile::decode(file(&ring, "process")?).map_err(|e| e.to_string())?;
        let header = SegmentHeader::decode(&segment.files[0].1).map_err(|e| e.to_string())?;
        let uuids = vec![process.identity.process_uuid, header.identity.process_uuid];
        Ok(Self { ring, segment, uuids, lines: Vec::new() })
    }

    /// The identity of the process that left the ring.
    pub(super) fn process(&self) -> Result<ProcessFile, String> {
        ProcessFile::decode(file(&self.ring, "process")?).map_err(|error| error.to_string())
    }

    /// Puts them into a folder; the first time, notes what comes out of them alone.
    fn put(&mut self, dir: &Path) -> Result<(), String> {
        write_folder(&dir.join(folder_name(&self.process()?.identity)), &self.ring.files)?;
        write_folder(&dir.join("segments"), &self.segment.files)?;
        if self.lines.is_empty() {
            let mut lines = Vec::new();
            let trace = Trace::open(&[dir.to_owned()], &[]).map_err(|error| error.to_string())?;
            each_line(&trace, |_, line| lines.push(line.to_owned())).map_err(|error| error.to_string())?;
            self.lines = lines;
        }
        if self.lines.len() < 100 {
            return Err(format!("{} events of honest neighbours are too few", self.lines.len()));
        }
        Ok(())
    }

    /// One reading of a folder, judged.
    pub(super) fn pass(&self, dir: &Path, most: u64) -> Result<Pass, String> {
        let (begun, before) = (Instant::now(), worked());
        let mut next = 0;
        let mut wrong = None;
        let call = || {
            let trace = Trace::open(&[dir.to_owned()], &[])?;
            each_line(&trace, |uuid, line| {
                if self.uuids.contains(uuid) {
                    if self.lines.get(next).map(String::as_str) != Some(line) {
                        wrong.get_or_insert_with(|| line.to_owned());
                    }
                    next += 1;
                }
            })
        };
        let call = std::panic::AssertUnwindSafe(call);
        let (caught, peak) = peak_of(|| std::panic::catch_unwind(call));
        let done = caught.map_err(|_| "the reader panicked".to_owned())?;
        let summary = done.map_err(|error| format!("the reader gave up: {error}"))?;
        if let Some(line) = wrong {
            return Err(format!("an honest neighbour's event {next} is another: {line}"));
        }
        if next != self.lines.len() {
            return Err(format!("{next} of {} events of honest neighbours: {summary:?}", self.lines.len()));
        }
        if peak > most {
            return Err(format!("the reader had {peak} bytes, more than {most}"));
        }
        let text = summary.to_text();
        let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if text.chars().any(|c| c.is_control() && c != '\n' || turns(c)) {
            return Err(format!("a name steers the terminal: {text:?}"));
        }
        Ok(Pass { summary, took: begun.elapsed(), work: worked().saturating_sub(before), peak })
    }
}

/// A file of a golden.
pub(super) fn file<'a>(golden: &'a Golden, name: &str) -> Result<&'a [u8], String> {
    let found = golden.files.iter().find(|(found, _)| found.starts_with(name));
    found.map(|(_, bytes)| bytes.as_slice()).ok_or_else(|| format!("{} has no file {name}", golden.name))
}

pub(super) fn write_folder(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    files.iter().try_for_each(|(name, bytes)| write_private(&dir.join(name), bytes))
}

/// Writes a file that is its user's alone, as the engine does.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Renders everything, and hands each event's line with its process out.
pub(super) fn each_line(trace: &Trace, mut each: impl FnMut(&[u8; 16], &str)) -> Result<Summary, ReadError> {
    let (mut renderer, mut line) = (TextRenderer::new(false), String::new());
    trace.read(&Filter::default(), |item| {
        line.clear();
        renderer.push(&mut line, item);
        if let Item::Event(event) = item {
            each(&event.process.identity.process_uuid, &line);
        }
        Ok::<(), ReadError>(())
    })
}

/// Ends the whole test if a pass takes too long: a reader that does not end cannot be asked to.
struct Watch {
    _alive: mpsc::Sender<()>,
}

static PASSES: AtomicU64 = AtomicU64::new(0);

impl Watch {
    fn new(seed: u64) -> Self {
        let (alive, over) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut seen = u64::MAX;
            loop {
                match over.recv_timeout(MOST_TIME) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
                let now = PASSES.load(Ordering::Relaxed);
                if now == seen {
                    eprintln!("faults: pass {now} does not end; repeat with: faults hostile --seed {seed}");
                    std::process::exit(1);
                }
                seen = now;
            }
        });
        Self { _alive: alive }
    }
}

#[derive(Default)]
pub(super) struct Totals {
    passes: u64,
    odd: usize,
    peak: u64,
    longest: Duration,
    pub(super) notes: Vec<String>,
}

impl Totals {
    fn add(&mut self, pass: &Pass) {
        self.add_other();
        self.peak = self.peak.max(pass.peak);
        self.longest = self.longest.max(pass.took);
    }

    /// A pass that is not the reader's.
    pub(super) fn add_other(&mut self) {
        PASSES.fetch_add(1, Ordering::Relaxed);
        self.passes += 1;
    }
}

/// Runs the test.
pub(crate) fn run(args: &HostileArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let _watch = Watch::new(seed);
    let mut honest = Honest::new()?;
    let mut totals = Totals::default();
    let is_wanted = |part: &str| part.contains(&args.part);
    let repeat =
        |what| format!("{what}; repeat with: faults hostile --seconds {} --seed {seed}", args.seconds);
    // What comes out of the honest ones alone is the measure of all.
    honest.put(goldens::temporary()?.path())?;
    if is_wanted("odd") {
        odd_things(&mut honest, &mut totals).map_err(repeat)?;
    }
    if is_wanted("files") {
        many_files(&mut honest, &mut totals).map_err(repeat)?;
    }
    if is_wanted("rings") {
        many_rings(&mut honest, &mut totals).map_err(repeat)?;
    }
    if is_wanted("live") {
        live(&mut honest, &mut totals, seed, Duration::from_secs(args.seconds)).map_err(repeat)?;
    }
    if is_wanted("adopt") {
        adopt::run(&honest, &mut totals, seed, Duration::from_secs(args.seconds)).map_err(repeat)?;
    }
    Report {
        test: "hostile (T-16)".into(),
        unit: "passes".into(),
        count: totals.passes,
        seed: Some(seed),
        result: format!(
            "{} events of honest neighbours in each; {} odd things told; at most {} MiB, {} ms; {}",
            honest.lines.len(),
            totals.odd,
            totals.peak / MIB,
            totals.longest.as_millis(),
            totals.notes.join(", ")
        ),
        command: format!("faults hostile --seconds {} --seed {seed}", args.seconds),
    }
    .print();
    Ok(())
}

/// A folder with one of each odd thing.
fn odd_things(honest: &mut Honest, totals: &mut Totals) -> Result<(), String> {
    let dir = goldens::temporary()?;
    honest.put(dir.path())?;
    let made = odd::make(dir.path(), honest)?;
    let pass = honest.pass(dir.path(), MOST_ODD)?;
    totals.add(&pass);
    for path in &made.told {
        if !pass.summary.damaged.iter().any(|damage| damage.file == *path) {
            let text = pass.summary.to_text();
            return Err(format!("{} is odd and is not told: {text}", path.display()));
        }
    }
    if pass.work > MOST_ODD_WORK {
        return Err(format!("reading odd things is {:?} of work", pass.work));
    }
    totals.odd += made.told.len();
    totals.notes.extend(made.notes);
    let (things, work) = (made.told.len(), pass.work.as_millis());
    eprintln!("odd: {things} things, {work} ms of work, {} KiB", pass.peak / 1024);
    bounded(honest, dir.path(), 384)?;
    Ok(())
}

/// The same reading in a process that may have only so much address space.
fn bounded(honest: &Honest, dir: &Path, limit: u64) -> Result<(), String> {
    let mut child = Command::new("/proc/self/exe")
        .arg("hostile-reader")
        .arg(dir)
        .arg(limit.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + MOST_TIME;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err("a reader in a process of its own did not end".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // What it says is short, so that it need not be read while it runs.
    let of_honest: usize = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(uuid, _)| honest.uuids.iter().any(|u| tracewell_schema::format::hex(u) == *uuid))
        .filter_map(|(_, count)| count.parse::<usize>().ok())
        .sum();
    if output.status.success() && of_honest == honest.lines.len() {
        Ok(())
    } else {
        Err(format!("a reader within {limit} MiB: {}, {of_honest} events", output.status))
    }
}

/// The reader in a process of its own: a line for each process, its id and its events.
pub(crate) fn reader(args: &ReaderArgs) -> Result<(), String> {
    let bytes = Some(args.limit * MIB);
    let limit = rustix::process::Rlimit { current: bytes, maximum: bytes };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).map_err(|error| error.to_string())?;
    let mut counts = std::collections::BTreeMap::new();
    let trace = Trace::open(std::slice::from_ref(&args.dir), &[]).map_err(|error| error.to_string())?;
    each_line(&trace, |uuid, _| *counts.entry(*uuid).or_insert(0_u64) += 1).map_err(|e| e.to_string())?;
    for (uuid, count) in counts.iter().take(1000) {
        println!("{} {count}", tracewell_schema::format::hex(uuid));
    }
    Ok(())
}

/// A hundred thousand files as rings of one process, and as many as segments.
fn many_files(honest: &mut Honest, totals: &mut Totals) -> Result<(), String> {
    const FILES: u32 = 100_000;
    let dir = goldens::temporary()?;
    honest.put(dir.path())?;
    let folder = dir.path().join("crowd");
    let mut process = honest.process()?;
    process.identity.process_uuid = [0xc0; 16];
    write_folder(&folder, &[("process".into(), process.encode()), ("schemas".into(), Vec::new())])?;
    for number in 0..FILES {
        let segment = dir.path().join(format!("segments/z_pid1_00000000_{number:06}.twseg"));
        for path in [folder.join(format!("ring-{number:06}")), segment] {
            std::fs::File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let pass = honest.pass(dir.path(), MOST_FILES)?;
    totals.add(&pass);
    let told = pass.summary.damaged.len() as u64 + pass.summary.more_damaged;
    if told < u64::from(FILES) || !pass.summary.damaged.iter().any(|damage| damage.file == folder) {
        return Err(format!(
            "{told} of {FILES} empty segments are told, or not the rings: {:?}",
            pass.summary
        ));
    }
    let (millis, kib) = (pass.took.as_millis(), pass.peak / 1024);
    totals.notes.push(format!("{} files in {millis} ms and {kib} KiB", grouped(2 * u64::from(FILES))));
    bounded(honest, dir.path(), 512)
}

/// Thousands of rings of one process, all with events of the same time; half of them say that they are of 256 MiB and
/// full.
fn many_rings(honest: &mut Honest, totals: &mut Totals) -> Result<(), String> {
    const RINGS: u32 = 4096;
    let dir = goldens::temporary()?;
    honest.put(dir.path())?;
    let mut process = honest.process()?;
    process.identity.process_uuid = [0xc1; 16];
    let folder = dir.path().join(folder_name(&process.identity));
    let schemas = file(&honest.ring, "schemas")?.to_vec();
    write_folder(&folder, &[("process".into(), process.encode()), ("schemas".into(), schemas)])?;
    let (_, template) = goldens::ring_of(&honest.ring.files).ok_or("no ring")?;
    let bytes = file(&honest.ring, "ring-")?;
    let data = &bytes[goldens::RING_HEADER..goldens::RING_HEADER + template.head as usize];
    let mut expected = 0;
    for number in 0..RINGS {
        let mut header = template.clone();
        header.process_uuid = process.identity.process_uuid;
        header.info.ring = number + 1;
        expected += goldens::records_of(&template, bytes).len() as u64;
        if number % 2 == 1 {
            header.capacity = 256 << 20;
            header.info.capacity = header.capacity;
            header.head = header.capacity;
        }
        let path = folder.join(format!("ring-{number:06}"));
        write_private(&path, &[&header.encode()[..], data].concat())?;
        let len = goldens::RING_HEADER as u64 + header.capacity;
        let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(|e| e.to_string())?;
        file.set_len(len).map_err(|error| error.to_string())?;
    }
    let pass = honest.pass(dir.path(), MOST_RINGS)?;
    totals.add(&pass);
    let events = pass.summary.events - honest.lines.len() as u64;
    let told = pass.summary.damaged.len() as u64 + pass.summary.more_damaged;
    if events != expected || told < u64::from(RINGS / 2) {
        return Err(format!(
            "{events} of {expected} events, {told} told: {:?}",
            pass.summary.damaged.first()
        ));
    }
    let (millis, mib) = (pass.took.as_millis(), pass.peak / MIB);
    totals.notes.push(format!("{RINGS} rings with {events} events in {millis} ms and {mib} MiB"));
    bounded(honest, dir.path(), 640)
}

/// Live processes that change their rings while they are read.
fn live(honest: &mut Honest, totals: &mut Totals, seed: u64, time: Duration) -> Result<(), String> {
    let dir = goldens::temporary()?;
    honest.put(dir.path())?;
    let alone = honest.pass(dir.path(), MOST_LIVE)?.took;
    let place = Place::new();
    place.enable();
    let template = place.beside("template");
    write_folder(&template, &honest.ring.files)?;
    let mut random = Random::new(seed);
    let mut peers = Peers::default();
    for _ in 0..2 {
        peers.start(&place, dir.path(), &template, random.next())?;
    }
    let begun = Instant::now();
    let (mut passes, mut events, mut told) = (0_u64, 0_u64, 0_u64);
    let mut longest = Duration::ZERO;
    // On a machine that is busy it may take longer until something was tried.
    let is_enough = |passes, told| passes >= 10 && told != 0 || begun.elapsed() > time + MOST_TIME;
    while begun.elapsed() < time || !is_enough(passes, told) {
        let pass = honest.pass(dir.path(), MOST_LIVE)?;
        totals.add(&pass);
        passes += 1;
        longest = longest.max(pass.took);
        events += pass.summary.events - honest.lines.len() as u64;
        told += u64::from(!pass.summary.is_complete());
        if passes.is_multiple_of(200) {
            bounded(honest, dir.path(), 2048)?;
        }
        if passes.is_multiple_of(1000) {
            // Others, with other lies.
            peers.end();
            for _ in 0..2 {
                peers.start(&place, dir.path(), &template, random.next())?;
            }
        }
        peers.check()?;
    }
    if told == 0 || passes < 10 {
        return Err(format!("{passes} passes of live peers, {told} with something odd: nothing was tried"));
    }
    totals.notes.push(format!(
        "{} passes of live peers, {} with something told, {} events of theirs, longest {} ms ({} ms without them)",
        grouped(passes),
        grouped(told),
        grouped(events),
        longest.as_millis(),
        alone.as_millis()
    ));
    Ok(())
}

/// Hostile processes; ended when dropped.
#[derive(Default)]
pub(super) struct Peers(Vec<std::process::Child>);

impl Peers {
    pub(super) fn start(
        &mut self,
        place: &Place,
        dir: &Path,
        template: &Path,
        seed: u64,
    ) -> Result<(), String> {
        let child = Command::new("/proc/self/exe")
            .arg("hostile-peer")
            .args([place.dirs.base(), dir, template])
            .arg(seed.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        self.0.push(child);
        Ok(())
    }

    /// They are still at it.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for child in &mut self.0 {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("a hostile peer ended by itself: {status}"));
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        for mut child in self.0.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.end();
    }
}
