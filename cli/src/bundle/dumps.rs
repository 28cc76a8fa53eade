//! Memory dumps for a bundle: taken as they are put into it, so that there is no file of them. What a crash left in the
//! dumps of this computer is given too.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tracewell_bundle::dumps::{DumpFile, DumpKind, DumpReason};
use tracewell_bundle::{Kind, MemberInfo, MemberName, Personal, Sink, Skipped, Source};

use crate::dump::find::{self, Found};
use crate::output::{Failure, note};
use crate::place::Place;

/// The dumps that were asked for.
pub(super) struct Dumps<'a> {
    place: &'a Place,
    /// Component, and whether all of its memory.
    asked: Vec<(String, bool)>,
    number: u32,
}

impl<'a> Dumps<'a> {
    pub(super) fn new(place: &'a Place, mini: &[String], full: &[String]) -> Self {
        let mini = mini.iter().map(|name| (name.clone(), false));
        let asked = mini.chain(full.iter().map(|name| (name.clone(), true))).collect();
        Self { place, asked, number: 0 }
    }

    fn info(&mut self, kind: Kind, origin: String) -> io::Result<MemberInfo> {
        self.number += 1;
        let end = if kind == Kind::Core { "core" } else { "dmp" };
        Ok(MemberInfo {
            name: MemberName::new(format!("dump/{:04}.{end}", self.number)).map_err(io::Error::other)?,
            kind,
            origin,
            personal: BTreeMap::from([(Personal::Memory, 0)]),
        })
    }

    fn mini(&mut self, found: &Found, sink: &mut dyn Sink) -> io::Result<()> {
        let what = format!("a minidump of {}, process {}", found.name(), found.pid);
        match tracewell_dump::minidump(&found.request(None)) {
            Ok((bytes, report)) => {
                let stopped = crate::dump::millis(report.stopped);
                note(&format!("  {what}: stopped for {stopped}"));
                let info = self.info(Kind::Minidump, format!("{what}, stopped for {stopped}"))?;
                sink.member(info, &mut bytes.as_slice())
            }
            Err(e) => {
                sink.skip(Skipped { what, why: e.to_string() });
                Ok(())
            }
        }
    }

    fn full(&mut self, found: &Found, sink: &mut dyn Sink) -> io::Result<()> {
        let what = format!("the whole memory of {}, process {}", found.name(), found.pid);
        let mut core = match tracewell_dump::core(&found.request(None)) {
            Ok(core) => core,
            Err(e) => {
                sink.skip(Skipped { what, why: e.to_string() });
                return Ok(());
            }
        };
        let info = self.info(Kind::Core, what.clone())?;
        let name = info.name.to_string();
        sink.member(info, &mut core)?;
        match core.finish() {
            Ok(report) => note(&format!("  {what}: stopped for {}", crate::dump::millis(report.stopped))),
            // What is there may still help.
            Err(e) => sink.skip(Skipped { what: format!("the rest of {name} ({what})"), why: e.to_string() }),
        }
        Ok(())
    }

    /// What a crash left.
    fn crashes(&mut self, name: &str, sink: &mut dyn Sink) -> io::Result<usize> {
        let dumps = tracewell_bundle::dumps::Dumps::new(self.place.dirs.base());
        let own = tracewell_bundle::dumps::safe_component(name);
        let is_wanted = |dump: &DumpFile| dump.reason == DumpReason::Crash && dump.component == own;
        let all: Vec<DumpFile> = match dumps.list() {
            Ok(all) => {
                all.into_iter().filter(|dump| is_wanted(dump) && dump.kind == DumpKind::Mini).collect()
            }
            Err(e) => {
                sink.skip(Skipped { what: dumps.path().display().to_string(), why: e.to_string() });
                return Ok(0);
            }
        };
        for dump in &all {
            let what = format!("a minidump that a crash of {name} left, process {}, {}", dump.pid, dump.at);
            match dumps.open(dump) {
                Ok(file) => {
                    let info = self.info(Kind::Minidump, what)?;
                    sink.member(info, &mut file.take(dump.len))?;
                }
                Err(e) => sink.skip(Skipped { what, why: e.to_string() }),
            }
        }
        Ok(all.len())
    }
}

impl Source for Dumps<'_> {
    fn label(&self) -> String {
        "memory dumps".into()
    }

    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        for (name, is_full) in self.asked.clone() {
            let crashes = if is_full { 0 } else { self.crashes(&name, sink)? };
            let found = find::by_name(self.place, &name).unwrap_or_else(|e| {
                let why = match e {
                    Failure::Message(lines) => lines.join(" "),
                    Failure::Pipe => "nobody listens".into(),
                };
                sink.skip(Skipped { what: format!("the memory of {name}"), why });
                Vec::new()
            });
            if found.is_empty() && crashes == 0 {
                let what = if is_full { "the whole memory" } else { "a minidump" };
                let why = find::missing(self.place, &name);
                sink.skip(Skipped { what: format!("{what} of {name}"), why });
            }
            for found in &found {
                if is_full { self.full(found, sink)? } else { self.mini(found, sink)? }
            }
        }
        Ok(())
    }
}
