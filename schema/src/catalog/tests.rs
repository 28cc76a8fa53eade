//! The catalog keeps its promises: names, documentation, privacy, and bytes that can be read again.

use std::collections::BTreeSet;

use super::*;
use crate::event::{Level, Plan, Privacy, Reduction};
use crate::{Value, decode_event};

/// Longest fixed part of an event, bytes: what the emitting thread copies at once.
const MAX_FIXED: usize = 1024;

/// The checklist: every event, its level, and whether it is opt-in.
const CHECKLIST: [(&str, Level, bool); 32] = [
    ("protection.state_changed", Level::Info, false),
    ("protection.scan", Level::Info, false),
    ("protection.database_updated", Level::Info, false),
    ("detection.object", Level::Warn, false),
    ("detection.network_attack", Level::Warn, false),
    ("detection.activity", Level::Warn, false),
    ("detection.url", Level::Warn, false),
    ("detection.decision", Level::Info, false),
    ("download.started", Level::Info, false),
    ("download.finished", Level::Info, false),
    ("process.start", Level::Info, false),
    ("process.exit", Level::Info, false),
    ("module.load", Level::Debug, false),
    ("module.image", Level::Info, false),
    ("error.raised", Level::Error, false),
    ("ui.action", Level::Debug, false),
    ("ui.notification", Level::Debug, false),
    ("network.connection", Level::Debug, false),
    ("network.dns", Level::Debug, false),
    ("message.mail", Level::Info, false),
    ("message.instant", Level::Info, false),
    ("web.visit", Level::Debug, false),
    ("web.login", Level::Debug, true),
    ("web.cookies", Level::Debug, true),
    ("certificate.seen", Level::Info, false),
    ("audit.enabled", Level::Error, false),
    ("audit.disabled", Level::Error, false),
    ("audit.viewed", Level::Error, false),
    ("audit.consented", Level::Error, false),
    ("audit.sent", Level::Error, false),
    ("audit.receipt", Level::Error, false),
    ("audit.exported", Level::Error, false),
];

/// Fields that are off until they are enabled by name.
const OPT_IN: [&str; 12] = [
    "message.mail.account",
    "message.mail.from",
    "message.mail.to",
    "message.mail.cc",
    "message.mail.bcc",
    "message.mail.subject",
    "message.mail.return_path",
    "message.mail.login",
    "message.instant.peer",
    "message.instant.group",
    "web.visit.path",
    "web.visit.query",
];

/// Passwords, tokens, values of cookies, queries; nothing else.
const SECRET: [&str; 8] = [
    "detection.url.query",
    "download.started.query",
    "download.finished.query",
    "message.mail.password",
    "web.cookies.value",
    "web.login.password",
    "web.login.token",
    "web.visit.query",
];

/// What the schema itself reduces.
const REDUCED: [(&str, Reduction); 9] = [
    ("detection.network_attack.remote_address", Reduction::Prefix { n: 24, m: 48 }),
    ("detection.network_attack.remote_checksum", Reduction::Keyed),
    ("detection.url.referrer", Reduction::HostOnly),
    ("message.instant.urls", Reduction::HostOnly),
    ("message.mail.body_hash", Reduction::Keyed),
    ("message.mail.message_key", Reduction::Keyed),
    ("message.mail.reply_to_key", Reduction::Keyed),
    ("message.mail.urls", Reduction::HostOnly),
    ("web.visit.referrer", Reduction::HostOnly),
];

fn fields(keep: impl Fn(&SchemaRef, &crate::FieldRef) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for schema in all() {
        for field in schema.fields.iter().filter(|f| keep(schema, f)) {
            found.insert(format!("{}.{}", schema.name, field.name));
        }
    }
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn the_checklist_is_the_catalog() {
    let found: BTreeSet<_> = all().iter().map(|s| (s.name, s.level as u8, s.opt_in)).collect();
    let wanted: BTreeSet<_> = CHECKLIST.iter().map(|(n, l, o)| (*n, *l as u8, *o)).collect();
    assert_eq!(found, wanted);
    assert_eq!(all().len(), CHECKLIST.len(), "a name is there twice");
}

#[test]
fn everything_is_documented_and_within_the_limits() {
    for schema in all() {
        let name = schema.name;
        assert_eq!(name.split('.').next(), Some(schema.category.name()), "{name}");
        assert!(!schema.doc.is_empty() && !schema.text.is_empty(), "{name}");
        let mut names = BTreeSet::new();
        for field in schema.fields {
            assert!(field.doc.len() > 4 && field.doc.ends_with('.'), "{name}.{}", field.name);
            assert!(names.insert(field.name), "{name}.{} is there twice", field.name);
        }
        let owned = schema.to_schema().unwrap();
        assert_eq!(owned.fields.len(), schema.fields.len());
        assert!(schema.to_blob().len() <= crate::limits::MAX_SCHEMA, "{name}");
    }
}

#[test]
fn sentences_name_fields_and_never_show_secrets_or_opt_ins() {
    for schema in all() {
        let mut count = 0;
        for part in schema.text.split('{').skip(1) {
            let name = part.split('}').next().unwrap();
            let field = schema.fields.iter().find(|f| f.name == name);
            let field = field.unwrap_or_else(|| panic!("{}: {name} is no field", schema.name));
            assert!(field.class != Privacy::Secret && !field.opt_in, "{}: {name}", schema.name);
            count += 1;
        }
        assert!(count > 0, "{}", schema.name);
    }
}

#[test]
fn what_is_secret_what_is_opt_in_and_what_is_reduced() {
    assert_eq!(fields(|_, f| f.class == Privacy::Secret), set(&SECRET));
    assert_eq!(fields(|_, f| f.opt_in), set(&OPT_IN));
    let reduced = fields(|_, f| f.reduction != Reduction::None);
    assert_eq!(reduced, REDUCED.iter().map(|(n, _)| (*n).to_owned()).collect());
    for (name, reduction) in &REDUCED {
        let same = fields(|_, f| f.reduction == *reduction);
        assert!(same.contains(*name), "{name}");
    }
}

#[test]
fn what_names_people_and_their_things_is_not_public() {
    // Names of fields that hold such things wherever they stand.
    let personal = [
        "user",
        "uid",
        "login",
        "login_uid",
        "owner",
        "account",
        "path",
        "image_path",
        "parent_path",
        "object_path",
        "file_path",
        "file_paths",
        "file_name",
        "file_names",
        "command_line",
        "working_directory",
        "host",
        "url",
        "final_url",
        "referrer",
        "remote",
        "local",
        "remote_host",
        "sni",
        "emails",
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "peer",
        "group",
        "server",
        "domain",
        "object",
        "target",
        "exclusion",
        "folder",
        "debug_path",
    ];
    let public = fields(|_, f| f.class == Privacy::Public && personal.contains(&f.name));
    // A public certificate's subject, and whose an error number is.
    assert_eq!(public, set(&["certificate.seen.subject", "error.raised.domain"]));
}

#[test]
fn what_belongs_to_one_story_is_joined() {
    // Audit is about tracing itself, not about what was traced.
    for schema in all().iter().filter(|s| s.category.name() != "audit") {
        let has = |name: &str| schema.fields.iter().any(|f| f.name == name);
        assert!(has("correlation"), "{}", schema.name);
        if matches!(schema.category.name(), "detection") {
            assert!(has("detection_id") && has("parent_correlation"), "{}", schema.name);
        }
        if has("pid") {
            assert!(has("process_key"), "{}", schema.name);
        }
    }
}

#[test]
fn the_samples_are_the_catalog_and_the_same_for_the_same_seed() {
    struct Bytes(Vec<(&'static str, Vec<u8>)>);
    impl sample::Visitor for Bytes {
        fn event<E: Event>(&mut self, event: &E) {
            assert!(E::FIXED_LEN <= MAX_FIXED, "{}: {} bytes", E::SCHEMA.name, E::FIXED_LEN);
            let mut out = vec![0; event.encoded_len()];
            event.encode(&mut out);
            self.0.push((E::SCHEMA.name, out));
        }
    }
    let bytes = |seed| {
        let mut visitor = Bytes(Vec::new());
        sample::visit_samples(seed, &mut visitor);
        visitor.0
    };
    let first = bytes(1);
    let names: BTreeSet<_> = first.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, all().iter().map(|s| s.name).collect());
    assert_eq!(first.len(), all().len());
    assert_eq!(first, bytes(1));
    for (a, b) in first.iter().zip(&bytes(2)) {
        assert_ne!(a, b, "{} is the same for every seed", a.0);
    }
}

struct RoundTrip;

impl sample::Visitor for RoundTrip {
    fn event<E: Event>(&mut self, event: &E) {
        let schema = E::SCHEMA.to_schema().unwrap();
        let mut plain = vec![0; event.encoded_len()];
        event.encode(&mut plain);
        let values = decode_event(&schema, &plain, false).unwrap();
        assert_eq!(values.iter().filter(Result::is_ok).count(), schema.fields.len(), "{}", schema.name);
        let encode = |plan: &Plan| {
            let mut out = vec![0; event.reduced_len_bound()];
            let len = event.encode_reduced(plan, &mut out);
            out.truncate(len);
            out
        };
        // With everything opted in, the two encoders agree but for secrets and the schema's own reductions.
        let plan = Plan::new(E::SCHEMA, [7; 32], &|_| true, &|_| None);
        let out = encode(&plan);
        for (a, b) in values.iter().zip(decode_event(&schema, &out, plan.changed).unwrap().iter()) {
            let (a, b) = (a.unwrap(), b.unwrap());
            if a.schema.class != Privacy::Secret && b.reduction == Reduction::None {
                assert_eq!(a.value, b.value, "{}.{}", schema.name, a.schema.name);
            }
        }
        for secret in ["hunter2", "token=", "session=", "sid=abc", "id=secret", "bearer"] {
            assert!(!contains(&out, secret) && !contains(&plain, secret), "{}: {secret}", schema.name);
        }
        // Without any opt-in, opt-in fields are off.
        let plan = Plan::new(E::SCHEMA, [7; 32], &|_| false, &|_| None);
        let out = encode(&plan);
        for field in decode_event(&schema, &out, plan.changed).unwrap().iter().map(Result::unwrap) {
            assert_eq!(field.schema.opt_in, field.reduction == Reduction::Off, "{}", schema.name);
        }
        // With everything dropped, no text, address or secret is left.
        let plan = Plan::new(E::SCHEMA, [7; 32], &|_| true, &|_| Some(Reduction::Drop));
        let out = encode(&plan);
        for field in decode_event(&schema, &out, plan.changed).unwrap().iter().map(Result::unwrap) {
            match field.value {
                Value::Str(t) | Value::Bytes(t) => assert!(t.bytes.iter().all(|b| *b == 0)),
                Value::Ip(_) | Value::Secret(..) => panic!("{}.{} is left", schema.name, field.schema.name),
                _ => {}
            }
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn every_event_survives_encoding() {
    for seed in 0..50 {
        sample::visit_samples(seed, &mut RoundTrip);
    }
}
