//! The processes that are watched, and the attacker.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, text_of};

/// A component in one of its lives.
#[derive(Args)]
pub(crate) struct ComponentArgs {
    #[arg(value_enum)]
    life: Life,
    dir: PathBuf,
    rings: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Life {
    /// Nothing is enabled: it attaches and emits into nothing.
    Off,
    /// Two sessions, several segments, threads that come and go, a forked child.
    Whole,
    /// It is killed while its rings are not empty.
    Killed,
}

impl Life {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Whole => "whole",
            Self::Killed => "killed",
        }
    }
}

fn attach(args: &ComponentArgs) -> Result<Tracer, String> {
    let builder = Tracer::builder("component").dir(&args.dir).ring_dir(&args.rings).ring_size(1 << 20);
    builder.attach().map_err(|e| e.to_string())
}

fn emit_some(tracer: &Tracer, from: u64, count: u64) {
    for number in from..from + count {
        let text = text_of(number);
        emit!(tracer, Numbered { lane: 0, number, text: &text });
    }
}

/// Runs a component.
pub(crate) fn component(args: &ComponentArgs) -> Result<(), String> {
    let tracer = attach(args)?;
    if args.life == Life::Off {
        emit_some(&tracer, 0, 100_000);
        let tasks = std::fs::read_dir("/proc/self/task").map_err(|e| e.to_string())?.count();
        return if tasks == 1 { Ok(()) } else { Err(format!("{tasks} threads while tracing is off")) };
    }
    let dirs = Dirs::resolve(Some(&args.dir)).map_err(|e| e.to_string())?.with_ring_root(args.rings.clone());
    let control = Control::open(&dirs).map_err(|e| e.to_string())?.ok_or("no control page")?;
    let request = EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        max_total: 1 << 20,
        ..EnableRequest::default()
    };
    for session in 0..2 {
        control.enable(&dirs, &request).map_err(|e| e.to_string())?;
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let tracer = &tracer;
                scope.spawn(move || emit_some(tracer, thread * 20_000, 20_000));
            }
        });
        tracer.flush().map_err(|e| e.to_string())?;
        emit_some(&tracer, 0, 1000);
        if args.life == Life::Killed {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        control.disable().map_err(|e| e.to_string())?;
        std::thread::sleep(Duration::from_millis(200 + session));
    }
    drop(tracer.guard());
    Ok(())
}

/// Somebody else on the same computer.
#[derive(Args)]
pub(crate) struct AttackerArgs {
    /// A folder in which everybody may make things.
    open: PathBuf,
    /// What must not be touched: a folder and a file.
    folder: PathBuf,
    file: PathBuf,
    /// Ends after so many attempts.
    #[arg(long)]
    count: u64,
    #[arg(long)]
    seed: u64,
}

/// Puts itself in the way: wherever Tracewell is about to make something, something is there already.
pub(crate) fn attack(args: &AttackerArgs) -> Result<(), String> {
    let mut random = crate::random::Random::new(args.seed);
    let mut placed = 0_u64;
    for _ in 0..args.count {
        for name in ["trace", "rings"] {
            let path = args.open.join(name);
            placed += u64::from(place(&path, &args.folder, &args.file, random.below(8)).is_ok());
            if random.below(4) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(300)));
            } else {
                for _ in 0..random.below(2000) {
                    std::hint::spin_loop();
                }
            }
            // Only what is its own: the folder is sticky.
            if std::fs::remove_file(&path).is_err()
                && std::fs::symlink_metadata(&path).is_ok_and(|m| is_own(&m))
            {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
    println!("{placed}");
    Ok(())
}

fn is_own(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.uid() == rustix::process::geteuid().as_raw()
}

fn place(path: &Path, folder: &Path, file: &Path, kind: u64) -> std::io::Result<()> {
    match kind {
        0 | 1 => symlink(folder, path),
        2 => symlink(file, path),
        3 => std::fs::hard_link(file, path),
        4 => Ok(rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o666),
            0,
        )?),
        5 => std::fs::write(path, "in the way"),
        _ => {
            std::fs::create_dir(path)?;
            let mode = if kind == 6 { 0o700 } else { 0o777 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            // Below a folder of its own it may put whatever it likes.
            for name in ["control", "control.lock", "settings.toml", "ring-roots", "sessions"] {
                let _ = symlink(if name == "sessions" { folder } else { file }, path.join(name));
            }
            Ok(())
        }
    }
}
