//! Errors of the product.

use super::Severity;
use crate::{CorrelationId, Event, FieldEnum, Id128, Timestamp};

/// What an error number belongs to.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum CodeDomain {
    /// The product.
    #[default]
    Product = 0,
    /// The system.
    Errno = 1,
    /// HRESULT.
    Hresult = 2,
    /// NTSTATUS.
    Ntstatus = 3,
}

/// Something in the product failed.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "error.raised",
    category = "error",
    level = "error",
    text = "{module}: {operation} failed with {domain} {code}"
)]
pub struct ErrorRaised<'a> {
    /// The error.
    #[field(public)]
    pub error_id: Id128,
    /// Module.
    #[field(public)]
    pub module: &'a str,
    /// Function.
    #[field(public)]
    pub function: Option<&'a str>,
    /// Source file.
    #[field(public)]
    pub file: Option<&'a str>,
    /// Line.
    #[field(public)]
    pub line: Option<u32>,
    /// Number.
    #[field(public)]
    pub code: i64,
    /// What the number belongs to.
    #[field(public)]
    pub domain: CodeDomain,
    /// Text, to be shown in the user's language.
    #[field(public)]
    pub message_id: Option<u32>,
    /// Arguments of the text.
    #[field(personal)]
    pub arguments: &'a [&'a str],
    /// How bad it is.
    #[field(public)]
    pub severity: Severity,
    /// How often since it was told last.
    #[field(public)]
    pub repeated: u32,
    /// First time.
    #[field(public)]
    pub first_seen: Option<Timestamp>,
    /// Build id of the stack.
    #[field(public)]
    pub stack_build_id: Option<&'a [u8]>,
    /// Offsets of the stack.
    #[field(public)]
    pub stack_offsets: &'a [u64],
    /// What was being done.
    #[field(public)]
    pub operation: Option<&'a str>,
    /// To what.
    #[field(personal)]
    pub object: Option<&'a str>,
    /// It is tried again.
    #[field(public)]
    pub retry: Option<bool>,
    /// What follows from it.
    #[field(public)]
    pub consequence: Option<&'a str>,
    /// The component ended.
    #[field(public)]
    pub crash: bool,
    /// Memory dump.
    #[field(public)]
    pub dump_id: Option<Id128>,
    /// Free memory at that time.
    #[field(public, unit = "bytes")]
    pub free_memory: Option<u64>,
    /// Free disk at that time.
    #[field(public, unit = "bytes")]
    pub free_disk: Option<u64>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
