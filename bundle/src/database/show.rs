//! A database as text: its tables, how many rows each has, and the first of them.

use std::io::{self, Read, Write};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};
use tracewell_reader::render::escape::push_escaped;

use super::guard::{Budget, columns, opened, quoted, tables};
use super::{Looks, MAX_DATABASE, look};

/// Rows of a table that are shown.
const ROWS: usize = 20;
/// Bytes of a value that are shown.
const VALUE: usize = 200;
/// Columns that are shown.
const COLUMNS: usize = 50;
/// How long showing a database may take.
const TIME: Duration = Duration::from_secs(5);

/// Writes a database as text. False if it is none, with its bytes, so that they can be shown otherwise.
///
/// # Errors
/// If it cannot be read, or `out` written.
pub(crate) fn write_tables(
    content: &mut dyn Read,
    out: &mut (dyn Write + Send),
) -> io::Result<std::result::Result<(), Vec<u8>>> {
    let mut bytes = Vec::new();
    (&mut *content).take(MAX_DATABASE).read_to_end(&mut bytes)?;
    if look(&bytes) != Looks::Database {
        return Ok(Err(bytes));
    }
    let rest = io::copy(content, &mut io::sink())?;
    let shown = if rest == 0 { all(&bytes, out) } else { Ok(Err("it is too large to be shown".into())) };
    match shown? {
        Ok(()) => Ok(Ok(())),
        Err(why) => {
            writeln!(out, "The tables cannot be shown: {}", safe(&why))?;
            Ok(Err(bytes))
        }
    }
}

fn safe(text: &str) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text.as_bytes(), None);
    out
}

/// What is written goes to `out` piece by piece; an error of SQLite ends it in words.
fn all(bytes: &[u8], out: &mut (dyn Write + Send)) -> io::Result<std::result::Result<(), String>> {
    let database = match opened(bytes, Budget(TIME)) {
        Ok(database) => database,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let found = match tables(&database) {
        Ok(found) => found,
        Err(e) => return Ok(Err(e.to_string())),
    };
    for table in &found {
        if table.kind == "index" {
            continue;
        }
        if let Some(why) = table.left_out {
            writeln!(out, "{} {}: {why}", safe(&table.kind), safe(&table.name))?;
            continue;
        }
        let mut text = String::new();
        // As far as it can be read.
        if let Err(e) = one(&database, &table.name, &mut text) {
            text.push_str(&format!("  cannot be read further: {}\n", safe(&e.to_string())));
        }
        out.write_all(text.as_bytes())?;
    }
    if found.is_empty() {
        writeln!(out, "no tables")?;
    }
    Ok(Ok(()))
}

fn one(database: &Connection, name: &str, out: &mut String) -> Result<()> {
    out.push_str(&format!("table {}", safe(name)));
    let count = database
        .query_row(&format!("SELECT count(*) FROM main.{}", quoted(name)), [], |row| row.get::<_, i64>(0));
    match count {
        Ok(1) => out.push_str(": 1 row\n"),
        Ok(count) => out.push_str(&format!(": {count} rows\n")),
        Err(_) => out.push_str(": its rows cannot be counted\n"),
    }
    let mut columns = columns(database, name)?;
    let more = columns.len().saturating_sub(COLUMNS);
    columns.truncate(COLUMNS);
    let titles: Vec<String> = columns.iter().map(|column| cut(&safe(column)).to_owned()).collect();
    let more = if more == 0 { String::new() } else { format!(" | and {more} columns more") };
    out.push_str(&format!("  {}{more}\n", titles.join(" | ")));
    let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let mut statement =
        database.prepare(&format!("SELECT {} FROM main.{} LIMIT {ROWS}", names.join(", "), quoted(name)))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<String> =
            (0..columns.len()).map(|place| row.get_ref(place).map(value)).collect::<Result<_>>()?;
        out.push_str(&format!("  {}\n", values.join(" | ")));
    }
    Ok(())
}

/// A value for people.
fn value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => {
            let mut text = String::new();
            push_escaped(&mut text, bytes.get(..VALUE).unwrap_or(bytes), None);
            if bytes.len() > VALUE {
                text.push_str(&format!(".. ({} bytes)", bytes.len()));
            }
            text
        }
        ValueRef::Blob(bytes) => format!("[{} bytes]", bytes.len()),
    }
}

/// Not longer than a value is shown.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
