//! The goals, each beside what was reached and the reference of the same run.

use serde_json::{Value, json};

use super::elsewhere;
use super::figures::{Better, Figures, Measure};
use super::measures as m;

/// A goal and what became of it.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// What is to be reached.
    pub goal: String,
    /// What was reached; why not, if it was not measured.
    pub reached: String,
    /// Whether that is enough; `None` if it was not measured.
    pub met: Option<bool>,
    /// The best of the others, here or elsewhere.
    pub best_peer: String,
}

impl Goal {
    /// For the JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "what": self.what,
            "goal": self.goal,
            "reached": self.reached,
            "met": self.met,
            "best_peer": self.best_peer,
        })
    }

    /// In words.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        }
    }
}

/// Collects goals.
struct Goals<'a> {
    figures: &'a Figures,
    all: Vec<Goal>,
}

/// All goals.
#[must_use]
pub fn all(figures: &Figures) -> Vec<Goal> {
    let mut goals = Goals { figures, all: Vec::new() };
    goals.calls();
    goals.filing();
    goals.files();
    goals.reading();
    goals.others();
    goals.all
}

impl Goals<'_> {
    fn push(&mut self, measure: &Measure, w: &str, goal: String, reached: Option<String>, met: Option<bool>) {
        let why = "not measured".to_owned();
        let best_peer = best_peer(self.figures, measure, w);
        let what = format!("{} {w}", measure.title).trim_end().to_owned();
        let reached = reached.unwrap_or(why);
        self.all.push(Goal { what, goal, reached, met, best_peer });
    }

    /// At most `limit` of the measure's own unit.
    fn at_most(&mut self, measure: &Measure, w: &str, limit: f64) {
        let value = self.figures.median(measure.id, w, "ours");
        let reached = value.map(|v| show(measure.unit, v));
        self.push(
            measure,
            w,
            format!("at most {}", show(measure.unit, limit)),
            reached,
            value.map(|v| v <= limit),
        );
    }

    /// At most `limit` times a bare clock read.
    fn by_rdtsc(&mut self, measure: &Measure, w: &str, limit: f64) {
        let ratio = self.figures.to_rdtsc(measure, w, "ours");
        let goal = format!("at most {limit} x bare rdtsc");
        self.push(measure, w, goal, ratio.map(|r| format!("{r:.3} x")), ratio.map(|r| r <= limit));
    }

    /// The ratio of `peer`, a variant of ours, to LTTng.
    fn by_lttng(&mut self, measure: &Measure, w: &str, peer: &str, limit: f64) {
        let ratio = self.figures.to_lttng(measure, w, peer);
        let is_higher = measure.better == Better::Higher;
        let goal = format!("at {} {limit} x LTTng", if is_higher { "least" } else { "most" });
        let met = ratio.map(|r| if is_higher { r >= limit } else { r <= limit });
        let value = self.figures.median(measure.id, w, peer).map(|v| show(measure.unit, v));
        let reached = match (ratio, value) {
            (Some(ratio), Some(value)) => Some(format!("{ratio:.3} x ({value}, {peer})")),
            (None, Some(value)) => Some(format!("{value}; LTTng was not measured")),
            _ => None,
        };
        self.push(measure, w, goal, reached, met);
    }

    fn calls(&mut self) {
        self.at_most(&m::OFF, "W3", 0.3);
        self.by_rdtsc(&m::EMIT, "W1", 1.05);
        self.by_rdtsc(&m::EMIT, "W2", 1.12);
        self.by_rdtsc(&m::COARSE, "W1", 0.3);
        self.by_rdtsc(&m::PACED, "W1", 1.2);
        let lost = self.figures.max(m::LOST_PACED.id, "W1", "ours");
        let reached = lost.map(|l| format!("{:.4} %", l * 100.0));
        self.push(&m::LOST_PACED, "W1", "nothing".into(), reached, lost.map(|l| l == 0.0));
        for (w, limit) in [("W1", 20.0), ("W2", 40.0)] {
            let value = self.figures.median(m::P999.id, w, "ours");
            let ratio = self.figures.to_lttng(&m::P999, w, "ours");
            let goal = format!("at most {limit} ns, or 1/9 of LTTng's");
            let to = ratio.map_or(String::new(), |r| format!(" ({r:.3} x LTTng)"));
            let met = value.map(|v| v <= limit || ratio.is_some_and(|r| r <= 1.0 / 9.0));
            self.push(&m::P999, w, goal, value.map(|v| format!("{v:.1} ns{to}")), met);
        }
    }

    fn filing(&mut self) {
        for (w, limit) in [("W0", 6.5), ("W1", 7.0), ("W2", 2.5)] {
            let peer = lossless(self.figures, &m::LOST_1T, w);
            self.by_lttng(&m::FILE_1T, w, peer, limit);
            if w != "W2" {
                let ratio = self.figures.to_rdtsc(&m::FILE_1T, w, peer);
                let reached = ratio.map(|r| format!("{r:.3} x ({peer})"));
                let goal = "at least 0.85 x the rate of the bare clock".to_owned();
                self.push(&m::FILE_1T, w, goal, reached, ratio.map(|r| r >= 0.85));
            }
        }
        for (w, limit) in [("W1", 4.0), ("W2", 1.6)] {
            let peer = lossless(self.figures, &m::LOST_2T, w);
            self.by_lttng(&m::FILE_2T, w, peer, limit);
        }
        let peer = lossless(self.figures, &m::LOST_1T, "W1");
        self.by_lttng(&m::STEADY, "W1", peer, 4.7);
        for measure in [&m::LOST_1T, &m::LOST_2T] {
            for w in self.figures.workloads(measure.id) {
                let peer = lossless(self.figures, measure, w);
                let lost = self.figures.max(measure.id, w, peer);
                let reached = lost.map(|l| format!("{:.4} % ({peer})", l * 100.0));
                self.push(measure, w, "nothing".into(), reached, lost.map(|l| l == 0.0));
            }
        }
    }

    fn files(&mut self) {
        for (w, limit) in [("W0", 2.5), ("W1", 12.0), ("W2", 50.0)] {
            let peer = lossless(self.figures, &m::LOST_1T, w);
            let value = self.figures.median(m::BYTES.id, w, peer);
            let reached = value.map(|v| format!("{v:.2} ({peer})"));
            self.push(&m::BYTES, w, format!("at most {limit}"), reached, value.map(|v| v <= limit));
        }
        for (measure, limits) in
            [(&m::CPU_FILE, [("W1", 0.25), ("W2", 0.33)]), (&m::CPU_ALL, [("W1", 0.4), ("W2", 0.6)])]
        {
            for (w, limit) in limits {
                self.by_lttng(measure, w, lossless(self.figures, &m::LOST_1T, w), limit);
            }
        }
    }

    fn reading(&mut self) {
        for (w, limit) in [("W1", 7.0), ("W2", 15.0)] {
            self.by_lttng(&m::TEXT_1, w, "ours", limit);
            self.times(&m::TEXT_2, w, &m::TEXT_1, 1.8);
            self.times(&m::DECODE, w, &m::TEXT_1, 10.0);
        }
    }

    /// At least `limit` times another measure of ours.
    fn times(&mut self, measure: &Measure, w: &str, other: &Measure, limit: f64) {
        let value = |m: &Measure| self.figures.median(m.id, w, "ours");
        let ratio = value(measure).zip(value(other)).map(|(a, b)| a / b);
        let goal = format!("at least {limit} x {}", other.title);
        self.push(measure, w, goal, ratio.map(|r| format!("{r:.2} x")), ratio.map(|r| r >= limit));
    }

    fn others(&mut self) {
        self.at_most(&m::MEMORY_1, "W1", 16.0);
        self.at_most(&m::MEMORY_64, "W1", 300.0);
        self.at_most(&m::ATTACH, "", 50.0);
        self.at_most(&m::ATTACH_FIRST, "", 50.0);
        self.at_most(&m::FIRST, "W1", 1000.0);
        self.at_most(&m::FIRST_PROCESS, "W1", 1000.0);
        self.at_most(&m::IDLE, "", 0.1);
    }
}

/// Which of ours counts for a lossless run: the one that never waits if it lost nothing, else the one that waits.
#[must_use]
pub fn lossless(figures: &Figures, lost: &Measure, w: &str) -> &'static str {
    if figures.max(lost.id, w, "ours") == Some(0.0) { "ours" } else { "ours-wait" }
}

/// The best of the others in this run, and of those measured elsewhere.
fn best_peer(figures: &Figures, measure: &Measure, w: &str) -> String {
    let here = figures.peers(measure.id, w).into_iter().filter(|p| !p.starts_with("ours"));
    let here = here.filter_map(|p| Some((p.to_owned(), figures.median(measure.id, w, p)?)));
    let there = elsewhere::here(figures, measure, w).into_iter().map(|(p, v)| (format!("{p}*"), v));
    let better = |a: &(String, f64), b: &(String, f64)| {
        if measure.better == Better::Higher { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) }
    };
    here.chain(there)
        .min_by(better)
        .map_or_else(|| "-".into(), |(p, v)| format!("{p} {}", show(measure.unit, v)))
}

/// A value with its unit.
#[must_use]
pub fn show(unit: &str, value: f64) -> String {
    match unit {
        "events/s" => format!("{:.2} M/s", value / 1e6),
        "share" => format!("{:.2} %", value * 100.0),
        "B/event" => format!("{value:.1} B"),
        "ns" if value < 10.0 => format!("{value:.2} ns"),
        "ns" if value < 1000.0 => format!("{value:.1} ns"),
        "ns" => format!("{value:.0} ns"),
        "% of a core" => format!("{value:.3} %"),
        _ if value < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}
