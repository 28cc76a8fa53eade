//! `faults duel` (T-13): processes that work in the same place, one system call at a time, in an order that a seed
//! chooses; whoever has not the turn stands still, for as long as the others like.

mod scenes;

use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;

use crate::child::{Child, End};
use crate::golden::{self, Golden, RING_SIZE};
use crate::oracle::{self, Plan, Rules};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};
use crate::stage::{self, Stage};
use crate::trap::{self, Event, Herd, Stop};
use scenes::{SCENARIOS, names, retain_half};

#[derive(Args)]
pub(crate) struct DuelArgs {
    #[command(flatten)]
    scale: Scale,
    /// Stops earlier after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
}

/// Who works in the same place, and what must be so afterwards.
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Begins with the golden trace, else with an empty directory.
    pub(crate) golden: bool,
    /// Tracing is on.
    pub(crate) enabled: bool,
    /// One call at a time; else all run, and are stopped and continued by signals.
    pub(crate) stepped: bool,
    /// One may be killed in the middle.
    pub(crate) killed: bool,
    /// What must be read afterwards; see [`Rules`].
    pub(crate) closed: bool,
    pub(crate) may_be_gone: bool,
    /// Prepares the place, after it was laid down.
    pub(crate) prepare: fn(&Ring) -> Result<(), String>,
    /// The processes. Each ends by itself; a panic is a violation.
    pub(crate) actors: &'static [fn(&Ring)],
    /// Looks at the place when all have ended, before it is read.
    pub(crate) after: fn(&Ring) -> Result<(), String>,
}

/// Where a duel takes place.
pub(crate) struct Ring {
    pub(crate) stage: Stage,
    pub(crate) golden: Golden,
    empty: Golden,
    /// What one retention alone would leave.
    pub(crate) retained: Vec<String>,
}

/// System calls in which a thread may wait for another: whoever begins one loses its turn.
fn may_wait(call: u64) -> bool {
    let waits = [
        libc::SYS_futex,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        libc::SYS_wait4,
        libc::SYS_waitid,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_membarrier,
    ];
    waits.iter().any(|wait| u64::try_from(*wait) == Ok(call))
}

/// Lets actors run one at a time from call to call. Gives the number of turns.
fn step(actors: Vec<Child>, random: &mut Random, kills: bool) -> Result<(u64, bool), String> {
    let mut herd = Herd::default();
    for actor in actors {
        herd.start(actor.hand_over())?;
    }
    let count = herd.len();
    let mut turns = 0;
    let kill_at = if kills && random.below(3) == 0 { random.below(1_500) } else { u64::MAX };
    // Long and short turns find different things.
    let loyalty = random.below(40);
    let mut last = 0;
    let mut was_killed = false;
    let mut room = Room::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    while (0..count).any(|actor| herd.is_running(actor)) {
        if Instant::now() > deadline {
            return Err("they do not come to an end".into());
        }
        // With somebody on the way it is not yet clear who can have the turn; but not for ever.
        let begun = Instant::now();
        loop {
            let event = if room.held.is_empty() { herd.next()? } else { herd.poll()? };
            if let Event::Ended { status } = event
                && status != 0
                && !was_killed
            {
                return Err(format!("one of them failed, status {status:x}"));
            }
            match event {
                Event::Nothing if !room.is_anyone_on_the_way(&herd) => break,
                Event::Nothing if begun.elapsed() > Duration::from_micros(400) => break,
                Event::Nothing => std::thread::yield_now(),
                Event::Stop(stop) => room.enter(stop),
                Event::Ended { .. } if herd.running() == 0 => break,
                Event::Ended { .. } => {}
            }
        }
        if room.held.is_empty() {
            continue;
        }
        let same = room.held.iter().position(|stop| stop.tid == last).filter(|_| random.below(40) < loyalty);
        let at = same.unwrap_or_else(|| random.below(room.held.len() as u64) as usize);
        let stop = room.leave(at);
        turns += 1;
        if turns == kill_at {
            herd.kill(stop.actor);
            was_killed = true;
        }
        herd.resume(stop.tid);
        last = stop.tid;
    }
    herd.end()?;
    Ok((turns, was_killed))
}

/// Threads that stand at a call, and those that may wait inside one for another.
#[derive(Debug, Default)]
struct Room {
    held: Vec<Stop>,
    waiting: Vec<i32>,
}

impl Room {
    fn enter(&mut self, stop: Stop) {
        self.waiting.retain(|tid| *tid != stop.tid);
        self.held.push(stop);
    }

    fn leave(&mut self, at: usize) -> Stop {
        let stop = self.held.swap_remove(at);
        if stop.is_entry && may_wait(stop.call) {
            self.waiting.push(stop.tid);
        }
        stop
    }

    /// Whether a thread neither stands at a call nor may wait in one.
    fn is_anyone_on_the_way(&mut self, herd: &Herd) -> bool {
        self.waiting.retain(|tid| herd.has(*tid));
        self.held.retain(|stop| herd.has(stop.tid));
        herd.running() > self.held.len() + self.waiting.len()
    }
}

/// Lets actors run, stopped and continued at random; one may be killed.
fn stop_and_go(actors: Vec<Child>, random: &mut Random, kills: bool) -> Result<(u64, bool), String> {
    let mut turns = 0;
    let kill_at = if kills && random.below(3) == 0 { random.below(60) } else { u64::MAX };
    let mut killed = None;
    let begun = Instant::now();
    while !actors.iter().all(Child::has_ended) {
        let at = random.below(actors.len() as u64) as usize;
        let Some(actor) = actors.get(at) else { break };
        actor.signal(Signal::STOP);
        std::thread::sleep(Duration::from_micros(random.below(1_500)));
        turns += 1;
        if turns == kill_at {
            actor.signal(Signal::KILL);
            killed = Some(at);
        }
        actor.signal(Signal::CONT);
        std::thread::sleep(Duration::from_micros(random.below(600)));
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("they do not come to an end".into());
        }
    }
    for (at, actor) in actors.into_iter().enumerate() {
        let end = actor.wait()?;
        if end != End::Exit(0) && !(end == End::Killed && killed == Some(at)) {
            return Err(format!("one of them failed: {end:?}"));
        }
    }
    Ok((turns, killed.is_some()))
}

#[derive(Debug, Default)]
struct Sums {
    duels: u64,
    turns: u64,
    kills: u64,
    events: u64,
}

/// One duel.
fn attempt(ring: &Ring, scenario: &Scenario, seed: u64, sums: &mut Sums) -> Result<(), String> {
    let stage = &ring.stage;
    if scenario.golden { &ring.golden } else { &ring.empty }.lay_down(stage)?;
    golden::take_canaries_away(stage)?;
    if scenario.enabled {
        let request = stage::request(&ring.golden.plan, 64 << 10);
        stage.control()?.enable(&stage.dirs, &request).map_err(|error| format!("enable: {error}"))?;
    }
    (scenario.prepare)(ring)?;
    let random = &mut Random::new(seed);
    let mut actors = Vec::new();
    for actor in scenario.actors {
        actors.push(Child::start(|| {
            if scenario.stepped {
                trap::submit();
            }
            actor(ring);
        })?);
    }
    let (turns, was_killed) = if scenario.stepped {
        step(actors, random, scenario.killed)?
    } else {
        stop_and_go(actors, random, scenario.killed)?
    };
    (scenario.after)(ring)?;
    let rules = Rules {
        ring_size: RING_SIZE,
        uncounted: 0,
        since: ring.golden.since,
        is_closed: scenario.closed && !was_killed,
        may_be_gone: scenario.may_be_gone,
    };
    let seen = oracle::verify(stage.base(), stage.rings(), stage.page, &ring.golden.plan, &rules)?;
    sums.duels += 1;
    sums.turns += turns;
    sums.kills += u64::from(was_killed);
    sums.events += seen.events;
    Ok(())
}

/// The places of the duels.
fn make(seed: u64) -> Result<Ring, String> {
    let stage = Stage::new()?;
    let golden = Golden::make(&stage, seed)?;
    let plan: Plan = golden.plan;
    let empty = Golden::empty(&stage, plan)?;
    let mut ring = Ring { stage, golden, empty, retained: Vec::new() };
    ring.golden.lay_down(&ring.stage)?;
    golden::take_canaries_away(&ring.stage)?;
    retain_half(&ring);
    ring.retained = names(&ring)?;
    let all = ring.golden.segment_count();
    if ring.retained.len() >= all || ring.retained.is_empty() {
        return Err(format!("retention has nothing to do: {} of {all} stay", ring.retained.len()));
    }
    Ok(ring)
}

/// Runs some scenarios; `test` names them in the report.
pub(crate) fn run_all(args: &DuelArgs, test: &str, scenarios: &[Scenario]) -> Result<(), String> {
    let (count, first) = (args.scale.count_or(400), args.scale.seed());
    let ring = make(first)?;
    let mut sums = Sums::default();
    let begun = Instant::now();
    let most = Duration::from_secs(args.seconds.unwrap_or(u64::MAX));
    let chosen: Vec<_> =
        scenarios.iter().filter(|s| args.scenario.as_ref().is_none_or(|only| only == s.name)).collect();
    if chosen.is_empty() {
        let all: Vec<_> = scenarios.iter().map(|s| s.name).collect();
        return Err(format!("no such scenario; there are {}", all.join(", ")));
    }
    let mut spent = vec![Duration::ZERO; chosen.len()];
    let mut duels = vec![0_u64; chosen.len()];
    for seed in first.. {
        if sums.duels >= count || begun.elapsed() >= most {
            break;
        }
        // Whichever has had the least time, so that slow ones do not take it all.
        let at = (0..chosen.len()).min_by_key(|at| spent[*at]).unwrap_or(0);
        let scenario = chosen[at];
        let start = Instant::now();
        attempt(&ring, scenario, seed, &mut sums).map_err(|violation| {
            format!(
                "duel: {} seed {seed} (golden {first}): {violation}\n\
                 repeat: faults duel --seed {first} --scenario {}",
                scenario.name, scenario.name
            )
        })?;
        spent[at] += start.elapsed();
        duels[at] += 1;
    }
    let each: Vec<_> = chosen.iter().zip(&duels).map(|(s, n)| format!("{} {n}", s.name)).collect();
    eprintln!("duel: {:.0} a second: {}", sums.duels as f64 / begun.elapsed().as_secs_f64(), each.join(", "));
    Report {
        test: test.into(),
        unit: "duels".into(),
        count: sums.duels,
        seed: Some(first),
        result: format!(
            "{} turns, {} killed in the middle, {} events read, 0 torn, 0 lost, 0 twice",
            grouped(sums.turns),
            grouped(sums.kills),
            grouped(sums.events)
        ),
        command: format!("faults duel --count {count} --seed {first}"),
    }
    .print();
    Ok(())
}

/// Runs the test.
pub(crate) fn run(args: &DuelArgs) -> Result<(), String> {
    run_all(args, "duel (T-13)", SCENARIOS)
}
