//! What the user chose, in `settings.toml` beside the control page: the defaults of `tracewell enable`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracewell_schema::format::control::{MAX_OPT_INS, MAX_REDUCTIONS};
use tracewell_schema::{Category, Level, Reduction};

use crate::control::EnableRequest;
use crate::dirs::Dirs;
use crate::{fs, uuid};

mod error;
mod units;

use error::REPLACE;
pub use error::SettingsError;
pub use units::{format_duration, format_size, parse_duration, parse_size};

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

/// Smallest total that retention can keep to.
const MIN_TOTAL: u64 = 128 << 10;

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
    /// If the file is there but cannot be used, a value in it included.
    pub fn load(dirs: &Dirs) -> Result<Self, SettingsError> {
        let path = dirs.settings();
        let opened = fs::open_private_dir(dirs.base()).and_then(|d| fs::open_existing(d, FILE, false));
        let mut text = String::new();
        match opened.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(SettingsError::reading(&path, &e)),
            Ok(_) => {}
        }
        let settings: Self =
            toml::from_str(&text).map_err(|e| SettingsError::of_file(&path, describe(&e, &text)))?;
        settings.to_request().map_err(|e| SettingsError { path: Some(path), remedy: REPLACE, ..e })?;
        Ok(settings)
    }

    /// Writes the file anew, as a whole.
    ///
    /// # Errors
    /// If it cannot be written; then the old one is as it was.
    pub fn save(&self, dirs: &Dirs) -> Result<(), SettingsError> {
        self.prepare(dirs)?.commit()
    }

    /// Writes them beside the file, so that [`PreparedSettings::commit`] needs no room any more.
    ///
    /// # Errors
    /// If they cannot be written; then nothing is left of them.
    pub fn prepare(&self, dirs: &Dirs) -> Result<PreparedSettings, SettingsError> {
        let path = dirs.settings();
        let fail = |e: io::Error| SettingsError::writing(&path, &e);
        let text = toml::to_string(self).map_err(|e| fail(io::Error::other(e)))?;
        let folder = fs::create_private_dir_all(dirs.base()).map_err(fail)?;
        let name = format!(".settings-{}", tracewell_schema::format::hex(&uuid::random()[..8]));
        let mut file = fs::create_new(&folder, &name).map_err(fail)?;
        // From here on dropping it removes the file.
        let prepared = PreparedSettings { folder, name: Some(name), path: path.clone() };
        file.write_all(b"# What `tracewell enable` records when it is not told otherwise.\n")
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_data())
            .map_err(fail)?;
        Ok(prepared)
    }

    /// What they mean.
    ///
    /// # Errors
    /// The first key whose value cannot be used, and what would be right.
    pub fn to_request(&self) -> Result<EnableRequest, SettingsError> {
        let value = |key: &str| {
            let key = key.to_owned();
            move |message: String| SettingsError::value(&key, message)
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

/// What is wrong with the text, in one line.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or_else(String::new, |b| format!("line {}: ", b.matches('\n').count() + 1));
    format!("{line}{}", error.message().replace('\n', ", "))
}

/// Settings that are written, but not in effect; dropping them forgets them.
#[derive(Debug)]
pub struct PreparedSettings {
    folder: OwnedFd,
    name: Option<String>,
    path: PathBuf,
}

impl PreparedSettings {
    /// Puts them in the place of the former ones.
    ///
    /// # Errors
    /// If that is not possible; then the former ones are as they were.
    pub fn commit(mut self) -> Result<(), SettingsError> {
        if let Some(name) = &self.name {
            fs::rename_at(&self.folder, name, FILE).map_err(|e| SettingsError::writing(&self.path, &e))?;
        }
        self.name = None;
        fs::sync_dir(&self.folder).map_err(|e| SettingsError::writing(&self.path, &e))
    }
}

impl Drop for PreparedSettings {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::unlink_at(&self.folder, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let texts: [(&[u8], &str); 6] = [
            (b"level = ", "line 1"),
            (b"\ncolour = \"red\"", "line 2: unknown field `colour`"),
            (b"level = 7", "line 1"),
            (b"level = \"loud\"", "level: "),
            (b"max_size = \"1K\"", "max_size: "),
            (b"level = \"\xff\"", "not UTF-8"),
        ];
        for (text, part) in texts {
            std::fs::write(dirs.settings(), text).unwrap();
            let error = Settings::load(&dirs).unwrap_err().to_string();
            for part in ["settings.toml: ", part, "edit or delete it", "enable --defaults"] {
                assert!(error.contains(part), "{part}: {error}");
            }
            assert!(!error.contains('\n'), "{error}");
            assert_eq!(std::fs::read(dirs.settings()).unwrap(), text);
        }
        std::fs::set_permissions(dirs.settings(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Settings::load(&dirs).unwrap_err().to_string().contains("chmod 600"), "others can read it");
        std::fs::remove_file(dirs.settings()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dirs.settings()).unwrap();
        let error = Settings::load(&dirs).unwrap_err().to_string();
        assert!(error.contains("symbolic link") && error.contains("enable --defaults"), "{error}");
        // Prepared settings change nothing until they are put in place, and leave nothing if they are not.
        let debug = Settings { level: "debug".into(), ..Settings::default() };
        drop(debug.prepare(&dirs).unwrap());
        assert!(dirs.settings().is_symlink());
        assert_eq!(std::fs::read_dir(dirs.base()).unwrap().count(), 1);
        debug.prepare(&dirs).unwrap().commit().unwrap();
        assert_eq!(Settings::load(&dirs).unwrap(), debug);
        Settings::default().save(&dirs).unwrap();
        assert_eq!(Settings::load(&dirs).unwrap(), Settings::default());
    }
}
