//! Arguments of `dump`.

use std::path::PathBuf;

use clap::ValueHint;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A minidump has the threads with their registers and stacks, and the names of the libraries; --full has everything the
process keeps in memory: anything that it works on can be in it. Rings, memory that is locked or marked not to be dumped,
and the environment are in neither. The process stops for a moment (it is said how long) and runs on.

Without -o it lies in the folder `dumps` of the trace directory, which only this user can read. Nothing is sent.

Examples:
  tracewell dump --list
  tracewell dump --component scanner
  tracewell dump --pid 4711 --full -o scanner.core")]
#[group(id = "what", required = true, multiple = true, args = ["component", "pid", "list", "show"])]
pub(crate) struct Dump {
    /// Of this component
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,
    /// Of this process
    #[arg(long, value_name = "P")]
    pub(crate) pid: Option<u32>,
    /// The whole memory, as an ELF core for a debugger
    #[arg(long)]
    pub(crate) full: bool,
    /// Write to this file, which must not exist
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// List the dumps on this computer, those of crashes too
    #[arg(long, conflicts_with_all = ["component", "pid", "full", "output", "show"])]
    pub(crate) list: bool,
    /// Show what is in a dump: one of the list, or a file
    #[arg(long, value_name = "DUMP", conflicts_with_all = ["component", "pid", "full", "output"])]
    pub(crate) show: Option<String>,
}
