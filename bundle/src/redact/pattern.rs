//! What is found by its form: secrets, addresses, e-mails, home folders, card and account numbers.

use std::net::IpAddr;

use regex::{Captures, Regex, RegexBuilder};

use super::Level;

/// A piece of text that is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: &'static str,
}

/// Forms that are secrets wherever they stand. The name of the group begins with `s`.
const SECRETS: [&str; 18] = [
    // Private keys, whole or up to the end of the text.
    r"(?P<s1>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))",
    r"(?P<s2>AGE-SECRET-KEY-1[0-9A-Z]{20,})",
    // JSON web tokens.
    r"(?P<s3>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
    // Amazon, GitHub, GitLab, Slack, Google, Stripe, npm: prefixes that their makers publish.
    r"(?P<s4>\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b)",
    r"(?P<s5>\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,})",
    r"(?P<s6>\bglpat-[A-Za-z0-9_-]{20,})",
    r"(?P<s7>\bxox[abeprs]-[A-Za-z0-9-]{10,})",
    r"(?P<s8>\bAIza[0-9A-Za-z_-]{35})",
    r"(?P<s9>\b[rs]k_(?:live|test)_[0-9a-zA-Z]{16,})",
    r"(?P<s10>\bnpm_[A-Za-z0-9]{30,})",
    // Header lines: all that follows.
    r#"(?i:\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?(?P<s11>[^\r\n"']{4,}))"#,
    r"(?i:\b(?:set-)?cookie2?\s*:\s*(?P<s12>[^\r\n]{2,}))",
    r"(?i:\bbearer\s+(?P<s13>[A-Za-z0-9._~+/=-]{8,}))",
    // User and password of an address.
    r"(?:\b[A-Za-z][A-Za-z0-9+.-]{1,15}://(?P<s14>[^\s/@:]*:[^\s/@]+)@)",
    // A name that says so, whatever it begins with, and its value.
    r#"(?i:(?:pass(?:word|wd|phrase|code)|secret|token|(?:api|access|account|private|secret)[_-]?key|session[_-]?id|(?:\b|_)(?:pwd|sessid|otp|pass))["'\]]{0,2}\s*(?:=>|[:=])\s*["']?(?P<s15>[^\s"'&,;<>|]{3,}))"#,
    // The same as an option of a command, and in a query.
    r#"(?i:\s--?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api-?key|access-?key)\s+["']?(?P<s16>[^\s"']{3,}))"#,
    r#"(?i:[?&](?:key|sig|signature|auth|code|pin|sid|access_token|id_token)=(?P<s17>[^\s"'&<>#|]{3,}))"#,
    // An element of XML that says so.
    r"(?i:<[\w:.-]{0,40}(?:pass(?:word|wd|phrase|code)|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]{0,20}(?:\s[^<>]{0,200})?>\s*(?P<s18>[^<\s][^<]*))",
];

const MAIL: &str =
    r"(?P<mail>[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,24})";
const HOME: &str = r"(?:/home/|/Users/|(?i:[A-Z]:\\+Users\\+))(?P<home>[^/\\\s:\x22'<>|*?]{1,64})";
const MAC: &str = r"(?P<mac>\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b)";
const IP6: &str = r"(?P<ip6>(?:[0-9A-Fa-f]{1,4}:|:){2,7}(?::|[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?)";
const IP4: &str = r"(?P<ip4>\b(?:\d{1,3}\.){3}\d{1,3}\b)";
const IBAN: &str = r"(?P<iban>\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b)";
const CARD: &str = r"(?P<card>\b[2-6]\d(?:[ -]?\d){11,17}\b)";
/// Only where everything personal goes.
const URL: &str = r#"(?P<url>\b(?:https?|ftp|wss?)://[^\s"'<>|\\]+)"#;
const UUID: &str = r"(?P<id>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)";

/// The forms of a level.
#[derive(Debug)]
pub(super) struct Patterns {
    all: Option<Regex>,
}

impl Patterns {
    pub(super) fn new(level: Level) -> Self {
        if level == Level::None {
            return Self { all: None };
        }
        let mut parts: Vec<&str> = SECRETS.to_vec();
        if level == Level::Strict {
            parts.extend([URL, UUID]);
        }
        parts.extend([MAIL, HOME, MAC, IP6, IP4, IBAN, CARD]);
        // The texts are constants: a test builds both levels.
        Self { all: RegexBuilder::new(&parts.join("|")).size_limit(64 << 20).build().ok() }
    }

    /// What is to be replaced, in order, without overlaps.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        self.find_with_words(text).map(|(_, found)| found).collect()
    }

    /// The same, each with where the words that say what it is begin: before it, or at its start.
    pub(super) fn find_with_words(&self, text: &str) -> impl Iterator<Item = (usize, Found)> {
        let Some(all) = &self.all else { return Vec::new().into_iter() };
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(captures) = all.captures_at(text, at) {
            let Some(whole) = captures.get(0) else { break };
            match judge(&captures, text) {
                Some(found) => {
                    at = found.end.max(whole.start() + 1);
                    out.push((whole.start(), found));
                }
                // Not what it looked like: go on behind its first character.
                None => at = whole.start() + 1,
            }
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        out.into_iter()
    }

    #[cfg(test)]
    pub(super) fn are_built(&self) -> bool {
        self.all.is_some()
    }
}

/// What a match is, after a closer look.
fn judge(captures: &Captures<'_>, text: &str) -> Option<Found> {
    let found =
        |name: &str, kind| captures.name(name).map(|m| Found { start: m.start(), end: m.end(), kind });
    for (name, kind) in [("mail", "mail"), ("home", "user"), ("mac", "mac"), ("url", "url"), ("id", "id")] {
        if let Some(found) = found(name, kind) {
            return Some(found);
        }
    }
    for name in ["ip6", "ip4"] {
        if let Some(found) = found(name, "ip") {
            return is_ip(text, found).then_some(found);
        }
    }
    if let Some(found) = found("iban", "account") {
        return text.get(found.start..found.end).is_some_and(is_iban).then_some(found);
    }
    if let Some(found) = found("card", "card") {
        return text.get(found.start..found.end).is_some_and(is_card).then_some(found);
    }
    let secret = captures.iter().skip(1).flatten().next()?;
    if NOTHING.iter().any(|word| secret.as_str().eq_ignore_ascii_case(word)) {
        return None;
    }
    Some(Found { start: secret.start(), end: secret.end(), kind: "secret" })
}

/// What stands where a secret would, and says that there is none.
const NOTHING: [&str; 10] =
    ["none", "null", "nil", "true", "false", "yes", "empty", "unset", "undefined", "required"];

/// A whole address: not a part of a longer number (a version, an object identifier, a clock).
fn is_ip(text: &str, found: Found) -> bool {
    let bytes = text.as_bytes();
    let near = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    let (before, after) = (near(found.start.checked_sub(1)), near(Some(found.end)));
    let goes_on = after == b'.' && near(Some(found.end + 1)).is_ascii_digit();
    let joined = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_part = joined(before) || before == b'.' || before == b'-' || joined(after) || goes_on;
    let value = text.get(found.start..found.end).unwrap_or_default();
    !is_part && value.parse::<IpAddr>().is_ok() && value != "::"
}

/// Luhn's check, and a length that cards have.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if !(13..=19).contains(&digits.len()) || digits.windows(2).all(|w| w[0] == w[1]) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The check digits of ISO 13616.
fn is_iban(text: &str) -> bool {
    let compact: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let rest = tail.iter().chain(head).try_fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => Some((rest * 10 + u32::from(byte - b'0')) % 97),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(byte - b'A') + 10) % 97),
        _ => None,
    });
    rest == Some(1)
}
