//! What was done with tracing itself. Level error, so that it is on whenever anything is.

use crate::{Event, Id128, Timestamp};

/// Tracing was enabled.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.enabled",
    category = "audit",
    level = "error",
    text = "tracing was enabled: {scope}"
)]
pub struct AuditEnabled<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Categories and levels.
    #[field(public)]
    pub scope: &'a str,
    /// Opt-in events and fields.
    #[field(public)]
    pub opt_ins: &'a [&'a str],
    /// When it ends by itself.
    #[field(public)]
    pub until: Option<Timestamp>,
    /// Request that asked for it.
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
    text = "tracing was disabled: {reason}"
)]
pub struct AuditDisabled<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Why.
    #[field(public)]
    pub reason: &'a str,
}

/// The user opened a bundle.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.viewed",
    category = "audit",
    level = "error",
    text = "bundle {bundle_id} was opened"
)]
pub struct AuditViewed<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// The bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// Members looked at.
    #[field(public)]
    pub members: u32,
}

/// The user agreed to send a bundle.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.consented",
    category = "audit",
    level = "error",
    text = "sending bundle {bundle_id} was agreed to"
)]
pub struct AuditConsented<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// The bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// Digest of exactly what may be sent.
    #[field(public)]
    pub digest: [u8; 32],
    /// Version of the statement.
    #[field(public)]
    pub statement: &'a str,
    /// To whom.
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
    text = "bundle {bundle_id} was sent to {recipient}"
)]
pub struct AuditSent<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// The bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// Digest of what was sent.
    #[field(public)]
    pub digest: [u8; 32],
    /// To whom.
    #[field(public)]
    pub recipient: &'a str,
    /// How much.
    #[field(public, unit = "bytes")]
    pub bytes: u64,
}

/// The recipient confirmed a bundle.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.receipt",
    category = "audit",
    level = "error",
    text = "bundle {bundle_id} was received"
)]
pub struct AuditReceipt<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// The bundle.
    #[field(public)]
    pub bundle_id: Id128,
    /// Digest as confirmed.
    #[field(public)]
    pub digest: [u8; 32],
    /// The receipt.
    #[field(public)]
    pub receipt: &'a str,
}

/// A trace was written in another form.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "audit.exported",
    category = "audit",
    level = "error",
    text = "{events} events were written as {format}"
)]
pub struct AuditExported<'a> {
    /// Who: user id.
    #[field(personal)]
    pub uid: u32,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Form.
    #[field(public)]
    pub format: &'a str,
    /// Where to.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// How many events.
    #[field(public)]
    pub events: u64,
}
