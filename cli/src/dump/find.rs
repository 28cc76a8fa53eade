//! The processes of a component, as `status` finds them: attached to the control page, or the owners of live rings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tracewell_dump::{Crash, Request, start_ticks};

use crate::elsewhere;
use crate::explain::why_missing;
use crate::output::{Failure, safe};
use crate::place::Place;
use crate::rings::Rings;

/// A process to dump.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) pid: u32,
    /// With the number, its identity.
    started: Option<u64>,
    pub(crate) component: Option<String>,
    rings: Vec<PathBuf>,
}

impl Found {
    /// The process with this number, and the name under which it is attached here, if it is.
    pub(crate) fn of_pid(place: &Place, pid: u32, name: Option<&str>) -> Result<Self, Failure> {
        let (all, rings) = components(place)?;
        let known = all.get(&pid).cloned();
        if let Some(name) = name
            && known.as_deref() != Some(name)
        {
            let is = known.map_or_else(
                || "is no component of this trace directory".into(),
                |known| format!("is component {}", safe(known)),
            );
            return Err(Failure::new(format!(
                "process {pid} {is}, not {name}; leave out --component or --pid"
            )));
        }
        Ok(Self { pid, started: start_ticks(pid), component: known, rings })
    }

    pub(crate) fn request(&self, crash: Option<Crash>) -> Request {
        Request {
            pid: self.pid,
            started: self.started,
            component: self.component.clone(),
            rings: self.rings.clone(),
            crash,
        }
    }

    /// The component, or the program.
    pub(crate) fn name(&self) -> String {
        self.component.clone().unwrap_or_else(|| program(self.pid))
    }

    /// What tells it from others of its name.
    pub(crate) fn describe(&self) -> String {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let line: Vec<u8> = line.into_iter().take(200).map(|b| if b == 0 { b' ' } else { b }).collect();
        safe(String::from_utf8_lossy(&line).trim_end())
    }
}

/// The name of a process's program.
fn program(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Every place below which rings of this user's may lie: those of this trace directory, and the ones above, which only
/// Tracewell uses.
pub(crate) fn ring_places(rings: &Rings) -> Vec<PathBuf> {
    let mut all = rings.roots.clone();
    all.extend(rings.refused.iter().map(|(path, _)| path.clone()));
    let above = |root: &PathBuf| {
        let parent = root.parent()?;
        parent.file_name()?.to_str()?.starts_with("tracewell").then(|| parent.to_owned())
    };
    let parents: Vec<PathBuf> = all.iter().filter_map(above).collect();
    all.extend(parents);
    all.sort();
    all.dedup();
    all
}

/// Number and name of everything that is attached to this trace directory or has live rings of it.
fn components(place: &Place) -> Result<(BTreeMap<u32, String>, Vec<PathBuf>), Failure> {
    let control = place.look()?;
    let rings = Rings::find(&place.dirs);
    let mut all = BTreeMap::new();
    for folder in rings.folders.iter().filter(|f| f.is_alive) {
        if let Some(identity) = &folder.identity
            && start_ticks(identity.pid) == Some(identity.start_ticks)
        {
            all.insert(identity.pid, identity.component.clone());
        }
    }
    for attached in control.iter().flat_map(|control| control.status().attached) {
        if !attached.component.is_empty() {
            all.insert(attached.pid, attached.component);
        }
    }
    Ok((all, ring_places(&rings)))
}

/// All processes of a component.
pub(crate) fn by_name(place: &Place, name: &str) -> Result<Vec<Found>, Failure> {
    let (all, rings) = components(place)?;
    let of = all.into_iter().filter(|(_, component)| component == name);
    Ok(of
        .map(|(pid, component)| Found {
            pid,
            started: start_ticks(pid),
            component: Some(component),
            rings: rings.clone(),
        })
        .filter(|found| found.started.is_some())
        .collect())
}

/// Why there is none.
pub(crate) fn missing(place: &Place, name: &str) -> String {
    let (_, why) = why_missing(name, &elsewhere::find(&place.dirs));
    format!("component {name} cannot be dumped: {why}; `tracewell status` shows which components run")
}
