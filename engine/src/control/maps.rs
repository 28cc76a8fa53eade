//! Which processes map a file, from `/proc/*/maps`: finds components that have no attach slot.

use std::io::{BufRead, BufReader};
use std::path::Path;

/// The file looked for.
#[derive(Clone, Debug)]
pub(super) struct Mapped<'a> {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) path: &'a Path,
}

impl Mapped<'_> {
    /// Ids of the processes that map it, as far as this user may look.
    pub(super) fn processes(&self) -> Vec<u32> {
        let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
        all.flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| self.is_mapped_by(*pid))
            .collect()
    }

    fn is_mapped_by(&self, pid: u32) -> bool {
        let Ok(file) = std::fs::File::open(format!("/proc/{pid}/maps")) else { return false };
        BufReader::new(file).split(b'\n').map_while(Result::ok).any(|line| self.is_line(&line))
    }

    /// One line: `7f..-7f.. rw-s 00000000 08:01 1234      /path`.
    fn is_line(&self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_ascii_whitespace();
        // A command that only looks has a private mapping.
        if !fields.nth(1).is_some_and(|access| access.ends_with('s')) {
            return false;
        }
        let Some(device) = fields.nth(1) else { return false };
        if fields.next().and_then(|inode| inode.parse().ok()) != Some(self.inode) {
            return false;
        }
        let number = device.split_once(':').and_then(|(major, minor)| {
            let hex = |text| u32::from_str_radix(text, 16).ok();
            Some(rustix::fs::makedev(hex(major)?, hex(minor)?))
        });
        // Overlays and btrfs show another device here than stat does; then the path decides.
        number == Some(self.device) || self.path.to_str().is_some_and(|path| line.ends_with(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_by_inode_and_device_or_path() {
        let file =
            Mapped { device: rustix::fs::makedev(8, 1), inode: 77, path: Path::new("/var/t w/control") };
        assert!(file.is_line(b"7f00-7f01 rw-s 00000000 08:01 77    /other/name"));
        assert!(file.is_line(b"7f00-7f01 rw-s 00000000 00:31 77    /var/t w/control"));
        assert!(!file.is_line(b"7f00-7f01 rw-s 00000000 00:31 77    /other/name"));
        assert!(!file.is_line(b"7f00-7f01 rw-p 00000000 08:01 77    /var/t w/control"), "only looks");
        assert!(!file.is_line(b"7f00-7f01 rw-s 00000000 08:01 78    /var/t w/control"));
        assert!(!file.is_line(b"") && !file.is_line(b"7f00-7f01 rw-p 00000000 00:00 0"));
    }
}
