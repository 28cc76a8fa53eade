//! Redaction: what is replaced before anything reaches a draft. A net, not a promise: text that says who somebody is in
//! words of its own passes any pattern, and so the user looks at everything before it is sealed.
//!
//! | level | free text and files | fields of events |
//! | --- | --- | --- |
//! | none | as it is | as recorded |
//! | standard | secrets removed; names of users and computers, home folders, addresses, e-mails replaced | the same; fields of class *personal* by what they mean |
//! | strict | also visited addresses, files below home folders, device numbers | every field of class *personal* as a whole |
//!
//! A replacement is a *pseudonym*: the same value gives the same one everywhere in a bundle, another one in another
//! bundle. Who is behind it stays in the draft, which the user alone can open, and is never sealed.

mod database;
mod field;
mod json;
mod known;
mod pattern;
mod pseudonym;
mod segment;
mod sink;
mod stream;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub use known::Known;
pub use pseudonym::PseudonymKey;
pub use sink::Redacting;

use pattern::{Found, Patterns};

/// How much is replaced.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing.
    None,
    /// Secrets, names, addresses, e-mails.
    #[default]
    Standard,
    /// Whatever is personal.
    Strict,
}

impl Level {
    /// Its name: `none`, `standard`, `strict`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

/// What was replaced: how often, by kind and by member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By kind: `user`, `host`, `ip`, `mail`, `secret`, ..
    pub kinds: BTreeMap<&'static str, u64>,
    /// By member and kind.
    pub members: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

/// Longest map of pseudonyms that is kept; more are replaced all the same.
const MAX_MAP: usize = 1_000_000;

/// Replaces; keeps count, and the map from pseudonyms back.
#[derive(Debug)]
pub struct Redactor {
    level: Level,
    key: PseudonymKey,
    known: Known,
    patterns: Patterns,
    report: Report,
    member: String,
    map: BTreeMap<String, String>,
}

impl Redactor {
    /// Makes one for a bundle. `known` are the names of this computer and its users.
    #[must_use]
    pub fn new(level: Level, key: PseudonymKey, known: Known) -> Self {
        Self {
            level,
            key,
            known,
            patterns: Patterns::new(level),
            report: Report::default(),
            member: String::new(),
            map: BTreeMap::new(),
        }
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What was replaced so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// From each pseudonym back to what it stands for. For the user alone.
    #[must_use]
    pub fn map(&self) -> &BTreeMap<String, String> {
        &self.map
    }

    fn count(&mut self, kind: &'static str) {
        *self.report.kinds.entry(kind).or_default() += 1;
        if !self.member.is_empty() {
            *self.report.members.entry(self.member.clone()).or_default().entry(kind).or_default() += 1;
        }
    }

    fn remember(&mut self, pseudonym: &str, original: &str) {
        if self.map.len() < MAX_MAP && !self.map.contains_key(pseudonym) {
            self.map.insert(pseudonym.to_owned(), original.to_owned());
        }
    }

    /// Whether what stands under a name is a secret by that name.
    fn says_secret(&self, name: &str) -> bool {
        if self.level == Level::None || name.is_empty() {
            return false;
        }
        let both = format!("{name}=aaaaaaaa");
        self.patterns.find(&both).iter().any(|found| found.kind == "secret" && found.start > name.len())
    }

    /// The pseudonym of a value of this kind.
    fn pseudonym(&mut self, kind: &'static str, value: &str) -> String {
        let pseudonym = self.key.name(kind, value);
        self.count(kind);
        self.remember(&pseudonym, value);
        pseudonym
    }

    /// The pseudonym of an address: one that belongs to nobody. Addresses that say nothing (loopback, unspecified,
    /// multicast, broadcast) stay.
    pub fn ip(&mut self, ip: IpAddr) -> IpAddr {
        if self.level == Level::None || pseudonym::says_nothing(ip) {
            return ip;
        }
        let other = self.key.ip(ip);
        self.count("ip");
        self.remember(&other.to_string(), &ip.to_string());
        other
    }

    /// Replaces in free text.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        if self.level == Level::None || text.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let mut done = 0;
        let found: Vec<Found> = self.patterns.find(text);
        for found in found {
            let (Some(before), Some(value)) = (text.get(done..found.start), text.get(found.start..found.end))
            else {
                continue;
            };
            let replacement = match found.kind {
                "secret" => {
                    self.count("secret");
                    "[secret removed]".to_owned()
                }
                "ip" => match value.parse() {
                    Ok(ip) if !pseudonym::says_nothing(ip) => self.ip(ip).to_string(),
                    _ => continue,
                },
                "url" => self.url(value),
                kind => self.pseudonym(kind, value),
            };
            let before = self.names(before);
            out.push_str(&before);
            out.push_str(&replacement);
            done = found.end;
        }
        let rest = text.get(done..).unwrap_or_default();
        if done == 0 {
            return self.names(rest);
        }
        let rest = self.names(rest);
        out.push_str(&rest);
        Cow::Owned(out)
    }

    /// What would be replaced in a text, each from the words that say what it is to its end.
    fn ranges(&self, text: &str) -> Vec<(usize, usize)> {
        let found = self.patterns.find_with_words(text).map(|(from, found)| (from, found.end));
        let known = self.known.find(text).into_iter().map(|(start, end, _)| (start, end));
        found.chain(known).collect()
    }

    /// Replaces the names of users and computers.
    fn names<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let found = self.known.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut out, mut done) = (String::new(), 0);
        for (start, end, kind) in found {
            let (Some(before), Some(value)) = (text.get(done..start), text.get(start..end)) else { continue };
            out.push_str(before);
            // Names of computers are the same in any case.
            let value = if kind == "host" { value.to_ascii_lowercase() } else { value.to_owned() };
            out.push_str(&self.pseudonym(kind, &value));
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// A URL: the scheme stays, the host and what follows become pseudonyms of their own, so that two visits of one
    /// host can be seen to be of one host.
    fn url(&mut self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.contains(':') => {
                (host, port)
            }
            _ => (host, ""),
        };
        let mut out = String::new();
        if !scheme.is_empty() {
            out.push_str(scheme);
            out.push_str("://");
        }
        out.push_str(&self.host(host));
        if !port.is_empty() {
            out.push(':');
            out.push_str(port);
        }
        if path.len() > 1 {
            out.push('/');
            out.push_str(&self.pseudonym("path", path));
        } else {
            out.push_str(path);
        }
        out
    }

    /// A host: a name, or an address.
    fn host(&mut self, host: &str) -> String {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let other = self.ip(ip);
            return if other.is_ipv6() && host.starts_with('[') {
                format!("[{other}]")
            } else {
                other.to_string()
            };
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() || name == "localhost" {
            return host.to_owned();
        }
        self.pseudonym("host", &name)
    }
}

#[cfg(test)]
mod tests;
