//! The kernel's process connector (linux/cn_proc.h), over a netlink socket.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const LISTEN: u32 = 1;
const NLMSG_DONE: u16 = 3;
const HEADERS: usize = 16 + 20;

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessEvent {
    Fork {
        parent: u32,
        child: u32,
    },
    Exec {
        pid: u32,
    },
    Exit {
        pid: u32,
        status: u32,
    },
    /// The kernel had no room for some events.
    Overrun,
}

/// A socket that the kernel tells of processes.
#[derive(Debug)]
pub(crate) struct Connector {
    socket: OwnedFd,
}

impl Connector {
    /// Subscribes; needs the right to administer the network.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: socket takes no pointers.
        let fd = unsafe {
            libc::socket(libc::PF_NETLINK, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, libc::NETLINK_CONNECTOR)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made just now and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an all-zero sockaddr_nl is valid.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = CN_IDX_PROC;
        let timeout = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
        let size: libc::c_int = 1 << 20;
        // SAFETY: the pointers are to local values of the sizes given, which live through the calls.
        let failed = unsafe {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const size).cast(), 4);
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const timeout).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            ) < 0
                || libc::bind(
                    fd,
                    (&raw const address).cast(),
                    size_of::<libc::sockaddr_nl>() as libc::socklen_t,
                ) < 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
        let connector = Self { socket };
        connector.send(LISTEN)?;
        Ok(connector)
    }

    fn send(&self, operation: u32) -> io::Result<()> {
        let len = (HEADERS + 4) as u32;
        let mut message = Vec::new();
        message.extend_from_slice(&len.to_le_bytes());
        message.extend_from_slice(&NLMSG_DONE.to_le_bytes());
        message.extend_from_slice(&[0; 2]);
        for word in [0, std::process::id(), CN_IDX_PROC, CN_VAL_PROC, 0, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.extend_from_slice(&4_u16.to_le_bytes());
        message.extend_from_slice(&[0; 2]);
        message.extend_from_slice(&operation.to_le_bytes());
        // SAFETY: the buffer has the length given and lives through the call.
        let n = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits up to 100 ms for the next event.
    pub(crate) fn next(&self) -> Option<ProcessEvent> {
        let mut buffer = [0_u8; 1024];
        // SAFETY: the buffer has the length given and lives through the call.
        let n = unsafe { libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if n < 0 {
            let overrun = io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS);
            return overrun.then_some(ProcessEvent::Overrun);
        }
        parse(buffer.get(..usize::try_from(n).ok()?)?)
    }
}

fn parse(message: &[u8]) -> Option<ProcessEvent> {
    let word = |at: usize| {
        message.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_le_bytes(*b))
    };
    if word(16)? != CN_IDX_PROC {
        return None;
    }
    // what, cpu, time stamp (8 bytes), then the event's own data.
    let data = HEADERS + 16;
    match word(HEADERS)? {
        1 => {
            let (parent, child, child_group) = (word(data + 4)?, word(data + 8)?, word(data + 12)?);
            // A new thread is no new process.
            (child == child_group).then_some(ProcessEvent::Fork { parent, child })
        }
        2 => Some(ProcessEvent::Exec { pid: word(data + 4)? }),
        0x8000_0000 => {
            let (thread, pid) = (word(data)?, word(data + 4)?);
            (thread == pid).then(|| ProcessEvent::Exit { pid, status: word(data + 8).unwrap_or(0) })
        }
        _ => None,
    }
}
