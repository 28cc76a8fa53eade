//! Sentence templates, taken apart once for each schema. Data, not code: placeholders and text, nothing else.

use tracewell_schema::Schema;

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
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
}

impl Template {
    pub(crate) fn parse(schema: &Schema) -> Self {
        let mut template = Self { parts: Vec::new(), shows: vec![false; schema.fields.len()] };
        let mut text = String::new();
        let mut chars = schema.text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' if chars.next_if_eq(&'{').is_some() => text.push('{'),
                '}' if chars.next_if_eq(&'}').is_some() => text.push('}'),
                '{' => {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    match schema.fields.iter().position(|f| f.name == name) {
                        Some(index) => {
                            template.parts.push(Part::Text(std::mem::take(&mut text)));
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
        template.parts.push(Part::Text(text));
        template
    }
}
