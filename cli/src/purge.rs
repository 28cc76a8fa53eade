//! `purge`: deletes sessions, and ring folders of dead processes. Never what a live process uses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::fs;
use tracewell_schema::format::segment::parse_file_name;

use crate::{Outcome, output};

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// A ring folder whose lock nobody holds.
fn is_dead(folder: &Path) -> bool {
    let Ok(dir) = fs::open_private_dir(folder) else { return false };
    fs::open_existing(dir, "process", true).is_ok_and(|file| fs::is_locked_ofd(&file).is_ok_and(|held| !held))
}

fn is_ours(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).and_then(parse_file_name).is_some()
}

pub(crate) fn purge(dirs: &Dirs, yes: bool) -> Outcome {
    let opened = Control::open(dirs)
        .map_err(|e| format!("the trace directory {} cannot be used: {e}", output::path(dirs.base())))?;
    let Some(control) = opened else {
        return Err(
            format!("there is no trace directory {}; nothing to delete", output::path(dirs.base())).into()
        );
    };
    let live = control.snapshot().ok().map(|page| dirs.session_folder(page.enabled_at, &page.session_id));
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders: Vec<PathBuf> = Vec::new();
    for session in entries(&dirs.sessions()) {
        let is_dir = std::fs::symlink_metadata(&session).is_ok_and(|m| m.is_dir());
        if !is_dir || Some(&session) == live.as_ref() {
            continue;
        }
        files.extend(entries(&session).into_iter().filter(|f| is_ours(f)));
        folders.push(session);
    }
    for folder in entries(dirs.ring_root()) {
        if is_dead(&folder) {
            files.extend(entries(&folder));
            folders.push(folder);
        }
    }
    let bytes: u64 = files.iter().filter_map(|f| f.symlink_metadata().ok()).map(|m| m.len()).sum();
    let what = format!("{} files ({}) in {} folders", files.len(), output::size(bytes), folders.len());
    if !yes {
        output::print(&format!("This would delete {what}. Run `tracewell purge --yes` to do it.\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    for file in &files {
        // Removes a link itself, never what it points to.
        std::fs::remove_file(file).map_err(|e| format!("{} cannot be deleted: {e}", output::path(file)))?;
    }
    for folder in &folders {
        // Stays if something that is not ours lies in it.
        let _ = std::fs::remove_dir(folder);
    }
    output::print(&format!("Deleted {what}.\n"))?;
    if live.is_some() {
        output::print("The session that is being recorded was kept; `tracewell disable` ends it.\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
