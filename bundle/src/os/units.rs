//! Unit files of systemd, read where they lie: what each starts, as whom, and whether it is enabled.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::tree::{EntryKind, Tree};
use super::words::{folders_in, modified, owner};

/// Where the system's units lie; what comes first wins.
pub(super) const SYSTEM: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where units lie that every user has.
pub(super) const ALL_USERS: [&str; 3] =
    ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];
/// Where a user's own lie, from their home.
pub(super) const OWN: [&str; 2] = [".config/systemd/user", ".local/share/systemd/user"];
/// Longest unit file that is looked at.
const MAX_UNIT: u64 = 64 << 10;
/// The types of units that start something.
const TYPES: [&str; 4] = [".service", ".timer", ".socket", ".path"];

/// What is in folders of units.
#[derive(Debug, Default)]
pub(super) struct Units {
    pub(super) files: BTreeMap<String, Value>,
    /// Names that a target wants or requires.
    pub(super) enabled: BTreeMap<String, BTreeSet<String>>,
}

impl Units {
    /// Reads folders.
    pub(super) fn of(context: &Context, tree: &Tree, folders: &[&str]) -> Self {
        let mut units = Self::default();
        let mut drop_ins: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for folder in folders {
            // `/lib` is a link to `/usr/lib` nearly everywhere.
            if *folder == "/lib/systemd/system" && tree.link("/lib").is_ok() {
                continue;
            }
            let entries = context.list_of(tree, folder);
            for entry in context.in_time(folder, entries) {
                let path = format!("{folder}/{}", entry.name);
                if entry.kind == EntryKind::Folder {
                    units.folder(context, tree, &path, &entry.name, &mut drop_ins);
                } else if TYPES.iter().any(|t| entry.name.ends_with(t))
                    && !units.files.contains_key(&entry.name)
                {
                    let unit = unit(context, tree, &path, entry.kind);
                    units.files.insert(entry.name, unit);
                }
            }
        }
        for (name, paths) in drop_ins {
            if let Some(Value::Object(unit)) = units.files.get_mut(&name) {
                unit.insert("drop_ins".into(), json!(paths));
            }
        }
        for (name, unit) in &mut units.files {
            if let (Some(by), Value::Object(unit)) = (units.enabled.get(name), unit) {
                unit.insert("wanted_by".into(), json!(by));
            }
        }
        units
    }

    /// `x.wants` and `x.requires` say what is enabled, `x.d` holds changes.
    fn folder(
        &mut self,
        context: &Context,
        tree: &Tree,
        path: &str,
        name: &str,
        drop_ins: &mut BTreeMap<String, Vec<String>>,
    ) {
        if let Some(of) = name.strip_suffix(".d") {
            let files = context.list_of(tree, path).into_iter().filter(|e| e.name.ends_with(".conf"));
            let paths = files.map(|e| tree.shown(&format!("{path}/{}", e.name)));
            drop_ins.entry(of.to_owned()).or_default().extend(paths);
        } else if let Some(by) = name.strip_suffix(".wants").or_else(|| name.strip_suffix(".requires")) {
            for entry in context.list_of(tree, path) {
                self.enabled.entry(entry.name).or_default().insert(by.to_owned());
            }
        }
    }

    /// Whether a unit is enabled, as its files say.
    pub(super) fn state(&self, name: &str, unit: &Value) -> &'static str {
        if unit["masked"] == true {
            "masked"
        } else if self.enabled.contains_key(name) {
            "enabled"
        } else if unit["installable"] == true {
            "disabled"
        } else {
            "static"
        }
    }
}

fn unit(context: &Context, tree: &Tree, path: &str, kind: EntryKind) -> Value {
    let shown = tree.shown(path);
    let target = (kind == EntryKind::Link).then(|| tree.link(path).ok()).flatten();
    if target.as_deref() == Some("/dev/null") {
        return json!({"path": shown, "masked": true});
    }
    let Some(content) = context.read(tree, path, MAX_UNIT) else {
        return json!({"path": shown, "link": target});
    };
    let text = String::from_utf8_lossy(&content.bytes);
    let ini = Ini::parse(&text);
    let get = |section: &str, key: &str| ini.get(section, key).map(str::to_owned);
    let all = |section: &str, keys: &[&str]| {
        let found = keys.iter().flat_map(|key| ini.all(section, key).map(move |v| format!("{key}={v}")));
        Some(found.collect::<Vec<_>>()).filter(|found| !found.is_empty())
    };
    let exec: Vec<&str> = ini.all("Service", "ExecStart").filter(|v| !v.is_empty()).collect();
    json!({
        "path": shown,
        "link": target,
        "description": get("Unit", "Description"),
        "exec_start": (!exec.is_empty()).then_some(exec),
        "user": get("Service", "User"),
        "type": get("Service", "Type"),
        "restart": get("Service", "Restart"),
        "schedule": all("Timer", &["OnCalendar", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnActiveSec"]),
        "listens": all("Socket", &["ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO"]),
        "installable": ini.section("Install").next().is_some(),
        "modified": modified(&content.stat),
        "owner": owner(context, &content.stat),
    })
}

/// Services that run according to their control groups: without a bus, this says so.
pub(super) fn running(context: &Context) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for top in ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice"] {
        for name in folders_in(context, context.root(), top) {
            let processes = context.value(&format!("{top}/{name}/cgroup.procs"));
            if let Some(first) = processes.and_then(|text| text.lines().next()?.parse().ok()) {
                all.insert(name, first);
            }
        }
    }
    all
}
