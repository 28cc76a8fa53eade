//! Fields without variable bytes, but addresses.

use std::time::Duration;

use super::{Field, TypeRef};
use crate::event::Reduction;
use crate::reduce::keyed;
use crate::types::{CorrelationId, Id128, ProcessKey, Timestamp};

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
