//! Applications that ran.

use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, FieldFlags, ProcessKey, Timestamp};

/// How a process came to run its program.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum LaunchKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A copy of its parent, with the same program.
    Fork = 1,
    /// A new program in an existing process.
    Exec = 2,
    /// A new process with a new program.
    Spawn = 3,
    /// It ran already when recording began.
    Existing = 4,
}

/// Integrity level of a process on Windows.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Integrity {
    /// Not known, or the system has none.
    #[default]
    Unknown = 0,
    /// Untrusted.
    Untrusted = 1,
    /// Low: a sandbox.
    Low = 2,
    /// Medium: an ordinary user.
    Medium = 3,
    /// High: an administrator.
    High = 4,
    /// System.
    System = 5,
    /// Protected process.
    Protected = 6,
}

/// How a process ended.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ProcessEnding {
    /// Not known: it was noticed only that it is gone.
    #[default]
    Unknown = 0,
    /// It ended itself, with an exit code of 0.
    Success = 1,
    /// It ended itself, with another exit code.
    #[value("exit code")]
    ExitCode = 2,
    /// A signal ended it.
    Signal = 3,
    /// A signal ended it, and its memory was dumped.
    #[value("signal, core dumped")]
    CoreDump = 4,
}

/// Permission bits of a file, as of `chmod`.
#[derive(FieldFlags, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[flags(
    SETUID = 0o4000,
    SETGID = 0o2000,
    STICKY = 0o1000,
    OWNER_READ = 0o400,
    OWNER_WRITE = 0o200,
    OWNER_EXECUTE = 0o100,
    GROUP_READ = 0o40,
    GROUP_WRITE = 0o20,
    GROUP_EXECUTE = 0o10,
    OTHER_READ = 0o4,
    OTHER_WRITE = 0o2,
    OTHER_EXECUTE = 0o1
)]
pub struct FileMode(pub u32);

/// Attributes of a file.
///
/// `executable`, `setuid`, `setgid`, `sticky`, `world_writable` stand in its mode; `read_only` means that nobody may
/// write; `immutable` and `append_only` are those of `chattr`; `xattrs` and `capabilities` tell that it has extended
/// attributes and file capabilities; `deleted` that it has no name any more; `system`, `encrypted` and `compressed`
/// are those of the file system.
#[derive(FieldFlags, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[flags(
    EXECUTABLE = 1,
    SETUID = 2,
    SETGID = 4,
    STICKY = 8,
    IMMUTABLE = 16,
    APPEND_ONLY = 32,
    HIDDEN = 64,
    READ_ONLY = 128,
    XATTRS = 256,
    CAPABILITIES = 512,
    DELETED = 1024,
    WORLD_WRITABLE = 2048,
    SYSTEM = 4096,
    ENCRYPTED = 8192,
    COMPRESSED = 16384
)]
pub struct FileAttributes(pub u32);

/// Namespaces of a process that are not those of the system's first process, as a container has.
#[derive(FieldFlags, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[flags(CGROUP = 1, IPC = 2, MNT = 4, NET = 8, PID = 16, TIME = 32, USER = 64, UTS = 128)]
pub struct Namespaces(pub u32);

/// A program was launched.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "process.start",
    category = "process",
    level = "info",
    text = "{image_path} was launched by {parent_path} as process {pid}"
)]
pub struct ProcessStart<'a> {
    /// Stable key of the process: the same in all events about it, whatever becomes of its process id. Absent if it had
    /// ended before its start time could be read.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Stable key of the parent; absent if it is not known.
    #[field(public)]
    pub parent_key: Option<ProcessKey>,
    /// Process id of the parent.
    #[field(public)]
    pub parent_pid: Option<u32>,
    /// Stable keys of the ancestors, the parent first; may be empty or cut.
    #[field(public)]
    pub ancestor_keys: &'a [ProcessKey],
    /// Path of the process's program; only its name where the path cannot be read.
    #[field(personal)]
    pub image_path: &'a str,
    /// Path of the parent's program; only its name where the path cannot be read.
    #[field(personal)]
    pub parent_path: Option<&'a str>,
    /// Command line, its arguments separated by blanks.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Working directory.
    #[field(personal)]
    pub working_directory: Option<&'a str>,
    /// Names of the environment variables, never their values.
    #[field(public)]
    pub environment_names: &'a [&'a str],
    /// Real user id.
    #[field(personal)]
    pub uid: Option<u32>,
    /// Name of the user.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Id of the session; absent if there is none.
    #[field(public)]
    pub session: Option<u32>,
    /// Login user id, which stays the same across su and sudo.
    #[field(personal)]
    pub login_uid: Option<u32>,
    /// Effective capabilities, the kernel's bit mask; 0 is none.
    #[field(public)]
    pub capabilities: Option<u64>,
    /// Integrity level.
    #[field(public)]
    pub integrity: Option<Integrity>,
    /// Namespaces of its own.
    #[field(public)]
    pub namespaces: Option<Namespaces>,
    /// Path of its control group.
    #[field(personal)]
    pub cgroup: Option<&'a str>,
    /// Id of its container.
    #[field(public)]
    pub container: Option<&'a str>,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    #[field(public)]
    pub seccomp: Option<u8>,
    /// Whether it can never gain rights by launching a program.
    #[field(public)]
    pub no_new_privileges: Option<bool>,
    /// Process id of the debugger that traces it.
    #[field(public)]
    pub traced_by: Option<u32>,
    /// When it was launched; of a copy of its parent, when it was made.
    #[field(public)]
    pub started: Timestamp,
    /// How it was launched.
    #[field(public)]
    pub launch: LaunchKind,
    /// Whether another process put code into it as it was launched.
    #[field(public)]
    pub injected: Option<bool>,
    /// Size of the program's file.
    #[field(public, unit = "bytes")]
    pub size: Option<u64>,
    /// When the program's file was created.
    #[field(public)]
    pub created: Option<Timestamp>,
    /// When the program's file was modified.
    #[field(public)]
    pub modified: Option<Timestamp>,
    /// Attributes of the program's file.
    #[field(public)]
    pub attributes: Option<FileAttributes>,
    /// SHA-256 of the program's file: joins it to its `module.image`.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// Story it belongs to: the same in the download, connections, detections and decisions that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of, for example of the parent.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A process ended.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "process.exit",
    category = "process",
    level = "info",
    text = "process {pid} ({image_path}) ended after {lifetime}: {ending}"
)]
pub struct ProcessExit<'a> {
    /// Stable key of the process, as in its `process.start`.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Path of its program; only its name where the path cannot be read.
    #[field(personal)]
    pub image_path: &'a str,
    /// How it ended.
    #[field(public)]
    pub ending: ProcessEnding,
    /// Exit code; absent if a signal ended it or the code is not known.
    #[field(public)]
    pub exit_code: Option<i32>,
    /// Number of the signal that ended it.
    #[field(public)]
    pub signal: Option<u8>,
    /// When it ended.
    #[field(public)]
    pub ended: Timestamp,
    /// How long it ran, from its creation.
    #[field(public)]
    pub lifetime: Option<Duration>,
    /// Story it belongs to: the same as of its launch.
    #[field(public)]
    pub correlation: CorrelationId,
}
