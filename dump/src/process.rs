//! What `/proc` says of a process: whether it can be dumped, and why not.

use std::io;
use std::os::unix::fs::MetadataExt;

use crate::DumpError;

/// The value of a line of `/proc/PID/status`.
fn status(pid: u32, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
    Some(line.get(key.len() + 1..)?.trim().to_owned())
}

/// The fields of `/proc/PID/stat` after the name.
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after = text.iter().rposition(|b| *b == b')')?;
    let rest = String::from_utf8_lossy(text.get(after + 1..)?).into_owned();
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// When a process began, in clock ticks since boot: with its number, its identity. `None` if there is none.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// Where the arguments and the environment lie that the process was started with: above its main stack. Both may hold
/// passwords, and neither is needed.
pub(crate) fn start_texts(pid: u32) -> (u64, u64) {
    let Some(stat) = stat(pid) else { return (0, 0) };
    let of = |place: usize| stat.get(place).and_then(|field| field.parse::<u64>().ok()).filter(|at| *at != 0);
    let places = [of(45), of(46), of(47), of(48)];
    let all = || places.iter().flatten().copied();
    (all().min().unwrap_or(0), all().max().unwrap_or(0))
}

/// Refuses what cannot be dumped whoever asks. Permission shows only when it is tried.
///
/// # Errors
/// If it has no memory, is gone, or is this process.
pub fn can_dump(pid: u32, started: Option<u64>) -> Result<(), DumpError> {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    if cfg!(not(target_arch = "x86_64")) {
        return Err(DumpError::Architecture);
    }
    if pid == std::process::id() {
        return Err(DumpError::Own);
    }
    let Some(stat) = stat(pid) else { return Err(DumpError::Gone { pid }) };
    if started.is_some_and(|started| start_ticks(pid) != Some(started)) {
        return Err(DumpError::Gone { pid });
    }
    let flags: u64 = stat.get(6).and_then(|f| f.parse().ok()).unwrap_or(0);
    if flags & KERNEL_THREAD != 0 {
        return Err(DumpError::Kernel { pid });
    }
    // A main thread that ended before the others is a zombie too.
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    match stat.first().map(String::as_str) {
        Some("X" | "x") => Err(DumpError::Gone { pid }),
        Some("Z") if threads <= 1 => Err(DumpError::Zombie { pid }),
        _ => Ok(()),
    }
}

/// What an error of ptrace means for the user.
pub(crate) fn explain(pid: u32, error: &io::Error) -> DumpError {
    if error.raw_os_error() == Some(libc::ESRCH) {
        return DumpError::Gone { pid };
    }
    if let Err(e) = can_dump(pid, None) {
        return e;
    }
    let tracer = status(pid, "TracerPid").filter(|tracer| tracer != "0");
    let owner = std::fs::metadata(format!("/proc/{pid}")).map(|meta| meta.uid()).ok();
    let by_status = status(pid, "Uid").and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    let me = rustix::process::geteuid().as_raw();
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let why = if let Some(tracer) = tracer {
        format!("process {tracer} traces it already (a debugger?); end that first")
    } else if by_status.is_some_and(|uid| uid != me) && me != 0 {
        let of = by_status.unwrap_or_default();
        format!("it belongs to user {of}; run this command as that user, or as root")
    } else if owner.is_some_and(|uid| uid != me) && me != 0 {
        "it has more rights than this user (set-uid, or it forbade to be looked at); run this command as root"
            .into()
    } else {
        match scope.trim() {
            "1" => "/proc/sys/kernel/yama/ptrace_scope is 1, so only its parent may; run this command as root, or let \
                    the component install the crash handler, which allows it"
                .into(),
            "2" => "/proc/sys/kernel/yama/ptrace_scope is 2, so only root may; run this command as root".into(),
            "3" => "/proc/sys/kernel/yama/ptrace_scope is 3, so nobody may until the computer starts anew with \
                    another value"
                .into(),
            _ => format!("{error}; run this command as root, outside of a container"),
        }
    };
    DumpError::Denied { pid, why }
}

/// The name of a thread.
pub(crate) fn thread_name(pid: u32, tid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned()
}

/// The numbers of its threads, the main one first.
pub(crate) fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let mut all: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/task"))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    all.sort_unstable_by_key(|tid| (*tid != pid, *tid));
    Ok(all)
}
