//! Sentence templates, taken apart once for each schema. Data, not code: placeholders and text, nothing else.

use tracewell_schema::Schema;

use super::buffer::{Buffer, Literal};
use super::escape::Escaped;
use super::json::push_string;
use super::{category_name, level_name};

/// How often a sentence shows a field; from then on a placeholder stays as it is. Else a hostile sentence would make
/// more than a thousand times its text of each value.
const MOST_SHOWN: usize = 4;

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text, safe to print.
    Text(String),
    /// Index of a field.
    Field(usize),
}

/// A sentence taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
    /// Whether the sentence shows the field, by its index.
    pub(crate) shows: Vec<bool>,
    /// What stands before each field's value in a line, as ` name=`, safe to print.
    pub(crate) labels: Vec<String>,
    /// What stands before each field's value in a JSON object, as `"name":`.
    pub(crate) json_labels: Vec<Literal>,
    /// What stands between sentence and fields in a line, as ` | event=process.start`.
    pub(crate) event: String,
    /// The level's column, with a space before and after.
    pub(crate) level: Literal,
    /// The category's column.
    pub(crate) category: String,
    /// What stands between head and fields in a JSON object.
    pub(crate) json_event: String,
}

impl Template {
    pub(crate) fn parse(schema: &Schema) -> Self {
        let mut template = Self { shows: vec![false; schema.fields.len()], ..Self::labelled(schema) };
        let mut text = String::new();
        let mut chars = schema.text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' if chars.next_if_eq(&'{').is_some() => text.push('{'),
                '}' if chars.next_if_eq(&'}').is_some() => text.push('}'),
                '{' => {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    let found = schema.fields.iter().position(|f| f.name == name);
                    let times = |index| template.parts.iter().filter(|p| **p == Part::Field(index)).count();
                    match found.filter(|index| times(*index) < MOST_SHOWN) {
                        Some(index) => {
                            template.push_text(&mut text);
                            template.parts.push(Part::Field(index));
                            if let Some(shows) = template.shows.get_mut(index) {
                                *shows = true;
                            }
                        }
                        // A hostile or later schema: the placeholder stays as it is.
                        None => {
                            text.push('{');
                            text.push_str(&name);
                            text.push('}');
                        }
                    }
                }
                c => text.push(c),
            }
        }
        template.push_text(&mut text);
        template
    }

    fn push_text(&mut self, text: &mut String) {
        self.parts.push(Part::Text(Escaped(text).to_string()));
        text.clear();
    }

    /// Everything that is the same for all events of the type, made once.
    fn labelled(schema: &Schema) -> Self {
        let category = category_name(schema.category);
        let json = |name: &str| {
            let mut out = Buffer::new();
            push_string(&mut out, name.as_bytes());
            out.as_text().into_owned()
        };
        Self {
            labels: schema.fields.iter().map(|f| format!(" {}=", Escaped(&f.name))).collect(),
            json_labels: schema.fields.iter().map(|f| Literal::new(&format!("{}:", json(&f.name)))).collect(),
            event: format!(" | event={}", Escaped(&schema.name)),
            level: Literal::new(&format!(" {:<5} ", level_name(schema.level))),
            category: format!("{category:<11} "),
            json_event: format!(
                ",\"category\":\"{category}\",\"event\":{},\"fields\":{{",
                json(&schema.name)
            ),
            ..Self::default()
        }
    }
}
