//! What an event type is: [`Event`], its static description, and how the user's settings apply to it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::field::TypeRef;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $value:literal $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value),* }

        impl $name {
            /// All, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in texts, settings and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// From its number.
            #[must_use]
            pub const fn from_u8(n: u8) -> Option<Self> {
                match n { $($value => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(s: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.name() == s).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    format!(concat!("no ", $what, " is called {:?}; there are: {}"), s, names.join(", "))
                })
            }
        }
    };
}

named! {
    /// Family of an event: what the user enables.
    Category, "category" {
        /// Detected objects, attacks, activities, and decisions about them.
        Detection = 1 "detection",
        /// Downloaded files.
        Download = 2 "download",
        /// Processes.
        Process = 3 "process",
        /// Loaded modules.
        Module = 4 "module",
        /// Connections and name look-ups.
        Network = 5 "network",
        /// Visited URLs, logins, cookies.
        Web = 6 "web",
        /// Mail and instant messages.
        Message = 7 "message",
        /// Certificates of servers.
        Certificate = 8 "certificate",
        /// State of protection, scans, updates.
        Protection = 9 "protection",
        /// Use of the interface.
        Ui = 10 "ui",
        /// Errors of the product.
        Error = 11 "error",
        /// What was done with tracing itself.
        Audit = 12 "audit",
        /// A component's own events.
        Custom = 13 "custom",
    }
}

named! {
    /// How severe an event is, and how detailed a trace.
    Level, "level" {
        /// Something failed.
        Error = 1 "error",
        /// Something needs attention.
        Warn = 2 "warn",
        /// What a reader wants to know.
        Info = 3 "info",
        /// What explains the rest.
        Debug = 4 "debug",
        /// Everything.
        Trace = 5 "trace",
    }
}

named! {
    /// Privacy class of a field.
    Privacy, "privacy class" {
        /// May leave the computer.
        Public = 1 "public",
        /// Readable on the computer, pseudonymised in a bundle.
        Personal = 2 "personal",
        /// Never stored in clear.
        Secret = 3 "secret",
    }
}

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

/// A type of events. Implemented by `#[derive(Event)]`.
pub trait Event {
    /// Its description.
    const SCHEMA: &'static SchemaRef;
    /// Its category.
    const CATEGORY: Category;
    /// Its level.
    const LEVEL: Level;
    /// It stays off until it is enabled by name.
    const OPT_IN: bool;
    /// No field is secret, reduced or opt-in, so that [`Event::encode`] may be used if no setting of the user applies.
    const PLAIN: bool;
    /// Length of the fixed part, bytes.
    const FIXED_LEN: usize;

    /// Where its index in this process is kept.
    fn slot() -> &'static EventSlot;
    /// Length of what [`Event::encode`] writes, bytes.
    fn encoded_len(&self) -> usize;
    /// Writes the payload into exactly [`Event::encoded_len`] bytes. Secrets are written as absent.
    fn encode(&self, out: &mut [u8]);
    /// Upper bound of what [`Event::encode_reduced`] writes, bytes.
    fn reduced_len_bound(&self) -> usize;
    /// Writes the payload as `plan` demands; returns its length.
    fn encode_reduced(&self, plan: &Plan, out: &mut [u8]) -> usize;
}

/// Static description of an event type.
#[derive(Clone, Copy, Debug)]
pub struct SchemaRef {
    /// Full name, as "process.start".
    pub name: &'static str,
    /// Category.
    pub category: Category,
    /// Level.
    pub level: Level,
    /// Off until enabled by name.
    pub opt_in: bool,
    /// What it means.
    pub doc: &'static str,
    /// Sentence with `{field}` placeholders.
    pub text: &'static str,
    /// Its fields.
    pub fields: &'static [FieldRef],
}

/// Static description of a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub ty: TypeRef,
    /// Privacy class.
    pub class: Privacy,
    /// Off until enabled by name.
    pub opt_in: bool,
    /// What is kept of it.
    pub reduction: Reduction,
    /// Unit, or empty.
    pub unit: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Longest value, bytes.
    pub max: u16,
}

/// The index of an event type in this process.
#[derive(Debug)]
pub struct EventSlot(AtomicU16);

impl EventSlot {
    /// Not assigned yet.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(AtomicU16::new(u16::MAX))
    }

    /// The index; `u16::MAX` until assigned. Relaxed: what the index leads to is published by its own store.
    #[inline(always)]
    #[must_use]
    pub fn index(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    /// Assigns the index, once.
    pub fn assign(&self, index: u16) {
        self.0.store(index, Ordering::Relaxed);
    }
}

/// How the fields of one event type are written in one session: the schema's own reductions, and the user's.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Key of the keyed hashes.
    pub key: [u8; 32],
    /// What is kept of each field.
    pub reductions: Vec<Reduction>,
    /// Some differ from the schema's own, so that records say which.
    pub changed: bool,
    /// None applies: [`Event::encode`] may be used if [`Event::PLAIN`].
    pub plain: bool,
}

impl Plan {
    /// The plan for a schema: `opted_in` says whether "event" or "event.field" was enabled by name, `stricter` names
    /// the user's reduction of "event.field".
    #[must_use]
    pub fn new(
        schema: &SchemaRef,
        key: [u8; 32],
        opted_in: &dyn Fn(&str) -> bool,
        stricter: &dyn Fn(&str) -> Option<Reduction>,
    ) -> Self {
        let mut changed = false;
        let reductions: Vec<_> = schema
            .fields
            .iter()
            .map(|field| {
                let name = format!("{}.{}", schema.name, field.name);
                let mut reduction = field.reduction;
                if let Some(users) = stricter(&name) {
                    reduction = reduction.stricter(users);
                }
                if field.opt_in && !opted_in(&name) {
                    reduction = Reduction::Off;
                }
                changed |= reduction != field.reduction;
                reduction
            })
            .collect();
        let plain = reductions.iter().all(|r| *r == Reduction::None);
        Self { key, reductions, changed, plain }
    }

    /// What is kept of the `index`-th field.
    #[must_use]
    pub fn reduction(&self, index: usize) -> Reduction {
        self.reductions.get(index).copied().unwrap_or(Reduction::Drop)
    }

    /// Writes the trailer that names changed reductions; returns its length.
    #[doc(hidden)]
    pub fn put_trailer(&self, schema: &SchemaRef, out: &mut [u8]) -> usize {
        if !self.changed {
            return 0;
        }
        let mut at = 0;
        let mut count = 0_u8;
        for (index, (reduction, field)) in self.reductions.iter().zip(schema.fields).enumerate() {
            if *reduction != field.reduction
                && let Some(pair) = out.get_mut(at..at + 2)
            {
                pair.copy_from_slice(&[index as u8, reduction.code()]);
                at += 2;
                count += 1;
            }
        }
        if let Some(last) = out.get_mut(at) {
            *last = count;
        }
        at + 1
    }
}
