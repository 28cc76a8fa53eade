//! What reaches a terminal (T-20): text of strangers does nothing there, wherever in a trace it stands.

use proptest::prelude::*;
use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, ReadError, Trace};
use tracewell_schema::format::block::BlockKind;
use tracewell_schema::format::process::encode_schema_payload_item;
use vte::{Params, Parser, Perform};

use crate::synth::{STEP, Segment, info, loss, text_step};

/// A terminal that takes note of everything but printing and ends of lines.
#[derive(Default)]
struct Terminal {
    did: Vec<String>,
    lines: usize,
}

impl Perform for Terminal {
    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.lines += 1,
            _ => self.did.push(format!("control {byte:#x}")),
        }
    }

    fn hook(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        self.did.push(format!("DCS {action}"));
    }

    fn osc_dispatch(&mut self, _: &[&[u8]], _: bool) {
        self.did.push("OSC".into());
    }

    fn csi_dispatch(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        self.did.push(format!("CSI {action}"));
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, byte: u8) {
        self.did.push(format!("escape {byte:#x}"));
    }
}

/// What a terminal does when it gets this: besides printing, and how many lines it makes.
fn shown(text: &str) -> (Vec<String>, usize) {
    let (mut terminal, mut parser) = (Terminal::default(), Parser::new());
    parser.advance(&mut terminal, text.as_bytes());
    (terminal.did, terminal.lines)
}

/// Controls, and what hides or reorders text; by the rules and not by the reader's table.
fn is_forbidden(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
        | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0xe_0000..=0x10_ffff)
        || u32::from(c) & 0xfffe == 0xfffe
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"\x1b[2J"[..],
        b"\x1b]0;title\x07",
        b"\x1bP1$r\x1b\\",
        b"\x1bc",
        b"\xc2\x9b31m",
        b"\xc2\x9d0;x\xc2\x9c",
        b"\x9b",
        b"\xe2\x80\xae",
        b"\xf3\xa0\x81\x81",
        b"\r\n",
        b"\x07\x08\x0e\x7f",
        b"\xc0\x9b",
        b"\xe6\x97\xa5",
        b"plain \"\\]|",
    ]);
    let piece = prop_oneof![
        2 => pieces.prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The text of an event, the names of its thread, its component, its type, its fields, and its sentence.
    #[test]
    fn a_terminal_prints_and_does_nothing_else(texts in prop::array::uniform5(hostile())) {
        let dir = tempfile::tempdir().unwrap();
        let [text, thread, component, name, sentence] = texts;
        let of = |bytes: &[u8], most| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most).map(|(_, c)| c).collect::<String>()
        };
        let mut segment = Segment::new("scanner", 7, 1);
        let mut header = segment.header.clone();
        header.identity.component = of(&component, 31);
        segment.bytes[..256].copy_from_slice(&header.encode());
        segment.meta(BlockKind::Ring, &{
            let mut ring = info(1);
            ring.thread_name = of(&thread, 31);
            ring.encode()
        });
        // In the place of what the type's blob has: its name, the name of its first field, its sentence.
        let blob = STEP.to_blob();
        let (name, sentence) = (of(&name, 200), of(&sentence, 1000));
        let mut hostile = blob[..2].to_vec();
        hostile.push(name.len() as u8);
        hostile.extend_from_slice(name.as_bytes());
        hostile.extend_from_slice(&blob[12..17]);
        hostile.extend_from_slice(&(sentence.len() as u16).to_le_bytes());
        hostile.extend_from_slice(sentence.as_bytes());
        hostile.extend_from_slice(&[2, name.len() as u8]);
        hostile.extend_from_slice(name.as_bytes());
        hostile.extend_from_slice(&blob[12 + 5 + 2 + 13 + 1 + 1 + 6..]);
        segment.meta(BlockKind::Schemas, &encode_schema_payload_item(4, &hostile));
        let mut other = text_step(2, 20, &text);
        other[4] = 4;
        segment.data(1, 0, 0, &[text_step(1, 10, &text), loss(15, 3), other].concat()).end();
        let path = segment.write(dir.path());
        let trace = Trace::open(std::slice::from_ref(&path), &[]).unwrap();
        let (mut lines, mut objects) = (String::new(), String::new());
        let (mut renderer, mut json) = (TextRenderer::new(false), JsonRenderer::new());
        let summary = trace
            .read(&Filter::default(), |item| {
                renderer.push(&mut lines, item);
                json.push(&mut objects, item);
                Ok::<(), ReadError>(())
            })
            .unwrap();
        prop_assert_eq!(summary.shown, 2, "{:?}", summary.damaged);
        for output in [&lines, &objects] {
            prop_assert_eq!(shown(output), (Vec::new(), 3), "{}", output.escape_debug());
            let bad = output.chars().find(|c| *c != '\n' && is_forbidden(*c));
            prop_assert!(bad.is_none(), "{:?} in {}", bad, output.escape_debug());
        }
        for object in objects.lines() {
            serde_json::from_str::<serde_json::Value>(object).unwrap();
        }
    }
}

#[test]
fn a_terminal_that_is_attacked_is_noticed() {
    for attack in ["\x1b[2J", "\x1b]0;x\x07", "\x1bc", "\x1bP1$r\x1b\\", "\x07", "\u{9b}2J"] {
        let seen = shown(attack).0.len() + attack.chars().filter(|c| is_forbidden(*c)).count();
        assert!(seen != 0, "{}", attack.escape_debug());
    }
}
