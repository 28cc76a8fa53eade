//! Reduced forms of values: FORMAT.md section 1.

use std::net::IpAddr;

use crate::event::Reduction;
use crate::field::{SecretForm, ip_form};

/// Most bytes that a reduced text can have beyond the original's.
pub(crate) const MAX_EXTRA: usize = 24;
/// Digits of a keyed text.
pub(crate) const KEYED_DIGITS: usize = 16;
/// Digits of the longest length.
pub(crate) const LENGTH_DIGITS: usize = 20;

/// Whether a byte of UTF-8 is not the first of its character.
pub(crate) const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// More than the hash needs of the stack for values of any length that a secret can have.
const WIPED: usize = 4096;

/// First 16 bytes of the keyed hash.
pub(crate) fn keyed(key: &[u8; 32], bytes: &[u8]) -> [u8; 16] {
    let hash = hash_below(key, bytes);
    wipe_stack();
    hash
}

/// Not in line: what it leaves must lie where [`wipe_stack`] writes.
#[inline(never)]
fn hash_below(key: &[u8; 32], bytes: &[u8]) -> [u8; 16] {
    blake3::keyed_hash(key, bytes).as_bytes().first_chunk::<16>().copied().unwrap_or_default()
}

/// Overwrites what a function that has just returned left on the stack: the hash's state holds the value's last bytes,
/// and a core dump has the stack. `faults secrets` finds them there without this.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box(&mut [0_u8; WIPED]);
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
            // The n-th character ends where the next begins.
            let mut starts = bytes.iter().enumerate().filter(|(_, b)| !is_text || !is_continuation(**b));
            let end = starts.nth(n).map_or(bytes.len(), |(i, _)| i);
            put(bytes.get(..end).unwrap_or_default());
        }
        Reduction::HostOnly => put(host_of(bytes)),
        Reduction::Keyed => put(&hex_digits(&keyed(key, bytes))),
        Reduction::Length => {
            let mut digits = [0; LENGTH_DIGITS];
            put(decimal(bytes.len(), &mut digits));
        }
        Reduction::Drop | Reduction::Off => put(b""),
    }
}

// Emits must not allocate, so digits are made on the stack.
fn hex_digits(hash: &[u8; 16]) -> [u8; KEYED_DIGITS] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + (n - 10) };
    std::array::from_fn(|i| {
        let byte = hash.get(i / 2).copied().unwrap_or(0);
        digit(if i % 2 == 0 { byte >> 4 } else { byte & 15 })
    })
}

fn decimal(mut n: usize, digits: &mut [u8; LENGTH_DIGITS]) -> &[u8] {
    let mut start = LENGTH_DIGITS;
    for (i, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
        start = i;
        if n == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// The host of a URL, without user, port, path and query; empty if there is none. What is not surely a host is not
/// kept: whatever else a text holds may be what was to be removed.
pub(crate) fn host_of(url: &[u8]) -> &[u8] {
    let is_scheme = |s: &[u8]| {
        s.first().is_some_and(u8::is_ascii_alphabetic)
            && s.iter().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(b))
    };
    // A "://" further on is a part of the path or the query.
    let rest = match url.windows(3).position(|w| w == b"://") {
        Some(at) if is_scheme(url.get(..at).unwrap_or_default()) => url.get(at + 3..).unwrap_or_default(),
        _ => url.strip_prefix(b"//").unwrap_or(url),
    };
    let end = rest.iter().position(|b| b"/?#\\".contains(b)).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let start = authority.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
    let host = authority.get(start..).unwrap_or_default();
    let (host, port) = if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').map_or(host.len(), |at| at + 1);
        host.split_at_checked(end).unwrap_or_default()
    } else {
        let end = host.iter().position(|b| *b == b':').unwrap_or(host.len());
        host.split_at_checked(end).unwrap_or_default()
    };
    // "data:text" and "javascript:alert" are no host and port.
    let is_port =
        port.is_empty() || port.strip_prefix(b":").is_some_and(|p| p.iter().all(u8::is_ascii_digit));
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._".contains(b) || !b.is_ascii();
    let is_host = match host {
        [b'[', inner @ .., b']'] => inner.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)),
        name => name.iter().all(is_name),
    };
    if is_port && is_host { host } else { b"" }
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
            ("//example.com/x", "example.com"),
            ("https://b\u{fc}cher.example/", "b\u{fc}cher.example"),
            // What is no host is not kept.
            ("example.com/?next=http://token.secret/", "example.com"),
            ("/login?next=http://token.secret/", ""),
            ("data:text/html,secret", ""),
            ("javascript:alert(1)", ""),
            ("my password", ""),
            ("https://[secret]/", ""),
            ("https://[::1", ""),
            ("file:///home/user", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(url.as_bytes()), host.as_bytes(), "{url}");
        }
    }

    #[test]
    fn digits() {
        let mut buffer = [0; LENGTH_DIGITS];
        for n in [0, 7, 10, 32_767, 4_294_967_295, usize::MAX] {
            assert_eq!(decimal(n, &mut buffer), n.to_string().as_bytes());
        }
        let hash = std::array::from_fn(|i| (i * 17) as u8);
        assert_eq!(&hex_digits(&hash), b"0011223344556677");
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
