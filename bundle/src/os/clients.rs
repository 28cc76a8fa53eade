//! Browsers and mail clients: which are there, in which version, and which is the default for what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::tree::Tree;
use super::words::{files_in, folders_in, modified, stem};
use super::{Group, chromium, field, firefox, packages};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "clients",
    title: "Browsers and mail clients",
    sections: &[
        ("programs", programs),
        ("packages", of_packages),
        ("mozilla", mozilla),
        ("profiles", profiles),
        ("defaults", defaults),
    ],
    personal: &[
        field("/data/programs/*/user", "user"),
        field("/data/programs/*/path", "path"),
        field("/data/programs/*/command", "path"),
        field("/data/packages/*/version", "public"),
        field("/data/mozilla/*/version", "public"),
        field("/data/profiles/*/user", "user"),
        field("/data/profiles/*/profile", "text"),
        field("/data/profiles/*/path", "path"),
        field("/data/profiles/*/version", "public"),
        field("/data/defaults/*/user", "user"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Program],
};

/// Packages of browsers and mail clients.
const PACKAGES: [&str; 44] = [
    "balsa",
    "betterbird",
    "brave-browser",
    "chromium",
    "chromium-browser",
    "claws-mail",
    "dillo",
    "elinks",
    "epiphany-browser",
    "evolution",
    "falkon",
    "firefox",
    "firefox-esr",
    "geary",
    "google-chrome-beta",
    "google-chrome-stable",
    "google-chrome-unstable",
    "icecat",
    "kmail",
    "konqueror",
    "librewolf",
    "links2",
    "lynx",
    "microsoft-edge-stable",
    "midori",
    "mutt",
    "neomutt",
    "netsurf-gtk",
    "opera-stable",
    "palemoon",
    "qutebrowser",
    "seamonkey",
    "surf",
    "sylpheed",
    "thunderbird",
    "torbrowser-launcher",
    "trojita",
    "vivaldi-stable",
    "w3m",
    "waterfox",
    "yandex-browser-stable",
    "zen-browser",
    "alpine",
    "aerc",
];
/// What browsers and mail clients open.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];
/// Most desktop files of a folder that are looked at.
const MAX_DESKTOP_FILES: usize = 5000;

/// Programs that say that they open web pages or mail, by their desktop files.
fn programs(context: &Context) -> Value {
    let mut all = Vec::new();
    let system = [
        "/usr/share/applications",
        "/usr/local/share/applications",
        "/var/lib/flatpak/exports/share/applications",
        "/var/lib/snapd/desktop/applications",
    ];
    for folder in system {
        programs_in(context, context.root(), folder, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        for folder in [".local/share/applications", ".local/share/flatpak/exports/share/applications"] {
            programs_in(context, &home.tree, folder, Some(&home.user), &mut all);
        }
    }
    json!(all)
}

fn programs_in(context: &Context, tree: &Tree, folder: &str, user: Option<&str>, all: &mut Vec<Value>) {
    let files = files_in(context, tree, folder, ".desktop");
    for path in context.in_time(folder, files.into_iter().take(MAX_DESKTOP_FILES)) {
        let Some(content) = context.read(tree, &path, 256 << 10) else { continue };
        let text = String::from_utf8_lossy(&content.bytes);
        // Most files are of other programs: a look before they are parsed.
        if !text.contains("x-scheme-handler/") && !text.contains("WebBrowser") && !text.contains("Email") {
            continue;
        }
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("Desktop Entry", key);
        let types = get("MimeType").unwrap_or_default();
        let categories: BTreeSet<&str> = get("Categories").unwrap_or_default().split(';').collect();
        let handles: Vec<&str> = SCHEMES
            .into_iter()
            .filter(|s| types.split(';').any(|t| t.strip_prefix("x-scheme-handler/") == Some(s)))
            .collect();
        let kind = if categories.contains("Email") || handles.contains(&"mailto") {
            "mail client"
        } else if categories.contains("WebBrowser") || !handles.is_empty() {
            "browser"
        } else {
            continue;
        };
        all.push(json!({
            "kind": kind,
            "id": stem(&path, ""),
            "name": get("Name"),
            "command": get("Exec"),
            "handles": handles,
            "path": tree.shown(&path),
            "user": user,
            "modified": modified(&content.stat),
        }));
    }
}

/// Those that packages have brought, with versions.
fn of_packages(context: &Context) -> Value {
    let found = packages::dpkg_versions(context, &PACKAGES);
    if found.is_empty() && !context.root().has("/var/lib/dpkg/status") {
        context
            .problem("/var/lib/dpkg/status", "not found; the group `packages` lists those of other systems");
        return Value::Null;
    }
    let all =
        found.into_iter().map(|(name, version)| json!({"name": name, "version": version, "source": "dpkg"}));
    Value::Array(all.collect())
}

/// Programs of the Mozilla family say in `application.ini` which version they are, wherever they came from.
fn mozilla(context: &Context) -> Value {
    let mut all = Vec::new();
    for top in ["/usr/lib", "/usr/lib64", "/opt", "/usr/local/lib", "/usr/local"] {
        for name in folders_in(context, context.root(), top) {
            let path = format!("{top}/{name}/application.ini");
            let Some(text) = context.text(&path) else { continue };
            let ini = Ini::parse(&text);
            all.push(json!({
                "vendor": ini.get("App", "Vendor"),
                "name": ini.get("App", "RemotingName").or_else(|| ini.get("App", "Name")),
                "version": ini.get("App", "Version"),
                "build": ini.get("App", "BuildID"),
                "path": path,
            }));
        }
    }
    json!(all)
}

/// Profiles, with the version that used each last.
fn profiles(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for (product, root) in firefox::ROOTS {
            for profile in firefox::profiles(context, home, root) {
                let used = home.tree.stat(&format!("{}/times.json", profile.path));
                let used = home.tree.stat(&format!("{}/prefs.js", profile.path)).or(used);
                all.push(json!({
                    "user": home.user,
                    "product": product,
                    "profile": profile.name,
                    "version": profile.version,
                    "path": home.tree.shown(&profile.path),
                    "last_used": used.ok().and_then(|stat| modified(&stat)),
                }));
            }
        }
        for (product, root) in chromium::ROOTS {
            let version = chromium::version(context, home, root);
            for path in chromium::profiles(context, home, root) {
                let used = home.tree.stat(&format!("{path}/Preferences")).ok();
                all.push(json!({
                    "user": home.user,
                    "product": product,
                    "profile": stem(&path, ""),
                    "version": version,
                    "path": home.tree.shown(&path),
                    "last_used": used.and_then(|stat| modified(&stat)),
                }));
            }
        }
        for (product, folder) in [
            ("Evolution", ".config/evolution"),
            ("KMail", ".config/kmail2rc"),
            ("Geary", ".config/geary"),
            ("Claws Mail", ".claws-mail"),
            ("Mutt", ".muttrc"),
        ] {
            if let Ok(stat) = home.tree.stat(folder) {
                let path = home.tree.shown(folder);
                all.push(json!({"user": home.user, "product": product, "path": path, "last_used": modified(&stat)}));
            }
        }
    }
    json!(all)
}

/// What opens web pages and mail: the system's choice, and each user's.
fn defaults(context: &Context) -> Value {
    let mut all = Vec::new();
    for path in [
        "/etc/xdg/mimeapps.list",
        "/usr/share/applications/mimeapps.list",
        "/usr/share/applications/gnome-mimeapps.list",
    ] {
        if let Some(text) = context.text(path) {
            all.extend(choices(&text).map(|found| json!({"from": path, "handlers": found})));
        }
    }
    for home in context.in_time("homes", context.homes()) {
        for path in [".config/mimeapps.list", ".local/share/applications/mimeapps.list"] {
            if let Some(text) = context.text_of(&home.tree, path) {
                all.extend(
                    choices(&text).map(|found| json!({"user": home.user, "from": path, "handlers": found})),
                );
            }
        }
    }
    json!(all)
}

fn choices(text: &str) -> Option<BTreeMap<&'static str, String>> {
    let ini = Ini::parse(text);
    let found: BTreeMap<_, _> = SCHEMES
        .into_iter()
        .filter_map(|scheme| {
            let handler = ini.get("Default Applications", &format!("x-scheme-handler/{scheme}"))?;
            Some((scheme, handler.trim_end_matches(';').to_owned()))
        })
        .collect();
    (!found.is_empty()).then_some(found)
}
