//! Reduced forms of values: FORMAT.md section 1.

use std::net::IpAddr;

use crate::event::Reduction;
use crate::field::{SecretForm, ip_form};
use crate::format::hex;

/// Most bytes that a reduced text can have beyond the original's.
pub(crate) const MAX_EXTRA: usize = 24;

/// First 16 bytes of the keyed hash.
pub(crate) fn keyed(key: &[u8; 32], bytes: &[u8]) -> [u8; 16] {
    blake3::keyed_hash(key, bytes).as_bytes().first_chunk::<16>().copied().unwrap_or_default()
}

/// Calls `put` with the reduced text or bytes.
pub(crate) fn reduce_bytes(
    bytes: &[u8],
    is_text: bool,
    reduction: Reduction,
    key: &[u8; 32],
    put: impl FnOnce(&[u8]),
) {
    match reduction {
        Reduction::None => put(bytes),
        Reduction::Prefix { n, .. } => {
            let n = usize::from(n);
            let end = match (is_text, std::str::from_utf8(bytes)) {
                (true, Ok(text)) => text.char_indices().nth(n).map_or(bytes.len(), |(i, _)| i),
                _ => n.min(bytes.len()),
            };
            put(bytes.get(..end).unwrap_or_default());
        }
        Reduction::HostOnly => put(host_of(bytes)),
        Reduction::Keyed => put(hex(keyed(key, bytes).get(..8).unwrap_or_default()).as_bytes()),
        Reduction::Length => put(bytes.len().to_string().as_bytes()),
        Reduction::Drop | Reduction::Off => put(b""),
    }
}

/// The host of a URL, without user, port, path and query; empty if there is none.
fn host_of(url: &[u8]) -> &[u8] {
    let rest = match url.windows(3).position(|w| w == b"://") {
        Some(at) => url.get(at + 3..).unwrap_or_default(),
        None => url,
    };
    let end = rest.iter().position(|b| b"/?#\\".contains(b)).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let start = authority.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
    let host = authority.get(start..).unwrap_or_default();
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').map_or(host.len(), |at| at + 1);
        return host.get(..end).unwrap_or_default();
    }
    let end = host.iter().position(|b| *b == b':').unwrap_or(host.len());
    host.get(..end).unwrap_or_default()
}

pub(crate) fn reduce_ip(ip: IpAddr, reduction: Reduction, key: &[u8; 32]) -> [u8; 17] {
    match reduction {
        Reduction::None => ip_form(Some(ip)),
        Reduction::Prefix { n, m } => ip_form(Some(match ip {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(n.min(32))).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(m.min(128))).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        })),
        Reduction::Keyed => {
            let hash = match ip {
                IpAddr::V4(v4) => keyed(key, &v4.octets()),
                IpAddr::V6(v6) => keyed(key, &v6.octets()),
            };
            let mut form = [0; 17];
            form[0] = 0x4b;
            form[1..].copy_from_slice(&hash);
            form
        }
        _ => [0; 17],
    }
}

/// The stored form of a secret.
#[doc(hidden)]
#[must_use]
pub fn secret_form(value: Option<&[u8]>, key: &[u8; 32]) -> SecretForm {
    let mut form = [0; 17];
    match value {
        None => form[0] = 255,
        Some(bytes) => {
            form[0] = match bytes.len() {
                0 => 0,
                1..8 => 1,
                8..16 => 2,
                16..32 => 3,
                32..64 => 4,
                _ => 5,
            };
            form[1..].copy_from_slice(&keyed(key, bytes));
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url() {
        for (url, host) in [
            ("https://user:pw@example.com:8443/a?b#c", "example.com"),
            ("example.com/x", "example.com"),
            ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
            ("https://example.com", "example.com"),
            ("https://a@b@c.example/", "c.example"),
            ("", ""),
        ] {
            assert_eq!(host_of(url.as_bytes()), host.as_bytes(), "{url}");
        }
    }

    #[test]
    fn addresses_keep_their_prefix() {
        let r = Reduction::Prefix { n: 24, m: 48 };
        let v4 = reduce_ip("192.0.2.77".parse().unwrap(), r, &[0; 32]);
        assert_eq!(v4[..5], [4, 192, 0, 2, 0]);
        let zero = reduce_ip("192.0.2.77".parse().unwrap(), Reduction::Prefix { n: 0, m: 0 }, &[0; 32]);
        assert_eq!(zero[..5], [4, 0, 0, 0, 0]);
        let v6 = reduce_ip("2001:db8:1:2::3".parse().unwrap(), r, &[0; 32]);
        assert_eq!(v6[..9], [6, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0]);
    }
}
