//! Runs collectors, each on a thread of its own and for a limited time: a dead network drive or a daemon that does not
//! answer costs that collector alone.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::context::{Context, Problem};

/// Collectors that run at the same time.
const AT_ONCE: usize = 4;

/// A collector: gives one section of a document.
pub(super) type Collect = fn(&Context) -> Value;

/// One that is to run.
pub(super) struct Job {
    pub(super) collect: Collect,
    pub(super) context: Context,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `None`: given up, or it failed.
    pub(super) value: Option<Value>,
    pub(super) problems: Vec<Problem>,
    pub(super) took: Duration,
}

/// How long they may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Each.
    pub(super) each: Duration,
    /// All of them.
    pub(super) all: Duration,
}

type Done = (usize, Option<Value>);

/// One that runs.
struct Running {
    job: usize,
    since: Instant,
    context: Arc<Context>,
}

/// Runs all and gives what came of each, in their order. `tell` is called as each one ends.
pub(super) fn run(jobs: Vec<Job>, times: Times, mut tell: impl FnMut(usize)) -> Vec<Outcome> {
    let begun = Instant::now();
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    let mut waiting: VecDeque<(usize, Job)> = jobs.into_iter().enumerate().collect();
    let mut running: Vec<Running> = Vec::new();
    let (to_us, from_them) = channel();
    loop {
        while running.len() < AT_ONCE && begun.elapsed() < times.all {
            let Some((place, job)) = waiting.pop_front() else { break };
            match start(place, job, times.each, &to_us) {
                Ok(started) => running.push(started),
                Err((context, e)) => {
                    context.problem("collector", &format!("no thread could be made: {e}"));
                    put(&mut outcomes, place, outcome(&context, None, Duration::ZERO));
                    tell(place);
                }
            }
        }
        if running.is_empty() {
            break;
        }
        if let Some((job, value)) = next(&from_them, &running, times.each)
            && let Some(at) = running.iter().position(|r| r.job == job)
        {
            let ended = running.swap_remove(at);
            put(&mut outcomes, job, outcome(&ended.context, value, ended.since.elapsed()));
            tell(job);
        }
        // Whoever is late is left alone; what it gives later is not looked at.
        for at in (0..running.len()).rev() {
            if running.get(at).is_some_and(|r| r.since.elapsed() >= times.each) {
                let late = running.swap_remove(at);
                let why = format!("it took longer than {} ms and was given up", times.each.as_millis());
                late.context.problem("collector", &why);
                put(&mut outcomes, late.job, outcome(&late.context, None, late.since.elapsed()));
                tell(late.job);
            }
        }
    }
    for (place, job) in waiting {
        let why =
            format!("all collectors together took longer than {} s; it was not begun", times.all.as_secs());
        job.context.problem("collector", &why);
        put(&mut outcomes, place, outcome(&job.context, None, Duration::ZERO));
    }
    outcomes.into_iter().flatten().collect()
}

fn put(outcomes: &mut [Option<Outcome>], place: usize, outcome: Outcome) {
    if let Some(slot) = outcomes.get_mut(place) {
        *slot = Some(outcome);
    }
}

fn outcome(context: &Context, value: Option<Value>, took: Duration) -> Outcome {
    Outcome { value, problems: context.take_problems(), took }
}

/// Waits for the next that ends, as long as none is late.
fn next(from_them: &Receiver<Done>, running: &[Running], each: Duration) -> Option<Done> {
    let left = running.iter().map(|r| each.saturating_sub(r.since.elapsed())).min().unwrap_or_default();
    // `run` itself holds a sender: time that is up is the only other end.
    from_them.recv_timeout(left).ok()
}

fn start(
    place: usize,
    job: Job,
    each: Duration,
    to_us: &Sender<Done>,
) -> Result<Running, (Arc<Context>, std::io::Error)> {
    let since = Instant::now();
    let mut context = job.context;
    context.begin(since, each);
    let context = Arc::new(context);
    let (theirs, to_us, collect) = (Arc::clone(&context), to_us.clone(), job.collect);
    let spawned = std::thread::Builder::new().name("tracewell-os".into()).spawn(move || {
        let value = catch_unwind(AssertUnwindSafe(|| collect(&theirs))).ok();
        if value.is_none() {
            theirs.problem("collector", "it failed unexpectedly; please report this");
        }
        // Nobody may wait any more.
        let _ = to_us.send((place, value));
    });
    match spawned {
        Ok(_) => Ok(Running { job: place, since, context }),
        Err(e) => Err((context, e)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::os::context::tests::context;

    fn job(collect: Collect) -> Job {
        Job { collect, context: context(std::path::Path::new("/")) }
    }

    #[test]
    fn who_hangs_or_fails_costs_nobody_else_anything() {
        let hangs: Collect = |_| {
            std::thread::sleep(Duration::from_secs(60));
            json!("late")
        };
        let fails: Collect = |context| {
            context.problem("before", "it went on until here");
            json!([1, 2][context.left().as_secs() as usize + 2])
        };
        let works: Collect = |context| json!(context.is_late());
        let jobs = vec![job(hangs), job(works), job(fails), job(hangs), job(works), job(hangs), job(works)];
        let times = Times { each: Duration::from_secs(2), all: Duration::from_secs(60) };
        let (begun, mut told) = (Instant::now(), 0);
        let outcomes = run(jobs, times, |_| told += 1);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert_eq!(told, 7);
        let values: Vec<_> = outcomes.iter().map(|o| o.value.clone()).collect();
        let works = Some(json!(false));
        assert_eq!(values, [None, works.clone(), None, None, works.clone(), None, works]);
        for place in [0, 3, 5] {
            assert!(outcomes[place].problems[0].why.contains("given up"), "{:?}", outcomes[place]);
            assert!(outcomes[place].took >= times.each);
        }
        let whys: Vec<_> = outcomes[2].problems.iter().map(|p| p.why.as_str()).collect();
        assert!(whys[0].contains("until here") && whys[1].contains("unexpectedly"), "{whys:?}");
    }

    #[test]
    fn all_together_have_an_end() {
        let hangs: Collect = |_| {
            std::thread::sleep(Duration::from_secs(60));
            Value::Null
        };
        let times = Times { each: Duration::from_millis(200), all: Duration::from_millis(300) };
        let begun = Instant::now();
        let outcomes = run((0..20).map(|_| job(hangs)).collect(), times, |_| ());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(outcomes.len(), 20);
        assert!(outcomes[19].problems[0].why.contains("not begun"), "{:?}", outcomes[19]);
    }
}
