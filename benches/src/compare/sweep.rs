//! The order of things: measure by measure, repetition by repetition, peer by peer.

use std::collections::BTreeSet;

use std::path::PathBuf;
use std::process::Command;

use super::figures::Figures;
use super::lttng::{Lttng, discarded};
use super::options::Options;
use super::peers::{self, Kind, Peer, State};
use crate::child::Output;
use crate::stage::Stage;

/// Names of the workloads.
pub(super) const W: [&str; 3] = ["W0", "W1", "W2"];

/// A run under way.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) options: &'a Options,
    pub(super) stage: Stage,
    pub(super) peers: Vec<Peer>,
    lttng: Option<Lttng>,
    pub(super) reader: Option<PathBuf>,
    pub(super) figures: Figures,
    notes: Vec<String>,
    /// Peer, measure and workload that failed once are not tried again.
    failed: BTreeSet<(&'static str, String)>,
}

/// One run of a program.
pub(super) struct Run {
    pub(super) output: Output,
    /// Events that it says were refused.
    pub(super) lost: u64,
}

impl<'a> Bench<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self, String> {
        let stage = Stage::new(options)?;
        let mut peers = peers::all(options, &stage.runner);
        let reader = peers::reader(options, &stage.runner);
        let mut lttng = None;
        if peers.iter().any(|p| p.is_ready() && p.kind == Kind::Lttng) {
            match Lttng::start(&stage.runner, stage.folder()) {
                Ok(daemon) => lttng = Some(daemon),
                Err(why) => {
                    for peer in peers.iter_mut().filter(|p| p.kind == Kind::Lttng) {
                        peer.state = State::Missing(format!("its daemon does not run: {why}"));
                    }
                }
            }
        }
        let (figures, notes, failed) = Default::default();
        Ok(Self { options, stage, peers, lttng, reader, figures, notes, failed })
    }

    /// Everything.
    pub(super) fn all(&mut self) {
        self.limits();
        self.calls();
        self.filing();
        self.reading();
        self.own();
    }

    pub(super) fn end(self) -> (Figures, Vec<Peer>, Vec<String>) {
        (self.figures, self.peers, self.notes)
    }

    pub(super) fn note(&mut self, note: String) {
        println!("note: {note}");
        self.notes.push(note);
    }

    /// Calls `one` for each peer that can run and is wanted, `reps` times, interleaved.
    pub(super) fn over(
        &mut self,
        what: &str,
        wanted: fn(&Peer) -> bool,
        mut one: impl FnMut(&mut Self, &Peer, usize) -> Result<(), String>,
    ) {
        println!("{what}");
        let all: Vec<Peer> = self.peers.iter().filter(|p| p.is_ready() && wanted(p)).cloned().collect();
        for rep in 0..self.options.reps {
            for peer in &all {
                let key = (peer.name, what.to_owned());
                if self.failed.contains(&key) {
                    continue;
                }
                if let Err(why) = one(self, peer, rep) {
                    self.note(format!("{}, {what}: {why}", peer.name));
                    self.failed.insert(key);
                }
                self.stage.clear();
            }
        }
    }

    /// Runs a mode of a peer.
    pub(super) fn start(
        &self,
        peer: &Peer,
        mode: &str,
        w: usize,
        threads: usize,
        secs: f64,
        more: &[&str],
    ) -> Result<Run, String> {
        let mut command = match peer.kind {
            Kind::Ours => self.stage.ours(mode, w, threads, secs),
            _ => {
                let mut command = Command::new(&peer.program);
                command.args([mode, &w.to_string()]).arg(self.stage.out());
                command.args([threads.to_string(), secs.to_string()]);
                command.env("WL_BATCHES", self.options.batches().to_string());
                if peer.kind == Kind::Text && !matches!(peer.name, "spdlog") {
                    command.arg(format!("batches={}", self.options.batches()));
                }
                command
            }
        };
        if peer.kind == Kind::Ours {
            command.args(peer.args).args(more);
        }
        let limit = Stage::limit(secs);
        let Some(lttng) = self.lttng.as_ref().filter(|_| peer.kind == Kind::Lttng) else {
            let output = self.stage.runner.run(&mut command, limit)?;
            let lost = output.get("lost").unwrap_or(0.0) as u64;
            return Ok(Run { output, lost });
        };
        command.envs(lttng.begin(&self.stage.runner, &self.stage.out(), peer.name == "lttng-block")?);
        let output = self.stage.runner.run(&mut command, limit);
        lttng.end(&self.stage.runner)?;
        let output = output?;
        let lost = discarded(&output.err);
        Ok(Run { output, lost })
    }
}
