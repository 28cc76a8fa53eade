//! `faults soak` (T-27): a component at 80 % of the rate that goes through without loss, measured at the start of the same
//! run, for as long as wanted: segments rotate and are deleted, threads come and go, tracing is switched off and on, and
//! beside it another component is killed every few seconds, its trace read to the last event and removed. At the end
//! everything retained is read and checked, and what the component holds must not have grown.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tracewell::control::EnableRequest;
use tracewell_reader::{Filter, Item, Summary, Trace};
use tracewell_schema::Value;
use tracewell_tests::{Place, text_of};

use crate::component::Component;
use crate::lanes::Oracle;
use crate::random::Random;
use crate::report::{Report, Scale, grouped};
use crate::threads::is_sound;

/// Words of the oracle, as in `threaded/soak.rs`.
const RATE: usize = 10;
const END: usize = 11;
const CHURNED: usize = 12;
const THREADS: usize = 13;
const HEAP: usize = 14;

/// Arguments of `faults soak`.
#[derive(Args, Debug)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    scale: Scale,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Most bytes of the segments, in MiB; at most 2048.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(64..=2048))]
    retained: u64,
}

/// What the component holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    seconds: f64,
    rss_kib: u64,
    /// The part of it that is not files.
    anon_kib: u64,
    /// What the allocator has given out.
    heap_kib: u64,
    files: u64,
    /// Ring files, and their memory.
    rings: u64,
    ring_kib: u64,
    /// All of the file system that rings are on, also what others have there.
    shm_kib: u64,
    segments_kib: u64,
}

fn files_below(folder: &Path) -> (u64, u64) {
    let (mut count, mut kib) = (0, 0);
    for inner in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(inner.path()).into_iter().flatten().flatten() {
            if let Ok(meta) = file.metadata() {
                count += 1;
                kib += meta.blocks() / 2;
            }
        }
    }
    (count, kib)
}

impl Sample {
    fn take(place: &Place, oracle: &Oracle, pid: Pid, begun: Instant) -> Self {
        let proc = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
        let status = std::fs::read_to_string(proc("status")).unwrap_or_default();
        let kib = |key| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let (rings, ring_kib) = files_below(place.dirs.ring_root());
        let shm = rustix::fs::statvfs(place.dirs.ring_root().parent().unwrap_or(Path::new("/dev/shm")));
        Self {
            seconds: begun.elapsed().as_secs_f64(),
            rss_kib: kib("VmRSS"),
            anon_kib: kib("RssAnon"),
            heap_kib: oracle.word(HEAP).load(Ordering::Relaxed) / 1024,
            files: std::fs::read_dir(proc("fd")).map_or(0, Iterator::count) as u64,
            rings,
            ring_kib,
            shm_kib: shm.map_or(0, |s| (s.f_blocks - s.f_bfree) * s.f_frsize / 1024),
            segments_kib: files_below(&place.dirs.sessions()).1,
        }
    }
}

/// The median of a part of the samples, in tenths.
fn median(samples: &[Sample], tenths: std::ops::Range<usize>, what: fn(&Sample) -> u64) -> u64 {
    let (from, to) = (samples.len() * tenths.start / 10, samples.len() * tenths.end / 10);
    let mut all: Vec<_> = samples[from..to].iter().map(what).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// Growth an hour by least squares, after the first tenth.
fn slope(samples: &[Sample], what: fn(&Sample) -> u64) -> f64 {
    let rest = &samples[samples.len() / 10..];
    let n = rest.len() as f64;
    let mean_x = rest.iter().map(|s| s.seconds).sum::<f64>() / n;
    let mean_y = rest.iter().map(|s| what(s) as f64).sum::<f64>() / n;
    let up: f64 = rest.iter().map(|s| (s.seconds - mean_x) * (what(s) as f64 - mean_y)).sum();
    let down: f64 = rest.iter().map(|s| (s.seconds - mean_x).powi(2)).sum();
    if down == 0.0 { 0.0 } else { up / down * 3600.0 }
}

fn request(retained: u64) -> EnableRequest {
    EnableRequest {
        levels: [5; 32],
        max_total: retained << 20,
        segment_bytes: 8 << 20,
        ..EnableRequest::default()
    }
}

/// The component that is killed.
struct Victim {
    place: Place,
    seed: u64,
    component: Component,
    kills: u64,
    events: u64,
}

impl Victim {
    fn start(place: Place, seed: u64) -> Result<Self, String> {
        let component = Component::start("victim", &place, seed, 24 * 3600)?;
        Ok(Self { place, seed, component, kills: 0, events: 0 })
    }

    /// Kills it, reads what it left, removes that, and starts the next.
    fn kill(&mut self) -> Result<(), String> {
        if !self.component.lives() {
            return Err("the component to be killed had ended by itself".into());
        }
        // With it goes its process group; what is read then is what the dead left.
        let next = |place: &Place, seed| Component::start("victim", place, seed, 24 * 3600);
        let _ = kill_process(self.component.pid(), Signal::KILL);
        let _ = self.component.wait(Duration::from_secs(10), || ());
        let oracle = Oracle::open(&self.place.beside("oracle")).map_err(|e| e.to_string())?;
        let mut lanes = [0_u64; 2];
        let summary = read(&self.place.trace(), &mut |lane, number, _| {
            let Some(next) = lanes.get_mut(lane as usize) else { return Err(format!("lane {lane}")) };
            // Unless something was refused, from 0 without a gap.
            if number < *next {
                return Err(format!("event {number} of lane {lane} comes after {next}"));
            }
            *next = number + 1;
            Ok(())
        })?;
        let acked: u64 = (0..2).map(|lane| oracle.lane(lane).load(Ordering::Relaxed)).sum();
        let sum = summary.events + summary.lost_total();
        sound(&summary, true)?;
        if !(acked..=acked + 2).contains(&sum) {
            return Err(format!(
                "{sum} events of a killed component that had {acked} acknowledged: {summary:?}"
            ));
        }
        self.kills += 1;
        self.events += summary.events;
        // As `tracewell purge`.
        let text = |e: std::io::Error| e.to_string();
        self.place.control.disable().map_err(text)?;
        std::fs::remove_dir_all(self.place.dirs.ring_root()).map_err(text)?;
        std::fs::remove_dir_all(self.place.dirs.sessions()).map_err(text)?;
        (0..2).for_each(|lane| oracle.lane(lane).store(0, Ordering::Relaxed));
        self.place.enable_with(&request(64));
        self.seed += 1;
        self.component = next(&self.place, self.seed)?;
        Ok(())
    }
}

fn sound(summary: &Summary, cut: bool) -> Result<(), String> {
    if is_sound(summary, cut) { Ok(()) } else { Err(format!("the reader finds damage: {summary:?}")) }
}

/// Reads a trace; every event's text is checked, `see` gets lane, number and ring.
fn read(
    trace: &Trace,
    see: &mut dyn FnMut(u32, u64, (usize, u32)) -> Result<(), String>,
) -> Result<Summary, String> {
    let read = trace.read(&Filter::default(), |item| {
        match item {
            Item::Event(event) => {
                let word = |name| match event.values.get(name).map(|f| f.value) {
                    Some(Value::U(n)) => Ok(n),
                    _ => Err(format!("an event {} without {name}", event.schema.name)),
                };
                let (lane, number) = (word("lane")? as u32, word("number")?);
                let text = event.values.get("text").map(|f| f.value);
                if !matches!(text, Some(Value::Str(text)) if text.bytes == text_of(number).as_bytes()) {
                    return Err(format!("event {number} of lane {lane} is torn"));
                }
                see(lane, number, (event.process_index, event.ring))?;
            }
            Item::Hole { events, .. } => return Err(format!("a hole of {events} events")),
            _ => {}
        }
        Ok(())
    });
    read.map_err(|e| e.to_string())
}

/// What the run did.
#[derive(Default)]
struct Done {
    switches: u64,
    kills: u64,
    killed_events: u64,
    samples: Vec<Sample>,
}

/// Runs it.
pub(crate) fn run(args: &SoakArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let command =
        format!("faults soak --seed {seed} --minutes {} --retained {}", args.minutes, args.retained);
    try_run(args, seed, &command).map_err(|violation| format!("{violation}; again: {command}"))
}

fn try_run(args: &SoakArgs, seed: u64, command: &str) -> Result<(), String> {
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let place = Place::new();
    place.enable_with(&request(args.retained));
    let oracle = Oracle::open(&place.beside("oracle")).map_err(|e| e.to_string())?;
    let mut component = Component::start("soak", &place, seed, time.as_secs() + 120)?;
    let rate = || oracle.word(RATE).load(Ordering::Relaxed);
    let begun = Instant::now();
    while rate() == 0 {
        if begun.elapsed() > Duration::from_secs(60) || !component.lives() {
            return Err("the component did not measure its rate".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    eprintln!("soak: {} events a second without loss; now 80 % of it", grouped(rate()));
    let done = soak(args, &place, &oracle, &mut component, seed, time)?;
    oracle.word(END).store(1, Ordering::Relaxed);
    component.wait(Duration::from_secs(60), || ())?;
    drop(component);
    let left = files_below(place.dirs.ring_root());
    if left.0 != 0 {
        return Err(format!("{} ring files are left", left.0));
    }
    let (checked, summary) = verify(&place, &oracle, done.switches)?;
    let limits = check_flat(&done.samples, args.retained)?;
    let attempted = [0, 1, 10, 11].iter().map(|lane| oracle.lane(*lane).load(Ordering::Relaxed)).sum::<u64>()
        + oracle.word(CHURNED).load(Ordering::Relaxed);
    Report {
        test: "soak (T-27)".into(),
        unit: "events".into(),
        count: attempted,
        seed: Some(seed),
        result: format!(
            "{:.1} min at 80 % of {} events/s; {} retained and each checked, {} counted lost, {} retired; {} threads, {} \
             switches, {} kills with {} events; {limits}",
            args.minutes,
            grouped(rate()),
            grouped(checked),
            grouped(summary.lost_total()),
            grouped(summary.retired),
            grouped(oracle.word(THREADS).load(Ordering::Relaxed)),
            done.switches,
            done.kills,
            grouped(done.killed_events),
        ),
        command: command.into(),
    }
    .print();
    Ok(())
}

/// The time itself: samples, kills, switches.
fn soak(
    args: &SoakArgs,
    place: &Place,
    oracle: &Oracle,
    component: &mut Component,
    seed: u64,
    time: Duration,
) -> Result<Done, String> {
    let mut done = Done::default();
    let mut random = Random::new(seed);
    let beside = Place::new();
    beside.enable_with(&request(64));
    let mut victim = Victim::start(beside, seed)?;
    let begun = Instant::now();
    let every = (time / 100).clamp(Duration::from_millis(200), Duration::from_secs(5));
    let (mut next_sample, mut next_kill) = (begun, begun + Duration::from_secs(3));
    let mut next_switch = begun + Duration::from_secs(8).min(time / 4);
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(20));
        let now = Instant::now();
        if !component.lives() {
            return Err("the component ended by itself".into());
        }
        if now >= next_sample {
            next_sample = now + every;
            done.samples.push(Sample::take(place, oracle, component.pid(), begun));
        }
        if now >= next_kill {
            next_kill = now + Duration::from_millis(2000 + random.below(2500));
            victim.kill()?;
        }
        if now >= next_switch {
            next_switch = now + Duration::from_secs(5 + random.below(20));
            place.control.disable().map_err(|e| e.to_string())?;
            std::thread::sleep(Duration::from_millis(100 + random.below(300)));
            place.enable_with(&request(args.retained));
            done.switches += 1;
        }
    }
    (done.kills, done.killed_events) = (victim.kills, victim.events);
    Ok(done)
}

/// Reads all that is retained: each thread's numbers follow each other from the oldest on, but for what is counted lost and
/// at most one at each time that tracing went off. Gives the count.
fn verify(place: &Place, oracle: &Oracle, switches: u64) -> Result<(u64, Summary), String> {
    let mut next = HashMap::<u32, u64>::new();
    let mut short = HashMap::<(usize, u32), u64>::new();
    let mut gaps = [0_u64; 2];
    let summary = read(&place.trace(), &mut |lane, number, ring| {
        let last = if lane < 1000 { next.insert(lane, number) } else { short.insert(ring, number) };
        if let Some(last) = last {
            if number <= last {
                return Err(format!("event {number} of lane {lane} comes after {last}"));
            }
            let gap = number - last - 1;
            if lane < 2 {
                gaps[lane as usize] += gap;
            } else if lane >= 1000 && gap > 3 {
                return Err(format!("event {number} of lane {lane} in the ring of {last}"));
            }
        }
        if lane < 2 && number >= oracle.lane(lane).load(Ordering::Relaxed) {
            return Err(format!("event {number} of lane {lane} was never attempted"));
        }
        Ok(())
    })?;
    sound(&summary, false)?;
    if summary.torn != 0 || summary.leftover_rings != 0 || summary.law_open != 0 {
        return Err(format!("the trace did not end as it should: {summary:?}"));
    }
    let all = gaps[0] + gaps[1];
    if all > summary.lost_total() + 2 * switches {
        return Err(format!("{all} events are not there, of {switches} switches: {summary:?}"));
    }
    for lane in 0..2 {
        // The end is there too.
        let (attempted, seen) = (oracle.lane(lane).load(Ordering::Relaxed), next.get(&lane).copied());
        let missing = attempted - seen.map_or(0, |number| number + 1);
        if missing > summary.lost_total() + switches {
            return Err(format!("lane {lane} ends at {seen:?} of {attempted}: {summary:?}"));
        }
    }
    Ok((summary.events, summary))
}

/// After the first tenth nothing grows. Says how it was.
fn check_flat(samples: &[Sample], retained: u64) -> Result<String, String> {
    if samples.len() < 20 {
        return Err(format!("only {} samples: give it more minutes", samples.len()));
    }
    for sample in samples.iter().step_by(samples.len().div_ceil(12)) {
        eprintln!("soak: {sample:?}");
    }
    let check = |name: &str, what: fn(&Sample) -> u64, slack: u64| {
        let (early, late) = (median(samples, 1..3, what), median(samples, 9..10, what));
        let per_hour = slope(samples, what);
        if late > early + early / 10 + slack {
            return Err(format!("{name} grew from {early} to {late}, {per_hour:+.0} an hour"));
        }
        Ok(format!("{name} {} then {} ({per_hour:+.0}/h)", grouped(early), grouped(late)))
    };
    // Of short threads there are as many rings as end while the drain looks away: more on a machine that has other work.
    const RINGS: u64 = 64;
    const RING_KIB: u64 = RINGS * 260;
    // At most 64 segments wait to be sealed, of a session that ends and of the next; and some that are always there.
    const MOST_FILES: u64 = 160;
    let rings = check("ring files", |s| s.rings, RINGS)?;
    let ring_kib = check("ring KiB", |s| s.ring_kib, RING_KIB)?;
    let rss = check("RSS KiB", |s| s.rss_kib, 4096 + RING_KIB)?;
    let anon = check("of it not of files", |s| s.anon_kib, 4096)?;
    // Blocks that are being written, and what two sessions have at once.
    let heap = check("heap in use", |s| s.heap_kib, 1024)?;
    // A ring is mapped without its descriptor; segments and sessions that are being closed have some.
    let files = check("descriptors", |s| s.files, 32)?;
    let most_files = samples.iter().map(|s| s.files).max().unwrap_or(0);
    if most_files > MOST_FILES {
        return Err(format!("{most_files} descriptors at once"));
    }
    let shm = median(samples, 9..10, |s| s.shm_kib) as i64 - median(samples, 1..3, |s| s.shm_kib) as i64;
    let most = samples.iter().map(|s| s.segments_kib).max().unwrap_or(0) / 1024;
    // What is being written, and what was sealed since the last pass.
    if most > retained + retained / 4 + 32 {
        return Err(format!("segments had {most} MiB of at most {retained}"));
    }
    Ok(format!(
        "{rss}, {anon}, {heap}, {files}, at most {most_files}, {rings}, {ring_kib}; all of its tmpfs {shm:+} KiB; segments at most {most} of {retained} MiB"
    ))
}
