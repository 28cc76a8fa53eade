//! `enable`, `status`, `disable`, `purge`, `completions`.

mod support;

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use support::{Place, Ran, list};

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.ok().stdout).expect("JSON")
}

#[test]
fn a_fresh_machine_is_off_and_nothing_is_made() {
    let place = Place::new();
    let status = place.run(&["status"]).ok();
    assert!(
        status.stdout.contains("Tracing is off") && status.stdout.contains("none is attached"),
        "{status:?}"
    );
    let status = json(place.run(&["status", "--json"]));
    assert_eq!(
        (&status["enabled"], &status["off"], &status["bytes"]),
        (&false.into(), &"off".into(), &0.into())
    );
    place.run(&["disable"]).ok();
    assert!(place.run(&["purge", "--yes"]).ok().stdout.contains("nothing to delete"));
    assert!(!place.base().exists(), "asking makes nothing");
    std::fs::create_dir(place.base()).unwrap();
    std::fs::set_permissions(place.base(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(place.run(&["status"]).ok().stdout.contains("Tracing is off"));
    assert_eq!(list(&place.base()).len(), 0);
}

#[test]
fn enable_says_what_and_until_when_and_keeps_the_choice() {
    let place = Place::new();
    let options =
        ["--for", "30m", "--category", "network=debug,error", "--max-size", "64M", "--opt-in", "web.login"];
    let enabled = place.run(&[&["enable"], &options[..]].concat()).ok();
    for part in
        ["Tracing is on", "network at debug", "error at info", "until", "64.0 MiB", "web.login", "disable"]
    {
        assert!(enabled.stdout.contains(part), "{part}: {enabled:?}");
    }
    let status = json(place.run(&["status", "--json"]));
    let session = &status["session"];
    assert_eq!(status["enabled"], true);
    assert_eq!((&session["levels"]["network"], &session["levels"]["web"]), (&"debug".into(), &"off".into()));
    assert_eq!(session["opt_ins"][0], "web.login");
    let left = session["seconds_left"].as_u64().unwrap();
    assert!((1700..=1800).contains(&left), "{left}");
    let settings = std::fs::read_to_string(place.base().join("settings.toml")).unwrap();
    assert!(
        settings.contains("duration = \"30m\"") && settings.contains("network = \"debug\""),
        "{settings}"
    );
    assert!(place.run(&["disable"]).ok().stdout.contains("Tracing is off"));
    assert_eq!(json(place.run(&["status", "--json"]))["enabled"], false);
    assert!(place.run(&["disable"]).ok().stdout.contains("was not on"));
    // The choice of last time is the default.
    assert!(place.run(&["enable"]).ok().stdout.contains("network at debug"));
    let again = place.run(&["enable", "--defaults", "--reduce", "certificate.seen.subject=keyed"]).ok();
    assert!(
        again.stdout.contains("that session has ended") && again.stdout.contains("everything at level info")
    );
    assert!(again.stdout.contains("certificate.seen.subject as keyed"), "{again:?}");
}

#[test]
fn what_cannot_be_enabled_is_said_and_nothing_is_switched_on() {
    let place = Place::new();
    for (args, part) in [
        (&["enable", "--category", "nonsense"][..], "nonsense"),
        (&["enable", "--level", "loud"], "loud"),
        (&["enable", "--for", "5 minutes"], "30m"),
        (&["enable", "--max-size", "many"], "512M"),
        (&["enable", "--reduce", "web.visit=x"], "web.visit"),
        (&["enable", "--category", "web=off"], "disable"),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
        assert_eq!(json(place.run(&["status", "--json"]))["enabled"], false, "{args:?}");
    }
    std::fs::create_dir_all(place.base()).unwrap();
    std::fs::set_permissions(place.base(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let settings = place.base().join("settings.toml");
    std::fs::write(&settings, "levle = \"info\"\n").unwrap();
    std::fs::set_permissions(&settings, std::fs::Permissions::from_mode(0o600)).unwrap();
    place.run(&["enable"]).error(&["settings.toml", "levle"]);
}

#[test]
fn status_explains_silence() {
    let place = Place::new();
    place.run(&["enable", "--category", "network"]).ok();
    let tracer = place.tracer("scanner");
    let component = |name: &str| {
        let status = json(place.run(&["status", "--json", name]));
        let all = status["components"].as_array().unwrap();
        all.iter().find(|c| c["component"] == name).cloned().unwrap()
    };
    let scanner = component("scanner");
    assert_eq!((&scanner["attached"], &scanner["why"]), (&true.into(), &"category_off".into()));
    assert_eq!(scanner["pid"], std::process::id());
    // Attached elsewhere, or nowhere, by what other processes of this machine map.
    let mailer = component("mailer")["why"].clone();
    assert!(mailer == "not_attached" || mailer == "other_place", "{mailer}");
    place.run(&["disable"]).ok();
    assert_eq!(component("scanner")["why"], "off");
    place.run(&["enable", "--defaults", "--for", "1s"]).ok();
    tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { code: 1, ..Default::default() });
    assert_eq!(component("scanner")["delivered"], 1, "of the present session");
    let text = place.run(&["status"]).ok().stdout;
    assert!(
        text.contains("1 event, 1 ring (")
            && text.contains("rings")
            && text.contains("the session that is on"),
        "{text}"
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(component("scanner")["why"], "expired");
}

#[test]
fn purge_deletes_what_is_finished_and_nothing_else() {
    let place = Place::new();
    place.record(10);
    let precious = place.path("precious");
    std::fs::write(&precious, "stays").unwrap();
    std::os::unix::fs::symlink(
        &precious,
        list(&place.base().join("sessions"))[0].join("a_pid1_00000000_000001.twseg"),
    )
    .unwrap();
    // A link among the segments is not followed; it is named as what could not be read.
    let linked = place.run(&["read", "--stdout"]);
    assert_eq!(linked.code, 3, "{linked:?}");
    assert!(linked.stderr.contains("a_pid1_00000000_000001.twseg"), "{linked:?}");
    place.run(&["enable"]).ok();
    let tracer = place.tracer("scanner");
    tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { code: 1, ..Default::default() });
    let planned = place.run(&["purge"]).ok();
    assert!(planned.stdout.contains("would be deleted") && planned.stdout.contains("--yes"), "{planned:?}");
    assert_eq!(list(&place.base().join("sessions")).len(), 2, "nothing was deleted");
    let purged = place.run(&["purge", "--yes"]);
    assert!(
        purged.stdout.contains("the session that is on") && purged.stdout.contains("records into it"),
        "{purged:?}"
    );
    // Whoever made the link, it was not Tracewell.
    assert!(purged.code == 2 && purged.stderr.contains("1 file in it not made by Tracewell"), "{purged:?}");
    // Two sessions of one second are in any order.
    let sessions = list(&place.base().join("sessions"));
    let linked = sessions.iter().find(|session| list(session).iter().any(|path| path.is_symlink()));
    let left = list(linked.expect("the link stays"));
    assert!(left.len() == 1 && left[0].is_symlink(), "{left:?}");
    std::fs::remove_file(&left[0]).unwrap();
    place.run(&["purge", "--yes"]).ok();
    assert_eq!(list(&place.base().join("sessions")).len(), 1);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "stays");
    tracer.flush().unwrap();
    let rest = place.run(&["read", "--stdout"]).ok();
    assert!(rest.stdout.contains("error.raised"), "{rest:?}");
    drop(tracer);
    place.run(&["disable"]).ok();
    place.run(&["purge", "--yes"]).ok();
    assert_eq!(list(&place.base().join("sessions")).len(), 0);
    assert!(place.base().join("settings.toml").exists(), "settings stay");
}

#[test]
fn what_keeps_a_component_from_writing_is_said() {
    use std::os::unix::fs::FileExt;
    use tracewell_schema::format::control::{SLOT_LEN, SLOTS};
    let place = Place::new();
    place.run(&["enable"]).ok();
    let tracer = place.tracer("scanner");
    tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { code: 1, ..Default::default() });
    // As the segment writer tells it in the attach slot: state 4, and the error number of a full disk.
    let page = std::fs::OpenOptions::new().read(true).write(true).open(place.base().join("control")).unwrap();
    let mut slot = [0; SLOT_LEN];
    let at = (0..192).map(|i| (SLOTS + i * SLOT_LEN) as u64).find(|at| {
        page.read_exact_at(&mut slot, *at).unwrap();
        slot[..4] == std::process::id().to_le_bytes()
    });
    page.write_all_at(&4_u32.to_le_bytes(), at.unwrap() + 4).unwrap();
    page.write_all_at(&28_u32.to_le_bytes(), at.unwrap() + 48).unwrap();
    let status = json(place.run(&["status", "--json"]));
    let problem = status["components"][0]["problem"].as_str().unwrap();
    let folder = status["session"]["folder"].as_str().unwrap();
    assert_eq!(
        problem,
        format!(
            "cannot write to {folder}: no space left on device; make room; what is recorded meanwhile waits in memory"
        )
    );
    assert!(place.run(&["status"]).ok().stdout.contains(problem));
}

#[test]
fn purge_takes_everything_that_lies_there_and_says_so() {
    let place = Place::new();
    place.record(10);
    place.run(&["bundle", "create", "--only", "trace"]).ok();
    let base = place.base();
    std::fs::create_dir(base.join("dumps")).unwrap();
    std::fs::set_permissions(base.join("dumps"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let half_made = base.join(".control-0011223344556677");
    for path in [
        base.join("dumps/20200102-000000-scanner-2-request-00fe.dmp"),
        base.join("bundles/request.json"),
        half_made.clone(),
    ] {
        std::fs::write(&path, "x").unwrap();
    }
    // One that is just being made stays.
    place.run(&["purge", "--yes"]).ok();
    assert!(half_made.exists());
    std::fs::write(base.join("bundles/request.json"), "x").unwrap_or_default();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&half_made).unwrap().set_modified(hour_ago).unwrap();
    place.record(10);
    place.run(&["bundle", "create", "--only", "trace"]).ok();
    let planned = place.run(&["purge"]).ok().stdout;
    for what in ["  session ", "  bundle ", "  key "] {
        assert!(planned.contains(what), "{what}: {planned}");
    }
    let purged = place.run(&["purge", "--yes"]).ok().stdout;
    assert!(purged.contains("1 bundle"), "{purged}");
    let mut left: Vec<String> =
        list(&base).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    left.retain(|name| {
        !["control", "control.lock", "settings.toml", "sessions", "audit.jsonl", "ring-roots", "clock.json"]
            .contains(&name.as_str())
    });
    assert!(left.is_empty(), "{left:?}");
    assert!(place.run(&["audit"]).ok().stdout.contains("purged by the user: 1 session, 1 bundle"));
    // Everything: first what is on goes off.
    place.run(&["enable", "--keep"]).ok();
    place.run(&["purge", "--everything"]).ok();
    assert!(base.exists());
    let gone = place.run(&["purge", "--everything", "--yes"]).ok().stdout;
    assert!(gone.contains("Nothing of Tracewell is left") && !base.exists(), "{gone}");
}

#[test]
fn a_session_is_kept_and_status_says_when_what_goes() {
    let place = Place::new();
    let enabled = place.run(&["enable", "--keep"]).ok().stdout;
    assert!(enabled.contains("you keep this session"), "{enabled}");
    place.emit(5);
    place.run(&["disable"]).ok();
    let of_session = || {
        let status = json(place.run(&["status", "--json"]));
        status["places"].as_array().unwrap().iter().find(|p| p["kind"] == "session").unwrap().clone()
    };
    assert!(of_session()["deleted_at"].is_null() && of_session()["note"] == "kept");
    place.run(&["keep", "--undo"]).ok();
    let session = of_session();
    assert!(session["note"].as_str().unwrap().contains("deleted in 6 d"), "{session}");
    assert!(session["deleted_at"].as_str().unwrap().ends_with('Z'));
    place.run(&["keep", "nonsense"]).error(&["nonsense", "tracewell status"]);
    place.run(&["keep"]).ok();
    assert_eq!(of_session()["note"], "kept");
    let read = place.run(&["read", "--stdout"]).ok();
    assert!(read.stdout.contains("error.raised"), "the mark is no obstacle: {read:?}");
    assert!(place.run(&["purge", "--expired"]).ok().stdout.contains("Nothing is older"));
    assert!(place.run(&["purge"]).ok().stdout.contains("which you kept"));
}
