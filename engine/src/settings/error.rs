//! What can be wrong with the settings, with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with the settings: what, where, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct SettingsError {
    /// The file; `None` if a value was given otherwise.
    pub path: Option<PathBuf>,
    /// The key whose value cannot be used, if it is one.
    pub key: Option<String>,
    /// What is wrong, and for a value what would be right.
    pub message: String,
    /// What to do, if the message does not say it.
    pub remedy: &'static str,
}

/// What to do about a file that cannot be read or understood.
pub(super) const REPLACE: &str = "edit or delete it, or replace it with `tracewell enable --defaults`";

impl SettingsError {
    pub(super) fn value(key: &str, message: String) -> Self {
        Self { path: None, key: Some(key.to_owned()), message, remedy: "" }
    }

    /// The file at `path` is the cause, and can be replaced.
    pub(super) fn of_file(path: &Path, message: String) -> Self {
        Self { path: Some(path.to_owned()), key: None, message, remedy: REPLACE }
    }

    pub(super) fn reading(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::of_file(path, "it is not UTF-8 text".to_owned()),
            // Ours says already what to do about the file.
            _ if error.raw_os_error().is_none() => {
                let remedy = "or replace it with `tracewell enable --defaults`";
                Self { remedy, ..Self::of_file(path, error.to_string()) }
            }
            _ => Self::of_file(path, error.to_string()),
        }
    }

    pub(super) fn writing(path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room (`tracewell purge` deletes old traces), or choose another directory with --dir"
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                "choose a directory that this user may write with --dir"
            }
            _ => "look at that directory, or choose another with --dir",
        };
        let message = format!("cannot be written: {error}");
        Self { path: Some(path.to_owned()), key: None, message, remedy }
    }
}

/// Text of a file that anybody may have written: what would not be seen, or would control a terminal, as `\u{..}`.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => write!(f, "{c}"),
            // The standard library takes these for letters, and they are not seen.
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => write!(f, "{}", c.escape_unicode()),
            c => write!(f, "{}", c.escape_debug()),
        })
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "settings {}: ", path.display())?;
        }
        if let Some(key) = &self.key {
            write!(f, "{}: ", Safe(key))?;
        }
        write!(f, "{}", Safe(&self.message))?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_file_reaches_the_terminal_as_it_is() {
        let error =
            SettingsError::value("reduce.a.\u{1b}]0;x\u{7}\u{202e}", "\"\u{9b}\u{3164}\\\" é 日".into());
        let shown = "reduce.a.\\u{1b}]0;x\\u{7}\\u{202e}: \"\\u{9b}\\u{3164}\\\" é 日";
        assert_eq!(error.to_string(), shown);
    }
}
