//! Small things that several collectors say in the same way.

use rustix::fs::Stat;
use serde_json::{Value, json};

use super::context::Context;
use super::tree::{EntryKind, Tree};

/// A time in seconds since 1970 as a text in UTC.
pub(super) fn time(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds).ok().map(|t| t.to_string())
}

/// The same in milliseconds.
pub(super) fn time_ms(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms).ok().map(|t| t.to_string())
}

/// When a file was changed.
pub(super) fn modified(stat: &Stat) -> Option<String> {
    time(stat.st_mtime)
}

/// Permissions as `0644`.
pub(super) fn mode(stat: &Stat) -> String {
    format!("{:04o}", stat.st_mode & 0o7777)
}

/// What is said of a file: path, size, mtime, mode, owner. `None` if there is none.
pub(super) fn file(context: &Context, tree: &Tree, path: &str) -> Option<Value> {
    let stat = tree.stat(path).ok()?;
    Some(json!({
        "path": tree.shown(path),
        "size": stat.st_size,
        "modified": modified(&stat),
        "mode": mode(&stat),
        "owner": owner(context, &stat),
    }))
}

/// A file's owner by name, or by number.
pub(super) fn owner(context: &Context, stat: &Stat) -> String {
    context.user(stat.st_uid).map_or_else(|| stat.st_uid.to_string(), str::to_owned)
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    tracewell::schema::format::hex(&sha2::Sha256::digest(bytes))
}

/// Names of the files of a folder that end so, as their paths.
pub(super) fn files_in(context: &Context, tree: &Tree, folder: &str, ending: &str) -> Vec<String> {
    context
        .list_of(tree, folder)
        .into_iter()
        .filter(|e| matches!(e.kind, EntryKind::File | EntryKind::Link) && e.name.ends_with(ending))
        .map(|e| format!("{folder}/{}", e.name))
        .collect()
}

/// Names of the folders in a folder.
pub(super) fn folders_in(context: &Context, tree: &Tree, folder: &str) -> Vec<String> {
    context
        .list_of(tree, folder)
        .into_iter()
        .filter(|e| e.kind == EntryKind::Folder)
        .map(|e| e.name)
        .collect()
}

/// The folder of libraries of each architecture: `/usr/lib/x86_64-linux-gnu`, `/usr/lib64`, `/usr/lib`.
pub(super) fn library_folders(context: &Context) -> Vec<String> {
    let mut all: Vec<String> = folders_in(context, context.root(), "/usr/lib")
        .into_iter()
        .filter(|name| name.contains("-linux-"))
        .map(|name| format!("/usr/lib/{name}"))
        .collect();
    if context.root().stat("/usr/lib64").is_ok_and(|s| s.st_mode & 0o170_000 == 0o040_000) {
        all.push("/usr/lib64".into());
    }
    all.push("/usr/lib".into());
    all
}

/// The last part of a path, without an ending.
pub(super) fn stem<'p>(path: &'p str, ending: &str) -> &'p str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(ending).unwrap_or(name)
}
