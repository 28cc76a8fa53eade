//! Other users of the computer. They are tried for real, so these tests run as root.

use std::os::unix::process::CommandExt;
use std::process::Command;

use tracewell_view::Limits;

use crate::demo::Base;
use crate::http::{request, small};

/// What a client of another user gets.
fn as_user(uid: u32, address: &str, path: &str) -> String {
    assert!(rustix::process::getuid().is_root(), "run these tests as root: they need another user");
    let (host, port) = address.split_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf 'GET {path} HTTP/1.1\\r\\nHost: {address}\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let output =
        Command::new("bash").args(["-c", &script]).uid(uid).gid(uid).current_dir("/").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn another_user_gets_nothing_even_with_the_address() {
    let base = Base::new();
    small(&base);
    let served = base.serve(Limits::default());
    let address = served.address().to_owned();
    let bundle = format!("{}api/bundle", served.path());
    assert!(as_user(0, &address, &bundle).contains("files"), "this user does");
    assert_eq!(as_user(65_534, &address, &bundle), "", "cut off before a word");
    // Who has seen the browser's arguments has nothing of them, and the browser still gets in.
    let once = served.once.clone().unwrap();
    let once = once.split_once(&address).unwrap().1;
    assert_eq!(as_user(65_534, &address, once), "");
    assert_eq!(request(&served, "GET", once, &[], "").status, 303);
}
