//! Single words of the page, asked often: no lock, no allocation. Whether an event was opted in a signal handler may ask
//! too.

use std::sync::atomic::Ordering;

use tracewell_schema::format::control as layout;

use super::{Control, sequence};
use crate::boot;

impl Control {
    /// Whether the name with this hash was enabled by name. False while the page is being changed.
    ///
    /// The page is not checked as a whole: before anything is recorded, `State::create` does that.
    pub(crate) fn is_opted_in(&self, hash: u64) -> bool {
        let is_listed = || {
            let count = self.word(layout::COUNTS).load(Ordering::Relaxed) & 0xffff;
            let count = (count as usize).min(layout::MAX_OPT_INS);
            (0..count).any(|i| self.word(layout::OPT_INS + 8 * i).load(Ordering::Relaxed) == hash)
        };
        sequence::read(self.word(layout::GENERATION), is_listed).unwrap_or(false)
    }

    /// Whether the time at which tracing ends by itself is over.
    pub(crate) fn is_past_expiry(&self) -> bool {
        let expires = self.word(layout::EXPIRES).load(Ordering::Relaxed);
        expires != 0 && boot::boottime_ns() >= expires
    }

    /// The number of the page's present contents; odd while they are being changed.
    pub(crate) fn generation(&self) -> u64 {
        self.word(layout::GENERATION).load(Ordering::Relaxed)
    }
}
