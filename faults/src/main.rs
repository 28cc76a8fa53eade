//! Fault tests, one subcommand each. A test does a number of tries from a seed, prints what it does, and ends with
//! one line of JSON ([`report::Report`]) that `faults ledger` adds to docs/faults.md. It fails on the first
//! violation, naming the seed and the command that repeats it.

mod random;
mod report;
#[cfg(target_arch = "x86_64")]
mod step;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "faults", about = "Fault tests of Tracewell", arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    test: Test,
}

#[derive(Subcommand)]
enum Test {
    /// Adds the report lines of a file to the ledger, docs/faults.md.
    Ledger(report::LedgerArgs),
    /// Takes a crash image after every machine instruction of a path through the engine (T-2).
    #[cfg(target_arch = "x86_64")]
    Step(step::StepArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().test {
        Test::Ledger(args) => report::ledger(&args),
        #[cfg(target_arch = "x86_64")]
        Test::Step(args) => step::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("faults: {violation}");
            ExitCode::FAILURE
        }
    }
}
