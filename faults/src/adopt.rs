//! Adoption under kills: producers die at random moments, and so do the collectors that adopt what they leave.

mod oracle;
mod part;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use tracewell::control::EnableRequest;
use tracewell::{adopt, fs};
use tracewell_tests::Place;

pub(crate) use part::{CollectorArgs, ProducerArgs, collect, produce};

use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults adopt`.
#[derive(Args)]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    scale: Scale,
    /// Ends after so many seconds although there are tries left.
    #[arg(long, default_value_t = u64::MAX)]
    seconds: u64,
}

/// System calls at which collectors are killed.
const CALLS: [&str; 15] = [
    "openat",
    "write",
    "fdatasync",
    "rename,renameat,renameat2",
    "fsync",
    "pwrite64",
    "unlink,unlinkat",
    "flock",
    "fcntl",
    "getdents64",
    "pread64",
    "mkdir,mkdirat",
    "fchmod,fchmodat",
    "close",
    "rmdir",
];

/// What the rounds did.
#[derive(Default)]
struct Sums {
    producers: u64,
    collectors: u64,
    at_calls: u64,
    events: u64,
    reads: u64,
    duplicates: u64,
}

/// Runs the rounds.
pub(crate) fn run(args: &AdoptArgs) -> Result<(), String> {
    let (count, seed) = (args.scale.count_or(20), args.scale.seed());
    let begun = Instant::now();
    let mut sums = Sums::default();
    let mut done = 0;
    for number in 0..count {
        if begun.elapsed().as_secs() >= args.seconds {
            break;
        }
        let seed = seed.wrapping_add(number);
        Round::new(seed)?
            .run(&mut sums)
            .map_err(|what| format!("adopt: {what}\nrepeat with: faults adopt --count 1 --seed {seed}"))?;
        done += 1;
    }
    let result = format!(
        "{} producers and {} collectors ({} at a system call) killed in {} rounds; {} events exactly once; read {} \
         times meanwhile; {} blocks were there twice",
        grouped(sums.producers),
        grouped(sums.collectors),
        grouped(sums.at_calls),
        grouped(done),
        grouped(sums.events),
        grouped(sums.reads),
        grouped(sums.duplicates)
    );
    let command = format!("faults adopt --count {done} --seed {seed}");
    let count = sums.producers + sums.collectors;
    Report { test: "adopt (T-13)".into(), unit: "kills".into(), count, seed: Some(seed), result, command }
        .print();
    Ok(())
}

/// A child that does not outlive the round.
struct Part(Child);

impl Part {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Round {
    random: Random,
    place: Place,
    rings: PathBuf,
    acks: PathBuf,
    program: PathBuf,
    /// Lanes of producers that are dead.
    dead: Vec<u32>,
    next: u32,
}

impl Round {
    fn new(seed: u64) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let place = Place::new();
        let segment_bytes = [64 << 10, 256 << 10, 16 << 20][random.below(3) as usize];
        place.enable_with(&EnableRequest { levels: [5; 32], segment_bytes, ..EnableRequest::default() });
        let acks = place.beside("acks");
        std::fs::create_dir(&acks).map_err(|e| e.to_string())?;
        let rings = place.dirs.ring_root().to_owned();
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        Ok(Self { random, place, rings, acks, program, dead: Vec::new(), next: 0 })
    }

    fn part(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg(self.place.dirs.base()).arg(&self.rings);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn spawn(command: &mut Command) -> Result<Part, String> {
        command.spawn().map(Part).map_err(|e| format!("{command:?}: {e}; install package strace"))
    }

    fn producer(&mut self) -> Result<Part, String> {
        let number = self.next;
        self.next += 1;
        let mut command = self.part("adopt-producer");
        command.arg(&self.acks).args(["--number", &number.to_string()]);
        command.args(["--threads", &(1 + self.random.below(3)).to_string()]);
        command.args(["--ring-size", &(64 << 10_u64 << self.random.below(5)).to_string()]);
        command.args(["--each", &[0, 50, 3000][self.random.below(3) as usize].to_string()]);
        command.args(["--pause", &[5, 50, 500][self.random.below(3) as usize].to_string()]);
        Self::spawn(&mut command)
    }

    /// A collector that is killed after some time, or at some call of a system call.
    fn collector(&mut self, sums: &mut Sums) -> Result<(), String> {
        if self.random.below(4) == 0 {
            let call = CALLS[self.random.below(CALLS.len() as u64) as usize];
            let when = 1 + self.random.below(12);
            let own = self.part("adopt-collector");
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            command.arg(format!("--inject={call}:signal=KILL:when={when}"));
            command.arg(own.get_program()).args(own.get_args()).arg("--once");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = Self::spawn(&mut command)?;
            let status = child.0.wait().map_err(|e| e.to_string())?;
            if status.code().is_none() {
                sums.at_calls += 1;
                sums.collectors += 1;
            } else if !status.success() {
                return Err(format!("a collector under strace ended with {status}"));
            }
            return Ok(());
        }
        let mut both = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            both.push(Self::spawn(self.part("adopt-collector").stderr(Stdio::null()))?);
        }
        for collector in &mut both {
            std::thread::sleep(Duration::from_micros(self.random.below(25_000)));
            if let Some(status) = collector.0.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("a collector ended by itself: {status}"));
            }
            collector.kill();
            sums.collectors += 1;
        }
        Ok(())
    }

    fn run(mut self, sums: &mut Sums) -> Result<(), String> {
        let mut living: Vec<(u32, Part)> = Vec::new();
        for _ in 0..12 {
            while living.len() < 3 {
                let number = self.next;
                let producer = self.producer()?;
                living.push((number, producer));
            }
            std::thread::sleep(Duration::from_micros(self.random.below(60_000)));
            if self.random.below(3) != 0 {
                let (number, mut producer) = living.swap_remove(self.random.below(3) as usize);
                producer.kill();
                sums.producers += 1;
                self.dead.extend(number * part::LANES..(number + 1) * part::LANES);
            }
            self.collector(sums)?;
            if self.random.below(3) == 0 {
                // Whatever collectors were doing when they were killed, nothing is out of sight.
                self.check()?;
                sums.reads += 1;
            }
        }
        for (number, mut producer) in living {
            producer.kill();
            sums.producers += 1;
            self.dead.extend(number * part::LANES..(number + 1) * part::LANES);
        }
        let before = self.check()?;
        self.adopt_all()?;
        let (after, duplicates) = self.check()?;
        if after != before.0 {
            return Err(format!("{} events before all was adopted, {after} after", before.0));
        }
        sums.events += after;
        sums.duplicates += duplicates;
        Ok(())
    }

    /// Reads the trace, beside producers and collectors that may be at work.
    fn check(&self) -> Result<(u64, u64), String> {
        let (seen, summary) = oracle::read(self.place.dirs.base(), &self.rings)?;
        Ok((oracle::judge(&seen, &summary, &self.acks, &self.dead)?, summary.duplicates))
    }

    /// Two collectors at once until nothing is left but what says nothing.
    fn adopt_all(&self) -> Result<(), String> {
        let dirs = self.place.dirs.clone();
        for _ in 0..20 {
            let both = std::thread::scope(|scope| {
                let other = scope.spawn(|| adopt::pass(&dirs, &mut || false));
                [
                    adopt::pass(&dirs, &mut || false),
                    other.join().unwrap_or_else(|_| Ok(adopt::Pass::default())),
                ]
            });
            for pass in both {
                let pass = pass.map_err(|e| e.to_string())?;
                for left in pass.left {
                    match left.why {
                        adopt::Why::BeingMade | adopt::Why::Busy => {}
                        why => return Err(format!("{} was left: {why:?}", left.folder.display())),
                    }
                }
            }
            if folders(&self.rings)?.iter().all(|folder| is_shell(folder)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("rings are left in {}", self.rings.display()))
    }
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, String> {
    match std::fs::read_dir(root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e.to_string()),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

/// What a process that was killed while it made its folder, or a collector while it removed it, can leave: nothing that
/// could be told.
fn is_shell(folder: &Path) -> bool {
    let names = fs::open_private_dir(folder).and_then(fs::names_in).unwrap_or_default();
    names.iter().all(|name| name == "process")
}
