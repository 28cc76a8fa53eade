//! Detections: the EICAR test file, and hashes of the user's list.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tracewell::catalog::{
    DecidedBy, DetectionDecision, DetectionObject, Disposition, Method, ObjectKind, ObjectState, Severity,
};
use tracewell::{CorrelationId, Timestamp, emit};

use crate::owners::Owner;
use crate::shared::{Shared, random_id};

/// The EICAR test string (eicar.org), put together at run time so that this source is not detected itself.
#[must_use]
pub fn eicar() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

/// Most hashes of a list.
const MAX_HASHES: usize = 1_000_000;

pub(crate) fn read_list(path: &Path) -> Result<Vec<[u8; 32]>, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut hashes = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| e.to_string())?;
        let word = line.split_whitespace().next().unwrap_or_default();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        hashes.push(parse_hash(word).ok_or_else(|| format!("line {} is no SHA-256", number + 1))?);
        if hashes.len() > MAX_HASHES {
            return Err(format!("it has more than {MAX_HASHES} hashes"));
        }
    }
    hashes.sort_unstable();
    Ok(hashes)
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (to, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *to = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(hash)
}

/// A file that was looked at.
pub(crate) struct Examined<'a> {
    pub(crate) path: &'a Path,
    /// Its first bytes.
    pub(crate) start: &'a [u8],
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) content_type: Option<&'a str>,
    /// The process that wrote it.
    pub(crate) writer: Option<&'a Owner>,
    /// Story of the download.
    pub(crate) correlation: CorrelationId,
}

/// Looks at a download; emits the detection and what was decided.
pub(crate) fn check(shared: &Shared, file: &Examined<'_>) {
    // By its definition the file begins with the string and has at most 128 bytes.
    let is_eicar = file.size.is_some_and(|s| s <= 128) && file.start.starts_with(eicar().as_bytes());
    let is_listed = file.sha256.is_some_and(|hash| shared.hashes.binary_search(&hash).is_ok());
    if !is_eicar && !is_listed {
        return;
    }
    // Of this detection, not of the file: the same file may be met again.
    let detection_id = random_id();
    let (name, method) =
        if is_eicar { ("EICAR-Test-File", Method::Signature) } else { ("Listed.Hash", Method::HashList) };
    let text = file.path.to_string_lossy();
    let file_name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let known = file.writer.map(|w| &w.known);
    let parent_correlation = known.map(|k| k.correlation).unwrap_or_default();
    emit!(
        shared.tracer,
        DetectionObject {
            detection_id,
            name,
            classes: if is_eicar { &["test"] } else { &["listed"] },
            severity: if is_eicar { Severity::Informational } else { Severity::High },
            method,
            detected_at: Timestamp::now(),
            object_kind: ObjectKind::File,
            object_name: &file_name,
            object_path: &text,
            size: file.size,
            file_names: &[&*file_name],
            file_paths: &[&*text],
            file_sizes: file.size.as_slice(),
            sha256: file.sha256,
            content_type: file.content_type,
            process_key: known.and_then(|k| k.key),
            pid: file.writer.map(|w| w.pid),
            command_line: known.and_then(|k| k.command_line.as_deref()),
            state: ObjectState::Present,
            correlation: file.correlation,
            parent_correlation,
            ..Default::default()
        }
    );
    emit!(
        shared.tracer,
        DetectionDecision {
            detection_id,
            decided_by: DecidedBy::Application,
            disposition: Disposition::Detected,
            correlation: file.correlation,
            parent_correlation,
            ..Default::default()
        }
    );
}
