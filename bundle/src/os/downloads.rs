//! Files in download folders, and programs that users put into their homes.

use std::io::Read;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::context::Context;
use super::ini::Ini;
use super::tree::EntryKind;
use super::users::Home;
use super::words::{mode, time};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "downloaded_programs",
    title: "Downloaded files and programs",
    sections: &[("downloads", downloads), ("own_programs", own_programs)],
    personal: &[
        field("/data/downloads/*/user", "user"),
        field("/data/downloads/*/folder", "path"),
        field("/data/downloads/*/files/*/name", "text"),
        field("/data/downloads/*/files/*/origin", "url"),
        field("/data/downloads/*/files/*/referrer", "url"),
        field("/data/own_programs/*/user", "user"),
        field("/data/own_programs/*/folder", "path"),
        field("/data/own_programs/*/files/*/name", "text"),
        field("/data/own_programs/*/files/*/origin", "url"),
        field("/data/own_programs/*/files/*/referrer", "url"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Url, Personal::Program],
};

/// Most files of a folder that are listed: the newest.
const MAX_FILES: usize = 2000;
/// Longest program of which the SHA-256 is made.
const MAX_HASHED: i64 = 32 << 20;
/// Most bytes that are hashed for a folder.
const MAX_ALL_HASHED: i64 = 256 << 20;

fn downloads(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for folder in download_folders(context, home) {
            all.extend(listing(context, home, &folder, false));
        }
    }
    Value::Array(all)
}

/// The folder that the user has set, else those with a usual name.
fn download_folders(context: &Context, home: &Home) -> Vec<String> {
    let text = context.text_of(&home.tree, ".config/user-dirs.dirs").unwrap_or_default();
    let set = Ini::parse(&text).unquoted("XDG_DOWNLOAD_DIR").map(str::to_owned);
    if let Some(set) = set {
        if let Some(below) = set.strip_prefix("$HOME/") {
            return vec![below.trim_end_matches('/').to_owned()];
        }
        context.problem(&set, "the download folder lies outside the home and was not looked into");
        return Vec::new();
    }
    ["Downloads", "Téléchargements", "Descargas", "Scaricati", "Загрузки", "ダウンロード", "下载"]
        .into_iter()
        .filter(|name| home.tree.has(name))
        .map(str::to_owned)
        .collect()
}

fn own_programs(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for folder in ["bin", ".local/bin", "Applications"] {
            all.extend(listing(context, home, folder, true));
        }
    }
    Value::Array(all)
}

fn listing(context: &Context, home: &Home, folder: &str, only_programs: bool) -> Option<Value> {
    let entries = context.list_of(&home.tree, folder);
    if entries.is_empty() {
        return None;
    }
    let mut files: Vec<(String, rustix::fs::Stat)> = entries
        .iter()
        .filter(|e| e.kind == EntryKind::File)
        .filter_map(|e| Some((e.name.clone(), home.tree.stat(&format!("{folder}/{}", e.name)).ok()?)))
        .collect();
    files.sort_by_key(|(name, stat)| (std::cmp::Reverse(stat.st_mtime), name.clone()));
    let left_out = files.len().saturating_sub(MAX_FILES);
    files.truncate(MAX_FILES);
    let others = entries.len() - left_out - files.len();
    let mut hashed = 0;
    let shown = home.tree.shown(folder);
    let listed: Vec<Value> = context
        .in_time(&shown, files)
        .filter_map(|(name, stat)| {
            let path = format!("{folder}/{name}");
            let content = kind_of(home, &path);
            let is_executable = stat.st_mode & 0o111 != 0;
            let is_program = is_executable || content.is_some_and(|kind| PROGRAMS.contains(&kind));
            if only_programs && !is_program {
                return None;
            }
            let mut sha256 = None;
            if is_program
                && stat.st_size <= MAX_HASHED
                && hashed + stat.st_size <= MAX_ALL_HASHED
                && !context.is_late()
            {
                hashed += stat.st_size;
                sha256 = hash(context, home, &path);
            }
            let url = |attribute: &str| {
                let value = home.tree.attribute(&path, attribute)?;
                Some(without_query(&value))
            };
            Some(json!({
                "name": name,
                "size": stat.st_size,
                "modified": time(stat.st_mtime),
                "changed": time(stat.st_ctime),
                "mode": mode(&stat),
                "executable": is_executable,
                "type": content,
                "sha256": sha256,
                "origin": url("user.xdg.origin.url"),
                "referrer": url("user.xdg.referrer.url"),
            }))
        })
        .collect();
    Some(json!({
        "user": home.user,
        "folder": shown,
        "files": listed,
        "left_out": (left_out != 0).then_some(left_out),
        "folders_and_others": others,
    }))
}

/// Types of which the hash is of interest.
const PROGRAMS: [&str; 6] =
    ["elf", "windows program", "script", "debian package", "rpm package", "java archive"];

/// What a file is by how it begins.
fn kind_of(home: &Home, path: &str) -> Option<&'static str> {
    let (mut file, _) = home.tree.open(path).ok()?;
    let mut head = [0; 64];
    let len = file.read(&mut head).ok()?;
    let head = head.get(..len)?;
    let known: [(&[u8], &str); 15] = [
        (b"\x7fELF", "elf"),
        (b"MZ", "windows program"),
        (b"#!", "script"),
        (b"!<arch>\ndebian", "debian package"),
        (b"\xed\xab\xee\xdb", "rpm package"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!", "rar"),
        (b"%PDF-", "pdf"),
        (b"\x89PNG", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"\xd0\xcf\x11\xe0", "office document"),
    ];
    let found = known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind)?;
    let is_jar = found == "zip" && path.to_ascii_lowercase().ends_with(".jar");
    Some(if is_jar { "java archive" } else { found })
}

fn hash(context: &Context, home: &Home, path: &str) -> Option<String> {
    let (file, _) = home.tree.open(path).ok()?;
    let mut file = file.take(MAX_HASHED as u64);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let len = file.read(&mut buffer).ok()?;
        if len == 0 {
            return Some(tracewell::schema::format::hex(&hasher.finalize()));
        }
        if context.is_late() {
            return None;
        }
        hasher.update(buffer.get(..len)?);
    }
}

/// An address without its query, which can hold keys, and without a name and password.
fn without_query(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    super::packages::without_credentials(url.get(..end).unwrap_or_default())
}
