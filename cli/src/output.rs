//! What is printed. Paths and texts of a trace come from strangers: everything passes [`safe`] or the reader's
//! renderers, so that no byte of them can steer a terminal.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};

use tracewell_reader::render::escape::push_escaped;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads our output any more.
    Pipe,
    /// An error for the user, in lines: what, where, what to do.
    Message(Vec<String>),
}

impl Failure {
    /// An error of one line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(vec![message.into()])
    }

    /// An error whose text has line ends of its own.
    pub(crate) fn of_lines(message: &impl ToString) -> Self {
        Self::Message(message.to_string().lines().map(str::to_owned).collect())
    }
}

/// What to do about an error of the system, to be put after it.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    if error.raw_os_error().is_none() {
        // A text of ours, which says it.
        return "";
    }
    if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return "; allow more open files with `ulimit -n`";
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; choose a directory of this user's own with --dir, or TRACEWELL_DIR"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; choose a writable place with --dir, or TRACEWELL_DIR",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room (`tracewell purge` deletes old traces), or choose another place"
        }
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; a file is where a folder is needed: remove it, or name another folder"
        }
        io::ErrorKind::InvalidFilename => "; choose a shorter path",
        _ => "",
    }
}

/// Text or a path, safe to print within a line.
pub(crate) fn safe(text: impl AsRef<OsStr>) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text.as_ref().as_encoded_bytes(), None);
    out
}

/// Prints an error.
pub(crate) fn complain(lines: &[String]) {
    let mut err = io::stderr().lock();
    for (i, line) in lines.iter().enumerate() {
        let head = if i == 0 { "tracewell: " } else { "  " };
        let _ = writeln!(err, "{head}{}", safe_keeping_backslashes(line));
    }
}

/// Messages may hold paths that are not escaped yet, and some that are: a backslash stays one.
fn safe_keeping_backslashes(text: &str) -> String {
    text.split('\\').map(safe).collect::<Vec<_>>().join("\\")
}

/// Prints a note on stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", safe_keeping_backslashes(line));
}

/// Standard output, buffered; a closed pipe ends the command quietly.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<Stdout>,
}

impl Out {
    pub(crate) fn new() -> Self {
        Self { writer: BufWriter::with_capacity(1 << 16, io::stdout()) }
    }

    /// Appends text that is safe already.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), Failure> {
        self.writer.write_all(text.as_bytes()).map_err(failure)
    }

    /// Appends a line that is safe already.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.writer, "{text}").map_err(failure)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(failure)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Why standard output ended.
pub(crate) fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Pipe;
    }
    Failure::new(format!("standard output cannot be written: {error}; make room, or send it elsewhere"))
}

/// Bytes for a person: `512 B`, `4.0 KiB`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A number with separators: `1,234,567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i != 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time span for a person, from seconds: `2 h 5 min`, `40 s`.
pub(crate) fn span(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m, s) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, 0, ..) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// A time in UTC to the second, or with nanoseconds if it has some that matter.
pub(crate) fn time(ns: i64) -> String {
    let text = tracewell_reader::render::time::utc(ns);
    text.split_once('.').map_or_else(|| text.clone(), |(head, _)| format!("{} UTC", head.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            (size(512), size(4096), size(3 << 29)),
            ("512 B".into(), "4.0 KiB".into(), "1.5 GiB".into())
        );
        assert_eq!(
            (number(7), number(1000), number(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!((span(40), span(1800), span(7500)), ("40 s".into(), "30 min".into(), "2 h 5 min".into()));
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(safe("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(safe_keeping_backslashes("a\\n\u{1b}"), "a\\n\\u{1b}");
    }
}
