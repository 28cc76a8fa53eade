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

use self::buffer::Buffer;
use self::json::JsonRenderer;
use self::text::TextRenderer;
use crate::item::Item;
use crate::lines::Form;

/// Name of a level, also of one of a later version.
pub(crate) fn level_name(level: u8) -> &'static str {
    Level::from_u8(level).map_or("level?", Level::name)
}

/// Name of a category; with its number for one of a later version.
pub(crate) fn category_name(category: u8) -> String {
    Category::from_u8(category).map_or_else(|| format!("category-{category}"), |c| c.name().to_owned())
}

/// Renders items in one of the forms.
#[derive(Debug)]
pub(crate) enum Renderer {
    Text(Box<TextRenderer>),
    Json(Box<JsonRenderer>),
}

impl Renderer {
    pub(crate) fn new(form: Form) -> Self {
        match form {
            Form::Text { local } => Self::Text(Box::new(TextRenderer::new(local))),
            Form::Json => Self::Json(Box::default()),
        }
    }

    #[inline]
    pub(crate) fn render(&mut self, out: &mut Buffer, item: &Item<'_>) {
        match self {
            Self::Text(renderer) => renderer.render(out, item),
            Self::Json(renderer) => renderer.render(out, item),
        }
    }
}
