//! What was read, and what was not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use tracewell_schema::format::record::LossReason;

use crate::render::escape::Escaped;
use crate::render::time::utc;

/// A part of the input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file; empty if it is not known which.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many events it cost, as far as is known.
    pub events: u64,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    pub(crate) fn of_file(file: &Path, what: &str) -> Self {
        Self { file: file.to_owned(), offset: 0, bytes: 0, events: 0, what: what.to_owned() }
    }
}

/// A path need not be UTF-8, JSON must.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// A ring whose numbers do not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LawBreach {
    /// Component.
    pub component: String,
    /// Process id.
    pub pid: u32,
    /// Ring id.
    pub ring: u32,
    /// Emits.
    pub attempted: u64,
    /// Events that were found.
    pub delivered: u64,
    /// Events that were refused and counted.
    pub lost: u64,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Events, before filtering.
    pub events: u64,
    /// Events that passed the filter.
    pub shown: u64,
    /// Processes.
    pub processes: usize,
    /// Rings (threads).
    pub rings: usize,
    /// Segments.
    pub segments: usize,
    /// Bytes of the segments.
    pub bytes: u64,
    /// Rings read from the folders of processes.
    pub leftover_rings: usize,
    /// Time of the first event, UTC ns.
    pub first: Option<i64>,
    /// Time of the last event, UTC ns.
    pub last: Option<i64>,
    /// Refused by reason, in the order of [`LossReason::ALL`].
    pub lost: [u64; 8],
    /// Events in holes between blocks.
    pub missing: u64,
    /// Events in earlier segments, which retention had deleted or nobody named.
    pub retired: u64,
    /// Events of rings that had outlived a restart of the computer when a collector, or this reading, found them, so
    /// that their bytes may be of different moments. Each is marked as unverified.
    pub unverified: u64,
    /// Such rings, and those of which the same is known but no event was read.
    pub unverified_rings: usize,
    /// Unsealed segments that end in a write that was cut, by a kill or a full disk. What they were to hold is lost
    /// only if it is counted as missing.
    pub torn: u64,
    /// Bytes of those cut writes.
    pub torn_bytes: u64,
    /// Blocks that were there twice.
    pub duplicates: u64,
    /// Events whose time was before that of the one before.
    pub time_went_back: u64,
    /// Blocks that were handed out before their turn, for more threads had blocks at one time than memory is given
    /// for: their events are in order within their thread, and not among the others.
    pub hurried: u64,
    /// Parts that could not be read.
    pub damaged: Vec<Damage>,
    /// More damaged parts than are listed.
    pub more_damaged: u64,
    /// Rings whose numbers do not add up.
    pub law: Vec<LawBreach>,
    /// Rings for which the law was checked.
    pub law_checked: usize,
    /// Rings of processes that still run, or whose end is not recorded.
    pub law_open: usize,
    /// Largest error of the times, ns.
    pub clock_error: u32,
    /// How much older than its event a time of a component with a coarse clock can be, ns; 0 if there is none.
    pub coarse_resolution: u32,
}

/// Most damaged parts that are listed.
pub(crate) const MAX_LISTED: usize = 1000;

impl Summary {
    /// All losses.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().fold(0, |a, b| a.saturating_add(*b))
    }

    /// Nothing was lost, missing, damaged or unverified. (What retention deleted was meant to go.)
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost_total() == 0
            && self.missing == 0
            && self.damaged.is_empty()
            && self.law.is_empty()
            && self.unverified == 0
            && self.unverified_rings == 0
    }

    pub(crate) fn damage(&mut self, damage: Damage) {
        // One cause, one line: a damaged schemas block costs every event of its types.
        if let Some(last) = self.damaged.last_mut()
            && (&last.file, &last.what) == (&damage.file, &damage.what)
        {
            last.bytes = last.bytes.saturating_add(damage.bytes);
            last.events = last.events.saturating_add(damage.events);
            return;
        }
        if self.damaged.len() < MAX_LISTED {
            self.damaged.push(damage);
        } else {
            self.more_damaged += 1;
        }
    }

    /// For a person: a few lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "{} events of {} processes ({} threads), {} segments with {} bytes",
            self.events, self.processes, self.rings, self.segments, self.bytes
        );
        if self.leftover_rings != 0 {
            let _ = write!(out, ", {} rings left by processes", self.leftover_rings);
        }
        out.push('\n');
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let seconds = last.saturating_sub(first) as f64 / 1e9;
            let _ = writeln!(
                out,
                "from {} to {} ({seconds:.3} s), times within {} ns of UTC",
                utc(first),
                utc(last),
                self.clock_error
            );
            if self.coarse_resolution != 0 {
                let millis = f64::from(self.coarse_resolution) / 1e6;
                let _ = writeln!(out, "times of components with a coarse clock are up to {millis} ms early");
            }
        }
        if self.shown != self.events {
            let _ = writeln!(out, "{} events shown by the filter", self.shown);
        }
        if self.retired != 0 {
            let _ = writeln!(
                out,
                "{} older events are not here: deleted by retention, or in segments that were not named",
                self.retired
            );
        }
        if self.unverified != 0 || self.unverified_rings != 0 {
            let _ = writeln!(
                out,
                "{} events are unverified: they were found in memory that had outlived a restart of the computer",
                self.unverified
            );
        }
        if self.hurried != 0 {
            let _ = writeln!(
                out,
                "{} blocks are not in order with those of other threads: too many threads at one time",
                self.hurried
            );
        }
        if self.torn != 0 {
            let _ = writeln!(
                out,
                "{} segments end in a write that was cut ({} bytes)",
                self.torn, self.torn_bytes
            );
        }
        if self.law_open != 0 {
            let _ =
                writeln!(out, "{} rings have no last counts yet (still running, or cut off)", self.law_open);
        }
        if self.time_went_back != 0 {
            let _ = writeln!(out, "{} events are dated before the one before them", self.time_went_back);
        }
        if self.is_complete() {
            let _ = writeln!(out, "lost: none; damaged: none; {} rings add up", self.law_checked);
            return out;
        }
        let reasons: Vec<_> = LossReason::ALL
            .iter()
            .zip(self.lost)
            .filter(|(_, n)| *n != 0)
            .map(|(reason, n)| format!("{} {n}", reason.name()))
            .collect();
        let _ = writeln!(
            out,
            "lost: {} events ({}); missing: {}",
            self.lost_total(),
            if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") },
            self.missing
        );
        for damage in self.damaged.iter().take(20) {
            let _ = writeln!(
                out,
                "damaged: {} at byte {}, {} bytes, {} events: {}",
                Escaped(&damage.file.to_string_lossy()),
                damage.offset,
                damage.bytes,
                damage.events,
                Escaped(&damage.what)
            );
        }
        let more = self.damaged.len().saturating_sub(20) as u64 + self.more_damaged;
        if more != 0 {
            let _ = writeln!(out, "damaged: {more} more parts");
        }
        for breach in &self.law {
            let _ = writeln!(
                out,
                "does not add up: {} pid {} ring {}: {} attempted, {} found, {} counted as lost",
                Escaped(&breach.component),
                breach.pid,
                breach.ring,
                breach.attempted,
                breach.delivered,
                breach.lost
            );
        }
        out
    }
}
