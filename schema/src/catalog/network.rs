//! Connections and name look-ups.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Direction;
use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// What happened to a connection.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ConnectionState {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It is being opened.
    Open = 1,
    /// It stands.
    Established = 2,
    /// It was closed.
    Close = 3,
    /// It was reset.
    Reset = 4,
    /// It failed.
    Fail = 5,
    /// It was refused.
    Refuse = 6,
    /// A port is open.
    Listen = 7,
}

/// How a host name is known.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum HostSource {
    /// Not known.
    #[default]
    Unknown = 0,
    /// From a look-up.
    Dns = 1,
    /// From the TLS handshake.
    Sni = 2,
    /// From the HTTP header.
    HttpHost = 3,
}

/// A connection changed its state.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "network.connection",
    category = "network",
    level = "debug",
    text = "{local} - {remote} {state} by process {pid}"
)]
pub struct NetworkConnection<'a> {
    /// The connection.
    #[field(public)]
    pub connection_id: Id128,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// User id.
    #[field(personal)]
    pub uid: Option<u32>,
    /// IP protocol number.
    #[field(public)]
    pub protocol: u8,
    /// Direction.
    #[field(public)]
    pub direction: Direction,
    /// Address and port on this computer.
    #[field(personal)]
    pub local: Option<SocketAddr>,
    /// Address and port of the other.
    #[field(personal)]
    pub remote: Option<SocketAddr>,
    /// Host name of the other.
    #[field(personal)]
    pub remote_host: Option<&'a str>,
    /// How the name is known.
    #[field(public)]
    pub host_source: HostSource,
    /// Interface.
    #[field(public)]
    pub interface: Option<&'a str>,
    /// What happened.
    #[field(public)]
    pub state: ConnectionState,
    /// Sent.
    #[field(public, unit = "bytes")]
    pub bytes_sent: u64,
    /// Received.
    #[field(public, unit = "bytes")]
    pub bytes_received: u64,
    /// Packets sent.
    #[field(public)]
    pub packets_sent: u64,
    /// Packets received.
    #[field(public)]
    pub packets_received: u64,
    /// When it began.
    #[field(public)]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[field(public)]
    pub ended: Option<Timestamp>,
    /// Round trip.
    #[field(public)]
    pub round_trip: Option<Duration>,
    /// TLS version.
    #[field(public)]
    pub tls_version: Option<&'a str>,
    /// Cipher.
    #[field(public)]
    pub cipher: Option<&'a str>,
    /// Server name of the handshake.
    #[field(personal)]
    pub sni: Option<&'a str>,
    /// Application protocol of the handshake.
    #[field(public)]
    pub alpn: Option<&'a str>,
    /// Fingerprint of the client hello.
    #[field(public)]
    pub ja4: Option<&'a str>,
    /// Certificate of the server.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Application protocol.
    #[field(public)]
    pub application_protocol: Option<&'a str>,
    /// Verdict.
    #[field(public)]
    pub verdict: Option<&'a str>,
    /// Rule that decided.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A name was looked up.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "network.dns",
    category = "network",
    level = "debug",
    text = "{name} ({record_type}) was looked up"
)]
pub struct NetworkDns<'a> {
    /// Name.
    #[field(personal)]
    pub name: &'a str,
    /// Type of record.
    #[field(public)]
    pub record_type: &'a str,
    /// Result code.
    #[field(public)]
    pub rcode: u16,
    /// Addresses.
    #[field(personal)]
    pub answers: &'a [IpAddr],
    /// Other names.
    #[field(personal)]
    pub aliases: &'a [&'a str],
    /// Server that was asked.
    #[field(personal)]
    pub server: Option<SocketAddr>,
    /// How long it took.
    #[field(public)]
    pub took: Duration,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: Option<u32>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
