//! Detections of objects, attacks, activities and URLs, and the decisions about them.

use std::net::IpAddr;
use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// By which method something was detected.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Method {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A signature in the databases matched the content.
    Signature = 1,
    /// Heuristic analysis of the content.
    Heuristic = 2,
    /// What a running program did.
    Behaviour = 3,
    /// A look-up at the vendor's reputation service.
    Cloud = 4,
    /// A trained model.
    MachineLearning = 5,
    /// A rule, for example of YARA or of the administrator.
    Rule = 6,
    /// A list of hashes.
    HashList = 7,
}

/// How severe something is; the numbers are OCSF's `severity_id`.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Severity {
    /// Not known.
    #[default]
    Unknown = 0,
    /// For information; nothing needs to be done.
    Informational = 1,
    /// Low.
    Low = 2,
    /// Medium.
    Medium = 3,
    /// High.
    High = 4,
    /// Critical: act now.
    Critical = 5,
    /// Fatal: protection no longer works.
    Fatal = 6,
}

/// What kind of object was detected.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ObjectKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A file.
    File = 1,
    /// A range of a process's memory.
    Memory = 2,
    /// A running process.
    Process = 3,
    /// A boot sector or boot loader.
    BootSector = 4,
    /// A record of the registry or of another settings store.
    Registry = 5,
    /// A URL.
    Url = 6,
    /// A script that was handed to an interpreter.
    Script = 7,
    /// A part of an e-mail.
    MailPart = 8,
    /// Data of a network packet or stream.
    Packet = 9,
}

/// Whether the detected object is still there.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ObjectState {
    /// Not known.
    #[default]
    Unknown = 0,
    /// It is there.
    Present = 1,
    /// It is there, but in use, so that it cannot be changed.
    Locked = 2,
    /// It is gone.
    Gone = 3,
}

/// Direction of traffic or of a message, as seen from this computer.
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

/// What an examination found.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Verdict {
    /// Not examined, or without result.
    #[default]
    Unknown = 0,
    /// Examined; nothing was found.
    Clean = 1,
    /// Known to be good, so not examined further.
    Trusted = 2,
    /// May be harmful.
    Suspicious = 3,
    /// Legal, but usually not wanted: adware, bundlers, remote administration.
    Unwanted = 4,
    /// Harmful.
    Malicious = 5,
    /// Pretends to be something else to obtain personal data.
    Phishing = 6,
    /// Could not be examined: encrypted, too large, damaged.
    NotExaminable = 7,
    /// Unsolicited bulk mail.
    Spam = 8,
}

/// What a program was seen doing.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ActivityKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Encrypting many of the user's files.
    FileEncryption = 1,
    /// Deleting or overwriting many files, or backups.
    Destruction = 2,
    /// Making itself start again.
    Persistence = 3,
    /// Running its code inside another process.
    Injection = 4,
    /// Gaining rights it was not given.
    PrivilegeEscalation = 5,
    /// Taking stored passwords, keys or tokens.
    CredentialAccess = 6,
    /// Recording keys, screen, sound or clipboard.
    Surveillance = 7,
    /// Switching off or evading protection.
    DefenceEvasion = 8,
    /// Using a weakness of another program.
    Exploit = 9,
    /// Spreading to other computers.
    LateralMovement = 10,
    /// Talking to its operator.
    CommandAndControl = 11,
    /// Sending data out.
    Exfiltration = 12,
    /// Using the computer for others: mining, relaying, attacks.
    ResourceMisuse = 13,
    /// Something else; the event's name tells.
    Other = 255,
}

/// What was decided or done; the numbers are OCSF's `disposition_id`.
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
    /// Moved into quarantine.
    Quarantined = 3,
    /// Deleted.
    Deleted = 5,
    /// Restored from quarantine or backup.
    Restored = 9,
    /// Found to be harmless after all.
    Exonerated = 10,
    /// Disinfected.
    Corrected = 11,
    /// Disinfected in part.
    PartiallyCorrected = 12,
    /// Could not be disinfected.
    Uncorrected = 13,
    /// Put off, for example until the next restart.
    Delayed = 14,
    /// Only detected; nothing was changed.
    Detected = 15,
    /// Nothing was done, on purpose.
    NoAction = 16,
    /// The action failed.
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
    /// The application, by its own rules.
    Application = 1,
    /// The user.
    User = 2,
    /// A policy of the organisation.
    Policy = 3,
    /// An administrator, for this case.
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
    /// Only this time.
    Once = 1,
    /// This object, whenever it is met.
    Object = 2,
    /// Everything in this folder.
    Folder = 3,
    /// Everything of this kind, always.
    Always = 4,
}

/// An object was detected: a file, memory, a script, a part of a mail and so on.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.object",
    category = "detection",
    level = "warn",
    text = "{name} was detected in {object_path} by {method}"
)]
pub struct DetectionObject<'a> {
    /// Identity of the detection; the decisions about it carry the same.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of what was detected, as the databases call it.
    #[field(public)]
    pub name: &'a str,
    /// Classes of threat it belongs to, for example "trojan"; may be empty.
    #[field(public)]
    pub classes: &'a [&'a str],
    /// How severe it is.
    #[field(public)]
    pub severity: Severity,
    /// Method that detected it.
    #[field(public)]
    pub method: Method,
    /// How sure the detection is, 0 to 100; absent if the method does not tell.
    #[field(public, unit = "%")]
    pub confidence: Option<u8>,
    /// Rule or record of the databases that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Version of the databases that were in use.
    #[field(public)]
    pub database_version: Option<&'a str>,
    /// When it was detected.
    #[field(public)]
    pub detected_at: Timestamp,
    /// Kind of object.
    #[field(public)]
    pub object_kind: ObjectKind,
    /// Name of the object, for a file without its folder.
    #[field(personal)]
    pub object_name: &'a str,
    /// Path of the object, or what locates it otherwise.
    #[field(personal)]
    pub object_path: &'a str,
    /// Size of the object; absent if it has none.
    #[field(public, unit = "bytes")]
    pub size: Option<u64>,
    /// Names of all files concerned; parallel to `file_paths` and `file_sizes`.
    #[field(personal)]
    pub file_names: &'a [&'a str],
    /// Paths of all files concerned; parallel to `file_names`.
    #[field(personal)]
    pub file_paths: &'a [&'a str],
    /// Sizes of all files concerned; parallel to `file_names`.
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
    /// Media type as told by the content, for example "application/zip".
    #[field(public)]
    pub content_type: Option<&'a str>,
    /// Path inside the innermost archive, if the object is in one.
    #[field(personal)]
    pub archive_path: Option<&'a str>,
    /// Archives, mails and images around the object, the outermost first.
    #[field(personal)]
    pub containers: &'a [&'a str],
    /// Stable key of the process concerned; absent if there is none.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id of the process concerned.
    #[field(public)]
    pub pid: Option<u32>,
    /// Command line of the process concerned.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Name of the user it concerns.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Stable keys of the process's ancestors, its parent first.
    #[field(public)]
    pub parent_keys: &'a [ProcessKey],
    /// Whether the object is still there.
    #[field(public)]
    pub state: ObjectState,
    /// MITRE ATT&CK techniques, for example "T1204.002".
    #[field(public)]
    pub techniques: &'a [&'a str],
    /// Story it belongs to: the same in the download, launch, connection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// An attack over the network was detected. Of the attacker's address only a part and a keyed checksum are recorded.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.network_attack",
    category = "detection",
    level = "warn",
    text = "{name} from {remote_address} against port {local_port}, seen {hits} times"
)]
pub struct DetectionNetworkAttack<'a> {
    /// Identity of the detection; the decisions about it carry the same.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of the attack, as the databases call it.
    #[field(public)]
    pub name: &'a str,
    /// How severe it is.
    #[field(public)]
    pub severity: Severity,
    /// Inbound: this computer is attacked. Outbound: it attacks.
    #[field(public)]
    pub direction: Direction,
    /// IANA protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    #[field(public)]
    pub protocol: u8,
    /// Port on this computer, 0 to 65535; 0 if the protocol has none.
    #[field(public)]
    pub local_port: u16,
    /// Port of the other computer, 0 to 65535.
    #[field(public)]
    pub remote_port: Option<u16>,
    /// Address of the other computer, of which the first 24 bits (IPv6: 48) are kept.
    #[field(personal, reduce = "prefix(24, 48)")]
    pub remote_address: Option<IpAddr>,
    /// Address of the other computer as a keyed checksum, which tells whether two attacks have one source.
    #[field(personal, reduce = "keyed")]
    pub remote_checksum: Option<IpAddr>,
    /// How often it was seen from `first_seen` to `last_seen`.
    #[field(public)]
    pub hits: u32,
    /// When it was seen first.
    #[field(public)]
    pub first_seen: Timestamp,
    /// When it was seen last.
    #[field(public)]
    pub last_seen: Timestamp,
    /// How long the other computer is blocked; absent if it is not.
    #[field(public)]
    pub blocked_for: Option<Duration>,
    /// Rule or record of the databases that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Connection that carried it, as in `network.connection`.
    #[field(public)]
    pub connection_id: Option<Id128>,
    /// Stable key of the process on this computer; absent if none is known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Story it belongs to: the same in the connection and the decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A running program did something malicious.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.activity",
    category = "detection",
    level = "warn",
    text = "{name}: {kind} by {image_path} on {target}, blocked: {blocked}"
)]
pub struct DetectionActivity<'a> {
    /// Identity of the detection; the decisions about it carry the same.
    #[field(public)]
    pub detection_id: Id128,
    /// Name of what was detected, as the databases call it.
    #[field(public)]
    pub name: &'a str,
    /// How severe it is.
    #[field(public)]
    pub severity: Severity,
    /// How sure the detection is, 0 to 100; absent if the method does not tell.
    #[field(public, unit = "%")]
    pub confidence: Option<u8>,
    /// Kind of activity.
    #[field(public)]
    pub kind: ActivityKind,
    /// What it was done to: a path, a process, a setting.
    #[field(personal)]
    pub target: Option<&'a str>,
    /// API or family of system calls that was used, for example "ptrace".
    #[field(public)]
    pub api: Option<&'a str>,
    /// How often it was done.
    #[field(public)]
    pub count: u32,
    /// Whether it was prevented.
    #[field(public)]
    pub blocked: bool,
    /// When it was detected.
    #[field(public)]
    pub detected_at: Timestamp,
    /// Stable key of the process that did it.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id of the process that did it.
    #[field(public)]
    pub pid: u32,
    /// Path of its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Its command line.
    #[field(personal, max = 16384)]
    pub command_line: Option<&'a str>,
    /// Name of the user it runs as.
    #[field(personal)]
    pub user: Option<&'a str>,
    /// Stable keys of its ancestors, its parent first.
    #[field(public)]
    pub parent_keys: &'a [ProcessKey],
    /// MITRE ATT&CK techniques, for example "T1486".
    #[field(public)]
    pub techniques: &'a [&'a str],
    /// Rule or record of the databases that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Story it belongs to: the same in the launch, connection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A potentially malicious URL was met.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.url",
    category = "detection",
    level = "warn",
    text = "{verdict} URL on {host}, blocked: {blocked}"
)]
pub struct DetectionUrl<'a> {
    /// Identity of the detection; the decisions about it carry the same.
    #[field(public)]
    pub detection_id: Id128,
    /// What was found.
    #[field(public)]
    pub verdict: Verdict,
    /// Categories of the URL, for example "phishing"; may be empty.
    #[field(public)]
    pub categories: &'a [&'a str],
    /// Scheme of the URL, in lower case, without colon.
    #[field(public)]
    pub scheme: &'a str,
    /// Host of the URL.
    #[field(personal)]
    pub host: &'a str,
    /// Port of the URL, 1 to 65535, the scheme's own if it names none.
    #[field(public)]
    pub port: u16,
    /// Path of the URL, without query and fragment.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// Query of the URL, without the question mark.
    #[field(secret)]
    pub query: Option<&'a str>,
    /// URL of the page that led there, of which only the host is kept.
    #[field(personal, reduce = "host_only")]
    pub referrer: Option<&'a str>,
    /// Address of the server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Whether the request was prevented.
    #[field(public)]
    pub blocked: bool,
    /// When it was detected.
    #[field(public)]
    pub detected_at: Timestamp,
    /// Visit it belongs to, as in `web.visit`.
    #[field(public)]
    pub visit_id: Option<Id128>,
    /// Stable key of the process that asked for it.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id of the process that asked for it.
    #[field(public)]
    pub pid: u32,
    /// Path of its program.
    #[field(personal)]
    pub image_path: Option<&'a str>,
    /// Rule or record of the databases that matched.
    #[field(public)]
    pub rule_id: Option<&'a str>,
    /// Story it belongs to: the same in the visit, connection, download and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// The application or the user decided about a detection; one event for each decision.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "detection.decision",
    category = "detection",
    level = "info",
    text = "{decided_by} decided about detection {detection_id}: {disposition}"
)]
pub struct DetectionDecision<'a> {
    /// Identity of the detection that it is about.
    #[field(public)]
    pub detection_id: Id128,
    /// Who decided.
    #[field(public)]
    pub decided_by: DecidedBy,
    /// Number of the question that was shown; absent if nobody was asked.
    #[field(public)]
    pub prompt_id: Option<u32>,
    /// Answers that were offered.
    #[field(public)]
    pub options: &'a [&'a str],
    /// Answer that was proposed, or taken when nobody answered.
    #[field(public)]
    pub default_option: Option<&'a str>,
    /// When the question was shown.
    #[field(public)]
    pub shown_at: Option<Timestamp>,
    /// When it was answered.
    #[field(public)]
    pub answered_at: Option<Timestamp>,
    /// What was decided.
    #[field(public)]
    pub disposition: Disposition,
    /// Whether the answer is remembered.
    #[field(public)]
    pub remember: Option<bool>,
    /// How far the decision reaches.
    #[field(public)]
    pub scope: Option<Scope>,
    /// Exclusion that was added because of it.
    #[field(personal)]
    pub exclusion: Option<&'a str>,
    /// What carrying it out returned; absent if nothing was carried out. 0 for success, else an error number of the product.
    #[field(public)]
    pub result: Option<i32>,
    /// What went wrong in carrying it out.
    #[field(public)]
    pub error: Option<&'a str>,
    /// Identity of the copy in quarantine or backup.
    #[field(public)]
    pub backup_id: Option<Id128>,
    /// Whether it is complete only after a restart.
    #[field(public)]
    pub reboot_needed: Option<bool>,
    /// Story it belongs to: the same as of the detection.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
