//! A program that is started: by a fixed path, with nothing of our environment, for a limited time, with limited output.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks whether it has ended.
const TICK: Duration = Duration::from_millis(5);

/// Runs a program and gives what it writes: at most `max` bytes, and whether there was more.
///
/// It is killed when time is up or it has written too much.
pub(super) fn output(
    path: &str,
    arguments: &[&str],
    time: Duration,
    max: u64,
) -> io::Result<(Vec<u8>, bool)> {
    debug_assert!(path.starts_with('/'));
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(stdout) = child.stdout.take() else { return Err(io::Error::other("no output")) };
    let reader = std::thread::Builder::new().name("tracewell-output".into()).spawn(move || {
        let mut bytes = Vec::new();
        // Its end is closed with the reader, so that a program that writes on ends.
        stdout.take(max + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let ended = wait(&mut child, time);
    if !matches!(ended, Ok(Some(_))) {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = reader?;
    // A grandchild could hold the pipe open: whoever waits for it is given up with the collector.
    let mut bytes = read.join().map_err(|_| io::Error::other("its output could not be read"))??;
    let is_cut = bytes.len() as u64 > max;
    bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    match ended? {
        None => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{path} did not end in time"))),
        Some(status) if status.success() || is_cut => Ok((bytes, is_cut)),
        Some(status) => Err(io::Error::other(format!("{path}: {status}"))),
    }
}

fn wait(child: &mut Child, time: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > time {
            return Ok(None);
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[test]
    fn what_it_writes_is_taken_up_to_a_limit() {
        let (bytes, is_cut) = output("/bin/echo", &["a b"], TIME, 100).unwrap();
        assert_eq!((bytes.as_slice(), is_cut), (&b"a b\n"[..], false));
        let begun = Instant::now();
        let (bytes, is_cut) = output("/usr/bin/yes", &[], TIME, 10_000).unwrap();
        assert_eq!((bytes.len(), is_cut), (10_000, true));
        assert!(begun.elapsed() < TIME);
        let (bytes, _) = output("/usr/bin/env", &[], TIME, 10_000).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 2, "nothing of our environment");
    }

    #[test]
    fn whoever_does_not_end_is_killed_and_failures_are_said() {
        let begun = Instant::now();
        let error = output("/bin/sleep", &["100"], Duration::from_millis(100), 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(output("/bin/false", &[], TIME, 10).unwrap_err().to_string().contains("/bin/false"));
        assert_eq!(output("/none", &[], TIME, 10).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
