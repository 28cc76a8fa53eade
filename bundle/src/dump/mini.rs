//! The summary of a minidump, read by crate `minidump`.

use std::io::{self, Read};

use minidump::{
    Minidump, MinidumpException, MinidumpLinuxMaps, MinidumpModule, MinidumpModuleList, MinidumpSystemInfo,
    MinidumpThread, MinidumpThreadList, MinidumpThreadNames, Module, UnifiedMemoryList,
};

use super::{DumpModule, DumpRange, DumpSummary, DumpThread, Facts, MOST, STREAM, cut};
use crate::draft::invalid;

/// Longest minidump that is looked into. Ours are shorter.
const MAX: u64 = 128 << 20;
/// Most bytes of names and the like in one: a name may be told any number of times, and each time it is a new one.
const MAX_NAMES: u64 = 16 << 20;

pub(super) fn summary(content: &mut dyn Read) -> io::Result<DumpSummary> {
    let mut bytes = Vec::new();
    if content.take(MAX + 1).read_to_end(&mut bytes)? as u64 > MAX {
        return Err(invalid(format!("the minidump is longer than {MAX} bytes and is not looked into")));
    }
    check_names(&bytes)?;
    let dump = Minidump::read(bytes).map_err(|e| invalid(format!("it is no minidump, or damaged: {e}")))?;
    let mut summary = DumpSummary { kind: "minidump", ..DumpSummary::default() };
    summary.taken_at =
        jiff::Timestamp::from_second(i64::from(dump.header.time_date_stamp)).ok().map(|at| at.to_string());
    let mut missing = |what: &str, e: &minidump::Error| summary.notes.push(format!("no {what}: {e}"));
    let system = dump.get_stream::<MinidumpSystemInfo>().map_err(|e| missing("system", &e)).ok();
    let list =
        dump.get_stream::<MinidumpModuleList>().map_err(|e| missing("modules", &e)).unwrap_or_default();
    let threads = dump.get_stream::<MinidumpThreadList<'_>>().map_err(|e| missing("threads", &e)).ok();
    let names = dump.get_stream::<MinidumpThreadNames>().unwrap_or_default();
    let memory = dump.get_memory().unwrap_or_default();
    let maps = dump.get_stream::<MinidumpLinuxMaps<'_>>().ok();
    let exception = dump.get_stream::<MinidumpException<'_>>().ok();
    summary.system = system.as_ref().and_then(|s| s.csd_version()).map(|text| cut(text.into_owned()));
    summary.more[1] = list.iter().skip(MOST).count() as u64;
    summary.modules = list.iter().take(MOST).map(module).collect();
    if let Some(exception) = &exception {
        let reason = system.as_ref().map(|s| exception.get_crash_reason(s.os, s.cpu).to_string());
        let at = system.as_ref().map_or(0, |s| exception.get_crash_address(s.os, s.cpu));
        let reason = reason.unwrap_or_else(|| "crash".into());
        summary.reason =
            Some(format!("crash: {reason} at {at:#x}, thread {}", exception.get_crashing_thread_id()));
    }
    let of = |thread: &MinidumpThread<'_>| {
        let id = thread.raw.thread_id;
        let name = names.get_name(id).map(|name| cut(name.into_owned())).unwrap_or_default();
        let crashed = exception.as_ref().is_some_and(|e| e.get_crashing_thread_id() == id);
        describe(thread, name, crashed, system.as_ref(), &memory, &summary.modules)
    };
    let threads = threads.map(|list| list.threads).unwrap_or_default();
    let told: Vec<DumpThread> = threads.iter().take(MOST).map(of).collect();
    summary.more[0] = threads.len().saturating_sub(MOST) as u64;
    summary.threads = told;
    for (place, range) in memory.iter().enumerate() {
        let (start, len) = (range.base_address(), range.size());
        summary.memory_bytes = summary.memory_bytes.saturating_add(len);
        if place >= MOST {
            summary.more[2] += 1;
            continue;
        }
        let is_stack = |t: &&MinidumpThread<'_>| t.raw.stack.start_of_memory_range == start;
        let what = match threads.iter().take(MOST).find(is_stack) {
            Some(thread) => format!("stack of thread {}", thread.raw.thread_id),
            None => maps
                .as_ref()
                .and_then(|maps| maps.memory_info_at_address(start))
                .map_or_else(|| "memory".into(), |map| cut(format!("{:?}", map.map.pathname))),
        };
        summary.memory.push(DumpRange { start, len, what });
    }
    if let Some(facts) = dump.get_raw_stream(STREAM).ok().and_then(Facts::parse) {
        summary.add_facts(facts);
    }
    Ok(summary)
}

fn module(module: &MinidumpModule) -> DumpModule {
    DumpModule {
        path: cut(module.name.clone()),
        version: module.version().map(|version| cut(version.into_owned())),
        build_id: module.code_identifier().map(|id| cut(id.to_string())),
        base: module.base_address(),
        size: module.size(),
    }
}

fn describe(
    thread: &MinidumpThread<'_>,
    name: String,
    crashed: bool,
    system: Option<&MinidumpSystemInfo>,
    memory: &UnifiedMemoryList<'_>,
    modules: &[DumpModule],
) -> DumpThread {
    let context = system.and_then(|system| thread.context(system, None));
    let stack = thread.stack_memory(memory);
    let stack_bytes = stack.as_ref().map_or(0, |stack| stack.size());
    let mut told =
        DumpThread { id: thread.raw.thread_id, name, crashed, stack_bytes, ..DumpThread::default() };
    if let Some(context) = context {
        told.registers = context.valid_registers().map(|(name, value)| (name.to_owned(), value)).collect();
        // From the stack pointer on: what is below it is over.
        let bytes = stack.as_ref().map_or(&[][..], |stack| {
            let below = context.get_stack_pointer().saturating_sub(stack.base_address());
            usize::try_from(below).ok().and_then(|at| stack.bytes().get(at..)).unwrap_or_default()
        });
        told.places = DumpSummary::places(modules, context.get_instruction_pointer(), bytes);
    }
    told
}

/// The reader makes a text for each module and thread, and a file of a megabyte may name one of half a megabyte ten
/// thousand times: all lengths together are looked at first.
fn check_names(bytes: &[u8]) -> io::Result<()> {
    const MODULES: u32 = 4;
    const UNLOADED_MODULES: u32 = 14;
    const THREAD_NAMES: u32 = 24;
    let cut = || invalid("it is no minidump, or damaged at its beginning");
    let number = |at: u64| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    if !bytes.starts_with(b"MDMP") {
        return Err(cut());
    }
    let (count, directory) = (number(8).ok_or_else(cut)?, number(12).ok_or_else(cut)?);
    let mut total = 0_u64;
    for entry in 0..count.min(bytes.len() as u64 / 12) {
        let at = directory + entry * 12;
        let Some((kind, len, start)) = (|| Some((number(at)?, number(at + 4)?, number(at + 8)?)))() else {
            break;
        };
        // Length of a part, where its name is told, and where the lengths of other texts are.
        let (part, name, others): (u64, u64, &[u64]) = match kind as u32 {
            MODULES => (108, 20, &[76, 84]),
            UNLOADED_MODULES => (24, 20, &[]),
            THREAD_NAMES => (12, 4, &[]),
            _ => continue,
        };
        // The list may be preceded by a count, padding, or sizes: every beginning is tried, the worst is taken.
        let mut worst = 0_u64;
        for begin in [4_u64, 8, 12] {
            let mut sum = 0_u64;
            for place in 0..len / part + 1 {
                let at = start + begin + place * part;
                let Some(rva) = number(at + name) else { break };
                sum = sum.saturating_add(number(rva).unwrap_or(0).min(bytes.len() as u64));
                for other in others {
                    sum = sum.saturating_add(number(at + other).unwrap_or(0).min(bytes.len() as u64));
                }
            }
            worst = worst.max(sum);
        }
        total = total.saturating_add(worst);
    }
    if total > MAX_NAMES {
        return Err(invalid("the minidump names things at a length that makes no sense"));
    }
    Ok(())
}
