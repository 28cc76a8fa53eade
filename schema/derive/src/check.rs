//! What an event must satisfy; every complaint names the field and the remedy.

use syn::{Error, LitStr, Type};

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

pub(crate) fn check(event: &EventInput) -> Result<(), Error> {
    let mut errors = None;
    let mut complain = |error| push(&mut errors, error);
    one_of(&event.category, "category", &CATEGORIES).unwrap_or_else(&mut complain);
    one_of(&event.level, "level", &LEVELS).unwrap_or_else(&mut complain);
    let name = event.name.value();
    if name.len() > 255
        || !name.contains('.')
        || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
    {
        complain(Error::new(
            event.name.span(),
            "an event's name is `category.what_happened`: lower-case letters, digits, `_`, and at least one `.`",
        ));
    }
    if event.fields.len() > 255 {
        complain(Error::new(
            event.ident.span(),
            "an event has at most 255 fields: put the rest into a second event",
        ));
    }
    if event.generics.type_params().next().is_some()
        || event.generics.const_params().next().is_some()
        || event.generics.lifetimes().count() > 1
    {
        complain(Error::new_spanned(
            &event.generics,
            "an event has at most one lifetime parameter and no type parameters: write one struct for each type",
        ));
    }
    for field in &event.fields {
        check_field(field).unwrap_or_else(&mut complain);
    }
    check_text(event).unwrap_or_else(&mut complain);
    errors.map_or(Ok(()), Err)
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

fn check_field(field: &FieldInput) -> Result<(), Error> {
    let ident = &field.ident;
    let at = |message: String| Err(Error::new(ident.span(), message));
    let Some(class) = field.class else {
        return at(format!(
            "field `{ident}` has no privacy class: add `#[field(public)]`, `#[field(personal)]` or `#[field(secret)]`"
        ));
    };
    if class == Class::Secret && field.reduce.is_some() {
        return at(format!(
            "field `{ident}` is secret, which keeps less than any reduction: remove `reduce`"
        ));
    }
    if let Some(reduce) = &field.reduce {
        reduction(reduce)?;
    }
    if let Some(max) = &field.max {
        let n: u32 = max.base10_parse()?;
        if n == 0 || n > 32_767 {
            return Err(Error::new(max.span(), format!("field `{ident}`: max is 1 to 32767 bytes")));
        }
    }
    if field.opt_in && !may_be_absent(&field.ty) {
        return at(format!(
            "field `{ident}` is opt_in, so it must be able to be absent: make it `Option<...>`, `&str` or a slice"
        ));
    }
    Ok(())
}

fn may_be_absent(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Path(path) => path.path.segments.last().is_some_and(|s| s.ident == "Option"),
        _ => false,
    }
}

/// Code and numbers of a reduction's text.
pub(crate) fn reduction(text: &LitStr) -> Result<(u8, u16, u16), Error> {
    let value = text.value();
    let bad = || {
        Error::new(
            text.span(),
            format!(
                "unknown reduction {value:?}; there are: prefix(N), prefix(N, M), host_only, keyed, length, drop"
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
        if !event.fields.iter().any(|f| f.ident == name) {
            let names: Vec<_> = event.fields.iter().map(|f| f.ident.to_string()).collect();
            return at(format!(
                "the sentence names `{{{name}}}`, which is no field; there are: {}",
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
