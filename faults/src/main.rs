//! Fault tests, one subcommand each. A test does a number of tries from a seed, prints what it does, and ends with
//! one line of JSON ([`report::Report`]) that `faults ledger` adds to docs/faults.md. It fails on the first
//! violation, naming the seed and the command that repeats it.

mod calls;
mod child;
mod duel;
mod golden;
mod kill;
mod oracle;
mod random;
mod report;
mod stage;
mod trap;

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
    /// Kills processes before and after each of their system calls (T-3).
    Calls(calls::CallsArgs),
    /// Lets processes work in the same place, one system call at a time (T-13).
    Duel(duel::DuelArgs),
    /// Kills processes at random moments and reads what they leave (T-1).
    Kill(kill::KillArgs),
    /// Adds the report lines of a file to the ledger, docs/faults.md.
    Ledger(report::LedgerArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().test {
        Test::Calls(args) => calls::run(&args),
        Test::Duel(args) => duel::run(&args),
        Test::Kill(args) => kill::run(&args),
        Test::Ledger(args) => report::ledger(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("faults: {violation}");
            ExitCode::FAILURE
        }
    }
}
