//! What a memory dump holds, for people: of which process, its threads, its modules, and which memory of it. A dump comes
//! from a stranger as far as this is concerned: it gives a summary or an error, whatever is in it, within bounds.

mod core;
mod mini;

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use tracewell_reader::render::escape::push_escaped;

use crate::member::Kind;

/// Most threads, modules and ranges of memory that are told one by one.
const MOST: usize = 2000;
/// Places in code that are told of a thread's stack.
const FRAMES: usize = 8;
/// Longest text that is taken of a dump, in bytes.
const MAX_TEXT: usize = 4096;

/// Name and number of the place where our own dumps keep what the formats have no place for.
const STREAM: u32 = 0x5457_0001;
const NOTE: (&[u8], u32) = (b"TRACEWELL", 1);
/// Longest of those.
const MAX_FACTS: usize = 4 << 20;

/// A dump in short: the same for a terminal and a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DumpSummary {
    /// `minidump`, or `whole memory`.
    pub kind: &'static str,
    /// The system it was made on, if it is told.
    pub system: Option<String>,
    /// The component, or the program's name.
    pub name: Option<String>,
    /// The process.
    pub pid: Option<u32>,
    /// When it was made: RFC 3339, UTC.
    pub taken_at: Option<String>,
    /// Why: on request, or how it crashed.
    pub reason: Option<String>,
    /// How long the process was stopped for it.
    pub stopped_us: Option<u64>,
    /// Its threads.
    pub threads: Vec<DumpThread>,
    /// The program and its libraries.
    pub modules: Vec<DumpModule>,
    /// The memory that is in the dump.
    pub memory: Vec<DumpRange>,
    /// The memory that was left out on purpose.
    pub left_out: Vec<DumpRange>,
    /// What is odd about it.
    pub notes: Vec<String>,
    /// How many more threads, modules and ranges there are than are told.
    pub more: [u64; 3],
    /// Bytes of all ranges, also of those that are not told.
    pub memory_bytes: u64,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DumpThread {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether it is the one that crashed.
    pub crashed: bool,
    /// Its registers.
    pub registers: Vec<(String, u64)>,
    /// Where it is in its code, then what on the stack looks like places to return to: module and offset.
    pub places: Vec<String>,
    /// Bytes of its stack that are in the dump.
    pub stack_bytes: u64,
}

/// A program or library.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DumpModule {
    /// Its file.
    pub path: String,
    /// Its version, if its name tells it.
    pub version: Option<String>,
    /// Its build id.
    pub build_id: Option<String>,
    /// Where it was in memory.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

/// A range of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DumpRange {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// What is there, or why it is not.
    pub what: String,
}

/// What our own dumps say of themselves. All of it is optional: a dump may be anybody's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Facts {
    component: Option<String>,
    pid: Option<u32>,
    taken_at: Option<i64>,
    reason: Option<String>,
    stopped_us: Option<u64>,
    threads: Vec<FactsThread>,
    left_out: Vec<FactsRange>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FactsThread {
    tid: u32,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FactsRange {
    start: u64,
    len: u64,
    why: String,
}

impl Facts {
    fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_FACTS).then(|| serde_json::from_slice(bytes).ok())?
    }
}

impl DumpSummary {
    /// Reads a dump of this kind to its end.
    ///
    /// # Errors
    /// If it cannot be read, or is no dump.
    pub fn read(kind: Kind, content: &mut dyn Read) -> io::Result<Self> {
        match kind {
            Kind::Core => core::summary(content),
            _ => mini::summary(content),
        }
    }

    fn add_facts(&mut self, facts: Facts) {
        self.name = facts.component.map(cut).or_else(|| self.name.take());
        self.pid = facts.pid.or(self.pid);
        let at = facts.taken_at.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        self.taken_at = at.map(|at| at.to_string()).or_else(|| self.taken_at.take());
        self.reason = self.reason.take().or(facts.reason.map(cut));
        self.stopped_us = facts.stopped_us;
        for thread in &mut self.threads {
            if thread.name.is_empty()
                && let Some(known) = facts.threads.iter().find(|t| t.tid == thread.id)
            {
                thread.name = cut(known.name.clone());
            }
        }
        let ranges = facts.left_out.into_iter().take(MOST);
        self.left_out = ranges
            .map(|range| DumpRange { start: range.start, len: range.len, what: cut(range.why) })
            .collect();
    }

    /// The module at an address, and how far into it: `libc.so.6+0x1234`.
    fn place(modules: &[DumpModule], address: u64) -> Option<String> {
        let module = modules.iter().find(|m| address.checked_sub(m.base).is_some_and(|at| at < m.size))?;
        let name = module.path.rsplit('/').next().unwrap_or_default();
        Some(format!("{name}+{:#x}", address - module.base))
    }

    /// Where a thread is, and what on its stack looks like places to return to. Without the programs' own tables that is
    /// a guess: what was there before is found too.
    fn places(modules: &[DumpModule], instruction: u64, stack: &[u8]) -> Vec<String> {
        let here = Self::place(modules, instruction).unwrap_or_else(|| format!("{instruction:#x}"));
        let mut places = vec![here];
        for word in stack.chunks_exact(8) {
            if places.len() > FRAMES {
                break;
            }
            let address = word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            places.extend(Self::place(modules, address));
        }
        places
    }

    /// Writes it as text that no terminal acts on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} of {} process {}", self.kind, text(self.name.as_deref()), number(self.pid))?;
        for (what, value) in [("taken", &self.taken_at), ("reason", &self.reason), ("system", &self.system)] {
            if let Some(value) = value {
                writeln!(out, "{what:<8} {}", safe(value))?;
            }
        }
        if let Some(us) = self.stopped_us {
            writeln!(out, "stopped  {}.{} ms", us / 1000, us % 1000 / 100)?;
        }
        for note in &self.notes {
            writeln!(out, "note     {}", safe(note))?;
        }
        writeln!(out, "\n{} threads", self.threads.len() as u64 + self.more[0])?;
        for thread in &self.threads {
            let crashed = if thread.crashed { "  crashed here" } else { "" };
            writeln!(
                out,
                "  {:<8} {:<16} {} of stack{crashed}",
                thread.id,
                safe(&thread.name),
                size(thread.stack_bytes)
            )?;
            for (place, at) in thread.places.iter().enumerate() {
                writeln!(out, "           {} {}", if place == 0 { "at" } else { "  " }, safe(at))?;
            }
            for row in thread.registers.chunks(4) {
                let row: Vec<String> =
                    row.iter().map(|(name, value)| format!("{:>6} {value:016x}", safe(name))).collect();
                writeln!(out, "          {}", row.join(" "))?;
            }
        }
        writeln!(out, "\n{} modules", self.modules.len() as u64 + self.more[1])?;
        for module in &self.modules {
            writeln!(
                out,
                "  {:#018x} {:>10}  {}  version {}  build id {}",
                module.base,
                size(module.size),
                safe(&module.path),
                text(module.version.as_deref()),
                text(module.build_id.as_deref())
            )?;
        }
        let ranges = self.memory.len() as u64 + self.more[2];
        writeln!(out, "\n{} of memory in {ranges} ranges", size(self.memory_bytes))?;
        for range in &self.memory {
            writeln!(out, "  {:#018x} {:>10}  {}", range.start, size(range.len), safe(&range.what))?;
        }
        if !self.left_out.is_empty() {
            let bytes = self.left_out.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len));
            writeln!(out, "\n{} left out on purpose", size(bytes))?;
            for range in &self.left_out {
                writeln!(out, "  {:#018x} {:>10}  {}", range.start, size(range.len), safe(&range.what))?;
            }
        }
        if self.more != [0; 3] {
            let [threads, modules, ranges] = self.more;
            writeln!(
                out,
                "\nnot shown: {threads} threads, {modules} modules, {ranges} ranges of memory more"
            )?;
        }
        Ok(())
    }
}

fn cut(mut text: String) -> String {
    let mut at = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at);
    text
}

fn safe(text: &str) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text.as_bytes(), None);
    out
}

fn text(value: Option<&str>) -> String {
    value.map_or_else(|| "unknown".into(), safe)
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "unknown".into(), |n| n.to_string())
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Writes the summary of a dump.
pub(crate) fn write(kind: Kind, content: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    DumpSummary::read(kind, content)?.write_text(out)
}

#[cfg(test)]
mod tests;
