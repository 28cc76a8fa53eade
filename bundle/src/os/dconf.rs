//! The databases of dconf, where GNOME keeps settings. The form is GVDB with values of `GVariant`; simple values are
//! decoded, others named by their type.
//!
//! Read here, since a database in a home can be made by anybody to be read by root: parents are followed a limited number of
//! times, and every place is checked.

use serde_json::{Value, json};

/// How many parents a key may have.
const MAX_PARENTS: usize = 32;
/// How deep values lie in others.
const MAX_DEPTH: usize = 8;
/// Most items of a list.
const MAX_LIST: usize = 500;

/// Keys and values of a database, as far as `wanted` says yes to a key.
pub(super) fn read(
    bytes: &[u8],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Value)>, &'static str> {
    const DAMAGED: &str = "it is damaged, or of a form that is not known";
    // Databases of computers with another byte order are not met.
    if !bytes.starts_with(b"GVariant") || number(bytes, 8) != Some(0) {
        return Err("it is no dconf database of this byte order");
    }
    let (Some(start), Some(end)) = (number(bytes, 16), number(bytes, 20)) else { return Err(DAMAGED) };
    let table = bytes.get(start..end).ok_or(DAMAGED)?;
    let (Some(bloom), Some(buckets)) = (number(table, 0), number(table, 4)) else { return Err(DAMAGED) };
    let bloom = bloom & ((1 << 27) - 1);
    let items = bloom.checked_add(buckets).and_then(|n| n.checked_mul(4)?.checked_add(8)).ok_or(DAMAGED)?;
    let items: Vec<&[u8]> = table.get(items..).ok_or(DAMAGED)?.chunks_exact(24).collect();
    let mut all = Vec::new();
    for item in &items {
        if item.get(14) != Some(&b'v') {
            continue;
        }
        let Some(key) = key(bytes, &items, item) else { continue };
        if !wanted(&key) {
            continue;
        }
        let value = number(item, 16).zip(number(item, 20)).and_then(|(start, end)| bytes.get(start..end));
        let value = value.and_then(|bytes| boxed(bytes, 0)).unwrap_or_else(|| json!("[not readable]"));
        all.push((key, value));
    }
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..at.checked_add(4)?)?.first_chunk().map(|b| u32::from_le_bytes(*b))?;
    usize::try_from(number).ok()
}

/// A key is its parents' parts and its own.
fn key(bytes: &[u8], items: &[&[u8]], item: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut at = item;
    for _ in 0..MAX_PARENTS {
        let start = number(at, 8)?;
        let len = usize::from(u16::from_le_bytes(*at.get(12..14)?.first_chunk()?));
        parts.push(String::from_utf8_lossy(bytes.get(start..start.checked_add(len)?)?));
        let parent = number(at, 4)?;
        if parent == u32::MAX as usize {
            parts.reverse();
            return Some(parts.concat());
        }
        at = items.get(parent)?;
    }
    None
}

/// A value in a variant: its bytes, a zero, its type.
fn boxed(bytes: &[u8], depth: usize) -> Option<Value> {
    let at = bytes.iter().rposition(|b| *b == 0)?;
    let kind = std::str::from_utf8(bytes.get(at + 1..)?).ok()?;
    decode(bytes.get(..at)?, kind, depth)
}

fn decode(bytes: &[u8], kind: &str, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match kind {
        "b" => json!(bytes.first()? != &0),
        "y" => json!(bytes.first()?),
        "n" => json!(i16::from_le_bytes(*bytes.first_chunk()?)),
        "q" => json!(u16::from_le_bytes(*bytes.first_chunk()?)),
        "i" | "h" => json!(i32::from_le_bytes(*bytes.first_chunk()?)),
        "u" => json!(u32::from_le_bytes(*bytes.first_chunk()?)),
        "x" => json!(i64::from_le_bytes(*bytes.first_chunk()?)),
        "t" => json!(u64::from_le_bytes(*bytes.first_chunk()?)),
        "d" => json!(f64::from_le_bytes(*bytes.first_chunk()?)),
        "s" | "o" | "g" => json!(text(bytes)),
        "v" => boxed(bytes, depth + 1)?,
        "as" | "ao" => json!(texts(bytes)?),
        // A maybe: nothing, or the value and, if its length varies, a zero.
        "ms" => bytes.split_last().map_or(Value::Null, |(_, value)| json!(text(value))),
        other => json!({"type": other, "bytes": bytes.len()}),
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// A list of texts: the texts, then where each ends, in as many bytes as the whole's length needs.
fn texts(bytes: &[u8]) -> Option<Vec<String>> {
    let width = match bytes.len() {
        0 => return Some(Vec::new()),
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    let offset = |at: usize| -> Option<usize> {
        let part = bytes.get(at..at.checked_add(width)?)?;
        part.iter().rev().try_fold(0_usize, |sum, b| sum.checked_mul(256)?.checked_add(usize::from(*b)))
    };
    let table = offset(bytes.len().checked_sub(width)?)?;
    let count = bytes.len().checked_sub(table)? / width;
    let mut begin = 0;
    let mut all = Vec::new();
    for place in 0..count.min(MAX_LIST) {
        let end = offset(table.checked_add(place.checked_mul(width)?)?)?;
        all.push(text(bytes.get(begin..end)?));
        begin = end;
    }
    Some(all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A database with these keys, each in one piece, and values with their types.
    pub(in super::super) fn database(entries: &[(&str, &[u8], &str)]) -> Vec<u8> {
        let mut items = Vec::new();
        let mut data: Vec<u8> = Vec::new();
        let first = 24 + 8 + entries.len() * 24;
        for (key, value, kind) in entries {
            let key_at = first + data.len();
            data.extend(key.as_bytes());
            while !(first + data.len()).is_multiple_of(8) {
                data.push(0);
            }
            let value_at = first + data.len();
            data.extend(*value);
            data.push(0);
            data.extend(kind.as_bytes());
            let value_end = first + data.len();
            for n in [0, u32::MAX as usize, key_at] {
                items.extend((n as u32).to_le_bytes());
            }
            items.extend((key.len() as u16).to_le_bytes());
            items.extend([b'v', 0]);
            items.extend((value_at as u32).to_le_bytes());
            items.extend((value_end as u32).to_le_bytes());
        }
        let mut out = b"GVariant".to_vec();
        for n in [0, 0, 24, first] {
            out.extend((n as u32).to_le_bytes());
        }
        out.extend([0; 8]);
        out.extend(items);
        out.extend(data);
        out
    }

    #[test]
    fn simple_values_are_decoded() {
        let bytes = database(&[
            ("/org/a/on", &[1], "b"),
            ("/org/a/name", b"x y\0", "s"),
            ("/org/a/list", b"one\0two\0\x04\x08", "as"),
            ("/org/a/number", &7_i32.to_le_bytes(), "i"),
            ("/org/a/other", b"????", "a{sv}"),
            ("/org/a/variant", b"deep\0\0s", "v"),
            ("/org/b/not", &[1], "b"),
        ]);
        let all = read(&bytes, |key| key.starts_with("/org/a/")).unwrap();
        let get =
            |name: &str| all.iter().find(|(key, _)| key.ends_with(name)).map(|(_, v)| v.clone()).unwrap();
        assert_eq!(all.len(), 6);
        assert_eq!(get("/on"), json!(true));
        assert_eq!(get("/name"), json!("x y"));
        assert_eq!(get("/list"), json!(["one", "two"]));
        assert_eq!(get("/number"), json!(7));
        assert_eq!(get("/other"), json!({"type": "a{sv}", "bytes": 4}));
        assert_eq!(get("/variant"), json!("deep"));
    }

    #[test]
    fn damage_is_no_panic_and_loops_end() {
        let good = database(&[("/org/a/list", b"one\0two\0\x04\x08", "as"), ("/org/a/on", &[1], "b")]);
        for len in 0..good.len() {
            let _ = read(&good[..len], |_| true);
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = read(&bad, |_| true);
            }
        }
        // Each is the other's parent, and has an empty name.
        let mut loops = good;
        for (item, parent) in [(32, 1_u32), (56, 0)] {
            loops[item + 4..item + 8].copy_from_slice(&parent.to_le_bytes());
            loops[item + 12..item + 14].copy_from_slice(&[0, 0]);
        }
        assert_eq!(read(&loops, |_| true).unwrap(), []);
    }
}
