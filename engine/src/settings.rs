//! What the user chose, in `settings.toml` beside the control page: the defaults of `tracewell enable`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracewell_schema::{Category, Level, Reduction};

use crate::control::EnableRequest;
use crate::dirs::Dirs;
use crate::{fs, uuid};

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

/// A size as "512", "64K", "16M", "1G".
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size; write a number with K, M or G, as \"512M\"");
    let text = text.trim();
    let (digits, factor) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G') => (&text[..text.len() - 1], 1_u64 << 30),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// A duration as "90s", "30m", "2h", "7d".
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write a number with s, m, h or d, as \"30m\"");
    let text = text.trim();
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => return Err(bad()),
    };
    let n: u64 = text[..text.len() - 1].trim().parse().map_err(|_| bad())?;
    match n.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is out of range; it lasts from 1s to 365d")),
    }
}

fn level_of(text: &str) -> Result<u8, String> {
    if text == "off" { Ok(0) } else { text.parse::<Level>().map(|l| l as u8) }
}

impl Settings {
    /// The settings of a trace directory; the defaults if there is no file.
    ///
    /// # Errors
    /// If the file is there but cannot be used.
    pub fn load(dirs: &Dirs) -> Result<Self, SettingsError> {
        let path = dirs.settings();
        let io = |source| SettingsError::Io { path: path.clone(), source };
        let opened =
            fs::open_private_dir(dirs.base()).and_then(|d| fs::open_existing(d, "settings.toml", false));
        let mut text = String::new();
        match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(io(e)),
            Ok(file) => file.take(1 << 20).read_to_string(&mut text).map_err(io)?,
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
        written.and_then(|()| fs::rename_at(&folder, &name, "settings.toml")).map_err(|e| {
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
        if max_total != 0 && max_total < 2 * segment_bytes.min(max_total.max(1)) && max_total < 128 << 10 {
            return Err(value("max_size")("at least 128K are needed".into()));
        }
        let mut reduce = Vec::new();
        for (name, text) in &self.reduce {
            let reduction: Reduction = text.parse().map_err(value(&format!("reduce.{name}")))?;
            reduce.push((name.clone(), reduction));
        }
        if self.opt_in.len() > 64 || reduce.len() > 128 {
            return Err(value("opt_in")("at most 64 opt-ins and 128 reductions".into()));
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
        assert_eq!(parse_size("7"), Ok(7));
        assert!(parse_size("99999999999G").is_err());
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(parse_duration("0s").is_err() && parse_duration("5").is_err());
    }
}
