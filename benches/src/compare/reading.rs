//! From the file to text and to values.

use std::process::Command;
use std::time::Duration;

use super::measures as m;
use super::peers::{Kind, Peer};
use super::sweep::{Bench, W};

impl Bench<'_> {
    pub(super) fn reading(&mut self) {
        for (w, workload) in W.into_iter().enumerate().skip(1) {
            let wanted: fn(&Peer) -> bool = |p| matches!(p.name, "ours-wait" | "lttng-block");
            self.over(&format!("to text and values, {}", workload), wanted, |bench, peer, _| {
                let secs = match (bench.options.quick, peer.kind) {
                    (true, _) if cfg!(debug_assertions) => 0.01,
                    (true, _) => 0.1,
                    (false, Kind::Lttng) => 0.2,
                    (false, _) => 0.5,
                };
                let run = bench.start(peer, "tput", w, 1, secs, &[])?;
                let events = run.output.get("called").unwrap_or(0.0) - run.lost as f64;
                let name = if peer.kind == Kind::Ours { "ours" } else { "lttng" };
                for (measure, mode, cpus) in
                    [(&m::TEXT_1, "text", "1"), (&m::TEXT_2, "text", "0,1"), (&m::DECODE, "decode", "1")]
                {
                    if cpus != "1" && peer.kind == Kind::Lttng {
                        continue;
                    }
                    let mut command = bench.read_command(peer, mode, cpus);
                    let output = bench.stage.runner.run_to_null(&mut command, Duration::from_secs(300))?;
                    bench.figures.add(measure, workload, name, events / output.secs, None);
                }
                Ok(())
            });
        }
        let note = match &self.reader {
            Some(_) => "ours to text: `tracewell read --stdout`",
            None => "ours to text: the reader's library on one thread (the command was not built)",
        };
        self.note(note.into());
    }

    /// What turns a trace into text, or visits its values, on these processors.
    fn read_command(&self, peer: &Peer, mode: &str, cpus: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", cpus]);
        match (peer.kind, mode, &self.reader) {
            (Kind::Lttng, "text", _) => command.arg("babeltrace2").arg(self.stage.out()),
            (Kind::Lttng, ..) => {
                command.arg("babeltrace2").arg(self.stage.out()).args(["-c", "sink.utils.counter"])
            }
            (_, "text", Some(reader)) => {
                command.arg(reader).args(["read", "--stdout"]).arg(self.stage.out().join("trace"))
            }
            _ => {
                let ours = self.stage.ours(mode, 0, 1, 0.0);
                command.arg(ours.get_program()).args(ours.get_args())
            }
        };
        command
    }
}
