//! The operating system: name and version, kernel, times, language, desktop.

use procfs::{FromRead, Uptime};
use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::words::{modified, time};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "system",
    title: "Operating system",
    sections: &[
        ("release", release),
        ("kernel", kernel),
        ("computer", computer),
        ("times", times),
        ("locale", locale),
        ("desktop", desktop),
        ("limits", limits),
    ],
    personal: &[
        field("/data/computer/host_name", "host"),
        field("/data/computer/static_host_name", "host"),
        field("/data/computer/pretty_host_name", "host"),
        field("/data/computer/machine_id", "device"),
        field("/data/computer/boot_id", "device"),
        field("/data/release/version_id", "public"),
        field("/data/kernel/release", "public"),
    ],
    holds: &[Personal::HostName, Personal::Device, Personal::UserName, Personal::Path],
};

fn release(context: &Context) -> Value {
    let places = ["/etc/os-release", "/usr/lib/os-release"];
    let Some(path) = context.first_of(&places, "the system does not say what it is") else {
        return Value::Null;
    };
    let text = context.text(path).unwrap_or_default();
    let ini = Ini::parse(&text);
    let get = |key: &str| ini.unquoted(key);
    json!({
        "name": get("NAME"),
        "id": get("ID"),
        "id_like": get("ID_LIKE"),
        "version": get("VERSION"),
        "version_id": get("VERSION_ID"),
        "codename": get("VERSION_CODENAME"),
        "build": get("BUILD_ID"),
        "edition": get("VARIANT"),
        "pretty_name": get("PRETTY_NAME"),
        "debian_version": context.value("/etc/debian_version"),
        "image": get("IMAGE_VERSION"),
    })
}

fn kernel(context: &Context) -> Value {
    if context.system.is_real {
        let name = rustix::system::uname();
        return json!({
            "system": name.sysname().to_string_lossy(),
            "release": name.release().to_string_lossy(),
            "version": name.version().to_string_lossy(),
            "architecture": name.machine().to_string_lossy(),
            "built": context.value("/proc/version"),
        });
    }
    json!({
        "system": context.value("/proc/sys/kernel/ostype"),
        "release": context.value("/proc/sys/kernel/osrelease"),
        "version": context.value("/proc/sys/kernel/version"),
        "architecture": context.value("/proc/sys/kernel/arch"),
        "built": context.value("/proc/version"),
    })
}

fn computer(context: &Context) -> Value {
    let info = context.text("/etc/machine-info").unwrap_or_default();
    let info = Ini::parse(&info);
    json!({
        "host_name": context.value("/proc/sys/kernel/hostname"),
        "static_host_name": context.value("/etc/hostname"),
        "pretty_host_name": info.unquoted("PRETTY_HOSTNAME"),
        "chassis": info.unquoted("CHASSIS"),
        "machine_id": context.value("/etc/machine-id"),
        "boot_id": context.value("/proc/sys/kernel/random/boot_id"),
        "container": container(context),
        "init": context.value("/proc/1/comm"),
        "has_systemd": context.root().has("/run/systemd/system"),
    })
}

/// What kind of container or subsystem it runs in, if any.
fn container(context: &Context) -> Option<String> {
    if let Some(kind) = context.value("/run/systemd/container") {
        return Some(kind);
    }
    for (path, kind) in [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")] {
        if context.root().has(path) {
            return Some(kind.into());
        }
    }
    let version = context.value("/proc/version").unwrap_or_default().to_ascii_lowercase();
    version.contains("microsoft").then(|| "wsl".to_owned())
}

fn times(context: &Context) -> Value {
    let uptime = context.text("/proc/uptime").and_then(|text| Uptime::from_read(text.as_bytes()).ok());
    let boot = context.text("/proc/stat").and_then(|text| {
        text.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok().and_then(time)
    });
    let zone = context.root().link("/etc/localtime").ok();
    let zone = zone.and_then(|to| to.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned()));
    let offset = context.system.is_real.then(|| jiff::ZonedDateTime::now().offset().to_string());
    // The oldest file that an installation makes and nobody changes.
    let installed = ["/var/log/installer", "/root/anaconda-ks.cfg", "/lost+found", "/etc/machine-id"]
        .iter()
        .find_map(|path| context.root().stat_target(path).ok().filter(|stat| stat.st_mtime > 0))
        .and_then(|stat| modified(&stat));
    let is_synchronized = context.root().has("/run/systemd/timesync/synchronized");
    json!({
        "booted_at": boot,
        "uptime_s": uptime.map(|u| u.uptime as u64),
        "time_zone": zone.or_else(|| context.value("/etc/timezone")),
        "offset": offset,
        "installed_at": installed,
        "clock_synchronized": is_synchronized.then_some(true),
        "clock_source": context.value("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    })
}

fn locale(context: &Context) -> Value {
    let places = ["/etc/locale.conf", "/etc/default/locale"];
    let text = places.iter().find_map(|path| context.text(path)).unwrap_or_default();
    let ini = Ini::parse(&text);
    let keyboard = context.text("/etc/default/keyboard").unwrap_or_default();
    let keyboard = Ini::parse(&keyboard);
    let console = context.text("/etc/vconsole.conf").unwrap_or_default();
    let console = Ini::parse(&console);
    json!({
        "lang": ini.unquoted("LANG"),
        "messages": ini.unquoted("LC_MESSAGES"),
        "time": ini.unquoted("LC_TIME"),
        "keyboard": keyboard.unquoted("XKBLAYOUT").or_else(|| console.unquoted("KEYMAP")),
    })
}

fn desktop(context: &Context) -> Value {
    let sessions = |folder: &str| {
        let names = context.list(folder).into_iter();
        names.filter_map(|e| e.name.strip_suffix(".desktop").map(str::to_owned)).collect::<Vec<_>>()
    };
    let own = |name: &str| {
        context.system.is_real.then(|| std::env::var(name).ok()).flatten().filter(|text| !text.is_empty())
    };
    json!({
        "current": own("XDG_CURRENT_DESKTOP"),
        "session_type": own("XDG_SESSION_TYPE"),
        "x11_sessions": sessions("/usr/share/xsessions"),
        "wayland_sessions": sessions("/usr/share/wayland-sessions"),
        "display_manager": context.value("/etc/X11/default-display-manager")
            .or_else(|| context.root().link("/etc/systemd/system/display-manager.service").ok()),
    })
}

/// What may run out: files, watches, processes.
fn limits(context: &Context) -> Value {
    let sys = |name: &str| context.value(&format!("/proc/sys/{name}"));
    json!({
        "open_files": context.lines("/proc/sys/fs/file-nr"),
        "inotify_watches": sys("fs/inotify/max_user_watches"),
        "inotify_instances": sys("fs/inotify/max_user_instances"),
        "processes": sys("kernel/pid_max"),
        "threads": sys("kernel/threads-max"),
        "load": context.value("/proc/loadavg"),
        "pressure_memory": context.lines("/proc/pressure/memory"),
        "pressure_io": context.lines("/proc/pressure/io"),
    })
}
