//! `demo`: the whole way in one command, in a private temporary directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tracewell::catalog::sample::{self, Visitor};
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Event, Tracer, emit};
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, Trace, write_trace_files};

use crate::args::Demo;
use crate::{Failure, Outcome, output};

/// The load generator's component: emits the whole catalog until it is killed.
pub(crate) fn load(dirs: &Dirs, seconds: u64) -> Outcome {
    struct Emit<'a>(&'a Tracer);
    impl Visitor for Emit<'_> {
        fn event<E: Event>(&mut self, event: &E) {
            if self.0.is_enabled::<E>() {
                self.0.emit(event);
            }
        }
    }
    let tracer = Tracer::builder("scanner").version("7.1").dir(dirs.base()).attach()?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let work = |first: u64| {
        let mut seed = first;
        while Instant::now() < until {
            for _ in 0..20 {
                sample::visit(seed, &mut Emit(&tracer));
                seed += 2;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    std::thread::scope(|scope| {
        let _ = std::thread::Builder::new().name("worker".into()).spawn_scoped(scope, || work(1));
        work(0);
    });
    Ok(ExitCode::SUCCESS)
}

fn child(dirs: &Dirs, arguments: &[&str]) -> Result<Child, Failure> {
    let program = std::env::current_exe()?;
    let child = Command::new(&program)
        .arg("--dir")
        .arg(dirs.base())
        .args(arguments)
        .env_remove("TRACEWELL_RING_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("the component {} cannot be started: {e}", program.display()))?;
    Ok(child)
}

/// Real things happen: programs run, a connection is made, files are downloaded, one of them the EICAR test file.
fn activity(downloads: &Path) -> Result<(), Failure> {
    for program in [["sh", "-c", "sleep 0.3; exit 3"], ["sh", "-c", "echo hello > /dev/null; sleep 0.2"]] {
        Command::new(program[0]).args(&program[1..]).stdin(Stdio::null()).status()?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (mut other, _) = listener.accept()?;
    stream.write_all(b"hello")?;
    std::thread::sleep(Duration::from_millis(500));
    other.write_all(b"bye")?;
    drop((stream, other));
    let report = downloads.join("report.pdf");
    std::fs::write(&report, b"%PDF-1.7 a small report")?;
    let test = downloads.join("eicar.com");
    std::fs::write(&test, tracewell_sensor::eicar())?;
    Ok(())
}

/// ns of one emit, and of one clock read, in turn; the median of several rounds.
fn cost(tracer: &Tracer) -> (f64, f64) {
    /// A small event, for measuring.
    #[derive(Event, Clone, Copy)]
    #[event(name = "custom.measure", category = "custom", level = "info", text = "{source} -> {destination}")]
    struct Measure {
        /// Address.
        #[field(public)]
        source: u32,
        /// Address.
        #[field(public)]
        destination: u32,
        /// Port.
        #[field(public)]
        source_port: u16,
        /// Port.
        #[field(public)]
        destination_port: u16,
        /// Protocol.
        #[field(public)]
        protocol: u8,
        /// Bytes.
        #[field(public, unit = "bytes")]
        bytes: u64,
    }
    const BURST: u32 = 2_000;
    let (mut emits, mut clocks) = (Vec::new(), Vec::new());
    for round in 0..41_u32 {
        let begun = Instant::now();
        for i in 0..BURST {
            emit!(
                tracer,
                Measure {
                    source: black_box(i),
                    destination: 7,
                    source_port: 40_000,
                    destination_port: 443,
                    protocol: 6,
                    bytes: u64::from(round),
                }
            );
        }
        emits.push(begun.elapsed().as_nanos() as f64 / f64::from(BURST));
        let begun = Instant::now();
        for _ in 0..BURST {
            black_box(tracewell::clock::ticks());
        }
        clocks.push(begun.elapsed().as_nanos() as f64 / f64::from(BURST));
        std::thread::sleep(Duration::from_millis(2));
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    (median(&mut emits), median(&mut clocks))
}

pub(crate) fn demo(args: &Demo) -> Outcome {
    let temporary = tempfile::Builder::new().prefix("tracewell-demo-").tempdir()?;
    let root = temporary.keep();
    let dirs = Dirs::resolve(Some(&root.join("trace")))?;
    let downloads = root.join("downloads");
    std::fs::create_dir(&downloads)?;
    let control = Control::open_or_create(&dirs)?;
    output::print(&format!("Everything of this demo lies in {}\n\n", output::path(&root)))?;
    output::print("1. Tracing is enabled, all categories at level debug, for at most 10 minutes.\n")?;
    let request = EnableRequest {
        levels: [4; 32],
        duration: Some(Duration::from_secs(600)),
        ..EnableRequest::default()
    };
    control.enable(&dirs, &request)?;
    output::print(
        "2. Two components start: the sensor (real events of this machine) and a scanner (the whole catalog).\n",
    )?;
    let downloads_text = downloads.to_string_lossy().into_owned();
    let mut sensor = child(&dirs, &["watch", "--downloads", &downloads_text])?;
    let mut scanner = child(&dirs, &["demo-component", "--seconds", "120"])?;
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(700));
    let measured = {
        let tracer = Tracer::builder("demo").dir(dirs.base()).attach()?;
        let _guard = tracer.guard();
        activity(&downloads)?;
        cost(&tracer)
    };
    std::thread::sleep(Duration::from_secs(args.seconds).saturating_sub(begun.elapsed()));
    output::print("3. The scanner is killed (SIGKILL) in the middle of its work.\n")?;
    scanner.kill()?;
    scanner.wait()?;
    output::print("4. Tracing is disabled; the sensor is told to end.\n")?;
    control.disable()?;
    let pid = rustix::process::Pid::from_child(&sensor);
    std::thread::sleep(Duration::from_millis(200));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    sensor.wait()?;
    report(&root, &dirs, args, measured)
}

fn report(root: &Path, dirs: &Dirs, args: &Demo, (emit, clock): (f64, f64)) -> Outcome {
    let trace = Trace::open(&[dirs.base().to_owned()], &[dirs.ring_root().to_owned()])?;
    let out = root.join("text");
    let written = write_trace_files(&trace, &out, &Filter::default(), false, |_| {})?;
    let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut renderer = TextRenderer::new(false);
    trace.read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            *counts.entry(event.schema.name.clone()).or_default() += 1;
            let category = event.schema.name.split('.').next().unwrap_or_default().to_owned();
            // The sensor's lines are real; the scanner's are made up.
            let is_real = event.process.identity.component == "sensor";
            let lines = first.entry(category).or_default();
            if lines.len() < args.lines || (is_real && !lines.iter().any(|l| l.contains(" sensor["))) {
                let mut line = String::new();
                renderer.push(&mut line, item);
                if is_real && lines.len() >= args.lines {
                    lines.pop();
                }
                lines.push(line);
            }
        }
        Ok::<(), std::io::Error>(())
    })?;
    let mut text = String::from("\nTrace files:\n");
    for file in std::iter::once(&written.all).chain(&written.files) {
        let _ = writeln!(text, "  {}", output::path(file));
    }
    text.push_str("\nFirst lines of each category:\n");
    for line in first.values().flatten() {
        let shown: String = line.trim_end().chars().take(220).collect();
        let _ =
            writeln!(text, "  {shown}{}", if line.trim_end().chars().count() > 220 { " ..." } else { "" });
    }
    text.push_str("\nEvents:\n");
    let all: Vec<_> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    for part in all.chunks(5) {
        let _ = writeln!(text, "  {}", part.join(", "));
    }
    let summary = &written.summary;
    let _ = writeln!(text, "\n{}", summary.to_text().trim_end());
    let _ = writeln!(
        text,
        "{:.1} bytes an event on disk; one emit {emit:.1} ns, one bare clock read {clock:.1} ns: {:.2} times (medians)",
        summary.bytes as f64 / summary.events.max(1) as f64,
        emit / clock.max(0.001)
    );
    output::print(&text)?;
    // What the killed process left stays readable until the user removes it.
    output::print(&format!(
        "\nRemove it all: tracewell --dir {} purge --yes; rm -r {}\n",
        output::path(dirs.base()),
        output::path(root)
    ))?;
    Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
