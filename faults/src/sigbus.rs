//! `faults sigbus` (T-9): others cut, empty and remove the files that a component has mapped, while four threads emit.
//!
//! With the handler that a component can ask for it must live through everything, and every emit must be read or be
//! counted as lost where the counts themselves are still there. Without it it must live through what Tracewell prevents
//! by how it makes its files. That a component without it does die of a cut file is seen first, or nothing was tried.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::fs::{FallocateFlags, fallocate};
use tracewell::{Tracer, emit};

use crate::disk::{Done, Numbered, Stalls, Texts, enable, read, text_of};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults sigbus`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SigbusArgs {
    #[command(flatten)]
    scale: Scale,
}

/// A component that emits until its input ends.
#[derive(Args, Clone, Debug)]
pub(crate) struct Exposed {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    rings: PathBuf,
    #[arg(long)]
    guard: bool,
    #[arg(long)]
    ring: u64,
}

const THREADS: u32 = 4;
const TEXT: usize = 200;

/// Runs the component and prints what it did.
pub(crate) fn exposed(args: &Exposed) -> Result<(), String> {
    let tracer = Tracer::builder("exposed")
        .dir(&args.dir)
        .ring_dir(&args.rings)
        .ring_size(args.ring)
        .linger(Duration::from_millis(20))
        .survive_bus_errors(args.guard)
        .attach()
        .map_err(|error| error.to_string())?;
    let stop = AtomicBool::new(false);
    let mut done = Done::default();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..THREADS)
            .map(|lane| {
                let (tracer, stop) = (&tracer, &stop);
                scope.spawn(move || {
                    let (mut number, mut emitted, mut slowest) = (0, 0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        let text = text_of(lane, number, TEXT);
                        let begun = Instant::now();
                        emitted += u64::from(tracer.is_enabled::<Numbered<'_>>());
                        emit!(tracer, Numbered { lane, number, text: &text });
                        slowest = slowest.max(begun.elapsed().as_nanos() as u64);
                        number += 1;
                        if number % 64 == 0 {
                            std::thread::sleep(Duration::from_micros(500));
                        }
                    }
                    (emitted, slowest)
                })
            })
            .collect();
        println!("ready");
        let _ = std::io::stdin().read_to_string(&mut String::new());
        stop.store(true, Ordering::Relaxed);
        for lane in lanes {
            let (emitted, slowest) = lane.join().unwrap_or_default();
            done.emitted.push(emitted);
            done.slowest_ns = done.slowest_ns.max(slowest);
        }
    });
    let ending = Instant::now();
    tracer.shutdown();
    done.end_ms = ending.elapsed().as_millis() as u64;
    done.untold = tracer.stats().lost_total();
    println!("{}", serde_json::to_string(&done).map_err(|error| error.to_string())?);
    Ok(())
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    CutToNothing,
    CutToHalf,
    CutToPage,
    CutAndGrow,
    PunchAll,
    PunchData,
    Unlink,
}

const HARMS: [Harm; 7] = [
    Harm::CutToNothing,
    Harm::CutToHalf,
    Harm::CutToPage,
    Harm::CutAndGrow,
    Harm::PunchAll,
    Harm::PunchData,
    Harm::Unlink,
];

impl Harm {
    /// Whether the counts in a ring's header are left, so that every loss can be counted.
    fn leaves_counts(self) -> bool {
        matches!(self, Self::CutToHalf | Self::CutToPage | Self::Unlink)
    }

    /// Events that are there may have been changed, which nothing can tell.
    fn changes_events(self) -> bool {
        matches!(self, Self::PunchAll | Self::PunchData | Self::CutAndGrow)
    }

    fn inflict(self, path: &Path) -> std::io::Result<()> {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        let punch = |from: u64| {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            Ok(fallocate(&file, flags, from, len.saturating_sub(from).max(1))?)
        };
        match self {
            Self::CutToNothing => file.set_len(0),
            Self::CutToHalf => file.set_len(len / 2),
            Self::CutToPage => file.set_len(4096),
            Self::CutAndGrow => file.set_len(0).and_then(|()| file.set_len(len)),
            Self::PunchAll => punch(0),
            Self::PunchData => punch(4096),
            Self::Unlink => std::fs::remove_file(path),
        }
    }
}

/// Runs the test.
pub(crate) fn run(args: &SigbusArgs) -> Result<(), String> {
    let (seed, count) = (args.scale.seed(), args.scale.count_or(100));
    let without = expose(false, 1 << 20, &mut |place, _| Harm::CutToNothing.inflict(&ring_of(place, 0)?))?;
    if without.died != Some(libc::SIGBUS) {
        return Err(format!(
            "sigbus: a component without the handler does not die of a cut ring: {:?}",
            without.died
        ));
    }
    let (mut harms, mut events, mut lost, mut unknown, mut off) = (0, 0, 0, 0, 0);
    for number in 0..count {
        let mut random = Random::new(seed + number);
        let outcome = one(&mut random);
        let outcome = outcome.map_err(|violation| {
            format!("sigbus: {violation}\nrepeat: faults sigbus --count 1 --seed {}", seed + number)
        })?;
        harms += outcome.harms;
        events += outcome.events;
        lost += outcome.lost;
        unknown += outcome.unknown;
        off += u64::from(!outcome.guarded);
    }
    Report {
        test: "sigbus (T-9)".into(),
        unit: "components".into(),
        count,
        seed: Some(seed),
        result: format!(
            "{} files harmed, {off} components without the handler: all alive; {} events read, {} counted as lost, {} \
             uncounted with their headers",
            grouped(harms),
            grouped(events),
            grouped(lost),
            grouped(unknown)
        ),
        command: format!("faults sigbus --count {count}"),
    }
    .print();
    Ok(())
}

#[derive(Debug, Default)]
struct Outcome {
    harms: u64,
    guarded: bool,
    events: u64,
    lost: u64,
    unknown: u64,
}

fn one(random: &mut Random) -> Result<Outcome, String> {
    let guarded = random.below(5) != 0;
    let ring = 65_536 << random.below(5);
    let mut done: Vec<(String, Harm)> = Vec::new();
    let exposed = expose(guarded, ring, &mut |place, round| {
        if round > random.below(3) {
            return Ok(());
        }
        let path = match random.below(THREADS as u64 + 1) {
            0 => place.join("trace/control"),
            ring => ring_of(place, ring as usize - 1)?,
        };
        let harm = if guarded { HARMS[random.below(HARMS.len() as u64) as usize] } else { Harm::Unlink };
        // It may be gone already, by an earlier harm.
        if harm.inflict(&path).is_ok() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            done.push((name, harm));
        }
        std::thread::sleep(Duration::from_millis(random.below(60)));
        Ok(())
    })?;
    let Exposed1 { place, died, done: told } = exposed;
    if let Some(signal) = died {
        return Err(format!("the component died of signal {signal} (handler {guarded}) after {done:?}"));
    }
    let told = told.ok_or_else(|| format!("the component ended without a word after {done:?}"))?;
    told.waited(&Stalls::watch()).map_err(|what| format!("{what} after {done:?}"))?;
    let mut outcome = Outcome { harms: done.len() as u64, guarded, ..Outcome::default() };
    let texts = Texts::new(0, 0, TEXT);
    let base = place.path().join("trace");
    let is_changed = done.iter().any(|(_, harm)| harm.changes_events());
    let seen = match read(&[base], &[place.path().join("rings")], &texts) {
        Err(_) if is_changed => return Ok(outcome),
        other => other?.unwrap_or_default(),
    };
    let emitted: u64 = told.emitted.iter().sum();
    let lost = seen.summary.lost_total() + told.untold;
    (outcome.events, outcome.lost) = (seen.events(), lost);
    let accounted = seen.summary.events + lost;
    let is_exact = done.iter().all(|(_, harm)| harm.leaves_counts());
    // Where the control page is gone an emit under way is refused, and each thread may be in one.
    let slack = if done.iter().any(|(name, _)| name == "control") { u64::from(THREADS) * 2 } else { 0 };
    let missing = emitted.saturating_sub(accounted);
    outcome.unknown = missing;
    let law = &seen.summary.law;
    if accounted > emitted || !law.is_empty() && !is_changed || is_exact && missing > slack {
        return Err(format!(
            "{emitted} emitted, {} read, {lost} counted as lost, law {law:?}, after {done:?}\n{told:?}\n{:?}",
            seen.summary.events, seen.summary
        ));
    }
    Ok(outcome)
}

/// Kills a component that has not ended in time, unless it is told before that it has: then it listens no more.
fn kill_later(child: &std::process::Child) -> mpsc::Sender<()> {
    const MOST_TIME: Duration = Duration::from_secs(60);
    let (over, is_over) = mpsc::channel();
    let pid = rustix::process::Pid::from_child(child);
    std::thread::spawn(move || {
        if is_over.recv_timeout(MOST_TIME).is_err() {
            drop(is_over);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    over
}

struct Exposed1 {
    place: tempfile::TempDir,
    died: Option<i32>,
    done: Option<Done>,
}

/// The file of the n-th ring, when it is there.
fn ring_of(place: &Path, number: usize) -> std::io::Result<PathBuf> {
    let mut all = Vec::new();
    for folder in std::fs::read_dir(place.join("rings"))?.flatten() {
        for file in std::fs::read_dir(folder.path())?.flatten() {
            if file.file_name().to_string_lossy().starts_with("ring-") {
                all.push(file.path());
            }
        }
    }
    all.sort();
    all.into_iter().nth(number).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// A component, and four moments of its life.
fn expose(
    guarded: bool,
    ring: u64,
    harm: &mut dyn FnMut(&Path, u64) -> std::io::Result<()>,
) -> Result<Exposed1, String> {
    let tell = |error: std::io::Error| error.to_string();
    let place = tempfile::tempdir_in("/dev/shm").map_err(tell)?;
    let (base, rings) = (place.path().join("trace"), place.path().join("rings"));
    enable(&base, &rings, 1 << 20, 0)?;
    let mut child = Command::new(std::env::current_exe().map_err(tell)?)
        .arg("exposed")
        .args(["--dir".as_ref(), base.as_os_str(), "--rings".as_ref(), rings.as_os_str()])
        .args(["--ring", &ring.to_string()])
        .args(guarded.then_some("--guard"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tell)?;
    let mut out = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    out.read_line(&mut line).map_err(tell)?;
    std::thread::sleep(Duration::from_millis(60));
    for round in 0..4 {
        let _ = harm(place.path(), round);
    }
    std::thread::sleep(Duration::from_millis(60));
    drop(child.stdin.take());
    let over = kill_later(&child);
    let mut text = String::new();
    out.read_to_string(&mut text).map_err(tell)?;
    let hangs = over.send(()).is_err();
    let ended = child.wait().map_err(tell)?;
    let mut why = String::new();
    let _ = child.stderr.take().map(|mut err| err.read_to_string(&mut why));
    if hangs {
        return Err(format!("the component does not end: {why}"));
    }
    // A thread of ours that panics does not end the component, but is a mistake.
    if why.contains("panicked") || !ended.success() && ended.signal().is_none() {
        return Err(format!("the component ended with {ended}: {why}"));
    }
    Ok(Exposed1 { place, died: ended.signal(), done: serde_json::from_str(text.trim()).ok() })
}
