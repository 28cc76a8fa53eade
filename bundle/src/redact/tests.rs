use super::*;
use crate::draft::tests::info;
use crate::member::tests::Kept;
use crate::{Kind, MemberInfo, Sink};

fn redactor(level: Level) -> Redactor {
    let known = Known::new(["mmustermann", "Erika Mustermann", "root"], ["falcon-17.corp.example"]);
    Redactor::new(level, PseudonymKey::of([7; 32]), known)
}

fn standard(text: &str) -> String {
    redactor(Level::Standard).text(text).into_owned()
}

#[test]
fn the_patterns_of_every_level_are_sound() {
    for level in [Level::Standard, Level::Strict] {
        assert!(pattern::Patterns::new(level).are_built());
    }
}

#[test]
fn secrets_are_removed() {
    let secrets = [
        ("password=hunter2!", "hunter2!"),
        ("DB_PASSWORD: \"s3cr3t value\"", "s3cr3t"),
        ("\"passwd\": \"abc123\"", "abc123"),
        ("mount --password hunter2 //server", "hunter2"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("got bearer abcdef0123456789 from peer", "abcdef0123456789"),
        ("Cookie: sid=31d4d96e407aad42; theme=dark", "31d4d96e407aad42"),
        ("Set-Cookie: id=a3fWa; HttpOnly", "a3fWa"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "eyJzdWIiOiIxMjM0In0"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
        (
            "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        ),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghij"),
        ("glpat-abcdefghij0123456789", "glpat-abcdefghij"),
        ("xoxb-123456789012-abcdefghij", "xoxb-123456789012"),
        ("AIzaSyA-abcdefghijklmnopqrstuvwxyz01234", "AIzaSyA-abcdefghij"),
        ("sk_live_abcdefghijklmnop1234", "sk_live_abcdefghij"),
        ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "npm_abcdefghij"),
        ("https://bob:hunter2@host.example/x", "hunter2"),
        ("GET /x?sig=abcdef123&ok=1", "abcdef123"),
        ("AGE-SECRET-KEY-1QQPQQQQQQQQQQQQQQQQQQQQQQQQQQQQ", "QQPQQQQQQ"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("AccountKey=abcdefghij+/==;Endpoint=x", "abcdefghij"),
        ("api_key: 0123456789abcdef", "0123456789abcdef"),
        ("client-secret=Zm9vYmFy", "Zm9vYmFy"),
        ("dbPassword=hunter2!", "hunter2!"),
        ("<password>hunter2!</password>", "hunter2!"),
        ("<smtp:Password enc=\"no\">hunter2!</smtp:Password>", "hunter2!"),
    ];
    for (text, secret) in secrets {
        let out = standard(text);
        assert!(!out.contains(secret), "{text:?} became {out:?}");
        assert!(out.contains("[secret removed]"), "{text:?} became {out:?}");
    }
}

#[test]
fn the_same_value_has_one_pseudonym_everywhere_in_a_bundle_and_another_in_another() {
    let mut one = redactor(Level::Standard);
    let text = one.text("login of mmustermann from 192.0.2.7, home /home/mmustermann/x").into_owned();
    let user = one.field("user", "mmustermann").into_owned();
    assert!(user.starts_with("user-") && text.matches(&user).count() == 2, "{text} {user}");
    let ip = one.ip("192.0.2.7".parse().unwrap());
    assert!(text.contains(&ip.to_string()) && ip.to_string().starts_with("24"), "{text}");
    assert_eq!(one.map().get(&user).map(String::as_str), Some("mmustermann"));
    assert_eq!(one.report().kinds.get("user"), Some(&3));
    let mut other = Redactor::new(Level::Standard, PseudonymKey::of([8; 32]), Known::new([], []));
    assert_ne!(other.field("user", "mmustermann"), user);
}

#[test]
fn names_addresses_and_numbers_are_replaced() {
    for personal in [
        "erika@example.org",
        "mmustermann",
        "Erika Mustermann",
        "falcon-17.corp.example",
        "FALCON-17",
        "192.0.2.7",
        "10.1.2.3",
        "2001:db8::17",
        "fe80::1c2d:3e4f",
        "00:1b:44:11:3a:b7",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "/home/somebody/notes.txt",
        "C:\\Users\\Somebody\\x",
    ] {
        let out = standard(&format!("a ({personal}) b"));
        let name = personal.trim_start_matches("/home/").trim_start_matches("C:\\Users\\");
        let name = name.split(['/', '\\']).next().unwrap();
        assert!(!out.contains(name), "{personal:?} became {out:?}");
        assert!(out.starts_with("a (") && out.ends_with(") b"), "{out}");
    }
}

#[test]
fn what_is_not_personal_stays() {
    for text in [
        "kernel 6.18.3, version 1.2.3.4.5 of 12:34:56",
        "127.0.0.1:8080 and ::1 and 0.0.0.0",
        "root opened /etc/passwd at 2026-11-25T10:15:00Z",
        "1.3.6.1.4.1.311.2.1.12 is an object identifier",
        "4111 1111 1111 1112 fails its check",
        "std::io::Error in tracewell::fs",
        "compass: north; author: nobody in particular",
        "tokens are counted, passwords are not",
        "password: none, token=null",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "0000000000000000 and 1111111111111111",
    ] {
        assert_eq!(standard(text), text);
    }
}

#[test]
fn at_level_strict_visited_addresses_go_and_at_none_nothing_does() {
    let text = "visited https://news.example/story?id=7 from 192.0.2.7";
    let mut strict = redactor(Level::Strict);
    let out = strict.text(text).into_owned();
    assert!(
        !out.contains("news.example") && !out.contains("story") && out.contains("https://host-"),
        "{out}"
    );
    assert_eq!(
        strict.text("https://news.example/other").split("/path").next(),
        out.get(8..).and_then(|o| o.split("/path").next())
    );
    assert_eq!(redactor(Level::None).text(text), text);
    assert_eq!(redactor(Level::None).field("user", "bob"), "bob");
}

#[test]
fn json_is_replaced_by_what_it_says_of_itself() {
    let mut document = serde_json::json!({
        "personal_fields": [
            {"path": "/network/*/mac", "kind": "device"},
            {"path": "/users/*/name", "kind": "user"},
            {"path": "/users/*/id", "kind": "user-id"},
            {"path": "/downloads", "kind": "name"},
        ],
        "network": [{"mac": "not-a-form-of-address", "name": "eth0"}],
        "users": [{"name": "bob", "id": 1000}],
        "downloads": ["secret plans.pdf"],
        "note": "mail to erika@example.org",
        "host": {"mmustermann": 1},
    });
    let mut redactor = redactor(Level::Standard);
    redactor.json(&mut document);
    let text = document.to_string();
    for gone in ["not-a-form-of-address", "bob", "secret plans", "erika", "mmustermann", "1000"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("eth0"));
}

#[test]
fn files_are_replaced_line_by_line_also_long_ones_and_keys_over_many_lines() {
    let key: String = (0..50).map(|i| format!("line{i}ofthekey\n")).collect();
    let long = format!("{} password=hunter2 {}\n", "x ".repeat(40_000), "y ".repeat(40_000));
    let text = format!(
        "user mmustermann\n-----BEGIN OPENSSH PRIVATE KEY-----\n{key}-----END OPENSSH PRIVATE KEY-----\nafter\n{long}end"
    );
    let (mut kept, mut redactor) = (Kept::default(), redactor(Level::Standard));
    Redacting::new(&mut redactor, &mut kept).member(info("files/0001.txt"), &mut text.as_bytes()).unwrap();
    let out = String::from_utf8(kept.members.remove(0).1).unwrap();
    for gone in ["mmustermann", "ofthekey", "hunter2"] {
        assert!(!out.contains(gone), "{gone}");
    }
    assert!(out.contains("after\n") && out.ends_with("end"));
    let by_member = redactor.report().members.get("files/0001.txt").unwrap();
    assert_eq!(by_member.get("user"), Some(&1));
}

fn of_file(text: &str) -> String {
    let (mut kept, mut redactor) = (Kept::default(), redactor(Level::Standard));
    Redacting::new(&mut redactor, &mut kept).member(info("files/0001.txt"), &mut text.as_bytes()).unwrap();
    String::from_utf8(kept.members.remove(0).1).unwrap()
}

#[test]
fn what_lies_across_the_pieces_of_a_long_line_is_replaced_too() {
    let secret = "password: \"hunter2-hunter2\" ";
    let names = "Erika Mustermann ";
    for before in (65_536 - 40..65_536 + 4).step_by(4) {
        let text = format!("{}é {secret}{names}{}end\n", "x ".repeat(before / 2), "y ".repeat(5000));
        let out = of_file(&text);
        assert!(!out.contains("hunter2") && !out.contains("Mustermann"), "{before}");
        assert!(out.contains('é') && out.ends_with(" y end\n"), "{before}");
        assert_eq!(out.matches("y ").count(), 5000);
    }
}

#[test]
fn a_line_may_end_one_key_and_begin_another() {
    let key = |name: &str, body: &str| {
        format!("-----BEGIN {name} PRIVATE KEY-----\n{body}\n-----END {name} PRIVATE KEY-----")
    };
    let text = format!("{} | password=hunter2 | {} stays\n", key("RSA", "first7"), key("OPENSSH", "second7"));
    let out = of_file(&text);
    assert!(!out.contains("first7") && !out.contains("second7") && !out.contains("hunter2"), "{out}");
    assert!(out.ends_with(" stays\n"), "{out}");
}

#[test]
fn a_secret_without_an_end_takes_the_rest_of_its_line_and_no_more() {
    let text = format!("Cookie: sid={} x\nnext\n", "z".repeat(300_000));
    let out = of_file(&text);
    assert!(!out.contains("zz") && out.ends_with("\nnext\n"), "{}", out.len());
}

#[test]
fn what_cannot_be_looked_into_is_skipped_at_level_strict() {
    let (mut kept, mut redactor) = (Kept::default(), redactor(Level::Strict));
    let binary = MemberInfo { kind: Kind::Binary, ..info("files/0001.bin") };
    Redacting::new(&mut redactor, &mut kept).member(binary, &mut [0_u8, 1].as_slice()).unwrap();
    assert!(kept.members.is_empty() && kept.skipped.len() == 1);
}

mod segments {
    use std::path::Path;

    use tracewell::catalog::{NetworkConnection, ProcessStart};
    use tracewell::control::{Control, EnableRequest};
    use tracewell::dirs::Dirs;
    use tracewell::{Tracer, emit};
    use tracewell_reader::{Filter, Trace};

    use super::*;
    use crate::{Source, Traces};

    const EVENTS: u64 = 3000;

    fn record(base: &Path) {
        let dirs = Dirs::resolve(Some(base)).unwrap();
        let control = Control::open_or_create(&dirs).unwrap();
        let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
        control.enable(&dirs, &request).unwrap();
        let tracer = Tracer::builder("scanner").dir(base).attach().unwrap();
        for i in 0..EVENTS {
            let path = format!("/home/mmustermann/bin/tool{i}");
            emit!(
                tracer,
                ProcessStart {
                    image_path: &path,
                    user: Some("mmustermann"),
                    uid: Some(1000),
                    ..Default::default()
                }
            );
            let remote = std::net::SocketAddr::new([192, 0, 2, (i % 5) as u8 + 1].into(), 443);
            emit!(tracer, NetworkConnection { remote: Some(remote), ..Default::default() });
        }
        tracer.shutdown();
        let _ = std::fs::remove_dir_all(dirs.ring_root());
    }

    /// All lines of a trace, and whether it is whole.
    fn lines(path: &Path) -> (Vec<String>, u64, bool) {
        let trace = Trace::open(&[path.to_owned()], &[]).unwrap();
        let mut out = Vec::new();
        let mut renderer = tracewell_reader::render::text::TextRenderer::new(false);
        let mut line = String::new();
        let summary = trace
            .read(&Filter::default(), |item: &tracewell_reader::Item<'_>| {
                line.clear();
                renderer.push(&mut line, item);
                out.push(line.clone());
                Ok::<(), std::io::Error>(())
            })
            .unwrap();
        (out, summary.events, summary.is_complete())
    }

    #[test]
    fn a_redacted_segment_is_read_like_any_other_and_names_nobody() {
        let dir = crate::unnamed::tests::private_dir();
        let base = dir.path().join("trace");
        record(&base);
        let (before, events, whole) = lines(&base);
        assert!(whole && events == EVENTS * 2 && before.iter().any(|l| l.contains("mmustermann")));
        for level in [Level::Standard, Level::Strict] {
            let (mut kept, mut redactor) = (Kept::default(), redactor(level));
            Traces::new(&base).collect(&mut Redacting::new(&mut redactor, &mut kept)).unwrap();
            assert!(kept.skipped.is_empty(), "{:?}", kept.skipped);
            let after = dir.path().join(level.name());
            std::fs::create_dir(&after).unwrap();
            for (info, bytes) in &kept.members {
                let name = info.name.as_str().rsplit('/').next().unwrap();
                std::fs::write(after.join(name), bytes).unwrap();
            }
            let (lines, events, whole) = lines(&after);
            assert!(whole, "no loss, no damage");
            assert_eq!((events, lines.len()), (EVENTS * 2, before.len()));
            for line in &lines {
                assert!(!line.contains("mmustermann") && !line.contains("192.0.2."), "{line}");
            }
            let user = redactor.field("user", "mmustermann").into_owned();
            assert!(
                lines.iter().filter(|l| l.contains(&user)).count() as u64 >= EVENTS,
                "{user}: {}",
                lines[0]
            );
            let tools = lines.iter().filter(|l| l.contains("tool17")).count();
            assert_eq!(tools != 0, level == Level::Standard, "strict keeps no names of files");
        }
    }

    #[test]
    fn the_rest_of_a_damaged_segment_is_left_out_and_said() {
        let dir = crate::unnamed::tests::private_dir();
        let base = dir.path().join("trace");
        record(&base);
        let (mut kept, mut redactor) = (Kept::default(), redactor(Level::None));
        Traces::new(&base).collect(&mut Redacting::new(&mut redactor, &mut kept)).unwrap();
        let (info, bytes) = kept.members.remove(0);
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let (mut kept, mut redactor) = (Kept::default(), super::redactor(Level::Standard));
            Redacting::new(&mut redactor, &mut kept).member(info.clone(), &mut changed.as_slice()).unwrap();
            let out = &kept.members[0].1;
            assert!(!out.windows(11).any(|w| w == b"mmustermann"), "bit {at}");
            assert!(kept.skipped.len() <= 1);
        }
    }
}
