//! What the user chose, in `settings.toml` beside the control page: the defaults of `tracewell enable`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracewell_schema::format::control::{MAX_OPT_INS, MAX_REDUCTIONS};
use tracewell_schema::{Category, Level, Reduction};

use crate::control::EnableRequest;
use crate::dirs::Dirs;
use crate::{fs, uuid};

const FILE: &str = "settings.toml";
/// Longest settings file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The settings file. Every key may be left out.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Level of all categories that `categories` does not name: error, warn, info, debug, trace, off.
    pub level: String,
    /// Level by category. If `only` is set, the others are off.
    pub categories: BTreeMap<String, String>,
    /// Categories that `categories` does not name are off.
    pub only: bool,
    /// How long an `enable` lasts, as "30m"; empty: until `disable`.
    pub duration: String,
    /// Most bytes of all segments, as "1G".
    pub max_size: String,
    /// Bytes of one segment.
    pub segment_size: String,
    /// Age of one segment.
    pub segment_age: String,
    /// Age of the oldest segment.
    pub max_age: String,
    /// Opt-in events and fields, by full name.
    pub opt_in: Vec<String>,
    /// Stricter reductions, by full name of the field.
    pub reduce: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            categories: BTreeMap::new(),
            only: false,
            duration: String::new(),
            max_size: "1G".into(),
            segment_size: "16M".into(),
            segment_age: "1h".into(),
            max_age: "7d".into(),
            opt_in: Vec::new(),
            reduce: BTreeMap::new(),
        }
    }
}

/// What is wrong with the settings.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, or has unknown keys.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value cannot be used.
    Value {
        /// The key.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "settings {}: {source}", path.display()),
            Self::Syntax { path, message } => {
                write!(f, "settings {}: {message}; correct it or remove the file", path.display())
            }
            Self::Value { key, message } => write!(f, "{key}: {message}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// Units of sizes, greatest first.
const SIZES: [(u8, u64); 4] = [(b'T', 1 << 40), (b'G', 1 << 30), (b'M', 1 << 20), (b'K', 1 << 10)];
/// Units of durations in seconds, greatest first.
const DURATIONS: [(u8, u64); 4] = [(b'd', 86_400), (b'h', 3600), (b'm', 60), (b's', 1)];

/// Smallest total that retention can keep to.
const MIN_TOTAL: u64 = 128 << 10;

/// A size as "512", "64K", "16M", "1G", "2T", in powers of 1024.
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size; write a number with K, M, G or T, as \"512M\"");
    let trimmed = text.trim();
    let unit =
        trimmed.as_bytes().last().and_then(|b| SIZES.iter().find(|(c, _)| *c == b.to_ascii_uppercase()));
    let (digits, factor) = match unit {
        Some((_, factor)) => (trimmed.get(..trimmed.len() - 1).unwrap_or_default(), *factor),
        None => (trimmed, 1),
    };
    digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// A size as [`parse_size`] reads it, exact: in the greatest unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    match SIZES.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{}", bytes / factor, char::from(*unit)),
        None => bytes.to_string(),
    }
}

/// A duration of whole seconds as [`parse_duration`] reads it, exact: in the greatest unit that divides it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match DURATIONS.iter().find(|(_, unit)| seconds != 0 && seconds.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{}", seconds / unit, char::from(*name)),
        None => format!("{seconds}s"),
    }
}

/// A duration as "90s", "30m", "2h", "7d".
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write a number with s, m, h or d, as \"30m\"");
    let trimmed = text.trim();
    let last = trimmed.as_bytes().last();
    let (_, unit) = last.and_then(|b| DURATIONS.iter().find(|(c, _)| c == b)).ok_or_else(bad)?;
    let n: u64 = trimmed.get(..trimmed.len() - 1).unwrap_or_default().trim().parse().map_err(|_| bad())?;
    let unit = *unit;
    match n.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is out of range; it lasts from 1s to 365d")),
    }
}

fn level_of(text: &str) -> Result<u8, String> {
    if text == "off" {
        Ok(0)
    } else {
        text.parse::<Level>().map(|l| l as u8).map_err(|e| format!("{e}, off"))
    }
}

impl Settings {
    /// The settings of a trace directory; the defaults if there is no file.
    ///
    /// # Errors
    /// If the file is there but cannot be used.
    pub fn load(dirs: &Dirs) -> Result<Self, SettingsError> {
        let path = dirs.settings();
        let io = |source| SettingsError::Io { path: path.clone(), source };
        let opened = fs::open_private_dir(dirs.base()).and_then(|d| fs::open_existing(d, FILE, false));
        let mut text = String::new();
        match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(io(e)),
            Ok(file) => file.take(MAX_FILE).read_to_string(&mut text).map_err(io)?,
        };
        toml::from_str(&text)
            .map_err(|e| SettingsError::Syntax { path: path.clone(), message: e.to_string() })
    }

    /// Writes the file anew, as a whole.
    ///
    /// # Errors
    /// If it cannot be written; then the old one is as it was.
    pub fn save(&self, dirs: &Dirs) -> Result<(), SettingsError> {
        let path = dirs.settings();
        let io = |source| SettingsError::Io { path: path.clone(), source };
        let text = toml::to_string(self)
            .map_err(|e| SettingsError::Syntax { path: path.clone(), message: e.to_string() })?;
        let folder = fs::create_private_dir_all(dirs.base()).map_err(io)?;
        let name = format!(".settings-{}", tracewell_schema::format::hex(&uuid::random()[..8]));
        let written = fs::create_new(&folder, &name).and_then(|mut file| {
            file.write_all(b"# What `tracewell enable` records when it is not told otherwise.\n")?;
            file.write_all(text.as_bytes())?;
            file.sync_data()
        });
        written
            .and_then(|()| fs::rename_at(&folder, &name, FILE))
            .and_then(|()| fs::sync_dir(&folder))
            .map_err(|e| {
                let _ = fs::unlink_at(&folder, &name);
                io(e)
            })
    }

    /// What they mean.
    ///
    /// # Errors
    /// The first key whose value cannot be used, and what would be right.
    pub fn to_request(&self) -> Result<EnableRequest, SettingsError> {
        let value = |key: &str| {
            let key = key.to_owned();
            move |message: String| SettingsError::Value { key: key.clone(), message }
        };
        let base = if self.only { 0 } else { level_of(&self.level).map_err(value("level"))? };
        let mut levels = [base; 32];
        levels[0] = 0;
        for (name, level) in &self.categories {
            let category: Category = name.parse().map_err(value("categories"))?;
            levels[category as usize] = level_of(level).map_err(value(&format!("categories.{name}")))?;
        }
        let duration = match self.duration.as_str() {
            "" => None,
            text => Some(parse_duration(text).map_err(value("duration"))?),
        };
        let segment_bytes = parse_size(&self.segment_size).map_err(value("segment_size"))?;
        if !(64 << 10..=1 << 30).contains(&segment_bytes) {
            return Err(value("segment_size")("a segment has 64K to 1G".into()));
        }
        let max_total = parse_size(&self.max_size).map_err(value("max_size"))?;
        if max_total != 0 && max_total < MIN_TOTAL {
            return Err(value("max_size")("at least 128K are needed; 0 means no limit".into()));
        }
        let mut reduce = Vec::new();
        for (name, text) in &self.reduce {
            let reduction: Reduction = text.parse().map_err(value(&format!("reduce.{name}")))?;
            reduce.push((name.clone(), reduction));
        }
        if self.opt_in.len() > MAX_OPT_INS {
            return Err(value("opt_in")(format!(
                "{} names; at most {MAX_OPT_INS} can be enabled",
                self.opt_in.len()
            )));
        }
        if reduce.len() > MAX_REDUCTIONS {
            return Err(value("reduce")(format!(
                "{} fields; at most {MAX_REDUCTIONS} can be named",
                reduce.len()
            )));
        }
        let is_event = |name: &str| name.contains('.') && !name.contains(char::is_whitespace);
        if let Some(name) = self.opt_in.iter().find(|name| !is_event(name)) {
            return Err(value("opt_in")(format!(
                "{name:?} is no full name; write \"event.name\" or \"event.name.field\""
            )));
        }
        if let Some((name, _)) = reduce.iter().find(|(name, _)| !is_event(name)) {
            return Err(value("reduce")(format!("{name:?} is no full name; write \"event.name.field\"")));
        }
        Ok(EnableRequest {
            levels,
            duration,
            max_total,
            // A small total must still hold several segments, or retention would be all or nothing.
            segment_bytes: if max_total == 0 {
                segment_bytes
            } else {
                segment_bytes.min((max_total / 4).max(64 << 10))
            },
            segment_age: parse_duration(&self.segment_age).map_err(value("segment_age"))?,
            max_age: parse_duration(&self.max_age).map_err(value("max_age"))?,
            opt_in: self.opt_in.clone(),
            reduce,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_and_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
        assert_eq!(Settings::load(&dirs).unwrap(), Settings::default());
        let mut settings = Settings { duration: "30m".into(), ..Settings::default() };
        settings.categories.insert("network".into(), "debug".into());
        settings.save(&dirs).unwrap();
        assert_eq!(Settings::load(&dirs).unwrap(), settings);
        let request = settings.to_request().unwrap();
        assert_eq!(request.levels[Category::Network as usize], 4);
        assert_eq!(request.levels[Category::Web as usize], 3);
        assert_eq!(request.duration, Some(Duration::from_secs(1800)));
        settings.categories.insert("nonsense".into(), "debug".into());
        let error = settings.to_request().unwrap_err().to_string();
        assert!(error.contains("nonsense") && error.contains("detection"), "{error}");
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!((parse_size("7"), parse_size(" 2 t ")), (Ok(7), Ok(2 << 40)));
        for bad in ["99999999999G", "", "M", "é", "-1", "1.5G"] {
            assert!(parse_size(bad).unwrap_err().contains("512M"), "{bad}");
        }
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["0s", "5", "", "m", "é", "366d", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for text in ["512M", "1G", "1025", "1K", "3T", "0"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        for text in ["90s", "30m", "25h", "7d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn every_wrong_value_is_named_with_a_remedy() {
        let wrong = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.to_request().unwrap_err().to_string()
        };
        for (error, key, remedy) in [
            (wrong(&|s| s.level = "loud".into()), "level", "debug"),
            (wrong(&|s| drop(s.categories.insert("web".into(), "x".into()))), "categories.web", "off"),
            (wrong(&|s| s.duration = "soon".into()), "duration", "30m"),
            (wrong(&|s| s.max_size = "1K".into()), "max_size", "128K"),
            (wrong(&|s| s.segment_size = "1K".into()), "segment_size", "64K"),
            (wrong(&|s| s.segment_age = "1".into()), "segment_age", "30m"),
            (wrong(&|s| s.max_age = "0d".into()), "max_age", "365d"),
            (wrong(&|s| s.opt_in = vec!["cookies".into()]), "opt_in", "event.name"),
            (wrong(&|s| s.opt_in = vec!["a.b".into(); 65]), "opt_in", "64"),
            (wrong(&|s| drop(s.reduce.insert("a.b.c".into(), "blur".into()))), "reduce.a.b.c", "keyed"),
        ] {
            assert!(error.starts_with(key) && error.contains(remedy), "{key}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_an_error_and_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
        Settings::default().save(&dirs).unwrap();
        assert_eq!(std::fs::metadata(dirs.settings()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dirs.base()).unwrap().count(), 1, "no temporary file is left");
        for text in ["level = ", "colour = \"red\"", "level = 7"] {
            std::fs::write(dirs.settings(), text).unwrap();
            let error = Settings::load(&dirs).unwrap_err().to_string();
            assert!(error.contains("settings.toml") && error.contains("correct it"), "{error}");
            assert_eq!(std::fs::read_to_string(dirs.settings()).unwrap(), text);
        }
        std::fs::set_permissions(dirs.settings(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Settings::load(&dirs).is_err(), "others can read it");
        Settings::default().save(&dirs).unwrap();
        assert_eq!(Settings::load(&dirs).unwrap(), Settings::default());
    }
}
