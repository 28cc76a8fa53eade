//! `purge --everything`: also the settings, the switch and the record of what was done; for when the product is removed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracewell::fs;

use crate::output::{Failure, advice};
use crate::place::{Place, unusable};
use crate::rings::Rings;

/// How long processes may take to close their session.
const CLOSING: Duration = Duration::from_secs(3);
/// What lies in a trace directory itself.
const FILES: [&str; 6] =
    ["control", "control.lock", "settings.toml", "ring-roots", "clock.json", "audit.jsonl"];

/// Switches tracing off, and waits until who recorded has closed its session.
pub(super) fn switch_off(place: &Place) -> Result<(), Failure> {
    let Some(control) = place.control()? else { return Ok(()) };
    control.disable().map_err(|e| unusable(&place.dirs.control(), &e))?;
    let until = Instant::now() + CLOSING;
    while Instant::now() < until && Rings::find(&place.dirs).folders.iter().any(|folder| folder.is_alive) {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Removes the trace directory itself, in which no data is any more.
pub(super) fn remove(place: &Place, roots: &[PathBuf], left: &mut Vec<String>) {
    let base = place.dirs.base();
    let removed = fs::open_private_dir(base).and_then(|folder| {
        for name in FILES {
            match fs::unlink_at(&folder, name) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        for folder in [place.dirs.sessions(), base.join("bundles"), base.join("keys"), base.join("dumps")] {
            match std::fs::remove_dir(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        std::fs::remove_dir(base)
    });
    if let Err(e) = removed {
        left.push(format!("{} is not empty: {e}{}", base.display(), advice(&e)));
    }
    // Where rings lay: of this trace directory alone by its name, and the folder of all of this user's if it is empty.
    for root in roots {
        let _ = std::fs::remove_dir(root);
        if let Some(parent) = root.parent().filter(|parent| is_ours(parent)) {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

fn is_ours(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("tracewell"))
}
