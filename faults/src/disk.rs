//! What the tests of failing disks share: a component whose every event can be checked, and the reading of its trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Once, OnceLock};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Event, Tracer, WhenFull, emit};
use tracewell_reader::{Filter, Item, Summary, Trace};
use tracewell_schema::Value;

use crate::random::Random;

/// A numbered event; its text follows from lane and number, and does not compress.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.disk", category = "custom", level = "info", text = "{number} of {lane}")]
pub(crate) struct Numbered<'a> {
    /// The thread.
    #[field(public)]
    pub(crate) lane: u32,
    /// Its number, from 0.
    #[field(public)]
    pub(crate) number: u64,
    /// [`text_of`] both.
    #[field(personal)]
    pub(crate) text: &'a str,
}

/// The text of an event, `len` bytes and a few that change.
pub(crate) fn text_of(lane: u32, number: u64, len: usize) -> String {
    let mut random = Random::new(u64::from(lane) << 40 ^ number);
    let len = len + (random.next() % 24) as usize;
    let mut text = String::with_capacity(len + 16);
    while text.len() < len {
        let _ = write!(text, "{:016x}", random.next());
    }
    text.truncate(len);
    text
}

/// A component: emits in rounds from some threads, and tells what it has done.
#[derive(Args, Clone, Debug)]
pub(crate) struct Component {
    /// The trace directory.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The directory of the rings.
    #[arg(long)]
    pub(crate) rings: PathBuf,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: u32,
    /// Rounds; after each one a flush.
    #[arg(long, default_value_t = 4)]
    pub(crate) rounds: u64,
    /// Events of each thread in a round.
    #[arg(long, default_value_t = 20)]
    pub(crate) events: u64,
    /// Bytes of an event's text.
    #[arg(long, default_value_t = 900)]
    pub(crate) text: usize,
    /// Enables tracing itself, with segments of so many bytes.
    #[arg(long)]
    pub(crate) segment: Option<u64>,
    /// Most bytes of all segments.
    #[arg(long, default_value_t = 0)]
    pub(crate) total: u64,
    /// Bytes of a ring.
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) ring: u64,
    /// Emits wait for room.
    #[arg(long)]
    pub(crate) wait: bool,
    /// No flush after the rounds from this one on.
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) quiet_from: u64,
    /// Milliseconds between the last round and the end.
    #[arg(long, default_value_t = 0)]
    pub(crate) rest: u64,
    /// Milliseconds between rounds.
    #[arg(long, default_value_t = 0)]
    pub(crate) pause: u64,
    /// A file in which it writes what it is about to do, and what flushes answered.
    #[arg(long)]
    pub(crate) oracle: Option<PathBuf>,
    /// Bytes that a file may have at most (`ulimit -f`).
    #[arg(long)]
    pub(crate) file_limit: Option<u64>,
    /// The round before which that limit is lifted.
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) limit_until: u64,
    /// Where it tells what it has done, if not on its output.
    #[arg(long)]
    pub(crate) told: Option<PathBuf>,
    /// Waits for a line of input before it attaches.
    #[arg(long)]
    pub(crate) go: bool,
}

/// What a component has done.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Done {
    /// Emits of each thread while the event was on.
    pub(crate) emitted: Vec<u64>,
    /// Answers of the flushes, `true` for success.
    pub(crate) flushes: Vec<bool>,
    /// Losses that no session could tell.
    pub(crate) untold: u64,
    /// Why it could not attach.
    pub(crate) problem: Option<String>,
    /// Longest emit, ns, but for the first ones of a thread.
    pub(crate) slowest_ns: u64,
    /// Longest first emit of a thread, ns.
    pub(crate) first_ns: u64,
    /// How long the end took, ms.
    pub(crate) end_ms: u64,
}

/// Writes lines of the oracle: with one positioned write each, so that the n-th `write` is the engine's.
struct Oracle(Option<(File, u64)>);

impl Oracle {
    fn tell(&mut self, line: &str) {
        if let Some((file, at)) = &mut self.0 {
            let line = format!("{line}\n");
            let _ = file.write_all_at(line.as_bytes(), *at);
            *at += line.len() as u64;
        }
    }
}

/// Runs a component and prints [`Done`].
pub(crate) fn component(args: &Component) -> Result<(), String> {
    let mut oracle = Oracle(None);
    if let Some(path) = &args.oracle {
        oracle.0 = Some((File::create(path).map_err(|error| error.to_string())?, 0));
    }
    let mut told = args.told.as_ref().map(File::create).transpose().map_err(|error| error.to_string())?;
    if args.file_limit.is_some() {
        limit_files(args.file_limit)?;
    }
    let barrier = Barrier::new(args.threads as usize + 1);
    let tracer = OnceLock::new();
    let done = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..args.threads)
            .map(|lane| {
                let (tracer, barrier) = (&tracer, &barrier);
                scope.spawn(move || emit_rounds(args, tracer, lane, barrier))
            })
            .collect();
        lead(args, &mut oracle, &tracer, &barrier, lanes)
    });
    let text = serde_json::to_string(&done).map_err(|error| error.to_string())?;
    match &mut told {
        // By a call that no test lets fail.
        Some(file) => {
            file.write_vectored(&[IoSlice::new(text.as_bytes())]).map(drop).map_err(|e| e.to_string())
        }
        None => {
            println!("{text}");
            Ok(())
        }
    }
}

fn limit_files(bytes: Option<u64>) -> Result<(), String> {
    let limit = rustix::process::Rlimit { current: bytes, maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).map_err(|e| e.to_string())
}

/// What the first thread does.
fn lead(
    args: &Component,
    oracle: &mut Oracle,
    slot: &OnceLock<Tracer>,
    barrier: &Barrier,
    lanes: Vec<ScopedJoinHandle<'_, (u64, u64, u64)>>,
) -> Done {
    if args.go {
        println!("ready");
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    let mut done = Done::default();
    if let Some(bytes) = args.segment {
        done.problem = enable(&args.dir, &args.rings, bytes, args.total).err();
    }
    let when_full = if args.wait { WhenFull::Wait(Duration::from_secs(20)) } else { WhenFull::Refuse };
    let attached = Tracer::builder("disk")
        .dir(&args.dir)
        .ring_dir(&args.rings)
        .ring_size(args.ring)
        .linger(Duration::from_millis(20))
        .when_full(when_full)
        .attach();
    let tracer = attached.unwrap_or_else(|error| {
        done.problem = Some(error.to_string());
        Tracer::inert("disk")
    });
    let tracer = slot.get_or_init(|| tracer);
    let lanes: Vec<(u64, u64, u64)> = {
        for round in 0..args.rounds {
            if round == args.limit_until {
                let _ = limit_files(None);
            }
            oracle.tell(&format!("emit {}", (round + 1) * args.events));
            barrier.wait();
            barrier.wait();
            if round < args.quiet_from {
                let flushed = tracer.flush();
                oracle.tell(&format!(
                    "flushed {} {}",
                    (round + 1) * args.events,
                    if flushed.is_ok() { "ok" } else { "failed" }
                ));
                done.flushes.push(flushed.is_ok());
            }
            std::thread::sleep(Duration::from_millis(args.pause));
        }
        lanes.into_iter().map(|lane| lane.join().unwrap_or_default()).collect()
    };
    std::thread::sleep(Duration::from_millis(args.rest));
    for (emitted, first, slowest) in lanes {
        done.emitted.push(emitted);
        done.first_ns = done.first_ns.max(first);
        done.slowest_ns = done.slowest_ns.max(slowest);
    }
    let ending = Instant::now();
    tracer.shutdown();
    oracle.tell("end");
    done.end_ms = ending.elapsed().as_millis() as u64;
    done.untold = tracer.stats().lost_total();
    done
}

fn emit_rounds(args: &Component, slot: &OnceLock<Tracer>, lane: u32, barrier: &Barrier) -> (u64, u64, u64) {
    let (mut emitted, mut first, mut slowest) = (0, 0, 0);
    for round in 0..args.rounds {
        barrier.wait();
        let Some(tracer) = slot.get() else { return (0, 0, 0) };
        for number in round * args.events..(round + 1) * args.events {
            let text = text_of(lane, number, args.text);
            let begun = Instant::now();
            let is_on = tracer.is_enabled::<Numbered<'_>>();
            emit!(tracer, Numbered { lane, number, text: &text });
            let took = begun.elapsed().as_nanos() as u64;
            emitted += u64::from(is_on);
            if round == 0 && number == 0 {
                first = took;
            } else {
                slowest = slowest.max(took);
            }
        }
        barrier.wait();
    }
    (emitted, first, slowest)
}

/// Switches tracing on.
pub(crate) fn enable(dir: &Path, rings: &Path, segment: u64, total: u64) -> Result<PathBuf, String> {
    let dirs = Dirs::resolve(Some(dir)).map_err(|e| e.to_string())?.with_ring_root(rings.to_owned());
    let control = Control::open_or_create(&dirs).map_err(|e| e.to_string())?;
    let request = EnableRequest {
        levels: [5; 32],
        segment_bytes: segment,
        max_total: total,
        ..EnableRequest::default()
    };
    control.enable(&dirs, &request).map(|session| session.folder).map_err(|e| e.to_string())
}

/// What a reading gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The numbers of each lane, in the order in which they came.
    pub(crate) lanes: BTreeMap<u32, Vec<u64>>,
    /// What the reader says of it.
    pub(crate) summary: Summary,
}

impl Seen {
    /// Events.
    pub(crate) fn events(&self) -> u64 {
        self.lanes.values().map(|numbers| numbers.len() as u64).sum()
    }
}

/// Notices when the machine stood still: then nothing can be said about how long something took.
#[derive(Debug)]
pub(crate) struct Stalls(&'static AtomicU64);

impl Stalls {
    /// Begins to look.
    pub(crate) fn watch() -> Self {
        static LONGEST_MS: AtomicU64 = AtomicU64::new(0);
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            std::thread::spawn(|| {
                loop {
                    let begun = Instant::now();
                    std::thread::sleep(Duration::from_millis(20));
                    let late = begun.elapsed().as_millis() as u64 - 20;
                    LONGEST_MS.fetch_max(late, Ordering::Relaxed);
                }
            });
        });
        Self(&LONGEST_MS)
    }

    /// Whether a time is beyond a limit although the machine, since this program began, never stood still for long
    /// enough to explain it: it has, when a sleep of 20 ms took 200.
    pub(crate) fn is_beyond(&self, took: Duration, limit: Duration) -> bool {
        let stalled = self.0.load(Ordering::Relaxed);
        let slack = if stalled < 200 { Duration::ZERO } else { Duration::from_millis(stalled * 4) };
        took > limit + slack
    }
}

/// Texts of events, made once.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    len: usize,
    lanes: Vec<Vec<String>>,
}

impl Texts {
    /// For so many lanes and events of each.
    pub(crate) fn new(lanes: u32, events: u64, len: usize) -> Self {
        let lane = |lane| (0..events).map(|number| text_of(lane, number, len)).collect();
        Self { len, lanes: (0..lanes).map(lane).collect() }
    }

    /// Whether an event is one that was emitted.
    fn is_genuine(&self, lane: u32, number: u64, text: &[u8]) -> bool {
        match self.lanes.get(lane as usize).and_then(|lane| lane.get(number as usize)) {
            Some(made) => made.as_bytes() == text,
            None => text_of(lane, number, self.len).as_bytes() == text,
        }
    }
}

/// Reads a trace; an event that is not as it was emitted, or out of order, is a violation. `None` if there is no trace.
pub(crate) fn read(paths: &[PathBuf], rings: &[PathBuf], texts: &Texts) -> Result<Option<Seen>, String> {
    let Ok(trace) = Trace::open(paths, rings) else { return Ok(None) };
    let mut seen = Seen::default();
    seen.summary = trace.read(&Filter::default(), |item| {
        let Item::Event(event) = item else { return Ok(()) };
        let number = |name: &str| match event.values.get(name).map(|field| field.value) {
            Some(Value::U(number)) => Ok(number),
            other => Err(format!("{name} of an event is {other:?}")),
        };
        let (lane, number) = (number("lane")? as u32, number("number")?);
        let text = match event.values.get("text").map(|field| field.value) {
            Some(Value::Str(text)) => text.bytes,
            other => return Err(format!("text of event {number} of lane {lane} is {other:?}")),
        };
        if !texts.is_genuine(lane, number, text) {
            return Err(format!("event {number} of lane {lane} is not as it was emitted"));
        }
        let numbers = seen.lanes.entry(lane).or_default();
        if numbers.last().is_some_and(|last| *last >= number) {
            return Err(format!("event {number} of lane {lane} is out of order, or there twice"));
        }
        numbers.push(number);
        Ok(())
    })?;
    Ok(Some(seen))
}

impl Component {
    /// Of a program's arguments, for a component within this process.
    pub(crate) fn of(words: &str, dir: &Path, rings: &Path) -> Self {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            component: Component,
        }
        let dir = ["component", "--dir", &dir.display().to_string(), "--rings", &rings.display().to_string()]
            .map(str::to_owned);
        let words = words.split_ascii_whitespace().map(str::to_owned);
        <Words as clap::Parser>::parse_from(dir.into_iter().chain(words)).component
    }

    /// Emits of all threads if nothing fails.
    pub(crate) fn all(&self) -> u64 {
        u64::from(self.threads) * self.rounds * self.events
    }

    /// The texts of its events.
    pub(crate) fn texts(&self) -> Texts {
        Texts::new(self.threads, self.rounds * self.events, self.text)
    }

    /// Runs it within this process.
    pub(crate) fn run(&self) -> Done {
        let (barrier, tracer) = (Barrier::new(self.threads as usize + 1), OnceLock::new());
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.threads)
                .map(|lane| {
                    let (tracer, barrier) = (&tracer, &barrier);
                    scope.spawn(move || emit_rounds(self, tracer, lane, barrier))
                })
                .collect();
            lead(self, &mut Oracle(None), &tracer, &barrier, lanes)
        })
    }
}

impl Done {
    /// What took too long, if anything: an emit, the first of a thread, or the end, which tries for three seconds.
    pub(crate) fn waited(&self, stalls: &Stalls) -> Result<(), String> {
        let is_beyond =
            |ns: u64, limit: u64| stalls.is_beyond(Duration::from_nanos(ns), Duration::from_millis(limit));
        if is_beyond(self.slowest_ns, 1_500)
            || is_beyond(self.first_ns, 3_000)
            || is_beyond(self.end_ms.saturating_mul(1_000_000), 8_000)
        {
            return Err(format!("it waited: {self:?}"));
        }
        Ok(())
    }
}

/// What must hold of a component that was not killed: every emit is read, or counted as lost, once.
pub(crate) fn check_sum(done: &Done, seen: &Seen) -> Result<(), String> {
    let emitted: u64 = done.emitted.iter().sum();
    let (lost, missing) = (seen.summary.lost_total() + done.untold, seen.summary.missing);
    if seen.events() + lost != emitted || missing != 0 || !seen.summary.law.is_empty() {
        return Err(format!(
            "{emitted} emitted, {} read, {lost} counted as lost, {missing} missing, law {:?}\n{done:?}\n{:?}",
            seen.events(),
            seen.summary.law,
            seen.summary
        ));
    }
    Ok(())
}
