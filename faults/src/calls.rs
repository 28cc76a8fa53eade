//! `faults calls` (T-3): whole processes are killed before and after each of their system calls, one call a try; then
//! another process works in the same place.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use tracewell::{Tracer, WhenFull};

use crate::child::{Child, End};
use crate::golden::{self, FIRST_FREE, Golden, RING_SIZE};
use crate::oracle::{self, LANES, Plan, Rules};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};
use crate::stage::{self, Stage};
use crate::trap::{self, Event, Herd};

#[derive(Args)]
pub(crate) struct CallsArgs {
    #[command(flatten)]
    scale: Scale,
    /// Every call of every scenario, instead of `--count` of each.
    #[arg(long)]
    every: bool,
    /// Only this scenario.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Only the kill at this stop: twice the number of the call, less one before it.
    #[arg(long)]
    stop: Option<u64>,
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// A component from attaching to the end: 10,000 events of two threads, more than three rotations, flushes.
    Component,
    /// The first component ever: it makes the control page, enables, emits, disables.
    First,
    /// Packing of segments that were stored in haste.
    Pack,
    /// A component whose tender packs the segments of others.
    Tender,
    /// `tracewell enable`.
    Enable,
    /// `tracewell disable`.
    Disable,
    /// `tracewell status`.
    Status,
    /// `tracewell read --out`.
    Read,
    /// `tracewell purge --yes`.
    Purge,
}

const ALL: [Scenario; 9] = [
    Scenario::Component,
    Scenario::First,
    Scenario::Pack,
    Scenario::Tender,
    Scenario::Enable,
    Scenario::Disable,
    Scenario::Status,
    Scenario::Read,
    Scenario::Purge,
];

/// Lanes of those who come after the kill.
const AFTER: usize = FIRST_FREE + 8;

impl Scenario {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The last one deletes.
    fn deletes(self) -> bool {
        self == Self::Purge
    }

    fn command(self, stage: &Stage) -> Command {
        let mut command = Command::new(program().expect("the command"));
        command
            .arg("--dir")
            .arg(stage.base())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self {
            Self::Enable => command.args(["enable", "--level", "trace"]),
            Self::Disable => command.arg("disable"),
            Self::Status => command.args(["status", "--json"]),
            Self::Read => command.args(["read", "--out"]).arg(stage.beside("out")),
            _ => command.args(["purge", "--yes"]),
        };
        command
    }

    /// What the victim does.
    fn act(self, stage: &Stage, plan: &Plan) {
        match self {
            Self::Component => {
                let tracer = attach(stage);
                work(stage, &tracer, plan, 5_000);
                tracer.shutdown();
            }
            Self::First => {
                let tracer = attach(stage);
                let control = stage.control().expect("the page");
                control.enable(&stage.dirs, &stage::request(plan, 64 << 10)).expect("enabled");
                work(stage, &tracer, plan, 20);
                control.disable().expect("disabled");
                drop(tracer);
            }
            Self::Pack => assert!(tracewell::testing::pack_now(&stage.dirs) > 0),
            Self::Tender => {
                let tracer = attach(stage);
                work(stage, &tracer, plan, 20);
                let begun = Instant::now();
                while golden::hasty(stage).is_ok_and(|n| n != 0) && begun.elapsed() < Duration::from_secs(20)
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                tracer.shutdown();
            }
            _ => {
                let error = self.command(stage).exec();
                panic!("{error}");
            }
        }
    }
}

/// The command, beside this program.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name("tracewell");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: cargo build --release -p tracewell-cli", path.display()))
}

fn attach(stage: &Stage) -> Tracer {
    Tracer::builder("caller")
        .dir(stage.base())
        .ring_dir(stage.rings())
        .ring_size(RING_SIZE)
        .when_full(WhenFull::Wait(Duration::from_secs(10)))
        .attach()
        .expect("attached")
}

/// Two threads emit and flush.
fn work(stage: &Stage, tracer: &Tracer, plan: &Plan, each: u64) {
    std::thread::scope(|scope| {
        for lane in [FIRST_FREE, FIRST_FREE + 1] {
            scope.spawn(move || stage.page.emit(tracer, plan, lane, |number| number < each));
        }
    });
    tracer.flush().expect("flushed");
}

/// Runs a child under the trap; kills it at its `stop`-th stop. Gives the call where it was killed, if it came so
/// far; else it must end with one of `codes`.
fn kill_at(stop: u64, codes: &[i32], work: impl FnOnce()) -> Result<Option<u64>, String> {
    let child = Child::start(|| {
        trap::submit();
        work();
    })?;
    let mut herd = Herd::default();
    let actor = herd.start(child.hand_over())?;
    let (mut count, mut killed_at) = (0, None);
    loop {
        match herd.next()? {
            Event::Stop(at) => {
                count += 1;
                if count == stop {
                    killed_at = Some(at.call);
                    herd.kill(actor);
                }
                herd.resume(at.tid);
            }
            Event::Ended { status } => {
                herd.end()?;
                let is_good = libc::WIFEXITED(status) && codes.contains(&libc::WEXITSTATUS(status));
                if killed_at.is_none() && !is_good {
                    return Err(format!("the scenario failed by itself, status {status:x}"));
                }
                return Ok(killed_at);
            }
            Event::Nothing => {}
        }
    }
}

struct Tries {
    stage: Stage,
    golden: Golden,
    empty: Golden,
    kills: u64,
    compound: u64,
    events: u64,
    by_call: BTreeMap<u64, u64>,
}

impl Tries {
    fn rules(&self, scenario: Scenario, is_closed: bool) -> Rules {
        Rules {
            ring_size: RING_SIZE,
            uncounted: 0,
            since: self.golden.since,
            is_closed,
            may_be_gone: scenario.deletes(),
        }
    }

    fn verify(&mut self, scenario: Scenario) -> Result<(), String> {
        let (stage, rules) = (&self.stage, self.rules(scenario, false));
        let seen = oracle::verify(stage.base(), stage.rings(), stage.page, &self.golden.plan, &rules)?;
        self.events += seen.events;
        Ok(())
    }

    /// One kill, and what comes after it. False if the scenario came to its end first.
    fn attempt(&mut self, scenario: Scenario, stop: u64) -> Result<bool, String> {
        let (stage, plan) = (&self.stage, self.golden.plan);
        if scenario == Scenario::First { &self.empty } else { &self.golden }.lay_down(stage)?;
        stage::remove(&stage.beside("out"))?;
        if matches!(scenario, Scenario::Component | Scenario::Tender | Scenario::Disable) {
            let control = stage.control()?;
            control.enable(&stage.dirs, &stage::request(&plan, 64 << 10)).map_err(|e| e.to_string())?;
        }
        // The files of others make a trace incomplete for `read`, and leave `purge` something to complain of.
        let codes: &[i32] = match scenario {
            Scenario::Read => &[0, 3],
            Scenario::Purge => &[0, 2],
            _ => &[0],
        };
        let killed_at = kill_at(stop, codes, || scenario.act(stage, &plan))?;
        golden::check_canaries(stage, scenario.deletes())?;
        golden::take_canaries_away(stage)?;
        self.verify(scenario)?;
        if let Some(call) = killed_at {
            self.kills += 1;
            *self.by_call.entry(call).or_default() += 1;
            // Now and then the next one is killed too.
            if stop.is_multiple_of(5) {
                let random = &mut Random::new(stop ^ 0x1234);
                if kill_at(1 + random.below(600), &[0], || self.come_after(AFTER))?.is_some() {
                    self.kills += 1;
                    self.compound += 1;
                }
                self.verify(scenario)?;
            }
        }
        let end = Child::start(|| self.come_after(AFTER + 4))?.wait()?;
        if end != End::Exit(0) {
            return Err(format!("who came after the kill could not work: {end:?}"));
        }
        self.verify(scenario)?;
        if scenario.deletes() {
            let status = scenario.command(&self.stage).status().map_err(|error| error.to_string())?;
            if !status.success() || !golden::segments(&self.stage)?.is_empty() {
                return Err(format!("a second purge leaves something, {status}"));
            }
        }
        if scenario == Scenario::Pack {
            // Whoever packs next comes to the end of it, and nothing half done stays.
            let _ = tracewell::testing::pack_now(&self.stage.dirs);
            let left = golden::segments(&self.stage)?;
            let left: Vec<_> =
                left.keys().filter(|name| !name.contains(".twseg") || name.ends_with("ing")).collect();
            if golden::hasty(&self.stage)? != 0 || !left.is_empty() {
                return Err(format!("after packing, {left:?} are left"));
            }
            self.verify(scenario)?;
        }
        Ok(killed_at.is_some())
    }

    /// Who works in the same place after a kill.
    fn come_after(&self, lane: usize) {
        assert!(lane + 1 < LANES);
        let stage = &self.stage;
        let tracer = attach(stage);
        let control = stage.control().expect("the page");
        control.enable(&stage.dirs, &stage::request(&self.golden.plan, 64 << 10)).expect("enabled");
        stage.page.emit(&tracer, &self.golden.plan, lane, |number| number < 50);
        tracer.flush().expect("flushed");
        control.disable().expect("disabled");
        tracer.shutdown();
        assert!(control.snapshot().is_err(), "it is off");
    }
}

/// Runs the test.
pub(crate) fn run(args: &CallsArgs) -> Result<(), String> {
    let (count, seed) = (args.scale.count_or(12), args.scale.seed());
    program()?;
    let stage = Stage::new()?;
    let golden = Golden::make(&stage, seed)?;
    let empty = Golden::empty(&stage, golden.plan)?;
    let by_call = BTreeMap::new();
    let mut tries = Tries { stage, golden, empty, kills: 0, compound: 0, events: 0, by_call };
    let mut random = Random::new(seed);
    let begun = Instant::now();
    for scenario in ALL.into_iter().filter(|s| args.scenario.is_none_or(|only| only == *s)) {
        let mut attempt = |stop: u64| {
            tries.attempt(scenario, stop).map_err(|violation| {
                let name = scenario.name();
                format!(
                    "calls: {name}, stop {stop}, seed {seed}: {violation}\n\
                     repeat: faults calls --seed {seed} --scenario {name} --stop {stop}"
                )
            })
        };
        if let Some(stop) = args.stop {
            attempt(stop)?;
            continue;
        }
        // Every one in order until the scenario comes to its end, which depends on the threads' luck; or a sample.
        let (mut stop, mut ends) = (0, 0);
        let mut sampled = 0;
        let mut most = 64;
        while ends < 3 && (args.every || sampled < count) {
            sampled += 1;
            stop = if args.every { stop + 1 } else { 1 + random.below(most) };
            if attempt(stop)? {
                // Grows until it is about what the scenario has.
                most = most.max(stop * 3);
            } else if args.every {
                ends += 1;
            } else {
                most = most.min(stop).max(8);
            }
        }
        eprintln!("calls: {}: {} kills so far, to stop {stop}", scenario.name(), tries.kills);
    }
    let kinds = tries.by_call.len();
    eprintln!(
        "calls: {:.0} a second, by number of the call: {:?}",
        tries.kills as f64 / begun.elapsed().as_secs_f64(),
        tries.by_call
    );
    Report {
        test: "calls (T-3)".into(),
        unit: "kills".into(),
        count: tries.kills,
        seed: Some(seed),
        result: format!(
            "at {kinds} kinds of system calls, {} during recovery, {} events read, 0 torn, 0 lost, 0 twice",
            grouped(tries.compound),
            grouped(tries.events)
        ),
        command: format!("faults calls --seed {seed}{}", if args.every { " --every" } else { "" }),
    }
    .print();
    Ok(())
}
