//! Connections: what changed between two looks at `/proc/net`.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use procfs::net::{TcpState, tcp, tcp6, udp, udp6};
use tracewell::catalog::{ConnectionState, Direction, NetworkConnection};
use tracewell::{Id128, ProcessKey, Timestamp, emit};

use crate::Shared;
use crate::process::correlation_of;

const POLL: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Socket {
    protocol: u8,
    local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
}

#[derive(Clone, Debug)]
struct Seen {
    state: ConnectionState,
    uid: u32,
    pid: u32,
    key: ProcessKey,
    path: String,
    id: Id128,
    direction: Direction,
    since: Timestamp,
}

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared) {
    let mut seen: HashMap<Socket, Seen> = HashMap::new();
    let mut first = true;
    while !shared.is_stopped() {
        let now = sockets();
        let listening: HashSet<u16> = now
            .iter()
            .filter(|(_, (state, _))| *state == ConnectionState::Listen)
            .map(|(socket, _)| socket.local.port())
            .collect();
        let has_new = now.keys().any(|socket| !seen.contains_key(socket));
        let owners = if has_new { owners() } else { HashMap::new() };
        for (socket, (state, uid)) in &now {
            match seen.get_mut(socket) {
                Some(known) if known.state == *state => {}
                Some(known) => {
                    known.state = *state;
                    report(shared, socket, known);
                }
                None => {
                    let pid = owners.get(&socket.inode).copied().unwrap_or(0);
                    let key = tracewell::boot::start_ticks(pid)
                        .map(|start| ProcessKey::new(&shared.boot_id, pid, start))
                        .unwrap_or_default();
                    let path = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                    let direction = match state {
                        ConnectionState::Listen => Direction::Unknown,
                        _ if listening.contains(&socket.local.port()) => Direction::Inbound,
                        _ => Direction::Outbound,
                    };
                    let known = Seen {
                        state: *state,
                        uid: *uid,
                        pid,
                        key,
                        path: path.to_string_lossy().into_owned(),
                        id: id_of(socket),
                        direction,
                        since: Timestamp::now(),
                    };
                    // What stood before recording began is no change.
                    if !first {
                        report(shared, socket, &known);
                    }
                    seen.insert(socket.clone(), known);
                }
            }
        }
        seen.retain(|socket, known| {
            let is_there = now.contains_key(socket);
            if !is_there {
                known.state = ConnectionState::Close;
                report(shared, socket, known);
            }
            is_there
        });
        first = false;
        std::thread::sleep(POLL);
    }
}

fn id_of(socket: &Socket) -> Id128 {
    let text = format!("{socket:?}{}", tracewell::boot::boottime_ns());
    use sha2::Digest;
    let hash: [u8; 32] = sha2::Sha256::digest(text.as_bytes()).into();
    Id128(hash.first_chunk::<16>().copied().unwrap_or_default())
}

fn report(shared: &Shared, socket: &Socket, known: &Seen) {
    let is_closed = known.state == ConnectionState::Close;
    emit!(
        shared.tracer,
        NetworkConnection {
            connection_id: known.id,
            process_key: known.key,
            pid: known.pid,
            image_path: (!known.path.is_empty()).then_some(known.path.as_str()),
            uid: Some(known.uid),
            protocol: socket.protocol,
            direction: known.direction,
            local: Some(socket.local),
            remote: Some(socket.remote),
            state: known.state,
            started: Some(known.since),
            ended: is_closed.then(Timestamp::now),
            correlation: correlation_of(&known.key),
            ..Default::default()
        }
    );
}

fn sockets() -> HashMap<Socket, (ConnectionState, u32)> {
    let mut all = HashMap::new();
    for entry in tcp().into_iter().flatten().chain(tcp6().into_iter().flatten()) {
        // Sockets without inode have no owner any more (TIME_WAIT).
        if entry.inode == 0 {
            continue;
        }
        let state = match entry.state {
            TcpState::SynSent | TcpState::SynRecv => ConnectionState::Open,
            TcpState::Established => ConnectionState::Established,
            TcpState::Listen => ConnectionState::Listen,
            _ => ConnectionState::Close,
        };
        let socket = Socket {
            protocol: 6,
            local: entry.local_address,
            remote: entry.remote_address,
            inode: entry.inode,
        };
        all.insert(socket, (state, entry.uid));
    }
    for entry in udp().into_iter().flatten().chain(udp6().into_iter().flatten()) {
        let state = if entry.remote_address.port() == 0 {
            ConnectionState::Listen
        } else {
            ConnectionState::Established
        };
        let socket = Socket {
            protocol: 17,
            local: entry.local_address,
            remote: entry.remote_address,
            inode: entry.inode,
        };
        all.insert(socket, (state, entry.uid));
    }
    all
}

/// Process ids by inode of their sockets; those of other users only for root.
fn owners() -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return owners };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(fds) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        for fd in fds.flatten() {
            let Ok(target) = std::fs::read_link(fd.path()) else { continue };
            let inode = target
                .to_str()
                .and_then(|t| t.strip_prefix("socket:["))
                .and_then(|t| t.strip_suffix(']'))
                .and_then(|t| t.parse().ok());
            if let Some(inode) = inode {
                owners.insert(inode, pid);
            }
        }
    }
    owners
}
