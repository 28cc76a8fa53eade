//! Updates: what was installed lately, whether some wait, whether a restart does.

use serde_json::{Value, json};

use super::Group;
use super::context::Context;
use super::field;
use super::words::modified;
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "updates",
    title: "Updates",
    sections: &[("state", state), ("history", history), ("automatic", automatic)],
    personal: &[field("/data/history/*/version", "public"), field("/data/history/*/before", "public")],
    holds: &[Personal::Program],
};

/// Most entries of the history: the newest.
const MAX_HISTORY: usize = 1000;
/// How much of the end of a log is looked at.
const MAX_LOG: u64 = 8 << 20;

fn state(context: &Context) -> Value {
    let changed = |path: &str| context.root().stat_target(path).ok().and_then(|stat| modified(&stat));
    let waits_for =
        context.value("/run/reboot-required.pkgs").or_else(|| context.value("/var/run/reboot-required.pkgs"));
    let waits_for: Vec<String> =
        waits_for.map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default();
    json!({
        "reboot_required": context.root().has("/run/reboot-required"),
        "reboot_required_by": waits_for,
        "available": context.value("/var/lib/update-notifier/updates-available"),
        "lists_updated_at": changed("/var/lib/apt/periodic/update-success-stamp")
            .or_else(|| changed("/var/lib/apt/lists/partial"))
            .or_else(|| changed("/var/cache/dnf"))
            .or_else(|| changed("/var/lib/pacman/sync")),
        "packages_changed_at": changed("/var/lib/dpkg/status")
            .or_else(|| changed("/var/lib/rpm"))
            .or_else(|| changed("/var/lib/pacman/local")),
        "kernel_runs": context.value("/proc/sys/kernel/osrelease"),
        "kernels_installed": super::words::folders_in(context, context.root(), "/lib/modules"),
    })
}

/// Installed, upgraded and removed packages, the newest last.
fn history(context: &Context) -> Value {
    let mut all = Vec::new();
    for path in ["/var/log/dpkg.log.1", "/var/log/dpkg.log"] {
        if let Some(content) = context.read(context.root(), path, MAX_LOG) {
            all.extend(String::from_utf8_lossy(&content.bytes).lines().filter_map(dpkg_line));
        }
    }
    if let Some(content) = context.read(context.root(), "/var/log/pacman.log", MAX_LOG) {
        all.extend(String::from_utf8_lossy(&content.bytes).lines().filter_map(pacman_line));
    }
    if all.is_empty() {
        context.problem("/var/log/dpkg.log, /var/log/pacman.log", "not found, or empty: no history");
    }
    let skip = all.len().saturating_sub(MAX_HISTORY);
    Value::Array(all.split_off(skip))
}

/// `2026-11-02 10:11:12 upgrade bash:amd64 5.1-2 5.2-1`
fn dpkg_line(line: &str) -> Option<Value> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [day, time, action @ ("install" | "upgrade" | "remove" | "purge"), package, before, version] =
        parts[..]
    else {
        return None;
    };
    let known = |version: &str| (version != "<none>").then(|| version.to_owned());
    Some(json!({
        "at": format!("{day}T{time}"),
        "action": action,
        "package": package,
        "before": known(before),
        "version": known(version),
    }))
}

/// `[2026-11-02T10:11:12+0100] [ALPM] upgraded bash (5.1-2 -> 5.2-1)`
fn pacman_line(line: &str) -> Option<Value> {
    let (at, rest) = line.strip_prefix('[')?.split_once("] [ALPM] ")?;
    let (action, rest) = rest.split_once(' ')?;
    if !matches!(action, "installed" | "upgraded" | "removed" | "downgraded") {
        return None;
    }
    let (package, versions) = rest.split_once(" (")?;
    let versions = versions.strip_suffix(')')?;
    let (before, version) = match versions.split_once(" -> ") {
        Some((before, version)) => (Some(before), version),
        None => (None, versions),
    };
    Some(json!({"at": at, "action": action, "package": package, "before": before, "version": version}))
}

/// Whether updates are installed by themselves.
fn automatic(context: &Context) -> Value {
    let apt: Vec<String> = ["/etc/apt/apt.conf.d/20auto-upgrades", "/etc/apt/apt.conf.d/10periodic"]
        .iter()
        .filter_map(|path| context.text(path))
        .flat_map(|text| {
            text.lines()
                .map(str::trim)
                .filter(|l| l.starts_with("APT::"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let dnf = context.text("/etc/dnf/automatic.conf").map(|text| {
        let ini = super::ini::Ini::parse(&text);
        json!({"apply": ini.get("commands", "apply_updates"), "type": ini.get("commands", "upgrade_type")})
    });
    json!({"apt": apt, "dnf": dnf})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_logs() {
        let upgrade = dpkg_line("2026-11-02 10:11:12 upgrade bash:amd64 5.1-2 5.2-1").unwrap();
        assert_eq!((&upgrade["before"], &upgrade["version"]), (&json!("5.1-2"), &json!("5.2-1")));
        assert_eq!(dpkg_line("2026-11-02 10:11:12 install a:all <none> 1").unwrap()["before"], Value::Null);
        assert!(dpkg_line("2026-11-02 10:11:12 status installed a:all 1").is_none());
        let line = pacman_line("[2026-11-02T10:11:12+0100] [ALPM] upgraded bash (5.1-2 -> 5.2-1)").unwrap();
        assert_eq!((&line["package"], &line["version"]), (&json!("bash"), &json!("5.2-1")));
        assert!(pacman_line("[x] [ALPM-SCRIPTLET] installed a (1)").is_none());
    }
}
