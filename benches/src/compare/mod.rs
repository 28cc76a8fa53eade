//! Ours, the machine's limits and every peer that is installed, in one run, as one table of ratios.
//!
//! Each figure comes from fresh processes, one after the other over the peers, so that a machine that slows down slows
//! all alike; each process measures bare `rdtsc` beside its calls. See `docs/performance.md`.

mod calls;
pub mod elsewhere;
pub mod figures;
mod filing;
pub mod goals;
pub mod lttng;
pub mod measures;
pub mod options;
mod own;
pub mod peers;
mod reading;
pub mod report;
mod sweep;

use std::path::PathBuf;

use figures::Figures;
use options::Options;
use peers::Peer;

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// Every value.
    pub figures: Figures,
    /// Who took part.
    pub peers: Vec<Peer>,
    /// What went wrong, or must be known to read the figures.
    pub notes: Vec<String>,
    /// Where the results are.
    pub files: Vec<PathBuf>,
}

/// Measures everything and writes the results.
///
/// # Errors
/// If a folder cannot be made or written to, or ours does not run.
pub fn run(options: &Options) -> Result<Outcome, String> {
    let mut bench = sweep::Bench::new(options)?;
    bench.all();
    let (figures, peers, notes) = bench.end();
    let mut outcome = Outcome { figures, peers, notes, files: Vec::new() };
    report::write(options, &mut outcome)?;
    Ok(outcome)
}

/// The program: exits with 2 if the options are wrong or the results cannot be written.
pub fn main(ours: &str) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|a| a == "--bench") {
        // `cargo test --all-targets` starts every bench too.
        println!("measures only under `cargo bench`\n{}", options::USAGE);
        return;
    }
    let done = Options::new(ours).parse(args).and_then(|options| run(&options));
    if let Err(why) = done {
        eprintln!("{why}");
        std::process::exit(2);
    }
}
