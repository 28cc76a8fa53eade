//! T-2: the crash image after every machine instruction.
//!
//! A child walks one path through the engine. Between its marks a tracer steps it, instruction by instruction, one
//! thread at a time; whenever something shared has changed, a copy of it is read as if the process had died there, and
//! held against an oracle that lies outside of the engine.

mod child;
mod events;
mod image;
mod judge;
mod page;
mod paths;
mod tracee;
mod walk;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::report::{Report, grouped};
use walk::{Told, Walk};

/// Arguments of `faults step`.
#[derive(Args, Debug)]
pub(crate) struct StepArgs {
    /// Only paths whose names begin with this.
    #[arg(long)]
    path: Option<String>,
    /// Most instructions of a path: what comes after them is cut off. Default: all.
    #[arg(long)]
    most: Option<u64>,
    /// Paths that are not cut off all the same, by their whole names.
    #[arg(long, value_delimiter = ',')]
    whole: Vec<String>,
    /// Keeps the image that was judged wrong in this folder, which must not exist.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Walks this path, as the child of a tracer.
    #[arg(long, hide = true, requires = "dir")]
    child: Option<String>,
    /// The child's folder.
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Runs the test, or its child.
pub(crate) fn run(args: &StepArgs) -> Result<(), String> {
    if let (Some(name), Some(dir)) = (&args.child, &args.dir) {
        return walk_as_child(name, dir);
    }
    let chosen: Vec<_> = paths::PATHS
        .iter()
        .filter(|path| args.path.as_ref().is_none_or(|begin| path.name.starts_with(begin.as_str())))
        .collect();
    let (mut sum, mut whole) = (Told::default(), 0_u64);
    for path in &chosen {
        let begun = std::time::Instant::now();
        let told = step(path.name, args).map_err(|what| {
            format!("step ({BUILD} build), {what}\nrepeat: faults step --path {}", path.name)
        })?;
        eprintln!(
            "{:32} {:>9} instructions, {:>6} changes, {:>6} images, {:>6.1} s{}",
            path.name,
            grouped(told.instructions),
            grouped(told.changes),
            grouped(told.images),
            begun.elapsed().as_secs_f64(),
            if told.is_cut { ", cut off" } else { "" }
        );
        whole += u64::from(!told.is_cut);
        sum.add(&told);
    }
    if let Some(unknown) = args.whole.iter().find(|name| paths::PATHS.iter().all(|path| path.name != **name))
    {
        return Err(format!("step: no path {unknown}"));
    }
    if sum.instructions == 0 {
        return Err(format!("step: nothing was stepped: no path begins with {:?}", args.path));
    }
    let mut command = "faults step".to_owned();
    if let Some(most) = args.most {
        command += &format!(" --most {most}");
    }
    if !args.whole.is_empty() {
        command += &format!(" --whole {}", args.whole.join(","));
    }
    if let Some(path) = &args.path {
        command += &format!(" --path {path}");
    }
    Report {
        test: format!("step (T-2), {BUILD} build"),
        unit: "instructions".into(),
        count: sum.instructions,
        seed: None,
        result: format!(
            "{} paths ({whole} whole), {} changes of shared memory, {} images recovered: 0 missing, 0 torn, 0 invented",
            chosen.len(),
            grouped(sum.changes),
            grouped(sum.images),
        ),
        command,
    }
    .print();
    Ok(())
}

fn walk_as_child(name: &str, dir: &Path) -> Result<(), String> {
    let path = paths::PATHS.iter().find(|path| path.name == name).ok_or(format!("no path {name}"))?;
    let child = child::Child::new(dir)?;
    while child.page().go.load(std::sync::atomic::Ordering::Acquire) == 0 {
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    (path.run)(&child);
    child.page().done.store(1, std::sync::atomic::Ordering::SeqCst);
    Ok(())
}

/// Steps one path in a child of its own.
fn step(name: &str, args: &StepArgs) -> Result<Told, String> {
    let dir = tempfile::Builder::new()
        .prefix("tracewell-step-")
        .tempdir_in("/dev/shm")
        .map_err(|e| e.to_string())?;
    let most = args.most.filter(|_| !args.whole.iter().any(|whole| whole == name));
    let mut walk = Walk::begin(name, dir.path(), most).map_err(|e| format!("{name}: {e}"))?;
    let ended = walk.run();
    walk.kill();
    match ended {
        Ok(()) => Ok(walk.told()),
        Err(what) => {
            let kept = args.keep.as_ref().map_or(String::new(), |to| {
                let copied = std::process::Command::new("cp").arg("-r").arg(dir.path()).arg(to).status();
                format!("\nkept: {} ({copied:?})", to.display())
            });
            Err(format!("{what}{kept}"))
        }
    }
}
