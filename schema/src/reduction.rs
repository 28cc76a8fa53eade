//! What is kept of a value: [`Reduction`].

use std::fmt;
use std::str::FromStr;

/// What is kept of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// All of it.
    #[default]
    None,
    /// The first `n` characters, bytes or IPv4 bits; `m` IPv6 bits.
    Prefix {
        /// Characters, bytes or IPv4 bits.
        n: u16,
        /// IPv6 bits.
        m: u16,
    },
    /// The host of a URL.
    HostOnly,
    /// A keyed hash.
    Keyed,
    /// The length.
    Length,
    /// Nothing.
    Drop,
    /// Nothing: an opt-in field that the user did not enable.
    Off,
}

impl Reduction {
    /// Code and numbers, as stored.
    #[must_use]
    pub const fn parts(self) -> (u8, u16, u16) {
        match self {
            Self::None => (0, 0, 0),
            Self::Prefix { n, m } => (1, n, m),
            Self::HostOnly => (2, 0, 0),
            Self::Keyed => (3, 0, 0),
            Self::Length => (4, 0, 0),
            Self::Drop => (5, 0, 0),
            Self::Off => (6, 0, 0),
        }
    }

    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.parts().0
    }

    /// From code and numbers.
    #[must_use]
    pub const fn from_code(code: u8, n: u16, m: u16) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Prefix { n, m },
            2 => Self::HostOnly,
            3 => Self::Keyed,
            4 => Self::Length,
            5 => Self::Drop,
            6 => Self::Off,
            _ => return None,
        })
    }

    /// The name, without numbers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Prefix { .. } => "prefix",
            Self::HostOnly => "host_only",
            Self::Keyed => "keyed",
            Self::Length => "length",
            Self::Drop => "drop",
            Self::Off => "off",
        }
    }

    /// `other` if it keeps less than `self`, else `self`: settings can make a reduction stricter, never looser.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Prefix { n, m }, Self::Prefix { n: n2, m: m2 }) => {
                Self::Prefix { n: n.min(n2), m: m.min(m2) }
            }
            _ if other.rank() > self.rank() => other,
            _ => self,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            // An empty prefix keeps less than a hash.
            Self::Prefix { n: 0, m: 0 } => 4,
            Self::Prefix { .. } | Self::HostOnly => 1,
            Self::Keyed => 2,
            Self::Length => 3,
            Self::Drop => 4,
            Self::Off => 5,
        }
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { n, m: 0 } => write!(f, "prefix({n})"),
            Self::Prefix { n, m } => write!(f, "prefix({n}, {m})"),
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Reduction {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{s:?} is no reduction; there are: prefix(N), prefix(N, M), host_only, keyed, length, drop"
            )
        };
        match s.trim() {
            "none" => Ok(Self::None),
            "host_only" => Ok(Self::HostOnly),
            "keyed" => Ok(Self::Keyed),
            "length" => Ok(Self::Length),
            "drop" => Ok(Self::Drop),
            other => {
                let inner =
                    other.strip_prefix("prefix(").and_then(|r| r.strip_suffix(')')).ok_or_else(bad)?;
                let (n, m) = inner.split_once(',').unwrap_or((inner, "0"));
                let n = n.trim().parse().map_err(|_| bad())?;
                let m = m.trim().parse().map_err(|_| bad())?;
                Ok(Self::Prefix { n, m })
            }
        }
    }
}
