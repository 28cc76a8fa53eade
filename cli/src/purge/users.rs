//! `purge --all-users`: the same for every user of this computer, by root.
//!
//! Root does not reach into directories that others may write: for each user a process of their own does it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::output::{Failure, Out, safe};
use crate::{OK, args};

/// A user of this computer, and where their trace is unless they chose another place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
}

impl User {
    fn base(&self) -> PathBuf {
        self.home.join(".local/state/tracewell")
    }
}

/// The users of a user database, each number once. Root's is the place of the computer, not of a home.
pub(super) fn users(passwd: &str) -> Vec<User> {
    let mut all: Vec<User> = Vec::new();
    for line in passwd.lines() {
        let parts: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = parts[..] else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        let home = PathBuf::from(home);
        if uid != 0 && home.is_absolute() && home != Path::new("/") && all.iter().all(|user| user.uid != uid)
        {
            all.push(User { name: name.to_owned(), uid, gid, home });
        }
    }
    all
}

/// A command as a user: their number and group and no other, their environment and none of ours.
pub(super) fn as_user(mut command: Command, user: &User) -> Command {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &user.home)
        .env("XDG_RUNTIME_DIR", format!("/run/user/{}", user.uid))
        .current_dir("/")
        .uid(user.uid)
        .gid(user.gid);
    command
}

/// For root first, then for each user that has a trace directory.
pub(super) fn all(dir: Option<&Path>, args: &args::Purge, out: &mut Out) -> Result<u8, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            "only root can delete what belongs to other users; leave out --all-users, or use sudo",
        ));
    }
    if dir.is_some() {
        return Err(Failure::new("--all-users is for the usual places of all users; leave out --dir"));
    }
    let exe =
        std::env::current_exe().map_err(|e| Failure::new(format!("this program cannot be found: {e}")))?;
    let mut problems = Vec::new();
    let own = args::Purge { all_users: false, ..args.clone() };
    match super::purge(None, &own, out) {
        Ok(_) => {}
        Err(Failure::Message(lines)) => problems.extend(lines),
        Err(pipe) => return Err(pipe),
    }
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|e| Failure::new(format!("/etc/passwd cannot be read: {e}")))?;
    for user in users(&passwd) {
        // Only looked at: whether there is something is the user's process to find out.
        if std::fs::symlink_metadata(user.base()).is_err() {
            continue;
        }
        out.line(format_args!("User {}:", safe(&user.name)))?;
        out.flush()?;
        let mut command = as_user(Command::new(&exe), &user);
        command.arg("--dir").arg(user.base()).arg("purge");
        for (given, name) in
            [(args.yes, "--yes"), (args.expired, "--expired"), (args.everything, "--everything")]
        {
            if given {
                command.arg(name);
            }
        }
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => problems.push(format!("user {}: not all of it was deleted ({status})", user.name)),
            Err(e) => {
                problems.push(format!("user {}: no process can be started as this user: {e}", user.name))
            }
        }
    }
    if problems.is_empty() { Ok(OK) } else { Err(Failure::Message(problems)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn users_are_those_with_a_home_of_their_own() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\neva:x:1000:1001:Eva:/home/eva:/bin/sh\nnobody:x:65534:65534::/:/x\n\
                      twin:x:1000:1001::/home/twin:\nbad:x:y:1:::\nrel:x:5:5::home:/x\nshort:x\n";
        let found = users(passwd);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].gid, found[0].base()),
            ("eva", 1001, "/home/eva/.local/state/tracewell".into())
        );
    }

    const CHILD: &str = "TRACEWELL_TEST_PURGE";

    /// A second user's trace, key and rings go by a process of that user, and only theirs.
    #[test]
    fn what_another_user_left_goes() {
        if std::env::var_os(CHILD).is_some() {
            // As the other user.
            let args = args::Purge { yes: true, everything: true, ..args::Purge::default() };
            let base = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".local/state/tracewell");
            let done = super::super::purge(Some(&base), &args, &mut Out::new());
            assert!(matches!(done, Ok(OK)), "{done:?}");
            return;
        }
        if !rustix::process::geteuid().is_root() {
            // Only root can be asked for it; CI runs as root.
            let args = args::Purge { all_users: true, ..args::Purge::default() };
            assert!(super::super::purge(None, &args, &mut Out::new()).is_err());
            return;
        }
        let top = tempfile::tempdir().unwrap();
        std::fs::set_permissions(top.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let user = User { name: "other".into(), uid: 4242, gid: 4242, home: top.path().join("home") };
        let base = user.base();
        let session = base.join("sessions/2026-11-23_17.44.36_0a1b2c3d");
        for folder in [&session, &base.join("keys"), &base.join("dumps")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let magic = tracewell_schema::format::segment::MAGIC;
        for (name, bytes) in [
            ("sessions/2026-11-23_17.44.36_0a1b2c3d/a_pid1_00000000_000001.twseg", &magic[..]),
            ("keys/own.txt", b"x"),
            ("dumps/20200102-000000-scanner-2-request-00fe.dmp", b"x"),
            ("settings.toml", b""),
            ("audit.jsonl", b""),
            (".control-0011223344556677", b""),
        ] {
            std::fs::write(base.join(name), bytes).unwrap();
        }
        let mut paths = vec![user.home.clone()];
        while let Some(path) = paths.pop() {
            let is_dir = path.is_dir();
            chown(&path, Some(4242), Some(4242)).unwrap();
            std::fs::set_permissions(
                &path,
                std::fs::Permissions::from_mode(if is_dir { 0o700 } else { 0o600 }),
            )
            .unwrap();
            if is_dir {
                paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        // The test itself as the program, where that user may run it.
        let exe = top.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
        std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o755)).unwrap();
        let test = "purge::users::tests::what_another_user_left_goes";
        let output =
            as_user(Command::new(&exe), &user).args(["--exact", test]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!base.exists() && base.parent().unwrap().exists(), "all of it, and no more");
    }
}
