//! `faults threads` (T-12): signals, allocators, forks, thread ends, exec, rights, and many threads, against a component
//! of its own process each (`threaded`). What was attempted stands outside of the trace, and every event of the trace is
//! checked against it: none torn, none twice, none out of order, and what is not there is counted, to the unit.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Signal, kill_process};
use tracewell::control::EnableRequest;
use tracewell_reader::{Filter, Item, Summary};
use tracewell_schema::Value;
use tracewell_tests::{Place, text_of};

use crate::component::Component;
use crate::lanes::{LANES, Oracle, QUIET};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults threads`.
#[derive(Args, Debug)]
pub(crate) struct ThreadsArgs {
    #[command(flatten)]
    scale: Scale,
    /// Seconds of each part that goes by time.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Forks of each of eight threads.
    #[arg(long, default_value_t = 20)]
    forks: u64,
    /// Threads that live at once.
    #[arg(long, default_value_t = 1000)]
    many: u64,
    /// Runs one part alone.
    #[arg(long)]
    part: Option<String>,
}

/// What must hold of a part, besides that nothing is torn, twice or out of order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Law {
    /// Delivered and lost make up what was attempted.
    Exact,
    /// As `Exact`, for one process; so many emits at its very end are neither.
    Ends,
    /// What children are missing is what they counted.
    Forks,
    /// As `Exact`, and it stays one process.
    OneProcess,
    /// At most one event a thread more than attempted: it was in flight.
    Executed,
    /// At most one event a round less than attempted: its thread was held up inside the emit when the session ended.
    HeldUp,
    /// Not more than attempted: what comes while tracing goes off is neither.
    Switched,
}

struct Part {
    scene: &'static str,
    amount: u64,
    times: u64,
    law: Law,
}

fn parts(args: &ThreadsArgs) -> Vec<Part> {
    let part = |scene, amount, law| Part { scene, amount, times: 1, law };
    let seconds = args.seconds;
    let all = vec![
        part("timers", seconds, Law::Exact),
        part("storm", seconds, Law::Exact),
        part("allocator", seconds, Law::Exact),
        part("pauses", seconds, Law::Exact),
        part("paused", seconds.div_ceil(3).min(5), Law::HeldUp),
        part("ends", seconds * 100, Law::Ends),
        part("forks", args.forks, Law::Forks),
        part("vfork", seconds * 30, Law::OneProcess),
        Part { scene: "exec", amount: 1, times: seconds * 3, law: Law::Executed },
        part("churn", seconds * 2, Law::Exact),
        part("many", args.many, Law::Exact),
        part("credentials", seconds, Law::Exact),
        part("switches", seconds, Law::Switched),
    ];
    all.into_iter().filter(|part| args.part.as_ref().is_none_or(|only| part.scene == only)).collect()
}

/// What all parts came to.
#[derive(Default)]
struct Totals {
    attempted: u64,
    lost: u64,
    handled: u64,
    said: BTreeMap<String, u64>,
}

/// Runs the parts.
pub(crate) fn run(args: &ThreadsArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    let mut totals = Totals::default();
    let parts = parts(args);
    if parts.is_empty() {
        return Err(format!("no part {:?}", args.part));
    }
    let only = args.part.as_ref().map_or(String::new(), |part| format!(" --part {part}"));
    let command = |seed: u64, count: u64, part: &str| {
        format!(
            "faults threads --count {count} --seed {seed} --seconds {} --forks {} --many {}{part}",
            args.seconds, args.forks, args.many
        )
    };
    let rounds = args.scale.count_or(1);
    for (round, part) in (0..rounds).flat_map(|round| parts.iter().map(move |part| (round, part))) {
        let begun = Instant::now();
        let before = totals.attempted;
        let seed = seed + round * 1000;
        for time in 0..part.times {
            play(part, seed + time, &mut totals).map_err(|violation| {
                format!(
                    "{}: {violation}; again: {}",
                    part.scene,
                    command(seed, 1, &format!(" --part {}", part.scene))
                )
            })?;
        }
        eprintln!(
            "threads: {:<12} {:>12} events, {:.1} s",
            part.scene,
            grouped(totals.attempted - before),
            begun.elapsed().as_secs_f64()
        );
    }
    let said = |key: &str| grouped(totals.said.get(key).copied().unwrap_or(0));
    Report {
        test: "threads (T-12)".into(),
        unit: "events".into(),
        count: totals.attempted,
        seed: Some(seed),
        result: format!(
            "{} in handlers, {} forks, {} children in place, {} threads, {} switches; {} counted lost; 0 torn, 0 twice, \
             0 out of order, 0 uncounted, 0 hangs",
            grouped(totals.handled),
            said("forks"),
            said("spawned"),
            said("threads"),
            said("changes"),
            grouped(totals.lost)
        ),
        command: command(seed, rounds, &only),
    }
    .print();
    Ok(())
}

/// Runs a scene to its end, or kills it with all its children. While `pauses` runs it is stopped and continued.
fn perform(part: &Part, place: &Place, seed: u64) -> Result<BTreeMap<String, u64>, String> {
    let mut component = Component::start(part.scene, place, seed, part.amount)?;
    let limit = Duration::from_secs(60 + part.amount.min(600) * 6);
    let (pid, mut random) = (component.pid(), Random::new(seed));
    component.wait(limit, || {
        if part.scene == "pauses" {
            std::thread::sleep(Duration::from_millis(random.below(20)));
            let _ = kill_process(pid, Signal::STOP);
            std::thread::sleep(Duration::from_millis(random.below(30)));
            let _ = kill_process(pid, Signal::CONT);
        }
    })?;
    Ok(component.said())
}

fn play(part: &Part, seed: u64, totals: &mut Totals) -> Result<(), String> {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        max_total: 4 << 30,
        segment_bytes: 1 << 20,
        ..EnableRequest::default()
    });
    let oracle = Oracle::open(&place.beside("oracle")).map_err(|e| e.to_string())?;
    let said = perform(part, &place, seed)?;
    let of = |key: &str| said.get(key).copied().unwrap_or(0);
    if of("done") != 1 {
        return Err(format!("it ended before its time: {said:?}"));
    }
    if of("forbidden") != 0 {
        return Err(format!("{} allocations in signal handlers", of("forbidden")));
    }
    let read = Read::of(&place, &oracle)?;
    judge(part, &oracle, &read, &said).map_err(|why| format!("{why}: {:?}, {said:?}", read.summary))?;
    totals.attempted += oracle.attempted();
    totals.lost += read.summary.lost_total();
    totals.handled +=
        (QUIET + 100..QUIET + 200).map(|lane| oracle.lane(lane).load(Ordering::Relaxed)).sum::<u64>();
    for (key, number) in said {
        *totals.said.entry(key).or_default() += number;
    }
    Ok(())
}

/// The trace, checked event by event.
struct Read {
    /// Events by lane.
    lanes: Vec<u64>,
    events: u64,
    /// Losses that the stream tells.
    told: u64,
    processes: usize,
    strangers: usize,
    summary: Summary,
}

impl Read {
    fn of(place: &Place, oracle: &Oracle) -> Result<Self, String> {
        let trace = place.trace();
        let mut lanes = vec![0_u64; LANES];
        let mut seen: Vec<Vec<u64>> = vec![Vec::new(); LANES];
        let mut last = HashMap::<(usize, u32, u32), u64>::new();
        let (mut events, mut told) = (0, 0);
        let summary = trace
            .read(&Filter::default(), |item| {
                match item {
                    Item::Event(event) => {
                        events += 1;
                        let word = |name| match event.values.get(name).map(|f| f.value) {
                            Some(Value::U(n)) => Ok(n),
                            _ => Err(format!("an event {} without {name}", event.schema.name)),
                        };
                        let (lane, number) = (word("lane")? as u32, word("number")?);
                        let Some(Value::Str(text)) = event.values.get("text").map(|f| f.value) else {
                            return Err(format!("event {number} of lane {lane} has no text"));
                        };
                        let right = if lane < QUIET { text_of(number) } else { String::new() };
                        if lane as usize >= LANES || text.bytes != right.as_bytes() {
                            return Err(format!("event {number} of lane {lane} is torn: {:?}", text.bytes));
                        }
                        // In flight at an exec or a kill: emitted, and not counted yet.
                        if number > oracle.lane(lane).load(Ordering::Relaxed) {
                            return Err(format!("event {number} of lane {lane} was never attempted"));
                        }
                        let bits = &mut seen[lane as usize];
                        bits.resize(bits.len().max(number as usize / 64 + 1), 0);
                        if bits[number as usize / 64] & 1 << (number % 64) != 0 {
                            return Err(format!("event {number} of lane {lane} is there twice"));
                        }
                        bits[number as usize / 64] |= 1 << (number % 64);
                        let before = last.insert((event.process_index, event.ring, lane), number);
                        if before.is_some_and(|before| before >= number) {
                            return Err(format!("event {number} of lane {lane} comes after {before:?}"));
                        }
                        lanes[lane as usize] += 1;
                    }
                    Item::Lost { counts, .. } => told += counts.total(),
                    Item::Hole { events, .. } => return Err(format!("a hole of {events} events")),
                    _ => {}
                }
                Ok(())
            })
            .map_err(|e| e.to_string())?;
        let uuids: Vec<_> = trace.processes().iter().map(|p| p.identity.process_uuid).collect();
        let strangers = trace
            .processes()
            .iter()
            .filter(|p| p.identity.parent_uuid != [0; 16] && !uuids.contains(&p.identity.parent_uuid))
            .count();
        Ok(Self { lanes, events, told, processes: uuids.len(), strangers, summary })
    }

    fn of_lanes(&self, lanes: std::ops::Range<u32>) -> u64 {
        self.lanes[lanes.start as usize..lanes.end as usize].iter().sum()
    }
}

/// Nothing damaged, missing or twice, and every ring adds up. A process that was `cut` off may leave a segment that it was
/// about to begin, and blocks that it had written and not released yet, which are then in their ring too.
pub(crate) fn is_sound(summary: &Summary, cut: bool) -> bool {
    let mut damaged = summary.damaged.iter();
    damaged.all(|d| cut && d.bytes == 0 && d.what == "segment header is cut")
        && summary.law.is_empty()
        && summary.missing == 0
        && (cut || summary.duplicates == 0)
}

/// `Err` says what does not hold.
fn holds(does: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if does { Ok(()) } else { Err(what()) }
}

fn judge(part: &Part, oracle: &Oracle, read: &Read, said: &BTreeMap<String, u64>) -> Result<(), String> {
    let s = &read.summary;
    holds(is_sound(s, part.law == Law::Executed), || "the reader finds damage".into())?;
    holds(read.strangers == 0, || format!("{} processes of unknown parents", read.strangers))?;
    let (attempted, lost) = (oracle.attempted(), s.lost_total());
    let (events, sum) = (read.events, read.events + lost);
    let exact = |attempted: u64| {
        holds(sum == attempted, || format!("{events} events and {lost} lost of {attempted} attempted"))?;
        holds(read.told == lost && s.law_open == 0, || format!("{} told of {lost} lost", read.told))
    };
    match part.law {
        Law::Exact => exact(attempted)?,
        Law::Ends => {
            // `ends::TOO_LATE`: after the tracer has ended.
            let late = oracle.lane(QUIET + 16).load(Ordering::Relaxed);
            holds(read.of_lanes(QUIET + 16..QUIET + 17) == 0, || "an event after the end".into())?;
            exact(attempted - late)?;
        }
        Law::OneProcess => {
            exact(attempted)?;
            let delivered = said.get("delivered").copied().unwrap_or(0);
            holds(read.processes == 1 && delivered == events, || {
                format!("{} processes; {delivered} delivered by its own account of {events}", read.processes)
            })?;
        }
        Law::Executed => {
            holds(oracle.lane(10).load(Ordering::Relaxed) == 500 && read.of_lanes(10..11) == 500, || {
                "the successor's events".into()
            })?;
            holds((attempted..=attempted + 3).contains(&sum), || {
                format!("{events} events and {lost} lost of {attempted} that returned")
            })?;
        }
        Law::HeldUp => holds((sum..=sum + part.amount).contains(&attempted), || {
            format!("{events} events and {lost} lost of {attempted} attempted, {} held up", part.amount)
        })?,
        Law::Switched => holds(sum <= attempted && events > 1000, || {
            format!("{events} events and {lost} lost of {attempted} attempted")
        })?,
        Law::Forks => {
            // `forks::CHILDREN`, `forks::CHILD_LOST`.
            let children: u64 = (1000..QUIET).map(|lane| oracle.lane(lane).load(Ordering::Relaxed)).sum();
            let missing = children - read.of_lanes(1000..QUIET);
            let known = oracle.word(1).load(Ordering::Relaxed);
            holds(missing == known, || {
                format!("{missing} events of children are not there, {known} counted")
            })?;
            let parents = attempted - children;
            let missing = parents - (events - read.of_lanes(1000..QUIET));
            holds((missing..=missing + known).contains(&lost), || {
                format!("{missing} events of the parent are not there, {lost} lost")
            })?;
            // A child in which a lock of the tracer was held at the fork emits nothing. Here they are held all the time.
            let refused = format!("{known} of {children} events of children refused");
            eprintln!("threads: forks: {refused}");
            holds(known * 2 <= children, || refused)?;
        }
    }
    if part.scene == "churn" {
        flat(said)?;
    }
    Ok(())
}

/// What threads leave behind does not grow with their number.
fn flat(said: &BTreeMap<String, u64>) -> Result<(), String> {
    let of = |key: &str| said.get(key).copied().unwrap_or(0);
    let check = |key: &str, more: &dyn Fn(u64) -> u64| {
        let (early, late) = (of(&format!("{key}_early")), of(&format!("{key}_late")));
        holds(late <= early + more(early), || format!("{key}: {early}, then {late}"))
    };
    check("rss_kib", &|early| early / 10 + 2048)?;
    check("files", &|_| 8)?;
    // As many as threads end while the drain looks away, on a busy machine; not more with every thread.
    check("rings", &|early| early + 64)?;
    holds(of("per_second") >= 200, || format!("only {} threads a second", of("per_second")))
}
