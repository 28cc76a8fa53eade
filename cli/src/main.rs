//! The `tracewell` command: switches tracing on and off, says what is recorded and where, reads traces.
//!
//! Exit codes: 0 done; 2 an error, said on stderr; 3 the trace was read, but something in it is lost or damaged.
#![deny(unsafe_code)]

mod activity;
mod args;
mod audit;
mod audit_file;
mod bundle;
mod collect;
mod completions;
mod coverage;
mod crash_watch;
mod demo;
mod demo_component;
mod disable;
mod dump;
mod elsewhere;
mod enable;
mod expiry;
mod explain;
mod interrupt;
mod keep;
mod made;
mod measure;
mod names;
mod os;
mod output;
mod place;
mod progress;
mod purge;
mod read;
mod request;
mod rings;
mod segments;
mod session_end;
mod status;
mod status_text;
mod tally;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use output::{Failure, Out};

/// Everything was done.
const OK: u8 = 0;
/// It could not be done.
const ERROR: u8 = 2;
/// The trace was read, but it is not complete.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = Out::new();
    let done = run(args, &mut out);
    let code = match done.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        // Whoever reads our output has seen enough: `tracewell read --stdout | head` is no error.
        Err(Failure::Pipe) => OK,
        Err(Failure::Message(lines)) => {
            output::complain(&lines);
            ERROR
        }
    };
    ExitCode::from(code)
}

/// Whether a command touches the trace directory, so that what has expired in it goes: after the command, which may be the last
/// that shows it. The others have nothing to do with it, or do it themselves.
fn touches(command: &Command) -> bool {
    match command {
        Command::Read(read) => read.paths.is_empty(),
        Command::Collect(collect) => collect.what.is_none(),
        Command::Demo(_) | Command::Purge(_) | Command::Completions { .. } => false,
        Command::DemoComponent(_) | Command::CrashWatch(_) => false,
        _ => true,
    }
}

fn run(args: Args, out: &mut Out) -> Result<u8, Failure> {
    let place = touches(&args.command).then(|| place::Place::resolve(args.dir.as_deref()));
    let code = run_command(args, out)?;
    if let Some(Ok(place)) = place {
        out.flush()?;
        expiry::quietly(&place);
    }
    Ok(code)
}

fn run_command(args: Args, out: &mut Out) -> Result<u8, Failure> {
    let dir = args.dir.as_deref();
    match args.command {
        Command::Enable(enable) => enable::enable(dir, &enable, out),
        Command::Disable => disable::disable(dir, out),
        Command::Status(status) => status::status(dir, &status, out),
        Command::Read(read) => read::read(dir, &read, out),
        Command::Watch(watch) => watch::watch(dir, &watch, out),
        Command::Demo(_) if dir.is_some() => Err(Failure::new(
            "the demo works in a private temporary directory of its own; leave out --dir (TMPDIR says where it is made)",
        )),
        Command::Demo(demo) => demo::demo(&demo, out),
        Command::Dump(args) => dump::dump(dir, &args, out),
        Command::CrashWatch(args) => crash_watch::run(dir, &args),
        Command::Bundle(bundle) => bundle::bundle(dir, &bundle, out),
        Command::Collect(collect) => collect::collect(dir, &collect, out),
        Command::Audit { json } => audit_file::show(dir, json, out),
        Command::Request(args) => request::request(dir, &args, out),
        Command::Keep(keep) => keep::keep(dir, &keep, out),
        Command::Purge(purge) => purge::purge(dir, &purge, out),
        Command::Completions { shell } => completions::completions(shell, out),
        Command::DemoComponent(component) => demo_component::run(dir, &component, out),
    }
}
