//! Events as text and JSON, without allocating for each.

pub mod buffer;
pub mod escape;
pub mod json;
pub(crate) mod number;
pub(crate) mod program;
pub(crate) mod template;
pub mod text;
pub mod time;
pub(crate) mod value;

use tracewell_schema::{Category, Level};

/// Name of a level, also of one of a later version.
pub(crate) fn level_name(level: u8) -> &'static str {
    Level::from_u8(level).map_or("level?", Level::name)
}

/// Name of a category; with its number for one of a later version.
pub(crate) fn category_name(category: u8) -> String {
    Category::from_u8(category).map_or_else(|| format!("category-{category}"), |c| c.name().to_owned())
}
