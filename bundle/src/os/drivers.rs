//! Drivers: modules of the kernel with version, signature state and users, and which device each driver drives.

use std::collections::HashMap;

use procfs::{FromRead, KernelModules};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::hardware::table;
use super::tree::EntryKind;
use super::words::{files_in, folders_in};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "drivers",
    title: "Drivers",
    sections: &[("modules", modules), ("bus_drivers", bus_drivers), ("dkms", dkms), ("settings", settings)],
    personal: &[
        field("/data/modules/*/version", "public"),
        field("/data/modules/*/parameters/*", "path"),
        field("/data/settings/*/lines/*", "path"),
    ],
    holds: &[Personal::Path],
};

/// Most parameters of a module that are looked at.
const MAX_PARAMETERS: usize = 100;

fn modules(context: &Context) -> Value {
    let loaded = table(context, context.root(), "/proc/modules", |b| KernelModules::from_read(b));
    let known = context.list("/sys/module");
    if loaded.is_none() {
        context
            .problem("/proc/modules", "not found: the kernel loads no modules; what is built in is listed");
    }
    if known.is_empty() {
        context.problem("/sys/module", "not found");
    }
    let mut loaded: HashMap<String, _> = loaded.map(|m| m.0).unwrap_or_default();
    let files = file_names(context);
    let mut all = Vec::new();
    for entry in context.in_time("modules", known) {
        let module = format!("/sys/module/{}", entry.name);
        let state = loaded.remove(&entry.name);
        all.push(json!({
            "name": entry.name,
            "built_in": state.is_none(),
            "state": state.as_ref().map(|m| m.state.clone()),
            "size": state.as_ref().map(|m| m.size),
            "references": state.as_ref().map(|m| m.refcount),
            "used_by": state.as_ref().map(|m| m.used_by.clone()),
            "version": context.value(&format!("{module}/version")),
            "source_version": context.value(&format!("{module}/srcversion")),
            // P proprietary, O from outside the kernel, E unsigned, F by force, C staging.
            "taint": context.value(&format!("{module}/taint")),
            "file": state.is_some().then(|| files.get(&entry.name).cloned()),
            "parameters": parameters(context, &module),
        }));
    }
    // In `/proc/modules`, and gone from `/sys/module` meanwhile.
    let mut rest: Vec<_> = loaded.into_values().collect();
    rest.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    all.extend(rest.into_iter().map(|m| {
        json!({"name": m.name, "built_in": false, "state": m.state, "size": m.size,
            "references": m.refcount, "used_by": m.used_by})
    }));
    json!(all)
}

fn parameters(context: &Context, module: &str) -> Value {
    let folder = format!("{module}/parameters");
    let Ok((entries, _)) = context.root().list(&folder) else { return Value::Null };
    let mut all = Map::new();
    for entry in entries.into_iter().filter(|e| e.kind == EntryKind::File).take(MAX_PARAMETERS) {
        // Many can be read by root alone, or by nobody: no problem of ours.
        if let Ok(content) = context.root().read(&format!("{folder}/{}", entry.name), 512) {
            all.insert(entry.name, json!(String::from_utf8_lossy(&content.bytes).trim()));
        }
    }
    if all.is_empty() { Value::Null } else { Value::Object(all) }
}

/// Where the file of each module of the running kernel lies, as `kernel/fs/ext4/ext4.ko.zst`.
fn file_names(context: &Context) -> HashMap<String, String> {
    let Some(release) = context.value("/proc/sys/kernel/osrelease") else { return HashMap::new() };
    let path = format!("/lib/modules/{release}/modules.dep");
    let Some(content) = context.read(context.root(), &path, 8 << 20) else { return HashMap::new() };
    String::from_utf8_lossy(&content.bytes)
        .lines()
        .filter_map(|line| {
            let file = line.split(':').next()?;
            let name = file.rsplit('/').next()?.split(".ko").next()?;
            Some((name.replace('-', "_"), file.to_owned()))
        })
        .collect()
}

/// The drivers of each bus that drive something.
fn bus_drivers(context: &Context) -> Value {
    let buses = folders_in(context, context.root(), "/sys/bus");
    if buses.is_empty() {
        context.problem("/sys/bus", "not found");
    }
    let mut all = Vec::new();
    for bus in context.in_time("buses", buses) {
        let drivers = format!("/sys/bus/{bus}/drivers");
        for name in folders_in(context, context.root(), &drivers) {
            let driver = format!("{drivers}/{name}");
            let entries = context.root().list(&driver).map(|(entries, _)| entries).unwrap_or_default();
            // What a driver drives is there as a link, beside the one to its module.
            let devices: Vec<String> = entries
                .into_iter()
                .filter(|e| e.kind == EntryKind::Link && e.name != "module")
                .map(|e| e.name)
                .take(64)
                .collect();
            if !devices.is_empty() {
                let module = context.root().link(&format!("{driver}/module")).ok();
                let module = module.and_then(|to| to.rsplit('/').next().map(str::to_owned));
                all.push(json!({"bus": bus, "name": name, "module": module, "devices": devices}));
            }
        }
    }
    json!(all)
}

/// Drivers that are built on this computer from sources.
fn dkms(context: &Context) -> Value {
    let dkms = "/var/lib/dkms";
    let mut all = Vec::new();
    for name in folders_in(context, context.root(), dkms) {
        for version in folders_in(context, context.root(), &format!("{dkms}/{name}")) {
            let kernels = folders_in(context, context.root(), &format!("{dkms}/{name}/{version}"));
            let kernels: Vec<_> = kernels.into_iter().filter(|k| k != "build" && k != "source").collect();
            all.push(json!({"name": name, "version": version, "kernels": kernels}));
        }
    }
    json!(all)
}

/// What is set about loading modules: blacklists, options, what is loaded at boot.
fn settings(context: &Context) -> Value {
    let folders =
        ["/etc/modprobe.d", "/etc/modules-load.d", "/usr/lib/modprobe.d", "/usr/lib/modules-load.d"];
    let mut paths: Vec<String> =
        folders.iter().flat_map(|folder| files_in(context, context.root(), folder, ".conf")).collect();
    paths.push("/etc/modules".into());
    let all = context.in_time("settings of modules", paths).filter_map(|path| {
        let text = context.text(&path)?;
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).take(200).collect();
        (!lines.is_empty()).then(|| json!({"path": path, "lines": lines}))
    });
    json!(all.collect::<Vec<_>>())
}
