//! Profiles of the Chromium family, and the extensions in each.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::browser_extensions::some;
use super::context::Context;
use super::users::Home;
use super::words::{folders_in, sha256, time};

/// Where profiles lie, from a home: product and folder.
pub(super) const ROOTS: [(&str, &str); 16] = [
    ("Chrome", ".config/google-chrome"),
    ("Chrome Beta", ".config/google-chrome-beta"),
    ("Chrome Dev", ".config/google-chrome-unstable"),
    ("Chrome (flatpak)", ".var/app/com.google.Chrome/config/google-chrome"),
    ("Chromium", ".config/chromium"),
    ("Chromium (snap)", "snap/chromium/common/chromium"),
    ("Chromium (flatpak)", ".var/app/org.chromium.Chromium/config/chromium"),
    ("Brave", ".config/BraveSoftware/Brave-Browser"),
    ("Brave (snap)", "snap/brave/current/.config/BraveSoftware/Brave-Browser"),
    ("Brave (flatpak)", ".var/app/com.brave.Browser/config/BraveSoftware/Brave-Browser"),
    ("Edge", ".config/microsoft-edge"),
    ("Edge (flatpak)", ".var/app/com.microsoft.Edge/config/microsoft-edge"),
    ("Vivaldi", ".config/vivaldi"),
    ("Vivaldi (flatpak)", ".var/app/com.vivaldi.Vivaldi/config/vivaldi"),
    ("Opera", ".config/opera"),
    ("Yandex", ".config/yandex-browser"),
];
/// Longest manifest that is read, and longest list of messages.
const MAX_MANIFEST: u64 = 1 << 20;
/// Longest settings of a profile that are looked at.
const MAX_SETTINGS: u64 = 32 << 20;
/// Seconds from 1601, where Chromium's times begin, to 1970.
const EPOCH: i64 = 11_644_473_600;

/// The version of the browser that used the profiles last.
pub(super) fn version(context: &Context, home: &Home, root: &str) -> Option<String> {
    let content = context.read(&home.tree, &format!("{root}/Last Version"), 100)?;
    let version = String::from_utf8_lossy(&content.bytes).trim().to_owned();
    (!version.is_empty()).then_some(version)
}

/// The folders that are profiles. Opera has one, and it is the root.
pub(super) fn profiles(context: &Context, home: &Home, root: &str) -> Vec<String> {
    let mut all: Vec<String> = folders_in(context, &home.tree, root)
        .into_iter()
        .filter(|name| home.tree.has(&format!("{root}/{name}/Preferences")))
        .map(|name| format!("{root}/{name}"))
        .collect();
    if home.tree.has(&format!("{root}/Preferences")) {
        all.push(root.to_owned());
    }
    all
}

/// What the browser's settings say of an extension; the rest of them is never looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Setting {
    state: Value,
    disable_reasons: Value,
    from_webstore: Value,
    location: Value,
    install_time: Value,
    first_install_time: Value,
    path: Value,
    incognito: Value,
    granted_permissions: Value,
    blacklist_state: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extensions {
    settings: HashMap<String, Setting>,
}

fn settings(context: &Context, home: &Home, profile: &str) -> HashMap<String, Setting> {
    let mut all = HashMap::new();
    for name in ["Preferences", "Secure Preferences"] {
        let path = format!("{profile}/{name}");
        let Some(content) = context.read(&home.tree, &path, MAX_SETTINGS) else { continue };
        match serde_json::from_slice::<Settings>(&content.bytes) {
            Ok(settings) => all.extend(settings.extensions.settings),
            Err(e) => {
                context.problem(&home.tree.shown(&path), &format!("it is of a form that is not known: {e}"))
            }
        }
    }
    all
}

/// The section.
pub(super) fn extensions(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for (browser, root) in ROOTS {
            let browser_version = version(context, home, root);
            for profile in context.in_time("profiles", profiles(context, home, root)) {
                let found = of_profile(context, home, &profile);
                all.extend(found.into_iter().map(|mut extension| {
                    extension["browser"] = json!(browser);
                    extension["browser_version"] = json!(browser_version);
                    extension["user"] = json!(home.user);
                    extension["profile"] = json!(profile.rsplit('/').next());
                    extension
                }));
            }
        }
    }
    json!(all)
}

fn of_profile(context: &Context, home: &Home, profile: &str) -> Vec<Value> {
    let mut settings = settings(context, home, profile);
    let mut all = Vec::new();
    let top = format!("{profile}/Extensions");
    for id in folders_in(context, &home.tree, &top) {
        if id == "Temp" {
            continue;
        }
        let setting = settings.remove(&id);
        for version in folders_in(context, &home.tree, &format!("{top}/{id}")) {
            let folder = format!("{top}/{id}/{version}");
            if let Some(found) = manifest(context, home, &folder) {
                all.push(merged(home, &id, &folder, found, setting.as_ref()));
            }
        }
    }
    // Unpacked ones and those of the system lie elsewhere: what the settings say is all that is known.
    let mut rest: Vec<(String, Setting)> = settings
        .into_iter()
        // 5 is a component of the browser itself.
        .filter(|(_, s)| !s.path.is_null() && s.location != 5 && s.location != 10)
        .collect();
    rest.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (id, setting) in rest {
        let path = setting.path.as_str().unwrap_or_default().to_owned();
        all.push(merged(home, &id, &path, Value::Null, Some(&setting)));
    }
    all
}

fn manifest(context: &Context, home: &Home, folder: &str) -> Option<Value> {
    let path = format!("{folder}/manifest.json");
    let content = context.read(&home.tree, &path, MAX_MANIFEST)?;
    let parsed: Result<Value, _> = serde_json::from_slice(&content.bytes);
    let manifest = match parsed {
        Ok(manifest) => manifest,
        Err(e) => {
            context.problem(&home.tree.shown(&path), &format!("it is no JSON: {e}"));
            return None;
        }
    };
    let text = |key: &str| {
        let text = manifest.get(key)?.as_str()?;
        let Some(name) = text.strip_prefix("__MSG_").and_then(|t| t.strip_suffix("__")) else {
            return Some(text.to_owned());
        };
        Some(message(context, home, folder, &manifest, name).unwrap_or_else(|| text.to_owned()))
    };
    let matches: Vec<&Value> = manifest
        .get("content_scripts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|script| script.get("matches")?.as_array())
        .flatten()
        .take(200)
        .collect();
    let background = manifest.get("background").and_then(Value::as_object);
    Some(json!({
        "name": text("name"),
        "description": text("description"),
        "author": manifest.get("author"),
        "version": manifest.get("version"),
        "manifest_version": manifest.get("manifest_version"),
        "update_url": manifest.get("update_url"),
        "permissions": some(manifest.get("permissions")),
        "optional_permissions": some(manifest.get("optional_permissions")),
        "hosts": some(manifest.get("host_permissions")),
        "content_script_matches": (!matches.is_empty()).then_some(matches),
        "background": background.and_then(|b| b.keys().next()),
        "manifest_sha256": sha256(&content.bytes),
    }))
}

/// A text of the extension's own language.
fn message(context: &Context, home: &Home, folder: &str, manifest: &Value, name: &str) -> Option<String> {
    let locale = manifest.get("default_locale")?.as_str()?;
    if locale.contains('/') {
        return None;
    }
    let path = format!("{folder}/_locales/{locale}/messages.json");
    let content = context.read(&home.tree, &path, MAX_MANIFEST)?;
    let messages: HashMap<String, Value> = serde_json::from_slice(&content.bytes).ok()?;
    let (_, message) = messages.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    message.get("message")?.as_str().map(str::to_owned)
}

fn merged(home: &Home, id: &str, folder: &str, found: Value, setting: Option<&Setting>) -> Value {
    let mut all = if found.is_object() { found } else { json!({}) };
    all["id"] = json!(id);
    all["path"] = if folder.starts_with('/') { json!(folder) } else { json!(home.tree.shown(folder)) };
    let Some(setting) = setting else { return all };
    let time_of = |value: &Value| {
        let microseconds: i64 = value.as_str()?.parse().ok()?;
        time((microseconds / 1_000_000).checked_sub(EPOCH)?)
    };
    // 0 disabled, 1 enabled; newer versions only say why it is disabled.
    let no_reasons = setting.disable_reasons.is_null()
        || setting.disable_reasons == 0
        || setting.disable_reasons.as_array().is_some_and(Vec::is_empty);
    all["enabled"] = json!(setting.state.as_i64().map_or(no_reasons, |state| state == 1));
    all["disable_reasons"] = setting.disable_reasons.clone();
    all["from_store"] = setting.from_webstore.clone();
    all["location"] = json!(setting.location.as_i64().map(location));
    all["installed_at"] =
        json!(time_of(&setting.first_install_time).or_else(|| time_of(&setting.install_time)));
    all["updated_at"] = json!(time_of(&setting.install_time));
    all["private_browsing"] = setting.incognito.clone();
    all["blocklist_state"] = setting.blacklist_state.clone();
    all["granted_permissions"] = json!(some(setting.granted_permissions.get("api")));
    all["granted_hosts"] = json!(some(setting.granted_permissions.get("explicit_host")));
    all
}

/// How it came there, as Chromium numbers it.
fn location(number: i64) -> String {
    let known = match number {
        1 => "by the user",
        2 => "external preferences",
        3 => "external registry",
        4 => "unpacked",
        5 => "component",
        6 => "external download",
        7 => "policy download",
        8 => "command line",
        9 => "policy",
        10 => "external component",
        _ => return number.to_string(),
    };
    known.into()
}
