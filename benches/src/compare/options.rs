//! What the command line asks for.

use std::path::{Path, PathBuf};

/// How `compare` is used.
pub const USAGE: &str = "\
cargo bench -p tracewell-benches --bench compare -- [OPTIONS]
  --quick             short runs, one of each: shows that all works, not how fast it is
  --only NAME,..      only these peers (ours, lttng, spdlog, tracing, fast_log, ftlog, quicklog, spdlog-rs)
  --reps N            processes for each figure [default: 5]
  --secs S            length of a run to the file [default: 5; text loggers at most 2]
  --out DIR           where compare.md and compare.json go [default: target/compare]
  --work DIR          where the traces go meanwhile, on the disk to be measured [default: a temporary folder]
  --write FILE        also put the table between the markers of this file (docs/performance.md)
  --no-build          use peers that were built before; leave out what was not";

/// Options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that is ours.
    pub ours: PathBuf,
    /// Short runs.
    pub quick: bool,
    /// Only these; all if empty.
    pub only: Vec<String>,
    /// Processes for each figure.
    pub reps: usize,
    /// Length of a run to the file.
    pub secs: f64,
    /// For the results.
    pub out: PathBuf,
    /// For the traces.
    pub work: Option<PathBuf>,
    /// A document to rewrite.
    pub write: Option<PathBuf>,
    /// Build nothing.
    pub no_build: bool,
    /// The command line, for the report.
    pub command: String,
}

impl Options {
    /// Defaults, for this program.
    #[must_use]
    pub fn new(ours: impl Into<PathBuf>) -> Self {
        let ours = ours.into();
        Self {
            out: super::peers::target(&ours).join("compare"),
            ours,
            quick: false,
            only: Vec::new(),
            reps: 5,
            secs: 5.0,
            work: None,
            write: None,
            no_build: false,
            command: "cargo bench -p tracewell-benches --bench compare".into(),
        }
    }

    /// Takes the arguments of the command line; relative paths are meant from the root of the repository.
    ///
    /// # Errors
    /// What is wrong with them, or [`USAGE`] if that was asked for.
    pub fn parse(mut self, args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let args: Vec<String> = args.into_iter().filter(|a| a != "--bench").collect();
        if !args.is_empty() {
            self.command = format!("{} -- {}", self.command, args.join(" "));
        }
        if args.iter().any(|a| a == "--quick") {
            (self.reps, self.secs) = (1, 0.3);
        }
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            let number = |v: String| v.parse::<f64>().map_err(|_| format!("{v} is no number"));
            match arg.as_str() {
                "--quick" => self.quick = true,
                "--only" => self.only = value()?.split(',').map(str::to_owned).collect(),
                "--reps" => self.reps = (number(value()?)? as usize).max(1),
                "--secs" => self.secs = number(value()?)?.clamp(0.05, 60.0),
                "--out" => self.out = rooted(value()?),
                "--work" => self.work = Some(rooted(value()?)),
                "--write" => self.write = Some(rooted(value()?)),
                "--no-build" => self.no_build = true,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(self)
    }

    /// Whether this peer is asked for; `lttng` stands for all of its variants.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let is = |wanted: &String| name == wanted || name.starts_with(&format!("{wanted}-"));
        self.only.is_empty()
            || self.only.iter().any(|wanted| is(wanted) && !(wanted == "spdlog" && name == "spdlog-rs"))
    }

    /// Batches of a measure of calls.
    #[must_use]
    pub fn batches(&self) -> usize {
        if self.quick { 30 } else { 200 }
    }
}

/// `cargo bench` runs in the folder of the package, people in the root.
fn rooted(path: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("")).join(path)
}
