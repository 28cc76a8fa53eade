//! JSON: every text in it, and the fields that a document itself calls personal.
//!
//! A document of the operating-system collectors has, at its top, `"personal_fields"`: a list of `{"path": "/network/*/mac",
//! "kind": "device"}`, where `*` stands for any key or place. Kind `public` is not personal: a version that looks like an
//! address, or an identifier that looks like one of an e-mail. Known names are replaced in it all the same.

use serde_json::Value;

use super::{Level, Redactor};

/// A field that the document calls personal.
struct Rule {
    path: Vec<String>,
    kind: String,
}

impl Redactor {
    /// Replaces in a whole document.
    pub fn json(&mut self, document: &mut Value) {
        if self.level == Level::None {
            return;
        }
        let rules: Vec<Rule> = document
            .get("personal_fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|rule| {
                let path = rule.get("path")?.as_str()?.split('/').skip(1).map(str::to_owned).collect();
                Some(Rule { path, kind: rule.get("kind")?.as_str()?.to_owned() })
            })
            .collect();
        if let Value::Object(members) = document {
            for (key, value) in members.iter_mut().filter(|(key, _)| *key != "personal_fields") {
                let rules: Vec<(&Rule, usize)> = rules.iter().map(|rule| (rule, 0)).collect();
                self.json_member(key, value, &rules);
            }
        } else {
            self.json_value(document, &[]);
        }
    }

    fn json_member(&mut self, key: &str, value: &mut Value, rules: &[(&Rule, usize)]) {
        let fits = |(rule, depth): &(&Rule, usize)| {
            rule.path.get(*depth).is_some_and(|part| part == "*" || part == key)
        };
        let deeper: Vec<_> =
            rules.iter().filter(|r| fits(r)).map(|(rule, depth)| (*rule, depth + 1)).collect();
        self.json_value(value, &deeper);
    }

    fn json_value(&mut self, value: &mut Value, rules: &[(&Rule, usize)]) {
        let kind =
            rules.iter().find(|(rule, depth)| rule.path.len() == *depth).map(|(rule, _)| rule.kind.as_str());
        match value {
            Value::String(text) => {
                let replaced = match kind {
                    Some(kind) => self.json_text(kind, text),
                    None => self.text(text).into_owned(),
                };
                *text = replaced;
            }
            Value::Number(number) => {
                if kind == Some("user-id")
                    && let Some(uid) = number.as_u64().and_then(|n| u32::try_from(n).ok())
                {
                    *number = self.uid(uid).into();
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter_mut().enumerate() {
                    // A rule that ends at the list is for each of its texts.
                    let ended: Vec<_> = rules.iter().filter(|(r, d)| r.path.len() == *d).copied().collect();
                    if ended.is_empty() {
                        self.json_member(&place.to_string(), item, rules);
                    } else {
                        self.json_value(item, &ended);
                    }
                }
            }
            Value::Object(members) => {
                // Names of users can be keys, too.
                let renamed: Vec<(String, Value)> = std::mem::take(members).into_iter().collect();
                for (key, mut member) in renamed {
                    self.json_member(&key, &mut member, rules);
                    let key = self.text(&key).into_owned();
                    members.insert(key, member);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn json_text(&mut self, kind: &str, text: &str) -> String {
        let strict = self.level == Level::Strict;
        match kind {
            _ if text.is_empty() => String::new(),
            "user" => self.field("user", text).into_owned(),
            "host" => self.field("host", text).into_owned(),
            "url" => self.field("url", text).into_owned(),
            "mail" => self.field("from", text).into_owned(),
            "device" => self.pseudonym("id", text),
            "public" if is_identifier(text) => self.names(text).into_owned(),
            "path" if strict => self.field("path", text).into_owned(),
            "path" | "public" => self.text(text).into_owned(),
            _ => self.pseudonym("text", text),
        }
    }
}

/// Whether a text has the form of a version or an identifier: one word of letters, digits and a few signs.
fn is_identifier(text: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b".+~:-_@{}".contains(&b);
    // More colons are of an address.
    let colons = text.bytes().filter(|b| *b == b':').count();
    text.len() <= 128 && colons <= 1 && text.bytes().all(is_good)
}
