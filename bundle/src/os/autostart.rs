//! What starts by itself: at boot, at login, at times, on events.

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::tree::{EntryKind, Tree};
use super::units::{ALL_USERS, Units};
use super::words::{file, files_in, mode, modified, owner, sha256, stem};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "autostart",
    title: "What starts by itself",
    sections: &[
        ("desktop", desktop),
        ("user_services", user_services),
        ("cron", cron),
        ("scripts", scripts),
        ("shell_files", shell_files),
        ("bus_activation", bus_activation),
        ("udev", udev),
        ("login", login),
    ],
    personal: &[
        field("/data/desktop/*/user", "user"),
        field("/data/desktop/*/path", "path"),
        field("/data/desktop/*/command", "path"),
        field("/data/user_services/*/exec_start", "path"),
        field("/data/cron/*/user", "user"),
        field("/data/cron/*/owner", "user"),
        field("/data/cron/*/lines", "path"),
        field("/data/scripts/*/owner", "user"),
        field("/data/shell_files/*/user", "user"),
        field("/data/shell_files/*/owner", "user"),
        field("/data/shell_files/*/path", "path"),
        field("/data/bus_activation/*/user", "user"),
        field("/data/bus_activation/*/command", "path"),
        field("/data/udev/*/rule", "path"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Program],
};

/// Most lines of a table of cron that are shown.
const MAX_LINES: usize = 200;
/// Longest file whose hash is made.
const MAX_HASHED: u64 = 1 << 20;

fn desktop(context: &Context) -> Value {
    let mut all = Vec::new();
    for folder in ["/etc/xdg/autostart", "/usr/share/gnome/autostart"] {
        desktop_in(context, context.root(), folder, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        desktop_in(context, &home.tree, ".config/autostart", Some(&home.user), &mut all);
        for folder in [".config/autostart-scripts", ".config/plasma-workspace/env"] {
            for path in files_in(context, &home.tree, folder, "") {
                let path = home.tree.shown(&path);
                all.push(json!({"kind": "script", "user": home.user, "path": path, "enabled": true}));
            }
        }
    }
    Value::Array(all)
}

fn desktop_in(context: &Context, tree: &Tree, folder: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for path in context.in_time(folder, files_in(context, tree, folder, ".desktop")) {
        let Some(content) = context.read(tree, &path, 64 << 10) else { continue };
        let text = String::from_utf8_lossy(&content.bytes);
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("Desktop Entry", key);
        let is_off = get("Hidden") == Some("true") || get("X-GNOME-Autostart-enabled") == Some("false");
        all.push(json!({
            "kind": "desktop file",
            "user": user,
            "name": get("Name"),
            "path": tree.shown(&path),
            "command": get("Exec"),
            "enabled": !is_off,
            "only_in": get("OnlyShowIn"),
            "not_in": get("NotShowIn"),
            "condition": get("TryExec").or_else(|| get("AutostartCondition")),
            "delay": get("X-GNOME-Autostart-Delay"),
            "modified": modified(&content.stat),
            "owner_is_root": content.stat.st_uid == 0,
        }));
    }
}

/// Units that start in the session of every user. Those of one user are in the group `services`.
fn user_services(context: &Context) -> Value {
    let units = Units::of(context, context.root(), &ALL_USERS);
    let all = units.files.iter().filter(|(name, _)| units.enabled.contains_key(*name)).map(|(name, unit)| {
        json!({
            "name": name,
            "path": unit["path"],
            "exec_start": unit["exec_start"],
            "schedule": unit["schedule"],
            "wanted_by": unit["wanted_by"],
        })
    });
    Value::Array(all.collect())
}

fn cron(context: &Context) -> Value {
    let mut all = Vec::new();
    let mut table = |path: &str, user: Option<&str>| {
        let Some(content) = context.read(context.root(), path, 1 << 20) else { return };
        let text = String::from_utf8_lossy(&content.bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .take(MAX_LINES)
            .collect();
        all.push(json!({
            "kind": "table",
            "path": user.is_none().then_some(path),
            "user": user,
            "lines": lines,
            "owner": owner(context, &content.stat),
            "mode": mode(&content.stat),
            "modified": modified(&content.stat),
        }));
    };
    table("/etc/crontab", None);
    table("/etc/anacrontab", None);
    for path in files_in(context, context.root(), "/etc/cron.d", "") {
        table(&path, None);
    }
    for folder in ["/var/spool/cron/crontabs", "/var/spool/cron"] {
        for path in files_in(context, context.root(), folder, "") {
            table(&path, Some(stem(&path, "")));
        }
    }
    for period in ["hourly", "daily", "weekly", "monthly"] {
        for path in files_in(context, context.root(), &format!("/etc/cron.{period}"), "") {
            if path.ends_with("/.placeholder") {
                continue;
            }
            let mut found = file(context, context.root(), &path).unwrap_or_default();
            found["kind"] = json!(period);
            all.push(found);
        }
    }
    for folder in ["/var/spool/at", "/var/spool/cron/atjobs"] {
        let jobs = context.list(folder).into_iter().filter(|e| e.kind == EntryKind::File).count();
        if jobs != 0 {
            all.push(json!({"kind": "at jobs", "path": folder, "count": jobs}));
        }
    }
    Value::Array(all)
}

/// Scripts that run at boot, at login or when the network changes.
fn scripts(context: &Context) -> Value {
    let mut paths: Vec<String> = [
        "/etc/rc.local",
        "/etc/rc.d/rc.local",
        "/etc/profile",
        "/etc/bash.bashrc",
        "/etc/zsh/zshrc",
        "/etc/environment",
        "/etc/ld.so.preload",
    ]
    .map(str::to_owned)
    .into();
    for folder in [
        "/etc/profile.d",
        "/etc/X11/Xsession.d",
        "/etc/X11/xinit/xinitrc.d",
        "/etc/NetworkManager/dispatcher.d",
        "/etc/network/if-up.d",
        "/etc/update-motd.d",
        "/etc/environment.d",
        "/usr/lib/environment.d",
        "/etc/acpi",
        "/usr/lib/systemd/system-generators",
        "/usr/lib/systemd/system-sleep",
        "/etc/initramfs-tools/hooks",
    ] {
        paths.extend(files_in(context, context.root(), folder, ""));
    }
    let all = context.in_time("scripts", paths).filter_map(|path| {
        let stat = context.root().stat_target(&path).ok()?;
        let hash = (stat.st_size as u64 <= MAX_HASHED)
            .then(|| context.read(context.root(), &path, MAX_HASHED))
            .flatten()
            .map(|content| sha256(&content.bytes));
        Some(json!({
            "path": path,
            "size": stat.st_size,
            "mode": mode(&stat),
            "owner": owner(context, &stat),
            "modified": modified(&stat),
            "sha256": hash,
        }))
    });
    Value::Array(all.collect())
}

/// What users' shells run when they start: size, time and hash only, since anything may be in them.
fn shell_files(context: &Context) -> Value {
    const NAMES: [&str; 11] = [
        ".profile",
        ".bash_profile",
        ".bash_login",
        ".bashrc",
        ".bash_logout",
        ".zshenv",
        ".zprofile",
        ".zshrc",
        ".xprofile",
        ".xsession",
        ".config/fish/config.fish",
    ];
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for name in NAMES {
            let Some(content) = context.read(&home.tree, name, MAX_HASHED) else { continue };
            let Some(mut found) = file(context, &home.tree, name) else { continue };
            found["user"] = json!(home.user);
            found["sha256"] = json!((!content.is_cut).then(|| sha256(&content.bytes)));
            all.push(found);
        }
    }
    Value::Array(all)
}

/// Programs that a message on the bus starts.
fn bus_activation(context: &Context) -> Value {
    let mut all = Vec::new();
    for (scope, folder) in
        [("system", "/usr/share/dbus-1/system-services"), ("session", "/usr/share/dbus-1/services")]
    {
        activation_in(context, context.root(), folder, scope, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        activation_in(
            context,
            &home.tree,
            ".local/share/dbus-1/services",
            "session",
            Some(&home.user),
            &mut all,
        );
    }
    Value::Array(all)
}

fn activation_in(
    context: &Context,
    tree: &Tree,
    folder: &str,
    scope: &str,
    user: Option<&str>,
    all: &mut Vec<Value>,
) {
    for path in context.in_time(folder, files_in(context, tree, folder, ".service")) {
        let text = context.text_of(tree, &path).unwrap_or_default();
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("D-BUS Service", key);
        all.push(json!({
            "scope": scope,
            "user": user,
            "name": get("Name"),
            "command": get("Exec"),
            "run_as": get("User"),
            "unit": get("SystemdService"),
        }));
    }
}

/// Rules that start a program when a device comes.
fn udev(context: &Context) -> Value {
    let mut all = Vec::new();
    for folder in ["/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"] {
        for path in context.in_time(folder, files_in(context, context.root(), folder, ".rules")) {
            let text = context.text(&path).unwrap_or_default();
            let rules = text.lines().filter(|l| !l.trim_start().starts_with('#') && l.contains("RUN"));
            all.extend(rules.take(MAX_LINES).map(|rule| json!({"path": path, "rule": rule.trim()})));
        }
    }
    Value::Array(all)
}

/// Modules that take part in logins.
fn login(context: &Context) -> Value {
    let mut all = Vec::new();
    for path in files_in(context, context.root(), "/etc/pam.d", "") {
        let text = context.text(&path).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let modules: Vec<&str> = lines
            .flat_map(|l| l.split_whitespace().find(|word| word.ends_with(".so")))
            .take(MAX_LINES)
            .collect();
        all.push(json!({"service": stem(&path, ""), "modules": modules}));
    }
    Value::Array(all)
}
