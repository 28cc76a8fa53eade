//! Text of strangers as a page may show it: what is not printable is written out, so that nothing is hidden and nothing
//! turns the direction of what follows.

use tracewell_reader::render::escape::push_escaped;

/// Bytes as text on one line; tabs and backslashes stay, for this is looked at and not read back.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for (place, part) in bytes.split(|b| *b == b'\t').enumerate() {
        if place != 0 {
            out.push('\t');
        }
        for (place, part) in part.split(|b| *b == b'\\').enumerate() {
            if place != 0 {
                out.push('\\');
            }
            push_escaped(&mut out, part, None);
        }
    }
    out
}

/// Where a piece of at most `most` bytes ends without cutting a character of UTF-8.
pub(crate) fn piece_end(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let is_inside = |at: usize| bytes.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    (most.saturating_sub(3)..=most).rev().find(|at| !is_inside(*at)).filter(|at| *at != 0).unwrap_or(most)
}

/// Where the first whole character begins, of bytes that may begin within one.
pub(crate) fn piece_begin(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_hidden_and_nothing_steers() {
        let hostile = "a\u{202e}b\u{200b}c\u{1b}[31m<script>\tC:\\x\u{feff}".as_bytes();
        assert_eq!(shown(hostile), "a\\u{202e}b\\u{200b}c\\u{1b}[31m<script>\tC:\\x\\u{feff}");
        assert_eq!(shown(b"\xff\xc3ok"), "\\xff\\xc3ok");
    }

    #[test]
    fn pieces_do_not_cut_characters() {
        let text = "aäöü€𐍈".repeat(50);
        for most in 4..20 {
            let (mut at, mut pieces) = (0, Vec::new());
            while at < text.len() {
                let end = at + piece_end(&text.as_bytes()[at..], most);
                assert!(end - at <= most);
                pieces.push(text.get(at..end).expect("whole characters"));
                at = end;
            }
            assert_eq!(pieces.concat(), text);
        }
        // What is no UTF-8 is cut somewhere, but it goes on.
        assert_eq!(
            (piece_end(&[0x80; 20], 7), piece_end(&[0x80; 5], 7), piece_end(&[0x80; 9], 2)),
            (7, 5, 2)
        );
        assert_eq!((piece_begin("€".as_bytes()), piece_begin(&"€".as_bytes()[1..])), (0, 2));
    }
}
