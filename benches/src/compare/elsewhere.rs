//! Peers that no registry has, measured on the same events with the harness that `peers/` comes from: they count by
//! their ratio to LTTng in that run. The machine was a virtual one with two processors, in its fast state.

use super::figures::{Figures, Measure};
use super::measures as m;

/// Measure, workload, LTTng there, and the others.
type Row = (&'static Measure, &'static str, f64, &'static [(&'static str, f64)]);

const ROWS: &[Row] = &[
    (&m::EMIT, "W0", 56.0, &[("fmtlog", 8.9), ("binlog", 9.1), ("quill", 9.4), ("NanoLog", 10.0)]),
    (&m::EMIT, "W1", 80.0, &[("fmtlog", 9.2), ("binlog", 9.4), ("quill", 9.5), ("NanoLog", 11.1)]),
    (&m::EMIT, "W2", 158.0, &[("fmtlog", 10.0), ("binlog", 12.5), ("quill", 18.9), ("NanoLog", 30.6)]),
    (&m::P999, "W1", 180.0, &[("fmtlog", 30.0), ("binlog", 70.0), ("quill", 20.0), ("NanoLog", 50.0)]),
    (&m::P999, "W2", 430.0, &[("fmtlog", 40.0), ("binlog", 120.0), ("quill", 130.0), ("NanoLog", 400.0)]),
    (&m::FILE_1T, "W0", 16e6, &[("binlog", 104e6), ("NanoLog", 89e6), ("fmtlog", 6.6e6), ("quill", 6.4e6)]),
    (&m::FILE_1T, "W1", 11e6, &[("binlog", 75e6), ("NanoLog", 51e6), ("fmtlog", 4.5e6), ("quill", 4.0e6)]),
    (
        &m::FILE_1T,
        "W2",
        4.9e6,
        &[("binlog", 11.6e6), ("NanoLog", 5.9e6), ("fmtlog", 3.6e6), ("quill", 1.3e6)],
    ),
    (&m::FILE_2T, "W1", 19e6, &[("binlog", 69e6), ("NanoLog", 32e6), ("fmtlog", 2.5e6), ("quill", 2.5e6)]),
    (
        &m::FILE_2T,
        "W2",
        7.2e6,
        &[("binlog", 10.7e6), ("NanoLog", 5.2e6), ("fmtlog", 1.9e6), ("quill", 0.8e6)],
    ),
    (&m::BYTES, "W0", 6.0, &[("binlog", 20.0), ("NanoLog", 3.2)]),
    (&m::BYTES, "W1", 27.0, &[("binlog", 41.0), ("NanoLog", 21.0), ("fmtlog", 115.0), ("quill", 116.0)]),
    (&m::BYTES, "W2", 249.0, &[("binlog", 272.0), ("NanoLog", 240.0), ("fmtlog", 322.0), ("quill", 324.0)]),
    (&m::CPU_FILE, "W1", 89.0, &[("binlog", 22.0), ("NanoLog", 38.0), ("fmtlog", 440.0), ("quill", 330.0)]),
    (&m::CPU_FILE, "W2", 260.0, &[("binlog", 88.0), ("NanoLog", 280.0), ("fmtlog", 560.0), ("quill", 990.0)]),
];

/// Ratios to LTTng of the peers that were measured elsewhere.
#[must_use]
pub fn to_lttng(measure: &Measure, w: &str) -> Vec<(&'static str, f64)> {
    let row = ROWS.iter().find(|row| row.0.id == measure.id && row.1 == w);
    row.map_or_else(Vec::new, |row| row.3.iter().map(|(name, value)| (*name, value / row.2)).collect())
}

/// What they would have reached in this run, by those ratios.
#[must_use]
pub fn here(figures: &Figures, measure: &Measure, w: &str) -> Vec<(&'static str, f64)> {
    let Some(lttng) = figures.lttng(measure, w) else { return Vec::new() };
    to_lttng(measure, w).into_iter().map(|(name, ratio)| (name, ratio * lttng)).collect()
}
