//! Which events are wanted.

use tracewell_schema::Schema;

use crate::item::EventRef;
use crate::trace::ProcessInfo;

/// What an event must satisfy; everything empty lets all through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Category numbers.
    pub categories: Vec<u8>,
    /// Least severe level that is wanted; 0 = any.
    pub level: u8,
    /// Component names.
    pub components: Vec<String>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// Full names of events.
    pub events: Vec<String>,
    /// Not before, UTC ns.
    pub since: Option<i64>,
    /// Not after, UTC ns.
    pub until: Option<i64>,
}

impl Filter {
    /// Whether a process can have wanted events.
    pub(crate) fn wants_process(&self, process: &ProcessInfo) -> bool {
        let identity = &process.identity;
        (self.components.is_empty() || self.components.contains(&identity.component))
            && (self.pids.is_empty() || self.pids.contains(&identity.pid))
    }

    /// Whether events of this type are wanted.
    pub(crate) fn wants_type(&self, schema: &Schema) -> bool {
        (self.categories.is_empty() || self.categories.contains(&schema.category))
            && (self.level == 0 || schema.level <= self.level)
            && (self.events.is_empty() || self.events.contains(&schema.name))
    }

    /// Whether anything of this time is wanted.
    pub(crate) fn wants_time(&self, time: i64) -> bool {
        self.since.is_none_or(|t| time >= t) && self.until.is_none_or(|t| time <= t)
    }

    /// Whether the event is wanted.
    #[must_use]
    pub fn wants(&self, event: &EventRef<'_>) -> bool {
        self.wants_type(event.schema) && self.wants_time(event.time) && self.wants_process(event.process)
    }
}
