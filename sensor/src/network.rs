//! Connections: what changes between two looks at the kernel's tables, and what it tells of ended sockets.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tracewell::catalog::{AddressFamily, ConnectionState, Direction, NetworkConnection};
use tracewell::{Category, Id128, Timestamp, emit};

use crate::diag::{Diag, Ended, Traffic};
use crate::missed;
use crate::owners::{Owner, owner, owners};
use crate::shared::{Shared, random_id};
use crate::sockets::{Key, State, sockets};

/// Between two looks where the kernel tells what ended, and where it does not.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
pub(crate) const LOOK_ALONE: Duration = Duration::from_millis(25);
/// A look may take this part of the time.
const SHARE: u32 = 20;
/// So many looks a socket that is gone may wait for the kernel to tell what went over it.
const PATIENCE: u8 = 3;
/// Sockets that are followed.
const MAX_SEEN: usize = 100_000;

#[derive(Clone, Debug)]
struct Seen {
    state: State,
    uid: Option<u32>,
    owner: Option<Owner>,
    id: Id128,
    direction: Option<Direction>,
    since: Option<Timestamp>,
    gone: u8,
}

/// Watches until the sensor stops.
pub(crate) fn watch(shared: &Shared) {
    while !shared.is_stopped() {
        if !shared.wants(&[Category::Network]) {
            shared.rest(Duration::from_millis(50));
            continue;
        }
        let diag = Diag::open().ok();
        let mut watcher = Watcher { shared, seen: HashMap::new(), listening: HashSet::new(), is_new: true };
        while !shared.is_stopped() && shared.wants(&[Category::Network]) {
            let began = Instant::now();
            watcher.look(diag.is_some());
            let took = began.elapsed();
            let rest = if diag.is_some() { LOOK } else { LOOK_ALONE }.max(took * SHARE);
            match &diag {
                Some(diag) => watcher.listen(diag, rest),
                None => shared.rest(rest.min(Duration::from_secs(2))),
            }
        }
    }
}

struct Watcher<'a> {
    shared: &'a Shared,
    seen: HashMap<Key, Seen>,
    listening: HashSet<(u8, u16)>,
    /// What stood before recording began is no change.
    is_new: bool,
}

impl Watcher<'_> {
    fn look(&mut self, is_told: bool) {
        let now = sockets();
        let listens = |(key, (state, _)): (&Key, &(State, u32))| {
            (*state == State::Listen).then_some((key.protocol, key.local.port()))
        };
        self.listening = now.iter().filter_map(listens).collect();
        let has_new = now.keys().any(|key| !self.seen.contains_key(key));
        let owners = if has_new { owners() } else { HashMap::new() };
        let is_full = self.seen.len() >= MAX_SEEN;
        for (key, (state, uid)) in &now {
            match self.seen.get_mut(key) {
                Some(seen) => {
                    seen.gone = 0;
                    if seen.state != *state {
                        seen.state = *state;
                        report(self.shared, key.protocol, key.local, key.remote, seen, state.told(), None);
                    }
                }
                None if is_full => missed::count(&self.shared.missed.owners),
                None => {
                    let pid = owners.get(&key.inode).copied();
                    let seen = Seen {
                        state: *state,
                        uid: Some(*uid),
                        owner: pid.map(|pid| owner(self.shared, pid)),
                        id: random_id(),
                        direction: self.direction(key.protocol, key.local, *state),
                        since: (!self.is_new).then(Timestamp::now),
                        gone: 0,
                    };
                    if !self.is_new {
                        report(self.shared, key.protocol, key.local, key.remote, &seen, state.told(), None);
                    }
                    self.seen.insert(key.clone(), seen);
                }
            }
        }
        self.is_new = false;
        // The kernel tells what went over a connection a little after it has left the table.
        let patience = if is_told { PATIENCE } else { 0 };
        self.seen.retain(|key, seen| {
            if now.contains_key(key) {
                return true;
            }
            seen.gone += 1;
            if seen.gone <= patience && key.protocol == 6 {
                return true;
            }
            let state =
                if seen.state == State::Opening { ConnectionState::Fail } else { ConnectionState::Close };
            report(self.shared, key.protocol, key.local, key.remote, seen, state, None);
            false
        });
    }

    fn direction(&self, protocol: u8, local: SocketAddr, state: State) -> Option<Direction> {
        match state {
            State::Listen => None,
            _ if self.listening.contains(&(protocol, local.port())) => Some(Direction::Inbound),
            _ => Some(Direction::Outbound),
        }
    }

    /// Hears what ends, for so long.
    fn listen(&mut self, diag: &Diag, time: Duration) {
        let end = Instant::now() + time;
        while !self.shared.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match diag.next(left.min(Duration::from_millis(50))) {
                Ok(ended) => ended.iter().for_each(|e| self.ended(e)),
                Err(e) => {
                    let lost = Some("short connections are missing");
                    self.shared.trouble("network", "follow all connections", "sock_diag", &e, lost);
                }
            }
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let is_it = |key: &Key, seen: &Seen| {
            key.protocol == ended.protocol
                && key.local == ended.local
                && (ended.remote == Some(key.remote)
                    // A connection that could not be opened has no other end any more, and a port never had.
                    || ended.remote.is_none() && matches!(seen.state, State::Opening | State::Listen))
        };
        let found = self.seen.iter().find(|(key, seen)| is_it(key, seen)).map(|(key, _)| key.clone());
        if let Some((key, seen)) = found.and_then(|key| self.seen.remove_entry(&key)) {
            let state =
                if seen.state == State::Opening { ConnectionState::Fail } else { ConnectionState::Close };
            return report(self.shared, key.protocol, key.local, key.remote, &seen, state, ended.traffic);
        }
        // A socket that was open for less than a look. One that never had an other end was no connection, but for a
        // TCP port that was taken to open one.
        let (state, remote) = match ended.remote {
            Some(remote) => (ConnectionState::Close, Some(remote)),
            None if ended.protocol == 6 && ended.local.port() != 0 => (ConnectionState::Fail, None),
            None => return,
        };
        if self.listening.contains(&(ended.protocol, ended.local.port())) && remote.is_none() {
            return;
        }
        missed::count(&self.shared.missed.owners);
        let direction = self.direction(ended.protocol, ended.local, State::Established);
        let seen = Seen {
            state: State::Established,
            uid: None,
            owner: None,
            id: random_id(),
            direction,
            since: None,
            gone: 0,
        };
        let traffic = ended.traffic.filter(|_| remote.is_some());
        emit_it(self.shared, ended.protocol, ended.local, remote, &seen, state, traffic);
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Ipv4,
        IpAddr::V6(_) => AddressFamily::Ipv6,
    }
}

fn report(
    shared: &Shared,
    protocol: u8,
    local: SocketAddr,
    remote: SocketAddr,
    seen: &Seen,
    state: ConnectionState,
    traffic: Option<Traffic>,
) {
    // A port that waits has no other end.
    let remote = Some(remote).filter(|r| r.port() != 0);
    emit_it(shared, protocol, local, remote, seen, state, traffic);
}

fn emit_it(
    shared: &Shared,
    protocol: u8,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    seen: &Seen,
    state: ConnectionState,
    traffic: Option<Traffic>,
) {
    let owner = seen.owner.as_ref();
    let has_ended = matches!(state, ConnectionState::Close | ConnectionState::Fail);
    emit!(
        shared.tracer,
        NetworkConnection {
            connection_id: seen.id,
            process_key: owner.and_then(|o| o.known.key),
            pid: owner.map(|o| o.pid),
            image_path: owner.map(|o| o.known.path.as_str()).filter(|p| !p.is_empty()),
            uid: seen.uid,
            protocol,
            family: family(local.ip()),
            direction: seen.direction,
            local: Some(local),
            remote,
            state,
            bytes_sent: traffic.map(|t| t.sent),
            bytes_received: traffic.map(|t| t.received),
            packets_sent: traffic.map(|t| t.packets_sent),
            packets_received: traffic.map(|t| t.packets_received),
            round_trip: traffic.and_then(|t| t.round_trip),
            started: seen.since,
            ended: has_ended.then(Timestamp::now),
            correlation: owner.map(|o| o.known.correlation).unwrap_or_default(),
            parent_correlation: owner.map(|o| o.known.parent_correlation).unwrap_or_default(),
            ..Default::default()
        }
    );
}
