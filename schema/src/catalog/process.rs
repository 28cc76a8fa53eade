//! Launched programs.

use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, FieldFlags, ProcessKey, Timestamp};

/// How a process came to run a program.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum LaunchKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A copy of its parent.
    Fork = 1,
    /// A new program in an existing process.
    Exec = 2,
    /// A new process with a new program.
    Spawn = 3,
    /// It ran already when recording began.
    Existing = 4,
}

/// Attributes of a file.
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
    WORLD_WRITABLE = 2048
)]
pub struct FileAttributes(pub u32);

/// A program was launched.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "process.start",
    category = "process",
    level = "info",
    text = "{image_path} was launched by {parent_path}"
)]
pub struct ProcessStart<'a> {
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// The parent, for good.
    #[field(public)]
    pub parent_key: ProcessKey,
    /// Process id of the parent.
    #[field(public)]
    pub parent_pid: u32,
    /// Program of the process.
    #[field(personal)]
    pub image_path: &'a str,
    /// Program of the parent.
    #[field(personal)]
    pub parent_path: &'a str,
    /// Command line, arguments separated by blanks.
    #[field(personal, max = 16384)]
    pub command_line: &'a str,
    /// Working directory.
    #[field(personal)]
    pub working_directory: Option<&'a str>,
    /// Names of the environment variables, never their values.
    #[field(public)]
    pub environment_names: &'a [&'a str],
    /// User id.
    #[field(personal)]
    pub uid: u32,
    /// User name.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Id of the login session; absent if there is none.
    #[field(public)]
    pub session: Option<u32>,
    /// Login user id, kept across su and sudo.
    #[field(personal)]
    pub login_uid: Option<u32>,
    /// Effective capabilities, as the kernel's bit mask.
    #[field(public)]
    pub capabilities: u64,
    /// Control group.
    #[field(personal)]
    pub cgroup: Option<&'a str>,
    /// Container id.
    #[field(public)]
    pub container: Option<&'a str>,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    #[field(public)]
    pub seccomp: Option<u8>,
    /// The process cannot gain rights.
    #[field(public)]
    pub no_new_privileges: Option<bool>,
    /// Process id of a debugger.
    #[field(public)]
    pub traced_by: Option<u32>,
    /// When it was launched.
    #[field(public)]
    pub started: Timestamp,
    /// How it was launched.
    #[field(public)]
    pub launch: LaunchKind,
    /// Size of the program's file.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// When the program's file was made.
    #[field(public)]
    pub created: Option<Timestamp>,
    /// When the program's file was modified.
    #[field(public)]
    pub modified: Option<Timestamp>,
    /// Attributes of the program's file.
    #[field(public)]
    pub attributes: FileAttributes,
    /// SHA-256 of the program's file.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// Joins it to the download of its file and to what follows.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A process ended.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "process.exit",
    category = "process",
    level = "info",
    text = "process {pid} ({image_path}) ended"
)]
pub struct ProcessExit<'a> {
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program of the process.
    #[field(personal)]
    pub image_path: &'a str,
    /// Exit code, if it ended by itself and that is known.
    #[field(public)]
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    #[field(public)]
    pub signal: Option<u8>,
    /// When it ended.
    #[field(public)]
    pub ended: Timestamp,
    /// How long it ran.
    #[field(public)]
    pub lifetime: Option<Duration>,
    /// Joins it to its launch.
    #[field(public)]
    pub correlation: CorrelationId,
}
