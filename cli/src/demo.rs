//! `demo`: the whole path in one command, on real activity, in a private temporary directory.

mod child;
mod show;
mod stage;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tracewell::catalog;
use tracewell::control::{Control, EnableRequest};

use crate::activity::{self, Activity};
use crate::demo_component::LOADGEN;
use crate::measure::{self, Cost};
use crate::output::{Failure, Out, number, safe, size};
use crate::{INCOMPLETE, OK, args, interrupt};
use child::{Component, PATIENCE};
use stage::Stage;

/// What polling sources need to have their first look, and their last.
const SETTLE: Duration = Duration::from_millis(400);

/// `tracewell demo`.
pub(crate) fn demo(args: &args::Demo, out: &mut Out) -> Result<u8, Failure> {
    interrupt::catch().map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let stage = Stage::new(args.keep)?;
    out.line(format_args!("A private directory for this demonstration: {}", safe(&stage.folder)))?;
    out.flush()?;
    let cost = measure::measure(&stage.measure_dir()).map_err(|e| stage.failure("measuring", e))?;
    let played = play(&stage, args.seconds, out)?;
    if interrupt::asked() {
        return Err(Failure::new("interrupted; everything of the demonstration is deleted"));
    }
    let told = show::show(&stage, &played, out)?;
    print_cost(&cost, out)?;
    out.line("")?;
    out.line(format_args!("Trace files: {}", safe(stage.trace_dir())))?;
    for file in &told.files {
        let name = file.file_name().unwrap_or_default();
        let bytes = std::fs::metadata(file).map_or(0, |m| m.len());
        out.line(format_args!("  {} ({})", safe(name), size(bytes)))?;
    }
    if args.keep {
        let raw = safe(stage.dirs.base());
        out.line(format_args!("The raw trace: {raw}; look with `tracewell read {raw}`"))?;
    }
    out.line(format_args!("Remove it: {}", stage.removal()))?;
    out.flush()?;
    stage.finish();
    Ok(if told.is_complete && cost.lost == 0 { OK } else { INCOMPLETE })
}

/// What happened while tracing was on.
struct Played {
    activity: Activity,
    sensor_pid: u32,
    loadgen_pid: u32,
    /// Emits of the load generator that had returned when it was killed.
    emitted: u64,
    sources: Vec<String>,
}

fn play(stage: &Stage, seconds: u64, out: &mut Out) -> Result<Played, Failure> {
    let fail = |e: std::io::Error| stage.failure("enabling or disabling", e);
    let control = Control::open_or_create(&stage.dirs).map_err(fail)?;
    let opt_in = catalog::all().iter().filter(|s| s.opt_in).map(|s| s.name.to_owned()).collect();
    let request = EnableRequest { levels: [5; 32], opt_in, ..EnableRequest::default() };
    control.enable(&stage.dirs, &request).map_err(fail)?;
    out.line(
        "Enabled everything. Starting two components: the sensor, and one that emits the whole catalog.",
    )?;
    out.flush()?;
    let mut loadgen = Component::start("loadgen", &stage.dirs, &[])?;
    let mut sensor = Component::start("sensor", &stage.dirs, &[&stage.downloads()])?;
    wait_attached(&control, &mut [&mut sensor, &mut loadgen])?;
    std::thread::sleep(SETTLE);
    out.line(format_args!(
        "Recording for {seconds} s: running programs, opening a connection, downloading two files (one is the EICAR test)."
    ))?;
    out.flush()?;
    let activity = activity::perform(&stage.downloads(), Duration::from_secs(seconds))
        .map_err(|e| stage.failure("causing activity", e))?;
    std::thread::sleep(SETTLE);
    loadgen.kill()?;
    let emitted = loadgen.lines().last().and_then(|l| l.parse().ok()).unwrap_or(0);
    out.line(format_args!(
        "Killed {LOADGEN} (pid {}) with SIGKILL after it had emitted {} events; disabled tracing.",
        loadgen.child.id(),
        number(emitted)
    ))?;
    control.disable().map_err(fail)?;
    sensor.end()?;
    Ok(Played {
        activity,
        sensor_pid: sensor.child.id(),
        loadgen_pid: loadgen.child.id(),
        emitted,
        sources: sensor.lines(),
    })
}

fn wait_attached(control: &Control, components: &mut [&mut Component]) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let attached: BTreeSet<u32> = control.attached().iter().map(|c| c.pid).collect();
        if components.iter().all(|c| attached.contains(&c.child.id())) {
            return Ok(());
        }
        for component in components.iter_mut() {
            if let Ok(Some(status)) = component.child.try_wait() {
                return Err(Failure::new(format!(
                    "a component ended at once ({status}); its message is above"
                )));
            }
        }
        if Instant::now() > deadline || interrupt::asked() {
            return Err(Failure::new("the components did not attach"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn print_cost(cost: &Cost, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!(
        "One emit of 32 bytes: {:.1} ns; one bare clock read: {:.1} ns; clock read and copy of the same bytes: {:.1} ns",
        cost.emit, cost.clock, cost.clock_and_copy
    ))?;
    out.line(format_args!(
        "  that is {:.2} times the clock read, {:.2} times clock read and copy (medians; {} events, {} lost)",
        cost.emit / cost.clock,
        cost.emit / cost.clock_and_copy,
        number(cost.events),
        cost.lost
    ))?;
    if cfg!(debug_assertions) {
        out.line("  (a debug build: use --release for numbers that mean something)")?;
    }
    out.flush()?;
    Ok(())
}
