//! Text of any length, line by line.

use std::io::{self, BufRead, BufReader, Read};

use super::Redactor;

/// Longest piece that is replaced in at once: a longer line is cut where nothing that is to be replaced lies across.
const MAX_PIECE: usize = 64 << 10;
/// Bytes beyond it that are looked at, to see what lies across.
const BEYOND: usize = 8 << 10;
/// Most lines that are taken for the rest of a private key.
const MAX_KEY_LINES: u32 = 1000;
/// Longest end of a private key: `-----END .. PRIVATE KEY BLOCK-----`.
const MAX_KEY_END: usize = 64;

/// Gives a text with everything replaced. Bytes that are no UTF-8 become U+FFFD.
pub(super) struct TextStream<'a, R: Read> {
    redactor: &'a mut Redactor,
    from: BufReader<R>,
    /// Read and not given yet: a line, or the beginning of one.
    pending: String,
    /// The first bytes of a character whose others are still to be read.
    begun: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    /// Lines of a private key that may still come.
    in_key: u32,
    /// The rest of this line belongs to a secret that began before.
    in_secret: bool,
}

impl<'a, R: Read> TextStream<'a, R> {
    pub(super) fn new(redactor: &'a mut Redactor, from: R) -> Self {
        Self {
            redactor,
            from: BufReader::new(from),
            pending: String::new(),
            begun: Vec::new(),
            ready: Vec::new(),
            given: 0,
            in_key: 0,
            in_secret: false,
        }
    }

    /// Reads to the end of the line, as far as there is room. Whether the line ends there.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = std::mem::take(&mut self.begun);
        let room = (MAX_PIECE + BEYOND).saturating_sub(self.pending.len() + bytes.len());
        let had = bytes.len();
        (&mut self.from).take(room as u64).read_until(b'\n', &mut bytes)?;
        let is_whole = bytes.last() == Some(&b'\n') || bytes.len() - had < room;
        if !is_whole {
            self.begun = bytes.split_off(bytes.len() - unfinished(&bytes));
        }
        self.pending.push_str(&String::from_utf8_lossy(&bytes));
        Ok(is_whole)
    }

    /// Makes the next piece ready; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let is_whole = self.fill()?;
        self.ready.clear();
        self.given = 0;
        if self.pending.is_empty() {
            return Ok(false);
        }
        if self.in_secret {
            self.in_secret = !is_whole;
            if self.pending.ends_with('\n') {
                self.ready.push(b'\n');
            }
            self.pending.clear();
            return Ok(true);
        }
        if self.in_key != 0 && !self.leave_key(is_whole) {
            return Ok(true);
        }
        let mut piece = std::mem::take(&mut self.pending);
        if !is_whole {
            self.pending = piece.split_off(self.cut(&piece));
        }
        let opens = piece.rfind("PRIVATE KEY-----").max(piece.rfind("PRIVATE KEY BLOCK-----"));
        let closes = piece.rfind("-----END ");
        if opens.is_some() && opens > closes.map(|at| at + 24) {
            (self.in_key, self.in_secret) = (MAX_KEY_LINES, false);
        }
        let replaced = self.redactor.text(&piece);
        self.ready.extend_from_slice(replaced.as_bytes());
        if self.in_key != 0 && !self.ready.ends_with(b"\n") {
            self.ready.push(b'\n');
        }
        Ok(true)
    }

    /// Takes a piece of a private key away; true if the key ends in it and something follows.
    fn leave_key(&mut self, is_whole: bool) -> bool {
        self.in_key -= 1;
        let end = self.pending.find("-----END ").and_then(|at| {
            let rest = self.pending.get(at + 9..)?;
            Some(at + 9 + rest.find("-----")? + 5)
        });
        if let Some(end) = end {
            self.in_key = 0;
            self.pending.drain(..end);
            return !matches!(self.pending.as_str(), "" | "\n" | "\r\n") || {
                self.pending.clear();
                false
            };
        }
        // The end may have begun.
        let mut kept = if is_whole { 0 } else { MAX_KEY_END.min(self.pending.len()) };
        while !self.pending.is_char_boundary(self.pending.len() - kept) {
            kept -= 1;
        }
        self.pending.drain(..self.pending.len() - kept);
        false
    }

    /// Where to cut a line that is too long: behind a word if there is one, and not through what is to be replaced.
    fn cut(&mut self, piece: &str) -> usize {
        let mut most = MAX_PIECE.min(piece.len());
        while !piece.is_char_boundary(most) {
            most -= 1;
        }
        let (head, _) = piece.split_at(most);
        let word = head.rfind(char::is_whitespace).filter(|at| *at > most / 2);
        let mut cut = word.unwrap_or(most);
        let ranges = self.redactor.ranges(piece);
        let across = |cut| ranges.iter().copied().filter(|(from, end)| *from < cut && cut < *end).min();
        while let Some((from, end)) = across(cut) {
            if from == 0 {
                // Longer than all that is looked at: taken whole, and the rest of the line with it if it goes on there.
                self.in_secret = end == piece.len();
                return piece.len();
            }
            cut = from;
        }
        cut
    }
}

/// Bytes at the end that begin a character and do not end it.
fn unfinished(bytes: &[u8]) -> usize {
    let from_end = |back: usize| bytes.len().checked_sub(back).and_then(|at| bytes.get(at));
    for back in 1..=3 {
        match from_end(back) {
            Some(0xc0..=0xdf) if back < 2 => return back,
            Some(0xe0..=0xef) if back < 3 => return back,
            Some(0xf0..=0xf7) => return back,
            Some(0x80..=0xbf) => {}
            _ => return 0,
        }
    }
    0
}

impl<R: Read> Read for TextStream<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let n = rest.len().min(out.len());
        for (place, byte) in out.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.given += n;
        Ok(n)
    }
}
