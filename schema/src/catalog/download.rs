//! Downloaded applications and other files.

use std::net::IpAddr;
use std::time::Duration;

use super::{FileAttributes, FileMode, Verdict};
use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// How a download ended.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum DownloadResult {
    /// Not known.
    #[default]
    Unknown = 0,
    /// All of it arrived.
    Complete = 1,
    /// The user cancelled it.
    Cancelled = 2,
    /// It failed.
    Failed = 3,
    /// Protection blocked it.
    Blocked = 4,
}

/// By which protocol a file is downloaded.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum DownloadProtocol {
    /// Not known.
    #[default]
    Unknown = 0,
    /// HTTP without TLS.
    Http = 1,
    /// HTTP over TLS.
    Https = 2,
    /// FTP, with or without TLS.
    Ftp = 3,
    /// Files over SSH.
    Sftp = 4,
    /// A share of the network (SMB, NFS).
    Share = 5,
    /// Peer to peer, for example BitTorrent.
    PeerToPeer = 6,
    /// Made by the page itself (`blob:`, `data:`).
    Local = 7,
    /// Another one.
    Other = 255,
}

/// A download began.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "download.started",
    category = "download",
    level = "info",
    text = "{file_name} is being downloaded from {url} by {image_path}"
)]
pub struct DownloadStarted<'a> {
    /// Identity of the download; `download.finished` carries the same.
    #[field(public)]
    pub download_id: Id128,
    /// URL that was asked for, without user, password, query and fragment.
    #[field(personal)]
    pub url: Option<&'a str>,
    /// Query of that URL, without the question mark.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// URL after all redirects, without user, password, query and fragment.
    #[field(personal)]
    pub final_url: Option<&'a str>,
    /// URL of the page that led to it, without user, password, query and fragment.
    #[field(personal)]
    pub referrer: Option<&'a str>,
    /// Address of the server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Port of the server, 1 to 65535.
    #[field(public)]
    pub port: Option<u16>,
    /// Protocol.
    #[field(public)]
    pub protocol: Option<DownloadProtocol>,
    /// SHA-256 of the server's certificate, as in `certificate.seen`.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Name of the file, without its folder.
    #[field(personal)]
    pub file_name: &'a str,
    /// Path that the file is written to.
    #[field(personal)]
    pub path: &'a str,
    /// Stable key of the process that initiated the download; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id of that process.
    #[field(public)]
    pub pid: Option<u32>,
    /// Path of its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Its name.
    #[field(public)]
    pub process_name: Option<&'a str>,
    /// Who signed its program.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Stable key of its parent; absent if it is not known.
    #[field(public)]
    pub parent_key: Option<ProcessKey>,
    /// Name of the user it runs as.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Size as the server declared it.
    #[field(public, unit = "bytes")]
    pub size_declared: Option<u64>,
    /// Media type as the server declared it.
    #[field(public)]
    pub type_declared: Option<&'a str>,
    /// When it began.
    #[field(public)]
    pub started: Timestamp,
    /// Story it belongs to: the same in the connection, launch, detection and decision that go with the file.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of, for example of a visit.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A download ended.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "download.finished",
    category = "download",
    level = "info",
    text = "download of {file_name} from {url} ended: {result}, {size} bytes"
)]
pub struct DownloadFinished<'a> {
    /// Identity of the download; `download.started` carries the same.
    #[field(public)]
    pub download_id: Id128,
    /// URL that was asked for, without user, password, query and fragment.
    #[field(personal)]
    pub url: Option<&'a str>,
    /// Query of that URL, without the question mark.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// URL after all redirects, without user, password, query and fragment.
    #[field(personal)]
    pub final_url: Option<&'a str>,
    /// URL of the page that led to it, without user, password, query and fragment.
    #[field(personal)]
    pub referrer: Option<&'a str>,
    /// Address of the server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Port of the server, 1 to 65535.
    #[field(public)]
    pub port: Option<u16>,
    /// Protocol.
    #[field(public)]
    pub protocol: Option<DownloadProtocol>,
    /// SHA-256 of the server's certificate, as in `certificate.seen`.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Name of the file, without its folder.
    #[field(personal)]
    pub file_name: &'a str,
    /// Path of the file.
    #[field(personal)]
    pub path: &'a str,
    /// Stable key of the process that initiated the download; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id of that process.
    #[field(public)]
    pub pid: Option<u32>,
    /// Path of its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Its name.
    #[field(public)]
    pub process_name: Option<&'a str>,
    /// Who signed its program.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Stable key of its parent; absent if it is not known.
    #[field(public)]
    pub parent_key: Option<ProcessKey>,
    /// Name of the user it runs as.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Attributes of the file.
    #[field(public)]
    pub attributes: Option<FileAttributes>,
    /// Permission bits of the file.
    #[field(public)]
    pub mode: Option<FileMode>,
    /// Names of the file's extended attributes.
    #[field(public)]
    pub xattrs: &'a [&'a str],
    /// Zone of the Internet settings it came from: 0 local, 1 intranet, 2 trusted, 3 Internet, 4 restricted.
    #[field(public)]
    pub zone: Option<u8>,
    /// Size as the server declared it.
    #[field(public, unit = "bytes")]
    pub size_declared: Option<u64>,
    /// Size that was received.
    #[field(public, unit = "bytes")]
    pub size: Option<u64>,
    /// Media type as the server declared it.
    #[field(public)]
    pub type_declared: Option<&'a str>,
    /// Media type as told by the content.
    #[field(public)]
    pub content_type: Option<&'a str>,
    /// SHA-256 of the file.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// When it began.
    #[field(public)]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[field(public)]
    pub finished: Timestamp,
    /// How it ended.
    #[field(public)]
    pub result: DownloadResult,
    /// Whether it was interrupted and taken up again.
    #[field(public)]
    pub resumed: Option<bool>,
    /// What the examination of the file found; absent if it was not examined.
    #[field(public)]
    pub verdict: Option<Verdict>,
    /// How long the file was held back for the verdict.
    #[field(public)]
    pub waited: Option<Duration>,
    /// Story it belongs to: the same in the connection, launch, detection and decision that go with the file.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of, for example of a visit.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
