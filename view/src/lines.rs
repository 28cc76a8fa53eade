//! Text in pages of lines, and any bytes in pages of rows: from any place on, in both directions, without an index.

use std::io;

use serde::Serialize;
use tracewell_reader::ReadAt;

use crate::bundle::read_full;
use crate::shown::{piece_begin, piece_end, shown};

/// Most rows of a page.
pub(crate) const ROWS: usize = 1000;
/// Bytes of a row: a longer line goes on in the next one.
const PIECE: usize = 4096;
/// Bytes of a page, as they are in the member.
const PAGE: usize = 256 << 10;
/// Bytes of a row of hexadecimal digits.
const HEX_ROW: u64 = 16;
/// Rows of a page of them.
const HEX_ROWS: u64 = 512;

/// A place in a member: an offset, and the number of the line there if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) at: u64,
    pub(crate) line: Option<u64>,
}

/// A line, or a piece of a long one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// Where it is.
    pub(crate) at: u64,
    /// Its number, if that is known.
    pub(crate) line: Option<u64>,
    /// It goes on with the line before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) goes_on: bool,
    pub(crate) text: String,
}

/// Lines, and where the pages around them begin.
#[derive(Debug, Serialize)]
pub(crate) struct Lines {
    pub(crate) rows: Vec<Line>,
    /// The place of what comes before the first row; none at the beginning.
    pub(crate) before: Option<Place>,
    /// The place after the last row; none at the end.
    pub(crate) next: Option<Place>,
    pub(crate) size: u64,
}

/// The page that begins at a place.
pub(crate) fn page(bytes: &dyn ReadAt, from: Place) -> io::Result<Lines> {
    let size = bytes.size()?;
    let at = from.at.min(size);
    // Enough that the last row ends where a character does.
    let mut window = vec![0; PAGE + PIECE + 4];
    let n = read_full(bytes, &mut window, at)?;
    window.truncate(n);
    let mut goes_on = is_within_line(bytes, at)?;
    let (mut rows, mut done, mut line) = (Vec::new(), 0, if at == 0 { Some(1) } else { from.line });
    while rows.len() < ROWS && done < PAGE {
        let rest = window.get(done..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let row = Row::first(rest);
        rows.push(row.line(at + done as u64, line, goes_on));
        done += row.used;
        goes_on = !row.ends;
        line = line.map(|line| line + u64::from(row.ends));
    }
    let end = at + done as u64;
    Ok(Lines {
        before: (at > 0).then_some(Place { at, line: if at == 0 { None } else { from.line } }),
        next: (end < size && done != 0).then_some(Place { at: end, line }),
        rows,
        size,
    })
}

/// The page that ends before a place.
pub(crate) fn page_before(bytes: &dyn ReadAt, to: Place) -> io::Result<Lines> {
    let size = bytes.size()?;
    let end = to.at.min(size);
    let mut begin = end.saturating_sub(PAGE as u64);
    let mut window = vec![0; usize::try_from(end - begin).unwrap_or(PAGE)];
    let n = read_full(bytes, &mut window, begin)?;
    window.truncate(n);
    if begin > 0 {
        // From a line's beginning on if there is one, else from that of a character.
        let within = is_within_line(bytes, begin)?;
        let first = memchr::memchr(b'\n', &window).map(|at| at + 1).filter(|at| *at < window.len());
        let skipped = if within { first.unwrap_or_else(|| piece_begin(&window)) } else { 0 };
        window.drain(..skipped.min(window.len()));
        begin += skipped as u64;
    }
    let mut goes_on = is_within_line(bytes, begin)?;
    let lines = memchr::memchr_iter(b'\n', &window).count() as u64;
    let mut line = if begin == 0 { Some(1) } else { to.line.and_then(|line| line.checked_sub(lines)) };
    let (mut rows, mut done) = (std::collections::VecDeque::new(), 0);
    while let Some(rest) = window.get(done..).filter(|rest| !rest.is_empty()) {
        let row = Row::first(rest);
        if rows.len() == ROWS {
            rows.pop_front();
        }
        rows.push_back(row.line(begin + done as u64, line, goes_on));
        done += row.used;
        goes_on = !row.ends;
        line = line.map(|line| line + u64::from(row.ends));
    }
    let before = rows.front().map(|row| Place { at: row.at, line: row.line }).filter(|place| place.at > 0);
    let next = (end < size).then_some(Place { at: end, line: to.line.or(line) });
    Ok(Lines { rows: rows.into(), before, next, size })
}

/// Where the line that a place is in begins, or a place shortly before in a long one.
pub(crate) fn begin_of_line(bytes: &dyn ReadAt, at: u64) -> io::Result<u64> {
    let begin = at.saturating_sub(PIECE as u64 / 2);
    let mut window = vec![0; usize::try_from(at - begin).unwrap_or(PIECE)];
    let n = read_full(bytes, &mut window, begin)?;
    window.truncate(n);
    Ok(match memchr::memrchr(b'\n', &window) {
        Some(end) => begin + end as u64 + 1,
        None if begin == 0 => 0,
        None => begin + piece_begin(&window) as u64,
    })
}

fn is_within_line(bytes: &dyn ReadAt, at: u64) -> io::Result<bool> {
    let Some(before) = at.checked_sub(1) else { return Ok(false) };
    let mut last = [0];
    Ok(read_full(bytes, &mut last, before)? == 1 && last != *b"\n")
}

struct Row<'a> {
    text: &'a [u8],
    used: usize,
    ends: bool,
}

impl<'a> Row<'a> {
    /// The first line of bytes that are not empty, or a piece of it.
    fn first(bytes: &'a [u8]) -> Self {
        let most = bytes.get(..=PIECE).unwrap_or(bytes);
        match memchr::memchr(b'\n', most) {
            Some(end) => {
                let text = bytes.get(..end).unwrap_or_default();
                Self { text: text.strip_suffix(b"\r").unwrap_or(text), used: end + 1, ends: true }
            }
            None => {
                let end = piece_end(bytes, PIECE);
                Self { text: bytes.get(..end).unwrap_or_default(), used: end, ends: false }
            }
        }
    }

    fn line(&self, at: u64, line: Option<u64>, goes_on: bool) -> Line {
        Line { at, line, goes_on, text: shown(self.text) }
    }
}

/// Sixteen bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hex {
    pub(crate) at: u64,
    pub(crate) hex: String,
    pub(crate) text: String,
}

/// Rows of bytes.
#[derive(Debug, Serialize)]
pub(crate) struct HexPage {
    pub(crate) rows: Vec<Hex>,
    pub(crate) before: Option<Place>,
    pub(crate) next: Option<Place>,
    pub(crate) size: u64,
}

/// Bytes from an offset on, or those before it.
pub(crate) fn hex(bytes: &dyn ReadAt, at: u64, is_before: bool) -> io::Result<HexPage> {
    let size = bytes.size()?;
    let mut begin = at.min(size) / HEX_ROW * HEX_ROW;
    if is_before {
        begin = at.min(size).next_multiple_of(HEX_ROW).saturating_sub(HEX_ROWS * HEX_ROW);
    }
    let mut window = vec![0; (HEX_ROW * HEX_ROWS) as usize];
    let n = read_full(bytes, &mut window, begin)?;
    window.truncate(n);
    let row = |(place, bytes): (usize, &[u8])| Hex {
        at: begin + place as u64 * HEX_ROW,
        hex: bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
        text: bytes
            .iter()
            .map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' })
            .collect(),
    };
    let end = begin + n as u64;
    Ok(HexPage {
        rows: window.chunks(HEX_ROW as usize).enumerate().map(row).collect(),
        before: (begin > 0).then_some(Place { at: begin, line: None }),
        next: (end < size && n != 0).then_some(Place { at: end, line: None }),
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Memory;

    fn all(text: &[u8]) -> Vec<Line> {
        let bytes = Memory(text.to_vec());
        let (mut rows, mut place) = (Vec::new(), Some(Place { at: 0, line: None }));
        while let Some(from) = place {
            let lines = page(&bytes, from).unwrap();
            assert!(lines.rows.len() <= ROWS && (lines.next.is_none() || !lines.rows.is_empty()));
            rows.extend(lines.rows);
            place = lines.next;
        }
        rows
    }

    #[test]
    fn every_byte_of_a_text_is_in_a_row_whatever_its_lines() {
        let long = "é".repeat(600_000);
        let text = format!("one\r\ntwo\n\n{long}\nlast");
        let rows = all(text.as_bytes());
        let line = |n: u64| -> String {
            rows.iter().filter(|r| r.line == Some(n)).map(|r| r.text.as_str()).collect()
        };
        assert_eq!([line(1), line(2), line(3), line(5)], ["one", "two", "", "last"]);
        assert_eq!(line(4), long);
        assert!(rows.iter().all(|r| r.text.len() <= PIECE));
        assert_eq!(rows.iter().filter(|r| !r.goes_on).count(), 5);
        assert!(all(b"").is_empty());
        assert_eq!(all(b"\n").len(), 1);
        let many = "x\n".repeat(5000);
        let rows = all(many.as_bytes());
        assert_eq!((rows.len(), rows.last().unwrap().line), (5000, Some(5000)));
    }

    #[test]
    fn backwards_it_is_the_same() {
        let text: String = (1..=7000).map(|n| format!("line {n} {}\n", "y".repeat(n % 97))).collect();
        let bytes = Memory(text.clone().into_bytes());
        let forward = all(text.as_bytes());
        // From the end, whose line number is not known at first.
        let mut place = Some(Place { at: text.len() as u64, line: Some(7001) });
        let mut backward = Vec::new();
        while let Some(to) = place {
            let lines = page_before(&bytes, to).unwrap();
            assert!(!lines.rows.is_empty() && lines.rows.len() <= ROWS);
            place = lines.before;
            backward.splice(0..0, lines.rows);
        }
        assert_eq!(backward, forward);
        let last = page_before(&bytes, Place { at: u64::MAX, line: None }).unwrap();
        assert_eq!(last.rows.last().unwrap().text, forward.last().unwrap().text);
        assert!(last.next.is_none() && last.rows.last().unwrap().line.is_none());
        // A line longer than a page.
        let bytes = Memory(vec![b'z'; 1 << 20]);
        let (mut place, mut len) = (Some(Place { at: 1 << 20, line: None }), 0);
        while let Some(to) = place {
            let lines = page_before(&bytes, to).unwrap();
            len += lines.rows.iter().map(|r| r.text.len()).sum::<usize>();
            place = lines.before;
        }
        assert_eq!(len, 1 << 20);
    }

    #[test]
    fn a_place_within_a_line_leads_to_its_beginning() {
        let bytes = Memory([b"first\nsecond\n".as_slice(), &[b'a'; 9000]].concat());
        let at = |at| begin_of_line(&bytes, at).unwrap();
        assert_eq!((at(0), at(3), at(6), at(9), at(13)), (0, 0, 6, 6, 13));
        assert_eq!(at(8000), 8000 - 2048);
        let page = page(&bytes, Place { at: 9, line: Some(2) }).unwrap();
        assert!(page.rows[0].goes_on && page.rows[0].text == "ond" && page.rows[1].line == Some(3));
    }

    #[test]
    fn bytes_in_rows_both_ways() {
        let bytes = Memory((0..20_000_u32).map(|n| n as u8).collect());
        let first = hex(&bytes, 0, false).unwrap();
        assert_eq!(first.rows[0].hex, "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f");
        assert_eq!((first.rows.len(), first.next.unwrap().at), (512, 8192));
        let back = hex(&bytes, first.next.unwrap().at, true).unwrap();
        assert_eq!(back.rows, first.rows);
        let last = hex(&bytes, u64::MAX, true).unwrap();
        assert_eq!((last.rows.last().unwrap().at, last.next), (19_984, None));
        assert!(hex(&Memory(Vec::new()), 5, false).unwrap().rows.is_empty());
    }
}
