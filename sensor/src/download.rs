//! Downloads appearing in a folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchMask};
use tracewell::catalog::{DownloadFinished, DownloadResult, DownloadStarted};
use tracewell::{CorrelationId, Id128, ProcessKey, Timestamp, emit};

use crate::facts;
use crate::{Shared, detect};

/// Writes in progress that are remembered.
const MAX_WRITING: usize = 10_000;

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared, dirs: &[PathBuf]) {
    let mut inotify = match Inotify::init() {
        Ok(inotify) => inotify,
        Err(e) => return shared.error("downloads", "watch folders", "inotify", &e),
    };
    let mut folders = HashMap::new();
    let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::CREATE | WatchMask::ONLYDIR;
    for dir in dirs.iter().filter(|d| !shared.is_own(d)) {
        match inotify.watches().add(dir, mask) {
            Ok(watch) => {
                folders.insert(watch, dir.clone());
            }
            Err(e) => shared.error("downloads", "watch a folder", &dir.to_string_lossy(), &e),
        }
    }
    let mut writing: HashMap<PathBuf, (Id128, Timestamp, Option<u32>)> = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    while !shared.is_stopped() {
        let events = match inotify.read_events(&mut buffer) {
            Ok(events) => events,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(e) => {
                shared.error("downloads", "read changes", "inotify", &e);
                std::thread::sleep(Duration::from_millis(500));
                continue;
            }
        };
        for event in events {
            if event.mask.contains(EventMask::ISDIR) {
                continue;
            }
            let (Some(folder), Some(name)) = (folders.get(&event.wd), event.name) else { continue };
            let path = folder.join(name);
            if event.mask.contains(EventMask::CREATE) {
                if writing.len() < MAX_WRITING {
                    let begun = (new_id(&path), Timestamp::now(), writer_of(&path));
                    started(shared, &path, begun.0, begun.2);
                    writing.insert(path, begun);
                }
            } else {
                let (id, since, pid) = match writing.remove(&path) {
                    Some((id, since, pid)) => (id, Some(since), pid),
                    None => (new_id(&path), None, None),
                };
                finished(shared, &path, id, since, pid);
            }
        }
    }
}

fn new_id(path: &Path) -> Id128 {
    use sha2::Digest;
    let mut hasher = sha2::Sha256::new();
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update(tracewell::boot::boottime_ns().to_le_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    Id128(hash.first_chunk::<16>().copied().unwrap_or_default())
}

/// The process that has the file open, if it still has.
fn writer_of(path: &Path) -> Option<u32> {
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let Ok(fds) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        if fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|t| t == path)) {
            return Some(pid);
        }
    }
    None
}

struct Writer {
    key: ProcessKey,
    path: Option<String>,
    command_line: Option<String>,
}

fn writer_facts(shared: &Shared, pid: Option<u32>) -> Writer {
    let found = pid.and_then(|pid| Some((pid, tracewell::boot::start_ticks(pid)?)));
    Writer {
        key: found.map(|(pid, start)| ProcessKey::new(&shared.boot_id, pid, start)).unwrap_or_default(),
        path: pid
            .and_then(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok())
            .map(|p| p.to_string_lossy().into_owned()),
        command_line: pid
            .and_then(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|c| String::from_utf8_lossy(&c).trim_end_matches('\0').replace('\0', " ")),
    }
}

fn correlation(id: &Id128) -> CorrelationId {
    CorrelationId(id.0.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn started(shared: &Shared, path: &Path, id: Id128, pid: Option<u32>) {
    let writer = writer_facts(shared, pid);
    emit!(
        shared.tracer,
        DownloadStarted {
            download_id: id,
            file_name: &file_name(path),
            path: &path.to_string_lossy(),
            process_key: writer.key,
            pid,
            image_path: writer.path.as_deref(),
            command_line: writer.command_line.as_deref(),
            started: Timestamp::now(),
            correlation: correlation(&id),
            ..Default::default()
        }
    );
}

/// URL without query, and the query.
fn split_url(url: &str) -> (String, Option<String>) {
    let url = url.split('#').next().unwrap_or_default();
    match url.split_once('?') {
        Some((front, query)) => (front.to_owned(), Some(query.to_owned())),
        None => (url.to_owned(), None),
    }
}

fn finished(shared: &Shared, path: &Path, id: Id128, since: Option<Timestamp>, pid: Option<u32>) {
    use std::os::unix::fs::OpenOptionsExt;
    let opened =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let mut file = match opened {
        Ok(file) if file.metadata().is_ok_and(|m| m.is_file()) => file,
        Ok(_) => return,
        // Temporary files go as they come.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
        Err(e) => return shared.error("downloads", "open a download", &path.to_string_lossy(), &e),
    };
    let facts = facts::of_file(&file, path).unwrap_or_default();
    let attribute = |name: &str| {
        use xattr::FileExt;
        let value = file.get_xattr(name).ok().flatten()?;
        Some(split_url(&String::from_utf8_lossy(&value)))
    };
    let (url, query) = attribute("user.xdg.origin.url").map_or((None, None), |(u, q)| (Some(u), q));
    let referrer = attribute("user.xdg.referrer.url").map(|(u, _)| u);
    let sha256 = hash(shared, path, &mut file);
    let mut start = [0; 512];
    let n = File::open(path).and_then(|mut f| f.read(&mut start)).unwrap_or(0);
    let start = start.get(..n).unwrap_or_default();
    let writer = writer_facts(shared, pid.or_else(|| writer_of(path)));
    emit!(
        shared.tracer,
        DownloadFinished {
            download_id: id,
            url: url.as_deref(),
            query: query.as_deref(),
            referrer: referrer.as_deref(),
            file_name: &file_name(path),
            path: &path.to_string_lossy(),
            process_key: writer.key,
            pid,
            image_path: writer.path.as_deref(),
            command_line: writer.command_line.as_deref(),
            attributes: facts.attributes,
            mode: facts.mode,
            size: facts.size,
            content_type: Some(content_type(start)),
            sha256,
            started: since,
            finished: Timestamp::now(),
            result: DownloadResult::Complete,
            correlation: correlation(&id),
            ..Default::default()
        }
    );
    detect::check(shared, path, start, facts.size, sha256, correlation(&id));
}

fn hash(shared: &Shared, path: &Path, file: &mut File) -> Option<[u8; 32]> {
    match facts::sha256(file) {
        Ok(hash) => hash,
        Err(e) => {
            shared.error("downloads", "hash a download", &path.to_string_lossy(), &e);
            None
        }
    }
}

/// Type by the first bytes.
fn content_type(start: &[u8]) -> &'static str {
    match start {
        [0x7f, b'E', b'L', b'F', ..] => "application/x-executable",
        [b'M', b'Z', ..] => "application/vnd.microsoft.portable-executable",
        [b'#', b'!', ..] => "text/x-script",
        [b'P', b'K', 3, 4, ..] => "application/zip",
        [0x1f, 0x8b, ..] => "application/gzip",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        _ if std::str::from_utf8(start).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}
