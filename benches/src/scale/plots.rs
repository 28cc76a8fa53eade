//! Which plots show what.

use super::Sweep;
use crate::plot::{Axis, Plot, Series, Style};

/// All plots, by name.
pub(super) fn all(sweeps: &[Sweep]) -> Vec<(&'static str, Plot)> {
    let find = |id: &str| sweeps.iter().find(|s| s.id == id);
    let mut plots = Vec::new();
    if let Some(sweep) = find("threads") {
        let x = || axis(sweep, "threads", Style::Plain);
        plots.push((
            "threads-cost",
            Plot {
                title: "Cost of an emit over the threads (W1)".into(),
                x: x(),
                y: Axis::new("ns of CPU time", false),
                series: series(sweep, &[("cost_ns", "emit"), ("cost_tsc", "bare rdtsc")]),
            },
        ));
        plots.push((
            "threads-rate",
            Plot {
                title: "Events that reach the file over the threads (W1)".into(),
                x: x(),
                y: Axis::new("events/s", false),
                series: series(
                    sweep,
                    &[("full_rate", "at full speed, with loss"), ("wait_rate", "without loss")],
                ),
            },
        ));
    }
    if let Some(sweep) = find("rates") {
        plots.push((
            "rates-cpu",
            Plot {
                title: "CPU over the rate of events (W1)".into(),
                x: Axis::new("events/s", true),
                y: Axis::new("% of a core", true),
                series: series(
                    sweep,
                    &[
                        ("cpu_percent", "process"),
                        ("drain_percent", "drain"),
                        ("producer_percent", "producer"),
                    ],
                ),
            },
        ));
    }
    if let Some(sweep) = find("rings") {
        let x = || axis(sweep, "size of the ring", Style::Bytes);
        plots.push((
            "rings-cost",
            Plot {
                title: "Cost of an emit over the size of the ring (W1)".into(),
                x: x(),
                y: Axis::new("ns", false),
                series: series(
                    sweep,
                    &[
                        ("ns", "emit, median of batches"),
                        ("tail_p999", "single emit, p99.9"),
                        ("tsc", "bare rdtsc"),
                    ],
                ),
            },
        ));
        plots.push((
            "rings-rate",
            Plot {
                title: "Events that reach the file over the size of the ring (W1)".into(),
                x: x(),
                y: Axis::new("events/s", false),
                series: series(
                    sweep,
                    &[("wait_rate", "without loss"), ("full_rate", "at full speed, with loss")],
                ),
            },
        ));
    }
    if let Some(sweep) = find("memory") {
        plots.push((
            "memory",
            Plot {
                title: "Resident memory over the threads that emit".into(),
                x: axis(sweep, "threads", Style::Plain),
                y: Axis::new("MB", false),
                series: series(sweep, &[("resident_mb", "resident, rings included")]),
            },
        ));
    }
    plots
}

/// A logarithmic axis with a tick at each point.
fn axis(sweep: &Sweep, label: &str, style: Style) -> Axis {
    let ticks = sweep.points.iter().map(|p| p.x).filter(|x| *x > 0.0).collect();
    Axis { style, ticks, ..Axis::new(label, true) }
}

fn series(sweep: &Sweep, keys: &[(&str, &str)]) -> Vec<Series> {
    keys.iter().map(|(key, name)| Series { name: (*name).to_owned(), points: sweep.series(key) }).collect()
}
