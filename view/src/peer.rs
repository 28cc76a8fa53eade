//! Whose connection it is: the kernel's table of sockets says which user the other end of one on this computer has.

use std::net::SocketAddr;

use procfs::net::TcpState;

/// What is known of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This user, or who may act for them.
    Ours,
    /// Another user, or a connection that has ended already.
    Other,
    /// The table cannot be read: the secret alone protects.
    Unknown,
}

/// Who connects from `peer` to `here`.
pub(crate) fn peer(here: SocketAddr, peer: SocketAddr) -> Peer {
    let Ok(table) = procfs::net::tcp() else { return Peer::Unknown };
    // The end of a connection that is closed for good has no owner.
    let is_it = |entry: &&procfs::net::TcpNetEntry| {
        entry.local_address == peer && entry.remote_address == here && entry.state != TcpState::TimeWait
    };
    match table.iter().find(is_it) {
        Some(entry) if is_allowed(entry.uid) => Peer::Ours,
        _ => Peer::Other,
    }
}

fn is_allowed(uid: u32) -> bool {
    let own = rustix::process::getuid();
    if uid == own.as_raw() {
        return true;
    }
    // Root by sudo looks with the browser of the user that it was before.
    let before = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok());
    own.is_root() && before == Some(uid)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_user_is_known_and_another_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let client = TcpStream::connect(here).unwrap();
        let (_server, from) = listener.accept().unwrap();
        assert_eq!(peer(here, from), Peer::Ours);
        let other: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(peer(here, other), Peer::Other);
        assert_eq!(peer(other, from), Peer::Other);
        drop(client);
        assert!(is_allowed(rustix::process::getuid().as_raw()) && !is_allowed(65_533));
    }
}
