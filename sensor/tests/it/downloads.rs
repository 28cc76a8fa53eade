//! Files that appear in the download folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Running, text};

#[test]
fn a_download_that_grows_under_another_name_is_one_download() {
    let running = Running::start();
    let (part, whole) = (running.downloads().join("tool.zip.part"), running.downloads().join("tool.zip"));
    // As browsers do: an empty file holds the name while the content grows beside it.
    File::create(&whole).unwrap();
    let mut file = File::create(&part).unwrap();
    let started = running.wait_for("download.started", "path", text(&part));
    file.write_all(b"PK\x03\x04 content").unwrap();
    drop(file);
    std::fs::rename(&part, &whole).unwrap();
    let finished = running.wait_for("download.finished", "path", text(&whole));
    assert_eq!(finished.fields["download_id"], started.fields["download_id"]);
    assert_eq!(finished.fields["size"], "12");
    assert_eq!(finished.fields["content_type"], "application/zip");
    assert_eq!(finished.fields["result"], "complete");
    // This process wrote it, so nobody else is named.
    assert_eq!(running.with("download.finished", "path", text(&part)), []);
}

#[test]
fn links_are_no_downloads_and_new_names_are_no_new_downloads() {
    let running = Running::start();
    let folder = running.downloads();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    std::fs::write(running.path("target"), "x").unwrap();
    std::os::unix::fs::symlink(running.path("target"), running.path("outside")).unwrap();
    std::fs::rename(running.path("outside"), folder.join("moved-link")).unwrap();
    std::fs::write(folder.join("a"), "abc").unwrap();
    running.wait_for("download.finished", "path", text(&folder.join("a")));
    std::fs::rename(folder.join("a"), folder.join("b")).unwrap();
    std::fs::write(folder.join("last"), "x").unwrap();
    running.wait_for("download.finished", "path", text(&folder.join("last")));
    for name in ["link", "moved-link", "b"] {
        for event in ["download.started", "download.finished"] {
            assert_eq!(running.with(event, "path", text(&folder.join(name))), [], "{name}");
        }
    }
    assert_eq!(running.with("error.raised", "module", "downloads"), []);
}

#[test]
fn files_that_are_moved_here_and_files_in_subfolders_are_downloads() {
    let running = Running::start();
    let below = running.downloads().join("sub");
    std::fs::create_dir(&below).unwrap();
    // At once: before the folder can be watched.
    std::fs::write(below.join("early"), "1").unwrap();
    running.wait_for("download.finished", "path", text(&below.join("early")));
    std::fs::write(below.join("late"), "2").unwrap();
    running.wait_for("download.finished", "path", text(&below.join("late")));
    std::fs::write(running.path("elsewhere"), "3").unwrap();
    std::fs::rename(running.path("elsewhere"), running.downloads().join("moved")).unwrap();
    running.wait_for("download.finished", "path", text(&running.downloads().join("moved")));
}

#[test]
fn a_user_and_a_password_in_a_url_are_not_recorded() {
    let running = Running::start();
    let path = running.path("report.pdf");
    std::fs::write(&path, "%PDF-1.7").unwrap();
    let set = |name: &str, url: &[u8]| xattr::set(&path, name, url);
    if set("user.xdg.origin.url", b"https://alex:hunter2@example.com/r.pdf?t=hunter2#hunter2").is_err() {
        eprintln!("this file system keeps no origin of a file; nothing to test");
        return;
    }
    set("user.xdg.referrer.url", b"https://alex:hunter2@example.com:8443/list").unwrap();
    std::fs::rename(&path, running.downloads().join("report.pdf")).unwrap();
    let finished = running.wait_for("download.finished", "file_name", "report.pdf");
    assert_eq!(finished.fields["url"], "https://example.com/r.pdf");
    assert_eq!(finished.fields["referrer"], "https://example.com:8443/list");
    assert_eq!(finished.fields["protocol"], "https");
    assert!(finished.fields["query"].starts_with("secret "));
    assert_eq!(finished.fields["xattrs"], "user.xdg.origin.url,user.xdg.referrer.url");
    assert!(!format!("{:?}", running.events()).contains("hunter2"));
}

#[test]
fn the_process_that_writes_is_named() {
    let running = Running::start();
    let path = running.downloads().join("slow.bin");
    let script = format!("exec 3>'{}'; echo content >&3; sleep 2", text(&path));
    let mut child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let finished = running.wait_for("download.finished", "path", text(&path));
    child.wait().unwrap();
    let start = &running.with("process.start", "pid", &child.id().to_string())[0];
    // Its child has inherited the descriptor, and may be the last that has it open; the first look names the writer.
    let pid = finished.fields["pid"].parse::<u32>().unwrap();
    assert!(pid >= child.id(), "{finished:?}");
    assert!(finished.fields.contains_key("image_path") && finished.fields.contains_key("process_key"));
    if pid == child.id() {
        assert_eq!(finished.fields["process_key"], start.fields["process_key"]);
        assert_eq!(finished.fields["parent_correlation"], start.fields["correlation"]);
    }
}

#[test]
fn none_is_missed_when_more_come_than_the_kernel_remembers() {
    let running = Running::start();
    let folder = running.downloads();
    let restless = ["left", "right"].map(|name| folder.join(name));
    for path in &restless {
        std::fs::write(path, "x").unwrap();
        running.wait_for("download.finished", "path", text(path));
    }
    // While it hashes these, nobody takes changes from the kernel's queue, which holds 16,384.
    for name in ["large", "larger"] {
        File::create(folder.join(name)).unwrap().set_len(900 << 20).unwrap();
    }
    std::thread::sleep(Duration::from_millis(60));
    for _ in 0..10_000 {
        for path in &restless {
            drop(File::options().append(true).open(path).unwrap());
        }
    }
    let names: BTreeSet<_> = (0..100).map(|n| text(&folder.join(format!("f{n}"))).to_owned()).collect();
    for name in &names {
        std::fs::write(name, "x").unwrap();
    }
    let began = Instant::now();
    loop {
        let events = running.events();
        let finished = events.iter().filter(|e| e.name == "download.finished");
        let told: BTreeSet<_> = finished.map(|e| e.fields["path"].clone()).collect();
        let missing = names.difference(&told).count();
        if missing == 0 {
            // A fast machine may have taken them all from the queue in time.
            let overflows = running.with("error.raised", "operation", "follow all changes").len();
            eprintln!("the queue overflowed {overflows} times");
            return;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{missing} of {} are missing", names.len());
        std::thread::sleep(Duration::from_millis(500));
    }
}
