//! Netlink sockets, and on one of them the kernel's process connector (linux/cn_proc.h).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const LISTEN: u32 = 1;
const NLMSG_DONE: u16 = 3;
const HEADERS: usize = 16 + 20;
/// Room for what the kernel tells while a watcher is busy.
const ROOM: usize = 4 << 20;

/// Waits until there is something to read; false if there was nothing.
pub(crate) fn wait(fd: &impl AsFd, time: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let time = Timespec { tv_sec: 0, tv_nsec: time.min(Duration::from_millis(900)).as_nanos() as i64 };
    poll(&mut fds, Some(&time)).is_ok_and(|n| n != 0)
}

/// A netlink socket that belongs to groups of the kernel's messages.
pub(crate) fn subscribe(protocol: Option<Protocol>, groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
    // With the right to do so beyond the system's limit.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, ROOM);
    }
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// What a read of a netlink socket gave.
pub(crate) enum Message<'a> {
    /// A message of the kernel.
    Bytes(&'a [u8]),
    /// The kernel had no room for some messages.
    Overrun,
}

/// The next message that is there already.
pub(crate) fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Option<Message<'a>> {
    match rustix::net::recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((_, len, from)) => {
            let from = from.and_then(|a| SocketAddrNetlink::try_from(a).ok());
            // Whoever else writes to this socket is not the kernel.
            let is_kernel = from.is_some_and(|a| a.pid() == 0);
            Some(Message::Bytes(buffer.get(..len).filter(|_| is_kernel).unwrap_or_default()))
        }
        Err(rustix::io::Errno::NOBUFS) => Some(Message::Overrun),
        Err(_) => None,
    }
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
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
    /// Of a thread, or something else that does not matter here.
    Nothing,
}

/// What happened to a process, and when, by the kernel's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessEvent {
    pub(crate) what: What,
    pub(crate) monotonic_ns: u64,
}

/// A socket that the kernel tells of processes.
#[derive(Debug)]
pub(crate) struct Connector {
    socket: OwnedFd,
}

impl Connector {
    /// Subscribes; needs the right to administer the network.
    pub(crate) fn open() -> io::Result<Self> {
        let connector = Self { socket: subscribe(Some(netlink::CONNECTOR), CN_IDX_PROC)? };
        connector.send(LISTEN)?;
        Ok(connector)
    }

    fn send(&self, operation: u32) -> io::Result<()> {
        let len = (HEADERS + 4) as u32;
        let mut message = Vec::new();
        message.extend_from_slice(&len.to_le_bytes());
        message.extend_from_slice(&NLMSG_DONE.to_le_bytes());
        message.extend_from_slice(&[0; 2]);
        for word in [0, 0, CN_IDX_PROC, CN_VAL_PROC, 0, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.extend_from_slice(&4_u16.to_le_bytes());
        message.extend_from_slice(&[0; 2]);
        message.extend_from_slice(&operation.to_le_bytes());
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }

    /// Waits so long for the next event.
    pub(crate) fn next(&self, time: Duration) -> Option<ProcessEvent> {
        if !wait(&self.socket, time) {
            return None;
        }
        let mut buffer = [0_u8; 1024];
        match receive(&self.socket, &mut buffer)? {
            Message::Bytes(bytes) => Some(parse(bytes).unwrap_or(NOTHING)),
            Message::Overrun => Some(ProcessEvent { what: What::Overrun, monotonic_ns: 0 }),
        }
    }
}

const NOTHING: ProcessEvent = ProcessEvent { what: What::Nothing, monotonic_ns: 0 };

fn parse(message: &[u8]) -> Option<ProcessEvent> {
    let word = |at: usize| {
        message.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_le_bytes(*b))
    };
    if word(16)? != CN_IDX_PROC {
        return None;
    }
    // what, cpu, time stamp (8 bytes), then the event's own data.
    let data = HEADERS + 16;
    let monotonic_ns = u64::from(word(HEADERS + 8)?) | u64::from(word(HEADERS + 12)?) << 32;
    let what = match word(HEADERS)? {
        1 => {
            // The parent's thread group: the process, whichever of its threads forked.
            let (parent, child, child_group) = (word(data + 4)?, word(data + 8)?, word(data + 12)?);
            // A new thread is no new process.
            if child == child_group { What::Fork { parent, child } } else { What::Nothing }
        }
        2 => What::Exec { pid: word(data + 4)? },
        0x8000_0000 => {
            let (thread, pid) = (word(data)?, word(data + 4)?);
            if thread == pid {
                What::Exit { pid, status: word(data + 8).unwrap_or(0) }
            } else {
                What::Nothing
            }
        }
        _ => What::Nothing,
    };
    Some(ProcessEvent { what, monotonic_ns })
}
