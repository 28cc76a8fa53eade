//! Files of `[section]` and `key=value` lines, as desktop files, units, profiles and many settings are: read leniently,
//! since whoever wrote them may have meant harm.

/// Most lines that are looked at.
const MAX_LINES: usize = 20_000;

/// The lines of a file: section, key, value.
#[derive(Debug)]
pub(super) struct Ini<'t>(Vec<(&'t str, &'t str, &'t str)>);

impl<'t> Ini<'t> {
    pub(super) fn parse(text: &'t str) -> Self {
        let (mut section, mut all) = ("", Vec::new());
        for line in text.lines().take(MAX_LINES) {
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name;
            } else if let Some((key, value)) = line.split_once('=') {
                all.push((section, key.trim(), value.trim()));
            }
        }
        Self(all)
    }

    /// The first value of a key.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&'t str> {
        self.all(section, key).next()
    }

    /// Every value of a key: units and some others repeat them.
    pub(super) fn all(&self, section: &str, key: &str) -> impl Iterator<Item = &'t str> {
        self.0.iter().filter(move |(s, k, _)| *s == section && *k == key).map(|(_, _, value)| *value)
    }

    /// Keys and values of a section.
    pub(super) fn section(&self, section: &str) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.0.iter().filter(move |(s, ..)| *s == section).map(|(_, key, value)| (*key, *value))
    }

    /// The sections that have keys, each once.
    pub(super) fn sections(&self) -> Vec<&'t str> {
        let mut all: Vec<&str> = self.0.iter().map(|(section, ..)| *section).collect();
        all.dedup();
        all
    }

    /// A value without the quotes around it.
    pub(super) fn unquoted(&self, key: &str) -> Option<&'t str> {
        let value = self.get("", key)?;
        let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        Some(inner.unwrap_or(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_what_is_neither() {
        let text = "A=\"x y\"\n# no=1\n[One]\nName = a=b\nName=second\nnonsense\n;no=2\n[Two]\nName=\n[\n=\n";
        let ini = Ini::parse(text);
        assert_eq!(ini.unquoted("A"), Some("x y"));
        assert_eq!(ini.get("One", "Name"), Some("a=b"));
        assert_eq!(ini.all("One", "Name").count(), 2);
        assert_eq!(ini.get("Two", "Name"), Some(""));
        assert_eq!(ini.sections(), ["", "One", "Two"]);
        assert_eq!(ini.section("One").count(), 2);
    }
}
