//! E-mails and instant messages. Their text is never recorded.

use super::{Direction, Disposition, TlsVersion, Verdict};
use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// By which protocol an e-mail travels.
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
    /// Exchange Web Services.
    Ews = 5,
}

/// Result of checking where an e-mail comes from (RFC 8601).
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SenderCheck {
    /// Not checked.
    #[default]
    Unknown = 0,
    /// The sender's domain publishes nothing to check by.
    None = 1,
    /// It fits.
    Pass = 2,
    /// It does not fit.
    Fail = 3,
    /// It probably does not fit.
    #[value("softfail")]
    SoftFail = 4,
    /// The domain says nothing about this sender.
    Neutral = 5,
    /// It fits, but the receiver's policy does not accept it.
    Policy = 6,
    /// The check failed for now.
    #[value("temperror")]
    TempError = 7,
    /// The check cannot succeed.
    #[value("permerror")]
    PermError = 8,
}

/// How a part of an e-mail is meant to be shown.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum PartDisposition {
    /// Not told.
    #[default]
    Unknown = 0,
    /// In the message.
    Inline = 1,
    /// As an attachment.
    Attachment = 2,
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
    /// A reaction to another message.
    Reaction = 5,
}

/// An e-mail was sent or received. Its text is never recorded; subject and addresses only if they are opted in.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "message.mail",
    category = "message",
    level = "info",
    text = "{direction} e-mail over {protocol}, {size} bytes, verdict {verdict}"
)]
pub struct MessageMail<'a> {
    /// Message-ID as a keyed hash, which tells whether two events are about one message.
    #[field(personal, reduce = "keyed")]
    pub message_key: Option<&'a str>,
    /// Sent (outbound) or received (inbound).
    #[field(public)]
    pub direction: Direction,
    /// Protocol.
    #[field(public)]
    pub protocol: MailProtocol,
    /// Host name of the mail server.
    #[field(personal)]
    pub server: Option<&'a str>,
    /// Port of the mail server, 1 to 65535; 0 if it is not known.
    #[field(public)]
    pub port: u16,
    /// Whether the connection was encrypted by TLS.
    #[field(public)]
    pub tls: bool,
    /// Version of TLS.
    #[field(public)]
    pub tls_version: TlsVersion,
    /// Connection that carried it, as in `network.connection`.
    #[field(public)]
    pub connection_id: Option<Id128>,
    /// Account of the user, usually an address.
    #[field(personal, opt_in)]
    pub account: Option<&'a str>,
    /// Address of the sender.
    #[field(personal, opt_in)]
    pub from: Option<&'a str>,
    /// Addresses of the recipients.
    #[field(personal, opt_in)]
    pub to: &'a [&'a str],
    /// Addresses of the recipients of copies.
    #[field(personal, opt_in)]
    pub cc: &'a [&'a str],
    /// Addresses of the recipients of blind copies.
    #[field(personal, opt_in)]
    pub bcc: &'a [&'a str],
    /// Number of all recipients.
    #[field(public)]
    pub recipients: u32,
    /// Number of recipients of copies.
    #[field(public)]
    pub cc_count: u32,
    /// Number of recipients of blind copies.
    #[field(public)]
    pub bcc_count: u32,
    /// Subject.
    #[field(personal, opt_in)]
    pub subject: Option<&'a str>,
    /// Length of the subject.
    #[field(public, unit = "bytes")]
    pub subject_length: Option<u32>,
    /// Date in the message's header.
    #[field(public)]
    pub date: Option<Timestamp>,
    /// Size of the whole message.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Number of header lines.
    #[field(public)]
    pub headers: u32,
    /// Message-ID of the message it answers, as a keyed hash.
    #[field(personal, reduce = "keyed")]
    pub reply_to_key: Option<&'a str>,
    /// Address that errors go to.
    #[field(personal, opt_in)]
    pub return_path: Option<&'a str>,
    /// Result of SPF.
    #[field(public)]
    pub spf: SenderCheck,
    /// Result of DKIM.
    #[field(public)]
    pub dkim: SenderCheck,
    /// Result of DMARC.
    #[field(public)]
    pub dmarc: SenderCheck,
    /// Id of the mailing list.
    #[field(personal)]
    pub list_id: Option<&'a str>,
    /// Media types of the parts, in order; parallel to the other lists of parts.
    #[field(public)]
    pub part_types: &'a [&'a str],
    /// How the parts are meant to be shown.
    #[field(public)]
    pub part_dispositions: &'a [PartDisposition],
    /// File names of the parts; an empty text if a part has none.
    #[field(personal)]
    pub part_names: &'a [&'a str],
    /// Sizes of the parts, decoded.
    #[field(public, unit = "bytes")]
    pub part_sizes: &'a [u64],
    /// SHA-256 of the parts, decoded; zeros for a part that is text.
    #[field(public)]
    pub part_hashes: &'a [[u8; 32]],
    /// URLs in the text, of which only the hosts are kept.
    #[field(personal, reduce = "host_only")]
    pub urls: &'a [&'a str],
    /// Number of URLs in the text.
    #[field(public)]
    pub url_count: u32,
    /// Length of the text.
    #[field(public, unit = "bytes")]
    pub body_length: u64,
    /// SHA-256 of the text, recorded only as a keyed hash.
    #[field(personal, reduce = "keyed")]
    pub body_hash: Option<[u8; 32]>,
    /// Whether the message itself is encrypted (S/MIME, OpenPGP).
    #[field(public)]
    pub encrypted: bool,
    /// Whether the message itself is signed (S/MIME, OpenPGP).
    #[field(public)]
    pub signed: bool,
    /// What the examination found.
    #[field(public)]
    pub verdict: Verdict,
    /// What was done with it.
    #[field(public)]
    pub action: Disposition,
    /// Folder it lies in.
    #[field(personal)]
    pub folder: Option<&'a str>,
    /// Stable key of the mail client's process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Name that the client logged in with, usually an address.
    #[field(personal, opt_in)]
    pub login: Option<&'a str>,
    /// Password that the client logged in with.
    #[field(secret)]
    pub password: Option<&'a str>,
    /// Story it belongs to: the same in the connection, detection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// An instant message was sent or received. Its text is never recorded; the peers only if they are opted in.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "message.instant",
    category = "message",
    level = "info",
    text = "{direction} instant message on {network}: {kind}, verdict {verdict}"
)]
pub struct MessageInstant<'a> {
    /// Network or application.
    #[field(public)]
    pub network: &'a str,
    /// Protocol, for example "xmpp".
    #[field(public)]
    pub protocol: Option<&'a str>,
    /// Account of the user.
    #[field(personal)]
    pub account: Option<&'a str>,
    /// The other person.
    #[field(personal, opt_in)]
    pub peer: Option<&'a str>,
    /// Name of the group.
    #[field(personal, opt_in)]
    pub group: Option<&'a str>,
    /// Number of members of the group.
    #[field(public)]
    pub group_size: Option<u32>,
    /// Sent (outbound) or received (inbound).
    #[field(public)]
    pub direction: Direction,
    /// What it is.
    #[field(public)]
    pub kind: InstantKind,
    /// Length of the text.
    #[field(public, unit = "bytes")]
    pub length: u32,
    /// Language of the text, for example "en".
    #[field(public)]
    pub language: Option<&'a str>,
    /// Name of the attached file.
    #[field(personal)]
    pub attachment_name: Option<&'a str>,
    /// Size of the attached file.
    #[field(public, unit = "bytes")]
    pub attachment_size: Option<u64>,
    /// SHA-256 of the attached file.
    #[field(public)]
    pub attachment_sha256: Option<[u8; 32]>,
    /// Media type of the attached file.
    #[field(public)]
    pub attachment_type: Option<&'a str>,
    /// URLs in the text, of which only the hosts are kept.
    #[field(personal, reduce = "host_only")]
    pub urls: &'a [&'a str],
    /// When it was sent.
    #[field(public)]
    pub sent_at: Timestamp,
    /// Whether it changes an earlier message.
    #[field(public)]
    pub edited: bool,
    /// Whether it deletes an earlier message.
    #[field(public)]
    pub deleted: bool,
    /// Whether it is encrypted from end to end.
    #[field(public)]
    pub end_to_end: bool,
    /// What the examination found.
    #[field(public)]
    pub verdict: Verdict,
    /// What was done with it.
    #[field(public)]
    pub action: Disposition,
    /// Stable key of the messenger's process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Story it belongs to: the same in the connection, detection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
