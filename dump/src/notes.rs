//! The notes of an ELF core, as Linux writes them for x86_64: threads with registers, the process, the files that it maps.

use crate::maps::Mapping;
use crate::memory::PAGE;
use crate::{Registers, Request, facts, process};

const PRSTATUS: u32 = 1;
const FPREGSET: u32 = 2;
const PRPSINFO: u32 = 3;
const AUXV: u32 = 6;
const FILE: u32 = 0x4649_4c45;

/// One note after the other.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) bytes: Vec<u8>,
}

impl Notes {
    fn add(&mut self, name: &str, kind: u32, content: &[u8]) {
        for number in [name.len() as u32 + 1, content.len() as u32, kind] {
            self.bytes.extend(number.to_le_bytes());
        }
        for part in [name.as_bytes(), b"\0"] {
            self.bytes.extend_from_slice(part);
        }
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// All notes of a process. The first thread is the one that a debugger shows first.
    pub(crate) fn of(
        request: &Request,
        threads: &[(u32, Registers)],
        mappings: &[Mapping],
        facts: &[u8],
    ) -> Self {
        let mut notes = Self::default();
        let stat = process::stat(request.pid).unwrap_or_default();
        let signal = request.crash.as_ref().map_or(0, |crash| crash.signal);
        for (place, (tid, registers)) in threads.iter().enumerate() {
            let is_first = place == 0;
            notes.add("CORE", PRSTATUS, &status(*tid, &stat, if is_first { signal } else { 0 }, registers));
            if is_first {
                notes.add("CORE", PRPSINFO, &info(request.pid, &stat));
                let auxv = std::fs::read(format!("/proc/{}/auxv", request.pid)).unwrap_or_default();
                notes.add("CORE", AUXV, &auxv);
                notes.add("CORE", FILE, &files(mappings));
            }
            notes.add("CORE", FPREGSET, &registers.float);
        }
        notes.add(facts::NOTE.0, facts::NOTE.1, facts);
        notes
    }
}

/// Writes a number at a place.
fn set(bytes: &mut [u8], at: usize, number: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at + number.len()) {
        to.copy_from_slice(number);
    }
}

/// The field of `/proc/PID/stat` counted from the state (0).
fn field(stat: &[String], place: usize) -> i32 {
    stat.get(place).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// `struct elf_prstatus`.
fn status(tid: u32, stat: &[String], signal: i32, registers: &Registers) -> [u8; 336] {
    let mut bytes = [0; 336];
    set(&mut bytes, 0, &signal.to_le_bytes());
    set(&mut bytes, 12, &(signal as u16).to_le_bytes());
    set(&mut bytes, 32, &tid.to_le_bytes());
    for (place, at) in [(1, 36), (2, 40), (3, 44)] {
        set(&mut bytes, at, &field(stat, place).to_le_bytes());
    }
    for (place, register) in registers.general.iter().enumerate() {
        set(&mut bytes, 112 + place * 8, &register.to_le_bytes());
    }
    set(&mut bytes, 328, &1_i32.to_le_bytes());
    bytes
}

/// `struct elf_prpsinfo`, without arguments: they are not needed, and may hold anything.
fn info(pid: u32, stat: &[String]) -> [u8; 136] {
    let mut bytes = [0; 136];
    let state = stat.first().and_then(|state| state.bytes().next()).unwrap_or(b'R');
    set(&mut bytes, 1, &[state]);
    set(&mut bytes, 24, &pid.to_le_bytes());
    for (place, at) in [(1, 28), (2, 32), (3, 36)] {
        set(&mut bytes, at, &field(stat, place).to_le_bytes());
    }
    let name = process::thread_name(pid, pid);
    let name = name.as_bytes();
    set(&mut bytes, 40, &name[..name.len().min(15)]);
    set(&mut bytes, 56, &name[..name.len().min(15)]);
    bytes
}

/// Which files are mapped where: a debugger takes code from them.
fn files(mappings: &[Mapping]) -> Vec<u8> {
    let files: Vec<&Mapping> = mappings.iter().filter(|m| m.is_file() && !m.is_shared).collect();
    let mut bytes = Vec::new();
    for number in [files.len() as u64, PAGE] {
        bytes.extend(number.to_le_bytes());
    }
    for file in &files {
        for number in [file.start, file.end, file.offset / PAGE] {
            bytes.extend(number.to_le_bytes());
        }
    }
    for file in &files {
        bytes.extend_from_slice(&file.path);
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_aligned_and_of_the_kernels_lengths() {
        let threads = [(7, Registers::default()), (8, Registers::default())];
        let notes = Notes::of(&Request::default(), &threads, &[], b"{}");
        assert_eq!(notes.bytes.len() % 4, 0);
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < notes.bytes.len() {
            let number = |i: usize| u32::from_le_bytes(notes.bytes[at + i..at + i + 4].try_into().unwrap());
            let (name, len, kind) = (number(0), number(4), number(8));
            kinds.push((kind, len));
            at += 12 + name.next_multiple_of(4) as usize + len.next_multiple_of(4) as usize;
        }
        let lens: Vec<u32> =
            kinds.iter().filter(|(k, len)| *k == PRSTATUS && *len > 100).map(|(_, len)| *len).collect();
        assert_eq!(lens, [336, 336]);
        assert_eq!(kinds.iter().filter(|(k, len)| *k == FPREGSET && *len == 512).count(), 2);
        assert!(kinds.contains(&(PRPSINFO, 136)));
    }
}
