//! What can be a field: [`Field`] ties a Rust type to its bytes (FORMAT.md section 1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use crate::event::Reduction;
use crate::limits::MAX_VALUE;
use crate::reduce::{MAX_EXTRA, keyed, reduce_bytes, reduce_ip};
use crate::types::{CorrelationId, Id128, ProcessKey, Timestamp};

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

    /// Whether under this reduction an optional field is as if it were absent.
    #[doc(hidden)]
    #[must_use]
    fn vanishes(reduction: Reduction) -> bool {
        matches!(reduction, Reduction::Drop | Reduction::Off)
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

macro_rules! plain {
    ($($ty:ty, $code:ident, $fixed:ty, |$v:ident| $e:expr;)*) => {$(
        impl Field for $ty {
            const TYPE: TypeRef = TypeRef::$code;
            type Fixed = $fixed;
            #[inline(always)]
            fn fixed(&self, _max: usize) -> $fixed {
                let $v = *self;
                $e
            }
        }
    )*};
}

plain! {
    bool, Bool, u8, |v| u8::from(v);
    u8, U8, u8, |v| v;
    u16, U16, u16, |v| v.to_le();
    u32, U32, u32, |v| v.to_le();
    u64, U64, u64, |v| v.to_le();
    i8, I8, i8, |v| v;
    i16, I16, i16, |v| v.to_le();
    i32, I32, i32, |v| v.to_le();
    i64, I64, i64, |v| v.to_le();
    f64, F64, u64, |v| v.to_bits().to_le();
    Timestamp, Time, i64, |v| v.0.to_le();
    Duration, Duration, u64, |v| u64::try_from(v.as_nanos()).unwrap_or(u64::MAX).to_le();
    CorrelationId, Id64, u64, |v| v.0.to_le();
}

macro_rules! key128 {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            const TYPE: TypeRef = TypeRef::Key128;
            type Fixed = [u8; 16];
            #[inline(always)]
            fn fixed(&self, _max: usize) -> [u8; 16] {
                self.0
            }
            fn reduced(&self, _: usize, reduction: Reduction, key: &[u8; 32], _: &mut [u8], _: &mut usize) -> [u8; 16] {
                match reduction {
                    Reduction::None => self.0,
                    Reduction::Keyed => keyed(key, &self.0),
                    _ => [0; 16],
                }
            }
        }
    )*};
}
key128!(ProcessKey, Id128);

impl<const N: usize> Field for [u8; N] {
    const TYPE: TypeRef = {
        assert!(N >= 1 && N <= 1024, "a fixed byte array field has 1 to 1024 bytes");
        TypeRef::Fixed(N as u16)
    };
    type Fixed = [u8; N];
    #[inline(always)]
    fn fixed(&self, _max: usize) -> [u8; N] {
        *self
    }
    fn reduced(
        &self,
        _: usize,
        reduction: Reduction,
        key: &[u8; 32],
        _: &mut [u8],
        _: &mut usize,
    ) -> [u8; N] {
        match reduction {
            Reduction::None => *self,
            Reduction::Keyed => {
                let hash = keyed(key, self);
                std::array::from_fn(|i| hash.get(i).copied().unwrap_or(0))
            }
            _ => [0; N],
        }
    }
}

/// The 17 bytes of an address.
pub(crate) fn ip_form(ip: Option<IpAddr>) -> [u8; 17] {
    let mut form = [0; 17];
    match ip {
        None => {}
        Some(IpAddr::V4(v4)) => {
            form[0] = 4;
            form[1..5].copy_from_slice(&v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            form[0] = 6;
            form[1..].copy_from_slice(&v6.octets());
        }
    }
    form
}

macro_rules! ip {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            const TYPE: TypeRef = TypeRef::Ip;
            type Fixed = [u8; 17];
            #[inline]
            fn fixed(&self, _max: usize) -> [u8; 17] {
                ip_form(Some(IpAddr::from(*self)))
            }
            fn reduced(&self, _: usize, reduction: Reduction, key: &[u8; 32], _: &mut [u8], _: &mut usize) -> [u8; 17] {
                reduce_ip(IpAddr::from(*self), reduction, key)
            }
            fn vanishes(reduction: Reduction) -> bool {
                matches!(reduction, Reduction::Length | Reduction::Drop | Reduction::Off)
            }
        }
    )*};
}
ip!(IpAddr, Ipv4Addr, Ipv6Addr);

fn socket_form(ip: [u8; 17], port: u16) -> [u8; 19] {
    let mut form = [0; 19];
    form[..17].copy_from_slice(&ip);
    form[17..].copy_from_slice(&port.to_le_bytes());
    form
}

impl Field for SocketAddr {
    const TYPE: TypeRef = TypeRef::Socket;
    type Fixed = [u8; 19];
    #[inline]
    fn fixed(&self, _max: usize) -> [u8; 19] {
        socket_form(ip_form(Some(self.ip())), self.port())
    }
    fn reduced(
        &self,
        _: usize,
        reduction: Reduction,
        key: &[u8; 32],
        _: &mut [u8],
        _: &mut usize,
    ) -> [u8; 19] {
        match reduction {
            Reduction::Length | Reduction::Drop | Reduction::Off => [0; 19],
            _ => socket_form(reduce_ip(self.ip(), reduction, key), self.port()),
        }
    }
    fn vanishes(reduction: Reduction) -> bool {
        matches!(reduction, Reduction::Length | Reduction::Drop | Reduction::Off)
    }
}

/// Where a text longer than `max` is cut: at a character boundary.
#[cold]
#[inline(never)]
fn cut_text(text: &str, max: usize) -> usize {
    let mut len = max;
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    len
}

macro_rules! variable {
    ($ty:ty, $code:ident, $is_text:literal, |$v:ident, $max:ident| $cut:expr) => {
        impl Field for $ty {
            const TYPE: TypeRef = TypeRef::$code;
            type Fixed = u16;
            #[inline(always)]
            fn fixed(&self, max: usize) -> u16 {
                let cut = if self.len() > max { CUT } else { 0 };
                (self.var_len(max) as u16 | cut).to_le()
            }
            #[inline(always)]
            fn var_len(&self, $max: usize) -> usize {
                let $v = *self;
                if $v.len() <= $max { $v.len() } else { $cut }
            }
            #[inline(always)]
            fn put_var<'o>(&self, max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
                let len = self.var_len(max);
                let bytes: &[u8] = self.as_ref();
                match (out.split_at_mut_checked(len), bytes.get(..len)) {
                    (Some((to, rest)), Some(from)) => {
                        to.copy_from_slice(from);
                        rest
                    }
                    _ => &mut [],
                }
            }
            fn reduced_bound(&self, max: usize) -> usize {
                self.var_len(max) + MAX_EXTRA
            }
            fn reduced(
                &self,
                max: usize,
                reduction: Reduction,
                key: &[u8; 32],
                out: &mut [u8],
                at: &mut usize,
            ) -> u16 {
                // What is kept is taken from the whole value, then cut.
                let bytes: &[u8] = self.as_ref();
                let mut word = 0;
                reduce_bytes(bytes, $is_text, reduction, key, |kept| {
                    let len = match ($is_text, std::str::from_utf8(kept)) {
                        (true, Ok(text)) => text.var_len(max),
                        _ => kept.len().min(max),
                    };
                    if let (Some(to), Some(from)) = (out.get_mut(*at..*at + len), kept.get(..len)) {
                        to.copy_from_slice(from);
                        *at += len;
                        word = len as u16 | if kept.len() > max { CUT } else { 0 };
                    }
                });
                word.to_le()
            }
        }
    };
}

variable!(&str, Str, true, |v, max| cut_text(v, max));
variable!(&[u8], Bytes, false, |v, max| max);

/// Fixed form of an optional field.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Optional<T> {
    present: u8,
    value: T,
}

impl<T: Field> Field for Option<T> {
    const TYPE: TypeRef = {
        assert!(
            !matches!(T::TYPE, TypeRef::Optional(_) | TypeRef::List(_) | TypeRef::Secret),
            "an optional field cannot hold an option or a list; an empty list says the same"
        );
        TypeRef::Optional(&T::TYPE)
    };
    type Fixed = Optional<T::Fixed>;
    #[inline(always)]
    fn fixed(&self, max: usize) -> Self::Fixed {
        match self {
            Some(v) => Optional { present: 1, value: v.fixed(max) },
            None => Optional { present: 0, value: T::Fixed::zeroed() },
        }
    }
    #[inline(always)]
    fn var_len(&self, max: usize) -> usize {
        self.as_ref().map_or(0, |v| v.var_len(max))
    }
    #[inline(always)]
    fn put_var<'o>(&self, max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        match self {
            Some(v) => v.put_var(max, out),
            None => out,
        }
    }
    fn reduced_bound(&self, max: usize) -> usize {
        self.as_ref().map_or(0, |v| v.reduced_bound(max))
    }
    fn reduced(
        &self,
        max: usize,
        reduction: Reduction,
        key: &[u8; 32],
        out: &mut [u8],
        at: &mut usize,
    ) -> Self::Fixed {
        match self {
            Some(v) if !T::vanishes(reduction) => {
                Optional { present: 1, value: v.reduced(max, reduction, key, out, at) }
            }
            _ => Optional { present: 0, value: T::Fixed::zeroed() },
        }
    }
}

/// Bytes of the items that fit into a list's part.
fn list_len<T: Field>(items: &[T], max: usize) -> (usize, bool) {
    let mut len = 0;
    for item in items {
        let next = len + size_of::<T::Fixed>() + item.var_len(MAX_VALUE);
        if next > max {
            return (len, true);
        }
        len = next;
    }
    (len, false)
}

impl<T: Field> Field for &[T]
where
    T: ListItem,
{
    const TYPE: TypeRef = TypeRef::List(&T::TYPE);
    type Fixed = u16;
    fn fixed(&self, _max: usize) -> u16 {
        let (len, cut) = list_len(self, MAX_VALUE);
        (len as u16 | if cut { CUT } else { 0 }).to_le()
    }
    fn var_len(&self, _max: usize) -> usize {
        list_len(self, MAX_VALUE).0
    }
    fn put_var<'o>(&self, _max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        let (len, _) = list_len(self, MAX_VALUE);
        let Some((mut part, rest)) = out.split_at_mut_checked(len) else { return &mut [] };
        for item in *self {
            let fixed = item.fixed(MAX_VALUE);
            let bytes = bytemuck::bytes_of(&fixed);
            if bytes.len() + item.var_len(MAX_VALUE) > part.len() {
                break;
            }
            let Some((to, after)) = part.split_at_mut_checked(bytes.len()) else { break };
            to.copy_from_slice(bytes);
            part = item.put_var(MAX_VALUE, after);
        }
        rest
    }
    fn reduced_bound(&self, _max: usize) -> usize {
        let all: usize = self.iter().map(|i| size_of::<T::Fixed>() + i.reduced_bound(MAX_VALUE)).sum();
        all.min(MAX_VALUE + MAX_EXTRA)
    }
    fn reduced(
        &self,
        max: usize,
        reduction: Reduction,
        key: &[u8; 32],
        out: &mut [u8],
        at: &mut usize,
    ) -> u16 {
        match reduction {
            Reduction::None => {
                let len = self.var_len(max);
                if let Some(part) = out.get_mut(*at..*at + len) {
                    self.put_var(max, part);
                    *at += len;
                }
                self.fixed(max)
            }
            Reduction::Prefix { .. } | Reduction::HostOnly if T::REDUCIBLE => {
                let start = *at;
                let mut cut = false;
                for item in *self {
                    let mut end = *at + size_of::<T::Fixed>();
                    if end + item.reduced_bound(MAX_VALUE) - start > MAX_VALUE {
                        cut = true;
                        break;
                    }
                    let fixed = item.reduced(MAX_VALUE, reduction, key, out, &mut end);
                    if let Some(to) = out.get_mut(*at..*at + size_of::<T::Fixed>()) {
                        to.copy_from_slice(bytemuck::bytes_of(&fixed));
                    }
                    *at = end;
                }
                ((*at - start) as u16 | if cut { CUT } else { 0 }).to_le()
            }
            _ => 0,
        }
    }
}

/// A type that a list can hold: any field but options and lists. (Bytes in lists are `&[u8]` items.)
pub trait ListItem: Field {
    /// Prefix and host_only apply to items.
    #[doc(hidden)]
    const REDUCIBLE: bool = false;
}

macro_rules! items {
    ($($ty:ty),*) => {$(impl ListItem for $ty {})*};
}
items!(bool, u16, u32, u64, i8, i16, i32, i64, f64, Timestamp, Duration, CorrelationId, ProcessKey, Id128);
impl<const N: usize> ListItem for [u8; N] {}
macro_rules! reducible_items {
    ($($ty:ty),*) => {$(impl ListItem for $ty { const REDUCIBLE: bool = true; })*};
}
reducible_items!(&str, &[u8], IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr);
