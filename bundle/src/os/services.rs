//! Services with their state: systemd over D-Bus, or its unit files and control groups without a bus; scripts of System
//! V and `OpenRC`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::bus::Bus;
use super::context::Context;
use super::units::{OWN, SYSTEM, Units, running};
use super::words::{files_in, folders_in, modified, owner, stem, time};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "services",
    title: "Services",
    sections: &[
        ("manager", manager),
        ("units", units),
        ("user_units", user_units),
        ("session_units", session_units),
        ("system_v", system_v),
        ("openrc", openrc),
    ],
    personal: &[
        field("/data/units/*/user", "user"),
        field("/data/units/*/owner", "user"),
        field("/data/units/*/exec_start", "path"),
        field("/data/units/*/path", "path"),
        field("/data/user_units/*/home_of", "user"),
        field("/data/user_units/*/owner", "user"),
        field("/data/user_units/*/user", "user"),
        field("/data/user_units/*/exec_start", "path"),
        field("/data/user_units/*/path", "path"),
        field("/data/session_units/*/description", "path"),
        field("/data/system_v/*/owner", "user"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Program],
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "/org/freedesktop/systemd1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A unit as `ListUnits` gives it: name, description, load, active and sub state, followed unit, object, job.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn manager(context: &Context) -> Value {
    let has_systemd = context.root().has("/run/systemd/system");
    let mut found = json!({
        "init": context.value("/proc/1/comm"),
        "systemd_runs": has_systemd,
        "default_target": context.root().link("/etc/systemd/system/default.target").ok(),
    });
    if !has_systemd {
        return found;
    }
    let Some(bus) = Bus::system(context) else { return found };
    match properties(&bus, MANAGER, "org.freedesktop.systemd1.Manager") {
        Ok(all) => {
            for (ours, theirs) in [
                ("version", "Version"),
                ("state", "SystemState"),
                ("failed_units", "NFailedUnits"),
                ("virtualization", "Virtualization"),
                ("architecture", "Architecture"),
            ] {
                found[ours] = all.get(theirs).map_or(Value::Null, simple);
            }
        }
        Err(e) => context.problem("systemd on the bus", &e),
    }
    found
}

fn properties(bus: &Bus, path: &str, interface: &str) -> Result<HashMap<String, OwnedVariant>, String> {
    bus.call(SYSTEMD, path, PROPERTIES, "GetAll", &interface)
}

/// A simple value as JSON; what is made of parts is left out.
fn simple(value: &OwnedVariant) -> Value {
    match &**value {
        Variant::Bool(v) => json!(v),
        Variant::U8(v) => json!(v),
        Variant::I16(v) => json!(v),
        Variant::U16(v) => json!(v),
        Variant::I32(v) => json!(v),
        Variant::U32(v) => json!(v),
        Variant::I64(v) => json!(v),
        // All ones: not known.
        Variant::U64(v) => json!(Some(*v).filter(|v| *v != u64::MAX)),
        Variant::F64(v) => json!(v),
        Variant::Str(v) => json!(v.as_str()),
        _ => Value::Null,
    }
}

fn list_units(bus: &Bus) -> Result<Vec<Listed>, String> {
    bus.call(SYSTEMD, MANAGER, "org.freedesktop.systemd1.Manager", "ListUnits", &())
}

fn units(context: &Context) -> Value {
    let files = Units::of(context, context.root(), &SYSTEM);
    if files.files.is_empty() {
        context.problem("/usr/lib/systemd/system", "not found: there are no units of systemd");
    }
    let mut all: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (name, unit) in &files.files {
        let mut unit = unit.clone();
        unit["enabled"] = json!(files.state(name, &unit));
        if let Value::Object(unit) = unit {
            all.insert(name.clone(), unit);
        }
    }
    let has_systemd = context.root().has("/run/systemd/system");
    let bus = if has_systemd { Bus::system(context) } else { None };
    match bus.map(|bus| list_units(&bus).map(|listed| (bus, listed))) {
        Some(Ok((bus, listed))) => of_bus(context, &bus, listed, &mut all),
        other => {
            if let Some(Err(e)) = other {
                context.problem("systemd on the bus", &e);
            }
            context.problem("state of units", "systemd does not answer: only what their files say is known");
            for (name, pid) in running(context) {
                let unit = all.entry(name).or_default();
                unit.insert("active".into(), json!("active"));
                unit.insert("main_pid".into(), json!(pid));
            }
        }
    }
    let named = all.into_iter().map(|(name, mut unit)| {
        unit.remove("installable");
        unit.insert("name".into(), json!(name));
        Value::Object(unit)
    });
    Value::Array(named.collect())
}

/// Adds what systemd says of each unit that starts something.
fn of_bus(context: &Context, bus: &Bus, listed: Vec<Listed>, all: &mut BTreeMap<String, Map<String, Value>>) {
    let enabled: Result<Vec<(String, String)>, String> =
        bus.call(SYSTEMD, MANAGER, "org.freedesktop.systemd1.Manager", "ListUnitFiles", &());
    match enabled {
        Ok(enabled) => {
            for (path, state) in enabled {
                if let Some(unit) = all.get_mut(stem(&path, "")) {
                    unit.insert("enabled".into(), json!(state));
                }
            }
        }
        Err(e) => context.problem("unit files on the bus", &e),
    }
    let starts = |name: &str| [".service", ".timer", ".socket", ".path"].iter().any(|t| name.ends_with(t));
    let listed: Vec<Listed> = listed.into_iter().filter(|l| starts(&l.0) || l.3 == "failed").collect();
    for (name, description, load, active, sub, _, object, ..) in context.in_time("units", listed) {
        let unit = all.entry(name.clone()).or_default();
        unit.insert("description".into(), json!(description));
        unit.insert("load".into(), json!(load));
        unit.insert("active".into(), json!(active));
        unit.insert("sub".into(), json!(sub));
        if active == "inactive" {
            continue;
        }
        let (interface, wanted): (_, &[(&str, &str)]) = if name.ends_with(".service") {
            (
                "org.freedesktop.systemd1.Service",
                &[
                    ("main_pid", "MainPID"),
                    ("restarts", "NRestarts"),
                    ("last_exit_status", "ExecMainStatus"),
                    ("last_exit_code", "ExecMainCode"),
                    ("result", "Result"),
                    ("memory_bytes", "MemoryCurrent"),
                    ("tasks", "TasksCurrent"),
                    ("user", "User"),
                ],
            )
        } else if name.ends_with(".timer") {
            ("org.freedesktop.systemd1.Timer", &[("result", "Result")])
        } else {
            continue;
        };
        let Ok(properties) = properties(bus, object.as_str(), interface) else { continue };
        for (ours, theirs) in wanted {
            let value = properties.get(*theirs).map_or(Value::Null, simple);
            if !value.is_null() && value != "" {
                unit.insert((*ours).into(), value);
            }
        }
        // Times of the bus are in microseconds since 1970, 0 for never.
        for (ours, theirs) in [
            ("started_at", "ExecMainStartTimestamp"),
            ("exited_at", "ExecMainExitTimestamp"),
            ("next_run", "NextElapseUSecRealtime"),
            ("last_run", "LastTriggerUSec"),
        ] {
            let at = properties.get(theirs).and_then(|value| simple(value).as_u64()).filter(|at| *at != 0);
            if let Some(at) = at.and_then(|at| i64::try_from(at / 1_000_000).ok()).and_then(time) {
                unit.insert(ours.into(), json!(at));
            }
        }
    }
}

/// Units in the homes of users.
fn user_units(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        let files = Units::of(context, &home.tree, &OWN);
        for (name, unit) in &files.files {
            let mut unit = unit.clone();
            unit["enabled"] = json!(files.state(name, &unit));
            unit["name"] = json!(name);
            unit["home_of"] = json!(home.user);
            all.push(unit);
        }
    }
    json!(all)
}

/// What the manager of the user's own session runs.
fn session_units(context: &Context) -> Value {
    let Some(bus) = Bus::session(context) else { return Value::Null };
    match list_units(&bus) {
        Ok(listed) => {
            let services = listed
                .into_iter()
                .filter(|l| l.0.ends_with(".service"))
                .map(|l| json!({"name": l.0, "description": l.1, "load": l.2, "active": l.3, "sub": l.4}));
            json!(services.collect::<Vec<_>>())
        }
        Err(e) => {
            context.problem("systemd of your session", &e);
            Value::Null
        }
    }
}

/// Scripts of System V: in which run levels each is started.
fn system_v(context: &Context) -> Value {
    let mut levels: BTreeMap<String, Vec<char>> = BTreeMap::new();
    for level in "0123456S".chars() {
        let folder = [format!("/etc/rc{level}.d"), format!("/etc/rc.d/rc{level}.d")];
        for entry in folder.iter().flat_map(|folder| context.list(folder)) {
            // `S01name`
            let name = entry.name.strip_prefix('S').and_then(|rest| rest.get(2..));
            if let Some(name) = name {
                levels.entry(name.to_owned()).or_default().push(level);
            }
        }
    }
    let scripts = files_in(context, context.root(), "/etc/init.d", "");
    let all = context.in_time("scripts", scripts).filter_map(|path| {
        let name = stem(&path, "").to_owned();
        let stat = context.root().stat_target(&path).ok()?;
        if name == "README" || stat.st_mode & 0o111 == 0 {
            return None;
        }
        let levels: String = levels.get(&name).map(|l| l.iter().collect()).unwrap_or_default();
        let pid = ["/run", "/var/run"].iter().find_map(|run| context.number(&format!("{run}/{name}.pid")));
        let runs = pid.map(|pid| context.root().has(&format!("/proc/{pid}")));
        Some(json!({
            "name": name,
            "started_in_levels": levels,
            "pid": pid,
            "runs": runs,
            "modified": modified(&stat),
            "owner": owner(context, &stat),
        }))
    });
    json!(all.collect::<Vec<_>>())
}

/// Services of `OpenRC`: in which run level, and whether started.
fn openrc(context: &Context) -> Value {
    if !context.root().has("/run/openrc") && !context.root().has("/etc/runlevels") {
        return Value::Null;
    }
    let started: Vec<String> = context.list("/run/openrc/started").into_iter().map(|e| e.name).collect();
    let mut all = Vec::new();
    for level in folders_in(context, context.root(), "/etc/runlevels") {
        for entry in context.list(&format!("/etc/runlevels/{level}")) {
            let is_started = started.contains(&entry.name);
            all.push(json!({"name": entry.name, "level": level, "started": is_started}));
        }
    }
    json!(all)
}
