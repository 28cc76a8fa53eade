//! Databases: a new one is made in memory, of the rows of the old one with every text replaced.
//!
//! A new one, because an old one keeps what was changed or deleted in pages that nobody uses, in indexes and in what its
//! triggers write. Tables keep their names, columns and rows; how everything was declared is in a table of its own.
//! Not covered: names of tables and columns, numbers, and at level standard blobs that are no text.

use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result, params_from_iter};

use super::{Level, Redactor};
use crate::database::{Budget, Table, columns, empty, image, opened, quoted, tables};

/// How long one database may take.
const TIME: Duration = Duration::from_secs(120);
/// Longest name of a setting.
const MAX_NAME: usize = 64;

/// Replaces in all texts of a database.
///
/// # Errors
/// In words for the user, if it cannot be read.
pub(super) fn replaced(bytes: &[u8], redactor: &mut Redactor) -> std::result::Result<Vec<u8>, String> {
    let told = |e: rusqlite::Error| format!("it cannot be redacted: {e}");
    let from = opened(bytes, Budget(TIME)).map_err(told)?;
    let to = empty(Budget(TIME)).map_err(told)?;
    to.execute_batch("BEGIN").map_err(told)?;
    let found = tables(&from).map_err(told)?;
    let mut notes = Vec::new();
    for table in &found {
        match table.left_out {
            Some(why) if table.kind == "table" => notes.push((table.name.clone(), why.to_owned())),
            Some(_) => {}
            None => {
                if let Err(e) = rows(&from, &to, table, redactor) {
                    notes.push((table.name.clone(), format!("not all of it: {e}")));
                }
            }
        }
    }
    declared(&to, &found, &notes, redactor).map_err(told)?;
    to.execute_batch("COMMIT").map_err(told)?;
    drop(from);
    image(to).map_err(told)
}

fn rows(from: &Connection, to: &Connection, table: &Table, redactor: &mut Redactor) -> Result<()> {
    let columns = columns(from, &table.name)?;
    let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let (name, names) = (quoted(&table.name), names.join(", "));
    // Without types: a pseudonym stays the text that it is.
    to.execute_batch(&format!("CREATE TABLE main.{name} ({names})"))?;
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO main.{name} ({names}) VALUES ({places})"))?;
    let mut select = from.prepare(&format!("SELECT {names} FROM main.{name}"))?;
    let mut rows = select.query([])?;
    // A column's name says it once for all rows.
    let secret: Vec<bool> = columns.iter().map(|column| redactor.says_secret(column)).collect();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns.len());
        let mut is_named = false;
        for (place, is_secret) in secret.iter().enumerate() {
            let value = row.get_ref(place)?;
            values.push(cell(redactor, *is_secret || is_named, value));
            if let ValueRef::Text(text) = value {
                let name = std::str::from_utf8(text).ok().filter(|name| name.len() <= MAX_NAME);
                is_named = name.is_some_and(|name| redactor.says_secret(name));
            }
        }
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}

/// One value. `is_secret`: its column says so, or the text before it; settings are often kept as names and values.
fn cell(redactor: &mut Redactor, is_secret: bool, value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(text(redactor, is_secret, &String::from_utf8_lossy(bytes))),
        ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(inside) if !inside.contains('\0') => {
                Value::Blob(text(redactor, is_secret, inside).into_bytes())
            }
            _ if redactor.level() == Level::Strict => {
                redactor.count("blob");
                Value::Text(format!("[{} bytes left out]", bytes.len()))
            }
            _ => Value::Blob(bytes.to_vec()),
        },
    }
}

fn text(redactor: &mut Redactor, is_secret: bool, text: &str) -> String {
    if is_secret && !text.is_empty() {
        redactor.count("secret");
        return "[secret removed]".into();
    }
    redactor.text(text).into_owned()
}

/// How everything was declared, and what is not in it.
fn declared(
    to: &Connection,
    found: &[Table],
    notes: &[(String, String)],
    redactor: &mut Redactor,
) -> Result<()> {
    let is_taken = |name: &str| found.iter().any(|table| table.name.eq_ignore_ascii_case(name));
    let free = |name: &str| {
        let mut name = name.to_owned();
        while is_taken(&name) {
            name.push('_');
        }
        name
    };
    let schema = free("tracewell_declared");
    to.execute_batch(&format!("CREATE TABLE main.{schema} (kind, name, sql)"))?;
    let mut insert = to.prepare(&format!("INSERT INTO main.{schema} VALUES (?, ?, ?)"))?;
    for table in found {
        insert.execute((&table.kind, &table.name, redactor.text(&table.sql).as_ref()))?;
    }
    let left_out = free("tracewell_left_out");
    to.execute_batch(&format!("CREATE TABLE main.{left_out} (name, why)"))?;
    let mut insert = to.prepare(&format!("INSERT INTO main.{left_out} VALUES (?, ?)"))?;
    for note in notes {
        insert.execute((&note.0, &note.1))?;
    }
    Ok(())
}
