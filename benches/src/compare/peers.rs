//! Who takes part, and how each is built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::options::Options;
use crate::child::Runner;

/// How a peer's files are counted and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Segments.
    Ours,
    /// CTF, through a session that is made around the run.
    Lttng,
    /// Lines.
    Text,
}

/// Whether it can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Ready,
    /// Not asked for.
    Unwanted,
    /// It is not there, or cannot be built; for the table.
    Missing(String),
}

/// A tracer or logger.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Name in the JSON.
    pub name: &'static str,
    /// How it is set up, for the table.
    pub settings: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// The program.
    pub program: PathBuf,
    /// More arguments and environment.
    pub args: &'static [&'static str],
    /// Most producers.
    pub threads: usize,
    /// It is a variant that differs only in the runs to the file.
    pub file_only: bool,
    /// Whether it can run.
    pub state: State,
}

const LTTNG_NEEDS: &str = "apt-get install gcc lttng-tools liblttng-ust-dev babeltrace2";
const SPDLOG_NEEDS: &str = "apt-get install g++ libspdlog-dev";

/// The Rust peers: name, program, settings, most producers.
const RUST: [(&str, &str, &str, usize); 6] = [
    ("spdlog-rs", "spdlog_rs", "AsyncPoolSink of 131,072 over FileSink; blocks when full", 2),
    ("fast_log", "fast_log", "channel of 100,000; blocks when full", 2),
    ("ftlog", "ftlog", "channel of 100,000, buffered file; blocks when full", 2),
    ("quicklog", "quicklog", "queue of 1,000,000, buffered file; drops when full; one producer only", 1),
    (
        "tracing-text",
        "tracing_text",
        "fmt over tracing-appender's non_blocking, 128,000 lines; blocks when full",
        2,
    ),
    ("tracing-json", "tracing_json", "the same, JSON", 2),
];

impl Peer {
    fn new(name: &'static str, settings: &'static str, kind: Kind, program: PathBuf) -> Self {
        Self { name, settings, kind, program, args: &[], threads: 2, file_only: false, state: State::Ready }
    }

    /// Whether it can run.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The folder of the build that this program is of, for what is built beside it.
#[must_use]
pub fn target(ours: &Path) -> PathBuf {
    ours.parent().and_then(Path::parent).unwrap_or(Path::new("target")).to_owned()
}

/// All peers, those that are asked for built.
#[must_use]
pub fn all(options: &Options, runner: &Runner) -> Vec<Peer> {
    let built = target(&options.ours).join("peers");
    let _ = std::fs::create_dir_all(&built);
    let mut peers = Vec::new();

    let ours = Peer::new("ours", "default settings; never waits", Kind::Ours, options.ours.clone());
    let mut waits = Peer { name: "ours-wait", args: &["wait=1"], file_only: true, ..ours.clone() };
    waits.settings =
        "the same, with when_full(WhenFull::Wait): a full ring makes the producer wait instead of losing";
    peers.extend([ours, waits]);

    let lttng = built.join("lttng_peer");
    let plain =
        Peer::new("lttng", "user space, 8 sub-buffers of 4 MiB; discards when full", Kind::Lttng, lttng);
    let mut block = Peer { name: "lttng-block", file_only: true, ..plain.clone() };
    block.settings = "the same, --blocking-timeout=inf";
    peers.extend([plain, block]);

    let settings = "async, one thread, queue of 131,072, basic file sink; blocks when full";
    peers.push(Peer::new("spdlog", settings, Kind::Text, built.join("spdlog_peer")));
    for (name, program, settings, threads) in RUST {
        let program = built.join("release").join(program);
        peers.push(Peer { threads, ..Peer::new(name, settings, Kind::Text, program) });
    }
    for peer in &mut peers {
        if !options.wants(peer.name) {
            peer.state = State::Unwanted;
        }
    }
    build(options, runner, &built, &mut peers);
    peers
}

/// Builds what is asked for; what cannot be built says why.
fn build(options: &Options, runner: &Runner, built: &Path, peers: &mut [Peer]) {
    let wanted = |peers: &[Peer], is: fn(&Peer) -> bool| peers.iter().any(|p| p.is_ready() && is(p));
    let fail = |peers: &mut [Peer], is: fn(&Peer) -> bool, why: &str| {
        for peer in peers.iter_mut().filter(|p| p.is_ready() && is(p)) {
            peer.state = State::Missing(why.to_owned());
        }
    };
    let is_lttng: fn(&Peer) -> bool = |p| p.kind == Kind::Lttng;
    let is_spdlog: fn(&Peer) -> bool = |p| p.name == "spdlog";
    let is_rust: fn(&Peer) -> bool = |p| p.kind == Kind::Text && p.name != "spdlog";

    if wanted(peers, is_lttng) {
        if ["lttng", "lttng-sessiond", "babeltrace2"].iter().any(|tool| !is_on_path(tool)) {
            fail(peers, is_lttng, &format!("not installed: {LTTNG_NEEDS}"));
        } else if let Err(why) = compile_lttng(options, runner, built) {
            fail(peers, is_lttng, &explain(&why, LTTNG_NEEDS));
        }
    }
    if wanted(peers, is_spdlog)
        && let Err(why) = compile_spdlog(options, runner, built)
    {
        fail(peers, is_spdlog, &explain(&why, SPDLOG_NEEDS));
    }
    if wanted(peers, is_rust) && !options.no_build {
        println!("building the Rust peers");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(sources().join("rust/Cargo.toml"));
        cargo.arg("--target-dir").arg(built);
        if let Err(why) = runner.run(&mut cargo, Duration::from_secs(1800)) {
            fail(peers, is_rust, &format!("not built: {}", last_line(&why)));
        }
    }
    for peer in peers.iter_mut().filter(|p| p.is_ready() && !p.program.exists()) {
        peer.state = State::Missing("not built".into());
    }
}

fn compile_lttng(options: &Options, runner: &Runner, built: &Path) -> Result<(), String> {
    let mut cc = Command::new("cc");
    cc.args(["-O3", "-I.", "lttng_peer.c", "-llttng-ust", "-ldl", "-lpthread", "-o"]);
    compile(options, runner, cc, &built.join("lttng_peer"))
}

fn compile_spdlog(options: &Options, runner: &Runner, built: &Path) -> Result<(), String> {
    let mut cxx = Command::new("c++");
    cxx.args(["-O3", "-DNDEBUG", "-std=c++17", "-DSPDLOG_COMPILED_LIB", "-DSPDLOG_FMT_EXTERNAL"]);
    cxx.args(["spdlog_peer.cpp", "-lspdlog", "-lfmt", "-lpthread", "-o"]);
    compile(options, runner, cxx, &built.join("spdlog_peer"))
}

fn compile(options: &Options, runner: &Runner, mut compiler: Command, to: &Path) -> Result<(), String> {
    if options.no_build {
        return Ok(());
    }
    compiler.arg(to).current_dir(sources());
    runner.run(&mut compiler, Duration::from_secs(300)).map(drop)
}

/// What a compiler's failure means to the user.
fn explain(why: &str, needs: &str) -> String {
    let is_missing =
        ["No such file or directory", "cannot find -l", "os error 2"].iter().any(|m| why.contains(m));
    if is_missing { format!("not installed: {needs}") } else { format!("not built: {}", last_line(why)) }
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or(text)
}

fn is_on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// The command of the reader, built unless it is not to be; `None` if there is none.
#[must_use]
pub fn reader(options: &Options, runner: &Runner) -> Option<PathBuf> {
    let folder = options.ours.parent()?;
    if !options.no_build && !cfg!(debug_assertions) {
        println!("building the command tracewell");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--release", "-p", "tracewell-cli", "--bin", "tracewell", "--manifest-path"]);
        cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
        cargo.arg("--target-dir").arg(target(&options.ours));
        if let Err(why) = runner.run(&mut cargo, Duration::from_secs(1800)) {
            println!("{}: the library renders instead", last_line(&why));
        }
    }
    Some(folder.join("tracewell")).filter(|p| !options.no_build && p.exists())
}
