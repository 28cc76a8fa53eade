//! The `tracewell` command: arguments to a library call to an exit code.
//!
//! Exit codes: 0 done; 2 an error (what, where, what to do, on stderr); 3 a trace was read but something was lost or
//! damaged.

mod args;
mod demo;
mod enable;
mod output;
mod purge;
mod read;
mod signal;
mod status;
mod watch;

use std::process::ExitCode;

use args::{Args, Command};
use clap::{CommandFactory, Parser};

/// Something that ends a command: a sentence for the user.
type Failure = Box<dyn std::error::Error>;
/// How a command ended in order.
type Outcome = Result<ExitCode, Failure>;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracewell: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Outcome {
    let dirs = || tracewell::dirs::Dirs::resolve(args.dir.as_deref());
    match &args.command {
        Command::Enable(enable) => enable::enable(&dirs()?, enable),
        Command::Disable => enable::disable(&dirs()?),
        Command::Status { json } => status::status(&dirs()?, *json),
        Command::Read(read) => read::read(&dirs()?, read),
        Command::Watch(watch) => watch::watch(&dirs()?, watch),
        Command::Demo(demo) => demo::demo(demo),
        Command::Purge { yes } => purge::purge(&dirs()?, *yes),
        Command::Completions { shell } => {
            let mut command = Args::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "tracewell", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::DemoComponent { seconds } => demo::load(&dirs()?, *seconds),
    }
}
