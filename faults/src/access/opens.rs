//! What strace saw of opened and made files.

use std::path::{Path, PathBuf};

/// System calls that are looked at.
pub(super) const TRACED: &str = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,link,linkat,\
    clone,clone3,fork,vfork,socket,socketpair,memfd_create";

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    /// What it names, absolute; empty if nothing.
    pub(super) path: PathBuf,
    /// Its arguments, as strace writes them.
    args: String,
    line: String,
}

/// Takes one line of `strace -f -y -o FILE` apart. `None` if it is no call, or one that failed.
pub(super) fn parse(line: &str) -> Option<Call> {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    let (name, rest) = rest.split_once('(')?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let (args, result) = rest.rsplit_once(") = ")?;
    if result.starts_with('-') {
        return None;
    }
    let path = quoted(args).map(|(before, named)| {
        // `5</some/folder>, ` or `AT_FDCWD</here>, `.
        let folder =
            before.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("/", |(dir, _)| dir);
        Path::new(folder).join(named)
    });
    Some(Call { name: name.into(), path: path.unwrap_or_default(), args: args.into(), line: line.into() })
}

/// The first text in quotes, with what is before it.
fn quoted(args: &str) -> Option<(&str, &str)> {
    let (before, rest) = args.split_once('"')?;
    Some((before, rest.split_once('"')?.0))
}

impl Call {
    fn has(&self, flag: &str) -> bool {
        self.args.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == flag)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.name.as_str(), "open" | "openat" | "openat2" | "creat")
    }

    /// Whether it makes something.
    pub(super) fn makes(&self) -> bool {
        !self.is_open() && !self.path.as_os_str().is_empty() || self.has("O_CREAT") || self.name == "creat"
    }

    pub(super) fn makes_thread_or_socket(&self) -> bool {
        ["clone", "clone3", "fork", "vfork", "socket", "socketpair", "memfd_create"]
            .contains(&self.name.as_str())
    }

    /// Whether a folder is only listed: whatever a link there led to, nothing in it is opened by the names it gives
    /// without being checked by itself.
    pub(super) fn is_listing(&self) -> bool {
        self.is_open() && self.has("O_DIRECTORY") && self.has("O_RDONLY") && !self.has("O_CREAT")
    }

    fn writes(&self) -> bool {
        self.has("O_WRONLY") || self.has("O_RDWR") || self.has("O_CREAT") || self.has("O_TRUNC")
    }

    /// What is wrong with it. `is_ours`: it lies where Tracewell keeps something.
    pub(super) fn fault(&self, is_ours: bool) -> Option<String> {
        let what = self.what(is_ours)?;
        Some(format!("{what}: {}", self.line))
    }

    fn what(&self, is_ours: bool) -> Option<&'static str> {
        if self.is_open() {
            if !self.has("O_CLOEXEC") {
                return Some("without O_CLOEXEC");
            }
            if self.has("O_TRUNC") {
                return Some("cuts what is there");
            }
            if self.has("O_CREAT") && !self.has("O_EXCL") {
                return Some("makes a file without O_EXCL");
            }
            if self.has("O_CREAT") && !self.args.ends_with(", 0600") {
                return Some("makes a file with another mode than 0600");
            }
            // O_EXCL never follows the last name.
            let is_safe = self.has("O_NOFOLLOW")
                || self.has("RESOLVE_NO_SYMLINKS")
                || self.has("O_EXCL")
                || self.is_listing();
            if is_ours && !is_safe {
                return Some("follows a link");
            }
            // Nothing else of the system is written to.
            let is_device = self.path.starts_with("/dev") && !self.path.starts_with("/dev/shm");
            let is_own_process = self.path.starts_with("/proc");
            return (!is_ours && self.writes() && !is_device && !is_own_process)
                .then_some("writes outside of what it was given");
        }
        if self.name.starts_with("mkdir") {
            return (is_ours && !self.args.ends_with(", 0700"))
                .then_some("makes a folder with another mode than 0700");
        }
        (self.name.starts_with("mknod") || self.name.starts_with("symlink"))
            .then_some("makes what nobody asked for")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> Option<&'static str> {
        let call = parse(line).unwrap();
        call.what(call.path.starts_with("/base"))
    }

    #[test]
    fn each_flag_that_is_missing_is_noticed() {
        let good = r#"12 openat(5</base>, "control", O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600) = 6</base/control>"#;
        assert_eq!(parse(good).unwrap().path, Path::new("/base/control"));
        assert_eq!(fault(good), None);
        for (part, with, what) in [
            ("|O_EXCL", "", "makes a file without O_EXCL"),
            ("|O_CLOEXEC", "", "without O_CLOEXEC"),
            ("0600", "0644", "makes a file with another mode than 0600"),
            ("O_RDWR", "O_RDWR|O_TRUNC", "cuts what is there"),
            ("O_CREAT|O_EXCL|O_NOFOLLOW|", "", "follows a link"),
            ("O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|", "O_RDONLY|", "follows a link"),
            ("/base", "/etc", "writes outside of what it was given"),
        ] {
            assert_eq!(fault(&good.replace(part, with)), Some(what), "{part}");
        }
        assert_eq!(
            fault(r#"mkdir("/base/x", 0777) = 0"#),
            Some("makes a folder with another mode than 0700")
        );
        assert_eq!(fault(r#"mkdirat(AT_FDCWD</>, "/base/x", 0700) = 0"#), None);
        assert_eq!(
            fault(r#"openat(AT_FDCWD</>, "/base/x", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = 4</base/x>"#),
            None
        );
        assert!(parse(r#"1 openat(AT_FDCWD</>, "/base/x", O_RDONLY) = -1 ENOENT (No such file)"#).is_none());
        assert!(parse("1 +++ exited with 0 +++").is_none());
        assert!(parse("1 clone3({flags=CLONE_VM}, 88) = 13").unwrap().makes_thread_or_socket());
    }
}
