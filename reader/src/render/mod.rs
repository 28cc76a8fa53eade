//! Events as text and JSON, without allocating for each.

pub mod escape;
pub mod json;
pub(crate) mod template;
pub mod text;
pub mod time;

use tracewell_schema::{Category, FieldValue, Level};

/// Name of a level, also of one of a later version.
pub(crate) fn level_name(level: u8) -> &'static str {
    Level::from_u8(level).map_or("level?", Level::name)
}

/// Name of a category; with its number for one of a later version.
pub(crate) fn category_name(category: u8) -> String {
    Category::from_u8(category).map_or_else(|| format!("category-{category}"), |c| c.name().to_owned())
}

/// A vector whose memory is used again for values of another lifetime.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<FieldValue<'static>>);

// `filter` cannot change the lifetime of what it lets through.
#[allow(clippy::unnecessary_filter_map)]
impl Scratch {
    /// The empty vector, with the memory of earlier uses.
    #[expect(clippy::unnecessary_filter_map, reason = "it changes the lifetime")]
    pub(crate) fn take<'a>(&mut self) -> Vec<FieldValue<'a>> {
        std::mem::take(&mut self.0).into_iter().filter_map(|_| None).collect()
    }

    /// Gives the memory back.
    #[expect(clippy::unnecessary_filter_map, reason = "it changes the lifetime")]
    pub(crate) fn give(&mut self, mut used: Vec<FieldValue<'_>>) {
        used.clear();
        self.0 = used.into_iter().filter_map(|_| None).collect();
    }
}
