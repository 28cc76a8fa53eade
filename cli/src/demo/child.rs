//! The demo's components, as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracewell::dirs::Dirs;

use crate::output::{Failure, note};

/// How long a child may take to attach, and to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A child; killed when dropped.
pub(super) struct Component {
    pub(super) child: Child,
    lines: Option<JoinHandle<Vec<String>>>,
}

impl Component {
    pub(super) fn start(role: &str, dirs: &Dirs, more: &[&Path]) -> Result<Self, Failure> {
        let fail = |e| Failure::new(format!("the component {role} cannot be started: {e}"));
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        command.arg("--dir").arg(dirs.base()).args(["demo-component", role]);
        if let Some(downloads) = more.first() {
            command.arg("--downloads").arg(downloads);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fail)?;
        let lines = child.stdout.take().map(|stdout| std::thread::spawn(move || collect(stdout)));
        Ok(Self { child, lines })
    }

    /// What it printed, once it has ended.
    pub(super) fn lines(&mut self) -> Vec<String> {
        self.lines.take().and_then(|l| l.join().ok()).unwrap_or_default()
    }

    /// Ends it as a component ends: cleanly.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(e) => return Err(Failure::new(format!("waiting for a component: {e}"))),
            }
        }
        // What it has emitted is in its rings: the trace has it all the same.
        note("the sensor is still busy and is killed too");
        self.kill()
    }

    /// SIGKILL: it cannot do anything about it.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|e| Failure::new(format!("a component cannot be killed: {e}")))
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole lines only: a killed process may leave part of one.
fn collect(stdout: ChildStdout) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n != 0) {
        if line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
        }
        line.clear();
    }
    lines
}
