//! The children of the demo. They end when their standard input does, so that none outlives it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracewell::{Event, Tracer, emit};
use tracewell_schema::catalog::sample;

use crate::args::{DemoComponent, Role};
use crate::output::{Failure, Out};
use crate::place::Place;
use crate::{OK, interrupt, watch};

/// Name of the load generator.
pub(crate) const LOADGEN: &str = "loadgen";
/// Rounds between two bursts.
const BURST_EVERY: u64 = 50;
/// Events of a burst.
const BURST: u64 = 5_000;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(10);

/// An event of the load generator's own, which no catalog knows.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.load", category = "custom", level = "debug", text = "burst {burst}, event {number}")]
struct Load {
    /// Number of the burst.
    #[field(public)]
    burst: u64,
    /// Number in the burst.
    #[field(public)]
    number: u64,
    /// What a scanner would tell here.
    #[field(public, unit = "bytes")]
    scanned: u64,
}

/// `tracewell demo-component ROLE`.
pub(crate) fn run(dir: Option<&Path>, args: &DemoComponent, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    interrupt::catch().map_err(|e| Failure::new(e.to_string()))?;
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|n| n != 0) {}
        flag.store(true, Ordering::Relaxed);
    });
    let stop = || ended.load(Ordering::Relaxed);
    match args.role {
        Role::Sensor => {
            let downloads = args.downloads.iter().cloned().collect();
            let (tracer, sensor) = watch::sensor(&place.dirs, downloads, args.hash_list.clone())?;
            let _guard = tracer.guard();
            for (what, how) in sensor.sources() {
                out.line(format_args!("{what}: {how}"))?;
            }
            out.line("ready")?;
            out.flush()?;
            sensor.run(&stop);
        }
        Role::Loadgen => {
            let tracer = Tracer::builder(LOADGEN)
                .dir(place.dirs.base())
                .version(env!("CARGO_PKG_VERSION"))
                .attach()
                .map_err(|e| Failure::new(e.to_string()))?;
            let _guard = tracer.guard();
            load(&tracer, &stop, out)?;
        }
    }
    Ok(OK)
}

/// Emits what a visitor is shown.
struct Emit<'a> {
    tracer: &'a Tracer,
    count: u64,
}

impl sample::Visitor for Emit<'_> {
    fn event<E: Event>(&mut self, event: &E) {
        if self.tracer.is_enabled::<E>() {
            self.tracer.emit(event);
            self.count += 1;
        }
    }
}

/// Tells after each round how many emits have returned: that many must be in the trace, whenever it is killed.
fn load(tracer: &Tracer, stop: &dyn Fn() -> bool, out: &mut Out) -> Result<(), Failure> {
    let mut emit = Emit { tracer, count: 0 };
    let mut round = 0_u64;
    while !stop() {
        sample::visit(round, &mut emit);
        if round.is_multiple_of(BURST_EVERY) {
            for number in 0..BURST {
                emit!(tracer, Load { burst: round / BURST_EVERY, number, scanned: number * 4096 });
            }
            if tracer.is_enabled::<Load>() {
                emit.count += BURST;
            }
        }
        round += 1;
        out.line(emit.count)?;
        out.flush()?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Most emits of one round, of which a kill may leave any part uncounted.
pub(crate) fn most_of_a_round() -> u64 {
    BURST + tracewell::catalog::all().len() as u64
}
