//! Events that belong together say so.

use std::process::Command;

use crate::support::{Running, text};

#[test]
fn each_detection_has_its_own_id_and_the_story_of_its_download() {
    let running = Running::start();
    let names = ["one.com", "two.com"];
    for name in names {
        std::fs::write(running.downloads().join(name), tracewell_sensor::eicar()).unwrap();
    }
    let found = names.map(|name| {
        let detection = running.wait_for("detection.object", "object_name", name);
        let download = running.wait_for("download.finished", "file_name", name);
        let decision =
            running.wait_for("detection.decision", "detection_id", &detection.fields["detection_id"]);
        assert_eq!(detection.fields["correlation"], download.fields["correlation"]);
        assert_eq!(decision.fields["correlation"], download.fields["correlation"]);
        assert!(!decision.fields.contains_key("result") && !decision.fields.contains_key("remember"));
        assert!(!detection.fields.contains_key("process_key"), "this process is not named, so none is");
        detection
    });
    assert_ne!(found[0].fields["detection_id"], found[1].fields["detection_id"]);
    assert_eq!(found[0].fields["sha256"], found[1].fields["sha256"]);
}

#[test]
fn a_downloaded_program_or_script_goes_on_with_the_story_of_its_download() {
    use std::os::unix::fs::PermissionsExt;
    let running = Running::start();
    let downloads = running.downloads();
    let sleep = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|d| d.join("sleep"))
        .find(|p| p.is_file())
        .unwrap();
    let program = downloads.join("tool.bin");
    std::fs::copy(sleep, &program).unwrap();
    let script = downloads.join("setup.sh");
    std::fs::write(&script, "#!/bin/sh\nsleep 0.7\n").unwrap();
    for path in [&program, &script] {
        let download = running.wait_for("download.finished", "path", text(path));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        // Under another name it is the same file.
        let renamed = path.with_extension("run");
        std::fs::rename(path, &renamed).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        let mut child = Command::new(&renamed).arg("0.7").current_dir("/").spawn().unwrap();
        let start = running.wait_for("process.start", "pid", &child.id().to_string());
        child.wait().unwrap();
        assert_eq!(start.fields["parent_correlation"], download.fields["correlation"], "{start:?}");
        assert_ne!(start.fields["correlation"], download.fields["correlation"]);
    }
}
