//! Members as readable text: what the user looks at before they give it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use tracewell_reader::render::escape::push_escaped;
use tracewell_reader::{Filter, Form, Trace};

use crate::member::Kind;
use crate::os::readable;

/// Bytes of a binary member that are shown.
const SHOWN: u64 = 4096;
/// Longest line of text that is looked at as a whole.
const MAX_LINE: u64 = 64 << 10;

/// Writes a member as text that no terminal acts on: a trace as its lines, operating-system information and databases as
/// tables, a dump as its summary, text as it is, anything else as the bytes it begins with.
///
/// # Errors
/// If the member cannot be read, or `out` written.
pub fn write_readable(kind: Kind, content: &mut dyn Read, out: &mut (dyn Write + Send)) -> io::Result<()> {
    match kind {
        Kind::Segment => segment(content, out),
        Kind::OsInformation => os_information(content, out),
        Kind::Text | Kind::Note => text(content, out),
        Kind::Minidump | Kind::Core => crate::dump::write(kind, content, out),
        Kind::Database => match crate::database::write_tables(content, out)? {
            Ok(()) => Ok(()),
            Err(others) => bytes(&mut others.as_slice().chain(content), out),
        },
        Kind::Binary => bytes(content, out),
    }
}

/// A trace: decoded from memory, so that there is no file of it.
fn segment(content: &mut dyn Read, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let memory = rustix::fs::memfd_create("segment", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    io::copy(content, &mut memory)?;
    let trace = Trace::open_segment(Path::new("this member"), Arc::new(memory)).map_err(io::Error::other)?;
    let form = Form::Text { local: false };
    let summary = trace.write_lines(&Filter::default(), form, 1, &mut *out, |_| ())?;
    if !summary.is_complete() {
        out.write_all(summary.to_text().as_bytes())?;
    }
    Ok(())
}

/// A document of the collectors: as tables; anything else as the text that it is.
fn os_information(content: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Vec::new();
    content.take(readable::MAX_DOCUMENT + 1).read_to_end(&mut document)?;
    match readable::parse(&document) {
        Some(blocks) => readable::write_text(&blocks, out),
        None => text(&mut document.chain(content), out),
    }
}

fn text(content: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    use std::io::BufRead;
    let mut reader = io::BufReader::new(content);
    let mut line = Vec::new();
    let mut escaped = String::new();
    loop {
        line.clear();
        (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let ends = line.last() == Some(&b'\n');
        if ends {
            line.pop();
        }
        escaped.clear();
        for (place, part) in line.split(|b| *b == b'\t').enumerate() {
            if place != 0 {
                escaped.push('\t');
            }
            // A backslash is one: this is shown, not read back.
            for (place, part) in part.split(|b| *b == b'\\').enumerate() {
                if place != 0 {
                    escaped.push('\\');
                }
                push_escaped(&mut escaped, part, None);
            }
        }
        if ends {
            escaped.push('\n');
        }
        out.write_all(escaped.as_bytes())?;
    }
}

fn bytes(content: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut head = Vec::new();
    content.take(SHOWN).read_to_end(&mut head)?;
    for (row, bytes) in head.chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let shown: String = bytes
            .iter()
            .map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' })
            .collect();
        writeln!(out, "{:08x}  {:<47}  {shown}", row * 16, hex.join(" "))?;
    }
    let rest = io::copy(content, &mut io::sink())?;
    if rest != 0 {
        writeln!(out, "and {rest} bytes more")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_member_steers_a_terminal() {
        let hostile = b"a\x1b[31mred\x07\ttab C:\\x \xff\xe2\x80\xae\nnext\r\n";
        for kind in [Kind::Text, Kind::OsInformation, Kind::Note, Kind::Binary, Kind::Database] {
            let mut out = Vec::new();
            write_readable(kind, &mut hostile.as_slice(), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{text:?}");
            assert!(!text.contains('\u{202e}'), "{text:?}");
        }
        let mut out = Vec::new();
        write_readable(Kind::Text, &mut "C:\\x is kept\n".as_bytes(), &mut out).unwrap();
        assert_eq!(out, b"C:\\x is kept\n");
    }

    #[test]
    fn a_damaged_trace_is_an_error_and_no_panic() {
        for bytes in [&b""[..], b"TWSEG", &[7; 5000]] {
            let _ = write_readable(Kind::Segment, &mut &*bytes, &mut Vec::new());
        }
    }
}
