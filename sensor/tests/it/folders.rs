//! What happens to the download folder itself.

use crate::support::{Running, text};

#[test]
fn a_folder_that_is_moved_and_made_anew_is_watched_again() {
    let running = Running::start();
    let (folder, old) = (running.downloads(), running.path("old"));
    std::fs::rename(&folder, &old).unwrap();
    let error = running.wait_for("error.raised", "object", text(&folder));
    assert_eq!(error.fields["module"], "downloads");
    assert_eq!(error.fields["code"], libc::ENOENT.to_string());
    std::fs::write(old.join("elsewhere"), "x").unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("again"), "x").unwrap();
    running.wait_for("download.finished", "path", text(&folder.join("again")));
    assert_eq!(
        running.with("download.finished", "file_name", "elsewhere"),
        [],
        "it is no download folder now"
    );
}

#[test]
fn a_folder_that_is_removed_and_made_anew_is_watched_again() {
    let running = Running::start();
    let folder = running.downloads();
    std::fs::remove_dir_all(&folder).unwrap();
    running.wait_for("error.raised", "object", text(&folder));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("again"), "x").unwrap();
    running.wait_for("download.finished", "path", text(&folder.join("again")));
}

#[test]
fn a_subfolder_may_go_and_come() {
    let running = Running::start();
    let below = running.downloads().join("sub");
    for round in ["first", "second"] {
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join(round), "x").unwrap();
        running.wait_for("download.finished", "path", text(&below.join(round)));
        std::fs::remove_dir_all(&below).unwrap();
    }
    assert_eq!(running.with("error.raised", "operation", "watch a folder"), []);
}

#[test]
fn a_path_with_a_link_in_it_is_the_path_that_the_kernel_knows() {
    let running = Running::start_with(
        |downloads| {
            let link = downloads.with_file_name("link");
            std::os::unix::fs::symlink(downloads, &link).unwrap();
            vec![link.join("../link")]
        },
        None,
    );
    let path = running.downloads().join("file");
    std::fs::write(&path, "x").unwrap();
    let finished = running.wait_for("download.finished", "file_name", "file");
    assert_eq!(finished.fields["path"], std::fs::canonicalize(&path).unwrap().to_str().unwrap());
}

#[test]
fn subfolders_beyond_the_bound_are_said_not_to_be_watched() {
    let running = Running::start();
    for n in 0..70 {
        std::fs::create_dir(running.downloads().join(format!("d{n}"))).unwrap();
    }
    let error = running.wait_for("error.raised", "operation", "watch a subfolder");
    assert_eq!(error.fields["code"], libc::ENOSPC.to_string());
}
