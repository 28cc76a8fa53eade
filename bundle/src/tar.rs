//! The one form of tar entry that a bundle has: a plain file, mode 0600, nobody's, without time. Written so that every
//! `tar` opens it; read so strictly that nothing else passes (links, paths, extended headers).

use crate::member::MemberName;

pub(crate) const BLOCK: usize = 512;
/// What ends an archive.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The header block of a member.
pub(crate) fn header(name: &MemberName, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    put(0, name.as_str().as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    put(148, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Bytes of padding after `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// Name and size of a header that is exactly of our form.
pub(crate) fn parse(block: &[u8; BLOCK]) -> Option<(MemberName, u64)> {
    let name = block.get(..100)?.split(|b| *b == 0).next()?;
    let name = MemberName::new(std::str::from_utf8(name).ok()?).ok()?;
    let size = u64::from_str_radix(std::str::from_utf8(block.get(124..135)?).ok()?, 8).ok()?;
    (header(&name, size) == *block).then_some((name, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_headers_are_read() {
        let name = MemberName::new("os/report.json").unwrap();
        let block = header(&name, 123_456_789);
        assert_eq!(parse(&block), Some((name.clone(), 123_456_789)));
        for bit in 0..BLOCK * 8 {
            let mut changed = block;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&changed), None, "bit {bit}");
        }
        assert_eq!(padding(0), 0);
        assert_eq!((padding(1), padding(511), padding(512), padding(513)), (511, 1, 0, 511));
        assert_eq!(parse(&[0; BLOCK]), None);
    }
}
