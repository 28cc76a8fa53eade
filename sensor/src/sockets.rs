//! The kernel's tables of sockets.

use std::collections::HashMap;
use std::net::SocketAddr;

use procfs::net::{TcpState, UdpState, tcp, tcp6, udp, udp6};
use tracewell::catalog::ConnectionState;

/// Which socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// IANA number: 6 TCP, 17 UDP.
    pub(crate) protocol: u8,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) inode: u64,
}

/// As far as a change of it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    /// Also while it is being closed, until it has no process any more.
    Established,
    Listen,
}

impl State {
    pub(crate) fn told(self) -> ConnectionState {
        match self {
            Self::Opening => ConnectionState::Open,
            Self::Established => ConnectionState::Established,
            Self::Listen => ConnectionState::Listen,
        }
    }
}

/// All sockets that belong to a process, with their state and the user id.
pub(crate) fn sockets() -> HashMap<Key, (State, u32)> {
    let mut all = HashMap::new();
    for entry in tcp().into_iter().flatten().chain(tcp6().into_iter().flatten()) {
        let state = match entry.state {
            TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv => State::Opening,
            TcpState::Listen => State::Listen,
            // Made and bound, not opened.
            TcpState::Close => continue,
            _ => State::Established,
        };
        // Sockets without inode have no process any more.
        if entry.inode != 0 {
            let key = Key {
                protocol: 6,
                local: entry.local_address,
                remote: entry.remote_address,
                inode: entry.inode,
            };
            all.insert(key, (state, entry.uid));
        }
    }
    for entry in udp().into_iter().flatten().chain(udp6().into_iter().flatten()) {
        let state = match entry.state {
            UdpState::Established => State::Established,
            _ => State::Listen,
        };
        let key = Key {
            protocol: 17,
            local: entry.local_address,
            remote: entry.remote_address,
            inode: entry.inode,
        };
        all.insert(key, (state, entry.uid));
    }
    all
}
