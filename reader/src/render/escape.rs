//! Text that is safe to print: a trace's strings come from strangers.
//!
//! Printed as they are: printable characters. As `\u{..}`: C0, DEL, C1, line and paragraph separators, bidi controls,
//! zero-width and other format characters, tags, variation selectors, private use, noncharacters, unassigned. Newline, tab,
//! carriage return and backslash as `\n`, `\t`, `\r`, `\\`; bytes that are not UTF-8 as `\xNN`.

use std::fmt;
use std::fmt::Write as _;

use super::buffer::Buffer;

/// Whether a character may be printed as it is.
#[must_use]
pub fn is_printable(c: char) -> bool {
    let n = u32::from(c);
    if n < 0x7f {
        return n >= 0x20;
    }
    // Letters of blocks that are wholly assigned, which nearly all text is of.
    if matches!(n, 0xc0..=0x24f | 0x410..=0x44f | 0x4e00..=0x9fff | 0xac00..=0xd7a3) {
        return true;
    }
    // What the standard library would not print is unassigned, private, or a control or format character; a letter
    // stands before it, because a combining mark alone is not printed either.
    let mut buffer = [b'a', 0, 0, 0, 0];
    let len = 1 + buffer.get_mut(1..).map_or(0, |rest| c.encode_utf8(rest).len());
    let text = buffer.get(..len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default();
    if text.escape_debug().count() != 2 {
        return false;
    }
    !matches!(n,
        0x7f..=0x9f
        | 0xad
        | 0x34f
        | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
        | 0x115f..=0x1160 | 0x17b4..=0x17b5
        | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
        | 0x2800
        | 0x3164
        | 0xd800..=0xf8ff
        | 0xfdd0..=0xfdef
        | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
        | 0xfff0..=0xfffb | 0xfffe..=0xffff
        | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
        | 0xe0000..=0x10_ffff
    ) && (n & 0xfffe) != 0xfffe
}

/// Bytes that stand for themselves: printable ASCII but the backslash.
static IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x20;
    while b < 0x7f {
        table[b] = b != b'\\' as usize;
        b += 1;
    }
    table
};

/// Whether all bytes stand for themselves: printable ASCII but the backslash and `but`.
#[inline]
fn is_plain(bytes: &[u8], but: u8) -> bool {
    all(bytes, |b| (b.wrapping_sub(0x20) < 0x5f) & (b != b'\\') & (b != but))
}

/// Whether `is_good` holds for every byte; in the form that compilers make vector code of.
#[inline(always)]
pub(crate) fn all(bytes: &[u8], is_good: impl Fn(u8) -> bool + Copy) -> bool {
    let good = |part: &[u8]| part.iter().fold(0, |bad, b| bad | u8::from(!is_good(*b))) == 0;
    let (parts, rest) = bytes.as_chunks::<16>();
    if parts.is_empty() {
        return rest.iter().all(|b| is_good(*b));
    }
    // The last part overlaps the one before it.
    parts.iter().fold(true, |all, part| all & good(part)) && bytes.last_chunk::<16>().is_some_and(|l| good(l))
}

/// Appends text, safe to print on one line. `quote` is escaped too.
pub fn push_escaped(out: &mut String, bytes: &[u8], quote: Option<char>) {
    let mut buffer = Buffer::new();
    put_escaped(&mut buffer, bytes, quote);
    out.push_str(&buffer.as_text());
}

/// As [`push_escaped`].
#[inline]
pub(crate) fn put_escaped(out: &mut Buffer, bytes: &[u8], quote: Option<char>) {
    let quote_byte = quote.and_then(|q| u8::try_from(q).ok()).unwrap_or(b'\\');
    // Nearly all text is plain.
    if is_plain(bytes, quote_byte) {
        out.push_bytes(bytes);
    } else {
        put_strange(out, bytes, quote, quote_byte);
    }
}

/// Text with something in it that does not stand for itself.
fn put_strange(out: &mut Buffer, bytes: &[u8], quote: Option<char>, quote_byte: u8) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let plain =
            rest.iter().position(|b| !IS_PLAIN[usize::from(*b)] || *b == quote_byte).unwrap_or(rest.len());
        let (head, tail) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.push_bytes(head);
        rest = tail;
        let Some(first) = rest.first() else { break };
        let width = match first {
            0..0x80 => 1,
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => 0,
        };
        let c = rest.get(..width).and_then(|b| std::str::from_utf8(b).ok()).and_then(|s| s.chars().next());
        let used = match c {
            Some('\n') => push(out, "\\n", 1),
            Some('\r') => push(out, "\\r", 1),
            Some('\t') => push(out, "\\t", 1),
            Some('\\') => push(out, "\\\\", 1),
            Some(c) if Some(c) == quote => {
                out.push('\\');
                out.push(c);
                c.len_utf8()
            }
            Some(c) if is_printable(c) => {
                out.push(c);
                c.len_utf8()
            }
            Some(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                c.len_utf8()
            }
            None => {
                let _ = write!(out, "\\x{first:02x}");
                1
            }
        };
        rest = rest.get(used..).unwrap_or_default();
    }
}

fn push(out: &mut Buffer, text: &str, used: usize) -> usize {
    out.push_str(text);
    used
}

/// Displays text safely.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        push_escaped(&mut out, self.0.as_bytes(), None);
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = String::new();
        push_escaped(&mut out, bytes, Some('"'));
        out
    }

    #[test]
    fn attacks_stay_text() {
        for (input, output) in [
            (&b"plain /bin/true"[..], "plain /bin/true"),
            (b"\x1b[31mred", "\\u{1b}[31mred"),
            (b"a\nb\r\t", "a\\nb\\r\\t"),
            ("\u{202e}gpj.exe".as_bytes(), "\\u{202e}gpj.exe"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("na\u{ef}ve \u{65e5}".as_bytes(), "na\u{ef}ve \u{65e5}"),
            (b"\xff\xfeok\xc3", "\\xff\\xfeok\\xc3"),
            (b"C:\\x \"q\"", "C:\\\\x \\\"q\\\""),
            ("\u{e0041}\u{feff}\u{2028}".as_bytes(), "\\u{e0041}\\u{feff}\\u{2028}"),
        ] {
            assert_eq!(escaped(input), output);
        }
    }

    /// Every character there is, against what hazards of terminals ask for.
    #[test]
    fn every_character() {
        let hidden = [
            0x00..=0x1f_u32,
            0x7f..=0x9f,
            0xad..=0xad,
            0x61c..=0x61c,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0xe000..=0xf8ff,
            0xfeff..=0xfeff,
            0xfff9..=0xfffb,
            0xe0000..=0xe007f,
            0xf0000..=0x10_ffff,
            0x378..=0x379,
            0x0_2fe0..=0x0_2fef,
            0x5_0000..=0x5_ffff,
        ];
        for n in 0..=0x10_ffff {
            let Some(c) = char::from_u32(n) else { continue };
            let out = escaped(c.to_string().as_bytes());
            assert!(out.chars().all(is_printable), "{n:x}");
            if hidden.iter().any(|range| range.contains(&n)) || out != c.to_string() {
                assert!(out.is_ascii() && out.starts_with('\\'), "{n:x}: {out}");
            }
        }
        for plain in
            "aZ~ \u{e9}\u{df}\u{416}\u{3b1}\u{5d0}\u{627}\u{e01}\u{65e5}\u{d55c}\u{1f600}\u{301}\u{20ac}"
                .chars()
        {
            assert!(is_printable(plain), "{plain:?}");
        }
    }

    /// Character by character, as the rules are written.
    fn simply(bytes: &[u8], quote: Option<char>) -> String {
        let mut out = String::new();
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if Some(c) == quote => out.extend(['\\', c]),
                    c if is_printable(c) => out.push(c),
                    c => out += &format!("\\u{{{:x}}}", u32::from(c)),
                }
            }
            chunk.invalid().iter().for_each(|b| out += &format!("\\x{b:02x}"));
        }
        out
    }

    /// One byte of every value, at every place of texts of all lengths around those of the parts.
    #[test]
    fn one_strange_byte_anywhere() {
        for len in [1, 2, 15, 16, 17, 31, 32, 33, 40] {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut bytes = vec![b'x'; len];
                    bytes[at] = byte;
                    assert_eq!(escaped(&bytes), simply(&bytes, Some('"')), "{byte:x} at {at} of {len}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_fast_way_is_the_simple_one(
            parts in prop::collection::vec(prop_oneof!["[ -~]{0,40}".prop_map(String::into_bytes), "\\PC{0,9}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..9)], 0..6),
            quote in prop::sample::select(vec![None, Some('"'), Some(']')]),
        ) {
            let (bytes, mut out) = (parts.concat(), String::new());
            push_escaped(&mut out, &bytes, quote);
            prop_assert_eq!(out, simply(&bytes, quote));
        }

        #[test]
        fn whatever_goes_in_only_printable_characters_come_out(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(escaped(&bytes).chars().all(is_printable));
        }

        #[test]
        fn text_of_any_characters(text in "\\PC*|.*") {
            prop_assert!(escaped(text.as_bytes()).chars().all(is_printable));
        }
    }
}
