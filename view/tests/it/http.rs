//! Who gets in, and what every answer says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tracewell_bundle::Kind;
use tracewell_view::{End, Limits};

use crate::demo::{Base, Served, put};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(start.as_str()))
    }
}

/// Sends bytes as they are, and reads until the other end closes.
pub(crate) fn raw(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    // What is too long is refused before it is all sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.replace("\r\n", "\n").to_lowercase(), body: body.to_owned() }
}

/// A request with these headers besides `Host`.
pub(crate) fn request(
    served: &Served,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {}\r\n", served.address());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    raw(served.address(), (text + "\r\n" + body).as_bytes())
}

pub(crate) fn get(served: &Served, path: &str) -> Answer {
    request(served, "GET", &format!("{}{path}", served.path()), &[], "")
}

/// As the page posts.
pub(crate) fn post(served: &Served, path: &str, body: &str) -> Answer {
    let origin = format!("http://{}", served.address());
    let headers = [
        ("Origin", origin.as_str()),
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    request(served, "POST", &format!("{}{path}", served.path()), &headers, body)
}

pub(crate) fn small(base: &Base) {
    base.draft(|draft| {
        put(draft, "files/0001.txt", Kind::Text, "a test", &[], "first\nsecond line\n".as_bytes());
        put(draft, "files/0002.txt", Kind::Text, "a test", &[], "third\n".as_bytes());
        put(
            draft,
            "private/pseudonyms.json",
            Kind::Note,
            "for you alone",
            &[],
            "{\"sam\":\"user-1\"}".as_bytes(),
        );
    });
}

fn served() -> (Base, Served) {
    let base = Base::new();
    small(&base);
    let served = base.serve(Limits::default());
    (base, served)
}

#[test]
fn without_the_secret_there_is_nothing() {
    let (base, served) = served();
    let right = served.path().to_owned();
    let secret = right.trim_matches('/');
    assert_eq!(secret.len(), 32, "128 bits");
    let mut wrong = secret.to_owned().into_bytes();
    let last = wrong.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let wrong = String::from_utf8(wrong).unwrap();
    let part = &secret[..31];
    for path in [
        "/",
        "/api/bundle",
        "/page.js",
        "/favicon.ico",
        "//",
        &format!("/{wrong}/"),
        &format!("/{wrong}/api/bundle"),
        &format!("/{part}/api/bundle"),
        &format!("/{secret}0/api/bundle"),
        &format!("/{secret}"),
        &format!("/%{:02x}{}/api/bundle", secret.as_bytes()[0], &secret[1..]),
        &format!("/x/../{secret}/api/bundle"),
        &format!("/{}/api/bundle", secret.to_uppercase().replace(|c: char| c.is_ascii_digit(), "x")),
        &format!("/?secret={secret}"),
        &format!("/once/{secret}"),
        "/once/",
    ] {
        let answer = request(&served, "GET", path, &[("Cookie", &format!("secret={secret}"))], "");
        assert!(matches!(answer.status, 404 | 410), "{path}: {answer:?}");
        assert!(!answer.body.contains("files/"), "{path}");
    }
    assert!(get(&served, "api/bundle").json()["members"] == 2);
    assert_eq!(base.viewed(), Vec::<String>::new(), "the list alone is no look at a member");
}

#[test]
fn another_host_another_origin_and_another_method_are_refused() {
    let (_base, served) = served();
    let address = served.address().to_owned();
    let port = address.split(':').nth(1).unwrap().to_owned();
    let bundle = format!("{}api/bundle", served.path());
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        &format!("localhost:{port}"),
        "127.0.0.1",
        "127.0.0.1:1",
        "",
    ] {
        let answer = request(&served, "GET", &bundle, &[("Host", host)], "");
        assert!(matches!(answer.status, 421 | 400), "{host}: {answer:?}");
    }
    // Two, none, or one in the request line.
    let twice = [("Host", address.as_str()), ("Host", "evil.example")];
    assert!(matches!(request(&served, "GET", &bundle, &twice, "").status, 421 | 400));
    assert!(matches!(raw(&address, format!("GET {bundle} HTTP/1.1\r\n\r\n").as_bytes()).status, 421 | 400));
    let absolute = format!("GET http://evil.example{bundle} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert!(matches!(raw(&address, absolute.as_bytes()).status, 421 | 400));

    let strike = format!("{}api/strike", served.path());
    let (ours, body) = (format!("http://{address}"), r#"{"member":0,"struck":true}"#);
    let json = ("Content-Type", "application/json");
    for (headers, status) in [
        (vec![json], 403),
        (vec![json, ("Origin", "http://evil.example")], 403),
        (vec![json, ("Origin", "null")], 403),
        (vec![json, ("Origin", "http://127.0.0.1:1")], 403),
        (vec![json, ("Origin", &ours), ("Sec-Fetch-Site", "cross-site")], 403),
        (vec![json, ("Origin", &ours), ("Sec-Fetch-Site", "same-site")], 403),
        (vec![json, ("Origin", &ours), ("Sec-Fetch-Site", "none")], 403),
        (vec![json, ("Origin", &ours), ("Origin", &ours)], 403),
        (vec![("Origin", &ours)], 415),
        (vec![("Content-Type", "text/plain"), ("Origin", &ours)], 415),
        (vec![("Content-Type", "application/x-www-form-urlencoded"), ("Origin", &ours)], 415),
    ] {
        let answer = request(&served, "POST", &strike, &headers, body);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
    }
    // A page of somebody else may not even read.
    for headers in [
        [("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ] {
        assert_eq!(request(&served, "GET", &bundle, &headers, "").status, 403, "{headers:?}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"] {
        let answer = request(&served, method, &strike, &[json, ("Origin", &ours)], body);
        assert!(matches!(answer.status, 405 | 400 | 421), "{method}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // Striking is no GET.
    assert_eq!(get(&served, "api/strike?member=0&struck=true").status, 400);
    assert_eq!(get(&served, "api/strike").status, 404);
    assert_eq!(get(&served, "api/bundle").json()["struck"], 0, "nothing of that has struck anything");
    assert_eq!(post(&served, "api/strike", body).json()["struck"], 1);
}

#[test]
fn every_answer_forbids_what_a_page_could_be_made_to_do() {
    let (_base, served) = served();
    let (path, once) = (served.path().to_owned(), served.once.clone().unwrap());
    let once = once.split_once(served.address()).unwrap().1.to_owned();
    let wrong = vec![("Host", "evil.example")];
    for (what, answer) in [
        ("page", get(&served, "")),
        ("script", get(&served, "page.js")),
        ("list", get(&served, "api/bundle")),
        ("content", get(&served, "api/lines?member=0")),
        ("error", get(&served, "api/lines?member=99")),
        ("nothing", request(&served, "GET", "/", &[], "")),
        ("other host", request(&served, "GET", &path, &wrong, "")),
        ("once", request(&served, "GET", &once, &[], "")),
    ] {
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: {answer:?}"));
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{what}: {part}");
        }
        assert!(
            !policy.contains("unsafe")
                && !policy.contains('*')
                && !policy.contains("data:")
                && !policy.contains("http")
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "deny"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{what}: {name}");
        }
        for absent in ["set-cookie", "access-control-allow-origin", "server"] {
            assert_eq!(answer.header(absent), None, "{what}");
        }
    }
    assert_eq!(get(&served, "").header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(get(&served, "api/lines?member=0").header("content-type"), Some("application/json"));
    // The page names nothing outside of itself.
    for file in ["", "page.css", "page.js", "dom.js", "content.js", "find.js", "icon.svg"] {
        let body = get(&served, file).body.replace("http://www.w3.org/2000/svg", "");
        for outside in [
            "http:",
            "https:",
            "//cdn",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
            "onclick=",
            "javascript:",
        ] {
            assert!(!body.contains(outside), "{file}: {outside}");
        }
    }
}

#[test]
fn the_address_for_the_browser_is_good_once() {
    let (_base, served) = served();
    let once = served.once.clone().unwrap();
    let path = once.split_once(served.address()).unwrap().1.to_owned();
    assert!(!once.contains(served.path().trim_matches('/')), "it does not tell the secret");
    // What is refused does not use it up.
    assert_eq!(request(&served, "GET", &path, &[("Host", "evil.example")], "").status, 421);
    assert_eq!(request(&served, "GET", &path, &[("Sec-Fetch-Site", "cross-site")], "").status, 403);
    assert_eq!(request(&served, "DELETE", &path, &[], "").status, 405);
    let mut wrong = path.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == '0' { '1' } else { '0' });
    assert_eq!(request(&served, "GET", &wrong, &[], "").status, 410);
    let led = request(&served, "GET", &path, &[("Sec-Fetch-Site", "none")], "");
    assert_eq!((led.status, led.header("location")), (303, Some(served.path())), "{led:?}");
    assert_eq!(request(&served, "GET", &path, &[], "").status, 410, "once");
    assert_eq!(get(&served, "").status, 200);
}

#[test]
fn paths_lead_nowhere_else() {
    let (base, served) = served();
    std::fs::write(base.path().join("outside.txt"), "outside").unwrap();
    for path in [
        "../outside.txt",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/outside.txt",
        "page.js/../../outside.txt",
        "api/../../outside.txt",
        "/etc/passwd",
        "page.css%00",
        "PAGE.JS",
        "api",
        "api/",
        "api/lines/",
        "assets/page.js",
    ] {
        assert_eq!(get(&served, path).status, 404, "{path}");
    }
    for query in [
        "member=../0",
        "member=-1",
        "member=99",
        "member=0&at=x",
        "member=18446744073709551616",
        "member=",
        "",
        "name=files/0001.txt",
        "member=0&level=300&at=1",
    ] {
        let status = get(&served, &format!("api/lines?{query}")).status;
        assert!(matches!(status, 400 | 404), "{query}: {status}");
    }
    assert_eq!(
        get(&served, "api/lines?member=0&at=18446744073709551615").json()["rows"],
        serde_json::json!([])
    );
    for body in [
        "",
        "{",
        "[]",
        "{\"member\":99,\"struck\":true}",
        "{\"struck\":true}",
        "{\"member\":0}",
        "{\"group\":\"../x\",\"struck\":true}",
        "{\"member\":0,\"struck\":true,\"more\":1}",
    ] {
        let status = post(&served, "api/strike", body).status;
        assert!(matches!(status, 400 | 404), "{body}: {status}");
    }
    assert_eq!(get(&served, "api/bundle").json()["struck"], 0);
}

#[test]
fn it_ends_when_the_user_is_done_or_does_not_come() {
    let (_base, first) = served();
    assert_eq!(request(&first, "POST", &format!("{}api/done", first.path()), &[], "").status, 403);
    assert!(!first.has_ended());
    assert_eq!(post(&first, "api/done", "{}").json()["done"], true);
    assert_eq!(first.end(), End::Done);
    let base = Base::new();
    small(&base);
    let idle = Duration::from_millis(1500);
    let second = base.serve(Limits { idle, ..Limits::default() });
    // Requests of who may ask keep it alive; others do not.
    let begun = std::time::Instant::now();
    while begun.elapsed() < 2 * idle {
        assert_eq!(get(&second, "api/bundle").status, 200);
        std::thread::sleep(idle / 4);
    }
    assert!(!second.has_ended());
    let begun = std::time::Instant::now();
    while !second.has_ended() && begun.elapsed() < 4 * idle {
        let stranger = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", second.address());
        if let Ok(mut stream) = TcpStream::connect(second.address()) {
            let _ = stream.write_all(stranger.as_bytes());
        }
        std::thread::sleep(idle / 4);
    }
    assert!(second.has_ended());
    assert_eq!(second.end(), End::Idle);
}
