//! `bundle`, `request`, `audit`: from preparing to sealing, as a user does it. Sending is tried in bundle/tests.

mod support;

use support::Place;

/// The public key of a user, from the file that keeps it.
fn public_key(place: &Place) -> String {
    let text = std::fs::read_to_string(place.base().join("keys/own.txt")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// The product's list of files, and files by patterns: taken, redacted, shown; what is left out is told.
#[test]
fn the_products_files_are_taken_as_its_list_says() {
    let user = Place::new();
    let folder = user.path("product").canonicalize().unwrap_or_else(|_| {
        std::fs::create_dir(user.path("product")).unwrap();
        user.path("product").canonicalize().unwrap()
    });
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(at("settings.toml"), "mail = \"eva@mail.example\"\npassword = \"hunter2horse\"\n")
        .unwrap();
    std::fs::write(at("scan.log"), "line\n".repeat(1000)).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", at("link.log")).unwrap();
    let made = std::process::Command::new("sqlite3")
        .args([
            &at("state.db"),
            "CREATE TABLE seen (name, mail); INSERT INTO seen VALUES ('x', 'eva@mail.example')",
        ])
        .status()
        .expect("sqlite3, of Debian's package of that name, is installed");
    assert!(made.success());
    let product = at("product.toml");
    std::fs::write(&product, "name = \"Example\"\nfiles = \"files.toml\"\n").unwrap();
    let list = format!(
        "[[files]]\nname = \"settings\"\nkind = \"settings\"\npaths = [\"{}\"]\npersonal = [\"mail\"]\n\
         [[files]]\nname = \"logs\"\nkind = \"log\"\npaths = [\"{}\"]\ntail = \"1K\"\n\
         [[files]]\nname = \"state\"\nkind = \"database\"\npaths = [\"{}\"]\nsqlite = true\n",
        at("*.toml"),
        at("*.log"),
        at("*.db")
    );
    std::fs::write(at("files.toml"), &list).unwrap();
    std::fs::write(at("extra.txt"), "asked for by hand").unwrap();
    let create = ["bundle", "create", "--only", "files", "--product", &product, "--file", &at("extra.*")];
    let created = user.run(&create).ok().stdout;
    assert!(created.contains("link.log: it is a link"), "{created}");
    assert!(created.contains("mail addresses") && !created.contains("does not collect"), "{created}");
    let member = |name: &str| user.run(&["bundle", "show", "--member", name]).ok().stdout;
    let manifest = user.run(&["bundle", "show", "--json"]).ok().stdout;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let of = |path: &str| {
        let all = manifest["members"].as_array().unwrap();
        let one = all.iter().find(|m| m["origin"].as_str().unwrap() == path);
        one.unwrap_or_else(|| panic!("{path}: {manifest}"))["name"].as_str().unwrap().to_owned()
    };
    let settings = member(&of(&at("settings.toml")));
    assert!(settings.contains("mail = ") && settings.contains("[secret removed]"), "{settings}");
    assert!(!settings.contains("eva@") && !settings.contains("hunter2"), "{settings}");
    assert!(member(&of(&at("scan.log"))).len() <= 1024);
    let state = member(&of(&at("state.db")));
    assert!(state.contains("table seen: 1 row") && !state.contains("eva@"), "{state}");
    assert_eq!(member(&of(&at("extra.txt"))), "asked for by hand");
    assert!(member("notes/files.json").contains("\"asked_by\": \"you\""));
    // A list that others could write, or that makes no sense, stops it before anything is made.
    std::fs::set_permissions(at("files.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    user.run(&create).error(&["files.toml", "chmod go-w"]);
    assert_eq!(user.run(&["bundle", "list"]).ok().stdout.lines().count(), 1);
}

/// Every file that is opened for writing lies in the trace directory: neither SQLite nor anything else sets something aside.
#[test]
fn no_file_of_what_is_collected_is_made_anywhere() {
    let user = Place::new();
    let path = user.path("state.db");
    let made = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg(
            "PRAGMA journal_mode = wal; CREATE TABLE t (a PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
             WHERE i < 500) INSERT INTO t SELECT randomblob(4000), 'row ' || i FROM n",
        )
        .stdout(std::process::Stdio::null())
        .status()
        .expect("sqlite3, of Debian's package of that name, is installed");
    assert!(made.success());
    let log = user.path("strace.log");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=open,openat,openat2,creat", "-o"]).arg(&log).arg("--");
    command
        .arg(env!("CARGO_BIN_EXE_tracewell"))
        .args(["bundle", "create", "--only", "trace", "--file"])
        .arg(&path);
    let ours = user.command();
    command.current_dir(user.path("."));
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().expect("strace is needed: install package strace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let base = user.base().canonicalize().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    let (mut written, mut read) = (0, false);
    for line in log.lines().filter(|line| !line.contains(" = -1 ")) {
        read |= line.contains("state.db\"");
        if ["O_WRONLY", "O_RDWR", "O_CREAT", "creat("].iter().all(|flag| !line.contains(flag)) {
            continue;
        }
        let opened = line.rsplit_once('<').map_or("", |(_, path)| path);
        assert!(opened.starts_with(base.to_str().unwrap()), "{line}");
        written += 1;
    }
    assert!(written >= 2 && read, "nothing was seen: {log}");
    // Nothing beside the database was made either.
    let left: Vec<_> = support::list(&user.path("."))
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains("state.db"))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_bundle_is_prepared_looked_at_struck_sealed_and_opened_by_support() {
    let (user, vendor) = (Place::new(), Place::new());
    vendor.run(&["bundle", "create"]).ok();
    user.record(300);
    let created = user.run(&["bundle", "create", "--case", "2026-004711"]).ok();
    for part in ["Nothing was sent", "2026-004711", "standard", "trace/0001/", "the product names none"] {
        assert!(created.stdout.contains(part), "{part}: {created:?}");
    }
    let shown = user.run(&["bundle", "show", "--json"]).ok();
    let manifest: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let names: Vec<&str> =
        manifest["members"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    let trace = names.iter().find(|n| n.starts_with("trace/")).unwrap();
    // A trace is shown as its lines; the map of pseudonyms is the user's alone.
    let lines = user.run(&["bundle", "show", "--member", trace]).ok().stdout;
    assert!(lines.lines().count() >= 100, "{lines}");
    assert!(names.contains(&"notes/redaction.json") && !names.iter().any(|n| n.starts_with("private/")));
    user.run(&["bundle", "strike", "last", "trace/*"]).ok();
    user.run(&["bundle", "strike", "last", "nonsense"]).error(&["nonsense", "bundle show"]);
    user.run(&["bundle", "strike", "last", trace, "--undo"]).ok();
    user.run(&["bundle", "strike", "last", "notes/redaction.json"]).ok();
    user.run(&["bundle", "seal"]).error(&["product.toml", "--to"]);
    let sealed = user.path("sealed.age");
    let key = public_key(&vendor);
    let done = user.run(&["bundle", "seal", "--to", &key, "-o", sealed.to_str().unwrap()]).ok();
    assert!(done.stdout.contains("digest") && done.stdout.contains("you ("), "{done:?}");
    user.run(&["bundle", "strike", "last", trace]).error(&["sealed", "unseal"]);
    // Support, with its own key; somebody else cannot.
    let target = vendor.path("opened");
    let open = ["bundle", "open", sealed.to_str().unwrap(), "-o", target.to_str().unwrap()];
    let opened = vendor.run(&open).ok();
    assert!(opened.stdout.contains("All digests are right"), "{opened:?}");
    assert!(target.join(trace).exists() && !target.join("notes/redaction.json").exists());
    let read = vendor.run(&["read", "--stdout", target.join("trace/0001").to_str().unwrap()]).ok();
    assert_eq!(read.stdout, lines, "what support reads is what the user saw");
    let other = Place::new();
    other.run(&["bundle", "create"]).ok();
    other.run(&["bundle", "open", sealed.to_str().unwrap()]).error(&["other keys"]);
    // What was done is in the record.
    let audit = user.run(&["audit"]).ok().stdout;
    for what in ["enable", "disable", "bundle", "view", "seal"] {
        assert!(audit.lines().any(|line| line.contains(what)), "{what}: {audit}");
    }
    let path = user.base().join("audit.jsonl");
    let changed = std::fs::read_to_string(&path).unwrap().replace("\"view\"", "\"look\"");
    std::fs::write(&path, changed).unwrap();
    assert_eq!(user.run(&["audit"]).code, 3, "a change shows");
    let would = user.run(&["purge"]).ok().stdout;
    assert!(would.contains("  bundle  "), "copies of what was recorded go too: {would}");
    user.run(&["bundle", "remove", "last"]).ok();
    assert!(user.run(&["bundle", "list"]).ok().stdout.contains("sealed"));
    user.run(&["bundle", "remove", "last", "--yes"]).ok();
    assert!(user.run(&["bundle", "list"]).ok().stdout.contains("no bundles"));
    user.run(&["bundle", "create"]).ok();
    user.run(&["purge", "--yes"]).ok();
    assert!(user.run(&["bundle", "list"]).ok().stdout.contains("no bundles"), "purged");
}
