//! A document as headings, facts and tables, for a terminal or a page. Whoever made the document may have meant harm: its
//! texts are given as they are in [`Block`]s, and [`write_text`] escapes all of them; a page must do the same.

use std::io::{self, Write};

use serde_json::{Map, Value};
use tracewell_reader::render::escape::push_escaped;

use super::{FORMAT, group};

/// Longest document that is looked at as a whole, in bytes.
pub const MAX_DOCUMENT: u64 = 16 << 20;
/// Most values of a document, so that a small one does not become a large one in memory.
const MAX_VALUES: usize = 600_000;
/// Deepest headings; what lies deeper is shown as JSON.
const MAX_DEPTH: u8 = 5;
/// Most rows and columns of a table.
const MAX_ROWS: usize = 10_000;
const MAX_COLUMNS: usize = 40;
/// Longest text that is shown of one value, in characters.
const MAX_CELL: usize = 2000;
/// Widest table on a terminal; a wider one is shown as records.
const WIDTH: usize = 130;
/// What is most looked for stands first.
const FIRST: [&str; 14] = [
    "user", "browser", "host", "kind", "name", "id", "package", "protocol", "version", "state", "source",
    "target", "path", "file",
];

/// A piece of a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Block {
    /// A heading; level 1 is the document's.
    Heading {
        /// From 1.
        level: u8,
        /// Its text.
        text: String,
    },
    /// A line of text.
    Note(String),
    /// Names and what they are.
    Facts(Vec<(String, String)>),
    /// Lines of text.
    List(Vec<String>),
    /// Rows of cells.
    Table {
        /// Names of the columns.
        columns: Vec<String>,
        /// A text for each column.
        rows: Vec<Vec<String>>,
        /// Rows that are not shown.
        left_out: usize,
    },
}

/// Reads a document. `None`: it is none of ours, or too large; show it as the text that it is.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Vec<Block>> {
    let values = text.iter().filter(|b| matches!(b, b',' | b'[' | b'{' | b':')).count();
    if text.len() as u64 > MAX_DOCUMENT || values > MAX_VALUES {
        return None;
    }
    blocks(&serde_json::from_slice(text).ok()?)
}

/// A document as blocks. `None`: it is not of the form.
#[must_use]
pub fn blocks(document: &Value) -> Option<Vec<Block>> {
    if document.get("format")?.as_str()? != FORMAT {
        return None;
    }
    let name = document.get("group")?.as_str()?;
    let data = document.get("data")?.as_object()?;
    let title = group(name).map_or(name, |g| g.title);
    let mut out = vec![heading(1, title)];
    let mut about = Vec::new();
    for (key, label) in [("collected_at", "collected"), ("took_ms", "took (ms)"), ("ran_as", "as")] {
        if let Some(value) = document.get(key) {
            about.push((label.to_owned(), cell(value)));
        }
    }
    out.push(Block::Facts(about));
    // In the group's own order, then what else there is.
    let ours: Vec<&str> = group(name).map(|g| g.sections().collect()).unwrap_or_default();
    let known = ours.iter().filter_map(|s| data.get_key_value(*s));
    let others = data.iter().filter(|(key, _)| !ours.contains(&key.as_str()));
    for (section, value) in known.chain(others) {
        out.push(heading(2, &words(section)));
        push(&mut out, value, 3);
    }
    for (key, title) in [("cut", "Left out because it was too much"), ("errors", "What could not be had")] {
        if document.get(key).and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
            out.push(heading(2, title));
            push(&mut out, &document[key], 3);
        }
    }
    Some(out)
}

fn heading(level: u8, text: &str) -> Block {
    Block::Heading { level, text: text.to_owned() }
}

/// `network_cards` as words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn is_simple(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.iter().any(|i| i.is_array() || i.is_object()),
        Value::Object(_) => false,
        _ => true,
    }
}

/// Whether a list of texts is better read line by line.
fn is_long(value: &Value) -> bool {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    is_simple(value) && texts.map(|t| t.len() + 2).sum::<usize>() > WIDTH
}

fn push(out: &mut Vec<Block>, value: &Value, level: u8) {
    match value {
        Value::Object(members) if members.is_empty() => out.push(Block::Note("nothing".into())),
        Value::Object(members) => object(out, members, level),
        Value::Array(items) if items.is_empty() => out.push(Block::Note("none".into())),
        Value::Array(items) if items.iter().all(Value::is_object) => out.push(table(items)),
        Value::Array(items) if is_long(value) => {
            out.push(Block::List(items.iter().take(MAX_ROWS).map(cell).collect()));
        }
        Value::Null => out.push(Block::Note("not found".into())),
        other => out.push(Block::Note(cell(other))),
    }
}

fn object(out: &mut Vec<Block>, members: &Map<String, Value>, level: u8) {
    let facts: Vec<(String, String)> = members
        .iter()
        .filter(|(_, value)| is_simple(value) && !is_long(value) || level > MAX_DEPTH)
        .map(|(key, value)| (key.clone(), cell(value)))
        .collect();
    if !facts.is_empty() {
        out.push(Block::Facts(facts));
    }
    if level > MAX_DEPTH {
        return;
    }
    for (key, value) in members.iter().filter(|(_, value)| !is_simple(value) || is_long(value)) {
        out.push(heading(level, &words(key)));
        push(out, value, level + 1);
    }
}

fn table(items: &[Value]) -> Block {
    let mut columns: Vec<&str> = Vec::new();
    for item in items.iter().take(MAX_ROWS) {
        for key in item.as_object().into_iter().flat_map(Map::keys) {
            if columns.len() < MAX_COLUMNS && !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
    }
    columns.sort_by_key(|c| (FIRST.iter().position(|f| f == c).unwrap_or(FIRST.len()), *c));
    let rows: Vec<Vec<String>> = items
        .iter()
        .take(MAX_ROWS)
        .map(|item| columns.iter().map(|c| item.get(*c).map(cell).unwrap_or_default()).collect())
        .collect();
    let left_out = items.len() - rows.len();
    Block::Table { columns: columns.into_iter().map(str::to_owned).collect(), rows, left_out }
}

/// A value in one line.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) if is_simple(value) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(members) if members.values().all(is_simple) => {
            let each = members.iter().map(|(key, value)| format!("{key} {}", cell(value)));
            each.collect::<Vec<_>>().join(", ")
        }
        Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    match text.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Writes blocks as text that no terminal acts on.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_text(blocks: &[Block], out: &mut dyn Write) -> io::Result<()> {
    for block in blocks {
        match block {
            Block::Heading { level, text } => {
                let text = safe(text);
                if *level == 1 {
                    writeln!(out, "{text}\n{}", "=".repeat(text.chars().count()))?;
                } else {
                    writeln!(out, "\n{} {text}", "#".repeat(usize::from(*level)))?;
                }
            }
            Block::Note(text) => writeln!(out, "  {}", safe(text))?,
            Block::List(lines) => {
                for line in lines {
                    writeln!(out, "  {}", safe(line))?;
                }
            }
            Block::Facts(facts) => {
                let width = facts.iter().map(|(key, _)| safe(key).chars().count()).max().unwrap_or(0).min(40);
                for (key, value) in facts {
                    writeln!(out, "  {:<width$}  {}", safe(key), safe(value))?;
                }
            }
            Block::Table { columns, rows, left_out } => {
                table_text(columns, rows, out)?;
                if *left_out != 0 {
                    writeln!(out, "  and {left_out} more")?;
                }
            }
        }
    }
    Ok(())
}

fn table_text(columns: &[String], rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = columns.iter().map(|c| safe(c)).collect();
    let widths: Vec<usize> = names.iter().enumerate().map(|(at, name)| width_of(name, at, rows)).collect();
    if widths.iter().sum::<usize>() + 2 * widths.len() > WIDTH {
        return records(&names, rows, out);
    }
    let mut line = |cells: &[String]| {
        let mut text = String::from(" ");
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(&format!(" {cell:<width$} "));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&names)?;
    for row in rows {
        line(&row.iter().map(|cell| safe(cell)).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// As wide as nearly all cells of a column: a few long ones push their line out rather than widen all.
fn width_of(name: &str, column: usize, rows: &[Vec<String>]) -> usize {
    let mut widths: Vec<usize> =
        rows.iter().map(|row| row.get(column).map_or(0, |cell| safe(cell).chars().count())).collect();
    widths.sort_unstable();
    let usual = widths.get(widths.len() * 19 / 20).copied().unwrap_or(0);
    let longest = widths.last().copied().unwrap_or(0);
    let width = if longest <= usual + 8 { longest } else { usual };
    width.max(name.chars().count())
}

/// What is too wide for a table: each row as its facts.
fn records(names: &[String], rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).min(40);
    for row in rows {
        let mut mark = '-';
        for (name, cell) in names.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            writeln!(out, "  {mark} {name:<width$}  {}", safe(cell))?;
            mark = ' ';
        }
    }
    Ok(())
}

fn safe(text: &str) -> String {
    // A backslash is one: this is shown, not read back.
    let mut out = String::new();
    for (place, part) in text.split('\\').enumerate() {
        if place != 0 {
            out.push('\\');
        }
        push_escaped(&mut out, part.as_bytes(), None);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(document: &Value) -> String {
        let mut out = Vec::new();
        write_text(&parse(document.to_string().as_bytes()).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_document_becomes_headings_facts_and_tables() {
        let document = json!({
            "format": FORMAT, "group": "hardware", "collected_at": "2026-01-01T00:00:00Z", "took_ms": 5,
            "errors": [{"what": "disks: /x", "why": "permission denied"}], "cut": [],
            "data": {
                "memory": {"ram_bytes": 5, "list": ["a", "b"]},
                "cpu": {"name": "C:\\x", "deep": {"a": {"b": [1, [2]]}}},
                "network_cards": [{"mac": "m", "name": "eth0"}, {"name": "lo", "up": true}],
                "graphics": null, "extra": [],
            },
        });
        let text = text(&document);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in {text}"));
        assert!(at("Hardware\n===") < at("## cpu") && at("## cpu") < at("## memory"), "in the group's order");
        for part in [
            "list       a, b",
            "  name  mac  up\n  eth0  m\n  lo         yes",
            "not found",
            "C:\\x",
            "What could not be had",
            "permission denied",
        ] {
            at(part);
        }
    }

    #[test]
    fn other_documents_are_left_to_who_shows_plain_text() {
        let deep = format!(
            "{{\"format\":\"{FORMAT}\",\"group\":\"x\",\"data\":{}1{}}}",
            "[".repeat(500),
            "]".repeat(500)
        );
        let many = format!(
            "{{\"format\":\"{FORMAT}\",\"group\":\"x\",\"data\":{{\"a\":[{}1]}}}}",
            "1,".repeat(MAX_VALUES)
        );
        for bad in ["", "{}", "[]", "{\"format\":\"x\",\"group\":\"y\",\"data\":{}}", &deep, &many] {
            assert!(parse(bad.as_bytes()).is_none());
        }
    }

    #[test]
    fn headings_go_no_deeper_than_they_should() {
        let mut nested = json!({"last": "end"});
        for _ in 0..100 {
            nested = json!({"a": nested, "b": 1});
        }
        let document = json!({"format": FORMAT, "group": "x", "data": {"n": nested}});
        let blocks = blocks(&document).unwrap();
        let deepest =
            blocks.iter().map(|b| if let Block::Heading { level, .. } = b { *level } else { 0 }).max();
        assert_eq!(deepest, Some(MAX_DEPTH));
        // What lies deeper is there, as JSON, as far as a cell goes.
        assert!(
            matches!(blocks.last(), Some(Block::Facts(facts)) if facts[0].1.contains("{\"a\":{\"a\":")),
            "{blocks:?}"
        );
    }

    #[test]
    fn hostile_content_stays_harmless_and_of_bounded_size() {
        let mut nested = json!("end");
        for i in 0..100 {
            nested = if i % 2 == 0 { json!({"\u{1b}[31m": nested}) } else { json!([nested, 1]) };
        }
        let evil = "\u{1b}]0;x\u{7}\u{202e}\r\n\u{9b}";
        let wide: Map<String, Value> = (0..500).map(|i| (format!("{evil}{i}"), json!(evil))).collect();
        let document = json!({
            "format": FORMAT, "group": evil,
            "data": {evil: [{evil: evil}], "n": nested, "w": [wide], "long": "x".repeat(100_000)},
            "errors": [{evil: evil}], "cut": {"not": "a list"},
        });
        let text = text(&document);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        assert!(text.len() < 100_000, "{}", text.len());
    }
}
