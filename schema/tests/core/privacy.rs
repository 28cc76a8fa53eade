//! docs/PRIVACY.md: what it says of each field is what the catalog says.

use std::fmt::Write;

use tracewell_schema::field::TypeRef;
use tracewell_schema::{Category, FieldRef, Level, Privacy, Reduction, SchemaRef, catalog};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PRIVACY.md");
const BEGIN: &str = "<!-- catalog: begin -->\n";
const END: &str = "<!-- catalog: end -->\n";
/// Set, the file is written instead of compared.
const WRITE: &str = "TRACEWELL_WRITE_PRIVACY";

/// What a category is about, for people without technical knowledge.
fn about(category: Category) -> &'static str {
    match category {
        Category::Detection => "What the product took for harmful, where it was, and what was done about it.",
        Category::Download => "Files that were downloaded: from where, and what became of them.",
        Category::Process => "Programs that were started and ended.",
        Category::Module => "Programs and parts of programs that were loaded: their files.",
        Category::Network => "With whom this computer was connected, and which names it looked up.",
        Category::Web => {
            "Web sites that were visited; logins and cookies only if they are switched on by name."
        }
        Category::Message => {
            "That e-mails and instant messages were sent or received. What is in them has no field at all."
        }
        Category::Certificate => "Certificates that servers showed. They are public.",
        Category::Protection => "Whether the protection was on, and what it examined.",
        Category::Ui => "What was clicked in the product's own windows. Never what was typed.",
        Category::Error => "What failed in the product.",
        Category::Audit => "What was done with tracing itself: who switched it on, looked at it, sent it.",
        Category::Custom => {
            "Events that a component defines itself. Their descriptions are in the trace; the product's maker says here what they are."
        }
    }
}

/// The type inside an optional or a list.
fn inner(ty: &TypeRef) -> &TypeRef {
    match ty {
        TypeRef::Optional(of) | TypeRef::List(of) => inner(of),
        other => other,
    }
}

/// What is kept of a field unless it is set otherwise.
fn kept(field: &FieldRef) -> String {
    let is_address = matches!(inner(&field.ty), TypeRef::Ip | TypeRef::Socket);
    let kept = match field.reduction {
        _ if field.class == Privacy::Secret => {
            "how long it is, roughly, and a keyed mark; never itself".into()
        }
        Reduction::None => "all of it".into(),
        Reduction::Prefix { n, m } if is_address => format!("the network: {n} bits of 32, or {m} of 128"),
        Reduction::Prefix { n, .. } => format!("the first {n} characters"),
        Reduction::HostOnly => "the name of the server alone".into(),
        Reduction::Keyed => "a keyed mark".into(),
        Reduction::Length => "how long it is".into(),
        Reduction::Drop | Reduction::Off => "nothing".into(),
    };
    if field.opt_in { format!("nothing, unless switched on by name; then {kept}") } else { kept }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

fn event(schema: &SchemaRef, out: &mut String) {
    let _ = write!(out, "\n### {}\n\n{}\n\n", schema.name, cell(schema.doc));
    let usual = schema.level <= Level::Info;
    let _ = match (schema.opt_in, usual) {
        (true, _) => writeln!(
            out,
            "**Off unless it is switched on by name** (`--opt-in {}`), and at level `{}`.",
            schema.name, schema.level
        ),
        (false, true) => writeln!(out, "Recorded with the usual settings (level `{}`).", schema.level),
        (false, false) => {
            writeln!(out, "Not recorded with the usual settings, only from level `{}` on.", schema.level)
        }
    };
    out.push_str("\n| field | what it is | class | what is kept |\n| --- | --- | --- | --- |\n");
    for field in schema.fields {
        let unit = if field.unit.is_empty() { String::new() } else { format!(" ({})", field.unit) };
        let _ = writeln!(
            out,
            "| `{}` | {}{} | {} | {} |",
            field.name,
            cell(field.doc),
            cell(&unit),
            field.class,
            kept(field)
        );
    }
}

/// The part of the file that the catalog gives.
fn generated() -> String {
    let all = catalog::all();
    let mut out = String::from("\n");
    let count =
        |test: fn(&FieldRef) -> bool| all.iter().flat_map(|s| s.fields).filter(|field| test(field)).count();
    let _ = writeln!(
        out,
        "{} kinds of events with {} fields: {} public, {} personal, {} secret; {} fields and {} kinds are off unless they are switched \
         on by name.",
        all.len(),
        count(|_| true),
        count(|f| f.class == Privacy::Public),
        count(|f| f.class == Privacy::Personal),
        count(|f| f.class == Privacy::Secret),
        count(|f| f.opt_in),
        all.iter().filter(|schema| schema.opt_in).count()
    );
    for category in Category::ALL {
        let _ = write!(out, "\n## {category}\n\n{}\n", about(*category));
        all.iter().filter(|schema| schema.category == *category).for_each(|schema| event(schema, &mut out));
    }
    out.push('\n');
    out
}

#[test]
fn the_privacy_document_says_what_the_catalog_says() {
    let text = std::fs::read_to_string(FILE).expect("docs/PRIVACY.md");
    let (head, rest) = text.split_once(BEGIN).expect("the mark where the generated part begins");
    let (is, tail) = rest.split_once(END).expect("the mark where the generated part ends");
    let should = generated();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, [head, BEGIN, &should, END, tail].concat()).expect("written");
        return;
    }
    let differs = is.lines().zip(should.lines()).find(|(is, should)| is != should);
    assert!(
        is == should,
        "docs/PRIVACY.md is not what the catalog gives ({differs:?}); write it with\n  {WRITE}=1 cargo test -p tracewell-schema --test core privacy"
    );
}

/// What the document promises in its own words.
#[test]
fn what_the_document_promises_holds() {
    let mut secrets = 0;
    for schema in catalog::all() {
        for field in schema.fields {
            let name = format!("{}.{}", schema.name, field.name);
            let is_secret = matches!(inner(&field.ty), TypeRef::Secret);
            // A secret has a form of its own: there is no way to store it in clear.
            assert_eq!(is_secret, field.class == Privacy::Secret, "{name}");
            secrets += usize::from(is_secret);
            assert!(!field.doc.is_empty(), "{name} says nothing of itself");
        }
    }
    assert!(secrets > 0);
    // No keystrokes, no text of messages.
    for schema in catalog::all().iter().filter(|s| [Category::Message, Category::Ui].contains(&s.category)) {
        for field in schema.fields {
            assert!(
                !["text", "body", "content", "keys", "typed"].contains(&field.name),
                "{}.{}",
                schema.name,
                field.name
            );
        }
    }
}
