//! What is asked of the control page, and what it answers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tracewell_schema::Reduction;

/// Why the page means off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is enabled.
    Off,
    /// Its time is over.
    Expired,
    /// It was written before the last boot.
    OtherBoot,
    /// It is damaged, or of another version.
    Damaged,
    /// It is being changed at this moment.
    Changing,
}

impl Why {
    /// Asking again in a moment may give another answer.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Changing)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Expired => "its time is over",
            Self::OtherBoot => "it was enabled before the last start of the computer",
            Self::Damaged => {
                "the control page is damaged or of another version; `tracewell disable` repairs it or says what to do"
            }
            Self::Changing => "it is being changed",
        })
    }
}

/// What to enable.
#[derive(Clone, Debug)]
pub struct EnableRequest {
    /// Level by category number; 0 = off.
    pub levels: [u8; 32],
    /// When it ends by itself.
    pub duration: Option<Duration>,
    /// Most bytes of all segments; 0 = no limit.
    pub max_total: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Age of one segment.
    pub segment_age: Duration,
    /// Age of the oldest segment; zero = no limit.
    pub max_age: Duration,
    /// Opt-in events and fields, by full name; at most 64.
    pub opt_in: Vec<String>,
    /// Stricter reductions, by full name of the field; at most 128.
    pub reduce: Vec<(String, Reduction)>,
}

impl Default for EnableRequest {
    /// Everything at level info, until disabled, 1 GiB in segments of 16 MiB, a week.
    fn default() -> Self {
        Self {
            levels: [3; 32],
            duration: None,
            max_total: 1 << 30,
            segment_bytes: 16 << 20,
            segment_age: Duration::from_secs(3600),
            max_age: Duration::from_secs(7 * 86_400),
            opt_in: Vec::new(),
            reduce: Vec::new(),
        }
    }
}

/// A session that was begun.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its id.
    pub id: [u8; 16],
    /// Its folder.
    pub folder: PathBuf,
    /// When it ends by itself, UTC ns.
    pub expires_at: Option<i64>,
}

/// A component that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedComponent {
    /// Process id.
    pub pid: u32,
    /// Component name; empty if only the mapping was found.
    pub component: String,
    /// 1 attached, 2 emitting, 3 could not make a ring, 4 emitting but its segments cannot be written; 0 if only the
    /// mapping was found.
    pub state: u32,
    /// Error number of the failure; 0 if none.
    pub errno: u32,
    /// Generation of the page when the component last looked at the whole of it.
    pub generation: u64,
}

/// What is on, and who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlStatus {
    /// Whether components record now.
    pub enabled: bool,
    /// Why not, if they do not.
    pub why: Option<Why>,
    /// Level by category number as the page has it, also if it means off; zeros if it cannot be read.
    pub levels: [u8; 32],
    /// When it was enabled, UTC ns.
    pub since: Option<i64>,
    /// When it ends by itself, UTC ns.
    pub expires: Option<i64>,
    /// Id of the session.
    pub session: Option<[u8; 16]>,
    /// Number of the last change; even.
    pub generation: u64,
    /// The attached components, then processes that only map the page; each by process id.
    pub attached: Vec<AttachedComponent>,
}
