//! The summary of an ELF core: of its beginning only, so that it can be a stream of any length.

use std::collections::BTreeMap;
use std::io::{self, Read};

use object::elf::{FileHeader64, PF_W, PF_X, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

use super::{DumpModule, DumpRange, DumpSummary, DumpThread, FRAMES, Facts, MOST, NOTE, cut};
use crate::draft::invalid;

/// Bytes at the beginning that are looked at: program headers and notes.
const MAX_HEAD: u64 = 32 << 20;
/// First bytes, that say how long the program headers are.
const HEADER: u64 = 64;
/// Names of the general registers of x86_64, in the order of the notes.
const NAMES: [&str; 27] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig", "rip", "cs", "eflags", "rsp", "ss", "fsbase", "gsbase", "ds", "es", "fs", "gs",
];

pub(super) fn summary(content: &mut dyn Read) -> io::Result<DumpSummary> {
    let mut head = Vec::new();
    content.take(HEADER).read_to_end(&mut head)?;
    let parsed = FileHeader64::<Endianness>::parse(&head[..]).ok();
    let header = parsed
        .and_then(|h| Some((h.endian().ok()?, h)))
        .filter(|(endian, h)| h.e_type(*endian) == elf::ET_CORE)
        .map(|(endian, h)| (endian, h.e_phoff(endian), u64::from(h.e_phnum(endian))));
    let (endian, at, count) =
        header.ok_or_else(|| invalid("it is no ELF core of 64 bits, or damaged at its beginning"))?;
    let end = at.saturating_add(count * 56);
    let mut summary = DumpSummary { kind: "whole memory", ..DumpSummary::default() };
    more(content, &mut head, end)?;
    let header = FileHeader64::<Endianness>::parse(&head[..]).map_err(io::Error::other)?;
    let segments = header
        .program_headers(endian, &head[..])
        .map_err(|e| invalid(format!("its table of segments is damaged: {e}")))?
        .to_vec();
    for segment in segments.iter().filter(|s| s.p_type(endian) == PT_NOTE) {
        more(content, &mut head, segment.p_offset(endian).saturating_add(segment.p_filesz(endian)))?;
    }
    let mut facts = None;
    for segment in segments.iter().filter(|s| s.p_type(endian) == PT_NOTE) {
        if let Err(e) = notes(endian, segment, &head, &mut summary, &mut facts) {
            summary.notes.push(format!("notes are damaged: {e}"));
        }
    }
    memory(endian, &segments, &mut summary);
    let length =
        segments.iter().map(|s| s.p_offset(endian).saturating_add(s.p_filesz(endian))).max().unwrap_or(0);
    stacks(content, head.len() as u64, endian, &segments, length, &mut summary)?;
    if let Some(facts) = facts {
        summary.add_facts(facts);
    }
    Ok(summary)
}

/// Reads on until so many bytes are there, or it ends.
fn more(content: &mut dyn Read, head: &mut Vec<u8>, end: u64) -> io::Result<()> {
    if end > MAX_HEAD {
        return Err(invalid("its headers and notes are longer than makes sense; gdb may open it"));
    }
    content.take(end.saturating_sub(head.len() as u64)).read_to_end(head)?;
    Ok(())
}

fn notes(
    endian: Endianness,
    segment: &elf::ProgramHeader64<Endianness>,
    head: &[u8],
    summary: &mut DumpSummary,
    facts: &mut Option<Facts>,
) -> object::Result<()> {
    let Some(mut notes) = segment.notes(endian, head)? else { return Ok(()) };
    while let Some(note) = notes.next()? {
        let (name, desc) = (note.name(), note.desc());
        match note.n_type(endian) {
            elf::NT_PRSTATUS if name == b"CORE" => thread(desc, summary),
            elf::NT_PRPSINFO if name == b"CORE" => {
                let text = desc.get(40..56).unwrap_or_default();
                let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
                summary.name = text.get(..end).map(|name| String::from_utf8_lossy(name).into_owned());
                summary.pid = u32_at(desc, 24);
            }
            elf::NT_FILE if name == b"CORE" => files(desc, summary),
            kind if (name, kind.0) == NOTE => *facts = Facts::parse(desc),
            _ => {}
        }
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn thread(desc: &[u8], summary: &mut DumpSummary) {
    if summary.threads.len() >= MOST {
        summary.more[0] += 1;
        return;
    }
    let signal = u32_at(desc, 0).unwrap_or(0);
    let is_first = summary.threads.is_empty();
    if is_first && signal != 0 {
        summary.reason = Some(format!("signal {signal}"));
    }
    let register = |place: usize| u64_at(desc, 112 + place * 8);
    let registers = NAMES.iter().enumerate().filter_map(|(i, name)| Some(((*name).to_owned(), register(i)?)));
    summary.threads.push(DumpThread {
        id: u32_at(desc, 32).unwrap_or(0),
        crashed: is_first && signal != 0,
        registers: registers.collect(),
        ..DumpThread::default()
    });
}

/// Files that were mapped, as modules: from the first to the last place of each.
fn files(desc: &[u8], summary: &mut DumpSummary) {
    let count = u64_at(desc, 0).unwrap_or(0).min(desc.len() as u64 / 24) as usize;
    let mut names = desc.get(16 + count * 24..).unwrap_or_default().split(|b| *b == 0);
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for place in 0..count {
        let (Some(start), Some(end)) = (u64_at(desc, 16 + place * 24), u64_at(desc, 24 + place * 24)) else {
            break;
        };
        let Some(name) = names.next() else { break };
        let span = all.entry(cut(String::from_utf8_lossy(name).into_owned())).or_insert((start, end));
        *span = (span.0.min(start), span.1.max(end));
    }
    summary.more[1] = all.len().saturating_sub(MOST) as u64;
    let module = |(path, (base, end)): (String, (u64, u64))| {
        let version = path.rsplit_once(".so.").map(|(_, version)| version.to_owned());
        DumpModule { path, version, build_id: None, base, size: end.saturating_sub(base) }
    };
    summary.modules = all.into_iter().take(MOST).map(module).collect();
}

fn memory(endian: Endianness, segments: &[elf::ProgramHeader64<Endianness>], summary: &mut DumpSummary) {
    for segment in segments.iter().filter(|s| s.p_type(endian) == PT_LOAD && s.p_filesz(endian) != 0) {
        let (start, len, flags) =
            (segment.p_vaddr(endian), segment.p_filesz(endian), segment.p_flags(endian));
        summary.memory_bytes = summary.memory_bytes.saturating_add(len);
        if summary.memory.len() >= MOST {
            summary.more[2] += 1;
            continue;
        }
        let of = summary.modules.iter().find(|m| start.checked_sub(m.base).is_some_and(|at| at < m.size));
        let what = match (of, flags.0 & PF_X.0 != 0, flags.0 & PF_W.0 != 0) {
            (Some(module), ..) => module.path.clone(),
            (None, true, _) => "code without a file".into(),
            (None, false, true) => "memory of the program".into(),
            (None, false, false) => "memory that is only read".into(),
        };
        summary.memory.push(DumpRange { start, len, what });
    }
}

/// Reads to the end, and takes the tops of the stacks on its way.
fn stacks(
    content: &mut dyn Read,
    mut at: u64,
    endian: Endianness,
    segments: &[elf::ProgramHeader64<Endianness>],
    length: u64,
    summary: &mut DumpSummary,
) -> io::Result<()> {
    /// Bytes of each stack that are looked at.
    const TOP: usize = 16 << 10;
    let register = |thread: &DumpThread, name: &str| {
        thread.registers.iter().find(|(n, _)| n == name).map_or(0, |(_, value)| *value)
    };
    // Where in the file each stack is, in order: the content is read once.
    let mut wanted: Vec<(u64, usize, usize)> = Vec::new();
    for (place, thread) in summary.threads.iter_mut().enumerate() {
        let pointer = register(thread, "rsp");
        for segment in segments.iter().filter(|s| s.p_type(endian) == PT_LOAD) {
            let len = segment.p_filesz(endian);
            let Some(into) = pointer.checked_sub(segment.p_vaddr(endian)).filter(|into| *into < len) else {
                continue;
            };
            thread.stack_bytes = len - into;
            let top = (len - into).min(TOP as u64) as usize;
            wanted.push((segment.p_offset(endian).saturating_add(into), top, place));
            break;
        }
    }
    wanted.sort_unstable();
    let modules = std::mem::take(&mut summary.modules);
    for thread in &mut summary.threads {
        thread.places = DumpSummary::places(&modules, register(thread, "rip"), &[]);
    }
    for (from, len, place) in wanted {
        // Two threads with one stack make no sense; the second one's is passed over.
        let Some(skip) = from.checked_sub(at) else { continue };
        at += io::copy(&mut content.take(skip), &mut io::sink())?;
        let mut top = Vec::new();
        at += content.take(len as u64).read_to_end(&mut top)? as u64;
        if let Some(thread) = summary.threads.get_mut(place) {
            let found = DumpSummary::places(&modules, 0, &top);
            thread.places.extend(found.into_iter().skip(1).take(FRAMES));
        }
    }
    summary.modules = modules;
    at += io::copy(content, &mut io::sink())?;
    if at < length {
        summary.notes.push(format!("it is cut: {} bytes of memory are missing", length - at));
    }
    Ok(())
}
