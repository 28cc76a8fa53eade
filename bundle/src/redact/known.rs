//! Names that are known to be personal: those of this computer and of its users.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

/// Shortest name that is looked for in free text: shorter ones are in too many words.
const SHORTEST: usize = 3;
/// Names of users and computers that are nobody's.
const COMMON: [&str; 30] = [
    "root",
    "admin",
    "administrator",
    "user",
    "users",
    "guest",
    "test",
    "nobody",
    "daemon",
    "localhost",
    "local",
    "linux",
    "debian",
    "ubuntu",
    "fedora",
    "home",
    "host",
    "server",
    "client",
    "desktop",
    "laptop",
    "default",
    "public",
    "service",
    "system",
    "www",
    "mail",
    "data",
    "docker",
    "container",
];

/// The names, ready to be looked for.
#[derive(Debug)]
pub struct Known {
    kinds: Vec<&'static str>,
    finder: Option<AhoCorasick>,
}

impl Known {
    /// From names of users (login names and full names) and of computers.
    #[must_use]
    pub fn new<'n>(
        users: impl IntoIterator<Item = &'n str>,
        hosts: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let mut names = BTreeMap::new();
        let mut add = |name: &str, kind: &'static str| {
            let name = name.trim();
            let is_common = COMMON.iter().any(|c| name.eq_ignore_ascii_case(c));
            if name.len() >= SHORTEST && !is_common && !name.bytes().all(|b| b.is_ascii_digit()) {
                names.entry(name.to_owned()).or_insert(kind);
            }
        };
        users.into_iter().for_each(|name| add(name, "user"));
        for host in hosts {
            add(host, "host");
            // Also without its domain.
            if let Some((short, _)) = host.split_once('.') {
                add(short, "host");
            }
        }
        let kinds = names.values().copied().collect();
        let finder = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(names.keys())
            .ok()
            .filter(|_| !names.is_empty());
        Self { kinds, finder }
    }

    /// Those of this computer: its name, and the people in the user database (ids from 1000, as Debian and Fedora give
    /// them), with their full names.
    #[must_use]
    pub fn of_this_computer() -> Self {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut users = Vec::new();
        for line in passwd.lines() {
            let parts: Vec<&str> = line.split(':').collect();
            let [name, _, uid, _, comment, ..] = parts[..] else { continue };
            if uid.parse::<u32>().is_ok_and(|uid| (1000..60_000).contains(&uid)) {
                users.push(name.to_owned());
                users.extend(comment.split(',').next().map(str::to_owned));
            }
        }
        for variable in ["USER", "LOGNAME", "SUDO_USER"] {
            users.extend(std::env::var(variable));
        }
        let uname = rustix::system::uname();
        let mut hosts = vec![uname.nodename().to_string_lossy().into_owned()];
        hosts.extend(std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned()));
        Self::new(users.iter().map(String::as_str), hosts.iter().map(String::as_str))
    }

    /// Where they are in a text: start, end and kind. Only whole words.
    pub(super) fn find(&self, text: &str) -> Vec<(usize, usize, &'static str)> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let bytes = text.as_bytes();
        let is_word = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at)).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
        };
        finder
            .find_iter(text)
            .filter(|m| !is_word(m.start().checked_sub(1)) && !is_word(Some(m.end())))
            .map(|m| (m.start(), m.end(), self.kinds.get(m.pattern().as_usize()).copied().unwrap_or("user")))
            .collect()
    }
}
