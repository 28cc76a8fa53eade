//! Printing: queues, drivers, filters and back ends of CUPS.

use serde_json::{Value, json};

use super::context::Context;
use super::tree::EntryKind;
use super::words::{files_in, folders_in, mode, modified, owner, sha256, stem};
use super::{Group, cups, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "printing",
    title: "Printing",
    sections: &[
        ("server", server),
        ("queues", queues),
        ("drivers", drivers),
        ("programs", programs),
        ("types", types),
    ],
    personal: &[
        field("/data/queues/*/name", "text"),
        field("/data/queues/*/uri", "url"),
        field("/data/queues/*/info", "text"),
        field("/data/queues/*/place", "text"),
        field("/data/drivers/*/queue", "text"),
        field("/data/drivers/*/path", "text"),
        field("/data/programs/*/owner", "user"),
        field("/data/server/settings/*", "path"),
    ],
    holds: &[Personal::Device, Personal::Address, Personal::Url, Personal::UserName, Personal::HostName],
};

fn server(context: &Context) -> Value {
    if context.first_of(&["/etc/cups", "/usr/lib/cups"], "CUPS is not installed").is_none() {
        return Value::Null;
    }
    let settings: Vec<String> = context
        .text("/etc/cups/cupsd.conf")
        .map(|text| {
            let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
            lines.take(300).map(str::to_owned).collect()
        })
        .unwrap_or_default();
    json!({
        "runs": context.root().has("/run/cups/cups.sock"),
        "version": super::packages::dpkg_versions(context, &["cups-daemon"]).remove("cups-daemon"),
        "settings": settings,
        "client_settings": context.value("/etc/cups/client.conf"),
    })
}

/// The queues: as CUPS itself says, else as its files do.
fn queues(context: &Context) -> Value {
    match cups::queues(context) {
        Ok(queues) => return queues,
        Err(why) => context.problem("/run/cups/cups.sock", &why),
    }
    // Only root and the print service may read it: it can hold passwords.
    let Some(text) = context.text("/etc/cups/printers.conf") else { return Value::Null };
    json!(of_file(&text))
}

/// `<Printer name>` (or `<DefaultPrinter name>`), its settings, `</Printer>`.
fn of_file(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut now: Option<Value> = None;
    for line in text.lines().map(str::trim) {
        if let Some((kind, name)) = line.strip_prefix('<').and_then(|l| l.strip_suffix('>')?.split_once(' '))
        {
            now = Some(json!({"name": name, "is_default": kind.starts_with("Default")}));
        } else if line.starts_with("</") {
            all.extend(now.take());
        } else if let (Some(queue), Some((key, value))) = (&mut now, line.split_once(' ')) {
            let ours = match key {
                "DeviceURI" => "uri",
                "Info" => "info",
                "Location" => "place",
                "MakeModel" => "make_and_model",
                "State" => "state",
                "Reason" => "reasons",
                "Accepting" => "accepting",
                "Shared" => "shared",
                _ => continue,
            };
            let value =
                if ours == "uri" { super::packages::without_credentials(value) } else { value.to_owned() };
            queue[ours] = json!(value);
        }
    }
    all
}

/// What each queue's description names: make, version, and the programs that it needs.
fn drivers(context: &Context) -> Value {
    let files = files_in(context, context.root(), "/etc/cups/ppd", ".ppd");
    let all = context.in_time("descriptions", files).filter_map(|path| {
        let content = context.read(context.root(), &path, 4 << 20)?;
        let text = String::from_utf8_lossy(&content.bytes);
        let get = |key: &str| {
            let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let filters: Vec<&str> = text
            .lines()
            .filter(|l| {
                l.starts_with("*cupsFilter:")
                    || l.starts_with("*cupsFilter2:")
                    || l.starts_with("*cupsPreFilter:")
            })
            .filter_map(|l| Some(l.split_once(':')?.1.trim().trim_matches('"')))
            .take(50)
            .collect();
        Some(json!({
            "queue": stem(&path, ".ppd"),
            "path": path,
            "nickname": get("*NickName"),
            "manufacturer": get("*Manufacturer"),
            "model": get("*ModelName"),
            "file_version": get("*FileVersion"),
            "filters": filters,
            "modified": modified(&content.stat),
            "sha256": sha256(&content.bytes),
        }))
    });
    json!(all.collect::<Vec<_>>())
}

/// Filters, back ends and generators of drivers: programs that print jobs run through. One that does not belong to root, or
/// that others may write, is marked.
fn programs(context: &Context) -> Value {
    let mut all = Vec::new();
    for top in ["/usr/lib/cups", "/usr/libexec/cups", "/usr/local/lib/cups", "/opt/cups"] {
        for kind in ["filter", "backend", "backend-available", "driver", "cgi-bin", "notifier", "monitor"] {
            let folder = format!("{top}/{kind}");
            let entries = context.list(&folder).into_iter().filter(|e| e.kind != EntryKind::Folder);
            for entry in context.in_time(&folder, entries) {
                let path = format!("{folder}/{}", entry.name);
                let Ok(stat) = context.root().stat_target(&path) else { continue };
                let target =
                    (entry.kind == EntryKind::Link).then(|| context.root().link(&path).ok()).flatten();
                all.push(json!({
                    "kind": kind,
                    "name": entry.name,
                    "path": path,
                    "link": target,
                    "size": stat.st_size,
                    "mode": mode(&stat),
                    "owner": owner(context, &stat),
                    "modified": modified(&stat),
                    "suspicious": (stat.st_uid != 0 || stat.st_mode & 0o022 != 0).then_some(true),
                }));
            }
        }
    }
    json!(all)
}

/// Files that add types and conversions.
fn types(context: &Context) -> Value {
    let mut all = Vec::new();
    for folder in ["/usr/share/cups/mime", "/etc/cups"] {
        for ending in [".types", ".convs"] {
            all.extend(files_in(context, context.root(), folder, ending));
        }
    }
    let models: usize = ["/usr/share/ppd", "/usr/share/cups/model"]
        .iter()
        .map(|folder| folders_in(context, context.root(), folder).len())
        .sum();
    json!({"files": all, "model_folders": models})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_the_file() {
        let text = "# x\n<DefaultPrinter Büro>\nInfo Laser\nDeviceURI ipp://me:pw@10.1.2.3/ipp\nState Idle\n</DefaultPrinter>\n<Printer b>\n</Printer>\nnonsense\n";
        let all = of_file(text);
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0]["name"], &all[0]["is_default"]), (&json!("Büro"), &json!(true)));
        assert_eq!(all[0]["uri"], "ipp://[removed]@10.1.2.3/ipp");
    }
}
