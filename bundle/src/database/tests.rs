use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use rusqlite::Connection;

use super::*;
use crate::member::tests::Kept;
use crate::redact::{Known, Level, PseudonymKey, Redacting, Redactor};
use crate::unnamed::tests::private_dir;
use crate::{Kind, Sink};

const CHILD: &str = "TRACEWELL_TEST_SQLITE";

/// A process of its own that does something with a database until it is killed. SQLite's locks are a process's: in one
/// process they would not be seen.
struct Other(Child);

impl Other {
    fn start(what: &str, path: &Path) -> Self {
        let ready = path.with_extension("ready");
        let test = "database::tests::what_other_processes_do_is_seen_as_a_whole";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, format!("{what}:{}", path.display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let other = Self(child);
        let until = Instant::now() + std::time::Duration::from_secs(30);
        while !ready.exists() {
            assert!(Instant::now() < until, "the other process did not begin");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::fs::remove_file(ready).unwrap();
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the other process does; never returns.
fn other(what: &str, path: &Path) -> ! {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    let ready = || std::fs::write(path.with_extension("ready"), "").unwrap();
    match what {
        // Money is moved between accounts: the sum is the same in every state that was ever committed.
        "transfer" => {
            ready();
            for i in 0_u64.. {
                let (from, to) = (i * 7919 % 500, i * 104_729 % 500);
                db.execute_batch(&format!(
                    "BEGIN IMMEDIATE; UPDATE accounts SET money = money - 1 WHERE id = {from};
                     UPDATE accounts SET money = money + 1 WHERE id = {to};
                     INSERT INTO log VALUES ({i}, hex(randomblob(200))); COMMIT"
                ))
                .unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            unreachable!()
        }
        "lock" => db.execute_batch("BEGIN EXCLUSIVE").unwrap(),
        // More than the cache holds: the file itself is changed before the end.
        "half" => db
            .execute_batch(
                "PRAGMA cache_size = 1; BEGIN; UPDATE accounts SET money = 0, pad = hex(randomblob(500))",
            )
            .unwrap(),
        "hold" => db.execute_batch("INSERT INTO log VALUES (1, 'in the log')").unwrap(),
        other => panic!("{other}"),
    }
    ready();
    loop {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

use std::path::Path;

/// 500 accounts of 10.
fn accounts(path: &Path, mode: &str) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "PRAGMA journal_mode = {mode}; CREATE TABLE accounts (id INTEGER PRIMARY KEY, money INTEGER, pad TEXT);
         CREATE INDEX by_money ON accounts (money); CREATE TABLE log (at INTEGER, what TEXT);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499)
         INSERT INTO accounts SELECT i, 10, hex(zeroblob(100)) FROM n"
    ))
    .unwrap();
}

fn copied(path: &Path) -> Result<Vec<u8>, String> {
    copy(path, &std::fs::File::open(path).unwrap(), MAX_DATABASE)
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn look_in(image: &[u8]) -> Connection {
    opened(image, Budget(std::time::Duration::from_secs(20))).unwrap()
}

/// Everything in a folder: names, bytes, and when they were changed.
fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entry = |path: PathBuf| {
        let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), (std::fs::read(&path).unwrap(), changed))
    };
    std::fs::read_dir(dir).unwrap().map(|e| entry(e.unwrap().path())).collect()
}

#[test]
fn what_other_processes_do_is_seen_as_a_whole() {
    if let Ok(job) = std::env::var(CHILD) {
        let (what, path) = job.split_once(':').unwrap();
        other(what, Path::new(path));
    }
    for mode in ["wal", "delete", "truncate"] {
        let dir = private_dir();
        let path = dir.path().join("a ?#%ü.db");
        accounts(&path, mode);
        let writers = [Other::start("transfer", &path), Other::start("transfer", &path)];
        let mut sizes = Vec::new();
        for round in 0..15 {
            let image = copied(&path).unwrap_or_else(|e| panic!("{mode}, round {round}: {e}"));
            let db = look_in(&image);
            let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(sound, "ok", "{mode}, round {round}");
            assert_eq!(number(&db, "SELECT sum(money) FROM accounts"), 5000, "{mode}, round {round}");
            sizes.push(number(&db, "SELECT count(*) FROM log"));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(
            sizes.windows(2).all(|w| w[0] <= w[1]) && sizes[14] > sizes[0],
            "{mode}: no writer at work, {sizes:?}"
        );
        drop(writers);
    }
}

#[test]
fn nothing_is_made_or_changed_beside_it() {
    let dir = private_dir();
    let path = dir.path().join("x.db");
    accounts(&path, "wal");
    // Nobody uses it: neither log nor index is there, and none may be made.
    let before = state(dir.path());
    assert_eq!(before.len(), 1);
    copied(&path).unwrap();
    assert_eq!(state(dir.path()), before);
    // A process that was killed leaves both, with rows that are in the log alone.
    drop(Other::start("hold", &path));
    let before = state(dir.path());
    assert_eq!(before.len(), 3);
    let image = copied(&path).unwrap();
    assert_eq!(state(dir.path()), before);
    assert_eq!(number(&look_in(&image), "SELECT count(*) FROM log WHERE what = 'in the log'"), 1);
    // The log alone: making its index would be a change.
    std::fs::remove_file(dir.path().join("x.db-shm")).unwrap();
    let before = state(dir.path());
    assert!(copied(&path).unwrap_err().contains("without the log's index"));
    assert_eq!(state(dir.path()), before);
}

#[test]
fn half_a_change_and_a_lock_are_told() {
    let dir = private_dir();
    let path = dir.path().join("x.db");
    accounts(&path, "delete");
    drop(Other::start("half", &path));
    let before = state(dir.path());
    assert_eq!(before.len(), 2, "the journal was left");
    assert!(copied(&path).unwrap_err().contains("in the middle of a change"));
    assert_eq!(state(dir.path()), before);
    let path = dir.path().join("y.db");
    accounts(&path, "delete");
    let lock = Other::start("lock", &path);
    let began = Instant::now();
    assert!(copied(&path).unwrap_err().contains("locked"));
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    drop(lock);
    copied(&path).unwrap();
}

#[test]
fn only_the_file_that_was_found_and_only_as_much_as_allowed() {
    let dir = private_dir();
    let (path, aside) = (dir.path().join("x.db"), dir.path().join("y.db"));
    accounts(&path, "delete");
    accounts(&aside, "delete");
    let held = std::fs::File::open(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    assert!(copy(&path, &held, MAX_DATABASE).unwrap_err().contains("exchanged"));
    let held = std::fs::File::open(&path).unwrap();
    assert!(copy(&path, &held, 4096).unwrap_err().contains("4096"));
    // A link in its place is not followed, also by SQLite.
    std::fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &path).unwrap();
    assert!(copy(&path, &std::fs::File::open(&aside).unwrap(), MAX_DATABASE).is_err());
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    for ending in ["-wal", "-shm", "-journal"] {
        let pipe = dir.path().join(format!("x.db{ending}"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let began = Instant::now();
        assert!(copied(&path).unwrap_err().contains("a pipe"), "{ending}");
        assert!(began.elapsed() < std::time::Duration::from_secs(2));
        std::fs::remove_file(pipe).unwrap();
    }
}

fn redacted(image: &[u8], level: Level) -> Kept {
    redacted_by(&mut redactor(level), image)
}

fn redactor(level: Level) -> Redactor {
    Redactor::new(level, PseudonymKey::random().unwrap(), Known::new(["eva.klein"], ["kestrel"]))
}

fn redacted_by(redactor: &mut Redactor, image: &[u8]) -> Kept {
    let mut kept = Kept::default();
    let mut info = crate::draft::tests::info("files/0001.db");
    info.kind = Kind::Database;
    Redacting::new(redactor, &mut kept).member(info, &mut &*image).unwrap();
    kept
}

fn image_of(sql: &str) -> Vec<u8> {
    let mut db = Connection::open_in_memory().unwrap();
    db.execute_batch(sql).unwrap();
    db.serialize("main").unwrap().to_vec()
}

const CANARIES: [&str; 9] = [
    "hunter2horse",
    "eva.klein",
    "kestrel",
    "eva@mail.example",
    "sk_live_0123456789abcdefXYZ",
    "tr0ub4dor",
    "correct horse battery",
    "10.11.12.13",
    "deleted@mail.example",
];

const PERSONAL: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, mail TEXT, password TEXT, note BLOB);
    INSERT INTO users VALUES (1, 'eva.klein', 'eva@mail.example', 'correct horse battery', CAST('seen at 10.11.12.13' AS BLOB));
    INSERT INTO users VALUES (2, 'gone', 'deleted@mail.example', '', NULL); DELETE FROM users WHERE id = 2;
    CREATE INDEX by_mail ON users (mail);
    CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    INSERT INTO settings VALUES ('proxy.password', 'hunter2horse'), ('host', 'kestrel'), ('size', 12), ('k', 'sk_live_0123456789abcdefXYZ');
    CREATE TABLE blobs (data BLOB); INSERT INTO blobs VALUES (x'00ff00ff');
    CREATE VIEW everybody AS SELECT * FROM users WHERE name <> 'eva.klein';
    CREATE TRIGGER t AFTER INSERT ON blobs BEGIN INSERT INTO settings VALUES ('t', 'tr0ub4dor'); END;
    CREATE VIRTUAL TABLE mails USING fts5(body); INSERT INTO mails VALUES ('deleted@mail.example wrote tr0ub4dor');
    CREATE TABLE computed (a TEXT, b TEXT AS (a || ' eva.klein') STORED); INSERT INTO computed (a) VALUES ('x');";

#[test]
fn no_text_of_a_database_passes_as_it_is() {
    let image = image_of(PERSONAL);
    let holds = |bytes: &[u8], canary: &str| bytes.windows(canary.len()).any(|w| w == canary.as_bytes());
    for canary in CANARIES {
        assert!(holds(&image, canary), "{canary} is no test");
    }
    for level in [Level::Standard, Level::Strict] {
        let kept = redacted(&image, level);
        assert!(kept.skipped.is_empty());
        let bytes = &kept.members[0].1;
        for canary in CANARIES.iter().filter(|canary| **canary != "tr0ub4dor") {
            assert!(!holds(bytes, canary), "{canary} at {}", level.name());
        }
        let db = look_in(bytes);
        assert_eq!(number(&db, "SELECT value FROM settings WHERE key = 'size'"), 12);
        assert_eq!(number(&db, "SELECT count(*) FROM users WHERE password = '[secret removed]'"), 1);
        let blob = number(&db, "SELECT typeof(data) = 'blob' FROM blobs");
        assert_eq!(blob, i64::from(level == Level::Standard), "blobs stay at standard alone");
        let names =
            "SELECT count(*) FROM tracewell_left_out WHERE name LIKE 'mails%' AND why LIKE '%virtual table%'";
        assert!(number(&db, names) >= 4);
        assert_eq!(
            number(&db, "SELECT count(*) FROM tracewell_declared WHERE kind IN ('trigger', 'view')"),
            2
        );
    }
    // With level none it goes as it is.
    assert_eq!(redacted(&image, Level::None).members[0].1, image);
}

#[test]
fn what_cannot_be_redacted_does_not_go() {
    for bytes in [b"SQLite format 3\0 and no more".to_vec(), vec![7; 5000], Vec::new()] {
        let kept = redacted(&bytes, Level::Standard);
        assert!(kept.members.is_empty() && kept.skipped.len() == 1, "{}", bytes.len());
    }
}

fn shown(image: &[u8]) -> String {
    let mut out = Vec::new();
    crate::write_readable(Kind::Database, &mut &*image, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_database_is_shown_as_its_tables() {
    let text = shown(&image_of(PERSONAL));
    for part in [
        "table settings: 4 rows",
        "  key | value",
        "  host | kestrel",
        "view everybody:",
        "[4 bytes]",
        "table mails: a virtual",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A log's header is no obstacle, and no control character gets out.
    let mut image = image_of(
        "CREATE TABLE \"a\x1b[31m\n|\" (\"b\r\"); INSERT INTO \"a\x1b[31m\n|\" VALUES ('c\x07\u{202e}')",
    );
    image[18..20].fill(2);
    let text = shown(&image);
    assert!(text.contains(": 1 row"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn a_hostile_database_runs_nothing_and_ends() {
    // A view, a default, an index and a check that would compute for ever; a name that has the same form as ours.
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let image = image_of(&format!(
        "CREATE TABLE big (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO big SELECT randomblob(500) FROM n;
         CREATE TABLE tracewell_left_out (a); INSERT INTO tracewell_left_out VALUES ('theirs');
         CREATE VIEW v AS {endless}; CREATE VIEW one AS SELECT 1; CREATE VIRTUAL TABLE r USING rtree(id, a, b)"
    ));
    let text = shown(&image);
    assert!(text.contains("table big: 1000 rows") && text.contains("view v:"), "{text}");
    let kept = redacted(&image, Level::Standard);
    let db = look_in(&kept.members[0].1);
    assert_eq!(number(&db, "SELECT count(*) FROM tracewell_left_out WHERE a = 'theirs'"), 1);
    // However the bytes are changed: words, not a panic, and not for ever.
    let mut strict = redactor(Level::Strict);
    let mut seed = 1_u64;
    for _ in 0..60 {
        let mut bad = image.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).unwrap() % (4096 * 3);
            bad[at] = (seed >> 24) as u8;
        }
        bad[..16].copy_from_slice(b"SQLite format 3\0");
        let text = shown(&bad);
        assert!(text.len() < 4 << 20 && text.chars().all(|c| c == '\n' || !c.is_control()));
        redacted_by(&mut strict, &bad);
    }
    // What takes long is ended, whoever asks for it.
    let db = opened(&image, Budget(std::time::Duration::from_millis(50))).unwrap();
    assert!(db.query_row(endless, [], |row| row.get::<_, i64>(0)).is_err());
    let db = look_in(&image);
    assert!(
        db.query_row("SELECT * FROM one", [], |row| row.get::<_, i64>(0)).is_err(),
        "no view is run at all"
    );
}

#[test]
fn damage_is_told() {
    let dir = private_dir();
    let path = dir.path().join("x.db");
    accounts(&path, "delete");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..4096 * 3].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    assert!(copied(&path).unwrap_err().contains("damaged"));
    let mut encrypted = vec![0x5a; 8192];
    encrypted[..16].copy_from_slice(b"SQLite format 3\0");
    std::fs::write(&path, &encrypted).unwrap();
    assert!(copied(&path).is_err());
}
