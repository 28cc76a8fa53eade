//! State of protection, scans, updates of databases.

use std::time::Duration;

use super::DecidedBy;
use crate::{CorrelationId, Event, FieldEnum, Id128, Timestamp};

/// A part of protection.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Subsystem {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Files.
    File = 1,
    /// Web pages and downloads.
    Web = 2,
    /// E-mail.
    Mail = 3,
    /// The network: firewall and detection of attacks.
    Network = 4,
    /// What programs do.
    Behaviour = 5,
    /// The product itself.
    SelfDefence = 6,
    /// Updates of databases and program.
    Update = 7,
    /// The licence.
    Licence = 8,
    /// Look-ups at the vendor's reputation service.
    Cloud = 9,
}

/// State of a part of protection.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ProtectionState {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It runs.
    Running = 1,
    /// It is paused, and will go on by itself.
    Paused = 2,
    /// It runs, but not all of it.
    Degraded = 3,
    /// It should run, but does not.
    Failed = 4,
    /// It is switched off.
    Off = 5,
}

/// Why a state changed.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Cause {
    /// Not known.
    #[default]
    Unknown = 0,
    /// The user wanted it.
    User = 1,
    /// A policy of the organisation.
    Policy = 2,
    /// An error.
    Error = 3,
    /// The licence.
    Licence = 4,
    /// An update.
    Update = 5,
}

/// How far a scan is.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ScanPhase {
    /// Not known, or there was none.
    #[default]
    Unknown = 0,
    /// It began.
    Started = 1,
    /// It came to its end.
    Finished = 2,
    /// It was cancelled.
    Cancelled = 3,
    /// It failed.
    Failed = 4,
}

/// A part of protection changed its state.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "protection.state_changed",
    category = "protection",
    level = "info",
    text = "{subsystem} protection went from {previous} to {state} because of {cause}"
)]
pub struct ProtectionStateChanged<'a> {
    /// Part of protection.
    #[field(public)]
    pub subsystem: Subsystem,
    /// Its state now.
    #[field(public)]
    pub state: ProtectionState,
    /// Its state before.
    #[field(public)]
    pub previous: ProtectionState,
    /// Why it changed.
    #[field(public)]
    pub cause: Cause,
    /// When the state will end by itself; absent if it will not.
    #[field(public)]
    pub until: Option<Timestamp>,
    /// Version of the databases.
    #[field(public)]
    pub database_version: Option<&'a str>,
    /// When the databases were issued.
    #[field(public)]
    pub database_date: Option<Timestamp>,
    /// Number of records in the databases.
    #[field(public)]
    pub database_records: Option<u64>,
    /// Version of the engine.
    #[field(public)]
    pub engine_version: Option<&'a str>,
    /// When the last full scan ended.
    #[field(public)]
    pub last_full_scan: Option<Timestamp>,
    /// How the last full scan ended.
    #[field(public)]
    pub last_scan_result: ScanPhase,
    /// Number of detections of the last full scan.
    #[field(public)]
    pub last_scan_detections: Option<u32>,
    /// Id of the policy in force.
    #[field(public)]
    pub policy_id: Option<&'a str>,
    /// What is left of the licence; negative once it has expired.
    #[field(public, unit = "days")]
    pub licence_days: Option<i32>,
    /// Story it belongs to: that of the error, update or decision that caused it.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A scan began or ended.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "protection.scan",
    category = "protection",
    level = "info",
    text = "scan {name} {phase}: {files} files, {detections} detections"
)]
pub struct ProtectionScan<'a> {
    /// Identity of the scan: the same at its begin and its end.
    #[field(public)]
    pub scan_id: Id128,
    /// Name of the task, for example "quick".
    #[field(public)]
    pub name: &'a str,
    /// How far it is.
    #[field(public)]
    pub phase: ScanPhase,
    /// Who asked for it.
    #[field(public)]
    pub started_by: DecidedBy,
    /// Places to be scanned.
    #[field(personal)]
    pub targets: &'a [&'a str],
    /// Number of files that were examined.
    #[field(public, unit = "files")]
    pub files: u64,
    /// Number of files that were skipped.
    #[field(public, unit = "files")]
    pub skipped: u64,
    /// Number of files that were known to be good.
    #[field(public, unit = "files")]
    pub trusted: u64,
    /// Number of detections.
    #[field(public)]
    pub detections: u32,
    /// How long it took; absent at its begin.
    #[field(public)]
    pub took: Option<Duration>,
    /// Why it failed.
    #[field(public)]
    pub error: Option<&'a str>,
    /// Story it belongs to; its detections carry it as their parent's.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// The databases were updated, or could not be.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "protection.database_updated",
    category = "protection",
    level = "info",
    text = "databases went from version {previous} to {version}, {records} records"
)]
pub struct ProtectionDatabaseUpdated<'a> {
    /// Version now.
    #[field(public)]
    pub version: &'a str,
    /// Version before.
    #[field(public)]
    pub previous: Option<&'a str>,
    /// When the databases were issued.
    #[field(public)]
    pub date: Option<Timestamp>,
    /// Number of records.
    #[field(public)]
    pub records: u64,
    /// What was downloaded for it.
    #[field(public, unit = "bytes")]
    pub size: Option<u64>,
    /// Host that it was downloaded from.
    #[field(public)]
    pub source: Option<&'a str>,
    /// How long it took.
    #[field(public)]
    pub took: Duration,
    /// Why it failed; absent if it did not.
    #[field(public)]
    pub error: Option<&'a str>,
    /// Story it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
