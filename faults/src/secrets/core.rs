//! A core dump of the component, as gdb makes it.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Search;
use super::part::Marker;

/// A mapped ring file.
#[derive(Debug)]
pub(super) struct Mapping {
    from: u64,
    to: u64,
}

/// The mappings of rings of a process, all of which must be left out of core dumps.
pub(super) fn ring_mappings(pid: u32, rings: &Path) -> Result<Vec<Mapping>, String> {
    let path = format!("/proc/{pid}/smaps");
    let smaps = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let (mut found, mut present) = (Vec::new(), None);
    for line in smaps.lines() {
        if let Some((from, to)) = range(line) {
            present = line.contains(&*rings.to_string_lossy()).then_some((from, to, line));
        } else if let (Some((from, to, head)), Some(flags)) = (present, line.strip_prefix("VmFlags:")) {
            if !flags.split_ascii_whitespace().any(|flag| flag == "dd") {
                return Err(format!("a ring would be in a core dump: {head}"));
            }
            found.push(Mapping { from, to });
        }
    }
    if found.is_empty() { Err("the component has no ring mapped".into()) } else { Ok(found) }
}

/// The addresses at the start of a line of `maps`.
fn range(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

/// Dumps the process and searches the dump. Returns its length.
pub(super) fn dump(
    pid: u32,
    to: &Path,
    rings: &[Mapping],
    search: &mut Search,
    kept: &Marker,
) -> Result<u64, String> {
    let output = Command::new("gcore")
        .arg("-o")
        .arg(to)
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("gcore: {e}; install package gdb"))?;
    let path = to.with_extension(pid.to_string());
    let bytes = std::fs::read(&path)
        .map_err(|e| format!("{}: {e}: {}", path.display(), String::from_utf8_lossy(&output.stderr)))?;
    let segments = loaded(&path)?;
    let _ = std::fs::remove_file(&path);
    for (from, len, _) in &segments {
        if let Some(ring) = rings.iter().find(|ring| *from < ring.to && from + len > ring.from) {
            return Err(format!("a ring is in the core dump: {ring:?}"));
        }
    }
    if kept.find(&bytes).is_none() {
        return Err("the search is blind: what the component keeps on purpose is not in its core dump".into());
    }
    if let Some(offset) = search.secret.find(&bytes) {
        let offset = offset as u64;
        let at = segments.iter().find(|(_, len, at)| (*at..at + len).contains(&offset));
        let address = at.map_or(0, |(from, _, at)| from + offset - at);
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let line = maps.lines().find(|l| range(l).is_some_and(|(a, b)| (a..b).contains(&address)));
        let start = (offset as usize).saturating_sub(48);
        let around = bytes.get(start..start + 160).unwrap_or_default().escape_ascii().to_string();
        return Err(format!(
            "a secret is in the core dump, at {address:x} ({}): {around}",
            line.unwrap_or("?")
        ));
    }
    search.look(&bytes, "the core dump")?;
    Ok(bytes.len() as u64)
}

/// What of the process's memory is in the dump: address, length, and where in the file.
fn loaded(path: &Path) -> Result<Vec<(u64, u64, u64)>, String> {
    const LOAD: u32 = 1;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).map_err(|e| e.to_string())?;
    let word = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 8)
            .map_or(0, |b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    };
    if !head.starts_with(b"\x7fELF\x02") {
        return Err(format!("{} is no core dump of 64 bits", path.display()));
    }
    let (table, count) = (word(&head, 32), u16::from_le_bytes([head[56], head[57]]));
    let mut segments = Vec::new();
    for number in 0..u64::from(count) {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, table + number * 56).map_err(|e| e.to_string())?;
        let (offset, address, len) = (word(&entry, 8), word(&entry, 16), word(&entry, 32));
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) == LOAD && len != 0 {
            segments.push((address, len, offset));
        }
    }
    Ok(segments)
}
