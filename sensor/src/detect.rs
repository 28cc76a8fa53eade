//! Detections: the EICAR test file, and hashes of the user's list.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tracewell::catalog::{
    DecidedBy, DetectionDecision, DetectionObject, Disposition, Method, ObjectKind, ObjectState, Severity,
};
use tracewell::{CorrelationId, Id128, Timestamp, emit};

use crate::Shared;

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

/// Looks at a download; emits the detection and what was decided.
pub(crate) fn check(
    shared: &Shared,
    path: &Path,
    start: &[u8],
    size: u64,
    sha256: Option<[u8; 32]>,
    correlation: CorrelationId,
) {
    // By its definition the file begins with the string and has at most 128 bytes.
    let is_eicar = size <= 128 && start.starts_with(eicar().as_bytes());
    let is_listed = sha256.is_some_and(|hash| shared.hashes.binary_search(&hash).is_ok());
    if !is_eicar && !is_listed {
        return;
    }
    let detection_id = Id128(sha256.and_then(|h| h.first_chunk::<16>().copied()).unwrap_or_default());
    let (name, method) =
        if is_eicar { ("EICAR-Test-File", Method::Signature) } else { ("Listed.Hash", Method::HashList) };
    let text = path.to_string_lossy();
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    emit!(
        shared.tracer,
        DetectionObject {
            detection_id,
            name,
            classes: if is_eicar { &["test"] } else { &["listed"] },
            severity: if is_eicar { Severity::Informational } else { Severity::High },
            method,
            confidence: Some(100),
            detected_at: Timestamp::now(),
            object_kind: ObjectKind::File,
            object_name: &file_name,
            object_path: &text,
            size,
            file_names: &[&*file_name],
            file_paths: &[&*text],
            file_sizes: &[size],
            sha256,
            state: ObjectState::Present,
            correlation,
            ..Default::default()
        }
    );
    emit!(
        shared.tracer,
        DetectionDecision {
            detection_id,
            decided_by: DecidedBy::Application,
            disposition: Disposition::Detected,
            correlation,
            ..Default::default()
        }
    );
}
