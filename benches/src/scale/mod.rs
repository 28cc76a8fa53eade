//! Ours over threads, rates and ring sizes: JSON, a table, and plots.

mod plots;
mod sweep;

use std::path::PathBuf;

use serde_json::json;

use crate::compare::options::Options;

pub use sweep::{Point, Sweep};

/// How `scale` is used.
pub const USAGE: &str = "\
cargo bench -p tracewell-benches --bench scale -- [OPTIONS]
  --quick             short runs and few points: shows that all works, not how fast it is
  --reps N            processes for each point [default: 3]
  --secs S            length of a run [default: 2]
  --out DIR           where scale.json, scale.md and the plots go [default: target/scale]
  --work DIR          where the traces go meanwhile [default: a temporary folder]";

/// What `scale` does if nothing is asked for.
#[must_use]
pub fn defaults(ours: impl Into<PathBuf>) -> Options {
    let command = "cargo bench -p tracewell-benches --bench scale".to_owned();
    let options = Options::new(ours);
    let out = options.out.with_file_name("scale");
    Options { reps: 3, secs: 2.0, out, command, ..options }
}

/// Measures everything and writes the results; returns their files.
///
/// # Errors
/// If a folder cannot be made or written to.
pub fn run(options: &Options) -> Result<Vec<PathBuf>, String> {
    let (sweeps, notes) = sweep::all(options)?;
    let table = markdown(options, &sweeps, &notes);
    println!("\n{table}");
    let json = json!({
        "command": options.command,
        "machine": crate::compare::report::machine(),
        "quick": options.quick,
        "reps": options.reps,
        "secs": options.secs,
        "debug_build": cfg!(debug_assertions),
        "sweeps": sweeps.iter().map(Sweep::json).collect::<serde_json::Value>(),
        "notes": notes,
    });
    let mut results = vec![
        ("scale.json".to_owned(), serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?),
        ("scale.md".to_owned(), table),
    ];
    results.extend(
        plots::all(&sweeps).into_iter().map(|(name, plot)| (format!("scale-{name}.svg"), plot.svg())),
    );
    let at = |path: &PathBuf, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(&options.out).map_err(|e| at(&options.out, e))?;
    let mut files = Vec::new();
    for (name, text) in results {
        let path = options.out.join(name);
        std::fs::write(&path, text).map_err(|e| at(&path, e))?;
        println!("wrote {}", path.display());
        files.push(path);
    }
    Ok(files)
}

/// A table for each sweep: the medians of what the program printed.
fn markdown(options: &Options, sweeps: &[Sweep], notes: &[String]) -> String {
    let mut out = format!("`{}`: medians of {} processes.\n", options.command, options.reps);
    if options.quick || cfg!(debug_assertions) {
        out.push_str(
            "\n**A quick run or a debug build: it shows that everything works, not how fast it is.**\n",
        );
    }
    for sweep in sweeps {
        let keys = sweep.columns;
        out += &format!("\n### {}\n\n| {} | {} |\n", sweep.title, sweep.x, keys.map_titles());
        out += &format!("| --- |{}\n", " --- |".repeat(keys.0.len()));
        for point in &sweep.points {
            let cells: Vec<String> = keys.0.iter().map(|(key, _)| cell(point.values.get(*key))).collect();
            out += &format!("| {} | {} |\n", point.label, cells.join(" | "));
        }
    }
    for note in notes {
        out += &format!("\nNote: {}\n", note.replace('\n', " "));
    }
    out
}

fn cell(value: Option<&f64>) -> String {
    match value {
        None => "-".into(),
        Some(v) if v.abs() >= 1e6 => format!("{:.2} M", v / 1e6),
        Some(v) if v.abs() >= 1000.0 => format!("{v:.0}"),
        Some(v) if v.abs() >= 10.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.3}"),
    }
}

/// The program: exits with 2 if the options are wrong or the results cannot be written.
pub fn main(ours: &str) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|a| a == "--bench") {
        // `cargo test --all-targets` starts every bench too.
        println!("measures only under `cargo bench`\n{USAGE}");
        return;
    }
    let done = defaults(ours).parse(args).map_err(|_| USAGE.to_owned()).and_then(|options| run(&options));
    if let Err(why) = done {
        eprintln!("{why}");
        std::process::exit(2);
    }
}
