//! Whether an event was opted in, asked on hot paths: no lock, no allocation, so that a signal handler may ask too.

use std::sync::atomic::{Ordering, fence};

use tracewell_schema::format::control as layout;

use super::Control;

impl Control {
    /// Whether the name with this hash was enabled by name. False while the page is being changed.
    ///
    /// The page is not checked as a whole: before anything is recorded, `State::create` does that.
    pub(crate) fn is_opted_in(&self, hash: u64) -> bool {
        // Acquire: what is read below is not older than this generation.
        let generation = self.word(layout::GENERATION).load(Ordering::Acquire);
        if !generation.is_multiple_of(2) {
            return false;
        }
        let count = self.word(layout::COUNTS).load(Ordering::Relaxed) & 0xffff;
        let count = (count as usize).min(layout::MAX_OPT_INS);
        let found = (0..count).any(|i| self.word(layout::OPT_INS + 8 * i).load(Ordering::Relaxed) == hash);
        // Acquire: if a change had begun before one of the loads above, the generation below shows it.
        fence(Ordering::Acquire);
        found && self.word(layout::GENERATION).load(Ordering::Relaxed) == generation
    }

    /// The number of the page's present contents; odd while they are being changed.
    pub(crate) fn generation(&self) -> u64 {
        self.word(layout::GENERATION).load(Ordering::Relaxed)
    }
}
