//! How many events were emitted, delivered and lost, as far as segments and rings tell.

use std::collections::HashMap;

use crate::rings::RingFolder;
use crate::segments::{self, Session};

/// What happened to a process's events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) attempted: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: [u64; 8],
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.attempted = self.attempted.saturating_add(other.attempted);
        self.delivered = self.delivered.saturating_add(other.delivered);
        for (sum, n) in self.lost.iter_mut().zip(other.lost) {
            *sum = sum.saturating_add(n);
        }
    }
}

/// By process: of each ring the last counters that are known, from segments and from the rings themselves.
pub(crate) fn tallies(sessions: &[Session], folders: &[RingFolder]) -> HashMap<[u8; 16], Tally> {
    let mut of_ring: HashMap<([u8; 16], u32), Tally> = HashMap::new();
    let mut add = |process, ring, tally: Tally| {
        let known = of_ring.entry((process, ring)).or_insert(tally);
        if tally.attempted >= known.attempted {
            *known = tally;
        }
    };
    for segment in sessions.iter().flat_map(|s| &s.segments) {
        let Some(facts) = segments::facts(&segment.path) else { continue };
        for (ring, c) in facts.counters {
            let tally = Tally { attempted: c.attempted, delivered: c.delivered, lost: c.lost };
            add(facts.identity.process_uuid, ring, tally);
        }
    }
    for r in folders.iter().flat_map(|f| &f.rings) {
        let tally = Tally { attempted: r.attempted, delivered: r.delivered(), lost: r.lost };
        add(r.process_uuid, r.info.ring, tally);
    }
    let mut of_process: HashMap<[u8; 16], Tally> = HashMap::new();
    for ((process, _), tally) in &of_ring {
        of_process.entry(*process).or_default().add(tally);
    }
    of_process
}
