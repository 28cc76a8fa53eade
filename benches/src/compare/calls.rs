//! The machine's limits, and what a call costs.

use super::figures::Measure;
use super::measures as m;
use super::sweep::{Bench, W};
use crate::child::Output;
use crate::stage::Stage;

impl Bench<'_> {
    pub(super) fn limits(&mut self) {
        println!("limits of the machine");
        let mib = if self.options.quick { "mib=64" } else { "mib=1024" };
        for _ in 0..self.options.reps {
            let mut command = self.stage.ours("limits", 0, 1, 1.0);
            match self.stage.runner.run(command.arg(mib), Stage::limit(10.0)) {
                Ok(output) => self.add_limits(&output),
                Err(why) => self.note(why),
            }
            self.stage.clear();
        }
    }

    fn add_limits(&mut self, output: &Output) {
        let clock = output.get("tsc");
        self.figures.clock(clock);
        for (measure, w, key) in [
            (&m::EMPTY_LOOP, "", "empty_loop"),
            (&m::LOAD_BRANCH, "", "load_branch"),
            (&m::RDTSC, "", "rdtsc"),
            (&m::RDTSCP, "", "rdtscp"),
            (&m::COPY, "W1", "copy_w1"),
            (&m::COPY, "W2", "copy_w2"),
            (&m::CLOCK_COPY, "W1", "clock_copy_w1"),
            (&m::CLOCK_COPY, "W2", "clock_copy_w2"),
            (&m::LZ4_COMPRESS, "W1", "lz4_compress_w1"),
            (&m::LZ4_COMPRESS, "W2", "lz4_compress_w2"),
            (&m::LZ4_DECOMPRESS, "W1", "lz4_decompress_w1"),
            (&m::LZ4_DECOMPRESS, "W2", "lz4_decompress_w2"),
            (&m::LZ4_RATIO, "W1", "lz4_ratio_w1"),
            (&m::LZ4_RATIO, "W2", "lz4_ratio_w2"),
            (&m::FILE_WRITE, "", "file_write"),
            (&m::ROUND_TRIP, "", "core_round_trip"),
        ] {
            if let Some(value) = output.get(key) {
                self.figures.add(measure, w, "machine", value, clock);
            }
        }
    }

    /// Notes the clock, and adds the value of a key with the ratio that was measured batch by batch, if it was.
    fn add(&mut self, measure: &Measure, w: &'static str, peer: &str, output: &Output, key: &str) {
        let clock = output.get("tsc");
        let Some(value) = output.get(key) else { return };
        if let Some(lost) = output.get("lost").filter(|&lost| lost > 0.0 && matches!(key, "ns" | "p50")) {
            let called = output.get("called").unwrap_or(f64::NAN);
            self.note(format!("{peer}, {} {w}: {lost} of {called} calls were refused", measure.title));
        }
        match output.get("ratio").filter(|_| key == "ns") {
            Some(ratio) => self.figures.add_with_ratio(measure, w, peer, value, Some(ratio)),
            None => self.figures.add(measure, w, peer, value, clock),
        }
    }

    pub(super) fn calls(&mut self) {
        for (w, workload) in W.into_iter().enumerate() {
            self.over(
                &format!("emit {}", workload),
                |p| !p.file_only,
                |bench, peer, _| {
                    let run = bench.start(peer, "batch", w, 1, 1.0, &[])?;
                    bench.figures.clock(run.output.get("tsc"));
                    bench.add(&m::EMIT, workload, peer.name, &run.output, "ns");
                    Ok(())
                },
            );
        }
        self.over(
            "emit W1, coarse clock",
            |p| p.name == "ours",
            |bench, peer, _| {
                let run = bench.start(peer, "batch", 1, 1, 1.0, &["coarse=1"])?;
                bench.add(&m::COARSE, "W1", peer.name, &run.output, "ns");
                Ok(())
            },
        );
        self.over(
            "emit W1 at 5 M/s",
            |p| p.name == "ours",
            |bench, peer, _| {
                let secs = if bench.options.quick { 0.3 } else { 2.0 };
                let run = bench.start(peer, "paced", 1, 1, secs, &["rate=5000000"])?;
                bench.add(&m::PACED, "W1", peer.name, &run.output, "ns");
                let called = run.output.get("called").ok_or("says no called")?;
                bench.figures.add(&m::LOST_PACED, "W1", peer.name, run.lost as f64 / called, None);
                Ok(())
            },
        );
        self.over(
            "off",
            |p| !p.file_only,
            |bench, peer, _| {
                let run = bench.start(peer, "off", 1, 1, 1.0, &[])?;
                bench.add(&m::OFF, "W3", peer.name, &run.output, "over");
                Ok(())
            },
        );
        for (w, workload) in W.into_iter().enumerate().skip(1) {
            self.over(
                &format!("single emits {}", workload),
                |p| !p.file_only,
                |bench, peer, _| {
                    let run = bench.start(peer, "tail", w, 1, 1.0, &[])?;
                    for (measure, key) in
                        [(&m::P50, "p50"), (&m::P99, "p99"), (&m::P999, "p999"), (&m::MAX, "max")]
                    {
                        bench.add(measure, workload, peer.name, &run.output, key);
                    }
                    Ok(())
                },
            );
        }
    }
}
