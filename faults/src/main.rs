//! Fault tests, one subcommand each. A test does a number of tries from a seed, prints what it does, and ends with
//! one line of JSON ([`report::Report`]) that `faults ledger` adds to docs/faults.md. It fails on the first
//! violation, naming the seed and the command that repeats it.

mod component;
mod oracle;
mod random;
mod report;
mod soak;
mod threads;

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
    /// Long load, with rotation, retention, churn, switches and kills; then all of it is verified.
    Soak(soak::SoakArgs),
    /// Signals, allocators, forks, thread ends, exec, rights, crowds of threads.
    Threads(threads::ThreadsArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().test {
        Test::Ledger(args) => report::ledger(&args),
        Test::Soak(args) => soak::run(&args),
        Test::Threads(args) => threads::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("faults: {violation}");
            ExitCode::FAILURE
        }
    }
}
