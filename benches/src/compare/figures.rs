//! The figures of a run: every value, and its ratios to a bare clock read and to LTTng.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It is what it is: a limit of the machine.
    Neither,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Name in the JSON.
    pub id: &'static str,
    /// For a person.
    pub title: &'static str,
    /// Of its values.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
}

/// One value, with its ratio to bare `rdtsc` in the same process if that was measured beside it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    value: f64,
    to_rdtsc: Option<f64>,
}

/// Measure, workload, peer.
type Key = (&'static str, &'static str, String);

/// All values of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    samples: BTreeMap<Key, Vec<Sample>>,
    /// Bare `rdtsc`, ns, of every process.
    clocks: Vec<f64>,
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle one, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(upper, sorted[sorted.len() / 2 - 1]) })
}

impl Figures {
    /// Notes what a bare clock read cost in a process.
    pub fn clock(&mut self, ns: Option<f64>) {
        self.clocks.extend(ns.filter(|ns| ns.is_finite()));
    }

    /// Adds a value; `clock` is bare `rdtsc` in the same process.
    pub fn add(&mut self, measure: &Measure, w: &'static str, peer: &str, value: f64, clock: Option<f64>) {
        let ratio = clock.and_then(|clock| to_clock(measure.unit, value, clock));
        self.add_with_ratio(measure, w, peer, value, ratio);
    }

    /// Adds a value whose ratio was measured batch by batch.
    pub fn add_with_ratio(
        &mut self,
        measure: &Measure,
        w: &'static str,
        peer: &str,
        value: f64,
        to_rdtsc: Option<f64>,
    ) {
        let key = (measure.id, w, peer.to_owned());
        self.samples.entry(key).or_default().push(Sample { value, to_rdtsc });
    }

    fn get(&self, id: &str, w: &str, peer: &str) -> &[Sample] {
        let found = self.samples.iter().find(|(k, _)| k.0 == id && k.1 == w && k.2 == peer);
        found.map_or(&[], |(_, samples)| samples.as_slice())
    }

    /// The median of a figure.
    #[must_use]
    pub fn median(&self, id: &str, w: &str, peer: &str) -> Option<f64> {
        median(&sorted(self.get(id, w, peer).iter().map(|s| s.value)))
    }

    /// The least value of a figure.
    #[must_use]
    pub fn min(&self, id: &str, w: &str, peer: &str) -> Option<f64> {
        sorted(self.get(id, w, peer).iter().map(|s| s.value)).first().copied()
    }

    /// The greatest value of a figure.
    #[must_use]
    pub fn max(&self, id: &str, w: &str, peer: &str) -> Option<f64> {
        sorted(self.get(id, w, peer).iter().map(|s| s.value)).last().copied()
    }

    /// The median of a figure's ratio to bare `rdtsc`.
    #[must_use]
    pub fn to_rdtsc(&self, measure: &Measure, w: &str, peer: &str) -> Option<f64> {
        let samples = self.get(measure.id, w, peer);
        let own = median(&sorted(samples.iter().filter_map(|s| s.to_rdtsc)));
        own.or_else(|| to_clock(measure.unit, self.median(measure.id, w, peer)?, self.rdtsc()?))
    }

    /// Bare `rdtsc`, ns: the median of all processes.
    #[must_use]
    pub fn rdtsc(&self) -> Option<f64> {
        median(&sorted(self.clocks.iter().copied()))
    }

    /// What LTTng reached: the best of its variants.
    #[must_use]
    pub fn lttng(&self, measure: &Measure, w: &str) -> Option<f64> {
        let variants = ["lttng", "lttng-block"].into_iter().filter_map(|p| self.median(measure.id, w, p));
        match measure.better {
            Better::Higher => variants.reduce(f64::max),
            _ => variants.reduce(f64::min),
        }
    }

    /// A figure's ratio to LTTng's.
    #[must_use]
    pub fn to_lttng(&self, measure: &Measure, w: &str, peer: &str) -> Option<f64> {
        let (ours, theirs) = (self.median(measure.id, w, peer)?, self.lttng(measure, w)?);
        // A ratio to nothing says nothing: LTTng that is off costs less than can be measured.
        (theirs > 0.05 || (theirs > 0.0 && measure.unit != "ns")).then_some(ours / theirs)
    }

    /// The workloads for which a measure has figures.
    #[must_use]
    pub fn workloads(&self, id: &str) -> Vec<&'static str> {
        let mut all: Vec<_> = self.samples.keys().filter(|k| k.0 == id).map(|k| k.1).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The peers that have this figure.
    #[must_use]
    pub fn peers(&self, id: &str, w: &str) -> Vec<&str> {
        self.samples.keys().filter(|k| k.0 == id && k.1 == w).map(|k| k.2.as_str()).collect()
    }

    /// Every figure.
    #[must_use]
    pub fn json(&self, measures: &[Measure]) -> Value {
        let figure = |(id, w, peer): &Key, samples: &[Sample]| {
            let measure = measures.iter().find(|m| m.id == *id)?;
            let values = sorted(samples.iter().map(|s| s.value));
            Some(json!({
                "measure": id,
                "title": measure.title,
                "workload": w,
                "peer": peer,
                "unit": measure.unit,
                "min": values.first(),
                "median": median(&values),
                "max": values.last(),
                "n": values.len(),
                "to_rdtsc": self.to_rdtsc(measure, w, peer),
                "to_lttng": self.to_lttng(measure, w, peer),
            }))
        };
        self.samples.iter().filter_map(|(key, samples)| figure(key, samples)).collect()
    }
}

/// Times over the clock's; rates over the rate of bare clock reads. Other units have no such ratio.
fn to_clock(unit: &str, value: f64, clock: f64) -> Option<f64> {
    let ns = match unit {
        "ns" => value,
        "us" => value * 1e3,
        "events/s" => return Some(value * clock / 1e9),
        _ => return None,
    };
    Some(ns / clock)
}
