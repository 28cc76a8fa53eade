//! docs/support.md is what happens: its commands are run as they stand there, from the request to the receipt, and must print
//! what stands there. `TRACEWELL_WRITE_DOCS=1` writes what they print into the document instead.
//!
//! In a block ```` ```console ```` a line that begins with `$ ` is a command; what follows is what it prints, on a terminal. What
//! changes from run to run is compared by its form: times, digests, keys, sizes, pseudonyms, numbers.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::Place;
use tracewell::catalog::{ErrorRaised, NetworkConnection, ProcessStart};
use tracewell::emit;
use tracewell_bundle::OwnKey;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A tus server behind TLS on 127.0.0.1, which ends with the test.
struct Server(Child, u16);

impl Server {
    fn start(place: &Place) -> Self {
        let modules = repository("tests/tus/node_modules");
        assert!(modules.exists(), "the test server is not installed: run `npm ci --prefix tests/tus`");
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(place.path("support-roots.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(place.path("server.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(place.path("server.key"), key.serialize_pem()).unwrap();
        std::fs::create_dir(place.path("received")).unwrap();
        let mut command = Command::new("node");
        command.arg(repository("tests/tus/server.mjs"));
        command.args(["received", "server.pem", "server.key"].map(|name| place.path(name)));
        command.args(["0", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node is installed");
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let port = first.trim().strip_prefix("port ").expect("a port").parse().unwrap();
        Self(child, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What the maker of the product ships, and the signed request that support sends.
fn stage(place: &Place, port: u16) {
    let support = OwnKey::load_or_create(&place.path("support")).unwrap();
    let signer = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let document = std::fs::read_to_string(repository("docs/support.md")).unwrap();
    // The product's file is the one of the document, with the keys and the address of this run.
    let product = block(&document, "toml", "[[support-key]]")
        .replace("https://support.example", &format!("https://localhost:{port}"));
    let age_key = word_with(&product, "age1");
    let sign_key = word_with(&product, "RW");
    let product =
        product.replace(&age_key, &support.public().to_string()).replace(&sign_key, &signer.pk.to_base64());
    private(&place.path("product.toml"), &product);
    private(&place.path("files.toml"), &here(place, &block(&document, "toml", "[[files]]")));
    for (file, text) in [
        ("etc/scanner.toml", "scan_archives = true\nproxy_password = \"hunter2\"\n".to_owned()),
        ("log/scanner.log", "2026-11-26 10:00:01 update failed for erika@example.org: 503\n".repeat(8)),
    ] {
        let path = place.path("example").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::create_dir_all(place.path("example/lib")).unwrap();
    let made = Command::new("sqlite3").arg(place.path("example/lib/quarantine.db")).arg(QUARANTINE).status();
    assert!(made.expect("sqlite3 is installed").success());
    let request = here(place, &block(&document, "toml", "case ="));
    let signature = minisign::sign(
        Some(&signer.pk),
        &signer.sk,
        request.as_bytes(),
        Some("case 2026-004711, for Example Security 7"),
        None,
    );
    let signed = format!("{request}{}", signature.unwrap().to_string());
    std::fs::write(place.path("case-4711.request"), signed).unwrap();
    std::fs::create_dir(place.path("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tracewell"), place.path("bin/tracewell")).unwrap();
}

/// The first block of this language that has a text in it.
fn block(document: &str, language: &str, with: &str) -> String {
    let begin = format!("```{language}\n");
    let mut blocks = document.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(with)).unwrap_or_else(|| panic!("no block with {with:?}")).to_owned()
}

fn word_with(text: &str, start: &str) -> String {
    let words = text.split(|c: char| c == '"' || c.is_whitespace());
    words.filter(|word| word.starts_with(start) && word.len() > 50).map(str::to_owned).next().expect("a key")
}

/// What the quarantine of the product holds.
const QUARANTINE: &str = "create table item (name text, path text, sender text); \
     insert into item values ('invoice.pdf.exe', '/home/erika/Downloads/invoice.pdf.exe', 'erika@example.org');";

/// Where the product of the document lies, and where it lies here.
const PLACES: [(&str, &str); 3] =
    [("/etc/example", "etc"), ("/var/log/example", "log"), ("/var/lib/example", "lib")];

fn here(place: &Place, text: &str) -> String {
    PLACES.iter().fold(text.to_owned(), |text, (there, folder)| {
        text.replace(there, &place.path("example").join(folder).display().to_string())
    })
}

/// Something goes wrong in the component.
fn fail(tracer: &tracewell::Tracer) {
    for number in 0..200_u32 {
        let home = format!("/home/erika/Downloads/setup{number}.exe");
        emit!(
            tracer,
            ProcessStart { image_path: &home, user: Some("erika"), uid: Some(1000), ..Default::default() }
        );
        let remote = std::net::SocketAddr::new([192, 0, 2, 7].into(), 443);
        emit!(tracer, NetworkConnection { remote: Some(remote), ..Default::default() });
        emit!(tracer, ErrorRaised { module: "update", code: 503, ..Default::default() });
    }
    tracer.flush().unwrap();
}

/// Runs a command as on a terminal, and answers what it asks. What is on the screen afterwards.
fn on_a_terminal(place: &Place, command: &str) -> String {
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut child = place.command();
    let envs: Vec<_> = child.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    child = Command::new("script");
    child.args(["-qefc", command, "/dev/null"]).current_dir(place.path("")).env("PATH", path);
    for (name, value) in envs {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    child.env("TRACEWELL_PRODUCT", place.path("product.toml")).env("TERM", "dumb").env("NO_COLOR", "1");
    child.env("COLUMNS", "120").env("HOME", place.path("")).env("SHELL", "/bin/sh");
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("`script` is installed: package bsdutils");
    child.stdin.take().unwrap().write_all(b"y\n").unwrap();
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    let status = child.wait().unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(status.success(), "{command}: {status}: {text}");
    screen(&text)
}

/// What a terminal shows after all of it: no escapes, of each line what was written last, no progress.
fn screen(text: &str) -> String {
    let mut out = String::new();
    for line in text.replace("\r\n", "\n").lines() {
        let mut shown = String::new();
        for part in line.split('\r') {
            let mut rest = part;
            let mut plain = String::new();
            while let Some(at) = rest.find('\u{1b}') {
                plain.push_str(&rest[..at]);
                let end =
                    rest[at..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |e| at + e + 1);
                rest = &rest[end..];
            }
            plain.push_str(rest);
            if !plain.is_empty() {
                shown = plain;
            }
        }
        if shown.contains("sending ") || shown.contains("sealing ") || (shown == "y" && out.is_empty()) {
            continue;
        }
        out.push_str(shown.trim_end());
        out.push('\n');
    }
    out
}

/// The form of a line: what changes from run to run is taken out.
fn form(line: &str) -> String {
    // Digits of pseudonyms, which may be letters all of them.
    let is_digit = |c: char| "23456789bcdfghjkmnpqrstvwxz".contains(c);
    let has_pseudonym = |word: &str| {
        let mut ends = word.match_indices('-').filter_map(|(at, _)| word.get(at + 1..at + 9));
        ends.any(|end| end.chars().all(is_digit))
    };
    let mut out = String::new();
    for word in line.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_hex = bare.len() >= 8 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        let has_digit = word.bytes().any(|b| b.is_ascii_digit());
        let is_size = matches!(
            word.trim_end_matches([',', ':', ')']),
            "B" | "kB" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" | "bytes"
        );
        let shape: String = match () {
            () if has_pseudonym(word) => "#".into(),
            () if word.starts_with("age1") || word.contains("https://") || is_hex || is_size => "#".into(),
            () if has_digit => {
                let mut shape = String::new();
                for c in word.chars() {
                    if c.is_ascii_digit() {
                        if !shape.ends_with('#') {
                            shape.push('#');
                        }
                    } else {
                        shape.push(c);
                    }
                }
                // Ids and pseudonyms mix letters and digits.
                if shape.matches('#').count() > 1 || shape.contains('-') { "#".into() } else { shape }
            }
            () => word.to_owned(),
        };
        out.push_str(&shape);
        out.push(' ');
    }
    out
}

/// A block of commands with what they print.
struct Step {
    command: String,
    printed: String,
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.into(), printed: String::new() }),
            (None, Some(step)) => {
                step.printed.push_str(line);
                step.printed.push('\n');
            }
            (None, None) => panic!("a block begins without a command: {line:?}"),
        }
    }
    steps
}

/// What of this run must not stand in the document: its places.
fn neutral(place: &Place, port: u16, text: &str) -> String {
    let text = PLACES.iter().fold(text.to_owned(), |text, (there, folder)| {
        text.replace(&place.path("example").join(folder).display().to_string(), there)
    });
    text.replace(&format!("https://localhost:{port}"), "https://support.example")
        .replace(&format!("{}/", place.path("").display().to_string().trim_end_matches('/')), "~/")
}

#[test]
fn from_the_request_to_the_receipt_as_the_document_says() {
    let place = Place::new();
    let server = Server::start(&place);
    stage(&place, server.1);
    let path = repository("docs/support.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let writes = std::env::var_os("TRACEWELL_WRITE_DOCS").is_some();
    let mut written = String::new();
    let mut digests = BTreeMap::<String, String>::new();
    let mut component = None;
    let mut parts = document.split("```console\n");
    written.push_str(parts.next().unwrap());
    let mut commands = 0;
    for part in parts {
        let (block, after) = part.split_once("```").expect("a block ends");
        written.push_str("```console\n");
        for step in steps(block) {
            commands += 1;
            let mut command = step.command.clone();
            for (there, here) in &digests {
                command = command.replace(there, here);
            }
            let printed = neutral(&place, server.1, &on_a_terminal(&place, &command));
            if command.contains("request accept") {
                fail(component.insert(place.tracer("scanner")));
            }
            if command.contains("tracewell disable") {
                // So that its segment is whole when it is collected.
                component.take().expect("a component").shutdown();
            }
            let digest = |text: &str| -> Option<String> {
                let mut words = text.split_whitespace();
                words.find(|w| w.len() == 64 && w.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_owned)
            };
            if let (Some(there), Some(here)) = (digest(&step.printed), digest(&printed)) {
                digests.insert(there, here);
            }
            written.push_str(&format!("$ {}\n{printed}", step.command));
            if !writes {
                let forms = |text: &str| text.lines().map(form).collect::<Vec<_>>();
                assert_eq!(
                    forms(&printed),
                    forms(&step.printed),
                    "`{command}` prints this now:\n{printed}\n`TRACEWELL_WRITE_DOCS=1 cargo test -p tracewell-cli --test walk` \
                     writes it into docs/support.md"
                );
            }
        }
        written.push_str("```");
        written.push_str(after);
    }
    assert!(commands >= 10, "the document walks through the whole");
    // Support has exactly what was agreed to, and opens it.
    let received: Vec<PathBuf> = support::list(&place.path("received"));
    let bundle = received.iter().find(|path| path.extension().is_none()).expect("it arrived");
    let key = place.path("support/keys/own.txt");
    let opened = place
        .run(&["bundle", "open", bundle.to_str().unwrap(), "-i", key.to_str().unwrap(), "-o", "case"])
        .ok();
    assert!(opened.stdout.contains("All digests are right"), "{opened:?}");
    // What the user did not want to give, and what is secret, is not there.
    let mut stack = vec![place.path("case")];
    let mut files = 0;
    while let Some(next) = stack.pop() {
        if next.is_dir() {
            stack.extend(support::list(&next));
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&next).unwrap();
        for gone in ["hunter2", "erika@example.org", "/home/erika"] {
            assert!(
                !bytes.windows(gone.len()).any(|w| w == gone.as_bytes()),
                "{gone} is in {}",
                next.display()
            );
        }
    }
    assert!(files > 5, "{files}");
    if writes {
        std::fs::write(&path, written).unwrap();
    }
}
