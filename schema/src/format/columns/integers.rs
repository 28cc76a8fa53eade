//! Columns of integers of 1, 2, 4 or 8 bytes: constant, offsets from the least, differences, or as they are.

use crate::decode::Reader;
use crate::error::DecodeError;

const RAW: u8 = 0;
const CONSTANT: u8 = 1;
const OFFSETS: u8 = 2;
const DIFFERENCES: u8 = 3;

/// What is the cheapest form of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    mode: u8,
    /// Bytes of each stored number.
    pub(super) width: usize,
    base: u64,
}

impl Choice {
    /// For values that are `width` bytes wide; not empty.
    pub(super) fn of(values: &[u64], width: usize) -> Self {
        let first = values.first().copied().unwrap_or(0);
        let (mut least, mut greatest, mut changes) = (first, first, 0);
        let mut before = first;
        for value in values {
            least = least.min(*value);
            greatest = greatest.max(*value);
            changes |= zigzag(value.wrapping_sub(before));
            before = *value;
        }
        if least == greatest {
            return Self { mode: CONSTANT, width: 0, base: first };
        }
        let (offsets, differences) = (bytes_for(greatest - least), bytes_for(changes));
        let narrow = offsets.min(differences);
        if narrow >= width {
            Self { mode: RAW, width, base: 0 }
        } else if offsets <= differences {
            Self { mode: OFFSETS, width: offsets, base: least }
        } else {
            Self { mode: DIFFERENCES, width: differences, base: first }
        }
    }

    /// Writes the column.
    pub(super) fn encode(self, values: &[u64], out: &mut Vec<u8>) {
        out.push(self.mode);
        match self.mode {
            CONSTANT => out.extend_from_slice(&self.base.to_le_bytes()),
            OFFSETS => {
                out.push(self.width as u8);
                out.extend_from_slice(&self.base.to_le_bytes());
                pack(values.iter().map(|v| v.wrapping_sub(self.base)), self.width, out);
            }
            DIFFERENCES => {
                out.push(self.width as u8);
                out.extend_from_slice(&self.base.to_le_bytes());
                let mut before = self.base;
                let changes =
                    values.iter().map(|v| zigzag(v.wrapping_sub(std::mem::replace(&mut before, *v))));
                pack(changes, self.width, out);
            }
            _ => pack(values.iter().copied(), self.width, out),
        }
    }
}

/// Reads a column of `count` values that are `width` bytes wide into `values`.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    width: usize,
    values: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    values.clear();
    Integers::read(reader, count, width)?.fill(count, values);
    Ok(())
}

/// What a column of numbers is read as: the low bytes of what is stored.
pub trait Number: Copy + Default {
    /// Bytes of it.
    const WIDTH: usize;
    /// Of the low bytes of a word.
    fn of(word: u64) -> Self;
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Number for $ty {
            const WIDTH: usize = size_of::<$ty>();
            #[inline(always)]
            fn of(word: u64) -> Self {
                word as $ty
            }
        }
    )*};
}

numbers! { u8, u16, u32, u64, i8, i16, i32, i64 }

impl Number for f64 {
    const WIDTH: usize = 8;
    #[inline(always)]
    fn of(word: u64) -> Self {
        Self::from_bits(word)
    }
}

/// An integer column as it is stored: as many numbers of `width` bytes as it has rows, none if it is constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers<'a> {
    mode: u8,
    width: usize,
    base: u64,
    stored: &'a [u8],
}

impl<'a> Integers<'a> {
    /// Reads a column of `count` values that are `width` bytes wide.
    pub(super) fn read(reader: &mut Reader<'a>, count: usize, width: usize) -> Result<Self, DecodeError> {
        let mode = reader.u8()?;
        let (width, base) = match mode {
            RAW => (width, 0),
            CONSTANT => return Ok(Self { mode, width: 0, base: reader.u64()?, stored: &[] }),
            _ => (usize::from(reader.u8()?), reader.u64()?),
        };
        let stored = take(reader, count, width)?;
        if mode > DIFFERENCES {
            return Err(reader.error("unknown form of an integer column"));
        }
        Ok(Self { mode, width, base, stored })
    }

    /// Appends its `count` values.
    pub(super) fn fill<T: Number>(&self, count: usize, values: &mut Vec<T>) {
        let base = self.base;
        match self.mode {
            CONSTANT => values.resize(values.len() + count, T::of(base)),
            DIFFERENCES => {
                let mut value = base;
                widen(self.stored, self.width, values, |z| {
                    value = value.wrapping_add(unzigzag(z));
                    T::of(value)
                });
            }
            // The base of those that are stored as they are is 0.
            _ => widen(self.stored, self.width, values, |offset| T::of(offset.wrapping_add(base))),
        }
    }
}

/// Bytes of the narrowest width, 1, 2, 4 or 8, that holds `value`.
#[inline]
pub(super) const fn bytes_for(value: u64) -> usize {
    match value {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Appends numbers of `width` bytes each.
#[inline]
pub(super) fn pack(values: impl ExactSizeIterator<Item = u64>, width: usize, out: &mut Vec<u8>) {
    fn run<const N: usize>(values: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + values.len() * N, 0);
        let (places, _) = out.get_mut(at..).unwrap_or_default().as_chunks_mut::<N>();
        for (place, value) in places.iter_mut().zip(values) {
            let bytes = value.to_le_bytes();
            *place = *bytes.first_chunk::<N>().unwrap_or(&[0; N]);
        }
    }
    match width {
        1 => run::<1>(values, out),
        2 => run::<2>(values, out),
        4 => run::<4>(values, out),
        _ => run::<8>(values, out),
    }
}

/// Appends `count` numbers of `width` bytes to `values`.
pub(super) fn unpack(
    reader: &mut Reader<'_>,
    count: usize,
    width: usize,
    values: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    widen(take(reader, count, width)?, width, values, |value| value);
    Ok(())
}

/// The bytes of `count` numbers of `width` bytes.
fn take<'a>(reader: &mut Reader<'a>, count: usize, width: usize) -> Result<&'a [u8], DecodeError> {
    if !matches!(width, 1 | 2 | 4 | 8) {
        return Err(reader.error("integer column of an impossible width"));
    }
    reader.take(count.saturating_mul(width))
}

/// Appends what `of` makes of each number of `width` bytes.
#[inline(always)]
fn widen<T>(bytes: &[u8], width: usize, values: &mut Vec<T>, mut of: impl FnMut(u64) -> T) {
    #[inline(always)]
    fn run<const N: usize, T>(bytes: &[u8], values: &mut Vec<T>, of: &mut impl FnMut(u64) -> T) {
        values.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| {
            let mut word = [0; 8];
            if let Some(to) = word.first_chunk_mut::<N>() {
                *to = *chunk;
            }
            of(u64::from_le_bytes(word))
        }));
    }
    match width {
        1 => run::<1, T>(bytes, values, &mut of),
        2 => run::<2, T>(bytes, values, &mut of),
        4 => run::<4, T>(bytes, values, &mut of),
        _ => run::<8, T>(bytes, values, &mut of),
    }
}
