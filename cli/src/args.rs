//! Arguments and help.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use tracewell::settings::{parse_duration, parse_size};
use tracewell::{Category, Level};
use tracewell_bundle::os::{self, Group};
use tracewell_schema::Reduction;

/// Records what the components of a product do, when the user asks for it, and shows it.
///
/// Tracing is off until `tracewell enable`. What is recorded stays on this computer, in a directory that only this
/// user can read; `tracewell status` lists every place.
#[derive(Debug, Parser)]
#[command(name = "tracewell", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Args {
    /// Trace directory [default: $TRACEWELL_DIR, else /var/lib/tracewell for root, else $XDG_STATE_HOME/tracewell or
    /// ~/.local/state/tracewell]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tracewell demo                          see everything at work, in a few seconds
  tracewell enable --for 30m --level debug
                                          record for half an hour, connections and modules too
  tracewell watch                         record what this computer does (in another terminal)
  tracewell status                        what is on, who records, where it lies
  tracewell disable
  tracewell read                          write readable trace files
  tracewell collect --once                save what killed processes left in memory

Environment:
  TRACEWELL_DIR       trace directory, if --dir is not given
  TRACEWELL_RING_DIR  directory on a tmpfs for the memory of running components; without it /run for root,
                      else $XDG_RUNTIME_DIR, else /dev/shm. Components write down where theirs is, so that
                      commands find it whatever their own environment says

Exit codes: 0 done; 2 an error; 3 events are lost or damaged.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Switch tracing on; running components begin to record at once
    Enable(Enable),
    /// Switch tracing off
    #[command(
        after_help = "What was recorded stays; `tracewell read` shows it, `tracewell purge` deletes it."
    )]
    Disable,
    /// Say what is on, who records, where data lies, and why a component delivers nothing
    Status(Status),
    /// Turn what was recorded into readable trace files, or JSON
    Read(Read),
    /// Record what this computer does: launches, modules, connections, downloads
    Watch(Watch),
    /// Show the whole path on real activity, in a private temporary directory
    Demo(Demo),
    /// Show the record of what was done: switched on and off, prepared, seen, agreed to, sent, deleted
    Audit {
        /// For programs: one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show or accept what support asks for
    Request(crate::request::RequestArgs),
    /// Prepare what support asked for, look at it, seal it, and send it if you agree
    Bundle(crate::bundle::args::Bundle),
    /// Dump the memory of a component, for support; list the dumps, also those that crashes left
    Dump(crate::dump::args::Dump),
    /// Save what processes that were killed left in memory; `collect os` shows what support asks of this computer
    Collect(Collect),
    /// Delete what was recorded
    Purge(Purge),
    /// Keep a session or a dump, so that it is not deleted after seven days
    Keep(Keep),
    /// Print a completion script
    #[command(
        after_help = "Example:\n  tracewell completions bash > ~/.local/share/bash-completion/completions/tracewell"
    )]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    CrashWatch(crate::crash_watch::CrashWatch),
    #[command(hide = true)]
    DemoComponent(DemoComponent),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is given is kept in settings.toml of the trace directory and is the default of the next `enable`.

Examples:
  tracewell enable                                   as last time; at first everything at level info
  tracewell enable --for 30m --level debug           everything but the finest detail, for half an hour
  tracewell enable --category network=debug,process  these two and nothing else
  tracewell enable --category all,network=trace      everything, and the network in all detail
  tracewell enable --opt-in web.login --opt-in message.mail.subject
  tracewell enable --reduce network.connection.remote=keyed")]
pub(crate) struct Enable {
    /// Least severe level to record: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = LevelParser)]
    pub(crate) level: Option<Level>,
    /// Record only these categories, each at its own level if one is given; `all` names every category
    #[arg(long = "category", value_name = "NAME[=LEVEL],..", value_delimiter = ',', value_parser = CategoryLevelParser)]
    pub(crate) categories: Vec<CategoryLevel>,
    /// End by itself after this time, as 90s, 30m, 2h, 7d; `forever` lasts until `tracewell disable`
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, value_hint = ValueHint::Other)]
    pub(crate) duration: Option<Lasting>,
    /// Keep at most so much on the disk, as 512M or 2G; the oldest goes first
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<String>,
    /// Also record this event or field, which is off otherwise; `none` forgets those of last time
    #[arg(long, value_name = "NAME")]
    pub(crate) opt_in: Vec<String>,
    /// Keep less of a field than its component would: prefix(N), host_only, keyed, length or drop; `none` forgets
    /// those of last time
    #[arg(long, value_name = "FIELD=REDUCTION", value_parser = reduction)]
    pub(crate) reduce: Vec<Reduce>,
    /// Keep this session: it is not deleted seven days after tracing ended (`tracewell keep --undo` takes that back)
    #[arg(long)]
    pub(crate) keep: bool,
    /// Forget the settings of last time
    #[arg(long)]
    pub(crate) defaults: bool,
}

/// A category and its level, if it has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CategoryLevel {
    /// `None`: all.
    pub(crate) category: Option<Category>,
    /// `Some(None)`: off.
    pub(crate) level: Option<Option<Level>>,
}

/// How long an `enable` lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    Forever,
    /// As the settings keep it.
    Text(String),
}

/// A field and how little of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reduce {
    None,
    Field(String, Reduction),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tracewell status\n  tracewell status scanner       why does it deliver nothing?\n  \
tracewell status --json        for programs; cli/STATUS.md is the contract"
)]
pub(crate) struct Status {
    /// Explain these components, also if they are not attached
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Form of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// One object a line; reader/JSON.md is the contract
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Text is written into files, one for each process and all.trace.log with everything; JSON goes to standard output unless
--out is given. A summary is written to standard error.

Examples:
  tracewell read                                  everything of the trace directory
  tracewell read --last --out ~/last-trace        the newest session
  tracewell read --stdout --category network --since 10m | less
  tracewell read --format json | jq -r 'select(.event == \"process.start\") | .fields.image_path'

Exit codes: 0 complete; 2 an error; 3 something is lost or damaged (the summary says what).")]
pub(crate) struct Read {
    /// Trace directories, sessions, segments or ring folders [default: the trace directory]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Only the newest session of the trace directory
    #[arg(long, conflicts_with = "paths")]
    pub(crate) last: bool,
    /// Folder for the trace files [default: ./tracewell-trace-TIME]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "stdout")]
    pub(crate) out: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Everything, merged by time, to standard output; no files
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Times of this computer's zone instead of UTC (text only)
    #[arg(long)]
    pub(crate) local: bool,
    /// Only these categories
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = CategoryParser)]
    pub(crate) category: Vec<Category>,
    /// Only this level and more severe ones
    #[arg(long, value_name = "LEVEL", value_parser = LevelParser)]
    pub(crate) level: Option<Level>,
    /// Only these components
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) component: Vec<String>,
    /// Only these processes
    #[arg(long, value_name = "PID,..", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Only these events, by full name
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) event: Vec<String>,
    /// Not before: a time in UTC (2026-11-23T17:44:36Z, or without Z in the zone that is shown), or how long ago (10m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs until it is interrupted (Ctrl-C). It records only while tracing is enabled, and only what the levels let through:
connections and loaded modules are of level debug. It says what is off, and how to enable it.

Examples:
  tracewell enable --for 30m --level debug && tracewell watch
  tracewell watch --downloads ~/Downloads --downloads ~/Desktop --hash-list bad.sha256

Exit codes: 0 done; 2 an error; 3 everything that it saw was refused, so that nothing was recorded.")]
pub(crate) struct Watch {
    /// Folders in which downloads appear [default: the user's download folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) downloads: Vec<PathBuf>,
    /// File with one SHA-256 a line; downloads with such a hash are detected
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) hash_list: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Enables tracing in a private temporary directory, starts two components (the real sensor, and one that emits every event of
the catalog), causes some real activity, kills one component, disables, reads, and measures the cost of an emit. Nothing
outside the temporary directory and its rings in memory is touched.

Exit codes: 0 everything that was to be seen is in the trace; 2 an error; 3 something is lost, or was not seen.")]
pub(crate) struct Demo {
    /// How long the components run
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Keep the raw trace too, not only the readable files
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Deletes finished sessions, the rings that dead processes left, dumps, bundles, the accepted request and your key for bundles. What a
running process records into is never touched; settings and the record of what was done (`tracewell audit`) stay. Without --yes nothing
is deleted.

What is older goes by itself, with any command: a trace seven days after tracing ended and a dump seven days after it was taken, unless
they are kept (`tracewell keep`, `tracewell enable --keep`), a bundle one day after it was sent or 30 days after it was prepared. For
computers on which no command runs, call `tracewell purge --expired` by a timer.

Examples:
  tracewell purge                                  what would be deleted
  tracewell purge --yes
  tracewell purge --everything --yes               also settings, switch and record: nothing is left
  tracewell purge --everything --all-users --yes   for the package, before it is removed, as root")]
pub(crate) struct Purge {
    /// Really delete
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only what is older than it may be; needs no --yes. With --yes also if the clock seems to have jumped
    #[arg(long, conflicts_with = "everything")]
    pub(crate) expired: bool,
    /// Also settings, switch, and the record of what was done; switches tracing off first
    #[arg(long)]
    pub(crate) everything: bool,
    /// For every user of this computer; only root can
    #[arg(long)]
    pub(crate) all_users: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tracewell keep                                     the session that began last
  tracewell keep 2026-11-23_17.44.36_0a1b2c3d
  tracewell keep last --undo                         it goes as the others do")]
pub(crate) struct Keep {
    /// Session, by its name or a part of it that only one has, or `last`; or a dump by its name
    #[arg(default_value = "last")]
    pub(crate) session: String,
    /// Keep it no longer
    #[arg(long)]
    pub(crate) undo: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A process that is killed leaves its last events in memory, where `tracewell read` finds them until the computer stops. This
puts them on the disk, beside its other segments, and frees the memory. What a running process records into is never
touched. Without --once it runs until it is interrupted (Ctrl-C, SIGTERM); several may run at the same time.

Examples:
  tracewell collect --once
  tracewell collect --every 10s        as a service
  tracewell collect --once --json      for programs: one object a line, `adopted`, `removed` or `left`
  tracewell collect os                 what support asks of this computer

Exit codes: 0 done; 2 an error; 3 something makes no sense and was left.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Collect {
    #[command(subcommand)]
    pub(crate) what: Option<CollectWhat>,
    /// Look once, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Look so often, as 500ms, 10s, 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = period, conflicts_with = "once")]
    pub(crate) every: Duration,
    /// JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// What else can be collected.
#[derive(Debug, Subcommand)]
pub(crate) enum CollectWhat {
    /// Show operating-system information: hardware, packages, services, extensions, connections, and more
    Os(CollectOs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is sent, and nothing is replaced: this is for your own eyes. `tracewell bundle create` collects the same for
support, with names and addresses replaced. Each collector has 3 seconds; what it could not have is said. Without root, the
homes and processes of others stay closed. docs/os-information.md describes every field.

Examples:
  tracewell collect os | less
  tracewell collect os --only hardware,services
  tracewell collect os --only sockets --json | jq .data
  tracewell collect os --json --output os.jsonl")]
pub(crate) struct CollectOs {
    /// For programs: one JSON document a line, for each group
    #[arg(long)]
    pub(crate) json: bool,
    /// Write to this new file, which only you can read
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Only these groups
    #[arg(long, value_name = "GROUP,..", value_delimiter = ',', value_parser = GroupParser)]
    pub(crate) only: Vec<&'static Group>,
    /// The product's file, which says whose settings to look at [default: $TRACEWELL_PRODUCT, else
    /// /etc/tracewell/product.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) product: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoComponent {
    /// What it plays.
    #[arg(value_enum)]
    pub(crate) role: Role,
    #[arg(long)]
    pub(crate) downloads: Option<PathBuf>,
    #[arg(long)]
    pub(crate) hash_list: Option<PathBuf>,
}

/// A child of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Sensor,
    Loadgen,
}

fn category(text: &str) -> Result<Category, String> {
    text.trim().parse()
}

fn group(text: &str) -> Result<&'static Group, String> {
    let name = text.trim();
    os::group(name).ok_or_else(|| {
        let all: Vec<&str> = os::GROUPS.iter().map(|g| g.name).collect();
        format!("{name:?} is no group; there are {}", all.join(", "))
    })
}

fn level(text: &str) -> Result<Level, String> {
    text.trim().parse()
}

/// Parsers that also tell a shell which values there are.
macro_rules! parser {
    ($name:ident, $value:ty, $parse:expr, $values:expr) => {
        #[derive(Clone, Copy, Debug)]
        struct $name;

        impl TypedValueParser for $name {
            type Value = $value;

            fn parse_ref(
                &self,
                command: &clap::Command,
                arg: Option<&clap::Arg>,
                value: &OsStr,
            ) -> Result<$value, clap::Error> {
                TypedValueParser::parse_ref(&$parse, command, arg, value)
            }

            fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
                Some(Box::new($values.map(PossibleValue::new)))
            }
        }
    };
}

parser!(LevelParser, Level, level, Level::ALL.iter().map(|l| l.name()));
parser!(GroupParser, &'static Group, group, os::GROUPS.iter().map(|g| g.name));
parser!(CategoryParser, Category, category, Category::ALL.iter().map(|c| c.name()));
parser!(
    CategoryLevelParser,
    CategoryLevel,
    category_level,
    std::iter::once("all").chain(Category::ALL.iter().map(|c| c.name()))
);

fn category_level(text: &str) -> Result<CategoryLevel, String> {
    let (name, level_text) = text.split_once('=').map_or((text, None), |(name, level)| (name, Some(level)));
    let category = if name.trim() == "all" { None } else { Some(category(name)?) };
    let level = match level_text.map(str::trim) {
        None => None,
        Some("off") => Some(None),
        Some(text) => Some(Some(level(text)?)),
    };
    Ok(CategoryLevel { category, level })
}

fn period(text: &str) -> Result<Duration, String> {
    let every = match text.strip_suffix("ms").and_then(|n| n.parse().ok()) {
        Some(millis) => Duration::from_millis(millis),
        None => parse_duration(text)?,
    };
    if (Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&every) {
        Ok(every)
    } else {
        Err("write a time from 10ms to 1d".into())
    }
}

fn lasting(text: &str) -> Result<Lasting, String> {
    if text == "forever" {
        return Ok(Lasting::Forever);
    }
    let _: Duration = parse_duration(text)?;
    Ok(Lasting::Text(text.trim().to_owned()))
}

fn size(text: &str) -> Result<String, String> {
    parse_size(text)?;
    Ok(text.trim().to_owned())
}

fn reduction(text: &str) -> Result<Reduce, String> {
    if text == "none" {
        return Ok(Reduce::None);
    }
    let (field, reduction) = text.split_once('=').ok_or_else(|| {
        format!("{text:?} is no reduction; write EVENT.FIELD=REDUCTION, as web.visit.host=keyed")
    })?;
    Ok(Reduce::Field(field.trim().to_owned(), reduction.trim().parse()?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn categories_with_and_without_level() {
        let network = Some(Category::Network);
        assert_eq!(category_level("network"), Ok(CategoryLevel { category: network, level: None }));
        let debug = CategoryLevel { category: network, level: Some(Some(Level::Debug)) };
        assert_eq!(category_level("network=debug"), Ok(debug));
        assert_eq!(category_level("all=off"), Ok(CategoryLevel { category: None, level: Some(None) }));
        assert!(category_level("nonsense").is_err() && category_level("network=loud").is_err());
        assert_eq!(lasting("forever"), Ok(Lasting::Forever));
        assert!(lasting("5 minutes").is_err());
        assert!(reduction("web.visit.host").is_err() && reduction("web.visit.host=loud").is_err());
    }
}
