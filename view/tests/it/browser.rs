//! The page in a real browser: as a user works with it, and with content that wants to be more than text.

use std::path::Path;

use serde_json::json;
use tracewell_bundle::{Kind, Personal};
use tracewell_view::{End, Limits};

use crate::chromium::Chromium;
use crate::demo::{Base, Served, put, realistic, record, segment_name, skip};

/// Nothing but our own address was asked for, and the browser had nothing to complain of.
#[track_caller]
fn assert_calm(browser: &mut Chromium, served: &Served) {
    let requests = browser.requests();
    assert!(requests.len() > 5, "{requests:?}");
    for url in requests {
        assert!(url.starts_with(&served.url) || Some(&url) == served.once.as_ref(), "a request to {url}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Keeps a screenshot where `TRACEWELL_SCREENSHOTS` says, for the documentation.
fn keep(browser: &mut Chromium, name: &str) {
    let png = browser.screenshot();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{name} is no picture");
    if let Some(folder) = std::env::var_os("TRACEWELL_SCREENSHOTS") {
        std::fs::write(Path::new(&folder).join(name), png).unwrap();
    }
}

fn member(name: &str) -> String {
    format!("[...document.querySelectorAll('.item .open')].find(e => e.textContent === '{name}')")
}

fn give(name: &str) -> String {
    format!("document.querySelector('[role=switch][aria-label=\"Give {name}\"]')")
}

fn struck(base: &Base) -> Vec<String> {
    base.folder().struck().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_user_looks_searches_strikes_out_and_is_done() {
    let base = Base::new();
    realistic(&base);
    let served = base.serve(Limits::default());
    let mut browser = Chromium::start(1280, 800);
    // As the browser is started: the address for one use leads to the page.
    browser.open(&served.once.clone().unwrap());
    assert_eq!(browser.text("location.href"), served.url);
    let summary = browser.text("document.getElementById('summary').innerText");
    for part in ["7 members", "user names", "paths", "Nothing is switched off"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    assert!(browser.text("document.getElementById('calm').innerText").contains("Nothing is sent by looking"));
    browser.wait("document.querySelectorAll('.item').length >= 8");
    assert_eq!(
        browser.eval(
            "document.documentElement.scrollWidth <= 1280 && document.documentElement.scrollHeight <= 800"
        ),
        true
    );

    // A trace: rows, a row's fields, a filter.
    let trace = browser.text("[...document.querySelectorAll('.item .open')].find(e => e.textContent.startsWith('trace/')).textContent");
    browser.click(&member(&trace));
    browser.wait("document.querySelectorAll('.events tbody tr').length >= 200");
    browser.click("document.querySelectorAll('.events .row')[1]");
    browser.wait("document.querySelector('.details .is-personal')");
    browser.eval("(() => { const s = document.getElementById('level-wanted'); s.value = '2'; s.dispatchEvent(new Event('change')); })()");
    browser.wait("document.querySelectorAll('.events .row').length && [...document.querySelectorAll('.events td.level')].every(e => /^(error|warn)$/.test(e.textContent))");
    browser.click("[...document.querySelectorAll('.events tr')].find(e => e.textContent.includes('detection.object')).querySelector('.row')");
    browser.wait("document.querySelector('.details .is-personal')");
    browser.eval("document.querySelector('.details').scrollIntoView({ block: 'start' }); document.getElementById('view').scrollTop -= 120");
    keep(&mut browser, "view-trace.png");

    // A document, then a text and its last page.
    browser.click(&member("os/network.json"));
    browser.wait("document.querySelector('.grid')");
    assert!(browser.text("document.getElementById('view').innerText").contains("only root may see them"));
    let marked = browser.eval("[...document.querySelectorAll('#view .is-personal')].length");
    assert_eq!(marked, 1 + 14 + 14, "what the document calls personal");
    keep(&mut browser, "view-tables.png");
    browser.click(&member("files/0001.txt"));
    browser.wait("document.querySelectorAll('.lines tr').length === 1000");
    browser.click("document.getElementById('page-last')");
    browser.wait("document.getElementById('page-next').disabled && document.querySelector('.lines')");
    browser.click("document.getElementById('page-before')");
    browser.wait("!document.getElementById('page-next').disabled");
    browser.click("document.getElementById('page-first')");
    browser.wait("document.querySelector('.lines .number').textContent === '1'");

    // Searched in all, and a place opened.
    browser.click("document.getElementById('find-text')");
    browser.type_text("report-3210.ODT");
    browser.press("Enter");
    browser.wait("document.getElementById('hits-state').textContent.startsWith('1 place in all members')");
    browser.click("document.querySelector('#hits-list button')");
    browser.wait("document.querySelector('.lines tr.found')?.textContent.includes('report-3210.odt')");
    assert_eq!(browser.text("document.querySelector('.lines tr.found .number').textContent"), "3,211");

    // Struck out, taken back, and a group of them.
    assert_eq!(struck(&base), Vec::<String>::new());
    browser.click(&give("files/0001.txt"));
    browser.wait(&format!("{}.getAttribute('aria-checked') === 'false'", give("files/0001.txt")));
    browser.wait("document.getElementById('given').textContent.startsWith('6 members')");
    assert_eq!(struck(&base), ["files/0001.txt"]);
    keep(&mut browser, "view-search.png");
    browser.click(&give("files/0001.txt"));
    browser.wait("document.getElementById('given').textContent.startsWith('7 members')");
    assert_eq!(struck(&base), Vec::<String>::new());
    browser.click("[...document.querySelectorAll('.group button')].find(e => e.getAttribute('aria-label') === 'Give none of Files')");
    browser.wait("document.getElementById('given').textContent.startsWith('4 members')");
    assert_eq!(struck(&base).len(), 3);
    // What is the user's alone cannot be given.
    assert_eq!(browser.eval(&format!("{}.hidden", give("private/pseudonyms.json"))), true);

    // Dark, and narrow.
    browser.dark(true);
    assert_eq!(browser.text("getComputedStyle(document.body).backgroundColor"), "rgb(17, 23, 29)");
    keep(&mut browser, "view-dark.png");
    browser.resize(420, 800);
    browser.wait("document.documentElement.scrollWidth <= 420");
    keep(&mut browser, "view-narrow.png");
    browser.click(&member("files/0002.txt"));
    browser.wait("document.querySelector('.lines')?.textContent.includes('archives = true')");
    browser.wait(
        "document.getElementById('view').getBoundingClientRect().bottom <= innerHeight && scrollY > 100",
    );
    assert_calm(&mut browser, &served);
    browser.click("document.getElementById('done')");
    browser.wait("document.querySelector('h1').textContent === 'Done. Nothing was sent.'");
    assert_eq!(served.end(), End::Done);
}

#[test]
fn the_keyboard_is_enough() {
    let base = Base::new();
    realistic(&base);
    let served = base.serve(Limits::default());
    let mut browser = Chromium::start(1280, 800);
    browser.open(&served.url);
    browser.tab_to("e.textContent === 'files/0002.txt'");
    browser.press("Enter");
    browser.wait("document.querySelector('.lines')?.textContent.includes('archives = true')");
    assert_eq!(browser.text("document.activeElement.id"), "view", "what was opened has the focus");
    browser.press("Shift+Tab");
    browser.press("ArrowRight");
    browser.wait("document.querySelector('.hex')");
    assert_eq!(browser.text("document.activeElement.textContent"), "Bytes");
    browser.press("/");
    browser.type_text("updates.example");
    browser.press("Enter");
    browser.wait("document.querySelector('#hits-list button')");
    browser.tab_to("e.closest('#hits-list')");
    browser.press("Enter");
    browser.wait("document.querySelector('tr.found')");
    browser.eval("document.querySelector('.skip').focus()");
    browser.tab_to("e.getAttribute('aria-label') === 'Give files/0002.txt'");
    // It is seen where the focus is.
    assert_ne!(browser.text("getComputedStyle(document.activeElement).outlineStyle"), "none");
    browser.press(" ");
    browser.wait(&format!("{}.getAttribute('aria-checked') === 'false'", give("files/0002.txt")));
    assert_eq!(struck(&base), ["files/0002.txt"]);
    browser.press("Enter");
    browser.wait(&format!("{}.getAttribute('aria-checked') === 'true'", give("files/0002.txt")));
    assert_eq!(struck(&base), Vec::<String>::new());
    // Everything that can be worked with has a name for those who do not see it.
    let nameless = browser.eval(
        "[...document.querySelectorAll('button, input, select')].filter(e => !e.hidden
           && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)",
    );
    assert_eq!(nameless, json!([]));
    assert_calm(&mut browser, &served);
}

/// Text that wants to be a page, to turn the direction, or to steer a terminal.
const HOSTILE: [&str; 9] = [
    "<script>document.title='owned';alert(1)</script>",
    "<img src=x onerror=\"document.title='owned';alert(2)\">",
    "</textarea></td></table><svg onload=alert(3)><iframe src=\"http://evil.example/\">",
    "\"><a href=\"javascript:alert(4)\">x</a><style>body{display:none}</style>",
    "{{constructor.constructor('alert(5)')()}}${alert(6)}",
    "\u{202e}txt.exe\u{2066}\u{200f}\u{61c}",
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{0}",
    "http://evil.example/beacon?x=1 //evil.example/y",
    "<link rel=prefetch href=http://evil.example/z><base href=http://evil.example/>",
];

#[test]
fn hostile_content_stays_text() {
    let base = Base::new();
    let all = HOSTILE.join("\n");
    let (_place, segments) = record(|tracer| {
        for text in HOSTILE {
            let event = tracewell::catalog::ErrorRaised {
                module: text,
                function: Some(text),
                file: Some(text),
                operation: Some(text),
                object: Some(text),
                ..Default::default()
            };
            tracewell::emit!(tracer, event);
        }
    });
    base.draft(|draft| {
        let document = json!({ "group": HOSTILE[0], "errors": [{ "what": HOSTILE[1], "why": HOSTILE[2] }],
            "personal_fields": [HOSTILE[0], HOSTILE[3]],
            "data": { HOSTILE[0]: HOSTILE[1], "list": HOSTILE, HOSTILE[3]: [{ HOSTILE[4]: HOSTILE[5] }, { HOSTILE[4]: HOSTILE[6] }] } });
        let personal = [(Personal::UserName, 3)];
        put(draft, "os/hostile.json", Kind::OsInformation, HOSTILE[1], &personal, document.to_string().as_bytes());
        put(draft, "os/no-json.json", Kind::OsInformation, HOSTILE[0], &personal, all.as_bytes());
        for (number, path) in segments.iter().enumerate() {
            put(draft, &segment_name(path, number + 1), Kind::Segment, HOSTILE[2], &personal, std::fs::File::open(path).unwrap());
        }
        put(draft, "trace/9999/damaged.twseg", Kind::Segment, HOSTILE[5], &[], all.as_bytes());
        put(draft, "files/0001.txt", Kind::Text, HOSTILE[3], &personal, all.as_bytes());
        let long = "<img src=x onerror=alert(7)>".repeat(40_000);
        put(draft, "files/0002.txt", Kind::Text, "one line of a megabyte", &[], long.as_bytes());
        let invalid = [b"\xff\xfe\xc3<script>alert(8)</script>\x80\x00\xed\xa0\x80".as_slice(), all.as_bytes()].concat();
        put(draft, "files/0003.txt", Kind::Text, "no UTF-8", &[], invalid.as_slice());
        put(draft, "files/0004.bin", Kind::Binary, HOSTILE[6], &[], all.as_bytes());
        put(draft, "files/0005.sqlite", Kind::Database, HOSTILE[7], &[], all.as_bytes());
        put(draft, "dump/0001.dmp", Kind::Minidump, HOSTILE[8], &[], all.as_bytes());
        put(draft, "notes/hostile.txt", Kind::Note, "a note", &[], all.as_bytes());
        for text in HOSTILE {
            skip(draft, text, text);
        }
    });
    let served = base.serve(Limits::default());
    let mut browser = Chromium::start(1280, 800);
    browser.open(&served.url);
    browser.eval("document.querySelector('#skipped details').open = true");
    let before =
        "document.querySelectorAll('script, img, iframe, svg, a, style, link, base, object, embed').length";
    let elements = browser.eval(before);
    assert_eq!(elements, 4, "the page's own: two links, a script, the way to the content");
    let names = browser.eval("[...document.querySelectorAll('.item .open')].map(e => e.textContent)");
    let names: Vec<String> =
        names.as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 11, "{names:?}");
    let mut seen = 0;
    for name in &names {
        browser.click(&member(name));
        browser.wait(&format!("document.querySelector('.head h2')?.textContent === '{name}'"));
        let forms = browser.eval("[...document.querySelectorAll('[role=tab]')].map(e => e.dataset.form)");
        for form in forms.as_array().unwrap() {
            browser.click(&format!("document.querySelector('[data-form={form}]')"));
            browser.wait("document.getElementById('view') && !document.getElementById('view').textContent.startsWith('Reading')");
            if form == "events" && !name.contains("damaged") {
                browser.eval("document.querySelectorAll('.events .row').forEach(e => e.click())");
                browser.wait("document.querySelectorAll('.details').length >= 9");
            }
            assert_eq!(browser.eval(before), elements, "{name} as {form} became more than text");
            let text = browser.text("document.body.innerText");
            let hidden = |c: char| {
                c.is_control() && c != '\n' && c != '\t' || "\u{202e}\u{2066}\u{200f}\u{61c}".contains(c)
            };
            assert_eq!(text.chars().find(|c| hidden(*c)), None, "{name} as {form}");
            seen += usize::from(text.contains("<script>document.title='owned';alert(1)</script>"));
        }
    }
    assert!(seen >= 8, "the content is shown as it is: {seen}");
    // What is looked for, and what is found, is text too.
    browser.eval("document.getElementById('find-text').value = '<img src=x onerror'");
    browser.click("document.querySelector('#find button')");
    browser.wait("document.getElementById('hits-state').textContent.includes('places')");
    browser.eval("document.getElementById('find-text').value = '<svg onload=alert(9)>'");
    browser.click("document.querySelector('#find button')");
    browser.wait("document.getElementById('hits-state').textContent.includes('is not in all members')");
    browser.eval("(() => { const e = document.getElementById('wanted'); e.value = '<script>'; e.dispatchEvent(new Event('input')); })()");
    browser.wait("document.querySelectorAll('.item').length < 3");
    assert_eq!(browser.eval(before), elements);
    assert_eq!(browser.text("document.title"), "Support bundle");
    // What cannot be read is said, in the members that are damaged: the only answers that are errors.
    let complaints = browser.complaints();
    let expected =
        |c: &&String| ["api/events", "api/tables", "form=summary"].iter().any(|path| c.contains(path));
    assert_eq!(complaints.iter().filter(|c| !expected(c)).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(!complaints.iter().any(|c| c.contains("Content Security Policy") || c.contains("TrustedHTML")));
    for url in browser.requests() {
        assert!(url.starts_with(&served.url), "a request to {url}");
    }
}

/// The policy is not only said but kept by the browser: what a hole in the page would let in does nothing.
#[test]
fn a_hole_in_the_page_would_lead_nowhere() {
    let base = Base::new();
    crate::http::small(&base);
    let served = base.serve(Limits::default());
    let mut browser = Chromium::start(1280, 800);
    browser.open(&served.url);
    let refused = browser.eval(
        "(() => { try { document.body.innerHTML = '<img src=x onerror=alert(1)>'; return 'taken'; } catch (e) { return e.name; } })()",
    );
    assert_eq!(refused, "TypeError", "trusted types");
    let outside =
        browser.eval("fetch('http://127.0.0.1:9/x', { mode: 'no-cors' }).then(() => 'sent', e => e.name)");
    assert_eq!(outside, "TypeError");
    browser.eval(
        "(() => { const i = new Image(); i.src = 'http://127.0.0.1:9/y'; const s = document.createElement('script');
           try { s.textContent = 'document.title = \"owned\"'; } catch (e) {} document.body.append(i, s); })()",
    );
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(browser.text("document.title"), "Support bundle");
    let violations = browser.complaints().iter().filter(|c| c.contains("Content Security Policy")).count();
    assert!(violations >= 2, "{:?}", browser.complaints());
    // Another page on this computer can neither read nor change, even with the address.
    let other = base.serve(Limits::default());
    browser.open(&other.url);
    let read = browser.eval(&format!("fetch('{}api/bundle').then(r => r.status, e => e.name)", served.url));
    assert_eq!(read, "TypeError");
    assert_eq!(struck(&base), Vec::<String>::new());
}
