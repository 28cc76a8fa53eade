//! Fields that may have no value.

use bytemuck::{Pod, Zeroable};

use super::{Field, TypeRef};
use crate::event::Reduction;

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
    #[inline(always)]
    fn short_len(&self, max: usize) -> usize {
        self.as_ref().map_or(0, |v| v.short_len(max))
    }
    #[inline(always)]
    fn short_fixed(&self, max: usize) -> Self::Fixed {
        match self {
            Some(v) => Optional { present: 1, value: v.short_fixed(max) },
            None => Optional { present: 0, value: T::Fixed::zeroed() },
        }
    }
    #[inline(always)]
    fn put_short<'o>(&self, max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        match self {
            Some(v) => v.put_short(max, out),
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
            Some(v) if !matches!(reduction, Reduction::Drop | Reduction::Off) => {
                Optional { present: 1, value: v.reduced(max, reduction, key, out, at) }
            }
            _ => Optional { present: 0, value: T::Fixed::zeroed() },
        }
    }
}
