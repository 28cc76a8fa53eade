//! Text and bytes: a length word in the fixed part, the rest after it.

use super::{CUT, Field, TOO_LONG, TypeRef, copy_text};
use crate::event::Reduction;
use crate::limits::MAX_VALUE;
use crate::reduce::{KEYED_DIGITS, LENGTH_DIGITS, MAX_EXTRA, host_of, is_continuation, reduce_bytes};

/// Where text is cut to at most `max` bytes: at a character boundary.
fn text_end(text: &[u8], max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    // At a boundary the next byte begins a character.
    text.get(..=max).and_then(|t| t.iter().rposition(|b| !is_continuation(*b))).unwrap_or(0)
}

/// The rare case, kept out of the way of the usual one.
#[cold]
#[inline(never)]
fn cut_text(text: &str, max: usize) -> usize {
    text_end(text.as_bytes(), max)
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
            #[inline(always)]
            fn short_len(&self, max: usize) -> usize {
                if self.len() <= max { self.len() } else { TOO_LONG }
            }
            #[inline(always)]
            fn short_fixed(&self, _max: usize) -> u16 {
                (self.len() as u16).to_le()
            }
            #[inline(always)]
            fn put_short<'o>(&self, _max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
                let bytes: &[u8] = self.as_ref();
                match out.split_at_mut_checked(bytes.len()) {
                    Some((to, rest)) => {
                        copy_text(to, bytes);
                        rest
                    }
                    None => &mut [],
                }
            }
            fn reduced_bound(&self, max: usize) -> usize {
                self.var_len(max) + MAX_EXTRA
            }
            fn reduced_len(&self, max: usize, reduction: Reduction) -> usize {
                let len = self.var_len(max);
                match reduction {
                    Reduction::None => len,
                    // A character has at most four bytes.
                    Reduction::Prefix { n, .. } => len.min(usize::from(n) * if $is_text { 4 } else { 1 }),
                    Reduction::HostOnly => host_of(self.as_ref()).len().min(max),
                    Reduction::Keyed => KEYED_DIGITS,
                    Reduction::Length => LENGTH_DIGITS,
                    Reduction::Drop | Reduction::Off => 0,
                }
            }
            fn reduced(
                &self,
                max: usize,
                reduction: Reduction,
                key: &[u8; 32],
                out: &mut [u8],
                at: &mut usize,
            ) -> u16 {
                // What is kept is taken from the whole value, then cut; digits are never cut.
                let bytes: &[u8] = self.as_ref();
                let max = match reduction {
                    Reduction::Keyed | Reduction::Length => MAX_VALUE,
                    _ => max,
                };
                let mut word = 0;
                reduce_bytes(bytes, $is_text, reduction, key, |kept| {
                    let len = if $is_text { text_end(kept, max) } else { kept.len().min(max) };
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
