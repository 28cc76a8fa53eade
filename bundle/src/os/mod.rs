//! Operating-system information: what support needs to know of the computer, read from where the system keeps it.
//!
//! There is one document for each [`Group`]; docs/os-information.md describes them. A group has sections, each of a
//! collector of its own: on its own thread, for a limited time, with soft errors that are kept in the document. No
//! program is started but `rpm`, whose database has no other stable form; no device, pipe or socket file is opened, no link
//! is followed where a user could have planted it. What only root may see is left out, and said.

mod autostart;
mod browser_extensions;
mod bus;
#[cfg(test)]
mod bus_tests;
mod chromium;
mod clients;
mod context;
mod cups;
mod dconf;
mod document;
mod downloads;
mod drivers;
mod file_manager;
mod firefox;
mod hardware;
mod hosts;
mod ini;
mod kernel;
mod packages;
mod panels;
mod printing;
mod program;
pub mod readable;
mod run;
mod services;
mod settings;
mod sockets;
mod system;
mod tree;
mod units;
mod updates;
mod users;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use context::Problem;
pub use document::{Cut, Document, FORMAT, PersonalField, RanAs};

use context::{Context, System};
use run::{Collect, Job, Times};
use tree::Tree;
use users::Users;

use crate::member::{Kind, MemberInfo, MemberName, Personal, Sink, Skipped, Source};

/// A group of collectors, which gives one document.
#[derive(Debug)]
pub struct Group {
    /// Its name: `hardware`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its sections: the top-level fields of `data`.
    sections: &'static [(&'static str, Collect)],
    /// What is personal in it.
    personal: &'static [PersonalField],
    /// The kinds of personal data that it can hold.
    pub holds: &'static [Personal],
}

impl Group {
    /// The names of its sections.
    pub fn sections(&self) -> impl Iterator<Item = &'static str> {
        self.sections.iter().map(|(name, _)| *name)
    }

    /// What is personal in its documents.
    pub fn personal_fields(&self) -> impl Iterator<Item = PersonalField> {
        COMMON.iter().chain(self.personal).copied()
    }
}

/// A personal field.
const fn field(path: &'static str, kind: &'static str) -> PersonalField {
    PersonalField { path, kind }
}

/// Personal in every document.
const COMMON: &[PersonalField] = &[
    field("/ran_as/uid", "user-id"),
    field("/ran_as/user", "user"),
    field("/errors/*/what", "path"),
    field("/errors/*/why", "path"),
];

/// Every group, in the order in which they are shown.
pub const GROUPS: [&Group; 17] = [
    &system::GROUP,
    &hardware::GROUP,
    &packages::GROUP,
    &updates::GROUP,
    &kernel::GROUP,
    &drivers::GROUP,
    &services::GROUP,
    &clients::GROUP,
    &browser_extensions::GROUP,
    &printing::GROUP,
    &file_manager::GROUP,
    &downloads::GROUP,
    &autostart::GROUP,
    &panels::GROUP,
    &hosts::GROUP,
    &settings::GROUP,
    &sockets::GROUP,
];

/// The group of a name.
#[must_use]
pub fn group(name: &str) -> Option<&'static Group> {
    GROUPS.into_iter().find(|group| group.name == name)
}

/// How it is collected.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the system: `/`.
    pub root: PathBuf,
    /// The product's name, whose settings are looked at.
    pub product: Option<String>,
    /// Which groups; empty: all.
    pub only: Vec<&'static Group>,
    /// How long each collector may take.
    pub each: Duration,
    /// How long all of them may take.
    pub all: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root: "/".into(),
            product: None,
            only: Vec::new(),
            each: Duration::from_secs(3),
            all: Duration::from_secs(30),
        }
    }
}

/// Collects. `tell` is called with the name of each group that is done.
///
/// # Errors
/// If the root itself cannot be looked at.
pub fn collect(options: &Options, mut tell: impl FnMut(&'static str)) -> io::Result<Vec<Document>> {
    let is_real = options.root == Path::new("/");
    let root = Tree::root(&options.root)?;
    let users = Users::of(&root, is_real);
    let uid = rustix::process::geteuid().as_raw();
    let ran_as = RanAs { uid, user: users.name(uid).map(str::to_owned) };
    let system = Arc::new(System { root, users, is_real, product: options.product.clone() });
    let groups: Vec<&Group> =
        GROUPS.into_iter().filter(|g| options.only.is_empty() || is_among(g, &options.only)).collect();
    let collected_at = jiff::Timestamp::now().to_string();
    let mut documents: Vec<Document> = groups
        .iter()
        .map(|group| Document {
            format: FORMAT,
            group: group.name,
            collected_at: collected_at.clone(),
            took_ms: 0,
            ran_as: ran_as.clone(),
            personal_fields: group.personal_fields().collect(),
            errors: Vec::new(),
            cut: Vec::new(),
            data: serde_json::Map::new(),
        })
        .collect();
    // Which group and section each job is of.
    let (mut of, mut jobs) = (Vec::new(), Vec::new());
    for (place, group) in groups.iter().enumerate() {
        for (section, collect) in group.sections {
            of.push((place, *section));
            jobs.push(Job { collect: *collect, context: Context::new(Arc::clone(&system), section) });
        }
    }
    let mut left: Vec<usize> = groups.iter().map(|g| g.sections.len()).collect();
    let times = Times { each: options.each, all: options.all };
    let outcomes = run::run(jobs, times, |job| {
        if let Some((place, _)) = of.get(job)
            && let (Some(left), Some(group)) = (left.get_mut(*place), groups.get(*place))
        {
            *left -= 1;
            if *left == 0 {
                tell(group.name);
            }
        }
    });
    for ((place, section), outcome) in of.iter().zip(outcomes) {
        let Some(document) = documents.get_mut(*place) else { continue };
        document.took_ms += outcome.took.as_millis() as u64;
        document.errors.extend(outcome.problems);
        if let Some(value) = outcome.value {
            document.add(section, value);
        }
    }
    Ok(documents)
}

fn is_among(group: &Group, only: &[&Group]) -> bool {
    only.iter().any(|o| o.name == group.name)
}

/// Gives the documents as `os/GROUP.json`.
#[derive(Debug)]
pub struct OperatingSystem {
    options: Options,
}

impl OperatingSystem {
    /// Collected so.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Source for OperatingSystem {
    fn label(&self) -> String {
        "operating-system information".into()
    }

    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let documents = match collect(&self.options, |_| ()) {
            Ok(documents) => documents,
            Err(e) => {
                sink.skip(Skipped { what: self.label(), why: e.to_string() });
                return Ok(());
            }
        };
        for document in documents {
            let Some(group) = group(document.group) else { continue };
            let info = MemberInfo {
                name: MemberName::new(format!("os/{}.json", group.name)).map_err(io::Error::other)?,
                kind: Kind::OsInformation,
                origin: format!("collector {}: {}", group.name, group.title),
                personal: group.holds.iter().map(|kind| (*kind, 0)).collect::<BTreeMap<_, _>>(),
            };
            let text = serde_json::to_vec_pretty(&document)?;
            sink.member(info, &mut text.as_slice())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
