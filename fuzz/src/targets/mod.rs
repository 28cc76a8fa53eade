//! The targets. Each takes any bytes and panics if something does not hold; false if the bytes are no use to it.

mod codec;
mod columns;
mod control;
mod files;
mod merge;
mod render;
mod schema;
mod settings;

pub use codec::codec;
pub use columns::columns;
pub use control::control;
pub use files::{ring, segment, trace};
pub use merge::merge;
pub use render::{json, text};
pub use schema::schema;
pub use settings::settings;

/// A target.
pub type Target = fn(&[u8]) -> bool;

/// All targets by name.
pub const ALL: [(&str, Target); 11] = [
    ("codec", codec),
    ("columns", columns),
    ("control", control),
    ("json", json),
    ("merge", merge),
    ("ring", ring),
    ("schema", schema),
    ("segment", segment),
    ("settings", settings),
    ("text", text),
    ("trace", trace),
];
