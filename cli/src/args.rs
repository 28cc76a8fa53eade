//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Traces what a product's components do, when you say so.
///
/// Tracing is off until you enable it. Everything stays on this computer.
#[derive(Debug, Parser)]
#[command(
    name = "tracewell",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  tracewell enable --level info --for 30m    record for half an hour
  tracewell status                           what is recorded, where, until when
  tracewell disable                          stop
  tracewell read                             write readable trace files
  tracewell demo                             see all of it in a few seconds"
)]
pub(crate) struct Args {
    /// Trace directory [default: $TRACEWELL_DIR, else /var/lib/tracewell for root, else the user's state directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start to record; running components follow at once
    Enable(Enable),
    /// Stop recording
    Disable,
    /// What is on, until when, who is attached, where data lies, and why nothing comes
    Status {
        /// As JSON (cli/STATUS.md)
        #[arg(long)]
        json: bool,
    },
    /// Turn a trace into readable files or JSON
    Read(Read),
    /// Run the sensor: record what happens on this machine, until Ctrl-C
    Watch(Watch),
    /// Enable, record two components, kill one, read: all in a private temporary directory
    Demo(Demo),
    /// Delete recorded sessions and what dead processes left
    Purge {
        /// Delete; without it, only say what would be deleted
        #[arg(long)]
        yes: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    DemoComponent {
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

/// What to record. What is not given comes from settings.toml, and is kept there.
#[derive(Debug, clap::Args)]
pub(crate) struct Enable {
    /// Level of all categories: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Only these categories, each with a level of its own if wanted: network=debug,download
    #[arg(long, value_name = "CATEGORY[=LEVEL]", value_delimiter = ',')]
    pub(crate) category: Vec<String>,
    /// Stop by itself after this time: 30m, 2h
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) duration: Option<String>,
    /// Most bytes on disk: 512M, 2G; the oldest segments go first
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Enable an opt-in event or field by its full name, as web.visit.path
    #[arg(long, value_name = "NAME")]
    pub(crate) opt_in: Vec<String>,
    /// Keep less of a field, as process.start.command_line=length
    #[arg(long, value_name = "FIELD=REDUCTION")]
    pub(crate) reduce: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// One object a line (reader/JSON.md)
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Read {
    /// Trace directories, sessions, segments or ring folders [default: the trace directory]
    pub(crate) paths: Vec<PathBuf>,
    /// Where to write the trace files [default: a new folder here]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Form of the output; json goes to standard output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Write to standard output instead of files
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Times in this computer's zone instead of UTC
    #[arg(long)]
    pub(crate) local: bool,
    /// Only these categories
    #[arg(long, value_delimiter = ',')]
    pub(crate) category: Vec<tracewell_schema::Category>,
    /// Only this level and more severe ones
    #[arg(long)]
    pub(crate) level: Option<tracewell_schema::Level>,
    /// Only these components
    #[arg(long)]
    pub(crate) component: Vec<String>,
    /// Only these process ids
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Only these events, by full name
    #[arg(long)]
    pub(crate) event: Vec<String>,
    /// Not before this time: 2026-11-23T17:44:36Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<jiff::Timestamp>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Folder in which downloads appear; may be given several times [default: yours]
    #[arg(long, value_name = "DIR")]
    pub(crate) downloads: Vec<PathBuf>,
    /// File with one SHA-256 a line: such downloads are detected
    #[arg(long, value_name = "FILE")]
    pub(crate) hash_list: Option<PathBuf>,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) duration: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How long to record
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Show more lines of each category
    #[arg(long, default_value_t = 1)]
    pub(crate) lines: usize,
}
