//! Addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Field, TypeRef};
use crate::event::Reduction;
use crate::reduce::reduce_ip;

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
            Reduction::HostOnly | Reduction::Length | Reduction::Drop | Reduction::Off => [0; 19],
            _ => socket_form(reduce_ip(self.ip(), reduction, key), self.port()),
        }
    }
}
