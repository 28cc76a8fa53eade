//! What can be a field: [`Field`] ties a Rust type to its bytes (FORMAT.md section 1).

mod address;
mod list;
mod optional;
mod scalar;
mod text;

use bytemuck::{Pod, Zeroable};

use crate::event::Reduction;

pub(crate) use address::ip_form;
pub use list::ListItem;
pub use optional::Optional;

/// Static description of a field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TypeRef {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F64,
    Str,
    Bytes,
    Fixed(u16),
    Ip,
    Socket,
    Time,
    Duration,
    Enum(&'static [(u32, &'static str)]),
    Flags(&'static [(u64, &'static str)]),
    Optional(&'static TypeRef),
    List(&'static TypeRef),
    Secret,
    Key128,
    Id64,
}

/// Fixed form of a secret.
pub type SecretForm = [u8; 17];
/// Set in a length word if the value was cut.
pub const CUT: u16 = 0x8000;

/// A type that a field of an event can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an event",
    label = "this type has no form in a trace",
    note = "fields are: bool, integers up to 64 bits, f64, &str, &[u8], [u8; N], IpAddr, SocketAddr, Timestamp, Duration, ProcessKey, Id128, CorrelationId, types with derive(FieldEnum) or derive(FieldFlags), Option of those, and slices of those (&[T])",
    note = "for a String pass `&str`, for a Vec pass a slice"
)]
pub trait Field {
    /// The type.
    const TYPE: TypeRef;
    /// Its fixed form.
    type Fixed: Pod;
    /// Longest variable part of a field that sets no `max`, bytes.
    const DEFAULT_MAX: u16 = 4096;

    /// The fixed form; `max` bounds the variable part.
    fn fixed(&self, max: usize) -> Self::Fixed;

    /// Length of the variable part, bytes.
    #[inline(always)]
    fn var_len(&self, _max: usize) -> usize {
        0
    }

    /// Writes the variable part at the start of `out`, returns the rest.
    #[inline(always)]
    fn put_var<'o>(&self, _max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        out
    }

    /// Bound of the variable part whatever the reduction.
    fn reduced_bound(&self, max: usize) -> usize {
        self.var_len(max)
    }

    /// Bound of the variable part under this reduction.
    #[doc(hidden)]
    fn reduced_len(&self, max: usize, _reduction: Reduction) -> usize {
        self.reduced_bound(max)
    }

    /// The fixed form under a reduction; the variable part goes to `out[*at..]`.
    fn reduced(
        &self,
        max: usize,
        reduction: Reduction,
        _key: &[u8; 32],
        _out: &mut [u8],
        _at: &mut usize,
    ) -> Self::Fixed {
        if reduction == Reduction::None { self.fixed(max) } else { Self::Fixed::zeroed() }
    }
}

/// What a secret field can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a secret field",
    note = "secret fields are &str, &[u8], or Option of those"
)]
pub trait SecretField {
    /// The bytes; `None` if there is no value.
    fn secret_bytes(&self) -> Option<&[u8]>;
}

impl SecretField for &str {
    fn secret_bytes(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl SecretField for &[u8] {
    fn secret_bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl<T: SecretField> SecretField for Option<T> {
    fn secret_bytes(&self) -> Option<&[u8]> {
        self.as_ref().and_then(SecretField::secret_bytes)
    }
}
