//! Profiles of the Mozilla family, and the extensions in each.

use serde::Deserialize;
use serde_json::{Value, json};

use super::browser_extensions::some;
use super::context::Context;
use super::ini::Ini;
use super::users::Home;
use super::words::time_ms;

/// Where profiles lie, from a home: product and folder. Since version 147 Firefox begins below `.config`.
pub(super) const ROOTS: [(&str, &str); 14] = [
    ("Firefox", ".mozilla/firefox"),
    ("Firefox", ".config/mozilla/firefox"),
    ("Firefox (snap)", "snap/firefox/common/.mozilla/firefox"),
    ("Firefox (flatpak)", ".var/app/org.mozilla.firefox/.mozilla/firefox"),
    ("Firefox (flatpak)", ".var/app/org.mozilla.firefox/config/mozilla/firefox"),
    ("LibreWolf", ".librewolf"),
    ("LibreWolf (flatpak)", ".var/app/io.gitlab.librewolf-community/.librewolf"),
    ("Waterfox", ".waterfox"),
    ("Zen", ".zen"),
    ("SeaMonkey", ".mozilla/seamonkey"),
    ("Thunderbird", ".thunderbird"),
    ("Thunderbird (snap)", "snap/thunderbird/common/.thunderbird"),
    ("Thunderbird (flatpak)", ".var/app/org.mozilla.Thunderbird/.thunderbird"),
    ("Betterbird (flatpak)", ".var/app/eu.betterbird.Betterbird/.thunderbird"),
];
/// Longest list of extensions that is read.
const MAX_LIST: u64 = 8 << 20;
/// Most profiles of a user and product.
const MAX_PROFILES: usize = 100;

/// A profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    /// From the home.
    pub(super) path: String,
    /// Of the browser that used it last.
    pub(super) version: Option<String>,
}

/// The profiles of a product in a home.
pub(super) fn profiles(context: &Context, home: &Home, root: &str) -> Vec<Profile> {
    let Some(text) = context.text_of(&home.tree, &format!("{root}/profiles.ini")) else { return Vec::new() };
    let ini = Ini::parse(&text);
    let sections = ini.sections().into_iter().filter(|s| s.starts_with("Profile"));
    let mut all = Vec::new();
    for section in sections.take(MAX_PROFILES) {
        let Some(path) = ini.get(section, "Path") else { continue };
        let path = if ini.get(section, "IsRelative") == Some("0") {
            let top = home.tree.shown("");
            match path.strip_prefix(&top) {
                Some(below) => below.to_owned(),
                None => {
                    context.problem(path, "the profile lies outside the home and was not looked into");
                    continue;
                }
            }
        } else {
            format!("{root}/{path}")
        };
        let compatibility = context.text_of(&home.tree, &format!("{path}/compatibility.ini"));
        // `128.3.0_20240924180256/20240924180256`
        let version = compatibility.as_deref().and_then(|text| {
            Ini::parse(text).get("Compatibility", "LastVersion")?.split('_').next().map(str::to_owned)
        });
        all.push(Profile { name: ini.get(section, "Name").unwrap_or(section).to_owned(), path, version });
    }
    all
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    addons: Vec<Addon>,
}

/// An extension as `extensions.json` has it; whatever has another type than it should is shown as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Addon {
    id: Value,
    version: Value,
    #[serde(rename = "type")]
    kind: Value,
    active: Value,
    user_disabled: Value,
    app_disabled: Value,
    blocklist_state: Value,
    install_date: Value,
    update_date: Value,
    #[serde(rename = "sourceURI")]
    source: Value,
    #[serde(rename = "updateURL")]
    update_url: Value,
    location: Value,
    foreign_install: Value,
    signed_state: Value,
    incognito: Value,
    manifest_version: Value,
    path: Value,
    user_permissions: Value,
    optional_permissions: Value,
    default_locale: Value,
}

/// The section.
pub(super) fn extensions(context: &Context) -> Value {
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        for (browser, root) in ROOTS {
            for profile in profiles(context, home, root) {
                of_profile(context, home, browser, &profile, &mut all);
            }
        }
    }
    json!(all)
}

fn of_profile(context: &Context, home: &Home, browser: &str, profile: &Profile, all: &mut Vec<Value>) {
    let path = format!("{}/extensions.json", profile.path);
    let Some(content) = context.read(&home.tree, &path, MAX_LIST) else { return };
    let list: List = match serde_json::from_slice(&content.bytes) {
        Ok(list) => list,
        Err(e) => {
            context.problem(&home.tree.shown(&path), &format!("it is of a form that is not known: {e}"));
            return;
        }
    };
    for addon in list.addons {
        let at = |value: &Value| value.as_i64().and_then(time_ms);
        all.push(json!({
            "browser": browser,
            "browser_version": profile.version,
            "user": home.user,
            "profile": profile.name,
            "id": addon.id,
            "name": addon.default_locale.get("name"),
            "author": addon.default_locale.get("creator"),
            "description": addon.default_locale.get("description"),
            "version": addon.version,
            "type": addon.kind,
            "active": addon.active,
            "user_disabled": addon.user_disabled,
            "app_disabled": addon.app_disabled,
            "blocklist_state": addon.blocklist_state,
            "installed_at": at(&addon.install_date),
            "updated_at": at(&addon.update_date),
            "source": addon.source,
            "update_url": addon.update_url,
            "location": addon.location,
            "sideloaded": addon.foreign_install,
            "signed_state": addon.signed_state,
            "private_browsing": addon.incognito,
            "manifest_version": addon.manifest_version,
            "permissions": some(addon.user_permissions.get("permissions")),
            "hosts": some(addon.user_permissions.get("origins")),
            "optional_permissions": some(addon.optional_permissions.get("permissions")),
            "path": addon.path,
        }));
    }
}
