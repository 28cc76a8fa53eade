//! Components that are attached to another trace directory than the one looked at: the usual answer to "I enabled it
//! and nothing comes". As far as this user may see; root sees all.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use tracewell::dirs::Dirs;
use tracewell_schema::format::control::{self, AttachSlot};

use crate::output::safe;

/// Somebody else's tracing.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    /// The process; `None` if only its rings are seen.
    pub(crate) pid: Option<u32>,
    pub(crate) uid: u32,
    /// Trace directory, or the place of the rings.
    pub(crate) dir: PathBuf,
    /// Component name, if its control page can be read.
    pub(crate) component: Option<String>,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid else {
            return write!(f, "user {} has rings of an own trace directory in {}", self.uid, safe(&self.dir));
        };
        let name = self.component.as_ref().map_or_else(String::new, |c| format!(" ({})", safe(c)));
        write!(f, "process {pid}{name} of user {} uses the trace directory {}", self.uid, safe(&self.dir))
    }
}

/// Looks at the mappings of all processes, and at other users' places for rings.
pub(crate) fn find(dirs: &Dirs) -> Vec<Elsewhere> {
    let mut found = Vec::new();
    let own = std::fs::metadata(dirs.control()).ok().map(|m| m.ino());
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(maps) = std::fs::read_to_string(entry.path().join("maps")) else { continue };
        let Some((inode, path)) = maps.lines().find_map(control_mapping) else { continue };
        if Some(inode) == own || path == dirs.control() {
            continue;
        }
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        let uid = entry.metadata().map_or(0, |m| m.uid());
        found.push(Elsewhere { pid: Some(pid), uid, dir, component: component(&path, pid) });
    }
    let me = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let uid =
            name.to_str().and_then(|n| n.strip_prefix("tracewell-")).and_then(|n| n.parse::<u32>().ok());
        if let Some(uid) = uid.filter(|u| *u != me && !found.iter().any(|f| f.uid == *u)) {
            found.push(Elsewhere { pid: None, uid, dir: entry.path(), component: None });
        }
    }
    found
}

/// The inode and path of a mapped control page, if the line of `/proc/PID/maps` is one.
fn control_mapping(line: &str) -> Option<(u64, PathBuf)> {
    let mut parts = line.split_ascii_whitespace();
    let (from, to) = parts.next()?.split_once('-')?;
    // A command that only looks has a private mapping.
    if !parts.next()?.ends_with('s') {
        return None;
    }
    let inode = parts.nth(2)?.parse().ok()?;
    let path = line.get(line.find('/')?..)?.trim_end();
    if !path.ends_with("/control") {
        return None;
    }
    let len = u64::from_str_radix(to, 16).ok()?.checked_sub(u64::from_str_radix(from, 16).ok()?)?;
    (len == control::FILE_LEN as u64).then(|| (inode, PathBuf::from(path)))
}

/// The name under which a process attached to a control page.
fn component(path: &Path, pid: u32) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?);
    let mut bytes = Vec::new();
    file.take(control::FILE_LEN as u64).read_to_end(&mut bytes).ok()?;
    let slots = bytes.get(control::SLOTS..)?.chunks_exact(control::SLOT_LEN);
    slots.flat_map(AttachSlot::decode).find(|s| s.pid == pid).map(|s| s.component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_control_pages() {
        let line = "7f0000000000-7f0000004000 rw-s 00000000 fe:00 4711      /var/lib/x y/control";
        assert_eq!(control_mapping(line), Some((4711, "/var/lib/x y/control".into())));
        assert_eq!(control_mapping("7f0000000000-7f0000008000 rw-s 00000000 fe:00 4711 /x/control"), None);
        assert_eq!(control_mapping("7f0000000000-7f0000004000 rw-s 00000000 fe:00 4711 /x/other"), None);
        assert_eq!(control_mapping("7f0000000000-7f0000004000 rw-p 00000000 00:00 0"), None);
        assert_eq!(control_mapping("7f0000000000-7f0000004000 rw-p 00000000 fe:00 4711 /x/control"), None);
    }
}
