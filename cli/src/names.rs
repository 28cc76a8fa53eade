//! Names of events and fields that the user gives: a mistyped one must not look as if it were in effect.

use std::collections::BTreeMap;

use tracewell_schema::{FieldRef, Reduction, SchemaRef, catalog};

use crate::output::Failure;

/// What a name is.
enum Named {
    Event(&'static SchemaRef),
    Field(&'static FieldRef),
    /// The event is of the catalog and has no such field.
    NoField(&'static SchemaRef, String),
    /// Nothing of the catalog: a component's own, or mistyped.
    Unknown,
}

fn find(name: &str) -> Named {
    let of = |s: &&'static SchemaRef| {
        name == s.name || name.strip_prefix(s.name).is_some_and(|rest| rest.starts_with('.'))
    };
    // The longest name, should one event's be the beginning of another's.
    let Some(event) = catalog::all().into_iter().filter(of).max_by_key(|s| s.name.len()) else {
        return Named::Unknown;
    };
    let Some(field) = name.strip_prefix(event.name).and_then(|rest| rest.strip_prefix('.')) else {
        return Named::Event(event);
    };
    match event.fields.iter().find(|f| f.name == field) {
        Some(found) => Named::Field(found),
        None => Named::NoField(event, field.to_owned()),
    }
}

/// Whether the catalog has an event or a field of this name.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(find(name), Named::Event(_) | Named::Field(..))
}

/// Checks what is to be enabled by name and what is to be reduced; returns what the user may not have meant.
///
/// # Errors
/// If an event of the catalog has no such field.
pub(crate) fn check(opt_in: &[String], reduce: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for name in opt_in {
        match find(name) {
            Named::NoField(event, field) => return Err(no_field(event, &field, "--opt-in", |f| f.opt_in)),
            Named::Event(event) if event.opt_in => {}
            Named::Field(field) if field.opt_in => {}
            Named::Event(_) | Named::Field(..) => notes.push(format!("note: {name} needs no opt-in")),
            Named::Unknown => notes.push(unknown(name)),
        }
    }
    for (name, reduction) in reduce {
        match find(name) {
            Named::NoField(event, field) => return Err(no_field(event, &field, "--reduce", |_| true)),
            Named::Event(event) => {
                return Err(Failure::Message(vec![
                    format!("{name} is an event, and what is reduced is a field; nothing was changed"),
                    format!("its fields: {}", fields(event, |_| true).join(", ")),
                ]));
            }
            Named::Field(field) => {
                let asked: Result<Reduction, _> = reduction.parse();
                if asked.is_ok_and(|asked| field.reduction.stricter(asked) != asked) {
                    notes.push(format!(
                        "note: {name} stays {}, which keeps less than {reduction}",
                        field.reduction
                    ));
                }
            }
            Named::Unknown => notes.push(unknown(name)),
        }
    }
    Ok(notes)
}

fn fields(event: &SchemaRef, wanted: impl Fn(&FieldRef) -> bool) -> Vec<&'static str> {
    event.fields.iter().filter(|f| wanted(f)).map(|f| f.name).collect()
}

fn no_field(event: &SchemaRef, field: &str, option: &str, wanted: impl Fn(&FieldRef) -> bool) -> Failure {
    let all = fields(event, |_| true);
    let meant = nearest(field, all.iter().copied())
        .map_or_else(String::new, |near| format!("; did you mean {}.{near}?", event.name));
    let mut lines = vec![format!("{} has no field of the name {field}{meant}", event.name)];
    let some = fields(event, wanted);
    lines.push(match (some.len() == all.len(), some.is_empty()) {
        (true, _) => format!("its fields: {}", all.join(", ")),
        (false, true) => format!("none of its fields needs an opt-in; its fields: {}", all.join(", ")),
        (false, false) => {
            format!("its fields that need an opt-in: {}; all: {}", some.join(", "), all.join(", "))
        }
    });
    lines.push(format!("nothing was changed; `{option} none` forgets what was kept of last time"));
    Failure::Message(lines)
}

fn unknown(name: &str) -> String {
    let events = catalog::all();
    let fields = events.iter().flat_map(|e| e.fields.iter().map(|f| format!("{}.{}", e.name, f.name)));
    let names: Vec<String> = events.iter().map(|e| e.name.to_owned()).chain(fields).collect();
    let meant = nearest(name, names.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; if you meant {near}, that is NOT in effect"));
    format!(
        "note: {name} is not in the catalog: it has an effect only if a component's own events have that name{meant}"
    )
}

/// The name that is most like what was typed, if one is alike.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |name: &str| {
        // `remote_address` for `remote`, and the other way round.
        let is_part =
            name.len() >= 3 && typed.starts_with(name) || typed.len() >= 3 && name.starts_with(typed);
        let distance = distance(typed, name);
        (is_part || distance <= 1 + typed.len() / 5).then_some((!is_part, distance))
    };
    names.filter_map(|name| Some((score(name)?, name))).min().map(|(_, name)| name)
}

/// How many characters must be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut above_left = row.first().copied().unwrap_or(0);
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (above_left + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            above_left = std::mem::replace(cell, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(name: &str) -> Result<Vec<String>, Failure> {
        check(&[], &BTreeMap::from([(name.to_owned(), "keyed".to_owned())]))
    }

    fn lines(failure: Failure) -> String {
        match failure {
            Failure::Message(lines) => lines.join("\n"),
            Failure::Pipe => String::new(),
        }
    }

    #[test]
    fn a_mistyped_field_is_refused_with_the_nearest_name() {
        assert!(reduce("network.connection.remote").unwrap().is_empty());
        for (typed, meant) in [
            ("network.connection.remote_address", "did you mean network.connection.remote?"),
            ("network.connection.remot", "did you mean network.connection.remote?"),
            ("network.connection.loacl", "did you mean network.connection.local?"),
            ("network.connection.zzz", "its fields: "),
            ("network.connection", "is an event"),
        ] {
            let text = lines(reduce(typed).unwrap_err());
            assert!(text.contains(meant) && text.contains("image_path"), "{typed}: {text}");
        }
        let text = lines(check(&["message.mail.subjct".to_owned()], &BTreeMap::new()).unwrap_err());
        assert!(text.contains("message.mail.subject?") && text.contains("need an opt-in"), "{text}");
    }

    #[test]
    fn an_unknown_event_may_be_a_component_s_own_and_is_said_plainly() {
        let notes = reduce("custom.rule.path").unwrap();
        assert!(notes[0].contains("not in the catalog") && !notes[0].contains("if you meant"), "{notes:?}");
        let notes = reduce("network.conection.remote").unwrap();
        assert!(notes[0].contains("network.connection.remote, that is NOT in effect"), "{notes:?}");
    }

    #[test]
    fn distances() {
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")), (3, 0, 3));
    }
}
