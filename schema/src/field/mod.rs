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
/// Copies `from` to `to`, which is as long. Most texts are short: a few moves of a length that the compiler knows,
/// overlapping in the middle, where a call of `memcpy` would cost as much as the rest of an emit.
#[inline(always)]
pub(crate) fn copy_text(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(a), Some(b)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            if let Some(first) = to.first_chunk_mut::<N>() {
                *first = *a;
            }
            if let Some(last) = to.last_chunk_mut::<N>() {
                *last = *b;
            }
        }
    }
    match from.len() {
        65..=128 => ends::<64>(to, from),
        33..=64 => ends::<32>(to, from),
        17..=32 => ends::<16>(to, from),
        8..=16 => ends::<8>(to, from),
        4..=7 => ends::<4>(to, from),
        2..=3 => ends::<2>(to, from),
        1 => ends::<1>(to, from),
        0 => {}
        _ => to.copy_from_slice(from),
    }
}

/// What [`Field::short_len`] says of a value that is too long: more than any record has.
#[doc(hidden)]
pub const TOO_LONG: usize = 1 << 40;
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

    /// As [`Field::var_len`], but [`TOO_LONG`] or more if the value would be cut: with the two below the way of the
    /// usual case, in which nothing is cut.
    #[doc(hidden)]
    #[inline(always)]
    fn short_len(&self, max: usize) -> usize {
        self.var_len(max)
    }

    /// As [`Field::fixed`], of a value that is not cut.
    #[doc(hidden)]
    #[inline(always)]
    fn short_fixed(&self, max: usize) -> Self::Fixed {
        self.fixed(max)
    }

    /// As [`Field::put_var`], of a value that is not cut.
    #[doc(hidden)]
    #[inline(always)]
    fn put_short<'o>(&self, max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        self.put_var(max, out)
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
