//! The whole memory, as an ELF core that is read as a stream: nothing is kept on a disk, and of the memory no more than
//! [`MOST`] at a time. Everything before the memory is known once the process has stopped, so nothing is written twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::maps::{LeftOut, Mapping, all_is_locked, parse};
use crate::memory::{PAGE, choose, read, wipe};
use crate::mini::{reason, smaps};
use crate::notes::Notes;
use crate::process::{can_dump, start_texts, thread_name};
use crate::stop::stop;
use crate::{DumpError, Facts, Omitted, Registers, Report, Request, ThreadFacts};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Most bytes that wait to be taken: so much is read at the speed of memory, whatever the reader's.
const MOST: u64 = 256 << 20;
/// Program headers are counted in 16 bits.
const SEGMENTS: usize = 60_000;
/// Pages that are not there and lie between others are written as zeros, up to so many bytes.
const GAP: u64 = 64 << 10;

/// What the thread that stops the process gives.
enum Message {
    /// Everything before the memory, and how long all will be.
    Head(Vec<u8>, u64),
    Piece(Vec<u8>, usize),
    End(Box<Result<Report, DumpError>>),
}

/// A core that is being taken; read it to its end, then ask [`Core::finish`]. The process is stopped until all is read, or
/// until as much is left as fits into memory; dropped, it runs on.
pub struct Core {
    full: Option<Receiver<Message>>,
    free: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    current: (Vec<u8>, usize, usize),
    is_head: bool,
    len: u64,
    end: Option<Result<Report, DumpError>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Stops a process and begins to take its memory.
///
/// # Errors
/// If it cannot be dumped; it runs on.
pub fn core(request: &Request) -> Result<Core, DumpError> {
    can_dump(request.pid, request.started)?;
    let (give, full) = channel();
    let (free, take) = channel();
    // Memory is made before the process stops, so that its pages are there.
    for _ in 0..pieces(request.pid) {
        let _ = free.send(vec![1; PIECE]);
    }
    let request = request.clone();
    let thread = std::thread::Builder::new()
        .name("dump".into())
        .spawn(move || {
            let end = run(&request, &give, &take);
            let _ = give.send(Message::End(Box::new(end)));
        })
        .map_err(DumpError::io("a thread"))?;
    let mut core = Core {
        full: Some(full),
        free: Some(free),
        thread: Some(thread),
        current: (Vec::new(), 0, 0),
        is_head: true,
        len: 0,
        end: None,
    };
    core.next();
    match core.end.take() {
        Some(Err(e)) => Err(e),
        end => {
            core.end = end;
            Ok(core)
        }
    }
}

/// How many pieces of memory are made ready: as many as the process has, within bounds.
fn pieces(pid: u32) -> u64 {
    let resident = std::fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    let available = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .unwrap_or(0);
    let most = (available * 1024 / 4).min(MOST);
    (resident * PAGE).min(most) / PIECE as u64 + 4
}

impl Core {
    /// Bytes that it will have, unless the process is killed meanwhile.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: there is a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// After the end: what was done.
    ///
    /// # Errors
    /// If the process was killed meanwhile, so that the end is missing.
    pub fn finish(mut self) -> Result<Report, DumpError> {
        while self.next() {}
        self.end
            .take()
            .unwrap_or_else(|| Err(DumpError::io("the dump")(io::Error::other("it failed within"))))
    }

    /// The next piece; false at the end.
    fn next(&mut self) -> bool {
        let (used, ..) = std::mem::take(&mut self.current);
        if !self.is_head
            && !used.is_empty()
            && let Some(free) = &self.free
        {
            let _ = free.send(used);
        }
        match self.full.as_ref().and_then(|full| full.recv().ok()) {
            Some(Message::Head(bytes, len)) => {
                let size = bytes.len();
                (self.current, self.len) = ((bytes, 0, size), len);
                true
            }
            Some(Message::Piece(bytes, size)) => {
                self.is_head = false;
                self.current = (bytes, 0, size);
                true
            }
            Some(Message::End(end)) => {
                self.end = Some(*end);
                self.full = None;
                false
            }
            None => false,
        }
    }
}

impl Read for Core {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let part = self.fill_buf()?;
        let len = part.len().min(to.len());
        to[..len].copy_from_slice(&part[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Core {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.1 == self.current.2 && self.next() {}
        let (bytes, at, size) = &self.current;
        Ok(bytes.get(*at..*size).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.current.1 = (self.current.1 + amount).min(self.current.2);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Without us it ends, and the process runs on before we return.
        self.full = None;
        self.free = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A part of a mapping that is taken.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    len: u64,
    flags: u32,
}

fn run(request: &Request, give: &Sender<Message>, take: &Receiver<Vec<u8>>) -> Result<Report, DumpError> {
    let pid = request.pid;
    let stopped = stop(pid)?;
    can_dump(pid, request.started)?;
    let mappings = parse(&smaps(pid)?);
    let mut threads = Vec::new();
    for tid in stopped.threads() {
        match Registers::of(tid) {
            Ok(registers) => threads.push((tid, registers)),
            Err(e) if e.raw_os_error().is_none() => return Err(DumpError::io(format!("process {pid}"))(e)),
            Err(_) => {}
        }
    }
    let (parts, left_out) = parts(request, &mappings)?;
    let facts = facts(request, &threads, &mappings);
    let notes = Notes::of(request, &threads, &mappings, &facts);
    let memory: u64 = parts.iter().map(|part| part.len).sum();
    let mut report = Report {
        threads: threads.len(),
        memory,
        left_out: left_out.into_iter().collect(),
        ..Report::default()
    };
    let head = head(&notes.bytes, &parts);
    let len = head.len() as u64 + memory;
    // Whoever takes it may be gone at any time.
    let gone = || DumpError::io("the dump")(io::ErrorKind::BrokenPipe.into());
    give.send(Message::Head(head, len)).map_err(|_| gone())?;
    let texts = start_texts(pid);
    // Small parts share a piece.
    let (mut piece, mut filled) = (take.recv().map_err(|_| gone())?, 0);
    for part in parts {
        let mut at = 0;
        while at < part.len {
            if filled == PIECE {
                give.send(Message::Piece(piece, filled)).map_err(|_| gone())?;
                (piece, filled) = (take.recv().map_err(|_| gone())?, 0);
            }
            let len = (part.len - at).min((PIECE - filled) as u64) as usize;
            let to = &mut piece[filled..filled + len];
            report.unreadable += read(pid, part.start + at, to).map_err(|_| DumpError::Ended { pid })?;
            wipe(part.start + at, to, texts);
            filled += len;
            at += len as u64;
        }
    }
    report.stopped = stopped.resume();
    give.send(Message::Piece(piece, filled)).map_err(|_| gone())?;
    Ok(report)
}

/// What is taken, and how many bytes are not, by reason.
fn parts(request: &Request, mappings: &[Mapping]) -> Result<(Vec<Part>, BTreeMap<LeftOut, u64>), DumpError> {
    let path = format!("/proc/{}/pagemap", request.pid);
    let pagemap = File::open(&path).map_err(DumpError::io(path.clone()))?;
    let locked = all_is_locked(mappings);
    let mut gap = GAP;
    loop {
        let (mut parts, mut left_out) = (Vec::new(), BTreeMap::new());
        for mapping in mappings {
            let chosen = match mapping.forbidden(&request.rings, locked) {
                Some(why) => Err(why),
                None => choose(mapping, &pagemap, gap).map_err(DumpError::io(path.clone()))?,
            };
            let flags = u32::from(mapping.is_readable) << 2
                | u32::from(mapping.is_writable) << 1
                | u32::from(mapping.is_executable);
            match chosen {
                Err(why) => *left_out.entry(why).or_default() += mapping.len(),
                Ok(ranges) => parts.extend(ranges.into_iter().map(|(start, len)| Part { start, len, flags })),
            }
        }
        if parts.len() <= SEGMENTS {
            return Ok((parts, left_out));
        }
        // More of what is not there is written as zeros.
        gap = gap.saturating_mul(4);
        if gap > 1 << 40 {
            let e = io::Error::other("its memory is in too many pieces for a core");
            return Err(DumpError::io(format!("process {}", request.pid))(e));
        }
    }
}

fn facts(request: &Request, threads: &[(u32, Registers)], mappings: &[Mapping]) -> Vec<u8> {
    let locked = all_is_locked(mappings);
    let listed = [LeftOut::Ring, LeftOut::DontDump, LeftOut::Locked, LeftOut::SharedFile];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let facts = Facts {
        format: 1,
        component: request.component.clone(),
        pid: request.pid,
        taken_at: now.as_secs(),
        reason: reason(request),
        stopped_us: None,
        threads: threads
            .iter()
            .map(|(tid, _)| ThreadFacts { tid: *tid, name: thread_name(request.pid, *tid) })
            .collect(),
        left_out: mappings
            .iter()
            .filter_map(|m| Some((m, m.forbidden(&request.rings, locked).filter(|w| listed.contains(w))?)))
            .map(|(m, why)| Omitted { start: m.start, len: m.len(), why: why.to_string() })
            .collect(),
    };
    serde_json::to_vec(&facts).unwrap_or_default()
}

/// ELF header, program headers and notes, up to the page where the memory begins.
fn head(notes: &[u8], parts: &[Part]) -> Vec<u8> {
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    const LOAD: u32 = 1;
    const NOTE: u32 = 4;
    let count = parts.len() as u64 + 1;
    let notes_at = HEADER + SEGMENT * count;
    let memory_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE);
    let mut out = Vec::with_capacity(memory_at as usize);
    // 64 bits, little-endian, version 1.
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // A core, of x86_64.
    out.extend(4_u16.to_le_bytes());
    out.extend(62_u16.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    for number in [0, HEADER, 0] {
        out.extend(u64::to_le_bytes(number));
    }
    out.extend(0_u32.to_le_bytes());
    for number in [HEADER, SEGMENT, count, 0, 0, 0] {
        out.extend((number as u16).to_le_bytes());
    }
    let mut segment = |kind: u32, flags: u32, offset: u64, address: u64, len: u64, align: u64| {
        out.extend(kind.to_le_bytes());
        out.extend(flags.to_le_bytes());
        let in_memory = if kind == LOAD { len } else { 0 };
        for number in [offset, address, 0, len, in_memory, align] {
            out.extend(number.to_le_bytes());
        }
    };
    segment(NOTE, 0, notes_at, 0, notes.len() as u64, 4);
    let mut at = memory_at;
    for part in parts {
        segment(LOAD, part.flags, at, part.start, part.len, PAGE);
        at += part.len;
    }
    out.extend_from_slice(notes);
    out.resize(memory_at as usize, 0);
    out
}

#[cfg(test)]
mod tests {
    use object::elf::FileHeader64;
    use object::read::elf::{FileHeader, ProgramHeader};
    use object::{Endianness, elf};

    use super::*;

    #[test]
    fn headers_say_where_everything_is() {
        let parts = [(0x1000, PAGE, 6), (0x7000, 3 * PAGE, 5)];
        let parts = parts.map(|(start, len, flags)| Part { start, len, flags });
        let bytes = head(&[7; 100], &parts);
        assert_eq!(bytes.len() as u64 % PAGE, 0);
        let header = FileHeader64::<Endianness>::parse(&bytes[..]).unwrap();
        let endian = header.endian().unwrap();
        assert_eq!((header.e_type(endian), header.e_machine(endian)), (elf::ET_CORE, elf::EM_X86_64));
        let segments = header.program_headers(endian, &bytes[..]).unwrap();
        assert_eq!(segments.len(), 3);
        let of = |s: &elf::ProgramHeader64<Endianness>| {
            (s.p_offset(endian), s.p_vaddr(endian), s.p_filesz(endian))
        };
        assert_eq!(of(&segments[1]), (bytes.len() as u64, 0x1000, PAGE));
        assert_eq!(of(&segments[2]), (bytes.len() as u64 + PAGE, 0x7000, 3 * PAGE));
        assert_eq!(bytes[of(&segments[0]).0 as usize], 7);
    }
}
