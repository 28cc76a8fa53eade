//! What may come out (T-20): judged without the reader's own tables.

use vte::{Params, Parser, Perform};

/// Characters that no output may have: they control a terminal, hide, reorder or are nothing.
fn is_forbidden(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f // controls
        | 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x3164 | 0xffa0 // not seen
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xfffb
        | 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff // private
        | 0xe_0000..=0xe_0fff // tags, variation selectors
        | 0xfdd0..=0xfdef) // not characters
        || u32::from(c) & 0xfffe == 0xfffe
}

/// A terminal that must do nothing but print.
#[derive(Default)]
struct Terminal {
    did: Option<String>,
    line_ends: usize,
}

impl Perform for Terminal {
    fn execute(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line_ends += 1;
        } else {
            self.did = Some(format!("control {byte:#x}"));
        }
    }

    fn hook(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        self.did = Some(format!("DCS {action:?}"));
    }

    fn osc_dispatch(&mut self, _: &[&[u8]], _: bool) {
        self.did = Some("OSC".into());
    }

    fn csi_dispatch(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        self.did = Some(format!("CSI {action:?}"));
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, byte: u8) {
        self.did = Some(format!("escape {byte:#x}"));
    }
}

/// Asserts that it is one line, ended, with nothing that is not to be printed.
///
/// # Panics
/// If it is not.
pub fn assert_line(line: &str) {
    let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("no end of line: {line:?}"));
    assert_printable(text);
    let (mut terminal, mut parser) = (Terminal::default(), Parser::new());
    parser.advance(&mut terminal, line.as_bytes());
    assert!(terminal.did.is_none() && terminal.line_ends == 1, "{:?} in {line:?}", terminal.did);
}

/// Asserts that there is nothing in it that is not to be printed.
///
/// # Panics
/// If there is.
pub fn assert_printable(text: &str) {
    if let Some(c) = text.chars().find(|c| is_forbidden(*c)) {
        panic!("{:#x} in {text:?}", u32::from(c));
    }
}

/// Asserts that it is one line with one JSON object, which has nothing that is not to be printed as it stands.
///
/// # Panics
/// If it is not.
pub fn assert_json_line(line: &str) {
    assert_line(line);
    assert!(!line.contains(['<', '>', '&']), "{line}");
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(serde_json::Value::Object(object)) => {
            for key in ["ts", "time_ns", "level", "component", "pid", "tid", "category", "event", "fields"] {
                assert!(object.contains_key(key), "no {key}: {line}");
            }
        }
        other => panic!("{other:?}: {line}"),
    }
}
