//! State of protection, scans, updates.

use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, Id128, Timestamp};

/// Part of the protection.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Subsystem {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Files.
    File = 1,
    /// Web.
    Web = 2,
    /// Mail.
    Mail = 3,
    /// Network.
    Network = 4,
    /// Behaviour.
    Behaviour = 5,
    /// Self-defence.
    SelfDefence = 6,
    /// Updates.
    Update = 7,
    /// Licence.
    Licence = 8,
    /// Look-ups.
    Cloud = 9,
}

/// State of protection.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ProtectionState {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It runs.
    Running = 1,
    /// It is paused.
    Paused = 2,
    /// It runs in part.
    Degraded = 3,
    /// It failed.
    Failed = 4,
    /// It is off.
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
    /// The user.
    User = 1,
    /// A policy.
    Policy = 2,
    /// An error.
    Error = 3,
    /// The licence.
    Licence = 4,
    /// An update.
    Update = 5,
}

/// Where a scan is.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ScanPhase {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It began.
    Started = 1,
    /// It is done.
    Finished = 2,
    /// It was cancelled.
    Cancelled = 3,
    /// It failed.
    Failed = 4,
}

/// A part of the protection changed its state.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "protection.state_changed",
    category = "protection",
    level = "info",
    text = "{subsystem} protection is {state}, was {previous}"
)]
pub struct ProtectionStateChanged<'a> {
    /// Which part.
    #[field(public)]
    pub subsystem: Subsystem,
    /// Its state.
    #[field(public)]
    pub state: ProtectionState,
    /// Its state before.
    #[field(public)]
    pub previous: ProtectionState,
    /// Why.
    #[field(public)]
    pub cause: Cause,
    /// Until when.
    #[field(public)]
    pub until: Option<Timestamp>,
    /// Version of the databases.
    #[field(public)]
    pub database_version: Option<&'a str>,
    /// Date of the databases.
    #[field(public)]
    pub database_date: Option<Timestamp>,
    /// Records of the databases.
    #[field(public)]
    pub database_records: Option<u64>,
    /// Version of the engine.
    #[field(public)]
    pub engine_version: Option<&'a str>,
    /// Last full scan.
    #[field(public)]
    pub last_full_scan: Option<Timestamp>,
    /// Its result.
    #[field(public)]
    pub last_scan_result: Option<&'a str>,
    /// Policy.
    #[field(public)]
    pub policy_id: Option<&'a str>,
    /// What is left of the licence.
    #[field(public, unit = "days")]
    pub licence_days: Option<i32>,
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
    /// The scan.
    #[field(public)]
    pub scan_id: Id128,
    /// Its name.
    #[field(public)]
    pub name: &'a str,
    /// Where it is.
    #[field(public)]
    pub phase: ScanPhase,
    /// Files looked at.
    #[field(public)]
    pub files: u64,
    /// Files skipped.
    #[field(public)]
    pub skipped: u64,
    /// Files known to be good.
    #[field(public)]
    pub trusted: u64,
    /// Detections.
    #[field(public)]
    pub detections: u32,
    /// How long it took.
    #[field(public)]
    pub took: Option<Duration>,
    /// What went wrong.
    #[field(public)]
    pub error: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// The databases were updated.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "protection.database_updated",
    category = "protection",
    level = "info",
    text = "databases are version {version} with {records} records"
)]
pub struct ProtectionDatabaseUpdated<'a> {
    /// Version.
    #[field(public)]
    pub version: &'a str,
    /// Version before.
    #[field(public)]
    pub previous: Option<&'a str>,
    /// Date.
    #[field(public)]
    pub date: Option<Timestamp>,
    /// Records.
    #[field(public)]
    pub records: u64,
    /// What was loaded.
    #[field(public, unit = "bytes")]
    pub size: Option<u64>,
    /// Where from.
    #[field(public)]
    pub source: Option<&'a str>,
    /// How long it took.
    #[field(public)]
    pub took: Duration,
    /// What went wrong.
    #[field(public)]
    pub error: Option<&'a str>,
}
