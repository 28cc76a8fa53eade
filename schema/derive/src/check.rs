//! What an event must satisfy; every complaint names the field and the remedy.

use syn::ext::IdentExt;
use syn::{Error, GenericArgument, LitStr, PathArguments, Type};

use crate::parse::{Class, EventInput, FieldInput, push};

pub(crate) const CATEGORIES: [(&str, &str); 13] = [
    ("detection", "Detection"),
    ("download", "Download"),
    ("process", "Process"),
    ("module", "Module"),
    ("network", "Network"),
    ("web", "Web"),
    ("message", "Message"),
    ("certificate", "Certificate"),
    ("protection", "Protection"),
    ("ui", "Ui"),
    ("error", "Error"),
    ("audit", "Audit"),
    ("custom", "Custom"),
];
pub(crate) const LEVELS: [(&str, &str); 5] =
    [("error", "Error"), ("warn", "Warn"), ("info", "Info"), ("debug", "Debug"), ("trace", "Trace")];

pub(crate) fn check(event: &EventInput, errors: &mut Option<Error>) {
    let mut complain = |error| push(errors, error);
    one_of(&event.category, "category", &CATEGORIES).unwrap_or_else(&mut complain);
    one_of(&event.level, "level", &LEVELS).unwrap_or_else(&mut complain);
    let name = event.name.value();
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if name.len() > 255 || !name.contains('.') || !name.split('.').all(is_part) {
        complain(Error::new(
            event.name.span(),
            "an event's name is `category.what_happened`: lower-case letters, digits, `_`, and at least one `.`",
        ));
    }
    if event.doc.len() > 4096 {
        complain(Error::new(
            event.ident.span(),
            format!("event `{}`: the documentation is longer than 4096 bytes: shorten it", event.ident),
        ));
    }
    if event.fields.len() > 255 {
        complain(Error::new(
            event.ident.span(),
            format!(
                "event `{}` has {} fields and at most 255 are possible: put the rest into a second event",
                event.ident,
                event.fields.len()
            ),
        ));
    }
    if event.generics.type_params().next().is_some()
        || event.generics.const_params().next().is_some()
        || event.generics.lifetimes().count() > 1
    {
        complain(Error::new_spanned(
            &event.generics,
            format!(
                "event `{}` can have one lifetime parameter, no more and no others: write one struct for each type",
                event.ident
            ),
        ));
    }
    for field in &event.fields {
        check_field(field, &mut complain);
    }
    check_text(event).unwrap_or_else(&mut complain);
}

fn one_of(value: &LitStr, what: &str, all: &[(&str, &str)]) -> Result<(), Error> {
    if all.iter().any(|(name, _)| *name == value.value()) {
        return Ok(());
    }
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    Err(Error::new(
        value.span(),
        format!("unknown {what} {:?}; there are: {}", value.value(), names.join(", ")),
    ))
}

fn check_field(field: &FieldInput, complain: &mut dyn FnMut(Error)) {
    let ident = field.ident.unraw();
    let mut at = |message: String| complain(Error::new(field.ident.span(), message));
    if field.class.is_none() {
        at(format!(
            "field `{ident}` has no privacy class: add `#[field(public)]`, `#[field(personal)]` or `#[field(secret)]`"
        ));
    }
    if field.opt_in && !may_be_absent(&field.ty) {
        at(format!(
            "field `{ident}` is opt_in, so it must be able to be absent: make it `Option<...>`, `&str` or a slice"
        ));
    }
    if field.doc.len() > 4096 || field.unit.len() > 255 {
        at(format!(
            "field `{ident}`: documentation has at most 4096 bytes, a unit 255: shorten what is longer"
        ));
    }
    if field.class == Some(Class::Secret) {
        if field.reduce.is_some() {
            at(format!("field `{ident}` is secret, which keeps less than any reduction: remove `reduce`"));
        }
        if is_no_secret(&field.ty) {
            complain(Error::new_spanned(
                &field.ty,
                format!(
                    "field `{ident}` cannot be secret: a secret is `&str`, `&[u8]` or an `Option` of those; pass a reference, or make the field personal"
                ),
            ));
        }
    } else if let Some(remedy) = remedy(&field.ty) {
        complain(Error::new_spanned(&field.ty, format!("field `{ident}` cannot have this type: {remedy}")));
    }
    if field.class != Some(Class::Secret)
        && let Some(Err(error)) = field.reduce.as_ref().map(|r| reduction(r, &ident.to_string()))
    {
        complain(error);
    }
    if let Some(max) = &field.max
        && !max.base10_parse::<u32>().is_ok_and(|n| (1..=32_767).contains(&n))
    {
        complain(Error::new(max.span(), format!("field `{ident}`: max is 1 to 32767 bytes")));
    }
}

/// The last part of a type's path, and its first type argument.
fn named(ty: &Type) -> Option<(String, Option<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(args) => args.args.iter().find_map(|arg| match arg {
            GenericArgument::Type(inner) => Some(inner),
            _ => None,
        }),
        _ => None,
    };
    Some((last.ident.to_string(), inner))
}

/// The item of a slice that is a list, not bytes.
fn list_item(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(slice) if named(&slice.elem).is_none_or(|(name, _)| name != "u8") => {
                Some(&slice.elem)
            }
            _ => None,
        },
        _ => None,
    }
}

/// What to do about a type that is surely no field's. Others may be aliases: the compiler decides on those.
fn remedy(ty: &Type) -> Option<&'static str> {
    if let Type::Tuple(_) = ty {
        return Some("make each part of the tuple a field of its own");
    }
    if let Some(item) = list_item(ty) {
        return match named(item) {
            Some((name, _)) if name == "Option" => Some("a list has no options: leave out what is absent"),
            _ if list_item(item).is_some() => Some("a list has no lists: make each a field of its own"),
            _ => remedy(item),
        };
    }
    if let Type::Reference(reference) = ty
        && let Type::Path(_) = &*reference.elem
    {
        return match named(&reference.elem)?.0.as_str() {
            "str" => None,
            "String" => Some("write `&str`"),
            "Vec" => Some("write a slice, `&[T]`"),
            _ => Some("write the type itself, without `&`"),
        };
    }
    let (name, inner) = named(ty)?;
    match name.as_str() {
        "String" | "PathBuf" | "OsString" | "Cow" | "CString" => {
            Some("pass `&str`, or `&[u8]` if it may not be UTF-8")
        }
        "Vec" | "VecDeque" | "HashSet" | "BTreeSet" => Some("pass a slice, `&[T]`"),
        "HashMap" | "BTreeMap" => Some("pass keys and values as two slices, `&[T]`"),
        "Box" | "Rc" | "Arc" => Some("pass what is inside"),
        "u128" | "i128" => Some("pass `[u8; 16]`, or `Id128` if it is an identity"),
        "usize" => Some("pass `u64`, which has the same size everywhere"),
        "isize" => Some("pass `i64`, which has the same size everywhere"),
        "f32" => Some("pass `f64`"),
        "char" => Some("pass `&str` or `u32`"),
        "SystemTime" | "Instant" => Some("pass `Timestamp`"),
        "Option" => match inner {
            Some(inner) if list_item(inner).is_some() => {
                Some("a list is never optional: an empty one says the same, so write `&[T]`")
            }
            Some(inner) if named(inner).is_some_and(|(name, _)| name == "Option") => {
                Some("an option of an option says no more than one: write one `Option`")
            }
            Some(inner) => remedy(inner),
            None => None,
        },
        _ => None,
    }
}

/// Types that are surely no text and no bytes.
fn is_no_secret(ty: &Type) -> bool {
    const NUMBERS: [&str; 18] = [
        "bool",
        "u8",
        "u16",
        "u32",
        "u64",
        "i8",
        "i16",
        "i32",
        "i64",
        "f64",
        "IpAddr",
        "Ipv4Addr",
        "Ipv6Addr",
        "SocketAddr",
        "Timestamp",
        "Duration",
        "ProcessKey",
        "CorrelationId",
    ];
    if matches!(ty, Type::Array(_)) || list_item(ty).is_some() || remedy(ty).is_some() {
        return true;
    }
    match named(ty) {
        Some((name, Some(inner))) if name == "Option" => is_no_secret(inner),
        Some((name, _)) => NUMBERS.contains(&name.as_str()),
        None => false,
    }
}

fn may_be_absent(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Path(path) => path.path.segments.last().is_some_and(|s| s.ident == "Option"),
        _ => false,
    }
}

/// Code and numbers of a reduction's text.
pub(crate) fn reduction(text: &LitStr, field: &str) -> Result<(u8, u16, u16), Error> {
    let value = text.value();
    let bad = || {
        Error::new(
            text.span(),
            format!(
                "field `{field}`: unknown reduction {value:?}; there are: prefix(N), prefix(N, M), host_only, keyed, length, drop"
            ),
        )
    };
    Ok(match value.trim() {
        "host_only" => (2, 0, 0),
        "keyed" => (3, 0, 0),
        "length" => (4, 0, 0),
        "drop" => (5, 0, 0),
        other => {
            let inner = other.strip_prefix("prefix(").and_then(|r| r.strip_suffix(')')).ok_or_else(bad)?;
            let (n, m) = inner.split_once(',').unwrap_or((inner, "0"));
            (1, n.trim().parse().map_err(|_| bad())?, m.trim().parse().map_err(|_| bad())?)
        }
    })
}

/// Every placeholder of the sentence names a field.
fn check_text(event: &EventInput) -> Result<(), Error> {
    let text = event.text.value();
    let at = |message: String| Err(Error::new(event.text.span(), message));
    if text.len() > 4096 {
        return at("the sentence is longer than 4096 bytes".to_owned());
    }
    let mut rest = text.replace("{{", "").replace("}}", "");
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else {
            return at("a `{` of the sentence is not closed; write `{{` for a brace".to_owned());
        };
        let name = rest[open + 1..open + close].to_owned();
        if !event.fields.iter().any(|f| f.ident.unraw() == name) {
            let names: Vec<_> = event.fields.iter().map(|f| f.ident.unraw().to_string()).collect();
            return at(format!(
                "the sentence names `{{{name}}}`, which is no field: name one of the fields ({}), or write `{{{{` for a brace",
                names.join(", ")
            ));
        }
        rest = rest[open + close + 1..].to_owned();
    }
    if rest.contains('}') {
        return at("a `}` of the sentence has no `{`; write `}}` for a brace".to_owned());
    }
    Ok(())
}
