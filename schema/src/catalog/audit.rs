//! What was done with tracing itself, and with what it recorded.
//!
//! The level is error, so that these events are on whenever tracing is.

use crate::{Event, FieldEnum, Id128, Timestamp};

/// How something was done to tracing or with a trace.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum AuditMethod {
    /// Not known.
    #[default]
    Unknown = 0,
    /// By a command.
    CommandLine = 1,
    /// In the interface of the product.
    Interface = 2,
    /// By a program, through the library.
    Library = 3,
    /// By a policy of the organisation.
    Policy = 4,
}

/// Tracing was enabled.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.enabled",
    category = "audit",
    level = "error",
    text = "tracing was enabled by user {uid}: {scope}, until {until}"
)]
pub struct AuditEnabled<'a> {
    /// User id of who did it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that did it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that did it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// How it was done.
    #[field(public)]
    pub how: AuditMethod,
    /// Categories and their levels, for example "all=info, network=debug".
    #[field(public)]
    pub scope: &'a str,
    /// Events and fields that were opted in.
    #[field(public)]
    pub opt_ins: &'a [&'a str],
    /// When it will end by itself; absent if it will not.
    #[field(public)]
    pub until: Option<Timestamp>,
    /// Id of the support request that asked for it.
    #[field(public)]
    pub request_id: Option<&'a str>,
}

/// Tracing was disabled.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.disabled",
    category = "audit",
    level = "error",
    text = "tracing was disabled by user {uid}: {reason}"
)]
pub struct AuditDisabled<'a> {
    /// User id of who did it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that did it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that did it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Why and how, in words.
    #[field(public)]
    pub reason: &'a str,
}

/// A bundle was opened to look at what would be sent.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.viewed",
    category = "audit",
    level = "error",
    text = "bundle {bundle_id} was viewed by user {uid}: {members} members"
)]
pub struct AuditViewed<'a> {
    /// User id of who did it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that did it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that did it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// How it was done.
    #[field(public)]
    pub how: AuditMethod,
    /// Identity of the bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// Number of members that were looked at.
    #[field(public)]
    pub members: u32,
}

/// The user agreed that a bundle is sent.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.consented",
    category = "audit",
    level = "error",
    text = "user {uid} agreed that bundle {bundle_id} is sent to {recipient}"
)]
pub struct AuditConsented<'a> {
    /// User id of who agreed.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that asked.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that asked.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// How it was done.
    #[field(public)]
    pub how: AuditMethod,
    /// Identity of the bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// SHA-256 of the bundle: exactly this may be sent, nothing else.
    #[field(public)]
    pub digest: [u8; 32],
    /// Version of the statement that was shown.
    #[field(public)]
    pub statement: &'a str,
    /// Who may receive it.
    #[field(public)]
    pub recipient: &'a str,
}

/// A bundle was sent.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.sent",
    category = "audit",
    level = "error",
    text = "bundle {bundle_id} was sent to {recipient}: {bytes} bytes over {channel}"
)]
pub struct AuditSent<'a> {
    /// User id of who sent it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that sent it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that sent it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Identity of the bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// SHA-256 of what was sent; the same as in the consent.
    #[field(public)]
    pub digest: [u8; 32],
    /// Who it was sent to.
    #[field(public)]
    pub recipient: &'a str,
    /// Secure channel that it was sent over, for example "tls1.3".
    #[field(public)]
    pub channel: Option<&'a str>,
    /// SHA-256 of the server's certificate.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// How much was sent.
    #[field(public, unit = "bytes")]
    pub bytes: u64,
}

/// The recipient confirmed that a bundle arrived.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.receipt",
    category = "audit",
    level = "error",
    text = "bundle {bundle_id} arrived: receipt {receipt}"
)]
pub struct AuditReceipt<'a> {
    /// User id of who sent it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that sent it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that sent it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Identity of the bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// SHA-256 of what arrived, as the recipient confirmed it.
    #[field(public)]
    pub digest: [u8; 32],
    /// The recipient's receipt.
    #[field(public)]
    pub receipt: &'a str,
}

/// A trace was written in another form, which lies where access to it is no longer watched.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.exported",
    category = "audit",
    level = "error",
    text = "user {uid} wrote {events} events as {format} to {path}"
)]
pub struct AuditExported<'a> {
    /// User id of who did it.
    #[field(personal)]
    pub uid: u32,
    /// Process id of the program that did it.
    #[field(public)]
    pub pid: u32,
    /// Path of the program that did it.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// How it was done.
    #[field(public)]
    pub how: AuditMethod,
    /// Form, for example "json".
    #[field(public)]
    pub format: &'a str,
    /// Path that it was written to.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// Number of events that were written.
    #[field(public)]
    pub events: u64,
}
