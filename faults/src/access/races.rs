//! Races for names: somebody else in the folder above, and links in the place of files of our own.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::retention::{self, Limits};
use tracewell::{Tracer, adopt, emit};
use tracewell_tests::{Numbered, Place};

use super::canary::Canary;
use crate::random::Random;

/// The user who attacks: nobody.
const ATTACKER: u32 = 65_534;

fn request() -> EnableRequest {
    EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        max_total: 256 << 10,
        ..EnableRequest::default()
    }
}

fn emit_some(tracer: &Tracer, count: u64) {
    for number in 0..count {
        emit!(tracer, Numbered { lane: 0, number, text: "some text" });
    }
}

/// One life of everything in a place; whatever fails may fail.
fn live(base: &Path, rings: &Path, command: &Path) {
    let Ok(dirs) = Dirs::resolve(Some(base)) else { return };
    let dirs = dirs.with_ring_root(rings.to_owned());
    if let Ok(control) = Control::open_or_create(&dirs) {
        let _ = control.enable(&dirs, &request());
    }
    if let Ok(tracer) = Tracer::builder("victim").dir(base).ring_dir(rings).ring_size(64 << 10).attach() {
        emit_some(&tracer, 100);
        let _ = tracer.flush();
        let _ = adopt::pass(&dirs, &mut || false);
        let _ = retention::retain(&dirs.sessions(), &Limits { max_total: 1, max_age: Duration::ZERO });
        drop(tracer.guard());
    }
    if let Ok(Some(control)) = Control::open(&dirs) {
        let _ = control.disable();
    }
    let _ = adopt::pass(&dirs, &mut || false);
    let purge =
        Command::new(command).args(["purge", "--yes", "--dir"]).arg(base).stdin(Stdio::null()).output();
    drop(purge);
}

/// Somebody else makes links, pipes and folders where ours are about to be made. Returns how many.
pub(super) fn others(count: u64, seed: u64, command: &Path) -> Result<(u64, u64), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("root is needed, to act as two users".into());
    }
    let top = tempfile::tempdir_in("/dev/shm").map_err(|e| e.to_string())?;
    let open = top.path().join("open");
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    std::fs::create_dir(&open).and_then(|()| set(&open, 0o1777)).map_err(|e| e.to_string())?;
    set(top.path(), 0o711).map_err(|e| e.to_string())?;
    let canary = Canary::new(top.path())?;
    let program = top.path().join("attacker");
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    std::fs::copy(own, &program).and_then(|_| set(&program, 0o755)).map_err(|e| e.to_string())?;
    let mut command_line = Command::new(&program);
    command_line.arg("access-attacker").arg(&open).arg(&canary.folder).arg(&canary.file);
    command_line.args(["--count", &count.to_string(), "--seed", &seed.to_string()]);
    command_line.uid(ATTACKER).gid(ATTACKER).current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut attacker = command_line.spawn().map_err(|e| format!("{command_line:?}: {e}"))?;
    let mut lives = 0;
    let ended = loop {
        live(&open.join("trace"), &open.join("rings"), command);
        lives += 1;
        for name in ["trace", "rings"] {
            // The names are free again, whoever has them.
            let path = open.join(name);
            if std::fs::remove_file(&path).is_err() {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
        if let Err(what) = canary.check() {
            let _ = attacker.kill();
            let _ = attacker.wait();
            return Err(what);
        }
        if attacker.try_wait().map_err(|e| e.to_string())?.is_some() {
            break attacker.wait_with_output().map_err(|e| e.to_string())?;
        }
    };
    let placed = String::from_utf8_lossy(&ended.stdout).trim().parse().map_err(|_| "the attacker failed")?;
    Ok((placed, lives))
}

/// Names of our own files become links to other things while everything works. Returns how many.
pub(super) fn own(count: u64, seed: u64, command: &Path) -> Result<u64, String> {
    let place = Place::new();
    let canary = Canary::new(&place.beside(""))?;
    place.enable_with(&request());
    let stop = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    let dirs = place.dirs.clone();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| swap(&dirs, &canary, count, seed, &swaps, &stop));
        while !stop.load(Ordering::Relaxed) {
            let _ = place.control.enable(&dirs, &request());
            live(dirs.base(), dirs.ring_root(), command);
            if let Err(what) = canary.check() {
                stop.store(true, Ordering::Relaxed);
                return Err(what);
            }
        }
        canary.check()
    });
    outcome.map(|()| swaps.load(Ordering::Relaxed))
}

/// Every file and folder that is there now, but for the two above all.
fn names(dirs: &Dirs) -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut all = Vec::new();
    for entry in below(dirs.base()).into_iter().chain(below(dirs.ring_root())).chain(below(&dirs.sessions()))
    {
        // `sessions` is on the way to others: who may change it is this very user.
        if entry != dirs.sessions() {
            all.extend(below(&entry));
            all.push(entry);
        }
    }
    all
}

fn swap(dirs: &Dirs, canary: &Canary, count: u64, seed: u64, swaps: &AtomicU64, stop: &AtomicBool) {
    let mut random = Random::new(seed);
    let aside = dirs.base().with_extension("aside");
    while swaps.load(Ordering::Relaxed) < count && !stop.load(Ordering::Relaxed) {
        let all = names(dirs);
        if all.is_empty() {
            std::thread::yield_now();
            continue;
        }
        for _ in 0..8 {
            let path = &all[random.below(all.len() as u64) as usize];
            let Ok(meta) = std::fs::symlink_metadata(path) else { continue };
            if std::fs::rename(path, &aside).is_err() {
                continue;
            }
            let placed = match random.below(4) {
                0 if meta.is_dir() => symlink(&canary.folder, path),
                0 | 1 => symlink(&canary.file, path),
                2 => std::fs::hard_link(&canary.file, path),
                _ => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::from_raw_mode(0o600),
                    0,
                )
                .map_err(Into::into),
            };
            swaps.fetch_add(u64::from(placed.is_ok()), Ordering::Relaxed);
            for _ in 0..random.below(3000) {
                std::hint::spin_loop();
            }
            // Back, unless somebody has made that name again.
            let _ = std::fs::remove_file(path);
            if rustix::fs::renameat_with(
                rustix::fs::CWD,
                &aside,
                rustix::fs::CWD,
                path,
                rustix::fs::RenameFlags::NOREPLACE,
            )
            .is_err()
            {
                let _ = std::fs::remove_file(&aside);
                let _ = std::fs::remove_dir_all(&aside);
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
}
