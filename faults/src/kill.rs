//! `faults kill` (T-1): processes are killed at random moments while they emit, switch, close or read.

use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use tracewell::{Clock, Tracer, WhenFull};
use tracewell_reader::{Filter, Trace, write_trace_files_on};

use crate::child::{Child, End};
use crate::oracle::{self, LANES, Plan, Rules};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};
use crate::stage::{self, Stage};

#[derive(Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    scale: Scale,
    /// Stops earlier after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Only this victim.
    #[arg(long, value_enum)]
    victim: Option<Victim>,
    /// Tells what the try that failed was.
    #[arg(long)]
    verbose: bool,
}

/// Who is killed, at what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Victim {
    /// A process whose threads emit, while its drain, writer and tender work.
    Emitter,
    /// A process that enables, disables and enables again while it emits.
    Switcher,
    /// A process that ends its session.
    Closer,
    /// A reader of what a killed process left.
    Reader,
}

/// Words of the page.
const CLOSING: usize = 0;
const SWITCHES: usize = 1;

/// One try.
#[derive(Clone, Debug)]
struct Try {
    victim: Victim,
    plan: Plan,
    /// Threads that emit at the same time.
    threads: usize,
    ring_size: u64,
    segment_bytes: u64,
    linger: Duration,
    clock: Clock,
    when_full: WhenFull,
    /// Emits of a thread before it ends and another takes its place; 0 = it never does.
    churn: u64,
    /// Emits of all threads that live together.
    total: u64,
    /// Rounds of a short wait between two emits.
    pace: u64,
    /// The first thread flushes now and then.
    flushes: bool,
    /// Counted from the fork, not from the first emit.
    from_start: bool,
    delay: Duration,
    /// How a closer ends: 0 shutdown, 1 dropped, 2 exit, 3 disable.
    way: u64,
}

impl Try {
    fn of(seed: u64, victim: Option<Victim>) -> Self {
        let random = &mut Random::new(seed);
        let plan = Plan::of(random);
        let chosen = match random.below(20) {
            0..11 => Victim::Emitter,
            11..13 => Victim::Switcher,
            13..17 => Victim::Closer,
            _ => Victim::Reader,
        };
        let delay = match random.below(10) {
            0..4 => random.below(500),
            9 => random.below(10_000),
            _ => random.below(3_000),
        };
        let most = [500, 1_500, 4_000][random.below(3) as usize];
        let threads = [1, 1, 1, 1, 2, 2, 2, 3, 4, 8][random.below(10) as usize];
        Self {
            victim: victim.unwrap_or(chosen),
            threads,
            ring_size: (64 << 10) << [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4][random.below(12) as usize],
            segment_bytes: if random.below(4) == 0 { 16 << 20 } else { 64 << 10 },
            linger: Duration::from_micros([0, 300, 2_000, 1_000_000][random.below(4) as usize]),
            clock: if random.below(8) == 0 { Clock::Coarse } else { Clock::Precise },
            when_full: match random.below(3) {
                0 => WhenFull::Wait(Duration::from_millis(random.below(20))),
                _ => WhenFull::Refuse,
            },
            churn: if random.below(4) == 0 { 8 + random.below(100) } else { 0 },
            total: 100 + random.below(most),
            pace: [0, 0, 10, 40, 150][random.below(5) as usize],
            flushes: random.below(4) == 0,
            from_start: random.below(5) == 0,
            delay: Duration::from_micros(delay),
            way: random.below(4),
            plan,
        }
    }

    fn attach(&self, stage: &Stage) -> Result<Tracer, String> {
        Tracer::builder("victim")
            .dir(stage.base())
            .ring_dir(stage.rings())
            .ring_size(self.ring_size)
            .linger(self.linger)
            .clock(self.clock)
            .when_full(self.when_full)
            .attach()
            .map_err(|error| error.to_string())
    }

    fn pause(&self, number: u64) {
        let spread = if number.is_multiple_of(64) { 16 } else { 1 };
        for _ in 0..self.pace * spread {
            std::hint::spin_loop();
        }
    }

    /// Emits what it has to, on all its threads; returns when they are done. `gate` is held by every emit.
    fn produce(&self, stage: &Stage, tracer: &Tracer, gate: Option<&RwLock<()>>) {
        let each = self.total / self.threads as u64 + 1;
        let lanes_each = LANES / self.threads;
        let life = if self.churn == 0 { each } else { self.churn.max(each / lanes_each as u64 + 1) };
        std::thread::scope(|scope| {
            for slot in 0..self.threads {
                scope.spawn(move || {
                    let mut left = each;
                    for round in 0..lanes_each {
                        let lane = slot + round * self.threads;
                        let count = life.min(left);
                        let emit = || {
                            let mut guard = None;
                            stage.page.emit(tracer, &self.plan, lane, |number| {
                                drop(guard.take());
                                if number == count {
                                    return false;
                                }
                                self.pause(number);
                                if self.flushes && slot == 0 && number % 97 == 50 {
                                    let _ = tracer.flush();
                                }
                                guard = gate.map(|gate| gate.read());
                                true
                            });
                        };
                        std::thread::scope(|inner| inner.spawn(emit).join()).ok();
                        left -= count;
                        if left == 0 {
                            break;
                        }
                    }
                });
            }
        });
    }

    /// What the victim does; it may not come to the end of it.
    fn act(&self, stage: &Stage) {
        let tracer = self.attach(stage).expect("attached");
        match self.victim {
            Victim::Emitter => {
                self.produce(stage, &tracer, None);
                // Drain, writer and tender go on.
                std::thread::sleep(Duration::from_secs(60));
            }
            Victim::Closer | Victim::Reader => {
                self.produce(stage, &tracer, None);
                stage.page.words[CLOSING].store(1, Ordering::Release);
                match self.way {
                    0 => tracer.shutdown(),
                    1 => drop(tracer),
                    2 => std::process::exit(0),
                    _ => {
                        let control = stage.control().expect("the page");
                        control.disable().expect("disabled");
                        std::thread::sleep(Duration::from_millis(60));
                        tracer.shutdown();
                    }
                }
            }
            Victim::Switcher => self.switch(stage, &tracer),
        }
    }

    /// Sessions come and go while threads emit; they emit only while tracing is surely on.
    fn switch(&self, stage: &Stage, tracer: &Tracer) {
        let gate = RwLock::new(());
        let control = stage.control().expect("the page");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(self.plan.seed);
                for _ in 0..40 {
                    std::thread::sleep(Duration::from_micros(random.below(800)));
                    let closed = gate.write();
                    stage.page.words[SWITCHES].fetch_add(1, Ordering::Release);
                    if random.below(2) == 0 {
                        control.disable().expect("disabled");
                        std::thread::sleep(Duration::from_micros(random.below(300)));
                    }
                    let request = stage::request(&self.plan, self.segment_bytes);
                    control.enable(&stage.dirs, &request).expect("enabled");
                    drop(closed);
                }
                std::thread::sleep(Duration::from_secs(60));
            });
            self.produce(stage, tracer, Some(&gate));
        });
    }

    /// Reads without end.
    fn read(&self, stage: &Stage, out: &Path) {
        stage.page.words[CLOSING].store(2, Ordering::Release);
        loop {
            let paths = ([stage.base().to_owned()], [stage.rings().to_owned()]);
            let trace = Trace::open(&paths.0, &paths.1).expect("a trace");
            if self.way.is_multiple_of(2) {
                let threads = 1 + (self.way as usize);
                write_trace_files_on(&trace, out, &Filter::default(), false, threads, |_| {})
                    .expect("written");
            } else {
                trace.read(&Filter::default(), |_| Ok::<(), String>(())).expect("read");
            }
        }
    }
}

/// What the tries added up to.
#[derive(Debug, Default)]
struct Sums {
    kills: u64,
    ended: u64,
    events: u64,
    counted: u64,
    duplicates: u64,
    torn: u64,
    leftover: u64,
    rings: u64,
    by_victim: [u64; 4],
}

fn wait_until(child: &Child, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() && !child.has_ended() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(30));
    }
}

/// Kills a child after a delay. A busy wait would take the processor that the child needs.
fn kill_after(child: Child, delay: Duration) -> Result<End, String> {
    std::thread::sleep(delay);
    child.kill()?.check()
}

/// Kills one and looks at what it left.
fn attempt(stage: &Stage, seed: u64, victim: Option<Victim>, sums: &mut Sums) -> Result<(), String> {
    let this = Try::of(seed, victim);
    stage.sweep()?;
    let since = tracewell::boot::realtime_ns();
    let control = stage.control()?;
    control
        .enable(&stage.dirs, &stage::request(&this.plan, this.segment_bytes))
        .map_err(|error| format!("enable: {error}"))?;
    let page = stage.page;
    let child = Child::start(|| this.act(stage))?;
    match this.victim {
        _ if this.from_start => {}
        Victim::Emitter | Victim::Switcher => wait_until(&child, || page.any_acked()),
        Victim::Closer | Victim::Reader => {
            wait_until(&child, || page.words[CLOSING].load(Ordering::Acquire) != 0);
        }
    }
    let end = kill_after(child, this.delay)?;
    let mut was_killed = end == End::Killed;
    let rules = Rules {
        ring_size: this.ring_size,
        uncounted: page.words[SWITCHES].load(Ordering::Acquire) * this.threads as u64,
        since,
        is_closed: end == End::Exit(0),
        may_be_gone: false,
    };
    if this.victim == Victim::Reader {
        let out = stage.beside("out");
        let before = oracle::Snapshot::of(&[stage.base(), stage.rings()]).map_err(|e| e.to_string())?;
        let reader = Child::start(|| this.read(stage, &out))?;
        wait_until(&reader, || page.words[CLOSING].load(Ordering::Acquire) == 2);
        was_killed = kill_after(reader, this.delay / 4)? == End::Killed;
        let after = oracle::Snapshot::of(&[stage.base(), stage.rings()]).map_err(|e| e.to_string())?;
        if let Some(path) = before.differs(&after) {
            return Err(format!("a killed reader has changed {path}"));
        }
        check_written(stage, &out)?;
    }
    let seen = oracle::verify(stage.base(), stage.rings(), page, &this.plan, &rules)?;
    sums.kills += u64::from(was_killed);
    sums.ended += u64::from(!was_killed);
    sums.events += seen.events;
    sums.counted += seen.counted;
    sums.duplicates += seen.duplicates;
    sums.torn += seen.torn;
    sums.leftover += seen.leftover;
    sums.rings += seen.law_checked;
    sums.by_victim[this.victim as usize] += u64::from(was_killed);
    Ok(())
}

/// What a killed reader gave a name must be whole.
fn check_written(stage: &Stage, out: &Path) -> Result<(), String> {
    let files = |dir: &Path| -> Result<Vec<_>, String> {
        let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
        let whole = |name: &str| !name.starts_with('.');
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(whole))
            .map(|entry| std::fs::read(entry.path()).map_err(|error| error.to_string()))
            .collect()
    };
    let written = files(out)?;
    if !written.is_empty() {
        let again = stage.beside("again");
        let paths = ([stage.base().to_owned()], [stage.rings().to_owned()]);
        let trace = Trace::open(&paths.0, &paths.1).map_err(|error| error.to_string())?;
        write_trace_files_on(&trace, &again, &Filter::default(), false, 1, |_| {})
            .map_err(|error| error.to_string())?;
        let whole = files(&again)?;
        stage::remove(&again)?;
        if written.iter().any(|file| !whole.contains(file)) {
            return Err("a killed reader left a part of a file under its last name".into());
        }
    }
    stage::remove(out)
}

/// Runs the test.
pub(crate) fn run(args: &KillArgs) -> Result<(), String> {
    let (count, first) = (args.scale.count_or(3_000), args.scale.seed());
    let stage = Stage::new()?;
    let mut sums = Sums::default();
    let begun = Instant::now();
    let most = Duration::from_secs(args.seconds.unwrap_or(u64::MAX));
    let victim = args.victim;
    for seed in first.. {
        if sums.kills + sums.ended >= count || begun.elapsed() >= most {
            break;
        }
        attempt(&stage, seed, victim, &mut sums).map_err(|violation| {
            if args.verbose {
                eprintln!("{:#?}", Try::of(seed, victim));
            }
            let only = victim.map_or_else(String::new, |v| format!(" --victim {v:?}").to_lowercase());
            format!("kill: seed {seed}: {violation}\nrepeat: faults kill --seed {seed} --count 200{only}")
        })?;
    }
    let rate = sums.kills as f64 / begun.elapsed().as_secs_f64();
    let [emitters, switchers, closers, readers] = sums.by_victim.map(grouped);
    eprintln!(
        "kill: {rate:.0} a second; {emitters} emitters, {switchers} switchers, {closers} closers, {readers} readers; \
         {} ended before they were killed; {} rings left, {} cut writes, {} blocks twice",
        sums.ended, sums.leftover, sums.torn, sums.duplicates
    );
    Report {
        test: "kill (T-1)".into(),
        unit: "kills".into(),
        count: sums.kills,
        seed: Some(first),
        result: format!(
            "{} events read, {} counted as lost, {} rings add up, 0 torn, 0 lost, 0 twice",
            grouped(sums.events),
            grouped(sums.counted),
            grouped(sums.rings)
        ),
        command: format!("faults kill --count {count} --seed {first}"),
    }
    .print();
    Ok(())
}
