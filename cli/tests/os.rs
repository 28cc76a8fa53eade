//! `collect os`, alone and as a part of a bundle.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use serde_json::Value;
use support::{Place, Ran};

fn documents(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_known_of_this_computer_is_shown_and_written() {
    let place = Place::new();
    let text = place.run(&["collect", "os"]).ok().stdout;
    for part in [
        "Operating system\n====",
        "Hardware\n====",
        "## memory",
        "ram_bytes",
        "Open ports and connections\n====",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let all = documents(&place.run(&["collect", "os", "--json"]).ok());
    let groups: Vec<&str> = all.iter().map(|d| d["group"].as_str().unwrap()).collect();
    assert!(groups.len() == 17 && groups.contains(&"sockets"), "{groups:?}");
    let some = documents(&place.run(&["collect", "os", "--json", "--only", "hosts,kernel"]).ok());
    assert_eq!(some.iter().map(|d| d["group"].as_str().unwrap()).collect::<Vec<_>>(), ["kernel", "hosts"]);
    place
        .run(&["collect", "os", "--only", "nonsense"])
        .error_of_arguments(&["nonsense", "hardware", "sockets"]);
    let file = place.path("os.jsonl");
    let arguments = ["collect", "os", "--json", "--only", "hosts", "--output", file.to_str().unwrap()];
    assert_eq!(place.run(&arguments).ok().stdout, "");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written["group"], "hosts");
    place.run(&arguments).error(&["os.jsonl", "nothing is overwritten"]);
    // It is no look at rings, and says nothing of them.
    place.run(&["collect", "--once", "os"]).error_of_arguments(&["os"]);
    assert!(place.run(&["collect", "--once"]).ok().stdout.contains("Nothing was ever recorded"));
}

#[test]
fn settings_of_the_product_are_found_by_its_name() {
    let place = Place::new();
    let product = place.path("product.toml");
    std::fs::write(&product, "name = \"Example Security\"\n").unwrap();
    std::fs::set_permissions(&product, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = place.path("home/.config/example-security");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::write(settings.join("main.toml"), "level = 'high'\ntoken = 'geheim'\n").unwrap();
    let output = place
        .command()
        .env("HOME", place.path("home"))
        .args(["collect", "os", "--only", "settings_store", "--product", product.to_str().unwrap()])
        .output()
        .unwrap();
    let text = Ran::from(output).ok().stdout;
    assert!(
        text.contains("main.toml") && text.contains("level = 'high'") && !text.contains("geheim"),
        "{text}"
    );
}

#[test]
fn without_root_it_collects_what_the_user_may_see_and_says_what_it_could_not() {
    let place = Place::new();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(""), everybody.clone()).unwrap();
    let program = place.path("tracewell");
    std::fs::copy(env!("CARGO_BIN_EXE_tracewell"), &program).unwrap();
    std::fs::set_permissions(&program, everybody).unwrap();
    let closed = place.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(["collect", "os", "--json"]).env_clear().env("HOME", &closed).current_dir("/");
    // Whoever runs the tests as root becomes somebody else for this.
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let all = documents(&Ran::from(command.output().unwrap()).ok());
    assert_eq!(all.len(), 17);
    assert_ne!(all[0]["ran_as"]["uid"], 0);
    let errors: Vec<String> = all
        .iter()
        .flat_map(|d| d["errors"].as_array().unwrap().iter().map(|e| format!("{}: {}", e["what"], e["why"])))
        .collect();
    assert!(!errors.iter().any(|e| e.contains("unexpectedly")), "{errors:#?}");
    let of = |name: &str| all.iter().find(|d| d["group"] == name).unwrap();
    assert!(of("system")["data"]["kernel"]["release"].is_string());
    assert!(of("hardware")["data"]["memory"]["ram_bytes"].as_u64().unwrap() > 0);
    // The processes of root are there, and their sockets are not to be seen.
    let refused = |part: &str| errors.iter().any(|e| e.contains(part) && e.contains("permission denied"));
    assert!(refused("/proc/*/fd") && refused("as root"), "{errors:#?}");
    assert!(refused("/proc/*/ns"), "{errors:#?}");
    if rustix::process::geteuid().is_root() {
        assert!(refused("/closed"), "{errors:#?}");
    }
}

#[test]
fn a_bundle_has_it_redacted_and_shows_it_as_text() {
    let place = Place::new();
    place.run(&["bundle", "create", "--only", "os"]).ok();
    let shown = place.run(&["bundle", "show", "--json"]).ok();
    let manifest: Value = serde_json::from_str(&shown.stdout).unwrap();
    let members = manifest["members"].as_array().unwrap();
    let os: Vec<&Value> = members.iter().filter(|m| m["kind"] == "os-information").collect();
    assert_eq!(os.len(), 17, "{members:#?}");
    assert!(os.iter().all(|m| !m["personal"].as_object().unwrap().is_empty()));
    let skipped = manifest["skipped"].to_string();
    assert!(!skipped.contains("operating-system"), "{skipped}");
    let text = place.run(&["bundle", "show", "--member", "os/hardware.json"]).ok().stdout;
    assert!(text.starts_with("Hardware\n====") && text.contains("## cpu"), "{text}");
    let raw = place.run(&["bundle", "show", "--member", "os/system.json", "--raw"]).ok().stdout;
    let document: Value = serde_json::from_str(&raw).unwrap();
    let plain = documents(&place.run(&["collect", "os", "--json", "--only", "system,hardware"]).ok());
    let (system, hardware) = (&plain[0], &plain[1]);
    let id = &system["data"]["computer"]["boot_id"];
    assert!(id.is_string() && &document["data"]["computer"]["boot_id"] != id);
    assert_eq!(document["data"]["kernel"]["release"], system["data"]["kernel"]["release"]);
    let name = &system["data"]["computer"]["host_name"];
    assert_ne!(&document["data"]["computer"]["host_name"], name);
    let raw = place.run(&["bundle", "show", "--member", "os/hardware.json", "--raw"]).ok().stdout;
    for card in hardware["data"]["network_cards"].as_array().unwrap() {
        let mac = card["mac"].as_str().unwrap_or("00:00:00:00:00:00");
        assert!(mac == "00:00:00:00:00:00" || !raw.contains(mac), "{mac}");
    }
}
