//! What the page gets to show.

use serde_json::{Value, json};
use tracewell_bundle::{Kind, Personal, SealedReader};
use tracewell_tests::{Numbered, text_of};
use tracewell_view::{Bundle, Limits};

use crate::demo::{Base, Served, put, realistic, record, segment_name, skip};
use crate::http::{get, post};

/// All pages of a form, one after the other.
fn walk(served: &Served, path: &str) -> Vec<Value> {
    let (mut rows, mut at) = (Vec::new(), String::new());
    for _ in 0..10_000 {
        let page = get(served, &format!("{path}{at}")).json();
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match &page["next"] {
            Value::Null => return rows,
            Value::Object(next) => {
                at = format!("&at={}", next["at"]);
                if let Some(line) = next["line"].as_u64() {
                    at += &format!("&line={line}");
                }
            }
            next => at = format!("&at={next}"),
        }
    }
    panic!("no end");
}

/// Every hit of a search.
fn find(served: &Served, query: &str) -> Vec<Value> {
    let (mut hits, mut on) = (Vec::new(), String::new());
    for _ in 0..10_000 {
        let slice = get(served, &format!("api/find?{query}{on}")).json();
        assert_eq!(slice["errors"], json!([]));
        hits.extend(slice["hits"].as_array().unwrap().iter().cloned());
        let next = &slice["next"];
        if next.is_null() {
            return hits;
        }
        on = format!("&on={}&on_at={}&on_lines={}", next["member"], next["at"], next["lines"]);
    }
    panic!("no end");
}

#[test]
fn text_of_any_size_is_paged_searched_and_noted_once() {
    let base = Base::new();
    let text: String = (1..=60_000)
        .map(|n| if n % 9973 == 0 { format!("line {n} NÄDEL\n") } else { format!("line {n}\n") })
        .collect();
    // One line of 3 MB, with what is looked for across every border that there may be.
    let mut long = "-".repeat(3_000_000);
    for at in [4090, 65_534, 262_141, 300_000, 524_285, 2_999_990] {
        long.replace_range(at..at + 6, "nadeln");
    }
    base.draft(|draft| {
        put(draft, "files/0001.txt", Kind::Text, "numbers", &[], text.as_bytes());
        put(draft, "files/0002.txt", Kind::Text, "one line", &[], long.as_bytes());
        put(
            draft,
            "files/0003.bin",
            Kind::Binary,
            "bytes",
            &[],
            [&[0, 255, 10][..], b"NadELn", &[7]].concat().as_slice(),
        );
    });
    let served = base.serve(Limits::default());
    let rows = walk(&served, "api/lines?member=0");
    assert_eq!(rows.len(), 60_000);
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row["line"], place + 1);
        assert!(row["text"].as_str().unwrap().starts_with(&format!("line {}", place + 1)));
    }
    let rows = walk(&served, "api/lines?member=1");
    let shown: String = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    assert_eq!(shown, long);
    assert!(rows.iter().all(|row| row["line"] == 1));
    // Backwards from the end.
    let last = get(&served, "api/lines?member=0&before=1&at=999999999").json();
    assert_eq!(last["rows"].as_array().unwrap().last().unwrap()["text"], "line 60000");
    assert!(last["next"].is_null() && last["before"]["at"].as_u64().unwrap() > 0);

    let hits = find(&served, "text=n%C3%A4del");
    let lines: Vec<_> = hits.iter().map(|hit| hit["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [9973, 19_946, 29_919, 39_892, 49_865, 59_838]);
    // Where a hit leads, its line is the first.
    for hit in &hits {
        let page = get(&served, &format!("api/lines?member=0&at={}&line={}", hit["at"], hit["line"])).json();
        assert!(page["rows"][0]["text"].as_str().unwrap().ends_with("NÄDEL"));
        assert_eq!(page["rows"][0]["line"], hit["line"]);
        assert_eq!((&hit["found"], &hit["after"]), (&json!("NÄDEL"), &json!("")));
    }
    let hits = find(&served, "text=NADELN");
    let found: Vec<_> =
        hits.iter().map(|h| (h["member"].as_u64().unwrap(), h["form"].as_str().unwrap())).collect();
    assert_eq!(found, [[(1, "lines"); 6].as_slice(), &[(2, "bytes")]].concat());
    for hit in hits.iter().take(6) {
        let page = get(&served, &format!("api/lines?member=1&at={}", hit["at"])).json();
        assert!(page["rows"][0]["text"].as_str().unwrap().contains("nadeln"), "{hit}");
    }
    assert_eq!(hits[6]["at"], 3);
    assert_eq!(find(&served, "text=nadeln&member=2&on=2").len(), 1);
    assert_eq!(find(&served, "text=line%2059&member=0").len(), 1111, "more hits than a slice has");
    assert!(find(&served, "text=not%20there").is_empty());
    // A text is looked for as it is, not as a pattern.
    assert!(find(&served, "text=l.ne").is_empty());
    let bytes = get(&served, "api/bytes?member=2").json();
    assert_eq!(bytes["rows"][0]["hex"], "00 ff 0a 4e 61 64 45 4c 6e 07");
    assert_eq!(bytes["rows"][0]["text"], "...NadELn.");
    assert_eq!(get(&served, &format!("api/find?text={}", "x".repeat(201))).status, 400);
    assert_eq!(get(&served, "api/find?text=%20").status, 400);

    let name = base.folder().name().to_owned();
    let mut viewed = base.viewed();
    viewed.sort_unstable();
    let expected: Vec<_> =
        ["all members were searched", "files/0001.txt", "files/0002.txt", "files/0003.bin"]
            .iter()
            .map(|what| format!("bundle {name}: {what}"))
            .collect();
    assert_eq!(viewed, expected, "each once, and not what was looked for");
}

#[test]
fn what_cannot_be_noted_is_not_shown() {
    let base = Base::new();
    crate::http::small(&base);
    let served = base.serve(Limits::default());
    std::fs::create_dir(base.path().join("audit.jsonl")).unwrap();
    for path in
        ["api/lines?member=0", "api/bytes?member=0", "api/find?text=first", "api/find?text=first&member=0"]
    {
        let answer = get(&served, path);
        assert!(answer.status == 500 && !answer.body.contains("first"), "{path}: {answer:?}");
    }
    assert_eq!(get(&served, "api/bundle").status, 200);
}

#[test]
fn a_trace_is_a_table_that_can_be_filtered_and_searched() {
    let base = Base::new();
    let (_place, segments) = record(|tracer| {
        for number in 0..5000 {
            tracewell::emit!(tracer, Numbered { lane: 7, number, text: &text_of(number) });
            if number % 1000 == 500 {
                let event = tracewell::catalog::ErrorRaised {
                    module: "needle\u{202e}<b>",
                    code: 13,
                    ..Default::default()
                };
                tracewell::emit!(tracer, event);
            }
        }
    });
    assert_eq!(segments.len(), 1);
    base.draft(|draft| {
        let file = std::fs::File::open(&segments[0]).unwrap();
        put(draft, &segment_name(&segments[0], 1), Kind::Segment, "a session", &[], file);
        put(draft, "trace/0002/0001.twseg", Kind::Segment, "damaged", &[], vec![7; 9000].as_slice());
    });
    let served = base.serve(Limits::default());
    let rows = walk(&served, "api/events?member=0");
    assert_eq!(rows.len(), 5005);
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row["n"], place);
        assert_eq!(row["component"], "scanner");
    }
    let numbers: Vec<_> = rows.iter().filter(|row| row["event"] == "custom.numbered").collect();
    for (number, row) in (0_u64..).zip(&numbers) {
        assert_eq!(row["text"], format!("{number} of 7"));
        assert_eq!(row["level"], "info");
        let text = text_of(number);
        let field = json!(["text", if text.is_empty() { "" } else { &text }, "personal"]);
        assert!(row["fields"].as_array().unwrap().contains(&field), "{row}");
    }
    let errors = walk(&served, "api/events?member=0&level=1");
    assert_eq!(errors.len(), 5);
    assert!(errors[0]["text"].as_str().unwrap().starts_with("needle\\u{202e}<b>: "), "{}", errors[0]);
    assert_eq!(errors, walk(&served, "api/events?member=0&text=NEEDLE"));
    assert!(walk(&served, "api/events?member=0&component=other").is_empty());
    assert_eq!(walk(&served, "api/events?member=0&component=scanner&level=3&text=%20of%207").len(), 5000);
    // From any row, and again from one that was passed.
    for from in [0, 1, 499, 500, 501, 4999, 5004, 17] {
        let page = get(&served, &format!("api/events?member=0&at={from}")).json();
        assert_eq!(page["rows"][0], rows[from]);
        assert_eq!(page["components"], json!(["scanner"]));
    }
    assert_eq!(get(&served, "api/events?member=0&at=999999").json()["rows"], json!([]));
    let hits = find(&served, "text=needle&member=0");
    assert_eq!(
        hits.iter().map(|h| &h["at"]).collect::<Vec<_>>(),
        errors.iter().map(|r| &r["n"]).collect::<Vec<_>>()
    );
    let damaged = get(&served, "api/events?member=1");
    assert!(damaged.status == 500 && damaged.body.contains("error"), "{damaged:?}");
    assert_eq!(get(&served, "api/bytes?member=1").json()["rows"].as_array().unwrap().len(), 512);
    // What cannot be searched is told, and the rest is searched.
    let slice = get(&served, "api/find?text=needle&on=1").json();
    assert_eq!((slice["errors"][0][0].as_u64(), &slice["next"]), (Some(1), &Value::Null));
}

#[test]
fn what_is_struck_out_is_struck_out_and_can_be_taken_back() {
    let base = Base::new();
    realistic(&base);
    let served = base.serve(Limits::default());
    let before = get(&served, "api/bundle").json();
    let all = get(&served, "api/members").json();
    let members = all["members"].as_array().unwrap();
    assert!(all["next"].is_null() && members.len() as u64 == before["all"].as_u64().unwrap());
    let private = members.iter().find(|m| m["private"] == true).unwrap();
    assert_eq!(private["name"], "private/pseudonyms.json");
    assert_eq!(
        before["members"].as_u64().unwrap(),
        members.len() as u64 - 1,
        "what is private is not counted"
    );
    assert_eq!(before["closed"], Value::Null);
    assert_eq!(before["skipped"].as_array().unwrap().len(), 2);
    assert!(
        before["replaced"].as_array().unwrap().iter().any(|r| r["what"] == "user"),
        "{}",
        before["replaced"]
    );
    let paths = |bundle: &Value| {
        let all = bundle["personal"].as_array().unwrap().clone();
        all.into_iter().find(|p| p["what"] == "paths").map_or(0, |p| p["count"].as_u64().unwrap())
    };
    let log = members.iter().find(|m| m["name"] == "files/0001.txt").unwrap();
    assert_eq!(log["personal"].as_array().unwrap().len(), 2);
    let strike = |body: Value| post(&served, "api/strike", &body.to_string());
    let after = strike(json!({ "member": log["place"], "struck": true })).json();
    assert_eq!(
        (&after["struck"], after["members"].as_u64()),
        (&json!(1), before["members"].as_u64().map(|n| n - 1))
    );
    assert_eq!(paths(&before) - paths(&after), 4000);
    // The files say so, too.
    let struck = |base: &Base| -> Vec<String> {
        base.folder().struck().unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(struck(&base), ["files/0001.txt"]);
    // What another command strikes out meanwhile stays.
    base.folder()
        .change_struck(|all| all.extend([tracewell_bundle::MemberName::new("os/packages.json").unwrap()]))
        .unwrap();
    assert_eq!(strike(json!({ "group": "files", "struck": true })).json()["struck"], 4);
    assert_eq!(struck(&base), ["files/0001.txt", "files/0002.txt", "files/0003.bin", "os/packages.json"]);
    assert_eq!(get(&served, "api/lines?member=0").status, 200, "it can still be looked at");
    strike(json!({ "group": "files", "struck": false })).json();
    strike(json!({ "group": "private", "struck": true }));
    assert_eq!(struck(&base), ["os/packages.json"]);

    // Sealed: it says so, and nothing changes any more.
    let (folder, key) = (base.folder(), base.key());
    folder.seal(&key, &[&key.public()], jiff::Timestamp::now(), &mut |_| ()).unwrap();
    assert!(get(&served, "api/bundle").json()["closed"].as_str().unwrap().contains("sealed"));
    let refused = strike(json!({ "member": 0, "struck": true }));
    assert!(refused.status == 409 && refused.body.contains("sealed"), "{refused:?}");
    assert_eq!(struck(&base), ["os/packages.json"]);

    // The sealed file by itself, as support has it.
    let sealed = Bundle::of_file("sealed.age".into(), folder.sealed_file().unwrap(), base.key()).unwrap();
    let served = Served::new(sealed, Limits::default());
    let bundle = get(&served, "api/bundle").json();
    assert_eq!(bundle["struck_before"], json!(["os/packages.json"]));
    assert_eq!(bundle["all"], before["all"].as_u64().unwrap() - 2);
    let refused = post(&served, "api/strike", r#"{"member":0,"struck":true}"#);
    assert_eq!(refused.status, 409, "{refused:?}");
    let all = get(&served, "api/members").json();
    let reader = SealedReader::open(folder.sealed_file().unwrap(), &key).unwrap();
    for (place, entry) in reader.manifest().members.iter().enumerate() {
        assert_eq!(all["members"][place]["name"], entry.info.name.as_str());
        let bytes = walk(&served, &format!("api/bytes?member={place}"));
        assert_eq!(bytes.len() as u64, entry.size.div_ceil(16), "{}", entry.info.name);
    }
    assert!(get(&served, "api/events?member=1").json()["rows"].as_array().unwrap().len() > 100);
}

#[test]
fn documents_are_tables_and_long_ones_come_in_parts() {
    let base = Base::new();
    realistic(&base);
    let long = format!("[{}]", "1,".repeat(5 << 20).trim_end_matches(','));
    base.folder().remove().unwrap();
    base.draft(|draft| {
        let document = json!({ "data": { "<b>": (0..450).collect::<Vec<_>>() } });
        put(
            draft,
            "os/a.json",
            Kind::OsInformation,
            "a",
            &[(Personal::Path, 0)],
            document.to_string().as_bytes(),
        );
        put(draft, "os/b.json", Kind::OsInformation, "b", &[], "{ no JSON".as_bytes());
        put(draft, "os/c.json", Kind::OsInformation, "c", &[], long.as_bytes());
        put(
            draft,
            "os/d.json",
            Kind::OsInformation,
            "d",
            &[],
            format!("{}1{}", "[".repeat(5000), "]".repeat(5000)).as_bytes(),
        );
        put(
            draft,
            "dump/a.dmp",
            Kind::Minidump,
            "a dump",
            &[(Personal::Memory, 0)],
            vec![b'M'; 9000].as_slice(),
        );
        skip(draft, "<img src=x>", "\u{202e}why");
    });
    let served = base.serve(Limits::default());
    let root = get(&served, "api/tables?member=0").json();
    assert_eq!((&root["c"][0][0], &root["c"][0][1]["c"][0][0]), (&json!("data"), &json!("<b>")));
    let list = get(&served, "api/tables?member=0&pointer=/data/%3Cb%3E&from=400").json();
    assert_eq!((list["n"].as_u64(), list["c"].as_array().unwrap().len()), (Some(450), 50));
    assert_eq!(get(&served, "api/tables?member=0&pointer=/nothing").status, 404);
    assert_eq!(get(&served, "api/tables?member=1").status, 422);
    assert_eq!(get(&served, "api/tables?member=2").status, 422);
    assert_eq!(get(&served, "api/tables?member=3").status, 422);
    let members = get(&served, "api/members").json();
    let forms: Vec<_> =
        members["members"].as_array().unwrap().iter().map(|m| m["forms"][0].as_str().unwrap()).collect();
    assert_eq!(forms, ["tables", "tables", "lines", "tables", "summary"]);
    assert_eq!(get(&served, "api/members?text=dump").json()["members"].as_array().unwrap().len(), 1);
    let skipped = &get(&served, "api/bundle").json()["skipped"][0];
    assert_eq!((&skipped["what"], &skipped["why"]), (&json!("<img src=x>"), &json!("\\u{202e}why")));
    // A dump as other code makes it readable; where that says what is wrong, so does the page.
    let mut expected = Vec::new();
    let path = "api/lines?member=4&form=summary";
    match tracewell_bundle::write_readable(Kind::Minidump, &mut vec![b'M'; 9000].as_slice(), &mut expected) {
        Err(e) => {
            let answer = get(&served, path);
            assert!(answer.status >= 400 && answer.body.contains(&e.to_string()), "{answer:?}");
        }
        Ok(()) => {
            let summary = walk(&served, path);
            let text: String =
                summary.iter().map(|row| format!("{}\n", row["text"].as_str().unwrap())).collect();
            assert_eq!(text, String::from_utf8(expected).unwrap());
        }
    }
}

#[test]
fn a_bundle_of_many_members_is_listed_in_parts() {
    let base = Base::new();
    base.draft(|draft| {
        for n in 0..1000 {
            put(
                draft,
                &format!("files/{n:04}.txt"),
                Kind::Text,
                "one of many",
                &[],
                format!("{n}\n").as_bytes(),
            );
        }
    });
    let served = base.serve(Limits::default());
    let (mut from, mut names) = (0, Vec::new());
    loop {
        let page = get(&served, &format!("api/members?from={from}")).json();
        let members = page["members"].as_array().unwrap();
        assert!(members.len() <= 300);
        names.extend(members.iter().map(|m| m["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_u64() else { break };
        from = next;
    }
    assert_eq!(names.len(), 1000);
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(find(&served, "text=77").len(), 19);
}
