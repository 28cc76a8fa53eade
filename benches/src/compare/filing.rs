//! Full speed to the file: rate, loss, size, CPU.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::measures as m;
use super::peers::{Kind, Peer};
use super::sweep::{Bench, Run, W};

impl Bench<'_> {
    pub(super) fn filing(&mut self) {
        for (w, threads) in [(0, 1), (1, 1), (2, 1), (1, 2), (2, 2)] {
            let wanted: fn(&Peer) -> bool = if threads == 1 { |_| true } else { |p| p.threads > 1 };
            self.over(&format!("to the file, {threads} threads, {}", W[w]), wanted, |bench, peer, rep| {
                let limit = if peer.kind == Kind::Text { 2.0 } else { f64::INFINITY };
                bench.warm(peer);
                let run = bench.start(peer, "tput", w, threads, bench.options.secs.min(limit), &[])?;
                bench.add_to_file(peer, w, threads, &run, rep)
            });
        }
    }

    fn add_to_file(
        &mut self,
        peer: &Peer,
        w: usize,
        threads: usize,
        run: &Run,
        rep: usize,
    ) -> Result<(), String> {
        let get = |key: &str| run.output.get(key).ok_or_else(|| format!("says no {key}"));
        let called = get("called")?;
        let mut kept = called - run.lost as f64;
        let clock = run.output.get("tsc");
        self.figures.clock(clock);
        // Text is counted every time; the binary files once, and their own loss count must agree.
        if peer.kind == Kind::Text || rep == 0 {
            let counted = self.count(peer)?;
            if counted != kept && peer.kind != Kind::Text {
                self.note(format!("{}: {kept} events by its counters, {counted} in the file", peer.name));
            }
            kept = counted;
        }
        let (rate, lost) = if threads == 1 { (&m::FILE_1T, &m::LOST_1T) } else { (&m::FILE_2T, &m::LOST_2T) };
        let (w, name) = (W[w], peer.name);
        self.figures.add(rate, w, name, kept / get("total_s")?, clock);
        self.figures.add(lost, w, name, 1.0 - kept / called, None);
        if threads > 1 || kept == 0.0 {
            return Ok(());
        }
        let daemon = run.output.get("daemon_cpu_s").unwrap_or(0.0);
        self.figures.add(&m::BYTES, w, name, self.written(peer) as f64 / kept, None);
        self.figures.add(&m::CPU_FILE, w, name, (get("cpu_s")? + daemon) / kept * 1e9, clock);
        let sealed = run.output.get("sealed_cpu_s").map_or(get("cpu_s")?, |s| s);
        self.figures.add(&m::CPU_ALL, w, name, (sealed + daemon) / kept * 1e9, clock);
        let sealed = run.output.get("sealed_s").map_or(get("total_s")?, |s| s);
        self.figures.add(&m::STEADY, w, name, kept / sealed, clock);
        Ok(())
    }

    /// Events in what was written, by reading it.
    fn count(&mut self, peer: &Peer) -> Result<f64, String> {
        let limit = Duration::from_secs(600);
        match peer.kind {
            Kind::Text => lines(&self.stage.out()).map(|n| n as f64).map_err(|e| e.to_string()),
            Kind::Lttng => {
                let mut command = Command::new("babeltrace2");
                command.arg(self.stage.out()).args(["-c", "sink.utils.counter"]);
                let output = self.stage.runner.run(&mut command, limit)?;
                let words: Vec<&str> = output.out.split_ascii_whitespace().collect();
                let counts = words.windows(3).filter(|w| w[1] == "Event" && w[2].starts_with("message"));
                counts.filter_map(|w| w[0].replace(',', "").parse().ok()).next_back().ok_or("no count".into())
            }
            Kind::Ours => {
                let output = self.stage.runner.run(&mut self.stage.ours("verify", 0, 1, 0.0), limit)?;
                if output.get("missing") != Some(0.0) {
                    self.note(format!("{}: the reader misses events: {}", peer.name, output.out.trim()));
                }
                output.get("events").ok_or("no count".into())
            }
        }
    }

    /// Bytes of the files that hold events.
    fn written(&self, peer: &Peer) -> u64 {
        let is_data: fn(&str) -> bool = match peer.kind {
            Kind::Lttng => |name| name.starts_with("ch") && !name.contains("index"),
            _ => |name| name != "control" && name != "settings.toml",
        };
        bytes_below(&self.stage.out(), is_data)
    }

    /// Touches as much free memory as a run will fill: a virtual machine gives freed pages back to its host, and the
    /// first to write would pay for getting them again.
    fn warm(&self, peer: &Peer) {
        if self.options.quick {
            return;
        }
        let mib = if peer.kind == Kind::Text { 700 } else { (600.0 * self.options.secs) as usize };
        let Ok(mut file) = tempfile::tempfile_in("/dev/shm") else { return };
        let piece = vec![1_u8; 1 << 20];
        for _ in 0..mib.min(4000) {
            if file.write_all(&piece).is_err() {
                return;
            }
        }
    }
}

/// Lines of a file.
fn lines(path: &Path) -> std::io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            n => lines += buffer[..n].iter().filter(|&&b| b == b'\n').count() as u64,
        }
    }
}

/// Bytes of the files below a path whose names are wanted.
fn bytes_below(path: &Path, wanted: fn(&str) -> bool) -> u64 {
    if path.is_file() {
        return std::fs::metadata(path).map_or(0, |meta| meta.len());
    }
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path(), wanted),
        Ok(meta) if entry.file_name().to_str().is_some_and(wanted) => meta.len(),
        _ => 0,
    });
    sizes.sum()
}
