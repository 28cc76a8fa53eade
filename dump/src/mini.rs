//! A minidump: the format of `minidump-common`, which the readers of the same project (`minidump-stackwalk`) take.

use std::io;

use minidump_common::format::{
    CONTEXT_AMD64, CPU_INFORMATION, ContextFlagsAmd64, MINIDUMP_DIRECTORY, MINIDUMP_EXCEPTION,
    MINIDUMP_EXCEPTION_STREAM, MINIDUMP_HEADER, MINIDUMP_LOCATION_DESCRIPTOR, MINIDUMP_MEMORY_DESCRIPTOR,
    MINIDUMP_MODULE, MINIDUMP_SIGNATURE, MINIDUMP_STREAM_TYPE, MINIDUMP_SYSTEM_INFO, MINIDUMP_THREAD,
    MINIDUMP_VERSION, PlatformId, ProcessorArchitecture, VS_FFI_SIGNATURE, VS_FFI_STRUCVERSION,
    VS_FIXEDFILEINFO,
};
use scroll::ctx::{SizeWith, TryIntoCtx};
use scroll::{Endian, LE, Pwrite};

use crate::maps::{LeftOut, Mapping, all_is_locked, parse};
use crate::memory::{read, wipe};
use crate::modules::{Module, modules};
use crate::process::{can_dump, start_texts, thread_name};
use crate::stop::stop;
use crate::{DumpError, Facts, Omitted, Registers, Report, Request, ThreadFacts, facts};

/// A minidump is never longer, in bytes.
pub const MAX_MINIDUMP: u64 = 64 << 20;
/// Most bytes of all stacks together, of one, and of one if there are very many.
const STACKS: u64 = 16 << 20;
const STACK: u64 = 256 << 10;
const LEAST: u64 = 2 << 10;
/// Bytes below the stack pointer that a function may use without moving it.
const RED_ZONE: u64 = 128;
/// A stack that overflowed has its pointer so far below it, at most.
const GUARD: u64 = 1 << 20;
/// Bytes of code on each side of where a thread is.
const CODE: u64 = 128;

struct Thread {
    tid: u32,
    name: String,
    registers: Registers,
    stack: Option<(u64, Vec<u8>)>,
    code: Option<(u64, Vec<u8>)>,
}

/// What was taken while the process was stopped.
struct Taken {
    threads: Vec<Thread>,
    mappings: Vec<Mapping>,
    maps: Vec<u8>,
    report: Report,
}

/// Makes a minidump, in memory.
///
/// # Errors
/// If the process cannot be dumped; it runs on.
pub fn minidump(request: &Request) -> Result<(Vec<u8>, Report), DumpError> {
    can_dump(request.pid, request.started)?;
    // A thread of its own: when it ends, whatever happened, the kernel lets the process go on.
    let taken = std::thread::scope(|scope| {
        let made = std::thread::Builder::new().name("dump".into()).spawn_scoped(scope, || take(request));
        made.map_err(DumpError::io("a thread"))?
            .join()
            .unwrap_or_else(|_| Err(DumpError::io("the dump")(io::Error::other("it failed within"))))
    })?;
    write(request, taken)
}

fn take(request: &Request) -> Result<Taken, DumpError> {
    let pid = request.pid;
    let stopped = stop(pid)?;
    // Its number cannot be another's while it is stopped.
    can_dump(pid, request.started)?;
    let smaps = smaps(pid)?;
    let mappings = parse(&smaps);
    let locked = all_is_locked(&mappings);
    let texts = start_texts(pid);
    let all = stopped.threads();
    let most = (STACKS / all.len().max(1) as u64).clamp(LEAST, STACK);
    let mut report = Report::default();
    let mut threads = Vec::with_capacity(all.len());
    for tid in all {
        let crashed = request.crash.as_ref().filter(|crash| crash.tid == tid);
        let registers = match (crashed, Registers::of(tid)) {
            (Some(crash), _) => crash.registers.clone(),
            (None, Ok(registers)) => registers,
            // It was killed meanwhile, or runs code of 32 bits.
            (None, Err(e)) if threads.is_empty() && e.raw_os_error().is_none() => {
                return Err(DumpError::io(format!("process {pid}"))(e));
            }
            (None, Err(_)) => continue,
        };
        let mut bytes_of = |start: u64, end: u64| {
            let mut bytes = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
            report.unreadable += read(pid, start, &mut bytes).ok()?;
            wipe(start, &mut bytes, texts);
            report.memory += bytes.len() as u64;
            Some((start, bytes))
        };
        let may = |m: &&Mapping| m.forbidden(&request.rings, locked).is_none();
        let stack = stack_of(&mappings, registers.stack())
            .filter(|(mapping, _)| may(mapping))
            .and_then(|(mapping, from)| bytes_of(from, mapping.end.min(from.saturating_add(most))));
        let at = registers.instruction();
        let code =
            mappings.iter().find(|m| m.contains(at) && m.is_executable).filter(may).and_then(|m| {
                bytes_of(m.start.max(at.saturating_sub(CODE)), m.end.min(at.saturating_add(CODE)))
            });
        threads.push(Thread { tid, name: thread_name(pid, tid), registers, stack, code });
    }
    report.stopped = stopped.resume();
    if threads.is_empty() {
        return Err(DumpError::Ended { pid });
    }
    report.threads = threads.len();
    let maps =
        smaps.split_inclusive(|b| *b == b'\n').filter(|line| is_head(line)).flatten().copied().collect();
    Ok(Taken { threads, mappings, maps, report })
}

/// `/proc/PID/smaps`.
pub(crate) fn smaps(pid: u32) -> Result<Vec<u8>, DumpError> {
    let path = format!("/proc/{pid}/smaps");
    let text = std::fs::read(&path).map_err(DumpError::io(path.clone()))?;
    if text.is_empty() {
        return Err(DumpError::Ended { pid });
    }
    Ok(text)
}

fn is_head(line: &[u8]) -> bool {
    line.first().is_some_and(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

/// The mapping of a stack, and from where it is taken. After an overflow the pointer is below it.
fn stack_of(mappings: &[Mapping], pointer: u64) -> Option<(&Mapping, u64)> {
    let is_stack = |m: &&Mapping| m.is_readable && m.is_writable && !m.is_file();
    let from = pointer.saturating_sub(RED_ZONE) & !7;
    if let Some(mapping) = mappings.iter().find(|m| m.contains(pointer)).filter(is_stack) {
        return Some((mapping, from.max(mapping.start)));
    }
    let above = mappings.iter().filter(is_stack).find(|m| m.start > pointer)?;
    (above.start - pointer <= GUARD).then_some((above, above.start))
}

/// Bytes that grow.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    fn place(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn put<T>(&mut self, value: T) -> io::Result<MINIDUMP_LOCATION_DESCRIPTOR>
    where
        T: TryIntoCtx<Endian, [u8], Error = scroll::Error> + SizeWith<Endian>,
    {
        let (rva, size) = (self.place(), T::size_with(&LE));
        self.bytes.resize(self.bytes.len() + size, 0);
        self.bytes.pwrite_with(value, rva as usize, LE).map_err(io::Error::other)?;
        Ok(MINIDUMP_LOCATION_DESCRIPTOR { data_size: size as u32, rva })
    }

    fn bytes(&mut self, bytes: &[u8]) -> MINIDUMP_LOCATION_DESCRIPTOR {
        let rva = self.place();
        self.bytes.extend_from_slice(bytes);
        MINIDUMP_LOCATION_DESCRIPTOR { data_size: bytes.len() as u32, rva }
    }

    /// Length in bytes, UTF-16, a zero.
    fn text(&mut self, text: &str) -> u32 {
        let rva = self.place();
        let units: Vec<u16> = text.encode_utf16().collect();
        self.bytes.extend((units.len() as u32 * 2).to_le_bytes());
        self.bytes.extend(units.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
        rva
    }

    /// A list: its count, then its parts.
    fn list<T>(&mut self, parts: Vec<T>) -> io::Result<MINIDUMP_LOCATION_DESCRIPTOR>
    where
        T: TryIntoCtx<Endian, [u8], Error = scroll::Error> + SizeWith<Endian>,
    {
        let rva = self.place();
        self.bytes(&(parts.len() as u32).to_le_bytes());
        for part in parts {
            self.put(part)?;
        }
        Ok(MINIDUMP_LOCATION_DESCRIPTOR { data_size: self.place() - rva, rva })
    }
}

fn write(request: &Request, taken: Taken) -> Result<(Vec<u8>, Report), DumpError> {
    let modules = modules(request.pid, &taken.mappings);
    let bytes = build(request, &taken, &modules).map_err(DumpError::io("the minidump"))?;
    Ok((bytes, taken.report))
}

fn build(request: &Request, taken: &Taken, modules: &[Module]) -> io::Result<Vec<u8>> {
    use MINIDUMP_STREAM_TYPE as Type;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut out = Buffer::default();
    let mut streams: Vec<(u32, MINIDUMP_LOCATION_DESCRIPTOR)> = Vec::new();
    // Set at the end.
    out.put(header(0, 0, now))?;
    let mut memory = Vec::new();
    let mut list = Vec::new();
    let mut crashed_context = None;
    for thread in &taken.threads {
        let context = out.put(context(&thread.registers))?;
        if request.crash.as_ref().is_some_and(|crash| crash.tid == thread.tid) {
            crashed_context = Some(context);
        }
        let mut range = |part: &Option<(u64, Vec<u8>)>| {
            let descriptor = part.as_ref().map(|(start, bytes)| MINIDUMP_MEMORY_DESCRIPTOR {
                start_of_memory_range: *start,
                memory: out.bytes(bytes),
            });
            memory.extend(descriptor);
            descriptor.unwrap_or_default()
        };
        let stack = range(&thread.stack);
        range(&thread.code);
        list.push(MINIDUMP_THREAD {
            thread_id: thread.tid,
            suspend_count: 0,
            priority_class: 0,
            priority: 0,
            teb: 0,
            stack,
            thread_context: context,
        });
    }
    streams.push((Type::ThreadListStream as u32, out.list(list)?));
    let names = taken.threads.iter().map(|thread| (thread.tid, out.text(&thread.name))).collect::<Vec<_>>();
    let names_at = out.place();
    out.bytes(&(names.len() as u32).to_le_bytes());
    for (tid, rva) in names {
        out.bytes(&tid.to_le_bytes());
        out.bytes(&u64::from(rva).to_le_bytes());
    }
    let names = MINIDUMP_LOCATION_DESCRIPTOR { data_size: out.place() - names_at, rva: names_at };
    streams.push((Type::ThreadNamesStream as u32, names));
    let list = modules.iter().map(|m| module(&mut out, m)).collect();
    streams.push((Type::ModuleListStream as u32, out.list(list)?));
    streams.push((Type::MemoryListStream as u32, out.list(memory)?));
    if let Some(crash) = &request.crash {
        let exception = MINIDUMP_EXCEPTION_STREAM {
            thread_id: crash.tid,
            exception_record: MINIDUMP_EXCEPTION {
                exception_code: crash.signal.cast_unsigned(),
                exception_flags: crash.code.cast_unsigned(),
                exception_address: crash.address,
                exception_record: 0,
                number_parameters: 0,
                __align: 0,
                exception_information: [0; 15],
            },
            thread_context: crashed_context.unwrap_or_default(),
            __align: 0,
        };
        streams.push((Type::ExceptionStream as u32, out.put(exception)?));
    }
    let system = system(&mut out);
    streams.push((Type::SystemInfoStream as u32, out.put(system)?));
    streams.push((Type::LinuxMaps as u32, out.bytes(&taken.maps)));
    for (name, kind) in [("auxv", Type::LinuxAuxv), ("status", Type::LinuxProcStatus)] {
        if let Ok(bytes) = std::fs::read(format!("/proc/{}/{name}", request.pid)) {
            streams.push((kind as u32, out.bytes(&bytes)));
        }
    }
    let facts = serde_json::to_vec(&facts_of(request, taken, now))?;
    streams.push((facts::STREAM, out.bytes(&facts)));
    let directory = out.place();
    let count = streams.len() as u32;
    for (stream_type, location) in streams {
        out.put(MINIDUMP_DIRECTORY { stream_type, location })?;
    }
    let header = header(count, directory, now);
    out.bytes.pwrite_with(header, 0, LE).map_err(io::Error::other)?;
    Ok(out.bytes)
}

fn header(stream_count: u32, stream_directory_rva: u32, now: u64) -> MINIDUMP_HEADER {
    MINIDUMP_HEADER {
        signature: MINIDUMP_SIGNATURE,
        version: MINIDUMP_VERSION,
        stream_count,
        stream_directory_rva,
        checksum: 0,
        time_date_stamp: now as u32,
        flags: 0,
    }
}

fn facts_of(request: &Request, taken: &Taken, now: u64) -> Facts {
    let locked = all_is_locked(&taken.mappings);
    let why = |m: &Mapping| m.forbidden(&request.rings, locked);
    // What is left out because this is a minidump is not listed: it is everything else.
    let listed = [LeftOut::Ring, LeftOut::DontDump, LeftOut::Locked];
    Facts {
        format: 1,
        component: request.component.clone(),
        pid: request.pid,
        taken_at: now,
        reason: reason(request),
        stopped_us: u64::try_from(taken.report.stopped.as_micros()).ok(),
        threads: taken.threads.iter().map(|t| ThreadFacts { tid: t.tid, name: t.name.clone() }).collect(),
        left_out: taken
            .mappings
            .iter()
            .filter_map(|m| Some((m, why(m).filter(|why| listed.contains(why))?)))
            .map(|(m, why)| Omitted { start: m.start, len: m.len(), why: why.to_string() })
            .collect(),
    }
}

pub(crate) fn reason(request: &Request) -> String {
    match &request.crash {
        None => "on request".into(),
        Some(crash) => format!("crash, signal {}", crash.signal),
    }
}

fn context(registers: &Registers) -> CONTEXT_AMD64 {
    let g = &registers.general;
    let mut context = CONTEXT_AMD64 {
        context_flags: (ContextFlagsAmd64::CONTEXT_AMD64_FULL | ContextFlagsAmd64::CONTEXT_AMD64_SEGMENTS)
            .bits(),
        r15: g[0],
        r14: g[1],
        r13: g[2],
        r12: g[3],
        rbp: g[4],
        rbx: g[5],
        r11: g[6],
        r10: g[7],
        r9: g[8],
        r8: g[9],
        rax: g[10],
        rcx: g[11],
        rdx: g[12],
        rsi: g[13],
        rdi: g[14],
        rip: g[16],
        cs: g[17] as u16,
        eflags: g[18] as u32,
        rsp: g[19],
        ss: g[20] as u16,
        ds: g[23] as u16,
        es: g[24] as u16,
        fs: g[25] as u16,
        gs: g[26] as u16,
        ..Default::default()
    };
    for (to, from) in context.float_save.iter_mut().zip(&registers.float) {
        *to = *from;
    }
    if let Some(bytes) = registers.float.get(24..28) {
        context.mx_csr = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
    }
    context
}

fn module(out: &mut Buffer, module: &Module) -> MINIDUMP_MODULE {
    /// `LEpB`: a build id of ELF follows.
    const ELF: u32 = 0x4270_454c;
    let cv_record = if module.build_id.is_empty() {
        MINIDUMP_LOCATION_DESCRIPTOR::default()
    } else {
        let mut record = ELF.to_le_bytes().to_vec();
        record.extend(&module.build_id);
        out.bytes(&record)
    };
    let [a, b, c, d] = module.version();
    let version_info = if [a, b, c, d] == [0; 4] {
        VS_FIXEDFILEINFO::default()
    } else {
        VS_FIXEDFILEINFO {
            signature: VS_FFI_SIGNATURE,
            struct_version: VS_FFI_STRUCVERSION,
            file_version_hi: a,
            file_version_lo: b,
            product_version_hi: c,
            product_version_lo: d,
            ..Default::default()
        }
    };
    MINIDUMP_MODULE {
        base_of_image: module.base,
        size_of_image: u32::try_from(module.size).unwrap_or(u32::MAX),
        module_name_rva: out.text(&module.path),
        version_info,
        cv_record,
        ..Default::default()
    }
}

fn system(out: &mut Buffer) -> MINIDUMP_SYSTEM_INFO {
    let uname = rustix::system::uname();
    let (release, version) = (uname.release().to_string_lossy(), uname.version().to_string_lossy());
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    MINIDUMP_SYSTEM_INFO {
        processor_architecture: ProcessorArchitecture::PROCESSOR_ARCHITECTURE_AMD64 as u16,
        number_of_processors: std::thread::available_parallelism().map_or(0, |n| n.get().min(255) as u8),
        major_version: next(),
        minor_version: next(),
        build_number: next(),
        platform_id: PlatformId::Linux as u32,
        csd_version_rva: out.text(&format!("Linux {release} {version} x86_64")),
        processor_level: 0,
        processor_revision: 0,
        product_type: 0,
        suite_mask: 0,
        reserved2: 0,
        cpu: CPU_INFORMATION { data: [0; 24] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64, is_writable: bool) -> Mapping {
        Mapping { start, end, is_readable: is_writable, is_writable, ..Mapping::default() }
    }

    #[test]
    fn a_stack_is_where_its_pointer_is_or_just_above() {
        let all = [
            mapping(0x1000, 0x2000, false),
            mapping(0x2000, 0x9000, true),
            mapping(0x40_0000, 0x50_0000, true),
        ];
        assert_eq!(stack_of(&all, 0x3000).map(|(m, from)| (m.start, from)), Some((0x2000, 0x2f80)));
        assert_eq!(stack_of(&all, 0x2010).map(|(m, from)| (m.start, from)), Some((0x2000, 0x2000)));
        assert_eq!(
            stack_of(&all, 0x1800).map(|(m, from)| (m.start, from)),
            Some((0x2000, 0x2000)),
            "overflow"
        );
        assert_eq!(stack_of(&all, 0x10_0000), None, "too far below the next one");
        assert_eq!(stack_of(&all, 0x60_0000), None);
        assert_eq!(stack_of(&[], 0), None);
    }
}
