//! Text of any length, line by line.

use std::io::{self, BufRead, BufReader, Read};

use super::Redactor;

/// Longest piece that is looked at as a whole; a longer line is looked at in pieces, which can hide what lies across.
const MAX_LINE: usize = 64 << 10;
/// Most lines that are taken for the rest of a private key.
const MAX_KEY_LINES: u32 = 1000;

/// Gives a text with everything replaced. Bytes that are no UTF-8 become U+FFFD.
pub(super) struct TextStream<'a, R: Read> {
    redactor: &'a mut Redactor,
    from: BufReader<R>,
    line: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    /// Lines of a private key that may still come.
    in_key: u32,
}

impl<'a, R: Read> TextStream<'a, R> {
    pub(super) fn new(redactor: &'a mut Redactor, from: R) -> Self {
        Self {
            redactor,
            from: BufReader::new(from),
            line: Vec::new(),
            ready: Vec::new(),
            given: 0,
            in_key: 0,
        }
    }

    /// Makes the next piece ready; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        self.line.clear();
        (&mut self.from).take(MAX_LINE as u64).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        if self.line.len() == MAX_LINE {
            self.until_a_boundary()?;
        }
        let text = String::from_utf8_lossy(&self.line);
        self.ready.clear();
        self.given = 0;
        if self.in_key != 0 {
            self.in_key -= 1;
            if text.contains("-----END ") {
                self.in_key = 0;
            }
            return Ok(true);
        }
        let opens = text.rfind("PRIVATE KEY-----").or_else(|| text.rfind("PRIVATE KEY BLOCK-----"));
        let closes = text.rfind("-----END ");
        if opens.is_some() && opens > closes.map(|at| at + 24) {
            self.in_key = MAX_KEY_LINES;
        }
        let replaced = self.redactor.text(&text);
        self.ready.extend_from_slice(replaced.as_bytes());
        if self.in_key != 0 && !self.ready.ends_with(b"\n") {
            self.ready.push(b'\n');
        }
        Ok(true)
    }

    /// A piece of a long line ends where a word does, if there is such a place near.
    fn until_a_boundary(&mut self) -> io::Result<()> {
        for _ in 0..4096 {
            let next = self.from.fill_buf()?.first().copied();
            match next {
                Some(byte) if !byte.is_ascii_whitespace() => {
                    self.line.push(byte);
                    self.from.consume(1);
                }
                _ => break,
            }
        }
        Ok(())
    }
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
