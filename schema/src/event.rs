//! What an event type is: [`Event`], its static description, and how the user's settings apply to it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use crate::field::TypeRef;
pub use crate::plan::Plan;
pub use crate::reduction::Reduction;

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
    /// As [`Event::encoded_len`], but longer than any record if a value would be cut.
    #[doc(hidden)]
    fn short_len(&self) -> usize;
    /// As [`Event::encode`], of an event whose [`Event::short_len`] fits a record: nothing is cut.
    #[doc(hidden)]
    fn encode_short(&self, out: &mut [u8]);
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

/// What is kept for an event type in this process: its index, and the hash of its name.
#[derive(Debug)]
pub struct EventSlot {
    index: AtomicU16,
    name_hash: AtomicU64,
}

impl EventSlot {
    /// Not assigned yet.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { index: AtomicU16::new(u16::MAX), name_hash: AtomicU64::new(0) }
    }

    /// The index; `u16::MAX` until assigned. Relaxed: what the index leads to is published by its own store.
    #[inline(always)]
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index.load(Ordering::Relaxed)
    }

    /// Assigns the index, once.
    pub fn assign(&self, index: u16) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// The hash by which the control page names this type, whose name the caller gives; computed once. Allocates
    /// nothing and takes no lock: signal handlers ask it.
    #[must_use]
    pub fn name_hash(&self, name: &str) -> u64 {
        match self.name_hash.load(Ordering::Relaxed) {
            0 => {
                let hash = crate::format::control::name_hash(name);
                // Relaxed: whoever does not see it computes the same.
                self.name_hash.store(hash, Ordering::Relaxed);
                hash
            }
            known => known,
        }
    }
}
