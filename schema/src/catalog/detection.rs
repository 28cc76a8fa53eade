//! Detections, and the decisions about them.

use std::net::IpAddr;
use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// How something was detected.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Method {
    /// Not known.
    #[default]
    Unknown = 0,
    /// By a signature.
    Signature = 1,
    /// By a heuristic.
    Heuristic = 2,
    /// By what it did.
    Behaviour = 3,
    /// By a look-up.
    Cloud = 4,
    /// By a model.
    MachineLearning = 5,
    /// By a rule.
    Rule = 6,
    /// By a list of hashes.
    HashList = 7,
}

/// How bad it is; numbers as in OCSF.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Severity {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Worth knowing.
    Informational = 1,
    /// Low.
    Low = 2,
    /// Medium.
    Medium = 3,
    /// High.
    High = 4,
    /// Critical.
    Critical = 5,
    /// Fatal.
    Fatal = 6,
}

/// What was detected.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ObjectKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A file.
    File = 1,
    /// Memory of a process.
    Memory = 2,
    /// A process.
    Process = 3,
    /// A boot sector.
    BootSector = 4,
    /// A record of a settings store.
    Registry = 5,
    /// A URL.
    Url = 6,
    /// A script.
    Script = 7,
    /// A part of a message.
    MailPart = 8,
    /// Network data.
    Packet = 9,
}

/// What became of the object.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ObjectState {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It is there.
    Present = 1,
    /// It is there and in use.
    Locked = 2,
    /// It is gone.
    Gone = 3,
}

/// Direction of traffic.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Direction {
    /// Not known.
    #[default]
    Unknown = 0,
    /// To this computer.
    Inbound = 1,
    /// From this computer.
    Outbound = 2,
}

/// What was decided; numbers as in OCSF.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Disposition {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Allowed.
    Allowed = 1,
    /// Blocked.
    Blocked = 2,
    /// Put into quarantine.
    Quarantined = 3,
    /// Deleted.
    Deleted = 5,
    /// Restored.
    Restored = 9,
    /// Found to be harmless.
    Exonerated = 10,
    /// Cured.
    Corrected = 11,
    /// Cured in part.
    PartiallyCorrected = 12,
    /// Not cured.
    Uncorrected = 13,
    /// Put off.
    Delayed = 14,
    /// Only detected.
    Detected = 15,
    /// Nothing was done.
    NoAction = 16,
    /// It failed.
    Error = 27,
}

/// Who decided.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum DecidedBy {
    /// Not known.
    #[default]
    Unknown = 0,
    /// The product.
    Application = 1,
    /// The user.
    User = 2,
    /// A policy.
    Policy = 3,
    /// An administrator.
    Administrator = 4,
}

/// How far a decision reaches.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Scope {
    /// Not known.
    #[default]
    Unknown = 0,
    /// This time.
    Once = 1,
    /// This object.
    Object = 2,
    /// This folder.
    Folder = 3,
    /// Always.
    Always = 4,
}

/// A harmful object was found.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.object",
    category = "detection",
    level = "warn",
    text = "{name} was found in {object_path}"
)]
pub struct DetectionObject<'a> {
    /// The detection; decisions about it name it too.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of what was detected.
    #[field(public)]
    pub name: &'a str,
    /// Classes of threat.
    #[field(public)]
    pub classes: &'a [&'a str],
    /// How bad it is.
    #[field(public)]
    pub severity: Severity,
    /// How it was detected.
    #[field(public)]
    pub method: Method,
    /// How sure that is.
    #[field(public, unit = "%")]
    pub confidence: Option<u8>,
    /// Rule or record that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Version of the databases.
    #[field(public)]
    pub database_version: Option<&'a str>,
    /// When.
    #[field(public)]
    pub detected_at: Timestamp,
    /// What it is.
    #[field(public)]
    pub object_kind: ObjectKind,
    /// Name of the object.
    #[field(personal)]
    pub object_name: &'a str,
    /// Where it is.
    #[field(personal)]
    pub object_path: &'a str,
    /// Its size.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Names of the files concerned.
    #[field(personal)]
    pub file_names: &'a [&'a str],
    /// Paths of the files concerned.
    #[field(personal)]
    pub file_paths: &'a [&'a str],
    /// Sizes of the files concerned.
    #[field(public, unit = "bytes")]
    pub file_sizes: &'a [u64],
    /// SHA-256 of the object.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// SHA-1 of the object.
    #[field(public)]
    pub sha1: Option<[u8; 20]>,
    /// MD5 of the object.
    #[field(public)]
    pub md5: Option<[u8; 16]>,
    /// Type by content.
    #[field(public)]
    pub content_type: Option<&'a str>,
    /// Path inside an archive.
    #[field(personal)]
    pub archive_path: Option<&'a str>,
    /// Archives and messages around it, the outermost first.
    #[field(personal)]
    pub containers: &'a [&'a str],
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id of the process concerned.
    #[field(public)]
    pub pid: Option<u32>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// User name.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Its ancestors, the nearest first.
    #[field(public)]
    pub parent_keys: &'a [ProcessKey],
    /// What became of it.
    #[field(public)]
    pub state: ObjectState,
    /// MITRE ATT&CK techniques.
    #[field(public)]
    pub techniques: &'a [&'a str],
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// An attack over the network.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.network_attack",
    category = "detection",
    level = "warn",
    text = "{name} from {remote_address} against port {local_port}"
)]
pub struct DetectionNetworkAttack<'a> {
    /// The detection; decisions about it name it too.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of the attack.
    #[field(public)]
    pub name: &'a str,
    /// How bad it is.
    #[field(public)]
    pub severity: Severity,
    /// Direction.
    #[field(public)]
    pub direction: Direction,
    /// IP protocol number.
    #[field(public)]
    pub protocol: u8,
    /// Port on this computer.
    #[field(public)]
    pub local_port: u16,
    /// Port of the other.
    #[field(public)]
    pub remote_port: Option<u16>,
    /// Part of the address of the other.
    #[field(personal, reduce = "prefix(24, 48)")]
    pub remote_address: Option<IpAddr>,
    /// Keyed checksum of the address, to recognise it again.
    #[field(personal, reduce = "keyed")]
    pub remote_checksum: Option<IpAddr>,
    /// How often.
    #[field(public)]
    pub hits: u32,
    /// First time.
    #[field(public)]
    pub first_seen: Timestamp,
    /// Last time.
    #[field(public)]
    pub last_seen: Timestamp,
    /// For how long the other is blocked.
    #[field(public)]
    pub blocked_for: Option<Duration>,
    /// Rule that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A program did something harmful.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.activity",
    category = "detection",
    level = "warn",
    text = "{name}: {kind} on {target}"
)]
pub struct DetectionActivity<'a> {
    /// The detection; decisions about it name it too.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of what was detected.
    #[field(public)]
    pub name: &'a str,
    /// How bad it is.
    #[field(public)]
    pub severity: Severity,
    /// Kind of activity.
    #[field(public)]
    pub kind: &'a str,
    /// What it was done to.
    #[field(personal)]
    pub target: Option<&'a str>,
    /// Family of calls.
    #[field(public)]
    pub api: Option<&'a str>,
    /// How often.
    #[field(public)]
    pub count: u32,
    /// It was prevented.
    #[field(public)]
    pub blocked: bool,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// MITRE ATT&CK techniques.
    #[field(public)]
    pub techniques: &'a [&'a str],
    /// Rule that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A URL that may be harmful.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.url",
    category = "detection",
    level = "warn",
    text = "{verdict} URL on {host}"
)]
pub struct DetectionUrl<'a> {
    /// The detection; decisions about it name it too.
    #[field(public)]
    pub detection_id: Id128,
    /// Verdict.
    #[field(public)]
    pub verdict: &'a str,
    /// Categories.
    #[field(public)]
    pub categories: &'a [&'a str],
    /// Scheme.
    #[field(public)]
    pub scheme: &'a str,
    /// Host.
    #[field(personal)]
    pub host: &'a str,
    /// Port.
    #[field(public)]
    pub port: u16,
    /// Path.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// Query.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// Host of the page that led there.
    #[field(personal, reduce = "host_only")]
    pub referrer: Option<&'a str>,
    /// It was prevented.
    #[field(public)]
    pub blocked: bool,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Rule or record that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// The product or the user decided about a detection.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.decision",
    category = "detection",
    level = "info",
    text = "{decided_by} decided: {disposition}"
)]
pub struct DetectionDecision<'a> {
    /// The detection; decisions about it name it too.
    #[field(public)]
    pub detection_id: Id128,
    /// Who decided.
    #[field(public)]
    pub decided_by: DecidedBy,
    /// The question.
    #[field(public)]
    pub prompt_id: Option<u32>,
    /// What was offered.
    #[field(public)]
    pub options: &'a [&'a str],
    /// What was proposed.
    #[field(public)]
    pub default_option: Option<&'a str>,
    /// When it was asked.
    #[field(public)]
    pub shown_at: Option<Timestamp>,
    /// When it was answered.
    #[field(public)]
    pub answered_at: Option<Timestamp>,
    /// What was decided.
    #[field(public)]
    pub disposition: Disposition,
    /// To be remembered.
    #[field(public)]
    pub remember: bool,
    /// How far it reaches.
    #[field(public)]
    pub scope: Scope,
    /// Exclusion that was added.
    #[field(personal)]
    pub exclusion: Option<&'a str>,
    /// 0, or an error number.
    #[field(public)]
    pub result: i32,
    /// What went wrong.
    #[field(public)]
    pub error: Option<&'a str>,
    /// Where the object was kept.
    #[field(public)]
    pub backup_id: Option<Id128>,
    /// A restart is needed.
    #[field(public)]
    pub reboot_needed: bool,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
