//! What is varied, and what is measured at each point.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compare::options::Options;
use crate::stage::Stage;

/// Keys of the values, with their titles.
#[derive(Clone, Copy, Debug)]
pub struct Columns(pub &'static [(&'static str, &'static str)]);

impl Columns {
    /// The titles, for the head of a table.
    #[must_use]
    pub fn map_titles(self) -> String {
        self.0.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(" | ")
    }
}

/// A point of a sweep: medians by key.
#[derive(Clone, Debug)]
pub struct Point {
    /// Of the axis; 0 for "as fast as possible".
    pub x: f64,
    /// For the table.
    pub label: String,
    /// What was measured.
    pub values: BTreeMap<String, f64>,
}

/// One quantity varied.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name in the JSON.
    pub id: &'static str,
    /// For a person.
    pub title: &'static str,
    /// What is varied.
    pub x: &'static str,
    /// What the table shows.
    pub columns: Columns,
    /// In order.
    pub points: Vec<Point>,
}

impl Sweep {
    /// For the JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let point = |p: &Point| json!({ "x": p.x, "label": p.label, "values": p.values });
        let points: Value = self.points.iter().map(point).collect();
        json!({ "id": self.id, "title": self.title, "x": self.x, "points": points })
    }

    /// The values of a key over the axis.
    #[must_use]
    pub fn series(&self, key: &str) -> Vec<(f64, f64)> {
        self.points.iter().filter(|p| p.x > 0.0).filter_map(|p| Some((p.x, *p.values.get(key)?))).collect()
    }
}

/// The highest rate that is asked for, and the threads that it takes: one alone spends all its time on it.
const MOST_RATE: (f64, usize) = (1e8, 4);

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs programs and collects what they print.
struct Bench<'a> {
    options: &'a Options,
    stage: Stage,
    notes: Vec<String>,
}

/// A run of a point: prefix of its keys, mode, event, threads, seconds, more arguments.
struct Run<'a>(&'a str, &'a str, usize, usize, f64, Vec<String>);

pub(super) fn all(options: &Options) -> Result<(Vec<Sweep>, Vec<String>), String> {
    let mut bench = Bench { options, stage: Stage::new(options)?, notes: Vec::new() };
    let sweeps = vec![bench.threads(), bench.rates(), bench.rings(), bench.memory(), bench.life()];
    Ok((sweeps, bench.notes))
}

impl Bench<'_> {
    /// The medians of all that the runs of one point print.
    fn point(&mut self, x: f64, label: &str, runs: &[Run<'_>]) -> Point {
        println!("  {label}");
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..self.options.reps {
            for Run(prefix, mode, w, threads, secs, more) in runs {
                let mut command = self.stage.ours(mode, *w, *threads, *secs);
                match self.stage.runner.run(command.args(more), Stage::limit(*secs)) {
                    Ok(output) => {
                        for (key, value) in output.all() {
                            all.entry(format!("{prefix}{key}")).or_default().push(value);
                        }
                    }
                    Err(why) => self.notes.push(format!("{label}, {mode}: {why}")),
                }
                self.stage.clear();
            }
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let values = all.into_iter().map(|(key, values)| (key, median(values))).collect();
        Point { x, label: label.to_owned(), values }
    }

    /// Some points, or all.
    fn some<T: Copy>(&self, all: &[T], quick: &[T]) -> Vec<T> {
        if self.options.quick { quick.to_vec() } else { all.to_vec() }
    }

    fn threads(&mut self) -> Sweep {
        println!("threads");
        let secs = self.options.secs;
        // So that all threads have rings of the same size.
        let budget = "budget=2147483648";
        let more = |key: &str| vec![budget.to_owned(), key.to_owned()];
        let points = self.some(&[1, 2, 4, 8, 16, 64, 256], &[1, 4, 64]).into_iter().map(|n| {
            let mut runs = vec![
                Run("cost_", "threads", 1, n, secs, more("wait=0")),
                Run("full_", "tput", 1, n, secs, more("wait=0")),
                Run("paced_", "rate", 1, n, secs, more("rate=5000000")),
            ];
            // Few may be under way if no ring is to get full whoever runs: with more threads than cores they all just wait.
            if n <= cores().max(4) {
                runs.push(Run("wait_", "tput", 1, n, secs, more("wait=1")));
            }
            let mut point = self.point(n as f64, &n.to_string(), &runs);
            for run in ["wait", "full"] {
                rates(&mut point, run);
            }
            share_lost(&mut point, "paced_");
            point
        });
        Sweep {
            id: "threads",
            title: "Threads that emit W1 (rings of 4 MiB for all)",
            x: "threads",
            columns: Columns(&[
                ("cost_ns", "emit, ns"),
                ("cost_tsc", "bare rdtsc, ns"),
                ("full_rate", "to the file at full speed, events/s"),
                ("full_lost_percent", "lost, %"),
                ("wait_rate", "to the file, waiting, events/s"),
                ("paced_rate", "emitted at 5 M/s in all"),
                ("paced_lost_percent", "lost, %"),
                ("paced_drain_percent", "CPU of the drain, % of a core"),
            ]),
            points: points.collect(),
        }
    }

    fn rates(&mut self) -> Sweep {
        println!("rates");
        let secs = self.options.secs;
        let mut points = self.some(&[10.0, 1e3, 1e4, 1e5, 1e6, 1e7, 0.0], &[10.0, 1e4, 1e6, 0.0]);
        if cores() > MOST_RATE.1 && !self.options.quick {
            points.insert(points.len() - 1, MOST_RATE.0);
        }
        let points = points.into_iter().map(|rate| {
            let threads = if rate < MOST_RATE.0 { 1 } else { MOST_RATE.1 };
            let mut label = if rate > 0.0 { format!("{rate}") } else { "as fast as possible".into() };
            if threads > 1 {
                label += &format!(" ({threads} threads)");
            }
            let run = Run("", "rate", 1, threads, secs, vec![format!("rate={rate}")]);
            let mut point = self.point(rate, &label, &[run]);
            share_lost(&mut point, "");
            point
        });
        Sweep {
            id: "rates",
            title: "Events a second in all, W1, one thread that sleeps in between",
            x: "events/s asked for",
            columns: Columns(&[
                ("rate", "events/s reached"),
                ("cpu_percent", "CPU of the process, % of a core"),
                ("drain_percent", "of it the drain, %"),
                ("producer_percent", "of it the producer, %"),
                ("lost_percent", "lost, %"),
            ]),
            points: points.collect(),
        }
    }

    fn rings(&mut self) -> Sweep {
        println!("ring sizes");
        let secs = self.options.secs;
        let sizes = self.some(&[16_u32, 18, 20, 22, 24, 26], &[16, 22, 26]);
        let points = sizes.into_iter().map(|bits| {
            let bytes = 1_u64 << bits;
            let ring = || format!("ring={bytes}");
            let label =
                if bits < 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) };
            let mut point = self.point(
                bytes as f64,
                &label,
                &[
                    Run("", "batch", 1, 1, 1.0, vec![ring()]),
                    Run("tail_", "tail", 1, 1, 1.0, vec![ring()]),
                    Run("wait_", "tput", 1, 1, secs, vec![ring(), "wait=1".into()]),
                    Run("full_", "tput", 1, 1, secs, vec![ring()]),
                ],
            );
            for run in ["wait", "full"] {
                rates(&mut point, run);
            }
            point
        });
        Sweep {
            id: "rings",
            title: "Size of the ring, W1, one thread",
            x: "ring",
            columns: Columns(&[
                ("ns", "emit, ns"),
                ("tsc", "bare rdtsc, ns"),
                ("tail_p999", "single emit p99.9, ns"),
                ("wait_rate", "to the file without loss, events/s"),
                ("full_rate", "to the file at full speed, events/s"),
                ("full_lost_percent", "lost at full speed, %"),
            ]),
            points: points.collect(),
        }
    }

    fn memory(&mut self) -> Sweep {
        println!("memory");
        let counts = self.some(&[1, 2, 4, 16, 64, 256], &[1, 64]);
        let mut points: Vec<Point> = Vec::new();
        for n in counts {
            let mut point = self.point(n as f64, &n.to_string(), &[Run("", "memory", 1, n, 1.0, Vec::new())]);
            let resident = point.values.get("resident").copied();
            let first = points.first().and_then(|p| p.values.get("resident")).copied();
            if let Some(resident) = resident {
                point.values.insert("resident_mb".into(), resident / 1e6);
            }
            if let (Some(resident), Some(first), true) = (resident, first, n > 1) {
                point.values.insert("per_thread_mb".into(), (resident - first) / (n - 1) as f64 / 1e6);
            }
            points.push(point);
        }
        Sweep {
            id: "memory",
            title: "Memory, default settings, every ring filled once",
            x: "threads",
            columns: Columns(&[
                ("resident_mb", "resident, MB"),
                ("per_thread_mb", "for each more thread, MB"),
            ]),
            points,
        }
    }

    fn life(&mut self) -> Sweep {
        println!("attach, first emit, threads");
        let point = self.point(
            0.0,
            "us",
            &[
                Run("attach_", "attach", 1, 1, 1.0, Vec::new()),
                Run("first_", "first", 1, 1, 1.0, Vec::new()),
                Run("spawn_", "spawn", 1, 1, 1.0, Vec::new()),
            ],
        );
        Sweep {
            id: "life",
            title: "Beginnings and ends, default settings",
            x: "unit",
            columns: Columns(&[
                ("attach_first_us", "attach, first of a process"),
                ("attach_us", "attach"),
                ("first_process_us", "first emit of a process"),
                ("first_fresh_us", "of a thread, new ring"),
                ("first_reused_us", "of a thread, ring used again"),
                ("spawn_bare_us", "a thread's life without emitting"),
                ("spawn_off_us", "emitting while off"),
                ("spawn_on_us", "emitting while on"),
            ]),
            points: vec![point],
        }
    }
}

/// Rate, loss and CPU of a run to the file, from what it printed.
fn rates(point: &mut Point, run: &str) {
    let get = |key: &str| point.values.get(&format!("{run}_{key}")).copied();
    let Some((called, total)) = get("called").zip(get("total_s")) else { return };
    let (lost, cpu) = (get("lost").unwrap_or(0.0), get("cpu_s").unwrap_or(f64::NAN));
    let kept = called - lost;
    let derived =
        [("rate", kept / total), ("lost_percent", lost / called * 100.0), ("cpu_ns", cpu / kept * 1e9)];
    for (key, value) in derived {
        point.values.insert(format!("{run}_{key}"), value);
    }
}

/// The share that a run lost, from what it printed.
fn share_lost(point: &mut Point, prefix: &str) {
    let get = |key: &str| point.values.get(&format!("{prefix}{key}")).copied();
    if let Some((lost, called)) = get("lost").zip(get("called")) {
        point.values.insert(format!("{prefix}lost_percent"), lost / called * 100.0);
    }
}
