//! Extensions of browsers and mail clients, the programs that they may talk to, and the policies that install them.

use serde_json::{Value, json};

use super::context::Context;
use super::tree::Tree;
use super::words::{files_in, owner};
use super::{Group, chromium, field, firefox};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "browser_extensions",
    title: "Browser extensions",
    sections: &[
        ("firefox", firefox::extensions),
        ("chromium", chromium::extensions),
        ("native_hosts", native_hosts),
        ("policies", policies),
    ],
    personal: &[
        field("/data/firefox/*/user", "user"),
        field("/data/firefox/*/profile", "text"),
        field("/data/firefox/*/path", "path"),
        field("/data/firefox/*/source", "url"),
        field("/data/firefox/*/id", "public"),
        field("/data/firefox/*/version", "public"),
        field("/data/firefox/*/browser_version", "public"),
        field("/data/chromium/*/user", "user"),
        field("/data/chromium/*/profile", "text"),
        field("/data/chromium/*/path", "path"),
        field("/data/chromium/*/version", "public"),
        field("/data/chromium/*/browser_version", "public"),
        field("/data/native_hosts/*/user", "user"),
        field("/data/native_hosts/*/path", "path"),
        field("/data/native_hosts/*/program", "path"),
        field("/data/native_hosts/*/owner", "user"),
        field("/data/policies/*/owner", "user"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Url, Personal::Program],
};

/// Longest description of a native host, and policy file.
const MAX_FILE: u64 = 256 << 10;

fn native_hosts(context: &Context) -> Value {
    let mut all = Vec::new();
    for folder in [
        "/etc/opt/chrome/native-messaging-hosts",
        "/etc/chromium/native-messaging-hosts",
        "/etc/opt/edge/native-messaging-hosts",
        "/usr/lib/mozilla/native-messaging-hosts",
        "/usr/lib64/mozilla/native-messaging-hosts",
    ] {
        hosts_in(context, context.root(), folder, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        let folders = chromium::ROOTS.iter().map(|(_, root)| format!("{root}/NativeMessagingHosts")).chain([
            ".mozilla/native-messaging-hosts".to_owned(),
            ".config/mozilla/native-messaging-hosts".to_owned(),
        ]);
        for folder in folders {
            hosts_in(context, &home.tree, &folder, Some(&home.user), &mut all);
        }
    }
    json!(all)
}

fn hosts_in(context: &Context, tree: &Tree, folder: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for path in files_in(context, tree, folder, ".json") {
        let Some(content) = context.read(tree, &path, MAX_FILE) else { continue };
        match serde_json::from_slice::<Value>(&content.bytes) {
            Ok(host) => all.push(json!({
                "user": user,
                "path": tree.shown(&path),
                "name": host.get("name"),
                "description": host.get("description"),
                "program": host.get("path"),
                "allowed": host.get("allowed_origins").or_else(|| host.get("allowed_extensions")),
                "owner": owner(context, &content.stat),
            })),
            Err(e) => context.problem(&tree.shown(&path), &format!("it is no JSON: {e}")),
        }
    }
}

/// Policies that an administrator has set: their names, and what they say of extensions.
fn policies(context: &Context) -> Value {
    let mut paths: Vec<String> = [
        "/etc/firefox/policies/policies.json",
        "/usr/lib/firefox/distribution/policies.json",
        "/usr/lib/firefox-esr/distribution/policies.json",
        "/usr/lib64/firefox/distribution/policies.json",
    ]
    .map(str::to_owned)
    .into();
    for browser in
        ["/etc/opt/chrome", "/etc/chromium", "/etc/chromium-browser", "/etc/brave", "/etc/opt/edge"]
    {
        for kind in ["managed", "recommended"] {
            paths.extend(files_in(context, context.root(), &format!("{browser}/policies/{kind}"), ".json"));
        }
    }
    let all = context.in_time("policies", paths).filter_map(|path| {
        let content = context.read(context.root(), &path, MAX_FILE)?;
        let Ok(policy) = serde_json::from_slice::<Value>(&content.bytes) else {
            context.problem(&path, "it is no JSON");
            return None;
        };
        let policy = policy.get("policies").cloned().unwrap_or(policy);
        let names: Vec<&String> = policy.as_object().map(|p| p.keys().collect()).unwrap_or_default();
        Some(json!({
            "path": path,
            "names": names,
            "extensions": policy.get("ExtensionSettings").or_else(|| policy.get("Extensions")),
            "forced": policy.get("ExtensionInstallForcelist"),
            "owner": owner(context, &content.stat),
        }))
    });
    json!(all.collect::<Vec<_>>())
}

/// At most so many of a list of permissions.
pub(super) fn some(list: Option<&Value>) -> Option<Vec<Value>> {
    const MAX: usize = 200;
    let list: Vec<Value> = list?.as_array()?.iter().take(MAX).cloned().collect();
    (!list.is_empty()).then_some(list)
}
