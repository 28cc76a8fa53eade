//! JSON documents as nested tables: a part at a time, the rest where it is asked for.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracewell_reader::ReadAt;

use crate::bundle::{Bundle, Member, lock, read_full};
use crate::shown::{piece_end, shown};

/// Longest document that is taken apart; a longer one is shown as lines.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;
/// Parts that are handed out at once.
const MAX_PARTS: usize = 4000;
/// Parts of one object or list that are handed out at once.
const MAX_CHILDREN: usize = 200;
/// Bytes of one text.
const MAX_TEXT: usize = 64 << 10;

/// The document that was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Trees(Mutex<Option<(usize, Arc<Value>)>>);

impl Trees {
    /// The part of a member at a JSON pointer, with its children from number `from` on.
    pub(crate) fn part(
        &self,
        bundle: &Arc<Bundle>,
        member: usize,
        pointer: &str,
        from: usize,
    ) -> io::Result<Value> {
        let document = self.document(bundle, member)?;
        let part = document
            .pointer(pointer)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the document has no such part"))?;
        let mut left = MAX_PARTS;
        Ok(node(part, from, &mut left))
    }

    fn document(&self, bundle: &Arc<Bundle>, member: usize) -> io::Result<Arc<Value>> {
        let mut last = lock(&self.0);
        if let Some((_, document)) = last.as_ref().filter(|(place, _)| *place == member) {
            return Ok(Arc::clone(document));
        }
        let bytes = Member::open(bundle, member)?;
        let size = bytes.size()?;
        if size > MAX_DOCUMENT {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "It is too long for tables; look at its text.",
            ));
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
        let n = read_full(&bytes, &mut text, 0)?;
        let document: Value = serde_json::from_slice(text.get(..n).unwrap_or_default()).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidData, format!("It is no JSON ({e}); look at its text."))
        })?;
        let document = Arc::new(document);
        *last = Some((member, Arc::clone(&document)));
        Ok(document)
    }
}

/// A part with what is in it, as far as there is room: `s` text, `v` another value, `o` an object, `a` a list; `n` is how
/// many children there are, `c` are those from `f` on. A part without `c` is to be asked for by itself.
fn node(value: &Value, from: usize, left: &mut usize) -> Value {
    *left = left.saturating_sub(1);
    let room = |left: &usize, place: usize| *left != 0 && place < MAX_CHILDREN;
    match value {
        Value::Null => json!({ "v": "none" }),
        Value::Bool(is) => json!({ "v": if *is { "yes" } else { "no" } }),
        Value::Number(n) => json!({ "v": n.to_string() }),
        Value::String(text) => {
            let end = piece_end(text.as_bytes(), MAX_TEXT);
            let head = shown(text.as_bytes().get(..end).unwrap_or_default());
            json!({ "s": head, "cut": text.len() - end })
        }
        Value::Object(all) if *left == 0 => json!({ "o": true, "n": all.len() }),
        Value::Array(all) if *left == 0 => json!({ "a": true, "n": all.len() }),
        Value::Object(all) => {
            let mut children = Vec::new();
            for (place, (key, child)) in all.iter().skip(from).enumerate() {
                if !room(left, place) {
                    break;
                }
                // The key as it is finds the part again; the other is looked at.
                children.push(json!([shown(key.as_bytes()), node(child, 0, left), pointer(key)]));
            }
            json!({ "o": true, "n": all.len(), "f": from, "c": children })
        }
        Value::Array(all) => {
            let mut children = Vec::new();
            for (place, child) in all.iter().skip(from).enumerate() {
                if !room(left, place) {
                    break;
                }
                children.push(node(child, 0, left));
            }
            json!({ "a": true, "n": all.len(), "f": from, "c": children })
        }
    }
}

fn pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_handed_out_in_parts_and_all_of_it_can_be_had() {
        let document = json!({
            "a/b~\u{202e}": [1, null, true, "x\u{1b}[31m"],
            "many": (0..450).map(|n| json!({ "n": n })).collect::<Vec<_>>(),
        });
        let mut left = MAX_PARTS;
        let root = node(&document, 0, &mut left);
        let keys: Vec<_> = root["c"].as_array().unwrap().iter().map(|c| c[0].as_str().unwrap()).collect();
        assert_eq!(keys, ["a/b~\\u{202e}", "many"]);
        let pointer = format!("/{}", root["c"][0][2].as_str().unwrap());
        assert_eq!(document.pointer(&pointer).unwrap().as_array().unwrap().len(), 4);
        assert_eq!(root["c"][0][1]["c"][3]["s"], "x\\u{1b}[31m");
        assert_eq!(root["c"][1][1]["c"].as_array().unwrap().len(), MAX_CHILDREN);
        let (mut from, mut seen) = (0, 0);
        while from < 450 {
            let part = node(&document["many"], from, &mut MAX_PARTS.clone());
            seen += part["c"].as_array().unwrap().len();
            from = seen;
        }
        assert_eq!(seen, 450);
        // Deep and wide: bounded, and what is left out can be asked for.
        let wide = json!((0..150).map(|_| json!((0..150).collect::<Vec<_>>())).collect::<Vec<_>>());
        assert!(node(&wide, 0, &mut MAX_PARTS.clone()).to_string().matches("\"v\"").count() <= MAX_PARTS);
        assert_eq!(leaves(&wide, "", &node(&wide, 0, &mut MAX_PARTS.clone())), 150 * 150);
        assert_eq!(node(&json!([1]), 0, &mut 1), json!({ "a": true, "n": 1 }));
    }

    /// How many values a page gets to see that asks for whatever is left out.
    fn leaves(document: &Value, pointer: &str, part: &Value) -> usize {
        let Some(all) = part["n"].as_u64() else { return 1 };
        let (mut seen, mut sum) = (0, 0);
        let mut part = part.clone();
        loop {
            for child in part["c"].as_array().into_iter().flatten() {
                sum += leaves(document, &format!("{pointer}/{seen}"), child);
                seen += 1;
            }
            if seen as u64 >= all {
                return sum;
            }
            part = node(document.pointer(pointer).unwrap(), seen, &mut MAX_PARTS.clone());
            assert!(!part["c"].as_array().unwrap().is_empty());
        }
    }
}
