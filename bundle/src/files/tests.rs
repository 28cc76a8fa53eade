use std::os::unix::fs::symlink;

use super::*;
use crate::member::tests::Kept;
use crate::redact::{Known, Level, PseudonymKey, Redacting, Redactor};
use crate::unnamed::tests::private_dir;

impl Kept {
    /// Paths and bytes, without the note.
    fn files(&self) -> Vec<(&str, &[u8])> {
        let is_file = |info: &MemberInfo| info.name.as_str().starts_with("files/");
        self.members
            .iter()
            .filter(|(info, _)| is_file(info))
            .map(|(i, b)| (i.origin.as_str(), b.as_slice()))
            .collect()
    }

    fn why(&self, what: &str) -> &str {
        let found = self.skipped.iter().find(|s| s.what.contains(what));
        &found.unwrap_or_else(|| panic!("{what}: {:?}", self.skipped)).why
    }
}

fn group(patterns: &[&str], dir: &Path) -> FileGroup {
    let patterns: Vec<String> = patterns.iter().map(|p| format!("{}/{p}", dir.display())).collect();
    FileGroup::of_patterns("test", &patterns)
}

fn collected(groups: &[FileGroup], base: &Path) -> Kept {
    let mut files = Files::new(base);
    files.ask(groups.iter().cloned(), "you");
    let mut kept = Kept::default();
    files.collect(&mut kept).unwrap();
    kept
}

fn base() -> &'static Path {
    Path::new("/nonexistent")
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn files_are_taken_by_their_patterns() {
    let dir = private_dir();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("a/b/c")).unwrap();
    for (name, text) in
        [("a/1.conf", "one"), ("a/b/2.conf", "two"), ("a/b/c/3.conf", "three"), ("a/b/no.txt", "no")]
    {
        std::fs::write(at(name), text).unwrap();
    }
    std::fs::write(at("a/.hidden.conf"), "hidden").unwrap();
    std::fs::write(at("a/b/b.conf"), [0, 1, 2, 255]).unwrap();
    let kept = collected(&[group(&["a/**/*.conf", "a/1.conf", "none/*"], dir.path())], base());
    let names: Vec<&str> = kept.members.iter().map(|(info, _)| info.name.as_str()).collect();
    assert_eq!(
        names,
        ["files/0001.txt", "files/0002.txt", "files/0003.bin", "files/0004.txt", "notes/files.json"]
    );
    let texts: Vec<&[u8]> = kept.files().iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(texts, [&b"one"[..], b"two", &[0, 1, 2, 255], b"three"]);
    assert_eq!(kept.members[0].0.origin, at("a/1.conf").display().to_string());
    assert_eq!(kept.why("none/*"), "there are none");
    let note: serde_json::Value = serde_json::from_slice(&kept.members[4].1).unwrap();
    assert_eq!((note[1]["size"].as_u64(), note[1]["asked_by"].as_str()), (Some(3), Some("you")));
}

#[test]
fn links_pipes_and_devices_are_left_out_and_told() {
    let dir = private_dir();
    let at = |name: &str| dir.path().join(name);
    for folder in ["real", "x"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    std::fs::write(at("real/secret.conf"), "secret").unwrap();
    symlink(at("real/secret.conf"), at("x/link.conf")).unwrap();
    symlink(at("real"), at("x/folder")).unwrap();
    symlink(at("nowhere"), at("x/broken.conf")).unwrap();
    pipe(&at("x/pipe.conf"));
    drop(std::os::unix::net::UnixListener::bind(at("x/socket.conf")).unwrap());
    let kept = collected(&[group(&["x/*.conf", "x/*/*.conf", "x/folder/secret.conf"], dir.path())], base());
    assert!(kept.files().is_empty(), "{:?}", kept.files());
    for (what, why) in [
        ("link.conf", "a link"),
        ("x/folder", "a link"),
        ("broken.conf", "a link"),
        ("pipe.conf", "pipe"),
        ("socket.conf", "socket"),
    ] {
        assert!(kept.why(what).contains(why), "{what}");
    }
    let kept =
        collected(&[FileGroup::of_patterns("t", &["/dev/null".into(), "/proc/self/environ".into()])], base());
    assert!(kept.files().is_empty());
    assert!(
        kept.why("/dev/null").contains("a device") && kept.why("/proc").contains("kernel"),
        "{:?}",
        kept.skipped
    );
    // The trace directory with the user's key in it.
    std::fs::write(at("x/key.conf"), "AGE-SECRET-KEY-1").unwrap();
    let kept = collected(&[group(&["**/key.conf"], dir.path())], &at("x"));
    assert!(kept.files().is_empty() && kept.why("/x").contains("trace directory"));
}

#[test]
fn what_is_exchanged_between_look_and_open_is_not_taken() {
    let dir = private_dir();
    let at = |name: &str| dir.path().join(name);
    let found = |name: &str| {
        let pattern = Pattern::parse(&at(name).display().to_string(), None).unwrap();
        walk::find(&pattern, Limits::default(), &[]).found.remove(&at(name)).unwrap()
    };
    std::fs::write(at("a"), "a").unwrap();
    std::fs::write(at("b"), "b").unwrap();
    let a = found("a");
    walk::open(&at("a"), &a).unwrap();
    std::fs::rename(at("a"), at("old")).unwrap();
    std::fs::rename(at("b"), at("a")).unwrap();
    assert!(walk::open(&at("a"), &a).unwrap_err().contains("exchanged"));
    std::fs::remove_file(at("a")).unwrap();
    symlink(at("old"), at("a")).unwrap();
    assert!(walk::open(&at("a"), &a).unwrap_err().contains("a link"));
    std::fs::remove_file(at("a")).unwrap();
    pipe(&at("a"));
    assert!(walk::open(&at("a"), &a).unwrap_err().contains("pipe"));
    // A folder of the way.
    std::fs::create_dir(at("d")).unwrap();
    std::fs::write(at("d/x"), "x").unwrap();
    let x = found("d/x");
    std::fs::rename(at("d"), at("e")).unwrap();
    symlink(at("e"), at("d")).unwrap();
    assert!(walk::open(&at("d/x"), &x).is_err());
}

/// Somebody exchanges the file as fast as they can: never is anything taken but what was there as a file.
#[test]
fn nobody_wins_a_race_for_another_file() {
    let dir = private_dir();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("x")).unwrap();
    std::fs::create_dir_all(at("other")).unwrap();
    std::fs::write(at("other/f"), "another's secret").unwrap();
    std::fs::write(at("x/f"), "harmless").unwrap();
    symlink(at("other/f"), at("l")).unwrap();
    symlink(at("other"), at("lx")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let exchange = |a: &str, b: &str| {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, at(a), rustix::fs::CWD, at(b), flags).unwrap();
    };
    let (mut taken, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                exchange("x/f", "l");
                exchange("x/f", "l");
                exchange("x", "lx");
                exchange("x", "lx");
            }
        });
        for _ in 0..4000 {
            let kept = collected(&[group(&["x/f"], dir.path())], base());
            for (_, bytes) in kept.files() {
                assert_eq!(bytes, b"harmless");
                taken += 1;
            }
            refused += usize::from(!kept.skipped.is_empty());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(taken > 100 && refused > 100, "no race: {taken} taken, {refused} refused");
}

#[test]
fn root_takes_no_second_name_of_anothers_file() {
    let dir = private_dir();
    let path = dir.path().join("f");
    std::fs::write(&path, "x").unwrap();
    std::fs::hard_link(&path, dir.path().join("g")).unwrap();
    // One's own file may have two names.
    assert_eq!(collected(&[group(&["f"], dir.path())], base()).files().len(), 1);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4242), Some(4242)).unwrap();
        let kept = collected(&[group(&["f"], dir.path())], base());
        assert!(kept.files().is_empty() && kept.why("/f").contains("2 names"), "{:?}", kept.skipped);
        // With one name it is simply a file of that user.
        std::fs::remove_file(dir.path().join("g")).unwrap();
        assert_eq!(collected(&[group(&["f"], dir.path())], base()).files().len(), 1);
    }
}

#[test]
fn caps_hold_and_are_told() {
    let dir = private_dir();
    for i in 0..10 {
        std::fs::write(dir.path().join(format!("{i}.log")), vec![b'x'; 1000 + i]).unwrap();
    }
    std::fs::File::create(dir.path().join("sparse.log")).unwrap().set_len(1 << 36).unwrap();
    let all = group(&["*.log"], dir.path());
    let kept = collected(&[FileGroup { max_files: 3, ..all.clone() }], base());
    assert_eq!(kept.files().len(), 3);
    assert!(kept.why("9.log").contains("as many files"));
    let kept = collected(&[FileGroup { max_size: 1004, ..all.clone() }], base());
    assert_eq!(kept.files().len(), 5);
    assert!(kept.why("sparse").contains(&(1_u64 << 36).to_string()));
    let kept = collected(&[FileGroup { max_total: 3500, ..all.clone() }], base());
    assert_eq!(kept.files().iter().map(|(_, b)| b.len()).sum::<usize>(), 3003);
    assert!(kept.why("5.log").contains("are left"));
    // The newest first.
    let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    for i in 0..8 {
        std::fs::File::options()
            .write(true)
            .open(dir.path().join(format!("{i}.log")))
            .unwrap()
            .set_times(time)
            .unwrap();
    }
    std::fs::remove_file(dir.path().join("sparse.log")).unwrap();
    let kept = collected(&[FileGroup { newest: Some(2), ..all }], base());
    assert!(kept.files().iter().all(|(path, _)| path.ends_with("8.log") || path.ends_with("9.log")));
    assert_eq!(kept.files().len(), 2);
    assert!(kept.why("8 older files").contains("newest"));
}

#[test]
fn looking_is_bounded() {
    let dir = private_dir();
    let mut deep = dir.path().to_owned();
    for _ in 0..40 {
        deep = deep.join("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("f"), "x").unwrap();
    for i in 0..300 {
        std::fs::write(dir.path().join(format!("{i:03}")), "x").unwrap();
    }
    let find = |pattern: &str, limits| {
        walk::find(
            &Pattern::parse(&format!("{}/{pattern}", dir.path().display()), None).unwrap(),
            limits,
            &[],
        )
    };
    let limits = Limits::default();
    let cut = |finding: walk::Finding| finding.cut.unwrap();
    assert!(find("0*", limits).cut.is_none());
    assert!(cut(find("**/f", limits)).contains("deeper than 32"));
    assert!(cut(find("*", Limits { names: 100, ..limits })).contains("100 names"));
    assert!(cut(find("*", Limits { found: 50, ..limits })).contains("50 files"));
    let finding = find("*", Limits { time: std::time::Duration::ZERO, ..limits });
    assert!(finding.found.is_empty() && cut(finding).contains("longer than"));
}

#[test]
fn of_a_long_log_only_the_end_and_of_a_growing_one_what_was_there() {
    let dir = private_dir();
    let lines: String = (0..5000).map(|i| format!("line {i}\n")).collect();
    std::fs::write(dir.path().join("a.log"), &lines).unwrap();
    let tail = |bytes| FileGroup { tail: Some(bytes), ..group(&["a.log"], dir.path()) };
    let kept = collected(&[tail(1000)], base());
    let end = std::str::from_utf8(kept.files()[0].1).unwrap();
    assert!(end.len() <= 1000 && end.starts_with("line 4") && lines.ends_with(end), "{end:?}");
    // A line that begins exactly there is whole.
    let kept = collected(&[tail(10)], base());
    assert_eq!(kept.files()[0].1, b"line 4999\n");
    assert_eq!(collected(&[tail(1 << 20)], base()).files()[0].1, lines.as_bytes());
    /// Somebody writes into the file while it is taken.
    struct Growing<'a>(&'a Path, usize);
    impl Sink for Growing<'_> {
        fn member(&mut self, info: MemberInfo, content: &mut dyn Read) -> io::Result<()> {
            let lines = std::fs::read_to_string(self.0)?;
            std::fs::write(self.0, format!("{lines}{lines}"))?;
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            if info.kind == Kind::Text {
                self.1 = bytes.len();
            }
            Ok(())
        }

        fn skip(&mut self, skipped: Skipped) {
            panic!("{skipped:?}");
        }
    }
    let path = dir.path().join("a.log");
    let mut growing = Growing(&path, 0);
    let mut files = Files::new(base());
    files.ask([group(&["a.log"], dir.path())], "you");
    files.collect(&mut growing).unwrap();
    assert_eq!(growing.1, lines.len());
    assert!(std::fs::metadata(&path).unwrap().len() > lines.len() as u64);
}

#[test]
fn a_database_goes_through_sqlite_and_its_parts_do_not_go() {
    let dir = private_dir();
    let path = dir.path().join("state");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES ('eva@mail.example')",
    )
    .unwrap();
    std::fs::write(dir.path().join("empty.db"), "").unwrap();
    let mut both = group(&["state*"], dir.path());
    both.paths.push(dir.path().join("empty.db").display().to_string());
    let kept = collected(&[FileGroup { sqlite: true, ..both.clone() }], base());
    assert_eq!(kept.files().len(), 1, "{:?}", kept.skipped);
    assert_eq!((kept.members[0].0.name.as_str(), kept.members[0].0.kind), ("files/0001.db", Kind::Database));
    assert!(
        kept.why("state-wal").contains("its log") && kept.why("state-shm").contains("part of a database")
    );
    assert!(kept.why("empty.db").contains("no SQLite database"));
    drop(db);
    // Redacted on its way to a draft.
    let mut redactor = Redactor::new(Level::Standard, PseudonymKey::random().unwrap(), Known::new([], []));
    let mut kept = Kept::default();
    let mut files = Files::new(base());
    files.ask([both], "you");
    files.collect(&mut Redacting::new(&mut redactor, &mut kept)).unwrap();
    let bytes = kept.files().into_iter().find(|(path, _)| path.ends_with("/state")).unwrap().1;
    assert!(bytes.windows(4).any(|w| w == b"mail") && !bytes.windows(16).any(|w| w == b"eva@mail.example"));
}

#[test]
fn text_is_told_from_other_bytes_by_its_content() {
    for text in
        [&b""[..], b"a\tb\r\n", "ü€".as_bytes(), &"ü€".as_bytes()[..4], b"caf\xe9 au lait", b"\x1b[1mbold"]
    {
        assert!(is_text(text), "{text:?}");
    }
    for other in [&b"a\0b"[..], b"\x7fELF\x02\x01\x01\0", &[0x80; 100], b"\x1f\x8b\x08\x00"] {
        assert!(!is_text(other), "{other:?}");
    }
}
