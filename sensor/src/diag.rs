//! Sockets that end, as the kernel tells it (linux/sock_diag.h, linux/inet_diag.h): also those that no look at a
//! table would have seen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink;

use crate::netlink::{Message, receive, subscribe, wait};

/// The groups of ended TCP and UDP sockets, IPv4 and IPv6: bits 0 to 3.
const DESTROYED: u32 = 0b1111;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_PROTOCOL: u16 = 10;
const HEADER: usize = 16;
/// Length of struct inet_diag_msg; attributes follow.
const BODY: usize = 72;

/// A socket that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) protocol: u8,
    pub(crate) local: SocketAddr,
    /// None if it never was connected, or could not be.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) traffic: Option<Traffic>,
}

/// What went over a TCP connection, as the kernel counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) round_trip: Option<Duration>,
}

/// A socket that the kernel tells of ended sockets.
#[derive(Debug)]
pub(crate) struct Diag {
    socket: OwnedFd,
}

impl Diag {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: subscribe(Some(netlink::SOCK_DIAG), DESTROYED)? })
    }

    /// What ended, told within this time; `Err` if the kernel had no room for some of it.
    pub(crate) fn next(&self, time: Duration) -> io::Result<Vec<Ended>> {
        let mut ended = Vec::new();
        if !wait(&self.socket, time) {
            return Ok(ended);
        }
        let mut buffer = [0; 8192];
        // Bounded, so that a storm of connections does not keep the watcher from looking at the table.
        while ended.len() < 1000 {
            match receive(&self.socket, &mut buffer) {
                Some(Message::Bytes(bytes)) => ended.extend(parse(bytes)),
                Some(Message::Overrun) => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
                None => break,
            }
        }
        Ok(ended)
    }
}

fn word16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk::<2>().map(|b| u16::from_le_bytes(*b))
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.first_chunk::<8>().map(|b| u64::from_le_bytes(*b))
}

fn parse(bytes: &[u8]) -> Option<Ended> {
    if word16(bytes, 4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let body = bytes.get(HEADER..)?;
    let address = |at: usize| -> Option<IpAddr> {
        match *body.first()? {
            2 => body.get(at..at + 4)?.first_chunk::<4>().map(|b| Ipv4Addr::from(*b).into()),
            10 => body.get(at..at + 16)?.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into()),
            _ => None,
        }
    };
    let port = |at: usize| word16(body, at).map(u16::swap_bytes);
    let (local, remote) = (port(4)?, port(6)?);
    let mut ended = Ended {
        protocol: 0,
        local: SocketAddr::new(address(8)?, local),
        remote: Some(SocketAddr::new(address(24)?, remote)).filter(|r| r.port() != 0),
        traffic: None,
    };
    let mut at = BODY;
    while let Some(len) = word16(body, at).map(usize::from).filter(|len| *len >= 4) {
        let value = body.get(at + 4..at + len).unwrap_or_default();
        match word16(body, at + 2)? {
            INET_DIAG_PROTOCOL => ended.protocol = *value.first()?,
            INET_DIAG_INFO => ended.traffic = traffic(value),
            _ => {}
        }
        at += len.next_multiple_of(4);
    }
    (ended.protocol != 0).then_some(ended)
}

/// From struct tcp_info (linux/tcp.h), whose fields keep their places for ever.
fn traffic(info: &[u8]) -> Option<Traffic> {
    let round_trip = word32(info, 68).filter(|us| *us != 0).map(|us| Duration::from_micros(us.into()));
    let (packets_sent, packets_received) = (word32(info, 136)?.into(), word32(info, 140)?.into());
    // What the other computer acknowledged counts the opening (and the end) as a byte each.
    let received = word64(info, 128)?;
    // Without what was sent twice; older kernels count only what was acknowledged.
    let sent = match (word64(info, 200), word64(info, 208)) {
        (Some(all), Some(again)) => all.saturating_sub(again),
        _ => word64(info, 120)?.saturating_sub(1),
    };
    Some(Traffic { sent, received, packets_sent, packets_received, round_trip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_nothing() {
        assert_eq!(parse(&[]), None);
        let mut message = vec![0; HEADER + BODY];
        message[4] = 20;
        message[HEADER] = 2;
        assert_eq!(parse(&message), None, "no protocol");
        message.extend_from_slice(&[5, 0, 10, 0, 6, 0, 0, 0]);
        message[HEADER + 4..HEADER + 8].copy_from_slice(&[0x1f, 0x90, 0, 0]);
        message[HEADER + 8..HEADER + 12].copy_from_slice(&[127, 0, 0, 1]);
        let ended = parse(&message).unwrap();
        assert_eq!((ended.protocol, ended.local), (6, "127.0.0.1:8080".parse().unwrap()));
        assert_eq!((ended.remote, ended.traffic), (None, None));
        for len in 0..message.len() {
            let _ = parse(&message[..len]);
        }
        // A length that leads nowhere.
        message[HEADER + BODY] = 0;
        assert_eq!(parse(&message), None);
    }
}
