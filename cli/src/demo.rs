//! `demo`: the whole path in one command, on real activity, in a private temporary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracewell::catalog;
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, Summary, Trace, write_trace_files};
use tracewell_schema::Value;

use crate::activity::{self, Activity};
use crate::demo_component::{LOADGEN, most_of_a_round};
use crate::measure::{self, Cost};
use crate::output::{Failure, Out, note, number, safe, size};
use crate::{INCOMPLETE, OK, args, interrupt, segments};

/// How long a child may take to attach, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// What polling sources need to have their first look, and their last.
const SETTLE: Duration = Duration::from_millis(400);
/// Longest line of a trace that is shown, in characters.
const WIDTH: usize = 200;

/// `tracewell demo`.
pub(crate) fn demo(args: &args::Demo, out: &mut Out) -> Result<u8, Failure> {
    interrupt::catch().map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let stage = Stage::new(args.keep)?;
    out.line(format_args!("A private directory for this demonstration: {}", safe(&stage.folder)))?;
    out.flush()?;
    let cost = measure::measure(&stage.measure_dir()).map_err(|e| Failure::new(format!("measuring: {e}")))?;
    let played = play(&stage, args.seconds, out)?;
    if interrupt::asked() {
        return Err(Failure::new("interrupted; everything of the demonstration is deleted"));
    }
    let told = show(&stage, &played, out)?;
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
    out.flush()?;
    stage.finish();
    Ok(if told.is_complete && cost.lost == 0 { OK } else { INCOMPLETE })
}

/// The directories of the demo; deleted when dropped, but for what the user is to see.
struct Stage {
    folder: PathBuf,
    dirs: Dirs,
    keep: bool,
    finished: bool,
}

impl Stage {
    fn new(keep: bool) -> Result<Self, Failure> {
        let temp = std::env::temp_dir();
        let fail = |e: std::io::Error| {
            Failure::new(format!(
                "no directory can be made in {}: {e}; set TMPDIR to one that can be written",
                temp.display()
            ))
        };
        let folder = tempfile::Builder::new().prefix("tracewell-demo-").tempdir().map_err(fail)?.keep();
        let dirs = Dirs::resolve(Some(&folder.join("data"))).map_err(|e| Failure::new(e.to_string()))?;
        let stage = Self { folder, dirs, keep, finished: false };
        DirBuilder::new().mode(0o700).create(stage.downloads()).map_err(fail)?;
        Ok(stage)
    }

    fn downloads(&self) -> PathBuf {
        self.folder.join("downloads")
    }

    fn measure_dir(&self) -> PathBuf {
        self.folder.join("measure")
    }

    fn trace_dir(&self) -> PathBuf {
        self.folder.join("trace")
    }

    /// The trace files stay.
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // All of these are ours: below a folder with a random name that only this user can enter, and ring folders
        // whose name is made of it. Nothing is reached through a link.
        let measure = Dirs::resolve(Some(&self.measure_dir()));
        if let Ok(dirs) = measure {
            let _ = std::fs::remove_dir_all(dirs.ring_root());
        }
        let _ = std::fs::remove_dir_all(self.measure_dir());
        if self.finished && self.keep {
            return;
        }
        let _ = std::fs::remove_dir_all(self.dirs.ring_root());
        if self.finished {
            let _ = std::fs::remove_dir_all(self.dirs.base());
            let _ = std::fs::remove_dir_all(self.downloads());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A child; killed when dropped.
struct Component {
    child: Child,
    lines: Option<JoinHandle<Vec<String>>>,
}

impl Component {
    fn start(role: &str, dirs: &Dirs, more: &[&Path]) -> Result<Self, Failure> {
        let fail = |e| Failure::new(format!("the component {role} cannot be started: {e}"));
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        command.arg("--dir").arg(dirs.base()).args(["demo-component", role]);
        if let Some(downloads) = more.first() {
            command.arg("--downloads").arg(downloads);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fail)?;
        let lines = child.stdout.take().map(|stdout| std::thread::spawn(move || collect(stdout)));
        Ok(Self { child, lines })
    }

    /// What it printed, once it has ended.
    fn lines(&mut self) -> Vec<String> {
        self.lines.take().and_then(|l| l.join().ok()).unwrap_or_default()
    }

    /// Ends it as a component ends: cleanly.
    fn end(&mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(e) => return Err(Failure::new(format!("waiting for a component: {e}"))),
            }
        }
        // What it has emitted is in its rings: the trace has it all the same.
        note("the sensor is still busy and is killed too");
        self.kill()
    }

    /// SIGKILL: it cannot do anything about it.
    fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|e| Failure::new(format!("a component cannot be killed: {e}")))
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole lines only: a killed process may leave part of one.
fn collect(stdout: ChildStdout) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n != 0) {
        if line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
        }
        line.clear();
    }
    lines
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
    let fail = |e: std::io::Error| Failure::new(format!("{}: {e}", stage.dirs.base().display()));
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
        .map_err(|e| Failure::new(format!("causing activity: {e}")))?;
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

/// What the trace told.
struct Told {
    files: Vec<PathBuf>,
    is_complete: bool,
}

/// What one reading of the trace collects.
#[derive(Default)]
struct Collected {
    /// By category: number of events, the first line, and the sensor's first line.
    categories: BTreeMap<u8, (u64, String, String)>,
    events: BTreeMap<String, u64>,
    of_process: BTreeMap<u32, u64>,
    seen: Seen,
}

/// What of the real activity was found.
#[derive(Default)]
struct Seen {
    program: bool,
    connection: bool,
    download: bool,
    origin: bool,
    detection: bool,
}

fn show(stage: &Stage, played: &Played, out: &mut Out) -> Result<Told, Failure> {
    let fail = |e: tracewell_reader::ReadError| Failure::new(e.to_string());
    let base = stage.dirs.base().to_owned();
    let trace = Trace::open(&[base], &[stage.dirs.ring_root().to_owned()]).map_err(fail)?;
    let filter = Filter::default();
    let written = write_trace_files(&trace, &stage.trace_dir(), &filter, false, |_| {}).map_err(fail)?;
    let mut collected = Collected::default();
    let mut renderer = TextRenderer::new(false);
    trace.read(&filter, |item| {
        collect_item(item, &mut renderer, &mut collected, played);
        Ok::<(), Failure>(())
    })?;
    print_categories(&collected, out)?;
    let sources = played.sources.iter().filter(|l| *l != "ready");
    print_seen(&collected.seen, played, sources, out)?;
    let kept = print_counts(stage, &written.summary, &collected, played, out)?;
    let files = std::iter::once(written.all).chain(written.files).collect();
    Ok(Told { files, is_complete: written.summary.is_complete() && kept })
}

fn collect_item(item: &Item<'_>, renderer: &mut TextRenderer, collected: &mut Collected, played: &Played) {
    let Item::Event(event) = item else { return };
    let entry = collected.categories.entry(event.schema.category).or_default();
    entry.0 += 1;
    let pid = event.process.identity.pid;
    let first = if pid == played.sensor_pid { &mut entry.2 } else { &mut entry.1 };
    if first.is_empty() {
        renderer.push(first, item);
    }
    match collected.events.get_mut(&event.schema.name) {
        Some(count) => *count += 1,
        None => drop(collected.events.insert(event.schema.name.clone(), 1)),
    }
    *collected.of_process.entry(pid).or_default() += 1;
    if pid != played.sensor_pid {
        return;
    }
    let text = |field: &str, wanted: &str| {
        event.values.iter().flatten().any(|f| match f.value {
            Value::Str(text) => f.schema.name == field && text.bytes == wanted.as_bytes(),
            _ => false,
        })
    };
    let port = |wanted: u16| {
        event.values.iter().flatten().any(|f| match f.value {
            Value::Socket(socket) => socket.port() == wanted,
            Value::U(n) => n == u64::from(wanted) && f.schema.name.contains("port"),
            _ => false,
        })
    };
    let seen = &mut collected.seen;
    match event.schema.name.as_str() {
        "process.start" => seen.program |= text("command_line", &played.activity.program),
        "network.connection" => seen.connection |= port(played.activity.port),
        "download.finished" => {
            seen.download |= text("file_name", "report.pdf");
            seen.origin |= event.values.iter().flatten().any(|f| {
                f.schema.name == "url"
                    && matches!(f.value, Value::Str(t) if t.bytes.starts_with(b"https://downloads"))
            });
        }
        "detection.object" => seen.detection = true,
        _ => {}
    }
}

fn print_categories(collected: &Collected, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    out.line("The first lines of each category, what the sensor saw first:")?;
    for (category, (count, other, real)) in &collected.categories {
        let name = tracewell::Category::from_u8(*category).map_or("later", tracewell::Category::name);
        out.line(format_args!("  {name} ({} events)", number(*count)))?;
        for line in [real.trim_end(), other.trim_end()].into_iter().filter(|l| !l.is_empty()) {
            let cut: String = line.chars().take(WIDTH).collect();
            let more = if cut.len() < line.len() { "\u{2026}" } else { "" };
            out.line(format_args!("    {cut}{more}"))?;
        }
    }
    Ok(())
}

fn print_seen<'a>(
    seen: &Seen,
    played: &Played,
    sources: impl Iterator<Item = &'a String>,
    out: &mut Out,
) -> Result<(), Failure> {
    let origin = match (&played.activity.no_origin, seen.origin) {
        (_, true) => " with the URL that it came from",
        (Some(_), _) => " (this file system keeps no origin)",
        (None, _) => " (without the URL that it came from)",
    };
    out.line("")?;
    out.line("Real activity that the sensor recorded:")?;
    let (port, programs) = (played.activity.port, played.activity.programs);
    for (is_seen, what) in [
        (seen.program, format!("the launch of `{}` ({programs} programs were run)", played.activity.program)),
        (seen.connection, format!("the connection to 127.0.0.1:{port}")),
        (seen.download, format!("the download of report.pdf{origin}")),
        (seen.detection, "the EICAR test file, as a detection".to_owned()),
    ] {
        out.line(format_args!("  {} {what}", if is_seen { "yes" } else { "NO " }))?;
    }
    for source in sources {
        out.line(format_args!("  source of {}", safe(source)))?;
    }
    Ok(())
}

/// False if events are missing that should be there.
fn print_counts(
    stage: &Stage,
    summary: &Summary,
    collected: &Collected,
    played: &Played,
    out: &mut Out,
) -> Result<bool, Failure> {
    let found = collected.of_process.get(&played.loadgen_pid).copied().unwrap_or(0);
    let names = catalog::all();
    let kinds = names.iter().filter(|s| collected.events.contains_key(s.name)).count();
    let (mut events, mut bytes, mut files) = (0, 0, 0);
    for path in segments::below(&[stage.dirs.base().to_owned()]) {
        if let Some(facts) = segments::facts(&path) {
            events += facts.events;
            bytes += facts.used;
            files += 1;
        }
    }
    out.line("")?;
    out.line(format_args!(
        "Events: {}, {} of {} types of the catalog, {} from the killed component (it had emitted {})",
        number(summary.events),
        kinds,
        names.len(),
        number(found),
        number(played.emitted)
    ))?;
    let lost = if summary.is_complete() {
        "none".to_owned()
    } else {
        number(summary.lost_total() + summary.missing)
    };
    out.line(format_args!("Lost: {lost}; the numbers of {} threads add up", summary.law_checked))?;
    if !summary.is_complete() {
        out.flush()?;
        summary.to_text().lines().for_each(note);
    }
    out.line(format_args!(
        "On disk: {:.1} bytes per event ({} events in {files} segments, {}); {} more were salvaged from memory",
        bytes as f64 / (events.max(1)) as f64,
        number(events),
        size(bytes),
        number(summary.events.saturating_sub(events))
    ))?;
    let kept = found >= played.emitted && found <= played.emitted + most_of_a_round();
    if !kept {
        note(&format!("{LOADGEN} emitted {} events, the trace has {found} of it", played.emitted));
    }
    if kinds != names.len() {
        let missing: Vec<_> =
            names.iter().filter(|s| !collected.events.contains_key(s.name)).map(|s| s.name).collect();
        note(&format!("not in the trace: {}", missing.join(", ")));
    }
    Ok(kept && kinds == names.len())
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
