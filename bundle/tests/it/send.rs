//! Sending: once, whole, to whom the user agreed; whatever the line and the server do.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tracewell_bundle::send::{Patience, SendError, receipt, send};
use tracewell_bundle::{
    DraftWriter, Folder, Kind, MemberInfo, MemberName, OwnKey, Product, Sink, Store, Terms,
};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, NameConstraints,
};

use crate::server::{Authority, Certificates, Server};

fn private_dir() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// A sealed bundle of about so many bytes.
fn sealed(base: &Path, len: usize) -> Folder {
    let key = OwnKey::load_or_create(base).unwrap();
    let folder = Store::new(base).create(jiff::Timestamp::now()).unwrap();
    let mut draft = DraftWriter::new(folder.fd().unwrap(), &key, Terms::default()).unwrap();
    let info = MemberInfo {
        name: MemberName::new("files/0001.bin").unwrap(),
        kind: Kind::Binary,
        origin: "a test".into(),
        personal: [].into(),
    };
    draft.member(info, &mut vec![7; len].as_slice()).unwrap();
    draft.finish().unwrap();
    folder.seal(&key, &[&key.public()], jiff::Timestamp::now(), &mut |_| ()).unwrap();
    folder
}

fn product(folder: &Path, url: &str) -> Product {
    let path = folder.join("product.toml");
    let text = format!(
        "name = \"Example\"\n[statement]\nversion = \"1\"\ntext = \"x\"\n[server]\nurl = \"{url}\"\nroots = \"roots.pem\"\n"
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Product::load(&path).unwrap()
}

fn patience() -> Patience {
    Patience { tries: 60, wait: Duration::from_millis(1), timeout: Duration::from_secs(5), chunk: 4096 }
}

fn agree(folder: &Folder, product: &Product) -> String {
    let digest = folder.sealed().unwrap().unwrap().digest;
    folder.consent(&digest, product, jiff::Timestamp::now()).unwrap();
    digest
}

#[test]
fn two_thousand_cuts_and_each_bundle_arrives_once() {
    let dir = private_dir();
    let certificates = Certificates::new(dir.path(), "localhost", |_| ());
    let server = Server::start(dir.path(), &certificates, 55, 4711);
    let product = product(dir.path(), &format!("https://localhost:{}/files", server.port));
    let mut digests = Vec::new();
    while server.lines("cut").len() < 2000 {
        let folder = sealed(&dir.path().join("base"), 600_000);
        let digest = agree(&folder, &product);
        // A user tries again as long as it takes; each try begins as after a restart.
        let sent = (0..50).find_map(|_| {
            let proof = folder.proof(&product).unwrap();
            match send(&folder, proof, dir.path(), patience(), &mut |_, _| ()) {
                Err(SendError::Unreachable(_)) => None,
                other => Some(other),
            }
        });
        let received = sent.expect("within fifty tries").expect("accepted");
        assert_eq!((&received.digest, received.len), (&digest, folder.sealed().unwrap().unwrap().len));
        // Once more: the receipt is there, nothing is sent.
        let proof = folder.proof(&product).unwrap();
        assert_eq!(send(&folder, proof, dir.path(), patience(), &mut |_, _| ()).unwrap(), received);
        digests.push(digest);
    }
    std::thread::sleep(Duration::from_millis(300));
    let complete = server.lines("complete");
    for digest in &digests {
        let accepted = complete.iter().filter(|line| line.ends_with(digest.as_str())).count();
        assert_eq!(accepted, 1, "{digest}");
    }
    assert_eq!(complete.len(), digests.len());
}

#[test]
fn nothing_is_sent_without_consent_to_exactly_this() {
    let dir = private_dir();
    let certificates = Certificates::new(dir.path(), "localhost", |_| ());
    let server = Server::start(dir.path(), &certificates, 0, 1);
    let url = format!("https://localhost:{}/files", server.port);
    let here = product(dir.path(), &url);
    let folder = sealed(&dir.path().join("base"), 1000);
    assert!(folder.proof(&here).is_err(), "nobody agreed");
    assert!(folder.consent(&"0".repeat(64), &here, jiff::Timestamp::now()).is_err(), "another digest");
    agree(&folder, &here);
    drop(folder.proof(&here).unwrap());
    // Another address, another statement, other bytes.
    let mut elsewhere = here.clone();
    elsewhere.server.as_mut().unwrap().url = "https://elsewhere.example/files".into();
    assert!(folder.proof(&elsewhere).is_err());
    let mut newer = here.clone();
    newer.statement.as_mut().unwrap().version = "2".into();
    assert!(folder.proof(&newer).is_err());
    let path = folder.sealed_path();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(folder.proof(&here).is_err());
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    drop(folder.proof(&here).unwrap());
    folder.withdraw().unwrap();
    assert!(folder.proof(&here).is_err());
    assert!(server.lines("complete").is_empty() && receipt(&folder).unwrap().is_none());
}

/// Tries to send to a server that must not be trusted.
fn refused(what: &str, url_host: &str, make: impl FnOnce(&Path) -> Certificates) {
    let dir = private_dir();
    let certificates = make(dir.path());
    let server = Server::start(dir.path(), &certificates, 0, 1);
    let product = product(dir.path(), &format!("https://{url_host}:{}/files", server.port));
    let folder = sealed(&dir.path().join("base"), 1000);
    agree(&folder, &product);
    let proof = folder.proof(&product).unwrap();
    let patience = Patience { tries: 2, ..patience() };
    let error = send(&folder, proof, dir.path(), patience, &mut |_, _| ()).unwrap_err();
    assert!(
        matches!(&error, SendError::Unreachable(what) if what.contains("certificate")),
        "{what}: {error}"
    );
    let uploads = std::fs::read_dir(dir.path().join("uploads")).unwrap().count();
    assert_eq!(uploads, 0, "{what}: something arrived");
    assert!(receipt(&folder).unwrap().is_none(), "{what}");
}

/// A server's certificate for `name` by an authority, changed.
fn by(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key)
}

#[test]
fn servers_with_bad_certificates_get_nothing() {
    let here = "localhost";
    let root = |change: fn(&mut CertificateParams)| Authority::new("root", None, change);
    let between = |root: &Authority, change: fn(&mut CertificateParams)| {
        Authority::new("between", Some(&root.issuer), change)
    };
    // The chain of two authorities that the other cases change is right as it is.
    let dir = private_dir();
    let top = root(|_| ());
    let middle = between(&top, |_| ());
    let (leaf, key) = by(&middle.issuer, here, |_| ());
    let good = Certificates::write(dir.path(), &top.pem, &format!("{leaf}{}", middle.pem), &key);
    let server = Server::start(dir.path(), &good, 0, 1);
    let shop = product(dir.path(), &format!("https://{here}:{}/files", server.port));
    let folder = sealed(&dir.path().join("base"), 1000);
    agree(&folder, &shop);
    send(&folder, folder.proof(&shop).unwrap(), dir.path(), patience(), &mut |_, _| ())
        .expect("a good chain");

    refused("for another name", here, |dir| Certificates::new(dir, "other.example", |_| ()));
    refused("for a name, reached by its address", "127.0.0.1", |dir| Certificates::new(dir, here, |_| ()));
    refused("for names below ours", here, |dir| Certificates::new(dir, "*.localhost", |_| ()));
    refused("expired", here, |dir| {
        Certificates::new(dir, here, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1))
    });
    refused("not valid yet", here, |dir| {
        Certificates::new(dir, here, |p| p.not_before = rcgen::date_time_ymd(2090, 1, 1))
    });
    refused("for clients only", here, |dir| {
        Certificates::new(dir, here, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    });
    refused("with a critical extension that nobody knows", here, |dir| {
        Certificates::new(dir, here, |p| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
            extension.set_criticality(true);
            p.custom_extensions.push(extension);
        })
    });
    refused("with the name in its subject alone", here, |dir| {
        Certificates::new(dir, here, |p| {
            p.subject_alt_names.clear();
            p.distinguished_name.push(DnType::CommonName, "localhost");
        })
    });
    refused("by another authority of the same name", here, |dir| {
        let (ours, other) = (root(|_| ()), root(|_| ()));
        let (leaf, key) = by(&other.issuer, here, |_| ());
        Certificates::write(dir, &ours.pem, &leaf, &key)
    });
    refused("signed by itself", here, |dir| {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![here.to_owned()]).unwrap().self_signed(&key).unwrap();
        Certificates::write(dir, &root(|_| ()).pem, &own.pem(), &key)
    });
    refused("an authority's own, as a server's", here, |dir| {
        let root = root(|_| ());
        let (leaf, key) = by(&root.issuer, here, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        Certificates::write(dir, &root.pem, &leaf, &key)
    });
    refused("by an authority between that is not shown", here, |dir| {
        let root = root(|_| ());
        let (leaf, key) = by(&between(&root, |_| ()).issuer, here, |_| ());
        Certificates::write(dir, &root.pem, &leaf, &key)
    });
    let chained = |top: fn(&mut CertificateParams), middle: fn(&mut CertificateParams)| {
        move |dir: &Path| {
            let root = root(top);
            let between = between(&root, middle);
            let (leaf, key) = by(&between.issuer, here, |_| ());
            Certificates::write(dir, &root.pem, &format!("{leaf}{}", between.pem), &key)
        }
    };
    refused("signed by a server", here, chained(|_| (), |p| p.is_ca = IsCa::ExplicitNoCa));
    refused(
        "by an expired authority",
        here,
        chained(|_| (), |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1)),
    );
    refused("by more authorities than permitted", here, |dir| {
        let root = root(|_| ());
        let first = between(&root, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
        let second = Authority::new("second", Some(&first.issuer), |_| ());
        let (leaf, key) = by(&second.issuer, here, |_| ());
        Certificates::write(dir, &root.pem, &format!("{leaf}{}{}", second.pem, first.pem), &key)
    });
    let only = |p: &mut CertificateParams| {
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: vec![],
        });
    };
    refused("by an authority for other names", here, chained(|_| (), only));
}

#[test]
fn servers_that_lie_are_left_in_bounded_time() {
    let says = |error: &SendError, lie: &str| match lie {
        "elsewhere" | "redirect" | "nowhere" | "beyond" | "negative" | "words" | "still" => {
            matches!(error, SendError::Lies(_))
        }
        "refuses" => matches!(error, SendError::Refused(413, _)),
        _ => matches!(error, SendError::Unreachable(_)),
    };
    let lies = [
        "elsewhere",
        "redirect",
        "nowhere",
        "refuses",
        "forgets",
        "stuck",
        "still",
        "beyond",
        "negative",
        "words",
    ];
    for lie in lies {
        let dir = private_dir();
        let certificates = Certificates::new(dir.path(), "localhost", |_| ());
        let server = Server::liar(&certificates, lie);
        let product = product(dir.path(), &format!("https://localhost:{}/files", server.port));
        let folder = sealed(&dir.path().join("base"), 100_000);
        agree(&folder, &product);
        let proof = folder.proof(&product).unwrap();
        let patience = Patience { tries: 5, ..patience() };
        let error = send(&folder, proof, dir.path(), patience, &mut |_, _| ()).unwrap_err();
        assert!(says(&error, lie), "{lie}: {error}");
        assert!(receipt(&folder).unwrap().is_none(), "{lie}");
        // It is not tried for ever, and what is sent again is the same first piece.
        let got = server.lines("got");
        assert!(got.len() <= 12 && got.iter().all(|line| line == "got 4096"), "{lie}: {got:?}");
    }
}

/// A server that speaks HTTP without TLS.
#[test]
fn a_server_without_tls_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = private_dir();
    Certificates::new(dir.path(), "localhost", |_| ());
    let product = product(dir.path(), &format!("https://127.0.0.1:{port}/files"));
    let folder = sealed(&dir.path().join("base"), 1000);
    agree(&folder, &product);
    let answering = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut first = [0; 512];
            let read = stream.read(&mut first).unwrap();
            seen.extend_from_slice(&first[..read]);
            let _ =
                stream.write_all(b"HTTP/1.1 201 Created\r\nLocation: /files/1\r\nContent-Length: 0\r\n\r\n");
        }
        seen
    });
    let proof = folder.proof(&product).unwrap();
    let patience = Patience { tries: 2, ..patience() };
    assert!(send(&folder, proof, dir.path(), patience, &mut |_, _| ()).is_err());
    let seen = answering.join().unwrap();
    assert!(!seen.windows(8).any(|w| w == b"Upload-L"), "only a greeting of TLS");
}
