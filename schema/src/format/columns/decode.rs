//! Columns to records. Every byte is a stranger's: counts are checked against the length that the block must have
//! before anything is made for them.

use super::dictionary::Column;
use super::{MAX_SHAPES, Shape, integers, ticks};
use crate::decode::Reader;
use crate::error::DecodeError;
use crate::field::CUT;
use crate::format::record::{HEADER_LEN, KIND_PAD};
use crate::limits::{MAX_FIELDS, MAX_RECORD};

/// Turns columns into records. Keeps its memory from block to block.
#[derive(Debug, Default)]
pub struct Decoder {
    differences: Vec<u64>,
    numbers: Vec<u64>,
    /// Fixed parts that were stored by field, one shape after the other.
    fixed: Vec<u8>,
}

/// A kind of records, as described in front of the columns.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) shape: Shape,
    pub(super) rows: usize,
    pub(super) has_rest: bool,
    pub(super) fixed: usize,
    pub(super) pieces: Vec<usize>,
    pub(super) lengths: Vec<usize>,
}

/// What stands in front of the columns.
pub(super) struct Head<'a> {
    /// Records, without the pad.
    pub(super) count: usize,
    pub(super) pad: usize,
    /// Bytes of the records.
    pub(super) room: usize,
    pub(super) described: Vec<Described>,
    /// The shape of each record; empty if there is only one.
    pub(super) order: &'a [u8],
}

/// Reads what stands in front of the columns of a block of `raw_len` decoded bytes.
pub(super) fn head<'a>(reader: &mut Reader<'a>, raw_len: usize) -> Result<Head<'a>, DecodeError> {
    let count = reader.u32()? as usize;
    let pad = reader.u32()? as usize;
    let shapes = usize::from(reader.u8()?);
    let room = raw_len.checked_sub(pad).ok_or(reader.error("pad is longer than the block"))?;
    if count > room / HEADER_LEN || shapes > MAX_SHAPES || (shapes == 0) != (count == 0) {
        return Err(reader.error("impossible number of records"));
    }
    let mut described = Vec::with_capacity(shapes);
    let (mut rows, mut bytes) = (0, 0_usize);
    for _ in 0..shapes {
        let shape = describe(reader)?;
        rows += shape.rows;
        bytes = bytes.saturating_add(shape.rows.saturating_mul(HEADER_LEN + shape.fixed));
        described.push(shape);
    }
    if rows != count || bytes > room {
        return Err(reader.error("rows do not add up to the records of the block"));
    }
    let order = if shapes > 1 { reader.take(count)? } else { &[] };
    if shapes > 1 {
        let mut counts = [0_usize; 256];
        order.iter().for_each(|shape| counts[usize::from(*shape)] += 1);
        if !described.iter().zip(&counts).all(|(d, n)| d.rows == *n) {
            return Err(reader.error("rows do not match the order of the records"));
        }
    }
    Ok(Head { count, pad, room, described, order })
}

/// Whether a pad record may be that long.
pub(super) const fn is_pad(len: usize) -> bool {
    len == 0 || len >= 8 && len.is_multiple_of(8)
}

/// The columns of one shape, while its rows are taken one after the other.
struct Rows<'a> {
    described: Described,
    fixed: Fixed<'a>,
    columns: Vec<Taken<'a>>,
    rest: Option<Taken<'a>>,
    rest_lens: Vec<u64>,
    next: usize,
}

enum Fixed<'a> {
    Column(Column<'a>),
    /// Start in [`Decoder::fixed`].
    Gathered(usize),
}

struct Taken<'a> {
    column: Column<'a>,
    at: usize,
}

impl<'a> Taken<'a> {
    fn take(&mut self, row: usize, len: usize) -> Option<&'a [u8]> {
        let value = self.column.variable(row, self.at, len)?;
        self.at += len;
        Some(value)
    }
}

impl Decoder {
    /// Decodes into exactly `out`, which is all zeros.
    ///
    /// # Errors
    /// If the columns are cut, contradict themselves, or give another length.
    pub fn decode(&mut self, stored: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(stored);
        let Head { count, pad, room, described, order } = head(&mut reader, out.len())?;
        ticks::decode(&mut reader, count, &mut self.differences)?;
        self.fixed.clear();
        let mut all = Vec::with_capacity(described.len());
        for shape in described {
            all.push(self.columns(&mut reader, shape)?);
        }
        let end = reader.offset();
        reader.finish()?;
        let at = self
            .assemble(&mut all, order, out)
            .ok_or(DecodeError::new(end, "columns contradict themselves"))?;
        if at != room || !is_pad(pad) {
            return Err(DecodeError::new(0, "columns give another length than the block has"));
        }
        if let Some(place) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            *place = (pad as u64 | u64::from(KIND_PAD) << 48).to_le_bytes();
        }
        Ok(())
    }

    /// Reads the columns of one shape.
    fn columns<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        described: Described,
    ) -> Result<Rows<'a>, DecodeError> {
        let (rows, width) = (described.rows, described.fixed);
        let fixed = if width == 0 {
            Fixed::Gathered(self.fixed.len())
        } else if reader.u8()? == 1 {
            Fixed::Column(Column::decode(reader, rows, Some(width), 0, &mut self.numbers)?)
        } else {
            let start = self.fixed.len();
            self.fixed.resize(start + rows * width, 0);
            let mut offset = 0;
            for piece in &described.pieces {
                let to = self.fixed.get_mut(start..).unwrap_or_default();
                gather(reader, rows, width, offset, *piece, to, &mut self.numbers)?;
                offset += piece;
            }
            Fixed::Gathered(start)
        };
        let mut columns = Vec::with_capacity(described.lengths.len());
        for word in &described.lengths {
            let mut total = 0;
            for row in 0..rows {
                let part = fixed_part(&fixed, &self.fixed, row, width);
                total += part.map_or(0, |p| variable_len(p, *word));
            }
            let column = Column::decode(reader, rows, None, total, &mut self.numbers)?;
            columns.push(Taken { column, at: 0 });
        }
        let mut rest_lens = Vec::new();
        let rest = if described.has_rest {
            integers::decode(reader, rows, 4, &mut rest_lens)?;
            let total = rest_lens.iter().fold(0_u64, |sum, len| sum.saturating_add(*len));
            let total = usize::try_from(total).map_err(|_| reader.error("length overflows"))?;
            if rest_lens.iter().any(|len| *len > MAX_RECORD as u64) {
                return Err(reader.error("record is too long"));
            }
            let column = Column::decode(reader, rows, None, total, &mut self.numbers)?;
            Some(Taken { column, at: 0 })
        } else {
            None
        };
        Ok(Rows { described, fixed, columns, rest, rest_lens, next: 0 })
    }

    /// Writes the records in their order. Returns where they end; `None` if the columns do not fit together.
    fn assemble(&self, all: &mut [Rows<'_>], order: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        let mut stamp = 0_u64;
        if let [only] = all
            && only.columns.is_empty()
            && only.rest.is_none()
        {
            // One kind of records without variable bytes: all are equally long.
            let width = only.described.fixed;
            let size = (HEADER_LEN + width).next_multiple_of(8);
            let word = (HEADER_LEN + width) as u64 | u64::from(only.described.shape.key) << 32;
            let places = out.get_mut(..size * self.differences.len())?.chunks_exact_mut(size);
            for (row, (place, difference)) in places.zip(&self.differences).enumerate() {
                stamp = stamp.wrapping_add(*difference);
                *place.first_chunk_mut()? = word.to_le_bytes();
                *place.get_mut(8..)?.first_chunk_mut()? = stamp.to_le_bytes();
                let part = fixed_part(&only.fixed, &self.fixed, row, width)?;
                place.get_mut(HEADER_LEN..HEADER_LEN + width)?.copy_from_slice(part);
            }
            return Some(size * self.differences.len());
        }
        for (i, difference) in self.differences.iter().enumerate() {
            let rows = all.get_mut(order.get(i).map_or(0, |shape| usize::from(*shape)))?;
            stamp = stamp.wrapping_add(*difference);
            at += rows.put(&self.fixed, stamp, out.get_mut(at..)?)?;
        }
        Some(at)
    }
}

impl Rows<'_> {
    /// Writes the next record of this shape at the start of `out`; returns its length with padding.
    #[inline]
    fn put(&mut self, gathered: &[u8], stamp: u64, out: &mut [u8]) -> Option<usize> {
        let (row, width) = (self.next, self.described.fixed);
        self.next += 1;
        let part = fixed_part(&self.fixed, gathered, row, width)?;
        let mut end = HEADER_LEN + width;
        out.get_mut(HEADER_LEN..end)?.copy_from_slice(part);
        for (taken, word) in self.columns.iter_mut().zip(&self.described.lengths) {
            let value = taken.take(row, variable_len(part, *word))?;
            out.get_mut(end..end + value.len())?.copy_from_slice(value);
            end += value.len();
        }
        if let Some(rest) = &mut self.rest {
            let value = rest.take(row, *self.rest_lens.get(row)? as usize)?;
            out.get_mut(end..end + value.len())?.copy_from_slice(value);
            end += value.len();
        }
        if end > MAX_RECORD {
            return None;
        }
        *out.first_chunk_mut()? = (end as u64 | u64::from(self.described.shape.key) << 32).to_le_bytes();
        *out.get_mut(8..)?.first_chunk_mut()? = stamp.to_le_bytes();
        Some(end.next_multiple_of(8))
    }
}

/// The fixed part of a row.
#[inline(always)]
fn fixed_part<'a>(fixed: &Fixed<'a>, gathered: &'a [u8], row: usize, width: usize) -> Option<&'a [u8]> {
    match fixed {
        Fixed::Column(column) => column.fixed(row, width),
        Fixed::Gathered(start) => gathered.get(start + row * width..start + (row + 1) * width),
    }
}

/// The length that the length word at `at` of a fixed part tells.
#[inline(always)]
fn variable_len(fixed: &[u8], at: usize) -> usize {
    let word = fixed.get(at..).and_then(|f| f.first_chunk::<2>()).map_or(0, |b| u16::from_le_bytes(*b));
    usize::from(word & !CUT)
}

fn describe(reader: &mut Reader<'_>) -> Result<Described, DecodeError> {
    let shape = Shape { key: reader.u32()? };
    let rows = reader.u32()? as usize;
    let has_rest = reader.u8()? != 0;
    if shape.kind() == KIND_PAD || rows == 0 {
        return Err(reader.error("impossible kind of records"));
    }
    let mut list = |most: usize| {
        let n = usize::from(reader.u16()?);
        if n > most {
            return Err(reader.error("more values than an event may have"));
        }
        (0..n).map(|_| reader.u16().map(usize::from)).collect::<Result<Vec<_>, _>>()
    };
    let pieces = list(2 * MAX_FIELDS)?;
    let lengths = list(MAX_FIELDS)?;
    let fixed: usize = pieces.iter().sum();
    // One after the other: of words at one place there could be many more than bytes, each with work for every row.
    let are_apart =
        lengths.is_sorted_by(|a, b| a + 2 <= *b) && lengths.last().is_none_or(|at| at + 2 <= fixed);
    if fixed > MAX_RECORD - HEADER_LEN || !are_apart || pieces.contains(&0) {
        return Err(reader.error("impossible layout of a record"));
    }
    Ok(Described { shape, rows, has_rest, fixed, pieces, lengths })
}

/// Reads the column of one value of the fixed part into its place in all rows.
fn gather(
    reader: &mut Reader<'_>,
    rows: usize,
    stride: usize,
    offset: usize,
    width: usize,
    to: &mut [u8],
    numbers: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    if matches!(width, 1 | 2 | 4 | 8) && reader.u8()? == 0 {
        integers::decode(reader, rows, width, numbers)?;
        for (row, value) in to.chunks_exact_mut(stride).zip(numbers.iter()) {
            let bytes = value.to_le_bytes();
            let place = row.get_mut(offset..offset + width).unwrap_or_default();
            place.copy_from_slice(bytes.get(..place.len()).unwrap_or_default());
        }
        return Ok(());
    }
    let column = Column::decode(reader, rows, Some(width), 0, numbers)?;
    for (index, row) in to.chunks_exact_mut(stride).enumerate() {
        let value = column.fixed(index, width).unwrap_or_default();
        match row.get_mut(offset..offset + width) {
            Some(place) if place.len() == value.len() => place.copy_from_slice(value),
            _ => return Err(reader.error("column is too short")),
        }
    }
    Ok(())
}
