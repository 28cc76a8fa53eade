//! Mail and instant messages.

use super::Direction;
use crate::{CorrelationId, Event, FieldEnum, ProcessKey, Timestamp};

/// How a message travels.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum MailProtocol {
    /// Not known.
    #[default]
    Unknown = 0,
    /// SMTP.
    Smtp = 1,
    /// IMAP.
    Imap = 2,
    /// POP3.
    Pop3 = 3,
    /// MAPI.
    Mapi = 4,
    /// Exchange web services.
    Ews = 5,
}

/// What an instant message is.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum InstantKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Text.
    Text = 1,
    /// A file.
    File = 2,
    /// A call.
    Call = 3,
    /// A link.
    Link = 4,
    /// A reaction.
    Reaction = 5,
}

/// A message was sent or received. Its text never is recorded.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "message.mail",
    category = "message",
    level = "info",
    text = "{direction} mail over {protocol}, {size} bytes"
)]
pub struct MessageMail<'a> {
    /// Keyed hash of the Message-ID.
    #[field(personal, reduce = "keyed")]
    pub message_key: Option<&'a str>,
    /// Direction.
    #[field(public)]
    pub direction: Direction,
    /// Protocol.
    #[field(public)]
    pub protocol: MailProtocol,
    /// Server.
    #[field(personal)]
    pub server: Option<&'a str>,
    /// Port.
    #[field(public)]
    pub port: u16,
    /// The transport is encrypted.
    #[field(public)]
    pub tls: bool,
    /// Account.
    #[field(personal)]
    pub account: Option<&'a str>,
    /// Sender.
    #[field(personal, opt_in)]
    pub from: Option<&'a str>,
    /// Recipients.
    #[field(personal, opt_in)]
    pub to: &'a [&'a str],
    /// Recipients of copies.
    #[field(personal, opt_in)]
    pub cc: &'a [&'a str],
    /// Recipients of blind copies.
    #[field(personal, opt_in)]
    pub bcc: &'a [&'a str],
    /// Number of recipients.
    #[field(public)]
    pub recipients: u32,
    /// Subject.
    #[field(personal, opt_in)]
    pub subject: Option<&'a str>,
    /// Date.
    #[field(public)]
    pub date: Option<Timestamp>,
    /// Size.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Number of headers.
    #[field(public)]
    pub headers: u32,
    /// Keyed hash of the message answered.
    #[field(personal, reduce = "keyed")]
    pub reply_to_key: Option<&'a str>,
    /// Return path.
    #[field(personal, opt_in)]
    pub return_path: Option<&'a str>,
    /// Result of SPF.
    #[field(public)]
    pub spf: Option<&'a str>,
    /// Result of DKIM.
    #[field(public)]
    pub dkim: Option<&'a str>,
    /// Result of DMARC.
    #[field(public)]
    pub dmarc: Option<&'a str>,
    /// Mailing list.
    #[field(personal)]
    pub list_id: Option<&'a str>,
    /// Types of the parts.
    #[field(public)]
    pub part_types: &'a [&'a str],
    /// File names of the parts.
    #[field(personal)]
    pub part_names: &'a [&'a str],
    /// Sizes of the parts.
    #[field(public, unit = "bytes")]
    pub part_sizes: &'a [u64],
    /// SHA-256 of the parts.
    #[field(public)]
    pub part_hashes: &'a [[u8; 32]],
    /// Hosts of the URLs in it.
    #[field(personal, reduce = "host_only")]
    pub urls: &'a [&'a str],
    /// Number of URLs in it.
    #[field(public)]
    pub url_count: u32,
    /// Length of the text.
    #[field(public, unit = "bytes")]
    pub body_length: u64,
    /// Length class and keyed hash of the text.
    #[field(secret)]
    pub body_key: Option<&'a str>,
    /// The message is encrypted.
    #[field(public)]
    pub encrypted: bool,
    /// The message is signed.
    #[field(public)]
    pub signed: bool,
    /// Verdict.
    #[field(public)]
    pub verdict: Option<&'a str>,
    /// What was done.
    #[field(public)]
    pub action: Option<&'a str>,
    /// Folder.
    #[field(personal)]
    pub folder: Option<&'a str>,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Login name.
    #[field(personal)]
    pub login: Option<&'a str>,
    /// Password.
    #[field(secret)]
    pub password: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// An instant message was sent or received. Its text never is recorded.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "message.instant",
    category = "message",
    level = "info",
    text = "{direction} {kind} on {network}"
)]
pub struct MessageInstant<'a> {
    /// Network or application.
    #[field(public)]
    pub network: &'a str,
    /// Protocol.
    #[field(public)]
    pub protocol: Option<&'a str>,
    /// Account.
    #[field(personal)]
    pub account: Option<&'a str>,
    /// The other.
    #[field(personal, opt_in)]
    pub peer: Option<&'a str>,
    /// Group.
    #[field(personal, opt_in)]
    pub group: Option<&'a str>,
    /// Size of the group.
    #[field(public)]
    pub group_size: Option<u32>,
    /// Direction.
    #[field(public)]
    pub direction: Direction,
    /// What it is.
    #[field(public)]
    pub kind: InstantKind,
    /// Length of the text.
    #[field(public, unit = "bytes")]
    pub length: u32,
    /// Language.
    #[field(public)]
    pub language: Option<&'a str>,
    /// Name of the file.
    #[field(personal)]
    pub attachment_name: Option<&'a str>,
    /// Size of the file.
    #[field(public, unit = "bytes")]
    pub attachment_size: Option<u64>,
    /// SHA-256 of the file.
    #[field(public)]
    pub attachment_sha256: Option<[u8; 32]>,
    /// Type of the file.
    #[field(public)]
    pub attachment_type: Option<&'a str>,
    /// Hosts of the URLs in it.
    #[field(personal, reduce = "host_only")]
    pub urls: &'a [&'a str],
    /// When.
    #[field(public)]
    pub sent_at: Timestamp,
    /// It was changed.
    #[field(public)]
    pub edited: bool,
    /// It was deleted.
    #[field(public)]
    pub deleted: bool,
    /// It is encrypted from end to end.
    #[field(public)]
    pub end_to_end: bool,
    /// Verdict.
    #[field(public)]
    pub verdict: Option<&'a str>,
    /// What was done.
    #[field(public)]
    pub action: Option<&'a str>,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
