//! One document of one group, and what keeps it small.

use serde::Serialize;
use serde_json::Value;

use super::context::Problem;

/// What a document calls its form; docs/os-information.md describes it.
pub const FORMAT: &str = "tracewell-os-1";
/// Longest text, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// Most items of a list or an object.
const MAX_ITEMS: usize = 10_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 10;
/// Longest section, in bytes of compact JSON, about.
const MAX_SECTION: usize = 3 << 20;

/// A document.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The group, as `hardware`.
    pub group: &'static str,
    /// When it was begun, in UTC.
    pub collected_at: String,
    /// How long its collectors ran, in milliseconds, one after the other.
    pub took_ms: u64,
    /// As whom it was collected: others see less than root.
    pub ran_as: RanAs,
    /// What is personal in it, for redaction.
    pub personal_fields: Vec<PersonalField>,
    /// What could not be had.
    pub errors: Vec<Problem>,
    /// What was left out because it was too much.
    pub cut: Vec<Cut>,
    /// The sections, by name.
    pub data: serde_json::Map<String, Value>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct RanAs {
    /// Its number.
    pub uid: u32,
    /// Its name.
    pub user: Option<String>,
}

/// A personal field: where, as `/data/network/*/mac`, and of what kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct PersonalField {
    /// `*` stands for any key or place.
    pub path: &'static str,
    /// `user`, `user-id`, `host`, `url`, `mail`, `device`, `path`, `public` (not personal, whatever it looks like), or
    /// `text` for anything else.
    pub kind: &'static str,
}

/// What was left out.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    /// The section.
    pub what: String,
    /// How many items, and texts that were shortened.
    pub left_out: u64,
}

impl Document {
    /// Takes a section in, as far as it is not too large.
    pub(super) fn add(&mut self, section: &str, mut value: Value) {
        let left_out = trim(&mut value);
        if left_out != 0 {
            self.cut.push(Cut { what: section.into(), left_out });
        }
        self.data.insert(section.into(), value);
    }
}

/// Cuts a value to its limits; gives how much was left out. Fields without a value go too: an absent one says the same.
fn trim(value: &mut Value) -> u64 {
    let mut budget = MAX_SECTION;
    let mut left_out = 0;
    trim_at(value, 0, &mut budget, &mut left_out);
    left_out
}

fn trim_at(value: &mut Value, depth: usize, budget: &mut usize, left_out: &mut u64) {
    if depth > MAX_DEPTH && (value.is_array() || value.is_object()) {
        *value = Value::Null;
        *left_out += 1;
    }
    let mut spend = |bytes: usize| *budget = budget.saturating_sub(bytes);
    match value {
        Value::String(text) => {
            if text.len() > MAX_TEXT {
                let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.truncate(end);
                text.push('…');
                *left_out += 1;
            }
            spend(text.len() + 3);
        }
        Value::Array(items) => {
            spend(3);
            let mut kept = 0;
            for item in items.iter_mut().take(MAX_ITEMS) {
                if *budget == 0 {
                    break;
                }
                trim_at(item, depth + 1, budget, left_out);
                kept += 1;
            }
            *left_out += (items.len() - kept) as u64;
            items.truncate(kept);
            items.shrink_to_fit();
        }
        Value::Object(members) => {
            spend(3);
            members.retain(|_, member| !member.is_null());
            let (mut kept, all) = (0, members.len());
            for (key, member) in members.iter_mut().take(MAX_ITEMS) {
                if *budget == 0 {
                    break;
                }
                *budget = budget.saturating_sub(key.len() + 4);
                trim_at(member, depth + 1, budget, left_out);
                kept += 1;
            }
            if kept != all {
                *left_out += (all - kept) as u64;
                let mut place = 0;
                members.retain(|_, _| {
                    place += 1;
                    place <= kept
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => spend(8),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn too_much_is_cut_and_counted() {
        let mut small = json!({"a": [1, "b"], "none": null});
        assert_eq!(trim(&mut small), 0);
        assert_eq!(small, json!({"a": [1, "b"]}));
        let mut many = json!((0..MAX_ITEMS + 7).collect::<Vec<_>>());
        assert_eq!(trim(&mut many), 7);
        let mut long = json!(["ä".repeat(MAX_TEXT)]);
        assert_eq!(trim(&mut long), 1);
        assert!(long[0].as_str().unwrap().len() <= MAX_TEXT + 3);
        let mut large = json!((0..2000).map(|_| "x".repeat(8000)).collect::<Vec<_>>());
        let left_out = trim(&mut large);
        assert_eq!(left_out + large.as_array().unwrap().len() as u64, 2000);
        let len = large.to_string().len();
        assert!(len < MAX_SECTION + 10_000 && len > MAX_SECTION / 2, "{len}");
        let mut keys: serde_json::Map<_, _> =
            (0..MAX_ITEMS + 3).map(|i| (format!("{i:06}"), json!(i))).collect();
        keys.insert("000000".into(), json!("first"));
        let mut keys = Value::Object(keys);
        assert_eq!(trim(&mut keys), 3);
        assert_eq!(keys["000000"], "first");
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert_eq!(trim(&mut deep), 1);
        assert!(deep.to_string().len() < 40);
    }
}
