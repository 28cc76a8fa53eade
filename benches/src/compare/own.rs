//! What only ours is asked: memory, attaching, first emits, idling.

use super::figures::Measure;
use super::measures as m;
use super::sweep::Bench;
use crate::stage::Stage;

impl Bench<'_> {
    pub(super) fn own(&mut self) {
        if !self.options.wants("ours") {
            return;
        }
        println!("memory, attach, first emit, idle");
        let secs = if self.options.quick { 0.5 } else { 5.0 };
        for _ in 0..self.options.reps {
            self.measure("memory", 1, 1.0, &[(&m::MEMORY_1, "W1", "resident", 1e-6)]);
            self.measure("memory", 64, 1.0, &[(&m::MEMORY_64, "W1", "resident", 1e-6)]);
            self.measure("idle", 1, secs, &[(&m::IDLE, "", "idle_percent", 1.0)]);
        }
        // These are quick, and a process has only one first time.
        for _ in 0..self.options.reps * 4 {
            self.measure(
                "attach",
                1,
                1.0,
                &[(&m::ATTACH, "", "us", 1.0), (&m::ATTACH_FIRST, "", "first_us", 1.0)],
            );
            self.measure(
                "first",
                1,
                1.0,
                &[
                    (&m::FIRST, "W1", "fresh_us", 1.0),
                    (&m::FIRST_REUSED, "W1", "reused_us", 1.0),
                    (&m::FIRST_PROCESS, "W1", "process_us", 1.0),
                ],
            );
        }
    }

    fn measure(
        &mut self,
        mode: &str,
        threads: usize,
        secs: f64,
        figures: &[(&Measure, &'static str, &str, f64)],
    ) {
        match self.stage.runner.run(&mut self.stage.ours(mode, 1, threads, secs), Stage::limit(secs)) {
            Ok(output) => {
                for (measure, w, key, scale) in figures {
                    if let Some(value) = output.get(key) {
                        self.figures.add(measure, w, "ours", value * scale, None);
                    }
                }
            }
            Err(why) => self.note(format!("ours, {mode}: {why}")),
        }
        self.stage.clear();
    }
}
