//! `completions`: scripts for shells.

use clap::{Command, CommandFactory};

use crate::OK;
use crate::args::Args;
use crate::output::{Failure, Out};

/// `tracewell completions SHELL`.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<u8, Failure> {
    clap_complete::generate(shell, &mut visible(), "tracewell", out);
    Ok(OK)
}

/// The command without what is hidden: a completion script would offer that too.
fn visible() -> Command {
    let all = Args::command();
    let shown = all.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect::<Vec<_>>();
    let about = all.get_about().cloned().unwrap_or_default();
    Command::new("tracewell")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about(about)
        .args(all.get_arguments().filter(|a| !a.is_hide_set()).cloned())
        .subcommands(shown)
}
