//! What of the sensor's work the levels let through: `watch` says which of its sources record nothing, and how to change
//! that.

use std::collections::BTreeMap;

use tracewell::{Category, Level};
use tracewell_schema::{SchemaRef, catalog};

use crate::explain::level_name;

/// What the sensor sees, and the events that tell it.
const SOURCES: [(&str, &[&str]); 5] = [
    ("program launches", &["process.start", "process.exit"]),
    ("loaded modules", &["module.load", "module.image"]),
    ("network connections", &["network.connection"]),
    ("downloads", &["download.started", "download.finished"]),
    ("detections", &["detection.object"]),
];

fn events(names: &[&str]) -> Vec<&'static SchemaRef> {
    catalog::all().into_iter().filter(|s| names.contains(&s.name)).collect()
}

/// What is off at these levels, in words, and the command that records it too; `None` if nothing is off.
pub(crate) fn missing(levels: &[u8; 32], dir_option: &str) -> Option<(String, String)> {
    let mut needed = *levels;
    let mut parts = Vec::new();
    for (what, names) in SOURCES {
        let off: Vec<_> =
            events(names).into_iter().filter(|e| levels[e.category as usize] < e.level as u8).collect();
        let Some(first) = off.first() else { continue };
        let at = level_name(levels[first.category as usize]);
        let wanted = off.iter().map(|e| e.level).max().unwrap_or(Level::Info);
        parts.push(format!(
            "{what} ({} of level {}, {} is {})",
            if off.len() == 1 { off[0].name } else { "they are" },
            wanted.name(),
            first.category.name(),
            if at == "off" { "off".to_owned() } else { format!("at {at}") },
        ));
        for event in off {
            let level = &mut needed[event.category as usize];
            *level = (*level).max(event.level as u8);
        }
    }
    (!parts.is_empty()).then(|| (parts.join(", "), command(&needed, dir_option)))
}

/// The command that enables exactly these levels.
fn command(levels: &[u8; 32], dir_option: &str) -> String {
    let of = |c: &Category| levels[*c as usize];
    let mut counts = BTreeMap::new();
    for category in Category::ALL.iter().filter(|c| **c != Category::Audit) {
        *counts.entry(of(category)).or_insert(0) += 1;
    }
    let most = counts.iter().max_by_key(|(_, n)| **n).map_or(0, |(level, _)| *level);
    // `all` is what is not said; without it the categories that are not named are off.
    let mut parts = Vec::new();
    if most != 0 {
        parts.push(format!("all={}", level_name(most)));
    }
    let others = Category::ALL.iter().filter(|c| **c != Category::Audit && of(c) != most);
    parts.extend(others.map(|c| format!("{}={}", c.name(), level_name(of(c)))));
    format!("tracewell enable{dir_option} --category {}", parts.join(","))
}

/// The command that records everything that the sensor sees, if tracing is off.
pub(crate) fn command_for_everything(dir_option: &str) -> String {
    let (_, command) = missing(&[Level::Info as u8; 32], dir_option).unwrap_or_default();
    if command.is_empty() { format!("tracewell enable{dir_option}") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_the_sensor_is_in_the_catalog() {
        for (what, names) in SOURCES {
            assert_eq!(events(names).len(), names.len(), "{what}");
        }
    }

    #[test]
    fn what_is_off_and_the_command_that_turns_it_on() {
        let (what, command) = missing(&[3; 32], "").unwrap();
        assert!(
            what.contains("network connections")
                && what.contains("loaded modules")
                && what.contains("at info"),
            "{what}"
        );
        assert!(!what.contains("launches") && !what.contains("downloads"), "{what}");
        assert_eq!(command, "tracewell enable --category all=info,module=debug,network=debug");
        assert_eq!(missing(&[4; 32], ""), None);
        let mut levels = [0; 32];
        levels[Category::Process as usize] = 4;
        let (what, command) = missing(&levels, " --dir /x").unwrap();
        assert!(what.contains("downloads") && what.contains("download is off"), "{what}");
        assert_eq!(
            command,
            "tracewell enable --dir /x --category detection=warn,download=info,process=debug,module=debug,network=debug"
        );
    }
}
