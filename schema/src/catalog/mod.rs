//! The catalog: every event that the parts of a security product have in common.
//!
//! | category | events | level |
//! | --- | --- | --- |
//! | detection | [`DetectionObject`], [`DetectionNetworkAttack`], [`DetectionActivity`], [`DetectionUrl`] | warn |
//! | | [`DetectionDecision`] | info |
//! | download | [`DownloadStarted`], [`DownloadFinished`] | info |
//! | process | [`ProcessStart`], [`ProcessExit`] | info |
//! | module | [`ModuleImage`] (once for each file), [`ModuleLoad`] | info, debug |
//! | network | [`NetworkConnection`], [`NetworkDns`] | debug |
//! | web | [`WebVisit`], [`WebLogin`] (opt-in), [`WebCookies`] (opt-in) | debug |
//! | message | [`MessageMail`], [`MessageInstant`] | info |
//! | certificate | [`CertificateSeen`] (once for each certificate) | info |
//! | protection | [`ProtectionStateChanged`], [`ProtectionScan`], [`ProtectionDatabaseUpdated`] | info |
//! | ui | [`UiAction`], [`UiNotification`] | debug |
//! | error | [`ErrorRaised`] | error |
//! | audit | [`AuditEnabled`], [`AuditDisabled`], [`AuditViewed`], [`AuditConsented`], [`AuditSent`], [`AuditReceipt`], [`AuditExported`] | error |
//!
//! **Privacy.** *Personal* fields are readable on the user's computer and pseudonymised in a bundle; *secret* ones
//! (passwords, tokens, values of cookies, queries of URLs) are recorded as a length class and a keyed hash only.
//! Events and fields that are opt-in stay off, even when their category is on, until they are enabled by name. The text
//! of messages has no field at all.
//!
//! **What may be unknown** is an `Option`, an empty list, or an enum's `Unknown`; every event has a `Default`, so that a
//! component names only what it knows.
//!
//! **One story.** `process_key` names a process for good, whatever becomes of its process id. `correlation` is the
//! same in the download of a file, its launch, its connections, a detection and the decisions about it;
//! `parent_correlation` names the story that one came out of. `detection_id`, `connection_id`, `visit_id` and
//! `certificate_id` refer to single things.

mod audit;
mod certificate;
mod detection;
mod download;
mod error;
mod message;
mod module;
mod network;
#[cfg(test)]
mod own_values;
mod process;
mod protection;
pub mod sample;
#[cfg(test)]
mod tests;
mod ui;
mod url;
mod web;

pub use audit::*;
pub use certificate::*;
pub use detection::*;
pub use download::*;
pub use error::*;
pub use message::*;
pub use module::*;
pub use network::*;
pub use process::*;
pub use protection::*;
pub use ui::*;
pub use url::*;
pub use web::*;

use crate::event::{Event, SchemaRef};

macro_rules! schemas {
    ($($event:ty),* $(,)?) => {
        [$(<$event as Event>::SCHEMA),*]
    };
}

/// The descriptions of all events of the catalog, category by category.
#[must_use]
pub fn all() -> Vec<&'static SchemaRef> {
    schemas![
        DetectionObject<'static>,
        DetectionNetworkAttack<'static>,
        DetectionActivity<'static>,
        DetectionUrl<'static>,
        DetectionDecision<'static>,
        DownloadStarted<'static>,
        DownloadFinished<'static>,
        ProcessStart<'static>,
        ProcessExit<'static>,
        ModuleLoad<'static>,
        ModuleImage<'static>,
        NetworkConnection<'static>,
        NetworkDns<'static>,
        WebVisit<'static>,
        WebLogin<'static>,
        WebCookies<'static>,
        MessageMail<'static>,
        MessageInstant<'static>,
        CertificateSeen<'static>,
        ProtectionStateChanged<'static>,
        ProtectionScan<'static>,
        ProtectionDatabaseUpdated<'static>,
        UiAction<'static>,
        UiNotification<'static>,
        ErrorRaised<'static>,
        AuditEnabled<'static>,
        AuditDisabled<'static>,
        AuditViewed<'static>,
        AuditConsented<'static>,
        AuditSent<'static>,
        AuditReceipt<'static>,
        AuditExported<'static>,
    ]
    .to_vec()
}
