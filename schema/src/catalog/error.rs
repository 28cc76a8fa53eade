//! Errors of the product.

use super::Severity;
use crate::{CorrelationId, Event, FieldEnum, Id128, Timestamp};

/// Whose error numbers a code is one of.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum CodeDomain {
    /// The product's own.
    #[default]
    Product = 0,
    /// `errno` of a Unix system.
    Errno = 1,
    /// HRESULT of Windows.
    Hresult = 2,
    /// NTSTATUS of Windows.
    Ntstatus = 3,
}

/// Something in the product failed.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "error.raised",
    category = "error",
    level = "error",
    text = "{module}: {operation} failed on {object}: {domain} {code}"
)]
pub struct ErrorRaised<'a> {
    /// Identity of the error: the same when it is told again.
    #[field(public)]
    pub error_id: Id128,
    /// Module of the component that it was raised in.
    #[field(public)]
    pub module: &'a str,
    /// Function that raised it.
    #[field(public)]
    pub function: Option<&'a str>,
    /// Source file that raised it.
    #[field(public)]
    pub file: Option<&'a str>,
    /// Line of the source file, from 1.
    #[field(public)]
    pub line: Option<u32>,
    /// Error number.
    #[field(public)]
    pub code: i64,
    /// Whose number it is.
    #[field(public)]
    pub domain: CodeDomain,
    /// Number of the message that tells it in the user's language.
    #[field(public)]
    pub message_id: Option<u32>,
    /// Arguments of that message, in order.
    #[field(personal)]
    pub arguments: &'a [&'a str],
    /// How severe it is.
    #[field(public)]
    pub severity: Severity,
    /// How often it was raised since it was told last; 0 if only now.
    #[field(public)]
    pub repeated: u32,
    /// When it was raised first.
    #[field(public)]
    pub first_seen: Option<Timestamp>,
    /// Build id of the image that the stack's offsets are in.
    #[field(public)]
    pub stack_build_id: Option<&'a [u8]>,
    /// Offsets of the stack in that image, the innermost first.
    #[field(public)]
    pub stack_offsets: &'a [u64],
    /// What was being done, as a verb: "open", "load index".
    #[field(public)]
    pub operation: Option<&'a str>,
    /// What it was done to: a path, an address, a setting.
    #[field(personal)]
    pub object: Option<&'a str>,
    /// Whether it is tried again.
    #[field(public)]
    pub retry: Option<bool>,
    /// What does not work because of it.
    #[field(public)]
    pub consequence: Option<&'a str>,
    /// Whether the component ended by it.
    #[field(public)]
    pub crash: bool,
    /// Identity of the memory dump that was taken.
    #[field(public)]
    pub dump_id: Option<Id128>,
    /// Free memory at that time.
    #[field(public, unit = "bytes")]
    pub free_memory: Option<u64>,
    /// Free space at that time, on the disk that the product writes to.
    #[field(public, unit = "bytes")]
    pub free_disk: Option<u64>,
    /// Story it belongs to: that of what was being done.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
