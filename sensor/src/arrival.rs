//! A download as events: what is told when it begins and when it is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use tracewell::catalog::{DownloadFinished, DownloadResult, DownloadStarted, FileMode, PlainUrl, plain_url};
use tracewell::{Category, CorrelationId, Id128, Timestamp, emit};

use crate::detect;
use crate::facts;
use crate::owners::{Owner, owner};
use crate::shared::{Shared, random_id};

/// So much of a file is looked at to tell its type.
const START: usize = 4096;

/// A download under way.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) id: Id128,
    pub(crate) since: Option<Timestamp>,
    pub(crate) writer: Option<Owner>,
    /// `download.started` was told.
    pub(crate) told: bool,
}

impl Begun {
    /// One that was not noticed as it began.
    pub(crate) fn late(shared: &Shared, writer: Option<u32>) -> Self {
        Self { id: random_id(), since: None, writer: writer.map(|pid| owner(shared, pid)), told: false }
    }

    fn correlation(&self) -> CorrelationId {
        CorrelationId(self.id.0.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file that is being written.
pub(crate) fn started(shared: &Shared, path: &Path, writer: Option<u32>) -> Begun {
    let begun = Begun { since: Some(Timestamp::now()), told: true, ..Begun::late(shared, writer) };
    let process = begun.writer.as_ref();
    let known = process.map(|w| &w.known);
    emit!(
        shared.tracer,
        DownloadStarted {
            download_id: begun.id,
            file_name: &file_name(path),
            path: &path.to_string_lossy(),
            process_key: known.and_then(|k| k.key),
            pid: process.map(|w| w.pid),
            image_path: known.map(|k| k.path.as_str()),
            process_name: known.map(|k| k.name.as_str()),
            command_line: known.and_then(|k| k.command_line.as_deref()),
            parent_key: known.and_then(|k| parent_key(shared, k.parent)),
            started: begun.since.unwrap_or_else(Timestamp::now),
            correlation: begun.correlation(),
            parent_correlation: known.map(|k| k.correlation).unwrap_or_default(),
            ..Default::default()
        }
    );
    begun
}

fn parent_key(shared: &Shared, pid: u32) -> Option<tracewell::ProcessKey> {
    shared.processes().get(pid).and_then(|k| k.key)
}

/// Opens a plain file, never a link, a pipe or a device; none if it is gone or something else.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file).filter(|f| f.metadata().is_ok_and(|m| m.is_file()))),
        // Temporary files go as they come; links, sockets and devices are no downloads.
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ELOOP | libc::ENXIO | libc::ENODEV)) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// A file that is there. False if there is none.
pub(crate) fn finished(shared: &Shared, path: &Path, begun: &Begun) -> bool {
    let file = match open(path) {
        Ok(Some(file)) => file,
        Ok(None) => return false,
        Err(e) => {
            shared.error("downloads", "open a download", &path.to_string_lossy(), &e);
            return false;
        }
    };
    let facts = facts::of_file(&file, path).ok();
    let attribute = |name: &str| -> Option<PlainUrl> {
        use xattr::FileExt;
        let value = file.get_xattr(name).ok().flatten()?;
        Some(plain_url(&String::from_utf8_lossy(&value)))
    };
    let url = attribute("user.xdg.origin.url");
    let referrer = attribute("user.xdg.referrer.url");
    let digest = match facts::digest(&file, START, &|| shared.is_stopped()) {
        Ok(digest) => digest,
        Err(e) => {
            shared.error("downloads", "hash a download", &path.to_string_lossy(), &e);
            None
        }
    };
    let sha256 = digest.as_ref().map(|d| d.sha256);
    let start = digest.as_ref().map(|d| d.start.as_slice());
    let correlation = begun.correlation();
    let process = begun.writer.as_ref();
    let known = process.map(|w| &w.known);
    if let Ok(meta) = file.metadata() {
        shared.files().remember((meta.dev(), meta.ino()), path, correlation);
    }
    let names: Vec<&str> = facts.iter().flat_map(|f| &f.xattrs).map(String::as_str).collect();
    if shared.wants(&[Category::Download]) {
        emit!(
            shared.tracer,
            DownloadFinished {
                download_id: begun.id,
                url: url.as_ref().map(|u| u.text.as_str()).filter(|u| !u.is_empty()),
                query: url.as_ref().and_then(|u| u.query.as_deref()),
                referrer: referrer.as_ref().map(|u| u.text.as_str()).filter(|u| !u.is_empty()),
                protocol: url.as_ref().and_then(PlainUrl::protocol),
                file_name: &file_name(path),
                path: &path.to_string_lossy(),
                process_key: known.and_then(|k| k.key),
                pid: process.map(|w| w.pid),
                image_path: known.map(|k| k.path.as_str()),
                process_name: known.map(|k| k.name.as_str()),
                command_line: known.and_then(|k| k.command_line.as_deref()),
                parent_key: known.and_then(|k| parent_key(shared, k.parent)),
                attributes: facts.as_ref().map(|f| f.attributes),
                mode: facts.as_ref().map(|f| FileMode(f.mode)),
                xattrs: &names,
                size: facts.as_ref().map(|f| f.size),
                content_type: start.map(content_type),
                sha256,
                started: begun.since,
                finished: Timestamp::now(),
                result: DownloadResult::Complete,
                correlation,
                parent_correlation: known.map(|k| k.correlation).unwrap_or_default(),
                ..Default::default()
            }
        );
    }
    let found = detect::Examined {
        path,
        start: start.unwrap_or_default(),
        size: facts.as_ref().map(|f| f.size),
        sha256,
        content_type: start.map(content_type),
        writer: process,
        correlation,
    };
    detect::check(shared, &found);
    true
}

/// A download that was taken away before it was there.
pub(crate) fn vanished(shared: &Shared, path: &Path, begun: &Begun) {
    if !begun.told {
        return;
    }
    let process = begun.writer.as_ref();
    let known = process.map(|w| &w.known);
    emit!(
        shared.tracer,
        DownloadFinished {
            download_id: begun.id,
            file_name: &file_name(path),
            path: &path.to_string_lossy(),
            process_key: known.and_then(|k| k.key),
            pid: process.map(|w| w.pid),
            image_path: known.map(|k| k.path.as_str()),
            started: begun.since,
            finished: Timestamp::now(),
            result: DownloadResult::Unknown,
            correlation: begun.correlation(),
            parent_correlation: known.map(|k| k.correlation).unwrap_or_default(),
            ..Default::default()
        }
    );
}

/// Type by the first bytes.
fn content_type(start: &[u8]) -> &'static str {
    // A character that the end cuts is text all the same.
    let is_text = match std::str::from_utf8(start) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none() && e.valid_up_to() > 0,
    };
    match start {
        [] => "application/x-empty",
        [0x7f, b'E', b'L', b'F', ..] => "application/x-executable",
        [b'M', b'Z', ..] => "application/vnd.microsoft.portable-executable",
        [b'#', b'!', ..] => "text/x-script",
        [b'P', b'K', 3, 4, ..] => "application/zip",
        [0x1f, 0x8b, ..] => "application/gzip",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        _ if is_text => "text/plain",
        _ => "application/octet-stream",
    }
}
