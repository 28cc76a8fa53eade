//! What a run did, and the ledger that adds runs up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::random::fresh_seed;

/// How much a run does.
#[derive(Args, Clone, Debug)]
pub(crate) struct Scale {
    /// Tries.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Seed of the first try; the next ones use the numbers after it.
    #[arg(long)]
    seed: Option<u64>,
}

impl Scale {
    /// The tries, with a default.
    pub(crate) fn count_or(&self, default: u64) -> u64 {
        self.count.unwrap_or(default)
    }

    /// The seed given, or a fresh one.
    pub(crate) fn seed(&self) -> u64 {
        // Short ones are easier to type again.
        self.seed.unwrap_or_else(|| fresh_seed() >> 24)
    }
}

/// One run of one test: printed as a line of JSON on standard output when the run held.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// The test's name and its number in the plan: `kill (T-1)`.
    pub(crate) test: String,
    /// What is counted: `kills`, `instructions`, `bits`.
    pub(crate) unit: String,
    /// How many there were.
    pub(crate) count: u64,
    /// The first seed, if the test is random.
    pub(crate) seed: Option<u64>,
    /// What was checked and found, in a few words and numbers: `2,113,882 events, 0 torn, 0 lost`.
    pub(crate) result: String,
    /// The command that repeats it.
    pub(crate) command: String,
}

impl Report {
    /// Prints it for the ledger.
    pub(crate) fn print(&self) {
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}

/// Arguments of `faults ledger`.
#[derive(Args)]
pub(crate) struct LedgerArgs {
    /// Files with report lines; other lines are left out.
    reports: Vec<PathBuf>,
    /// The ledger, rewritten between its markers.
    #[arg(long, default_value = "docs/faults.md")]
    ledger: PathBuf,
}

const BEGIN: &str = "<!-- ledger: begin -->";
const END: &str = "<!-- ledger: end -->";

/// A line of the ledger: all runs of one test.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    unit: String,
    count: u64,
    runs: u64,
    last_seeds: String,
    result: String,
    command: String,
}

/// Adds reports to the ledger.
pub(crate) fn ledger(args: &LedgerArgs) -> Result<(), String> {
    let tell = |path: &PathBuf, error: std::io::Error| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&args.ledger).map_err(|error| tell(&args.ledger, error))?;
    let (before, rest) = text.split_once(BEGIN).ok_or(format!("no line `{BEGIN}`"))?;
    let (table, after) = rest.split_once(END).ok_or(format!("no line `{END}`"))?;
    let mut rows = parse(table);
    for path in &args.reports {
        let lines = std::fs::read_to_string(path).map_err(|error| tell(path, error))?;
        for report in lines.lines().filter_map(|line| serde_json::from_str::<Report>(line).ok()) {
            let row = rows.entry(report.test).or_default();
            row.unit = report.unit;
            row.count += report.count;
            row.runs += 1;
            row.last_seeds = report.seed.map_or("none".into(), |seed| seed.to_string());
            row.result = report.result;
            row.command = report.command;
        }
    }
    let text = format!("{before}{BEGIN}\n{}{END}{after}", render(&rows));
    std::fs::write(&args.ledger, text).map_err(|error| tell(&args.ledger, error))
}

fn render(rows: &BTreeMap<String, Row>) -> String {
    let mut out = String::from(
        "| test | runs | count in all | first seed of the last run | result of the last run | command |\n\
         | --- | ---: | ---: | --- | --- | --- |\n",
    );
    for (test, row) in rows {
        let _ = writeln!(
            out,
            "| {test} | {} | {} {} | {} | {} | `{}` |",
            row.runs,
            grouped(row.count),
            row.unit,
            row.last_seeds,
            row.result,
            row.command
        );
    }
    out
}

fn parse(table: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in table.lines().skip_while(|line| !line.starts_with("| ---")).skip(1) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [test, runs, counted, seeds, result, command] = cells[..] else { continue };
        let (count, unit) = counted.split_once(' ').unwrap_or((counted, ""));
        let row = Row {
            unit: unit.into(),
            count: count.replace(',', "").parse().unwrap_or(0),
            runs: runs.parse().unwrap_or(0),
            last_seeds: seeds.into(),
            result: result.into(),
            command: command.trim_matches('`').into(),
        };
        rows.insert(test.into(), row);
    }
    rows
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_reads_back_as_it_was_written() {
        let row = Row {
            unit: "kills".into(),
            count: 1_234_567,
            runs: 3,
            last_seeds: "17".into(),
            result: "0 torn, 0 lost".into(),
            command: "faults kill --count 1000".into(),
        };
        let rows = BTreeMap::from([("kill (T-1)".to_owned(), row)]);
        assert_eq!(parse(&render(&rows)), rows);
    }
}
