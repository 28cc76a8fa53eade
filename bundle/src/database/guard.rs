//! Opening databases that strangers made: what their schema says is never run, and whatever takes long ends.

use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB, Result};

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 1000;
/// Longest value, in bytes.
const MAX_VALUE: i32 = 64 << 20;
/// Longest statement: the schema of a stranger has some.
const MAX_SQL: i32 = 1 << 20;
/// Most tables that are looked at.
const MAX_TABLES: usize = 2000;

/// How long the work on a database may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) Duration);

/// Switches off whatever a database could make us do: functions and virtual tables in its schema, triggers, views, changes
/// of the schema; and ends what takes longer than the budget. Nothing is ever put on a disk.
pub(crate) fn guard(connection: &mut Connection, budget: Budget) -> Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(config, on)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 10),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    // What SQLite sorts or sets aside must not become a file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let until = Instant::now() + budget.0;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= until))
}

/// A new, empty database in memory.
pub(crate) fn empty(budget: Budget) -> Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    guard(&mut connection, budget)?;
    Ok(connection)
}

/// Opens the bytes of a database, to be read only.
pub(crate) fn opened(image: &[u8], budget: Budget) -> Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    // In memory there is no log: versions 1 say that none is used. The rest is copied as it is.
    let (head, rest) = image.split_at(image.len().min(20));
    let mut head = head.to_vec();
    head.iter_mut().skip(18).for_each(|version| *version = 1);
    connection.deserialize_read_exact(
        MAIN_DB,
        std::io::Read::chain(head.as_slice(), rest),
        image.len(),
        true,
    )?;
    guard(&mut connection, budget)?;
    Ok(connection)
}

/// The bytes of a database.
pub(crate) fn image(mut connection: Connection) -> Result<Vec<u8>> {
    let mut bytes = connection.serialize(MAIN_DB)?.to_vec();
    // Whoever opens it next finds no log beside it.
    if let Some(versions) = bytes.get_mut(18..20) {
        versions.fill(1);
    }
    Ok(bytes)
}

/// A name as SQL takes it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Something that the schema names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// As it was declared.
    pub(crate) sql: String,
    /// `table`, `index`, `view`, `trigger`.
    pub(crate) kind: String,
    /// Why its rows are not looked at, if they are not.
    pub(crate) left_out: Option<&'static str>,
}

/// What the schema names, read without running anything of it.
pub(crate) fn tables(connection: &Connection) -> Result<Vec<Table>> {
    let mut statement = connection.prepare("SELECT type, name, sql, rootpage FROM main.sqlite_schema")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |place| -> Result<String> {
            let value = row.get_ref(place)?;
            Ok(value.as_bytes_or_null()?.map(String::from_utf8_lossy).unwrap_or_default().into_owned())
        };
        let (kind, name, sql) = (text(0)?, text(1)?, text(2)?);
        let root = row.get_ref(3)?.as_i64_or_null()?.unwrap_or(0);
        let left_out = match kind.as_str() {
            "table" if root == 0 => Some("a virtual table: its contents are made by a module"),
            "table" if name.to_ascii_lowercase().starts_with("sqlite_") => Some("SQLite's own"),
            "table" => None,
            _ => Some("holds no rows of its own"),
        };
        all.push(Table { name, sql, kind, left_out });
        if all.len() >= MAX_TABLES {
            break;
        }
    }
    let modules: Vec<String> = all
        .iter()
        .filter(|t| t.left_out.is_some_and(|why| why.starts_with("a virtual")))
        .map(|t| t.name.clone())
        .collect();
    for table in all.iter_mut().filter(|table| table.left_out.is_none()) {
        let is_part = |module: &String| {
            table.name.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('_'))
        };
        if modules.iter().any(is_part) {
            table.left_out = Some("the inside of a virtual table");
        }
    }
    Ok(all)
}

/// The columns of a table that hold stored values: what is computed from others is not evaluated.
pub(crate) fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(table)))?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get_ref(6)?.as_i64()? == 0 {
            all.push(String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned());
        }
    }
    Ok(all)
}
