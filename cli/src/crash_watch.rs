//! `crash-watch`: the process that writes a component's crash dumps. Crate `tracewell-crash` starts it, with a socket as its
//! standard input; it ends when the component does. What comes over the socket is from a process that has crashed: it
//! decides nothing but what is written of one thread of that very process, whose number the kernel tells.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send, sockopt};
use tracewell_bundle::dumps::{DumpFile, DumpKind, DumpReason, Dumps};
use tracewell_crash::{DONE, MAGIC, MESSAGE, READY};
use tracewell_dump::{Crash, Registers, Request, start_ticks};

use crate::OK;
use crate::output::Failure;
use crate::place::Place;
use crate::rings::Rings;

/// Crash dumps of a component that are kept: one that crashes again and again must not fill the disk.
const KEPT: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct CrashWatch {
    /// Whose crashes.
    #[arg(long)]
    component: String,
    /// The second start: nobody's child.
    #[arg(long)]
    watching: bool,
}

/// `tracewell crash-watch`.
pub(crate) fn run(dir: Option<&Path>, args: &CrashWatch) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let done = if args.watching { watch(&place, args) } else { start_again(&place, args) };
    done.map(|()| OK)
        .map_err(|e| Failure::new(format!("crash-watch: {e}; it is started by a component, not by hand")))
}

/// Once more, as nobody's child: the component must have none that it does not know of.
fn start_again(place: &Place, args: &CrashWatch) -> io::Result<()> {
    sockopt::socket_type(std::io::stdin())?;
    Command::new(std::env::current_exe()?)
        .arg("--dir")
        .arg(place.dirs.base())
        .args(["crash-watch", "--watching"])
        .arg(format!("--component={}", args.component))
        .stdin(Stdio::inherit())
        .spawn()
        .map(drop)
}

fn watch(place: &Place, args: &CrashWatch) -> io::Result<()> {
    let socket = &std::io::stdin();
    sockopt::set_socket_passcred(socket, true)?;
    // Not of the component's terminal, and in nobody's way.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    let mut hello = READY.to_vec();
    hello.extend(std::process::id().to_le_bytes());
    send(socket, &hello, SendFlags::NOSIGNAL)?;
    let mut message = [0; MESSAGE];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut extra = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [io::IoSliceMut::new(&mut message)];
        let received = match recvmsg(socket, parts, &mut extra, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(());
        }
        let sender = extra.drain().find_map(|part| match part {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender),
            _ => None,
        });
        if let (Some(sender), MESSAGE) = (sender, received.bytes)
            && let Some(crash) = parse(&message)
        {
            let pid = sender.pid.as_raw_nonzero().get().cast_unsigned();
            // Whatever came of it: the component waits.
            let _ = write(place, args, pid, crash);
        }
        let _ = send(socket, DONE, SendFlags::NOSIGNAL);
    }
}

fn parse(message: &[u8; MESSAGE]) -> Option<Crash> {
    let number = |at: usize| message.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let long = |at: usize| message.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    if !message.starts_with(MAGIC) {
        return None;
    }
    let mut registers = Registers::default();
    for (place, register) in registers.general.iter_mut().enumerate() {
        *register = long(32 + place * 8)?;
    }
    registers.float.copy_from_slice(message.get(32 + 27 * 8..)?);
    Some(Crash {
        tid: number(12)?,
        signal: number(16)?.cast_signed(),
        code: number(20)?.cast_signed(),
        address: long(24)?,
        registers,
    })
}

fn write(place: &Place, args: &CrashWatch, pid: u32, crash: Crash) -> io::Result<()> {
    let base = place.dirs.base();
    let signal = crash.signal;
    let request = Request {
        pid,
        started: start_ticks(pid),
        component: Some(args.component.clone()),
        rings: crate::dump::find::ring_places(&Rings::find(&place.dirs)),
        crash: Some(crash),
    };
    let (bytes, _) = tracewell_dump::minidump(&request)?;
    let dumps = Dumps::new(base);
    make_room(&dumps, &args.component)?;
    let writer = dumps.create()?;
    writer.file().write_all(&bytes)?;
    let now = jiff::Timestamp::now();
    let name = writer.publish(now, &args.component, pid, DumpReason::Crash, DumpKind::Mini)?;
    let detail = format!("crash of {}, process {pid}, signal {signal}: {name}", args.component);
    tracewell_bundle::audit::append(base, "dump", &detail)
}

/// Removes the oldest ones beyond what is kept.
fn make_room(dumps: &Dumps, component: &str) -> io::Result<()> {
    let own = tracewell_bundle::dumps::safe_component(component);
    // What the user keeps neither goes nor counts.
    let is_own = |dump: &DumpFile| dump.reason == DumpReason::Crash && dump.component == own && !dump.is_kept;
    let all: Vec<DumpFile> = dumps.list()?.into_iter().filter(is_own).collect();
    let too_many = (all.len() + 1).saturating_sub(KEPT);
    all.iter().take(too_many).try_for_each(|dump| dumps.remove(dump))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_of_the_handler_are_taken() {
        let mut message = [0; MESSAGE];
        assert!(parse(&message).is_none());
        message[..8].copy_from_slice(MAGIC);
        message[12] = 7;
        message[16] = 11;
        message[24] = 0x10;
        message[32 + 16 * 8] = 0xab;
        let crash = parse(&message).unwrap();
        assert_eq!((crash.tid, crash.signal, crash.address), (7, 11, 0x10));
        assert_eq!(crash.registers.instruction(), 0xab);
    }

    #[test]
    fn a_component_that_crashes_on_and_on_fills_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = Dumps::new(&dir.path().join("trace"));
        let put = |second: i64, component: &str, reason| {
            let at = jiff::Timestamp::from_second(second).unwrap();
            dumps.create().unwrap().publish(at, component, 1, reason, DumpKind::Mini).unwrap()
        };
        let others = [put(0, "other", DumpReason::Crash), put(0, "scan-ner", DumpReason::Request)];
        let kept = put(0, "scan-ner", DumpReason::Crash);
        dumps.keep(&DumpFile::parse(&kept).unwrap(), true).unwrap();
        let oldest = put(1, "scan-ner", DumpReason::Crash);
        for second in 2..20 {
            make_room(&dumps, "scan-ner").unwrap();
            put(second, "scan-ner", DumpReason::Crash);
        }
        let names: Vec<String> = dumps.list().unwrap().into_iter().map(|dump| dump.name).collect();
        assert_eq!(names.len(), KEPT + 3);
        assert!(names.contains(&kept));
        assert!(others.iter().all(|name| names.contains(name)) && !names.contains(&oldest));
    }
}
