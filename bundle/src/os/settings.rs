//! Settings stores: what dconf and KDE hold of the product and of a few general things, the product's files in `/etc` and
//! in homes, alternatives, proxies. Values whose names say that they are secret are never taken.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::context::Context;
use super::ini::Ini;
use super::tree::{EntryKind, Tree};
use super::words::{files_in, mode, modified, owner};
use super::{Group, dconf, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "settings_store",
    title: "Settings stores",
    sections: &[
        ("dconf", dconf_values),
        ("kde", kde),
        ("product_files", product_files),
        ("proxies", proxies),
        ("alternatives", alternatives),
    ],
    personal: &[
        field("/data/dconf/*/user", "user"),
        field("/data/dconf/*/path", "path"),
        field("/data/dconf/*/values/*", "path"),
        field("/data/kde/*/user", "user"),
        field("/data/kde/*/path", "path"),
        field("/data/kde/*/values/*", "path"),
        field("/data/product_files/*/user", "user"),
        field("/data/product_files/*/owner", "user"),
        field("/data/product_files/*/path", "path"),
        field("/data/product_files/*/lines", "path"),
        field("/data/proxies/*/user", "user"),
        field("/data/proxies/*/path", "path"),
        field("/data/proxies/*/value", "url"),
        field("/data/alternatives/*", "path"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Content, Personal::Url, Personal::Address],
};

/// Keys of dconf that are of general interest: what extends the desktop, and what is forbidden.
const DCONF: [&str; 7] = [
    "/org/gnome/shell/enabled-extensions",
    "/org/gnome/shell/disabled-extensions",
    "/org/gnome/system/location/enabled",
    "/org/gnome/desktop/privacy/",
    "/org/gnome/desktop/lockdown/",
    "/org/gnome/desktop/applications/",
    "/org/gnome/desktop/interface/gtk-theme",
];
/// Where GNOME keeps proxies.
const PROXY: &str = "/system/proxy/";
/// Longest database of dconf, and longest file of the product that is read.
const MAX_DATABASE: u64 = 16 << 20;
const MAX_PRODUCT_FILE: u64 = 128 << 10;
/// Most files of the product, and how deep they lie.
const MAX_FILES: usize = 300;
const MAX_DEPTH: usize = 5;
/// What stands where a secret was.
const REMOVED: &str = "[removed]";

/// How the product may be called where names have no spaces.
fn names(context: &Context) -> BTreeSet<String> {
    let Some(product) = &context.system.product else {
        context.problem(
            "product",
            "no product file says which product it is; its own settings were not looked for",
        );
        return BTreeSet::new();
    };
    let lower = product.to_lowercase();
    let all = ["-", "_", ""].iter().map(|with| lower.split_whitespace().collect::<Vec<_>>().join(with));
    // A name that is a path would lead anywhere.
    all.chain([product.clone()])
        .filter(|name| name.len() >= 2 && !name.contains('/') && !name.starts_with('.'))
        .collect()
}

/// Whether a name says that its value is nobody's business.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "passw",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "api-key",
        "api_key",
        "private",
        "credential",
        "license-key",
        "license_key",
    ]
    .iter()
    .any(|word| name.contains(word))
}

fn dconf_values(context: &Context) -> Value {
    let names = names(context);
    let wanted = |key: &str| {
        DCONF.iter().any(|prefix| key.starts_with(prefix)) || key.split('/').any(|part| names.contains(part))
    };
    let mut all = Vec::new();
    for path in files_in(context, context.root(), "/etc/dconf/db", "") {
        database(context, context.root(), &path, None, &wanted, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        database(context, &home.tree, ".config/dconf/user", Some(&home.user), &wanted, &mut all);
    }
    if all.is_empty() && !context.root().has("/etc/dconf") {
        context.problem("/etc/dconf, ~/.config/dconf/user", "not found: dconf is not used");
    }
    Value::Array(all)
}

fn database(
    context: &Context,
    tree: &Tree,
    path: &str,
    user: Option<&str>,
    wanted: &impl Fn(&str) -> bool,
    all: &mut Vec<Value>,
) {
    let Some(content) = context.read(tree, path, MAX_DATABASE) else { return };
    match dconf::read(&content.bytes, wanted) {
        Ok(found) => {
            let values: Map<String, Value> = found
                .into_iter()
                .map(|(key, value)| if is_secret(&key) { (key, json!(REMOVED)) } else { (key, value) })
                .collect();
            all.push(json!({"user": user, "path": tree.shown(path), "values": values}));
        }
        Err(why) => context.problem(&tree.shown(path), why),
    }
}

/// KDE keeps settings in files: general ones by a few keys, the product's as a whole.
fn kde(context: &Context) -> Value {
    const GENERAL: [(&str, &str, &str); 4] = [
        ("kdeglobals", "KDE", "LookAndFeelPackage"),
        ("kdeglobals", "General", "BrowserApplication"),
        ("kdeglobals", "General", "TerminalApplication"),
        ("kdeglobals", "KDE", "SingleClick"),
    ];
    let products: Vec<String> = names(context).into_iter().map(|name| format!("{name}rc")).collect();
    let mut all = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        let general = ["kdeglobals".to_owned()];
        for file in general.iter().chain(&products) {
            let path = format!(".config/{file}");
            let Some(text) = context.text_of(&home.tree, &path) else { continue };
            let ini = Ini::parse(&text);
            let values: Map<String, Value> = if products.contains(file) {
                let sections = ini.sections().into_iter();
                sections
                    .flat_map(|s| ini.section(s).map(move |(key, value)| (format!("{s}/{key}"), value)))
                    .map(
                        |(key, value)| {
                            if is_secret(&key) { (key, json!(REMOVED)) } else { (key, json!(value)) }
                        },
                    )
                    .collect()
            } else {
                GENERAL
                    .iter()
                    .filter(|(of, ..)| of == file)
                    .filter_map(|(_, section, key)| {
                        Some((format!("{section}/{key}"), json!(ini.get(section, key)?)))
                    })
                    .collect()
            };
            all.push(json!({"user": home.user, "path": home.tree.shown(&path), "values": values}));
        }
    }
    Value::Array(all)
}

/// The product's files in `/etc` and below `.config` of each user: what text files that everybody (in a home: the user) may
/// read say, of the others only that they are there.
fn product_files(context: &Context) -> Value {
    let mut all = Vec::new();
    let etc = Tree::private(&context.root().real("/etc"));
    for name in names(context) {
        for place in [format!("default/{name}"), format!("{name}.conf"), name.clone()] {
            match &etc {
                Ok(etc) => walk(context, etc, &place, "/etc", None, 0, &mut all),
                Err(e) => context.error("/etc", e),
            }
        }
        for home in context.in_time("homes", context.homes()) {
            walk(context, &home.tree, &format!(".config/{name}"), "", Some(&home.user), 0, &mut all);
        }
    }
    if all.is_empty() && context.system.product.is_some() {
        context.problem("files of the product", "not found in /etc or in homes");
    }
    Value::Array(all)
}

fn walk(
    context: &Context,
    tree: &Tree,
    path: &str,
    top: &str,
    user: Option<&str>,
    depth: usize,
    all: &mut Vec<Value>,
) {
    let Ok(stat) = tree.stat(path) else { return };
    if depth > MAX_DEPTH || all.len() >= MAX_FILES {
        context.problem(&tree.shown(path), "the product has more files than are looked at");
        return;
    }
    if stat.st_mode & 0o170_000 == 0o040_000 {
        for entry in context.list_of(tree, path) {
            walk(context, tree, &format!("{path}/{}", entry.name), top, user, depth + 1, all);
        }
        return;
    }
    let is_file = stat.st_mode & 0o170_000 == 0o100_000;
    let may_be_read = user.is_some() || stat.st_mode & 0o004 != 0;
    let content = (is_file && may_be_read && !is_secret(path))
        .then(|| context.read(tree, path, MAX_PRODUCT_FILE))
        .flatten();
    let lines = content.and_then(|content| String::from_utf8(content.bytes).ok()).map(|text| {
        text.lines().filter(|l| !l.trim().is_empty()).take(2000).map(without_secret).collect::<Vec<_>>()
    });
    // In a test's root, `/etc` is elsewhere than it is shown.
    let shown = if top.is_empty() { tree.shown(path) } else { format!("{top}/{path}") };
    all.push(json!({
        "user": user,
        "path": shown,
        "size": stat.st_size,
        "modified": modified(&stat),
        "mode": mode(&stat),
        "owner": owner(context, &stat),
        "is_link": (!is_file).then_some(stat.st_mode & 0o170_000 == 0o120_000),
        "lines": lines,
        "left_out": (is_file && !may_be_read).then_some("not everybody may read it"),
    }));
}

/// A line of settings without the value of a name that says that it is secret.
fn without_secret(line: &str) -> String {
    match line.find(['=', ':']) {
        Some(at) if is_secret(line.get(..at).unwrap_or_default()) => {
            format!("{} {REMOVED}", line.get(..=at).unwrap_or_default())
        }
        _ => super::packages::without_credentials(line),
    }
}

/// Proxies that are set for all programs.
fn proxies(context: &Context) -> Value {
    let mut all = Vec::new();
    let mut paths = vec!["/etc/environment".to_owned(), "/etc/profile".to_owned()];
    for folder in ["/etc/profile.d", "/etc/environment.d", "/etc/apt/apt.conf.d"] {
        paths.extend(files_in(context, context.root(), folder, ""));
    }
    for path in context.in_time("proxies", paths) {
        let text = context.text(&path).unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', '/'])) {
            let lower = line.to_ascii_lowercase();
            if !lower.contains("_proxy=") && !lower.contains("::proxy") {
                continue;
            }
            let split = line.find('=').or_else(|| line.find(' '));
            let (name, value) = split.map_or((line, ""), |at| line.split_at(at));
            let value = value.trim_matches(['=', ' ', '"', '\'', ';']);
            let value = super::packages::without_credentials(value);
            all.push(json!({"path": path, "name": name.trim_start_matches("export "), "value": value}));
        }
    }
    proxies_of_users(context, &mut all);
    if context.system.is_real {
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            if let Ok(value) = std::env::var(name) {
                let value = super::packages::without_credentials(&value);
                all.push(json!({"path": "the environment of this command", "name": name, "value": value}));
            }
        }
    }
    Value::Array(all)
}

/// Those of GNOME and KDE.
fn proxies_of_users(context: &Context, all: &mut Vec<Value>) {
    let mut databases = Vec::new();
    for home in context.in_time("homes", context.homes()) {
        let wanted = |key: &str| key.starts_with(PROXY);
        database(context, &home.tree, ".config/dconf/user", Some(&home.user), &wanted, &mut databases);
        let path = ".config/kioslaverc";
        let text = context.text_of(&home.tree, path).unwrap_or_default();
        for (name, value) in Ini::parse(&text).section("Proxy Settings").filter(|(name, _)| !is_secret(name))
        {
            let value = super::packages::without_credentials(value);
            all.push(json!({"user": home.user, "path": home.tree.shown(path), "name": name, "value": value}));
        }
    }
    for found in databases {
        for (name, value) in found["values"].as_object().into_iter().flatten() {
            all.push(json!({"user": found["user"], "path": found["path"], "name": name, "value": value}));
        }
    }
}

/// Which program each general name stands for.
fn alternatives(context: &Context) -> Value {
    let folder = "/etc/alternatives";
    let links = context.list(folder).into_iter().filter(|e| {
        // Manual pages follow their programs.
        e.kind == EntryKind::Link && !e.name.ends_with(".gz") && !e.name.ends_with(".1")
    });
    let all: Map<String, Value> = context
        .in_time(folder, links)
        .filter_map(|e| {
            Some((e.name.clone(), json!(context.root().link(&format!("{folder}/{}", e.name)).ok()?)))
        })
        .collect();
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_by_name() {
        assert_eq!(without_secret("Password = hunter2"), format!("Password = {REMOVED}"));
        assert_eq!(without_secret("api_key: x"), format!("api_key: {REMOVED}"));
        assert_eq!(without_secret("level = debug"), "level = debug");
        assert_eq!(without_secret("url=https://a:b@c/d"), "url=https://[removed]@c/d");
    }
}
