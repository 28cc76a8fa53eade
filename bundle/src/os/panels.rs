//! Panels of the settings: those of GNOME, KDE, Xfce and others, and the actions that ask for a password.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::words::{files_in, library_folders, modified, stem};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "settings_panels",
    title: "Settings panels",
    sections: &[("panels", panels), ("libraries", libraries), ("polkit", polkit)],
    personal: &[
        field("/data/panels/*/command", "path"),
        field("/data/panels/*/user", "user"),
        field("/data/panels/*/path", "path"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Program],
};

fn panels(context: &Context) -> Value {
    let mut all = Vec::new();
    for folder in ["/usr/share/applications", "/usr/local/share/applications"] {
        panels_in(context, context.root(), folder, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        panels_in(context, &home.tree, ".local/share/applications", Some(&home.user), &mut all);
    }
    Value::Array(all)
}

fn panels_in(
    context: &Context,
    tree: &super::tree::Tree,
    folder: &str,
    user: Option<&str>,
    all: &mut Vec<Value>,
) {
    for path in context.in_time(folder, files_in(context, tree, folder, ".desktop")) {
        let Some(content) = context.read(tree, &path, 256 << 10) else { continue };
        let text = String::from_utf8_lossy(&content.bytes);
        if !text.contains("Settings") && !text.contains("KCModule") {
            continue;
        }
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("Desktop Entry", key);
        let categories: BTreeSet<&str> =
            get("Categories").unwrap_or_default().split(';').filter(|c| !c.is_empty()).collect();
        let is_panel = categories.iter().any(|c| *c == "Settings" || c.starts_with("X-GNOME-Settings-Panel"))
            || get("X-KDE-ServiceTypes").is_some_and(|t| t.contains("KCModule"));
        if !is_panel {
            continue;
        }
        all.push(json!({
            "id": stem(&path, ".desktop"),
            "name": get("Name"),
            "command": get("Exec"),
            "categories": categories,
            "hidden": get("NoDisplay") == Some("true") || get("Hidden") == Some("true"),
            "only_in": get("OnlyShowIn"),
            "library": get("X-KDE-Library"),
            "user": user,
            "path": tree.shown(&path),
            "modified": modified(&content.stat),
        }));
    }
}

/// Panels that are libraries.
fn libraries(context: &Context) -> Value {
    const FOLDERS: [(&str, &str); 6] = [
        ("KDE", "qt6/plugins/plasma/kcms/systemsettings"),
        ("KDE", "qt6/plugins/plasma/kcms/systemsettings_qwidgets"),
        ("KDE", "qt5/plugins/plasma/kcms/systemsettings"),
        ("KDE", "qt5/plugins/plasma/kcms/systemsettings_qwidgets"),
        ("Cinnamon", "cinnamon-control-center-1/panels"),
        ("MATE", "mate-control-center"),
    ];
    let mut all = Vec::new();
    for top in library_folders(context) {
        for (host, folder) in FOLDERS {
            for path in files_in(context, context.root(), &format!("{top}/{folder}"), ".so") {
                let stat = context.root().stat_target(&path).ok();
                all.push(json!({
                    "host": host,
                    "name": stem(&path, ".so"),
                    "path": path,
                    "size": stat.map(|s| s.st_size),
                }));
            }
        }
    }
    Value::Array(all)
}

/// Which actions policies know, by file.
fn polkit(context: &Context) -> Value {
    let files = files_in(context, context.root(), "/usr/share/polkit-1/actions", ".policy");
    let actions = context.in_time("policies", files).map(|path| {
        let text = context.text(&path).unwrap_or_default();
        let ids: Vec<&str> =
            text.split("<action id=\"").skip(1).filter_map(|rest| rest.split('"').next()).take(200).collect();
        json!({"file": stem(&path, ".policy"), "actions": ids})
    });
    let actions: Vec<Value> = actions.collect();
    let mut rules = Vec::new();
    for folder in ["/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"] {
        rules.extend(files_in(context, context.root(), folder, ".rules"));
    }
    json!({"actions": actions, "rules": rules})
}
