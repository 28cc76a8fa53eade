//! Lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{CUT, Field, TypeRef};
use crate::event::Reduction;
use crate::limits::MAX_VALUE;
use crate::types::{CorrelationId, Id128, ProcessKey, Timestamp};

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

impl<T: ListItem> Field for &[T] {
    const TYPE: TypeRef = TypeRef::List(&T::TYPE);
    type Fixed = u16;
    const DEFAULT_MAX: u16 = MAX_VALUE as u16;
    #[inline]
    fn fixed(&self, max: usize) -> u16 {
        let (len, cut) = list_len(self, max);
        (len as u16 | if cut { CUT } else { 0 }).to_le()
    }
    #[inline]
    fn var_len(&self, max: usize) -> usize {
        list_len(self, max).0
    }
    fn put_var<'o>(&self, max: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        let (len, _) = list_len(self, max);
        let Some((mut part, rest)) = out.split_at_mut_checked(len) else { return &mut [] };
        for item in *self {
            // The first item that does not fit ends the list, as in `list_len`.
            if size_of::<T::Fixed>() + item.var_len(MAX_VALUE) > part.len() {
                break;
            }
            let fixed = item.fixed(MAX_VALUE);
            let bytes = bytemuck::bytes_of(&fixed);
            let Some((to, after)) = part.split_at_mut_checked(bytes.len()) else { break };
            to.copy_from_slice(bytes);
            part = item.put_var(MAX_VALUE, after);
        }
        rest
    }
    fn reduced_bound(&self, max: usize) -> usize {
        let all: usize = self.iter().map(|i| size_of::<T::Fixed>() + i.reduced_bound(MAX_VALUE)).sum();
        all.min(max)
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
                let Some(part) = out.get_mut(*at..*at + len) else { return 0 };
                self.put_var(max, part);
                *at += len;
                self.fixed(max)
            }
            Reduction::Prefix { .. } | Reduction::HostOnly if T::REDUCIBLE => {
                let start = *at;
                let mut cut = false;
                for item in *self {
                    let mut end = *at + size_of::<T::Fixed>();
                    if end + item.reduced_len(MAX_VALUE, reduction) > start + max {
                        cut = true;
                        break;
                    }
                    let fixed = item.reduced(MAX_VALUE, reduction, key, out, &mut end);
                    let Some(to) = out.get_mut(*at..*at + size_of::<T::Fixed>()) else { break };
                    to.copy_from_slice(bytemuck::bytes_of(&fixed));
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
