//! Random schedules of a whole process: two threads that emit, end and begin again, drain, segment writer, flush, and
//! tracing switched off and on meanwhile. What threads share is in the very files that the engine compiles, as in
//! `engine/tests/loom/`; loom has every order of few steps, this has many orders of many steps (and no weak memory).
//!
//! Run by `ci/loom.sh` (`RUSTFLAGS="--cfg shuttle" cargo test -p tracewell --test shuttle --release`). `SCHEDULES` is the
//! number of schedules (50,000), `SEED` the first seed. A failing schedule is printed and can be replayed.
#![cfg(shuttle)]

#[path = "../../src/ring/cursor.rs"]
#[allow(dead_code, unreachable_pub)]
mod cursor;
#[path = "../../src/ring/gate.rs"]
mod gate;
#[path = "../../src/ring/life.rs"]
mod life;
#[path = "../../src/orphans.rs"]
#[allow(dead_code)]
mod orphans;
#[path = "../../src/ring/ticket.rs"]
mod ticket;

mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

    /// No schedule forks.
    pub(crate) fn own_pid() -> u32 {
        1
    }

    /// In schedules every step is seen by all at once.
    pub(crate) fn light_barrier() {}
}

mod session;
mod tracer;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use tracer::Otherwise;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

fn run(scheduler: impl Scheduler + 'static, otherwise: Otherwise) -> usize {
    let mut config = Config::new();
    config.silence_warnings = true;
    // A schedule that goes on for ever is a deadlock of polling threads.
    config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
    Runner::new(scheduler, config).run(move || tracer::play(otherwise))
}

/// As faults/src/report.rs has it, for the ledger.
fn report(kind: &str, seed: u64, count: usize) {
    println!(
        "{{\"test\":\"shuttle, {kind} (T-14)\",\"unit\":\"schedules\",\"count\":{count},\"seed\":{seed},\
         \"result\":\"every event once and in order, every loss counted, every flush kept\",\
         \"command\":\"SEED={seed} SCHEDULES={count} ci/loom.sh --shuttle\"}}"
    );
}

#[test]
fn a_process_in_random_schedules() {
    let (seed, count) = (number("SEED", 1), number("SCHEDULES", 50_000) / 2);
    let done = run(RandomScheduler::new_from_seed(seed, count as usize), Otherwise::default());
    report("random", seed, done);
}

#[test]
fn a_process_with_three_changes_of_priority() {
    let (seed, count) = (number("SEED", 1), number("SCHEDULES", 50_000) / 2);
    let done = run(PctScheduler::new_from_seed(seed, 3, count as usize), Otherwise::default());
    report("PCT of depth 3", seed, done);
}

/// Tries that a mutant has to be found in.
const FOUND_IN: usize = 20_000;

macro_rules! mutants {
    ($($name:ident),*) => {$(
        #[test]
        #[should_panic]
        fn $name() {
            run(RandomScheduler::new_from_seed(1, FOUND_IN), Otherwise { $name: true, ..Otherwise::default() });
        }
    )*};
}

mutants!(
    mutant_unmapped_without_waiting,
    mutant_not_retired,
    mutant_retired_before_the_lock,
    mutant_session_looked_at_too_early,
    mutant_claimed_without_lock,
    mutant_head_before_the_end,
    mutant_told_twice,
    mutant_freed_before_it_is_told,
    mutant_rings_before_the_ticket,
    mutant_released_before_it_is_read
);
