//! LTTng's daemon and sessions around a run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::Runner;

const LIMIT: Duration = Duration::from_secs(120);

/// The session daemon: one that runs already, or our own.
#[derive(Debug)]
pub struct Lttng {
    home: PathBuf,
    session: String,
    own: Option<Child>,
}

/// Ids of the processes whose name begins so.
fn processes(name: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let matching = entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        comm.starts_with(name).then_some(id)
    });
    matching.collect()
}

impl Lttng {
    /// Starts a daemon on cpu 0 (its consumer inherits that), unless one runs.
    ///
    /// # Errors
    /// If it cannot be started, or does not answer.
    pub fn start(runner: &Runner, below: &Path) -> Result<Self, String> {
        let home = below.join("lttng-home");
        std::fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        let session = format!("tracewell-compare-{}", std::process::id());
        let mut lttng = Self { home, session, own: None };
        if processes("lttng-sessiond").is_empty() {
            // Should this process be killed, the daemon gets a signal to end too.
            let mut daemon = Command::new("setpriv");
            daemon.args(["--pdeathsig", "TERM", "taskset", "-c", "0", "lttng-sessiond", "--no-kernel"]);
            daemon.env("LTTNG_HOME", &lttng.home);
            daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            lttng.own = Some(daemon.spawn().map_err(|e| format!("lttng-sessiond: {e}"))?);
        }
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(why) = lttng.command(runner, &["list"]) {
            if Instant::now() > until {
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(lttng)
    }

    fn command(&self, runner: &Runner, args: &[&str]) -> Result<String, String> {
        let mut lttng = Command::new("lttng");
        let output = runner.run(lttng.arg("-n").args(args).env("LTTNG_HOME", &self.home), LIMIT)?;
        Ok(output.err + &output.out)
    }

    /// Begins a session that writes to a folder; the program needs this environment.
    ///
    /// # Errors
    /// What LTTng says.
    pub fn begin(
        &self,
        runner: &Runner,
        out: &Path,
        blocks: bool,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let s = self.session.as_str();
        self.command(runner, &["create", s, &format!("--output={}", out.display())])?;
        let mut channel = vec!["enable-channel", "-u", "-s", s, "--subbuf-size=4M", "--num-subbuf=8"];
        if blocks {
            channel.push("--blocking-timeout=inf");
        }
        channel.push("ch");
        self.command(runner, &channel)?;
        self.command(runner, &["enable-event", "-u", "-s", s, "-c", "ch", "bars:*"])?;
        self.command(runner, &["start", s])?;
        let consumers: Vec<String> = processes("lttng-consume").iter().map(u32::to_string).collect();
        let mut env = vec![
            ("LTTNG_HOME", self.home.display().to_string()),
            ("LTTNG_UST_REGISTER_TIMEOUT", "-1".into()),
            ("LTTNG_SESSION", self.session.clone()),
            ("WL_PIDS", consumers.join(",")),
        ];
        if blocks {
            env.push(("LTTNG_UST_ALLOW_BLOCKING", "1".into()));
        }
        Ok(env)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// What LTTng says.
    pub fn end(&self, runner: &Runner) -> Result<(), String> {
        self.command(runner, &["destroy", &self.session]).map(drop)
    }
}

impl Drop for Lttng {
    fn drop(&mut self) {
        let Some(daemon) = &mut self.own else { return };
        // It ends its consumers too; it is ours, so its id is still its own.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(daemon),
            rustix::process::Signal::TERM,
        );
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until && matches!(daemon.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

/// The discarded events that LTTng reports when a session stops.
#[must_use]
pub fn discarded(report: &str) -> u64 {
    let words: Vec<&str> = report.split_ascii_whitespace().collect();
    let counts = words.windows(4).filter(|w| w[1].starts_with("event") && w[3].starts_with("discarded"));
    counts.filter_map(|w| w[0].parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn discarded_events_are_summed() {
        let report = "Warning: 12 events were discarded, please refer to\nWarning: 1 event was discarded, x";
        assert_eq!(super::discarded(report), 13);
        assert_eq!(super::discarded("Tracing stopped"), 0);
    }
}
