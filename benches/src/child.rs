//! Programs that are started, and that always end: each has a limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// What a program printed, and how long it ran.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Start to end.
    pub secs: f64,
}

impl Output {
    /// The last value of `key=value` in the standard output.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        let pairs = self.out.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        pairs.filter(|(k, _)| *k == key).filter_map(|(_, v)| v.parse().ok()).next_back()
    }

    /// All pairs of `key=value` that are numbers.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, f64> {
        let pairs = self.out.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        pairs.filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?))).collect()
    }
}

/// Where the output of children goes while they run, so that no pipe fills.
#[derive(Debug)]
pub struct Runner {
    folder: tempfile::TempDir,
}

impl Runner {
    /// One with a folder below this.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(below: &Path) -> io::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("child").tempdir_in(below)? })
    }

    /// Runs a program to its end, or to the limit: then it is killed, with what it started in its process group.
    ///
    /// # Errors
    /// For a person: the program, what it said, and how it ended.
    pub fn run(&self, command: &mut Command, limit: Duration) -> Result<Output, String> {
        let name = format!("{command:?}");
        let out = self.folder.path().join("out");
        self.try_run(command, &out, limit).map_err(|e| format!("{name}: {e}"))
    }

    /// The same, with the standard output to /dev/null.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_to_null(&self, command: &mut Command, limit: Duration) -> Result<Output, String> {
        let name = format!("{command:?}");
        self.try_run(command, Path::new("/dev/null"), limit).map_err(|e| format!("{name}: {e}"))
    }

    fn try_run(&self, command: &mut Command, out: &Path, limit: Duration) -> Result<Output, String> {
        let text = |e: io::Error| e.to_string();
        let err = self.folder.path().join("err");
        command.stdin(Stdio::null()).stderr(File::create(&err).map_err(text)?).process_group(0);
        command.stdout(File::create(out).map_err(text)?);
        let (status, secs) = wait(command, limit).map_err(text)?;
        let read = |path: &Path| std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
        let output = Output { out: read(out).map_err(text)?, err: read(&err).map_err(text)?, secs };
        match status {
            Some(status) if status.success() => Ok(output),
            Some(status) => Err(format!("{status}: {}", output.err.trim())),
            None => Err(format!("did not end within {} s", limit.as_secs())),
        }
    }
}

/// Its status, `None` if it had to be killed, and the seconds that it took.
fn wait(command: &mut Command, limit: Duration) -> io::Result<(Option<ExitStatus>, f64)> {
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let id = Pid::from_child(&child);
    let (send, ended) = mpsc::channel();
    // A thread that waits sees the end at once and costs nothing meanwhile.
    let waiter = std::thread::spawn(move || {
        let status = child.wait();
        let _ = send.send(begun.elapsed());
        status
    });
    let Ok(took) = ended.recv_timeout(limit) else {
        // It is not waited for yet, so the id, and the group that it leads, are still its own.
        let _ = kill_process_group(id, Signal::KILL);
        let _ = waiter.join();
        return Ok((None, begun.elapsed().as_secs_f64()));
    };
    let status = waiter.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok((Some(status), took.as_secs_f64()))
}
