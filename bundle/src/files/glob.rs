//! Patterns of paths: `/var/log/product/*.log`, `~/.config/product/**/*.toml`.
//!
//! `*`, `?` and `[a-z]` stand for parts of one name, `**` for any number of folders. None of them stands for a name that
//! begins with a dot. A pattern is absolute, knows no `..`, and says at least one folder by its name, so that it never
//! leaves what can be read in it.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// Longest pattern, in bytes.
const MAX_LEN: usize = 1024;
/// Most names of a pattern.
const MAX_PARTS: usize = 32;

/// One name of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Exactly this one.
    Name(OsString),
    /// Those that fit.
    Fitting(Vec<Piece>),
    /// `**`: any number of folders, also none.
    Folders,
}

/// A piece of a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[..]`: ranges, and whether it is `[!..]`.
    Class(Vec<(char, char)>, bool),
}

/// A pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

impl Pattern {
    /// Reads one. `home` is what `~` stands for.
    pub(super) fn parse(text: &str, home: Option<&Path>) -> Result<Self, String> {
        let full = match text.strip_prefix("~/") {
            None => PathBuf::from(text),
            Some(rest) => home.ok_or("no home folder is known that ~ could stand for")?.join(rest),
        };
        if text.len() > MAX_LEN || text.contains('\0') {
            return Err(format!("a pattern has {MAX_LEN} characters at most, and no NUL"));
        }
        if !full.is_absolute() {
            return Err("a pattern must begin with / or ~/".into());
        }
        if full.components().any(|part| part == Component::ParentDir) {
            return Err("a pattern must not hold ..".into());
        }
        let home_parts = if text.starts_with("~/") { home.map_or(0, |h| h.iter().count()) } else { 0 };
        let mut parts = Vec::new();
        for (place, name) in full.iter().enumerate().skip(1) {
            let part = match name.to_str() {
                // What ~ stands for is no pattern.
                _ if place < home_parts => Part::Name(name.to_owned()),
                Some("**") => Part::Folders,
                Some(name) if name.contains("**") => return Err("** must be a whole name".into()),
                Some(name) if name.contains(['*', '?', '[']) => Part::Fitting(pieces(name)?),
                _ => Part::Name(name.to_owned()),
            };
            if part != Part::Folders || parts.last() != Some(&Part::Folders) {
                parts.push(part);
            }
        }
        if parts.len() > MAX_PARTS {
            return Err(format!("a pattern has {MAX_PARTS} names at most"));
        }
        if !matches!(parts.first(), Some(Part::Name(_))) {
            return Err("the first folder of a pattern must be said by its name".into());
        }
        if parts.last() == Some(&Part::Folders) {
            parts.push(Part::Fitting(vec![Piece::Any]));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn pieces(name: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '?' => Piece::One,
            '*' => Piece::Any,
            '[' => class(&mut chars)?,
            c => Piece::Char(c),
        });
    }
    Ok(out)
}

fn class(chars: &mut std::str::Chars<'_>) -> Result<Piece, String> {
    let (mut ranges, mut inside) = (Vec::new(), Vec::new());
    let open = || "a [ has no ]".to_owned();
    let mut next = chars.next().ok_or_else(open)?;
    let is_other = next == '!' || next == '^';
    if is_other {
        next = chars.next().ok_or_else(open)?;
    }
    // A ] that comes first stands for itself.
    while next != ']' || inside.is_empty() {
        inside.push(next);
        next = chars.next().ok_or_else(open)?;
    }
    let mut rest = inside.as_slice();
    while let [first, more @ ..] = rest {
        rest = match more {
            ['-', last, more @ ..] => {
                ranges.push((*first, *last));
                more
            }
            more => {
                ranges.push((*first, *first));
                more
            }
        };
    }
    Ok(Piece::Class(ranges, is_other))
}

/// Whether a name fits. Takes time in proportion to both lengths, whatever they are.
pub(super) fn fits(pieces: &[Piece], name: &OsStr) -> bool {
    let name: Vec<char> = name.to_string_lossy().chars().collect();
    if name.first() == Some(&'.') && pieces.first() != Some(&Piece::Char('.')) {
        return false;
    }
    // The newest `*` may take one character more, as long as nothing fits.
    let (mut piece, mut at, mut star) = (0, 0, None);
    while at < name.len() {
        let fits = match (pieces.get(piece), name.get(at)) {
            (Some(Piece::Any), _) => {
                star = Some((piece, at));
                piece += 1;
                continue;
            }
            (Some(Piece::One), Some(_)) => true,
            (Some(Piece::Char(c)), Some(n)) => c == n,
            (Some(Piece::Class(ranges, is_other)), Some(n)) => {
                ranges.iter().any(|(first, last)| (first..=last).contains(&n)) != *is_other
            }
            _ => false,
        };
        if fits {
            (piece, at) = (piece + 1, at + 1);
        } else if let Some((any, from)) = star {
            (piece, at) = (any + 1, from + 1);
            star = Some((any, from + 1));
        } else {
            return false;
        }
    }
    pieces.iter().skip(piece).all(|piece| *piece == Piece::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, name: &str) -> bool {
        fits(&pieces(pattern).unwrap(), OsStr::new(name))
    }

    #[test]
    fn names_fit_as_in_a_shell() {
        for (pattern, good, bad) in [
            ("*.log", "a.log", "a.log.1"),
            ("*", "x", ".x"),
            (".*", ".x", "x"),
            ("a?c", "abc", "ac"),
            ("a?c", "aüc", "abbc"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("[]]", "]", "["),
            ("*a*b*", "xxaxxbxx", "bbbaaa"),
            ("?", "y", ".."),
        ] {
            assert!(fit(pattern, good), "{pattern} {good}");
            assert!(!fit(pattern, bad), "{pattern} {bad}");
        }
        // Would take longer than the universe with plain recursion.
        let hostile = "a*".repeat(200);
        assert!(!fit(&hostile, &"a".repeat(199)));
    }

    #[test]
    fn a_pattern_says_where_it_stays() {
        let home = Path::new("/home/eva*");
        for bad in [
            "",
            "x/*.log",
            "/**",
            "/*/x",
            "/**/shadow",
            "/a/../b",
            "/a/x**",
            "/a/[b",
            "relative",
            "~x/a",
            "/",
        ] {
            assert!(Pattern::parse(bad, Some(home)).is_err(), "{bad}");
        }
        assert!(Pattern::parse(&format!("/a{}", "/b".repeat(40)), None).is_err());
        assert!(Pattern::parse("~/x", None).is_err());
        let parts = Pattern::parse("~/x/**/**", Some(home)).unwrap().parts;
        // The star of the home folder is a name, not a pattern.
        assert_eq!(parts[1], Part::Name("eva*".into()));
        assert_eq!(parts[3..], [Part::Folders, Part::Fitting(vec![Piece::Any])]);
    }
}
