//! Downloaded files.

use std::net::IpAddr;
use std::time::Duration;

use super::FileAttributes;
use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// How a download ended.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum DownloadResult {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It is complete.
    Complete = 1,
    /// It was cancelled.
    Cancelled = 2,
    /// It failed.
    Failed = 3,
    /// It was blocked.
    Blocked = 4,
}

/// A download began.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "download.started",
    category = "download",
    level = "info",
    text = "{file_name} is being downloaded from {url}"
)]
pub struct DownloadStarted<'a> {
    /// The download.
    #[field(public)]
    pub download_id: Id128,
    /// Where it comes from, without query.
    #[field(personal)]
    pub url: Option<&'a str>,
    /// Query of the URL.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// Where it came from after redirects, without query.
    #[field(personal)]
    pub final_url: Option<&'a str>,
    /// Page that led to it, without query.
    #[field(personal)]
    pub referrer: Option<&'a str>,
    /// Server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Port.
    #[field(public)]
    pub port: Option<u16>,
    /// Protocol.
    #[field(public)]
    pub protocol: Option<&'a str>,
    /// Certificate of the server.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Name of the file.
    #[field(personal)]
    pub file_name: &'a str,
    /// Where it is.
    #[field(personal)]
    pub path: &'a str,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process that initiated it.
    #[field(public)]
    pub pid: Option<u32>,
    /// Its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Its name.
    #[field(public)]
    pub process_name: Option<&'a str>,
    /// Who signed it.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Its parent, for good.
    #[field(public)]
    pub parent_key: ProcessKey,
    /// User name.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Size as told by the server.
    #[field(public, unit = "bytes")]
    pub size_declared: Option<u64>,
    /// When.
    #[field(public)]
    pub started: Timestamp,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A download ended.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "download.finished",
    category = "download",
    level = "info",
    text = "{file_name} was downloaded from {url}"
)]
pub struct DownloadFinished<'a> {
    /// The download.
    #[field(public)]
    pub download_id: Id128,
    /// Where it comes from, without query.
    #[field(personal)]
    pub url: Option<&'a str>,
    /// Query of the URL.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// Where it came from after redirects, without query.
    #[field(personal)]
    pub final_url: Option<&'a str>,
    /// Page that led to it, without query.
    #[field(personal)]
    pub referrer: Option<&'a str>,
    /// Server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Port.
    #[field(public)]
    pub port: Option<u16>,
    /// Protocol.
    #[field(public)]
    pub protocol: Option<&'a str>,
    /// Certificate of the server.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Name of the file.
    #[field(personal)]
    pub file_name: &'a str,
    /// Where it is.
    #[field(personal)]
    pub path: &'a str,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process that initiated it.
    #[field(public)]
    pub pid: Option<u32>,
    /// Its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Its name.
    #[field(public)]
    pub process_name: Option<&'a str>,
    /// Who signed it.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Its parent, for good.
    #[field(public)]
    pub parent_key: ProcessKey,
    /// User name.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Attributes of the file.
    #[field(public)]
    pub attributes: FileAttributes,
    /// Permission bits.
    #[field(public)]
    pub mode: u32,
    /// Zone it comes from.
    #[field(public)]
    pub zone: Option<u8>,
    /// Size as told by the server.
    #[field(public, unit = "bytes")]
    pub size_declared: Option<u64>,
    /// Size received.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Type as told by the server.
    #[field(public)]
    pub type_declared: Option<&'a str>,
    /// Type by content.
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
    /// It was interrupted.
    #[field(public)]
    pub resumed: bool,
    /// Verdict about the file.
    #[field(public)]
    pub verdict: Option<&'a str>,
    /// How long it was held for the verdict.
    #[field(public)]
    pub waited: Option<Duration>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
