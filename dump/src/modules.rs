//! The program and libraries of a process.

use std::collections::BTreeMap;

use object::Endianness;
use object::elf::{FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::maps::Mapping;
use crate::memory::read;

/// Bytes at the beginning of a module in which its build id is looked for.
const HEAD: u64 = 64 << 10;
/// Longest build id that is taken.
const MAX_ID: usize = 64;

/// A program or library.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Module {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) path: String,
    pub(crate) build_id: Vec<u8>,
}

impl Module {
    /// The numbers after `.so.`, four at most.
    pub(crate) fn version(&self) -> [u32; 4] {
        let mut version = [0; 4];
        if let Some((_, numbers)) = self.path.rsplit_once(".so.") {
            for (to, number) in version.iter_mut().zip(numbers.split('.')) {
                *to = number.parse().unwrap_or(0);
            }
        }
        version
    }
}

/// The modules, the program itself first: files that are mapped with code, from their beginning. Read from the running
/// process: what is gone by now has no build id.
pub(crate) fn modules(pid: u32, mappings: &[Mapping]) -> Vec<Module> {
    let mut files: BTreeMap<&[u8], (u64, u64, bool)> = BTreeMap::new();
    for mapping in mappings.iter().filter(|m| m.is_file() && !m.is_shared) {
        let span = files.entry(&mapping.path).or_insert((mapping.start, mapping.end, false));
        // A file that is mapped twice, far apart, is one module at its first place.
        if mapping.start <= span.1 + (1 << 30) {
            span.1 = span.1.max(mapping.end);
        }
        span.2 |= mapping.is_executable;
    }
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let mut all: Vec<Module> = files
        .into_iter()
        .filter(|(_, (.., has_code))| *has_code)
        .map(|(path, (base, end, _))| Module {
            base,
            size: end - base,
            path: String::from_utf8_lossy(path).into_owned(),
            build_id: build_id(pid, base, end).unwrap_or_default(),
        })
        .collect();
    all.extend(mappings.iter().find(|m| m.path == b"[vdso]").map(|m| Module {
        base: m.start,
        size: m.len(),
        path: "linux-gate.so".into(),
        build_id: build_id(pid, m.start, m.end).unwrap_or_default(),
    }));
    all.sort_by_key(|module| (std::path::Path::new(&module.path) != program, module.base));
    all
}

fn build_id(pid: u32, base: u64, end: u64) -> Option<Vec<u8>> {
    let mut head = vec![0; HEAD.min(end - base) as usize];
    read(pid, base, &mut head).ok()?;
    build_id_of(&head)
}

fn build_id_of(head: &[u8]) -> Option<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(head).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, head).ok()? {
        if segment.p_type(endian) != PT_NOTE {
            continue;
        }
        let Ok(Some(mut notes)) = segment.notes(endian, head) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID {
                return note.desc().get(..note.desc().len().min(MAX_ID)).map(<[u8]>::to_vec);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_found_and_nonsense_has_none() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(build_id_of(&own[..HEAD as usize]).is_some_and(|id| id.len() >= 8));
        for len in [0, 16, 63, 64, 200] {
            assert_eq!(build_id_of(&own[..len]), None, "{len}");
        }
        assert_eq!(build_id_of(&[0x7f; 4096]), None);
    }

    #[test]
    fn versions_are_in_names() {
        let of = |path: &str| Module { base: 0, size: 0, path: path.into(), build_id: Vec::new() }.version();
        assert_eq!(of("/usr/lib/libssl.so.3.1"), [3, 1, 0, 0]);
        assert_eq!(of("/usr/bin/scanner"), [0; 4]);
    }
}
