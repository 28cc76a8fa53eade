//! The trace directory of a command: which it is, and whether it can be used.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::fs;
use tracewell_schema::format::control as layout;

use crate::output::{Failure, advice};

/// The directories, and whether the user named them.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dirs: Dirs,
    is_named: bool,
}

impl Place {
    pub(crate) fn resolve(dir: Option<&Path>) -> Result<Self, Failure> {
        let dirs = Dirs::resolve(dir).map_err(|e| Failure::new(e.to_string()))?;
        Ok(Self { dirs, is_named: dir.is_some() })
    }

    /// Refuses a place that is there and is something else, and a named one that is missing. False if it is missing.
    pub(crate) fn check(&self) -> Result<bool, Failure> {
        let base = self.dirs.base();
        match std::fs::symlink_metadata(base) {
            Ok(meta) if !meta.is_dir() => {
                return Err(Failure::new(format!(
                    "{} is no directory; name a trace directory with --dir",
                    base.display()
                )));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.is_named => {
                return Err(Failure::new(format!(
                    "{} does not exist, so nothing was ever enabled there; check --dir, or run `tracewell enable`",
                    base.display()
                )));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(unusable(base, &e)),
        }
        // Foreign first: the advice to change the mode is right for a directory of ours only.
        self.refuse_foreign()?;
        fs::open_private_dir(base).map_err(|e| unusable(base, &e))?;
        Ok(true)
    }

    /// A directory with other things in it is no place to record into, or to delete from.
    fn refuse_foreign(&self) -> Result<(), Failure> {
        let base = self.dirs.base();
        let mut others = 0;
        for entry in std::fs::read_dir(base).map_err(|e| unusable(base, &e))? {
            let name = entry.map_err(|e| unusable(base, &e))?.file_name();
            let name = name.as_encoded_bytes();
            if [
                &b"control"[..],
                b"control.lock",
                b"settings.toml",
                b"sessions",
                b"bundles",
                b"dumps",
                b"keys",
                b"audit.jsonl",
                b"dumps",
                b"clock.json",
            ]
            .contains(&name)
            {
                return Ok(());
            }
            // Half-made files of a command or a component that was killed.
            let half_made = [&b".control-"[..], b".settings-", b".ring-roots-", b".clock.json-"];
            others += usize::from(!half_made.iter().any(|start| name.starts_with(start)));
        }
        if others == 0 {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} holds other things and no trace; name a trace directory, or an empty or new one, with --dir",
            base.display()
        )))
    }

    /// The control page to look at, if there is one; nothing is written.
    pub(crate) fn look(&self) -> Result<Option<Control>, Failure> {
        if !self.check()? {
            return Ok(None);
        }
        self.check_control()?;
        Control::open_read_only(&self.dirs).map_err(|e| unusable(&self.dirs.control(), &e))
    }

    /// The control page to change, if there is one.
    pub(crate) fn control(&self) -> Result<Option<Control>, Failure> {
        if !self.check()? {
            return Ok(None);
        }
        self.check_control()?;
        Control::open(&self.dirs).map_err(|e| cannot_switch(&self.dirs.control(), &e))
    }

    /// The control page, made if it is missing.
    pub(crate) fn make_control(&self) -> Result<Control, Failure> {
        if std::fs::symlink_metadata(self.dirs.base()).is_ok() {
            self.check()?;
            self.check_control()?;
        }
        let control = self.dirs.control();
        let at = if control.exists() { &control } else { self.dirs.base() };
        Control::open_or_create(&self.dirs).map_err(|e| unusable(at, &e))
    }

    /// A control page that another program or a later version wrote is not ours to change.
    fn check_control(&self) -> Result<(), Failure> {
        let path = self.dirs.control();
        let opened =
            fs::open_private_dir(self.dirs.base()).and_then(|d| fs::open_existing(d, "control", false));
        let mut start = [0; 12];
        match opened.and_then(|mut file| file.read_exact(&mut start)) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => return Ok(()),
            // The mapping says what is wrong with the length.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(unusable(&path, &e)),
            Ok(()) => {}
        }
        if start == [0; 12] {
            return Ok(());
        }
        if !start.starts_with(&layout::MAGIC) {
            return Err(Failure::new(format!(
                "{} was not written by Tracewell; name another directory with --dir, or move the file away",
                path.display()
            )));
        }
        let (major, minor) =
            (u16::from_le_bytes([start[8], start[9]]), u16::from_le_bytes([start[10], start[11]]));
        if major != 1 {
            return Err(Failure::new(format!(
                "{} has format version {major}.{minor}, this tracewell knows 1.0; use a newer tracewell, or another \
                 directory",
                path.display()
            )));
        }
        Ok(())
    }
}

/// An error of the system at a place.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be used: {error}{}", path.display(), advice(error)))
}

/// The switch cannot be turned: another directory would be another switch.
fn cannot_switch(path: &Path, error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => Failure::new(format!(
            "{} cannot be changed: {error}; make it writable for this user, so that tracing can be switched off",
            path.display()
        )),
        _ => unusable(path, error),
    }
}

/// The trace directory that a path belongs to: itself, or the one above `sessions/NAME`.
pub(crate) fn base_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    if path.join("control").is_file() || path.join("sessions").is_dir() {
        return Some(path);
    }
    let sessions = path.parent()?;
    (sessions.file_name()? == "sessions").then(|| sessions.parent().map(Path::to_path_buf))?
}
