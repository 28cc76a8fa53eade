//! The mappings of a process, and which of them may be dumped.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One line of `/proc/PID/maps` with its flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    pub(crate) is_executable: bool,
    pub(crate) is_shared: bool,
    pub(crate) offset: u64,
    pub(crate) inode: u64,
    pub(crate) path: Vec<u8>,
    /// `MADV_DONTDUMP`.
    pub(crate) is_dont_dump: bool,
    /// `mlock`.
    pub(crate) is_locked: bool,
    /// Memory of a device: to read it may do something.
    pub(crate) is_device: bool,
    /// Bytes that are there, in memory or swapped out.
    pub(crate) present: u64,
    /// Bytes of it that are the process's own, not as in the file.
    pub(crate) own: u64,
}

/// Why memory is not in a dump.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum LeftOut {
    /// A ring of Tracewell's.
    Ring,
    /// Marked not to be dumped.
    DontDump,
    /// Locked in memory, as secrets are.
    Locked,
    /// Memory of a device.
    Device,
    /// A file that others change too.
    SharedFile,
    /// As it is in its file: the program's code, for example.
    Unchanged,
    /// Reserved, not used.
    Unused,
}

impl LeftOut {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Ring,
        Self::DontDump,
        Self::Locked,
        Self::Device,
        Self::SharedFile,
        Self::Unchanged,
        Self::Unused,
    ];
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "rings",
            Self::DontDump => "marked not to be dumped",
            Self::Locked => "locked, as secrets are",
            Self::Device => "memory of a device",
            Self::SharedFile => "shared files",
            Self::Unchanged => "as in their files",
            Self::Unused => "not used",
        })
    }
}

impl Mapping {
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// A file with a name. Memory without one is called as such, or has the file system's word that it is deleted.
    pub(crate) fn is_file(&self) -> bool {
        self.inode != 0 && self.path.starts_with(b"/") && !self.is_nameless()
    }

    /// Shared memory that no name leads to: `memfd`, `MAP_ANONYMOUS | MAP_SHARED`, System V.
    fn is_nameless(&self) -> bool {
        [&b"/memfd:"[..], b"/dev/zero (deleted)", b"/SYSV", b"/dev/shm/"]
            .iter()
            .any(|start| self.path.starts_with(start))
            && self.path.ends_with(b" (deleted)")
    }

    /// Why all of it must be left out; `None` if some or all of it may be taken.
    pub(crate) fn forbidden(&self, rings: &[PathBuf], all_is_locked: bool) -> Option<LeftOut> {
        let below = |root: &PathBuf| {
            let root = root.as_os_str().as_bytes();
            self.path.strip_prefix(root).is_some_and(|rest| rest.starts_with(b"/"))
        };
        if rings.iter().any(below) {
            Some(LeftOut::Ring)
        } else if self.is_device {
            Some(LeftOut::Device)
        } else if self.is_dont_dump {
            Some(LeftOut::DontDump)
        } else if self.is_locked && !all_is_locked {
            Some(LeftOut::Locked)
        } else if self.is_shared && self.is_file() {
            Some(LeftOut::SharedFile)
        } else if !self.is_readable {
            Some(LeftOut::Unused)
        } else {
            None
        }
    }
}

/// Whether the process has locked everything (`mlockall`), so that a lock does not say that something is secret: nobody
/// locks the code of a program for its secrets.
pub(crate) fn all_is_locked(mappings: &[Mapping]) -> bool {
    let mut code = mappings.iter().filter(|m| m.is_executable && m.is_file()).peekable();
    code.peek().is_some() && code.all(|m| m.is_locked)
}

/// Reads `/proc/PID/smaps`. Lines that make no sense are passed over.
pub(crate) fn parse(smaps: &[u8]) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = Vec::new();
    for line in smaps.split(|b| *b == b'\n') {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            let Some(last) = all.last_mut() else { continue };
            for flag in flags.split(|b| *b == b' ') {
                match flag {
                    b"dd" => last.is_dont_dump = true,
                    b"lo" => last.is_locked = true,
                    b"io" | b"pf" => last.is_device = true,
                    _ => {}
                }
            }
        } else if let Some((is_present, is_own, bytes)) = amount(line) {
            let Some(last) = all.last_mut() else { continue };
            last.present += if is_present { bytes } else { 0 };
            last.own += if is_own { bytes } else { 0 };
        } else if line.first().is_some_and(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)) {
            all.extend(head(line));
        }
    }
    all
}

/// Whether a line tells of bytes that are there, whether of the process's own, and how many.
fn amount(line: &[u8]) -> Option<(bool, bool, u64)> {
    let number = |rest: &[u8]| {
        let text = std::str::from_utf8(rest).ok()?.trim().strip_suffix("kB")?.trim_end();
        text.parse::<u64>().ok()?.checked_mul(1024)
    };
    // What is anonymous is resident too, and is not counted twice.
    for (key, is_present, is_own) in [
        (&b"Rss:"[..], true, false),
        (b"Anonymous:", false, true),
        (b"Swap:", true, true),
        (b"Private_Hugetlb:", true, true),
    ] {
        if let Some(rest) = line.strip_prefix(key) {
            return Some((is_present, is_own, number(rest)?));
        }
    }
    None
}

fn head(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut part = || {
        let from = rest.iter().position(|b| *b != b' ')?;
        let to = rest[from..].iter().position(|b| *b == b' ').map_or(rest.len(), |n| from + n);
        let part = std::str::from_utf8(&rest[from..to]).ok();
        rest = &rest[to..];
        part
    };
    let (start, end) = part()?.split_once('-')?;
    let flags = part()?.as_bytes();
    let (offset, _device, inode) = (part()?, part()?, part()?);
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let at = rest.iter().position(|b| *b != b' ');
    (start < end).then_some(())?;
    Some(Mapping {
        start,
        end,
        is_readable: flags.first() == Some(&b'r'),
        is_writable: flags.get(1) == Some(&b'w'),
        is_executable: flags.get(2) == Some(&b'x'),
        is_shared: flags.get(3) == Some(&b's'),
        offset: hex(offset)?,
        inode: inode.parse().ok()?,
        path: at.map_or_else(Vec::new, |at| rest[at..].to_vec()),
        ..Mapping::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
55d0c8a00000-55d0c8a21000 r-xp 00001000 fe:00 4711                       /opt/x y/scanner
Size:                132 kB
Rss:                  12 kB
Anonymous:             4 kB
Swap:                  8 kB
VmFlags: rd ex mr mw me sd
7f0000000000-7f0000101000 rw-s 00000000 00:19 12                         /run/tracewell/0a/scanner-1-x/ring-0
VmFlags: rd wr sh mr mw me ms dc dd
7f0000200000-7f0000201000 rw-p 00000000 00:00 0
VmFlags: rd wr mr mw me lo ac sd
7f0000300000-7f0000301000 rw-s 00000000 00:01 99                         /memfd:x (deleted)
VmFlags: rd wr sh
7f0000400000-7f0000401000 rw-s 00000000 fe:00 5                          /var/cache/db
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
VmFlags: rd wr gd
nonsense
7f-6f rw-p 0 0:0 0
";

    #[test]
    fn mappings_and_their_flags_are_read() {
        let all = parse(TEXT);
        assert_eq!(all.len(), 6);
        assert_eq!(all[0].path, b"/opt/x y/scanner");
        assert!(all[0].is_executable && all[0].is_file() && !all[0].is_shared && all[0].offset == 0x1000);
        assert!(all[1].is_dont_dump && all[1].is_shared && all[2].is_locked && !all[2].is_dont_dump);
        assert!(all[5].contains(0x7ffd_0000_0000) && !all[5].contains(0x7ffd_0002_1000));
        assert_eq!(all[5].len(), 0x21000);
        assert_eq!((all[0].present, all[0].own, all[1].present), (20 << 10, 12 << 10, 0));
    }

    #[test]
    fn what_must_be_left_out() {
        let all = parse(TEXT);
        let why = |i: usize| all[i].forbidden(&["/run/tracewell/0a".into()], false);
        assert_eq!(
            [why(0), why(1), why(2), why(3), why(4), why(5)],
            [None, Some(LeftOut::Ring), Some(LeftOut::Locked), None, Some(LeftOut::SharedFile), None]
        );
        // Its mark alone is enough, and its place alone too.
        assert_eq!(all[1].forbidden(&[], false), Some(LeftOut::DontDump));
        let unmarked = Mapping { is_dont_dump: false, is_shared: false, ..all[1].clone() };
        assert_eq!(unmarked.forbidden(&["/run/tracewell/0a".into()], false), Some(LeftOut::Ring));
        assert_eq!(unmarked.forbidden(&["/run/tracewell/0".into()], false), None, "another directory");
    }

    #[test]
    fn who_locks_everything_hides_nothing_by_it() {
        let mut all = parse(TEXT);
        assert!(!all_is_locked(&all));
        all[0].is_locked = true;
        assert!(all_is_locked(&all));
        assert_eq!(all[2].forbidden(&[], true), None);
        assert!(!all_is_locked(&[]));
    }
}
