//! What extends file managers and the desktop's shell: libraries, scripts, menus, previews, search.

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::tree::{EntryKind, Tree};
use super::words::{file, files_in, folders_in, library_folders};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "file_manager_extensions",
    title: "Extensions of file managers",
    sections: &[
        ("libraries", libraries),
        ("actions", actions),
        ("shell", shell),
        ("previews", previews),
        ("search", search),
    ],
    personal: &[
        field("/data/libraries/*/owner", "user"),
        field("/data/libraries/*/path", "path"),
        field("/data/actions/*/user", "user"),
        field("/data/actions/*/owner", "user"),
        field("/data/actions/*/path", "path"),
        field("/data/actions/*/command", "path"),
        field("/data/shell/*/user", "user"),
        field("/data/shell/*/path", "path"),
        field("/data/previews/*/user", "user"),
        field("/data/previews/*/path", "path"),
        field("/data/previews/*/command", "path"),
    ],
    holds: &[Personal::UserName, Personal::Path, Personal::Program],
};

/// Host and folder of libraries, from each folder of libraries.
const LIBRARIES: [(&str, &str); 15] = [
    ("Nautilus", "nautilus/extensions-4"),
    ("Nautilus", "nautilus/extensions-3.0"),
    ("Nemo", "nemo/extensions-3.0"),
    ("Caja", "caja/extensions-2.0"),
    ("Thunar", "thunarx-3"),
    ("Thunar", "thunarx-2"),
    ("PCManFM", "libfm/modules"),
    ("Dolphin", "qt6/plugins/kf6/kfileitemaction"),
    ("Dolphin", "qt6/plugins/kf6/overlayicon"),
    ("Dolphin", "qt6/plugins/kf6/thumbcreator"),
    ("Dolphin", "qt6/plugins/kf6/kio"),
    ("Dolphin", "qt6/plugins/dolphin/vcs"),
    ("Dolphin", "qt5/plugins/kf5/kfileitemaction"),
    ("Dolphin", "qt5/plugins/kf5/overlayicon"),
    ("Dolphin", "qt5/plugins/kf5/kio"),
];

fn libraries(context: &Context) -> Value {
    let mut all = Vec::new();
    let root = context.root();
    for top in library_folders(context) {
        for (host, folder) in LIBRARIES {
            for path in files_in(context, root, &format!("{top}/{folder}"), ".so") {
                all.extend(described(context, root, &path, host, "library", None));
            }
        }
    }
    for (host, folder) in [
        ("Nautilus", "/usr/share/nautilus-python/extensions"),
        ("Nemo", "/usr/share/nemo-python/extensions"),
        ("Caja", "/usr/share/caja-python/extensions"),
        ("Thunar", "/usr/share/thunarx-python/extensions"),
    ] {
        for path in files_in(context, root, folder, ".py") {
            all.extend(described(context, root, &path, host, "python", None));
        }
    }
    Value::Array(all)
}

fn described(
    context: &Context,
    tree: &Tree,
    path: &str,
    host: &str,
    kind: &str,
    user: Option<&str>,
) -> Option<Value> {
    let mut found = file(context, tree, path)?;
    found["host"] = json!(host);
    found["kind"] = json!(kind);
    found["user"] = json!(user);
    Some(found)
}

/// Scripts and menus: those of the system, and those of each user.
fn actions(context: &Context) -> Value {
    let mut all = Vec::new();
    for top in ["/usr/share", "/usr/local/share"] {
        actions_in(context, context.root(), top, None, &mut all);
    }
    for home in context.in_time("homes", context.homes()) {
        actions_in(context, &home.tree, ".local/share", Some(&home.user), &mut all);
        let thunar = ".config/Thunar/uca.xml";
        all.extend(described(context, &home.tree, thunar, "Thunar", "custom actions", Some(&home.user)));
    }
    Value::Array(all)
}

fn actions_in(context: &Context, tree: &Tree, top: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for (host, folder, kind, ending) in [
        ("Nautilus", "nautilus/scripts", "script", ""),
        ("Nautilus", "nautilus-python/extensions", "python", ".py"),
        ("Nemo", "nemo/scripts", "script", ""),
        ("Nemo", "nemo/actions", "action", ".nemo_action"),
        ("Nemo", "nemo-python/extensions", "python", ".py"),
        ("Caja", "caja/scripts", "script", ""),
        ("Caja", "caja-python/extensions", "python", ".py"),
        ("Dolphin", "kio/servicemenus", "service menu", ".desktop"),
        ("Dolphin", "kservices5/ServiceMenus", "service menu", ".desktop"),
        ("File managers", "file-manager/actions", "action", ".desktop"),
    ] {
        for path in files_in(context, tree, &format!("{top}/{folder}"), ending) {
            let Some(mut found) = described(context, tree, &path, host, kind, user) else { continue };
            if ending == ".desktop" || ending == ".nemo_action" {
                let text = context.text_of(tree, &path).unwrap_or_default();
                let ini = Ini::parse(&text);
                let any = |key: &str| ini.sections().into_iter().find_map(|s| ini.get(s, key));
                found["name"] = json!(any("Name"));
                found["command"] = json!(any("Exec"));
                found["types"] = json!(any("MimeType").or_else(|| any("Mimetypes")));
            }
            all.push(found);
        }
    }
}

/// Extensions of GNOME Shell, Cinnamon and Plasma, by what they say of themselves.
fn shell(context: &Context) -> Value {
    let mut all = Vec::new();
    shell_in(context, context.root(), "/usr/share", None, &mut all);
    for home in context.in_time("homes", context.homes()) {
        shell_in(context, &home.tree, ".local/share", Some(&home.user), &mut all);
    }
    Value::Array(all)
}

fn shell_in(context: &Context, tree: &Tree, top: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for (host, folder) in [
        ("GNOME Shell", "gnome-shell/extensions"),
        ("Cinnamon", "cinnamon/extensions"),
        ("Cinnamon", "cinnamon/applets"),
        ("Plasma", "plasma/plasmoids"),
    ] {
        for name in folders_in(context, tree, &format!("{top}/{folder}")) {
            let at = format!("{top}/{folder}/{name}");
            let Some(text) = context.text_of(tree, &format!("{at}/metadata.json")) else { continue };
            let Ok(about) = serde_json::from_str::<Value>(&text) else {
                context.problem(&tree.shown(&format!("{at}/metadata.json")), "it is no JSON");
                continue;
            };
            let plugin = about.get("KPlugin").unwrap_or(&about);
            all.push(json!({
                "host": host,
                "id": about.get("uuid").or_else(|| plugin.get("Id")).cloned().unwrap_or_else(|| json!(name)),
                "name": plugin.get("name").or_else(|| plugin.get("Name")),
                "version": plugin.get("version").or_else(|| plugin.get("Version")),
                "for": about.get("shell-version"),
                "url": about.get("url"),
                "path": tree.shown(&at),
                "user": user,
            }));
        }
    }
}

/// Programs that make previews of files.
fn previews(context: &Context) -> Value {
    let mut all = Vec::new();
    previews_in(context, context.root(), "/usr/share/thumbnailers", None, &mut all);
    for home in context.in_time("homes", context.homes()) {
        previews_in(context, &home.tree, ".local/share/thumbnailers", Some(&home.user), &mut all);
    }
    Value::Array(all)
}

fn previews_in(context: &Context, tree: &Tree, folder: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for path in files_in(context, tree, folder, ".thumbnailer") {
        let text = context.text_of(tree, &path).unwrap_or_default();
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("Thumbnailer Entry", key);
        all.push(json!({"path": tree.shown(&path), "command": get("Exec"), "types": get("MimeType"), "user": user}));
    }
}

/// Programs that answer searches of the desktop.
fn search(context: &Context) -> Value {
    let root = context.root();
    let mut all = Vec::new();
    for path in files_in(context, root, "/usr/share/gnome-shell/search-providers", ".ini") {
        let text = context.text(&path).unwrap_or_default();
        let ini = Ini::parse(&text);
        let get = |key: &str| ini.get("Shell Search Provider", key);
        all.push(json!({"host": "GNOME Shell", "path": path, "desktop_id": get("DesktopId"), "bus_name": get("BusName")}));
    }
    for entry in
        context.list("/usr/share/krunner/dbusplugins").into_iter().filter(|e| e.kind != EntryKind::Folder)
    {
        all.push(
            json!({"host": "KRunner", "path": format!("/usr/share/krunner/dbusplugins/{}", entry.name)}),
        );
    }
    Value::Array(all)
}
