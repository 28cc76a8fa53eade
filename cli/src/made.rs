//! What a command makes on its way, taken back if it fails: a failed command leaves nothing behind.

use std::path::{Path, PathBuf};

use tracewell::control::{Control, ROOTS_FILE, Why};
use tracewell::dirs::Dirs;

/// Remembers what was missing; when dropped without [`Made::keep`], removes what is there now and was not then.
#[derive(Debug)]
pub(crate) struct Made {
    dirs: Dirs,
    files: Vec<PathBuf>,
    /// The innermost first.
    folders: Vec<PathBuf>,
    is_kept: bool,
}

impl Made {
    /// Before anything is made.
    pub(crate) fn before(dirs: &Dirs) -> Self {
        let is_missing = |path: &Path| std::fs::symlink_metadata(path).is_err();
        let base = dirs.base();
        let files = [dirs.control(), dirs.settings(), base.join("control.lock"), base.join(ROOTS_FILE)];
        let folders = std::iter::once(dirs.sessions()).chain(base.ancestors().map(Path::to_path_buf));
        Self {
            dirs: dirs.clone(),
            files: files.into_iter().filter(|f| is_missing(f)).collect(),
            folders: folders.filter(|f| is_missing(f)).collect(),
            is_kept: false,
        }
    }

    /// The command has done what it should.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    /// Whether nobody else uses what was made: a component that attached meanwhile maps the control page.
    fn is_ours_alone(&self) -> bool {
        match Control::open_read_only(&self.dirs) {
            Ok(Some(control)) => control.snapshot() == Err(Why::Off) && control.status().attached.is_empty(),
            Ok(None) => true,
            // What cannot be looked at was made in part: it is removed if nobody has put anything into it.
            Err(_) => true,
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.is_kept || !self.is_ours_alone() {
            return;
        }
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        // Only if they are empty.
        for folder in &self.folders {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracewell::control::EnableRequest;

    use super::*;

    #[test]
    fn only_what_was_made_meanwhile_and_is_not_used_goes() {
        let top = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&top.path().join("a/b"))).unwrap();
        let made = Made::before(&dirs);
        drop(Control::open_or_create(&dirs).unwrap());
        drop(made);
        assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 0);
        let made = Made::before(&dirs);
        let control = Control::open_or_create(&dirs).unwrap();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        drop(made);
        assert!(dirs.control().exists(), "it is on");
        control.disable().unwrap();
        drop(Made::before(&dirs));
        assert!(dirs.control().exists(), "it was there before");
    }
}
