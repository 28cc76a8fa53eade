//! What a process runs, read so that one program's path never stands beside another's hash or command line.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use procfs::process::Process;

use crate::stories::FileId;

/// How often a process is read again that changed its program while it was read.
const TRIES: usize = 4;
/// Longest command line that is kept, bytes.
const MAX_COMMAND_LINE: usize = 16 * 1024;

/// The file that a process runs.
#[derive(Debug)]
pub(crate) struct Program {
    /// Open on that very file, if it may be read: whatever is told of the file is read from here.
    pub(crate) file: Option<File>,
    pub(crate) path: PathBuf,
    pub(crate) id: Option<FileId>,
}

/// A process as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) pid: u32,
    pub(crate) start_ticks: Option<u64>,
    pub(crate) parent: Option<u32>,
    /// Name that the kernel has for it.
    pub(crate) name: String,
    pub(crate) is_kernel: bool,
    pub(crate) program: Option<Program>,
    pub(crate) arguments: Vec<String>,
    /// None if it is not known to belong to `program`.
    pub(crate) command_line: Option<String>,
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) environment: Vec<String>,
    pub(crate) uid: Option<u32>,
    pub(crate) login_uid: Option<u32>,
    pub(crate) session: Option<u32>,
    pub(crate) capabilities: Option<u64>,
    pub(crate) cgroup: Option<String>,
    pub(crate) seccomp: Option<u8>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) traced_by: Option<u32>,
}

fn id_of(meta: &std::fs::Metadata) -> FileId {
    (meta.dev(), meta.ino())
}

/// The program of a process; none of kernel threads, of what has ended, and of what this user may not look at.
fn program_of(pid: u32) -> Option<Program> {
    let link = format!("/proc/{pid}/exe");
    match File::open(&link) {
        Ok(file) => {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
            let id = file.metadata().ok().as_ref().map(id_of);
            Some(Program { file: Some(file), path, id })
        }
        // A program that may be run but not read.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            let path = std::fs::read_link(&link).ok()?;
            Some(Program { file: None, path, id: std::fs::metadata(&link).ok().as_ref().map(id_of) })
        }
        Err(_) => None,
    }
}

/// Whether the process still runs this program.
fn still_runs(pid: u32, program: &Program) -> bool {
    let link = format!("/proc/{pid}/exe");
    match program.id {
        Some(id) => std::fs::metadata(&link).is_ok_and(|meta| id_of(&meta) == id),
        None => std::fs::read_link(&link).is_ok_and(|path| path == program.path),
    }
}

fn arguments_of(pid: u32) -> Vec<String> {
    // By one read: each looks at what the process runs at that moment, and two could be of two programs.
    let mut bytes = vec![0; MAX_COMMAND_LINE];
    let read = File::open(format!("/proc/{pid}/cmdline")).and_then(|mut file| file.read(&mut bytes));
    let bytes = bytes.get(..read.unwrap_or_default()).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

impl Snapshot {
    /// Reads a process. What ends or may not be seen leaves gaps; what changes is read again.
    pub(crate) fn take(pid: u32) -> Self {
        let mut program = program_of(pid);
        let mut arguments = arguments_of(pid);
        // Only now is it sure that the command line is that program's: an exec in between has changed the link, and two that
        // lead back to it have changed the command line.
        let is_still = |program: &Program, arguments: &Vec<String>| {
            still_runs(pid, program) && arguments_of(pid) == *arguments
        };
        let mut is_one = program.as_ref().is_none_or(|p| is_still(p, &arguments));
        for _ in 1..TRIES {
            if is_one {
                break;
            }
            // What has ended cannot be read again: what was read was the program.
            let Some(again) = program_of(pid) else { break };
            arguments = arguments_of(pid);
            is_one = is_still(&again, &arguments);
            program = Some(again);
        }
        let mut snapshot = Self { pid, program, ..Self::default() };
        if is_one && !arguments.is_empty() {
            let mut text = arguments.join(" ");
            text.truncate(text.floor_char_boundary(MAX_COMMAND_LINE));
            snapshot.command_line = Some(text);
            snapshot.arguments = arguments;
        }
        snapshot.add_facts();
        snapshot
    }

    /// Only its name, start and parent.
    pub(crate) fn brief(pid: u32) -> Self {
        let mut snapshot = Self { pid, ..Self::default() };
        if let Some(process) = snapshot.process() {
            snapshot.add_stat(&process);
        }
        snapshot
    }

    fn process(&self) -> Option<Process> {
        i32::try_from(self.pid).ok().and_then(|pid| Process::new(pid).ok())
    }

    fn add_stat(&mut self, process: &Process) {
        let Ok(stat) = process.stat() else { return };
        self.start_ticks = Some(stat.starttime);
        self.parent = u32::try_from(stat.ppid).ok();
        self.session = u32::try_from(stat.session).ok();
        self.is_kernel = stat.ppid == 2 || self.pid == 2;
        self.name = stat.comm;
    }

    fn add_facts(&mut self) {
        let Some(process) = self.process() else { return };
        self.add_stat(&process);
        self.working_directory = process.cwd().ok();
        self.environment = process
            .environ()
            .map(|e| e.keys().map(|k| k.to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        self.environment.sort_unstable();
        if let Ok(status) = process.status() {
            self.uid = Some(status.ruid);
            self.capabilities = Some(status.capeff);
            self.seccomp = status.seccomp.and_then(|s| u8::try_from(s).ok());
            self.no_new_privileges = status.nonewprivs.map(|n| n != 0);
            self.traced_by = u32::try_from(status.tracerpid).ok().filter(|t| *t != 0);
        }
        // All ones: nobody logged in.
        let login = std::fs::read_to_string(format!("/proc/{}/loginuid", self.pid)).ok();
        self.login_uid = login.and_then(|l| l.trim().parse().ok()).filter(|uid| *uid != u32::MAX);
        let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok();
        self.cgroup = cgroup.as_deref().and_then(|c| c.lines().last()?.rsplit(':').next().map(str::to_owned));
    }

    /// Path of the program, else its name.
    pub(crate) fn path(&self) -> String {
        match &self.program {
            Some(program) => {
                let path = program.path.to_string_lossy();
                path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned()
            }
            None => self.name.clone(),
        }
    }
}

/// The path of the program that a process runs now, without looking into its file.
pub(crate) fn path_only(pid: u32) -> Option<Program> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(Program { file: None, path, id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_as_one() {
        let own = Snapshot::take(std::process::id());
        let program = own.program.as_ref().unwrap();
        assert_eq!(program.path, std::env::current_exe().unwrap());
        assert!(program.file.is_some());
        let arguments: Vec<String> = std::env::args().collect();
        assert_eq!(own.arguments, arguments);
        assert_eq!(own.start_ticks, Some(tracewell::boot::own_start_ticks()));
        assert_eq!(own.uid, Some(rustix::process::getuid().as_raw()));
    }

    #[test]
    fn a_process_whose_program_cannot_be_seen_has_its_name() {
        // Of a zombie, as of another user's process, the kernel tells the name alone.
        let mut child = std::process::Command::new("sleep").arg("0").spawn().unwrap();
        let zombie = loop {
            let snapshot = Snapshot::take(child.id());
            if snapshot.program.is_none() {
                break snapshot;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert_eq!((zombie.path().as_str(), zombie.command_line.as_deref()), ("sleep", None));
        assert_eq!(zombie.parent, Some(std::process::id()));
        assert!(zombie.start_ticks.is_some());
        child.wait().unwrap();
        let gone = Snapshot::take(child.id());
        assert!(gone.path().is_empty() && gone.start_ticks.is_none());
    }
}
