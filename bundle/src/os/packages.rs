//! Installed packages, of every package system that is found: dpkg, rpm, pacman, apk, flatpak, snap.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::context::Context;
use super::ini::Ini;
use super::program;
use super::tree::Tree;
use super::words::{folders_in, modified, time};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "packages",
    title: "Installed packages",
    sections: &[
        ("dpkg", dpkg),
        ("rpm", rpm),
        ("pacman", pacman),
        ("apk", apk),
        ("flatpak", flatpak),
        ("snap", snap),
        ("sources", sources),
    ],
    personal: &[
        field("/data/dpkg/*/version", "public"),
        field("/data/rpm/*/version", "public"),
        field("/data/pacman/*/version", "public"),
        field("/data/apk/*/version", "public"),
        field("/data/snap/*/version", "public"),
        field("/data/flatpak/*/home_of", "user"),
    ],
    holds: &[Personal::Program, Personal::UserName],
};

/// Longest database that is read.
const MAX_DATABASE: u64 = 64 << 20;

/// `Key: value` lines up to an empty one; lines that go on begin with a space.
fn stanzas(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    text.split("\n\n").map(|stanza| {
        stanza
            .lines()
            .filter(|l| !l.starts_with([' ', '\t']))
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k, v.trim()))
            .collect()
    })
}

fn database(context: &Context, path: &str) -> Option<String> {
    let content = context.read(context.root(), path, MAX_DATABASE)?;
    Some(
        String::from_utf8(content.bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

fn dpkg(context: &Context) -> Value {
    let Some(text) = database(context, "/var/lib/dpkg/status") else { return Value::Null };
    let all = context.in_time("packages", stanzas(&text)).filter_map(|stanza| {
        let name = *stanza.get("Package")?;
        let status = stanza.get("Status").copied().unwrap_or_default();
        // Removed, and only settings are left.
        if status.ends_with("not-installed") || status.ends_with("config-files") {
            return None;
        }
        let arch = stanza.get("Architecture").copied().unwrap_or_default();
        let list =
            [format!("/var/lib/dpkg/info/{name}.list"), format!("/var/lib/dpkg/info/{name}:{arch}.list")];
        let installed = list.iter().find_map(|path| context.root().stat(path).ok());
        Some(json!({
            "name": name,
            "version": stanza.get("Version"),
            "arch": arch,
            "source": stanza.get("Source"),
            "status": (status != "install ok installed").then_some(status),
            "installed_at": installed.and_then(|stat| modified(&stat)),
        }))
    });
    json!(all.collect::<Vec<_>>())
}

/// The versions of some packages, for those who want to say more of them.
pub(super) fn dpkg_versions(context: &Context, wanted: &[&str]) -> BTreeMap<String, String> {
    let text = database(context, "/var/lib/dpkg/status").unwrap_or_default();
    stanzas(&text)
        .filter_map(|stanza| {
            let name = wanted.iter().find(|w| stanza.get("Package") == Some(w))?;
            let is_installed = stanza.get("Status").is_some_and(|s| s.ends_with(" installed"));
            is_installed.then(|| Some(((*name).to_owned(), (*stanza.get("Version")?).to_owned())))?
        })
        .collect()
}

const RPM: &str = "/usr/bin/rpm";
const RPM_DATABASES: [&str; 4] = [
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
];
/// What `rpm` is asked to write: five columns.
const RPM_FORMAT: &str = "%{NAME}\\t%{EVR}\\t%{ARCH}\\t%{INSTALLTIME}\\t%{VENDOR}\\n";

fn rpm(context: &Context) -> Value {
    if !RPM_DATABASES.iter().any(|path| context.root().has(path)) {
        return Value::Null;
    }
    // Its database is of several forms, of which none is promised: its own program reads it.
    if !context.system.is_real {
        context.problem("rpm", "its database is read by its own program, and that only for this system");
        return Value::Null;
    }
    match program::output(RPM, &["-qa", "--queryformat", RPM_FORMAT], context.left(), MAX_DATABASE) {
        Ok((bytes, is_cut)) => {
            if is_cut {
                context.problem(RPM, "it has more packages than are taken");
            }
            rpm_lines(&String::from_utf8_lossy(&bytes))
        }
        Err(e) => {
            context.error(RPM, &e);
            Value::Null
        }
    }
}

fn rpm_lines(text: &str) -> Value {
    let all = text.lines().filter_map(|line| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [name, version, arch, installed, vendor] = parts[..] else { return None };
        Some(json!({
            "name": name,
            "version": version,
            "arch": arch,
            "vendor": (vendor != "(none)").then_some(vendor),
            "installed_at": installed.parse().ok().and_then(time),
        }))
    });
    Value::Array(all.collect())
}

fn pacman(context: &Context) -> Value {
    let local = "/var/lib/pacman/local";
    if !context.root().has(local) {
        return Value::Null;
    }
    let names = folders_in(context, context.root(), local);
    let all = context.in_time("packages", names).filter_map(|name| {
        let text = context.text(&format!("{local}/{name}/desc"))?;
        // `%NAME%` on a line, its values on the next ones.
        let get = |key: &str| {
            let mut lines = text.lines().skip_while(move |l| *l != key);
            lines.nth(1).filter(|l| !l.is_empty())
        };
        Some(json!({
            "name": get("%NAME%"),
            "version": get("%VERSION%"),
            "arch": get("%ARCH%"),
            "installed_at": get("%INSTALLDATE%").and_then(|t| t.parse().ok()).and_then(time),
        }))
    });
    json!(all.collect::<Vec<_>>())
}

fn apk(context: &Context) -> Value {
    let found = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
    let Some(text) = found.iter().find_map(|path| database(context, path)) else { return Value::Null };
    let all = stanzas(&text)
        .filter_map(|s| Some(json!({"name": s.get("P")?, "version": s.get("V"), "arch": s.get("A")})));
    json!(all.collect::<Vec<_>>())
}

fn flatpak(context: &Context) -> Value {
    let mut all = Vec::new();
    flatpaks(context, context.root(), "/var/lib/flatpak", None, &mut all);
    for home in context.in_time("homes", context.homes()) {
        flatpaks(context, &home.tree, ".local/share/flatpak", Some(&home.user), &mut all);
    }
    if all.is_empty() && !context.root().has("/var/lib/flatpak") { Value::Null } else { json!(all) }
}

/// An installation: `app/ID/ARCH/BRANCH/active`, and `runtime` the same way.
fn flatpaks(context: &Context, tree: &Tree, top: &str, user: Option<&str>, all: &mut Vec<Value>) {
    for kind in ["app", "runtime"] {
        for id in context.in_time("flatpaks", folders_in(context, tree, &format!("{top}/{kind}"))) {
            let at = format!("{top}/{kind}/{id}");
            for arch in folders_in(context, tree, &at) {
                for branch in folders_in(context, tree, &format!("{at}/{arch}")) {
                    let active = format!("{at}/{arch}/{branch}/active");
                    let commit = tree.link(&active).ok();
                    // The link is flatpak's own, to a folder beside it; it is not followed in a home.
                    let folder = commit.as_ref().map(|c| format!("{at}/{arch}/{branch}/{c}"));
                    let metadata = folder.and_then(|f| context.text_of(tree, &format!("{f}/metadata")));
                    let ini = Ini::parse(metadata.as_deref().unwrap_or_default());
                    let get = |key: &str| ini.get("Application", key).or_else(|| ini.get("Runtime", key));
                    all.push(json!({
                        "name": id,
                        "kind": kind,
                        "arch": arch,
                        "branch": branch,
                        "commit": commit,
                        "runtime": get("runtime"),
                        "shared": ini.get("Context", "shared"),
                        "file_systems": ini.get("Context", "filesystems"),
                        "home_of": user,
                    }));
                }
            }
        }
    }
}

fn snap(context: &Context) -> Value {
    let Some(top) = ["/snap", "/var/lib/snapd/snap"].into_iter().find(|path| context.root().has(path)) else {
        return Value::Null;
    };
    let names = folders_in(context, context.root(), top);
    let all = context.in_time("snaps", names).filter_map(|name| {
        let text = context.text(&format!("{top}/{name}/current/meta/snap.yaml"))?;
        // Only top-level scalars are of interest: lines that are not indented.
        let get = |key: &str| {
            let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
            Some(value.trim().trim_matches(['"', '\'']))
        };
        let revision = context.root().link(&format!("{top}/{name}/current")).ok();
        Some(json!({
            "name": name,
            "version": get("version"),
            "confinement": get("confinement"),
            "base": get("base"),
            "revision": revision,
        }))
    });
    json!(all.collect::<Vec<_>>())
}

/// Where packages come from: repositories, without the names and passwords that some addresses have.
fn sources(context: &Context) -> Value {
    let mut paths: Vec<String> =
        vec!["/etc/apt/sources.list".into(), "/etc/pacman.conf".into(), "/etc/apk/repositories".into()];
    for (folder, ending) in [
        ("/etc/apt/sources.list.d", ".list"),
        ("/etc/apt/sources.list.d", ".sources"),
        ("/etc/yum.repos.d", ".repo"),
        ("/etc/zypp/repos.d", ".repo"),
    ] {
        paths.extend(super::words::files_in(context, context.root(), folder, ending));
    }
    let all = context.in_time("sources", paths).filter_map(|path| {
        let text = context.text(&path)?;
        let lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .take(200)
            .map(without_credentials)
            .collect();
        (!lines.is_empty()).then(|| json!({"path": path, "lines": lines}))
    });
    json!(all.collect::<Vec<_>>())
}

/// `https://user:password@host/` without what stands before the host.
pub(super) fn without_credentials(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(['/', ' ', '"', '\'']).unwrap_or(tail.len());
        let (authority, tail) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str("[removed]@");
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpm_writes_is_read() {
        let text = "bash\t5.2.37-1.fc42\tx86_64\t1767225600\tFedora Project\nodd line\ngpg-pubkey\t1-2\t(none)\t0\t(none)\n";
        let all = rpm_lines(text);
        assert_eq!(all[0]["version"], "5.2.37-1.fc42");
        assert_eq!(all[0]["installed_at"], "2026-01-01T00:00:00Z");
        assert_eq!(all.as_array().unwrap().len(), 2);
        assert_eq!(all[1]["vendor"], Value::Null);
    }

    #[test]
    fn credentials_of_repositories_are_left_out() {
        let text = "deb [signed-by=/a] https://me:geheim@repo.example/debian stable main http://b.example/x";
        let expected =
            "deb [signed-by=/a] https://[removed]@repo.example/debian stable main http://b.example/x";
        assert_eq!(without_credentials(text), expected);
    }
}
