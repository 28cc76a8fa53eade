//! The hosts file and how names are resolved.

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::words::{file, sha256};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "hosts",
    title: "Hosts file and name resolution",
    sections: &[
        ("file", hosts_file),
        ("entries", entries),
        ("resolver", resolver),
        ("order", order),
        ("access", access),
    ],
    personal: &[
        field("/data/file/owner", "user"),
        field("/data/entries/*/names", "host"),
        field("/data/resolver/search", "host"),
        field("/data/resolver/upstream_search", "host"),
        field("/data/access/*/lines", "path"),
    ],
    holds: &[Personal::HostName, Personal::Address, Personal::UserName],
};

/// Longest hosts file: lists of blocked names are long.
const MAX_HOSTS: u64 = 8 << 20;
/// Names that systems put there by themselves.
const USUAL: [&str; 12] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
];

fn hosts_file(context: &Context) -> Value {
    let Some(mut found) = file(context, context.root(), "/etc/hosts") else {
        context.problem("/etc/hosts", "not found");
        return Value::Null;
    };
    found["link"] = json!(context.root().link("/etc/hosts").ok());
    if let Some(content) = context.read(context.root(), "/etc/hosts", MAX_HOSTS) {
        found["sha256"] = json!((!content.is_cut).then(|| sha256(&content.bytes)));
        found["lines"] = json!(content.bytes.iter().filter(|b| **b == b'\n').count());
    }
    found
}

fn entries(context: &Context) -> Value {
    let Some(content) = context.read(context.root(), "/etc/hosts", MAX_HOSTS) else { return Value::Null };
    let text = String::from_utf8_lossy(&content.bytes);
    let all = text.lines().enumerate().filter_map(|(number, line)| {
        let (entry, comment) = line.split_once('#').map_or((line, None), |(entry, c)| (entry, Some(c)));
        let mut words = entry.split_whitespace();
        let ip = words.next()?;
        let (usual, names): (Vec<&str>, Vec<&str>) = words.partition(|name| USUAL.contains(name));
        Some(json!({
            "line": number + 1,
            "ip": ip,
            "usual_names": (!usual.is_empty()).then_some(usual),
            "names": (!names.is_empty()).then_some(names),
            "has_comment": comment.is_some(),
            "is_valid": ip.parse::<std::net::IpAddr>().is_ok(),
        }))
    });
    Value::Array(all.collect())
}

/// `nameserver`, `search` and `options` lines.
fn of_resolv_conf(text: &str) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let words = |keys: &[&str]| -> Vec<&str> {
        text.lines()
            .map(str::trim)
            .filter_map(|l| {
                let (key, rest) = l.split_once(char::is_whitespace)?;
                keys.contains(&key).then_some(rest)
            })
            .flat_map(str::split_whitespace)
            .collect()
    };
    (words(&["nameserver"]), words(&["search", "domain"]), words(&["options"]))
}

fn resolver(context: &Context) -> Value {
    let text = context.text("/etc/resolv.conf").unwrap_or_default();
    if text.is_empty() {
        context.problem("/etc/resolv.conf", "not found, or empty");
    }
    let (servers, search, options) = of_resolv_conf(&text);
    // What a local resolver asks itself.
    let upstream = ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"]
        .iter()
        .find_map(|path| context.text(path))
        .unwrap_or_default();
    let (upstream_servers, upstream_search, _) = of_resolv_conf(&upstream);
    let mut settings = serde_json::Map::new();
    let mut paths = vec!["/etc/systemd/resolved.conf".to_owned()];
    paths.extend(super::words::files_in(context, context.root(), "/etc/systemd/resolved.conf.d", ".conf"));
    for path in paths {
        let text = context.text(&path).unwrap_or_default();
        for (key, value) in Ini::parse(&text).section("Resolve") {
            settings.insert(key.to_owned(), json!(value));
        }
    }
    json!({
        "link": context.root().link("/etc/resolv.conf").ok(),
        "servers": servers,
        "search": search,
        "options": options,
        "upstream_servers": upstream_servers,
        "upstream_search": upstream_search,
        "resolved_settings": settings,
        "resolved_runs": context.root().has("/run/systemd/resolve/stub-resolv.conf"),
    })
}

/// In which order names are looked up.
fn order(context: &Context) -> Value {
    let text = context.text("/etc/nsswitch.conf").unwrap_or_default();
    let mut all = serde_json::Map::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        if let Some((key, value)) = line.split_once(':') {
            all.insert(key.trim().to_owned(), json!(value.split_whitespace().collect::<Vec<_>>()));
        }
    }
    if all.is_empty() {
        context.problem("/etc/nsswitch.conf", "not found, or empty");
    }
    let gai = context.text("/etc/gai.conf").unwrap_or_default();
    let gai: Vec<&str> =
        gai.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).take(100).collect();
    json!({"databases": all, "address_selection": gai})
}

/// Who may connect, as the wrappers have it.
fn access(context: &Context) -> Value {
    let all = ["/etc/hosts.allow", "/etc/hosts.deny"].into_iter().filter_map(|path| {
        let text = context.text(path)?;
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).take(500).collect();
        Some(json!({"path": path, "lines": lines}))
    });
    Value::Array(all.collect())
}
