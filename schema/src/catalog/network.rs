//! Network connections and look-ups of names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Direction, Disposition};
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
    #[value("opening")]
    Open = 1,
    /// It is established.
    Established = 2,
    /// It was closed.
    #[value("closed")]
    Close = 3,
    /// It was reset.
    Reset = 4,
    /// It could not be opened (no answer, no way, nobody there), or was given up before.
    #[value("failed")]
    Fail = 5,
    /// The other computer refused it.
    #[value("refused")]
    Refuse = 6,
    /// A local port waits for connections or packets.
    #[value("listening")]
    Listen = 7,
}

/// How the host name of the other computer is known.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum HostSource {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A look-up before gave this address.
    Dns = 1,
    /// The server name in the TLS handshake.
    Sni = 2,
    /// The Host header of HTTP.
    HttpHost = 3,
}

/// Family of addresses.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum AddressFamily {
    /// Not known.
    #[default]
    Unknown = 0,
    /// IPv4.
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
}

/// Version of TLS.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum TlsVersion {
    /// No TLS, or not known.
    #[default]
    None = 0,
    /// SSL 3.0.
    #[value("ssl3.0")]
    Ssl30 = 1,
    /// TLS 1.0.
    #[value("tls1.0")]
    Tls10 = 2,
    /// TLS 1.1.
    #[value("tls1.1")]
    Tls11 = 3,
    /// TLS 1.2.
    #[value("tls1.2")]
    Tls12 = 4,
    /// TLS 1.3.
    #[value("tls1.3")]
    Tls13 = 5,
}

/// A connection changed its state.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "network.connection",
    category = "network",
    level = "debug",
    text = "process {pid} ({image_path}): {local} to {remote} is {state}"
)]
pub struct NetworkConnection<'a> {
    /// Identity of the connection: the same in all its changes.
    #[field(public)]
    pub connection_id: Id128,
    /// Stable key of the process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id.
    #[field(public)]
    pub pid: Option<u32>,
    /// Path of the process's program; only its name where the path cannot be read.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// User id that the socket belongs to.
    #[field(personal)]
    pub uid: Option<u32>,
    /// Name of that user.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// IANA protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    #[field(public)]
    pub protocol: u8,
    /// Family of the addresses, kept when the addresses are not.
    #[field(public)]
    pub family: AddressFamily,
    /// Who opened it; absent of a port that waits.
    #[field(public)]
    pub direction: Option<Direction>,
    /// Address and port on this computer.
    #[field(personal)]
    pub local: Option<SocketAddr>,
    /// Address and port of the other computer.
    #[field(personal)]
    pub remote: Option<SocketAddr>,
    /// Host name of the other computer.
    #[field(personal)]
    pub remote_host: Option<&'a str>,
    /// How that name is known.
    #[field(public)]
    pub host_source: Option<HostSource>,
    /// Name of the network interface, for example "eth0".
    #[field(public)]
    pub interface: Option<&'a str>,
    /// What happened.
    #[field(public)]
    pub state: ConnectionState,
    /// Sent so far; absent if it was not measured.
    #[field(public, unit = "bytes")]
    pub bytes_sent: Option<u64>,
    /// Received so far; absent if it was not measured.
    #[field(public, unit = "bytes")]
    pub bytes_received: Option<u64>,
    /// Packets sent so far.
    #[field(public, unit = "packets")]
    pub packets_sent: Option<u64>,
    /// Packets received so far.
    #[field(public, unit = "packets")]
    pub packets_received: Option<u64>,
    /// When it was opened or seen first; absent if it was there before recording began.
    #[field(public)]
    pub started: Option<Timestamp>,
    /// When it ended; absent while it lasts.
    #[field(public)]
    pub ended: Option<Timestamp>,
    /// Round-trip time, smoothed, as the system measured it.
    #[field(public)]
    pub round_trip: Option<Duration>,
    /// Version of TLS.
    #[field(public)]
    pub tls_version: Option<TlsVersion>,
    /// Cipher suite of TLS, its IANA name.
    #[field(public)]
    pub cipher: Option<&'a str>,
    /// Server name in the TLS handshake.
    #[field(personal)]
    pub sni: Option<&'a str>,
    /// Application protocol agreed on in the TLS handshake (ALPN), for example "h2".
    #[field(public)]
    pub alpn: Option<&'a str>,
    /// JA4 fingerprint of the TLS client hello.
    #[field(public)]
    pub ja4: Option<&'a str>,
    /// SHA-256 of the server's certificate, as in `certificate.seen`.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Application protocol as told by the content, for example "http".
    #[field(public)]
    pub application_protocol: Option<&'a str>,
    /// What the firewall decided; absent if none was asked.
    #[field(public)]
    pub verdict: Option<Disposition>,
    /// Rule that decided.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Story it belongs to: the same in the launch, download, detection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A name was looked up in DNS.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "network.dns",
    category = "network",
    level = "debug",
    text = "process {pid} looked up {name} ({record_type}): {answers}"
)]
pub struct NetworkDns<'a> {
    /// Name that was asked for.
    #[field(personal)]
    pub name: &'a str,
    /// Type of record that was asked for, for example "AAAA".
    #[field(public)]
    pub record_type: &'a str,
    /// Result code of DNS: 0 no error, 2 server failure, 3 no such name, 5 refused.
    #[field(public)]
    pub rcode: u16,
    /// Addresses of the answer.
    #[field(personal)]
    pub answers: &'a [IpAddr],
    /// Other names and texts of the answer.
    #[field(personal)]
    pub aliases: &'a [&'a str],
    /// Server that was asked.
    #[field(personal)]
    pub server: Option<SocketAddr>,
    /// How long the answer took.
    #[field(public)]
    pub took: Duration,
    /// Stable key of the process that asked; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id of the process that asked.
    #[field(public)]
    pub pid: Option<u32>,
    /// Story it belongs to: the same in the connections that follow.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
