//! Numbers, hex and addresses as text, eight digits at a time.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::buffer::Buffer;

const ZEROS: u64 = 0x3030_3030_3030_3030;
const EIGHT_DIGITS: u64 = 100_000_000;

/// The eight decimal digits of a number below 10^8, as values 0 to 9, the first in the lowest byte: the number is
/// halved into lanes of four, two and one digit, all lanes at once. The factors are reciprocals of 100 and 10 that are
/// exact for numbers of four and two digits.
#[inline]
const fn eight_digits(n: u64) -> u64 {
    let four = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((four * 10_486) >> 20) & 0x7f_0000_007f;
    let two = hundreds | ((four - hundreds * 100) << 16);
    let tens = ((two * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((two - tens * 10) << 8)
}

/// Appends a decimal number.
#[inline]
pub(crate) fn push_u64(out: &mut Buffer, n: u64) {
    if n < EIGHT_DIGITS {
        push_head(out, n);
    } else {
        push_long(out, n);
    }
}

fn push_long(out: &mut Buffer, n: u64) {
    let (high, low) = (n / EIGHT_DIGITS, n % EIGHT_DIGITS);
    if high < EIGHT_DIGITS {
        push_head(out, high);
    } else {
        push_head(out, high / EIGHT_DIGITS);
        out.put(&(eight_digits(high % EIGHT_DIGITS) | ZEROS).to_le_bytes(), 8);
    }
    out.put(&(eight_digits(low) | ZEROS).to_le_bytes(), 8);
}

/// Appends a number below 10^8 without the zeros before it.
#[inline]
fn push_head(out: &mut Buffer, n: u64) {
    let digits = eight_digits(n);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    out.put(&((digits | ZEROS) >> (zeros * 8)).to_le_bytes(), 8 - zeros as usize);
}

pub(crate) fn push_i64(out: &mut Buffer, n: i64) {
    if n < 0 {
        out.push('-');
    }
    push_u64(out, n.unsigned_abs());
}

/// Appends nanoseconds below 10^9 as nine digits.
#[inline]
pub(crate) fn push_nanos(out: &mut Buffer, ns: u64) {
    let [a, b, c, d, e, f, g, h] = (eight_digits(ns % EIGHT_DIGITS) | ZEROS).to_le_bytes();
    let first = b'0' + (ns / EIGHT_DIGITS % 10) as u8;
    out.put(&[first, a, b, c, d, e, f, g, h], 9);
}

/// Appends `N` decimal digits, at most eight.
pub(crate) fn push_digits<const N: usize>(out: &mut Buffer, n: u64) {
    let digits = (eight_digits(n % EIGHT_DIGITS) | ZEROS).to_le_bytes();
    out.push_bytes(digits.last_chunk::<N>().map_or(&digits[..], |d| d));
}

#[inline]
const fn hex_digit(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
}

/// Appends hex digits.
#[inline]
pub(crate) fn push_hex(out: &mut Buffer, bytes: &[u8]) {
    let (parts, rest) = bytes.as_chunks::<16>();
    for part in parts {
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(part) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
        }
        out.put(&digits, 32);
    }
    for byte in rest {
        out.put(&[hex_digit(byte >> 4), hex_digit(byte & 15)], 2);
    }
}

/// Appends an id as 16 hex digits.
pub(crate) fn push_id(out: &mut Buffer, id: u64) {
    let mut bytes = id.to_le_bytes();
    bytes.reverse();
    push_hex(out, &bytes);
}

/// Appends an address; the common kind without the formatting machinery.
pub(crate) fn push_ip(out: &mut Buffer, ip: &IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            push_head(out, a.into());
            for octet in [b, c, d] {
                out.put(b".", 1);
                push_head(out, octet.into());
            }
        }
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// Appends `address:port`, with brackets around an IPv6 address.
pub(crate) fn push_socket(out: &mut Buffer, socket: &SocketAddr) {
    let is_v6 = socket.is_ipv6();
    if is_v6 {
        out.push('[');
    }
    push_ip(out, &socket.ip());
    if is_v6 {
        out.push(']');
    }
    out.push(':');
    push_u64(out, socket.port().into());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl FnOnce(&mut Buffer)) -> String {
        let mut out = Buffer::new();
        push(&mut out);
        out.as_text().into_owned()
    }

    fn number(n: u64) -> Result<(), TestCaseError> {
        prop_assert_eq!(text(|out| push_u64(out, n)), n.to_string());
        prop_assert_eq!(text(|out| push_i64(out, n as i64)), (n as i64).to_string());
        prop_assert_eq!(text(|out| push_id(out, n)), format!("{n:016x}"));
        prop_assert_eq!(text(|out| push_nanos(out, n % 1_000_000_000)), format!("{:09}", n % 1_000_000_000));
        prop_assert_eq!(text(|out| push_digits::<4>(out, n % 10_000)), format!("{:04}", n % 10_000));
        Ok(())
    }

    #[test]
    fn numbers_of_every_length() {
        let powers = (0..20).map(|i| 10_u64.pow(i));
        for n in powers.flat_map(|p| [p - 1, p, p + 1]).chain([u64::MAX, 1 << 63]).chain(0..20_000) {
            number(n).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_number(n: u64, bits in 0..64_u32) {
            number(n >> bits)?;
        }

        #[test]
        fn any_address(ip: IpAddr, port: u16) {
            prop_assert_eq!(text(|out| push_ip(out, &ip)), ip.to_string());
            let socket = SocketAddr::new(ip, port);
            prop_assert_eq!(text(|out| push_socket(out, &socket)), socket.to_string());
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let expected: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            prop_assert_eq!(text(|out| push_hex(out, &bytes)), expected);
        }
    }
}
