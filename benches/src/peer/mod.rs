//! What ours and the Rust peers share: one protocol, one set of records, the same loops.
//!
//! `PROGRAM MODE W OUT [THREADS SECONDS] [key=value..]` prints one line of `key=value`; `peers/wl.h` is the same in
//! C. Each process also measures bare `rdtsc` beside its calls (`tsc`), so that ratios are within one run.
//!
//! This folder is compiled into the package of the peers too (`peers/rust`), so it needs only `std` and `rustix`.

pub mod machine;
mod modes;
mod throughput;
pub mod workload;

use std::time::Instant;

use workload::{LaunchRecord, NetRecord};

pub use modes::{Timed, rdtsc_loop};

/// A tracer or logger under test.
pub trait Peer: Sync + Sized {
    /// Makes it, on a thread that is pinned to cpu 0 so that background threads inherit that.
    fn init(args: &Args) -> Self;
    /// Emits W0: a message without arguments.
    fn w0(&self);
    /// Emits W1.
    fn w1(&self, net: &NetRecord);
    /// Emits W2.
    fn w2(&self, launch: &LaunchRecord);
    /// Turns the level or event off at run time.
    fn disable(&self);
    /// Final flush: when it returns every event that was kept is in the file.
    fn finish(self, called: u64) -> Finished;
}

/// How a run ended, as far as the peer knows better than the clock after [`Peer::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// When the last event was in the file, and the CPU seconds of the process until then.
    pub reached: Option<(Instant, f64)>,
    /// Events that were refused.
    pub lost: Option<u64>,
}

/// The command line.
#[derive(Clone, Debug)]
pub struct Args {
    /// What to measure.
    pub mode: String,
    /// Which event: 0, 1 or 2.
    pub w: u8,
    /// File or folder to write to.
    pub out: String,
    /// Producers.
    pub threads: usize,
    /// Length of a run.
    pub secs: f64,
    options: Vec<(String, String)>,
}

impl Args {
    /// Those of this process; `None` if they are not understood.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let all: Vec<String> = std::env::args().skip(1).collect();
        let (options, plain): (Vec<_>, Vec<_>) =
            all.iter().partition(|a| a.contains('=') && !a.contains('/'));
        let (pairs, paths): (Vec<_>, Vec<_>) = plain.into_iter().partition(|a| a.contains('='));
        let options = options.into_iter().chain(pairs);
        let options = options.filter_map(|a| a.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
        let [mode, w, out, rest @ ..] = paths.as_slice() else { return None };
        Some(Self {
            mode: (*mode).clone(),
            w: w.parse().ok()?,
            out: (*out).clone(),
            threads: rest.first().map_or(Some(1), |t| t.parse().ok())?,
            secs: rest.get(1).map_or(Some(2.0), |t| t.parse().ok())?,
            options: options.collect(),
        })
    }

    /// The value of an option.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The value of an option as a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok()
    }
}

/// Runs one mode of a peer: `batch`, `off`, `tail`, `paced`, `tput`. False if there is no such mode.
pub fn measure<P: Peer>(args: &Args) -> bool {
    match args.mode.as_str() {
        "batch" | "off" | "tail" | "paced" => modes::single::<P>(args),
        "tput" => throughput::run::<P>(args),
        _ => return false,
    }
    true
}

/// The whole program of a peer that has no other modes.
pub fn main<P: Peer>() {
    if !Args::from_env().is_some_and(|args| measure::<P>(&args)) {
        eprintln!("usage: batch|off|tail|paced|tput W OUT [THREADS SECONDS] [key=value..]");
        std::process::exit(2);
    }
}
