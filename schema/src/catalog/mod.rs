//! The catalog: every event that the parts of a security product have in common.
//!
//! Fields marked *personal* are readable on the user's computer and pseudonymised in a bundle; *secret* ones are never
//! stored. Events and fields that are opt-in stay off until they are enabled by name.
//!
//! `process_key` and the like name a process for good, whatever happens to its id; `correlation` joins a download,
//! its file, its launch, its connections, a detection and the decisions about it into one story.

mod audit;
mod certificate;
mod detection;
mod download;
mod error;
mod message;
mod module;
mod network;
mod process;
mod protection;
pub mod sample;
mod ui;
mod web;

pub use audit::*;
pub use certificate::*;
pub use detection::*;
pub use download::*;
pub use error::*;
pub use message::*;
pub use module::*;
pub use network::*;
pub use process::*;
pub use protection::*;
pub use ui::*;
pub use web::*;

use crate::event::{Event, SchemaRef};

/// The descriptions of all events of the catalog.
#[must_use]
pub fn all() -> Vec<&'static SchemaRef> {
    struct Collect(Vec<&'static SchemaRef>);
    impl sample::Visitor for Collect {
        fn event<E: Event>(&mut self, _: &E) {
            self.0.push(E::SCHEMA);
        }
    }
    let mut collect = Collect(Vec::new());
    sample::visit(0, &mut collect);
    collect.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Plan, Privacy, Reduction};
    use crate::{Value, decode_event};

    #[test]
    fn names_are_unique_and_everything_is_documented() {
        let all = all();
        let mut names: Vec<_> = all.iter().map(|s| s.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for schema in all {
            assert_eq!(schema.name.split('.').next(), Some(schema.category.name()), "{}", schema.name);
            assert!(!schema.doc.is_empty() && !schema.text.is_empty(), "{}", schema.name);
            for field in schema.fields {
                assert!(!field.doc.is_empty(), "{}.{}", schema.name, field.name);
            }
            assert_eq!(schema.to_schema().unwrap().fields.len(), schema.fields.len());
        }
    }

    #[test]
    fn every_item_of_the_checklist_is_there() {
        let names: Vec<_> = all().iter().map(|s| s.name).collect();
        for name in [
            "protection.state_changed",
            "protection.scan",
            "protection.database_updated",
            "detection.object",
            "detection.network_attack",
            "detection.activity",
            "detection.url",
            "detection.decision",
            "download.started",
            "download.finished",
            "process.start",
            "process.exit",
            "module.load",
            "module.image",
            "error.raised",
            "ui.action",
            "ui.notification",
            "network.connection",
            "network.dns",
            "message.mail",
            "message.instant",
            "web.visit",
            "web.login",
            "web.cookies",
            "certificate.seen",
            "audit.enabled",
            "audit.disabled",
            "audit.viewed",
            "audit.consented",
            "audit.sent",
            "audit.receipt",
            "audit.exported",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn what_is_secret_and_what_is_opt_in() {
        let (mut secret, mut opt_in) = (Vec::new(), Vec::new());
        for schema in all() {
            if schema.opt_in {
                opt_in.push(schema.name.to_owned());
            }
            for field in schema.fields {
                let name = format!("{}.{}", schema.name, field.name);
                if field.class == Privacy::Secret {
                    secret.push(name.clone());
                }
                if field.opt_in {
                    opt_in.push(name);
                }
            }
        }
        for name in [
            "web.login.password",
            "web.login.token",
            "web.cookies.values",
            "web.visit.query",
            "message.mail.password",
        ] {
            assert!(secret.contains(&name.to_owned()), "{name}: {secret:?}");
        }
        for name in [
            "web.login",
            "web.cookies",
            "message.mail.subject",
            "message.mail.from",
            "message.mail.to",
            "message.instant.peer",
            "web.visit.path",
            "web.visit.query",
        ] {
            assert!(opt_in.contains(&name.to_owned()), "{name}: {opt_in:?}");
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
            // With everything opted in, the two encoders agree but for secrets and the schema's own reductions.
            let plan = Plan::new(E::SCHEMA, [7; 32], &|_| true, &|_| None);
            let mut out = vec![0; event.reduced_len_bound()];
            let len = event.encode_reduced(&plan, &mut out);
            out.truncate(len);
            let reduced = decode_event(&schema, &out, plan.changed).unwrap();
            for (a, b) in values.iter().zip(reduced.iter()) {
                let (a, b) = (a.unwrap(), b.unwrap());
                if a.schema.class != Privacy::Secret && b.reduction == Reduction::None {
                    assert_eq!(a.value, b.value, "{}.{}", schema.name, a.schema.name);
                }
            }
            // With everything dropped nothing of the personal fields is left.
            let drop = Plan::new(E::SCHEMA, [7; 32], &|_| true, &|_| Some(Reduction::Drop));
            let mut out = vec![0; event.reduced_len_bound()];
            let len = event.encode_reduced(&drop, &mut out);
            out.truncate(len);
            for field in decode_event(&schema, &out, drop.changed).unwrap().iter().map(Result::unwrap) {
                match field.value {
                    Value::Str(t) | Value::Bytes(t) => assert!(t.bytes.iter().all(|b| *b == 0)),
                    Value::Ip(_) | Value::Secret(..) => {
                        panic!("{}.{} is left", schema.name, field.schema.name)
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn every_event_survives_encoding() {
        for seed in 0..50 {
            sample::visit(seed, &mut RoundTrip);
        }
    }
}
