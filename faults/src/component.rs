//! Starts a scene of `threaded` in a process group of its own, which ends with this value.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tracewell_tests::Place;

/// A running scene.
pub(crate) struct Component {
    child: Child,
    said: PathBuf,
}

impl Component {
    /// Starts it with the oracle of its place.
    pub(crate) fn start(scene: &str, place: &Place, seed: u64, amount: u64) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("threaded");
        let said = place.beside(&format!("said-{scene}"));
        let out = std::fs::File::create(&said).map_err(|e| e.to_string())?;
        let child = Command::new(&program)
            .arg(scene)
            .arg(place.dirs.base())
            .arg(place.beside("oracle"))
            .args([seed.to_string(), amount.to_string()])
            // Each arena of the allocator keeps what was freed in it, and there are eight for each processor: threads of
            // ever new sessions would fill one after the other, which is no growth of ours.
            .env("MALLOC_ARENA_MAX", "2")
            .stdout(out)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{}: {e}; build all of tracewell-faults", program.display()))?;
        Ok(Self { child, said })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it ends by itself and well, doing `meanwhile` again and again; kills it after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration, mut meanwhile: impl FnMut()) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(self.with_words(&format!("it ended with {status}")))
                };
            }
            if begun.elapsed() > limit {
                return Err(self.with_words(&format!("it hangs: killed after {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
            meanwhile();
        }
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    fn with_words(&self, why: &str) -> String {
        format!(
            "{why}; it said: {}",
            std::fs::read_to_string(&self.said).unwrap_or_default().trim().replace('\n', " ")
        )
    }

    /// The numbers that it has told.
    pub(crate) fn said(&self) -> BTreeMap<String, u64> {
        let text = std::fs::read_to_string(&self.said).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.filter_map(|(key, number)| Some((key.to_owned(), number.parse().ok()?))).collect()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // Also the children that it left.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
