//! How long a process stands still for a dump: `stop PID [TIMES]`. Prints medians; the core goes to a file without a name
//! in the current directory.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use tracewell_dump::{Request, core, minidump};

fn median(mut all: Vec<Duration>) -> (Duration, Duration, Duration) {
    all.sort();
    (all[0], all[all.len() / 2], all[all.len() - 1])
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().map_err(io::Error::other));
    let pid = args.next().ok_or(io::ErrorKind::InvalidInput)??;
    let times = args.next().transpose()?.unwrap_or(10);
    let request = Request { pid, ..Request::default() };
    let (mut mini, mut full, mut len) = (Vec::new(), Vec::new(), (0, 0));
    for _ in 0..times {
        let (bytes, report) = minidump(&request)?;
        mini.push(report.stopped);
        len.0 = bytes.len() as u64;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file: std::fs::File =
            rustix::fs::openat(CWD, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode)?.into();
        let mut core = core(&request)?;
        len.1 = core.len();
        loop {
            let piece = core.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            file.write_all(piece)?;
            let used = piece.len();
            core.consume(used);
        }
        full.push(core.finish()?.stopped);
    }
    for (what, len, times) in [("minidump", len.0, median(mini)), ("core", len.1, median(full))] {
        println!("{what}: {len} bytes; stopped {:?}, least {:?}, most {:?}", times.1, times.0, times.2);
    }
    Ok(())
}
