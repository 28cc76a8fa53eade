use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tracewell::dirs::Dirs;
use tracewell::settings::{Settings, format_duration, format_size, parse_duration, parse_size};
use tracewell_schema::format::control::{MAX_OPT_INS, MAX_REDUCTIONS};
use tracewell_schema::{Category, Level, Reduction};

use crate::bounds::{CODEC_MEMORY, bounded};
use crate::output::assert_printable;
use crate::place;

/// The settings file, and the words that the command takes on its line: sizes, durations, levels, categories, reductions.
pub fn settings(data: &[u8]) -> bool {
    static DIRS: OnceLock<Dirs> = OnceLock::new();
    let dir = place::empty().join("trace");
    place::make(&dir);
    let dirs = DIRS.get_or_init(|| Dirs::resolve(Some(&dir)).expect("a directory"));
    drop(place::write(&dirs.settings(), data));
    bounded(CODEC_MEMORY, || {
        match Settings::load(dirs) {
            Ok(settings) => assert_settings(&settings, dirs),
            Err(error) => assert_error(&error.to_string(), &dir),
        }
        if let Ok(text) = std::str::from_utf8(data) {
            assert_words(text);
        }
        20 * data.len() as u64
    });
    true
}

fn assert_settings(settings: &Settings, dirs: &Dirs) {
    let request = settings.to_request().expect("what is loaded can be used");
    assert!(request.levels.iter().all(|level| *level <= 5) && request.levels[0] == 0);
    assert!(request.opt_in.len() <= MAX_OPT_INS && request.reduce.len() <= MAX_REDUCTIONS);
    assert!((64 << 10..=1 << 30).contains(&request.segment_bytes));
    settings.save(dirs).expect("it can be written");
    assert_eq!(&Settings::load(dirs).expect("what was written"), settings);
}

/// An error is one line, says where, and takes nothing into the terminal that was in the file.
fn assert_error(error: &str, dir: &Path) {
    assert_printable(error);
    assert!(error.contains(dir.to_str().expect("a name of ours")), "{error}");
}

fn assert_words(text: &str) {
    let ok = |error: String| assert_printable(&error);
    match parse_size(text) {
        Ok(size) => assert_eq!(parse_size(&format_size(size)), Ok(size), "{text}"),
        Err(error) => ok(error),
    }
    match parse_duration(text) {
        Ok(time) => {
            assert!(time <= Duration::from_secs(365 * 24 * 3600) && !time.is_zero(), "{text}");
            assert_eq!(parse_duration(&format_duration(time)), Ok(time), "{text}");
        }
        Err(error) => ok(error),
    }
    match text.parse::<Reduction>() {
        Ok(reduction) => assert_eq!(reduction.to_string().parse(), Ok(reduction), "{text}"),
        Err(error) => ok(error.to_string()),
    }
    text.parse::<Level>().map_or_else(|e| ok(e.to_string()), |level| assert_eq!(level.name(), text));
    text.parse::<Category>().map_or_else(|e| ok(e.to_string()), |category| assert_eq!(category.name(), text));
}
