//! Columns as columns: what a block has of each kind of records, checked, without making records of it.

use super::decode::{Described, Head, head, is_pad};
use super::dictionary::Column;
use super::integers::{self, Integers, Number};
use super::{Layout, MAX_DISTINCT, ticks};
use crate::decode::Reader;
use crate::error::DecodeError;
use crate::field::CUT;
use crate::format::record::HEADER_LEN;
use crate::limits::MAX_RECORD;

/// A block's columns. They passed every check of [`Decoder`](super::Decoder): they are those of the records that it
/// would make of them.
#[derive(Debug)]
pub struct Table<'a> {
    order: &'a [u8],
    groups: Vec<Group<'a>>,
}

/// The columns of the records that share event index, kind and flags.
#[derive(Debug)]
pub struct Group<'a> {
    /// Index into the process's event types.
    pub event: u16,
    /// As in a record's header.
    pub kind: u8,
    /// As in a record's header.
    pub flags: u8,
    /// How many records it has; at least one.
    pub rows: usize,
    pieces: Vec<usize>,
    /// Where each piece begins in the fixed part.
    offsets: Vec<usize>,
    lengths: Vec<usize>,
    width: usize,
    fixed: Fixed<'a>,
    variables: Vec<Variable<'a>>,
    rest: Option<Rest<'a>>,
}

#[derive(Debug)]
enum Fixed<'a> {
    /// All pieces of a row together.
    Whole(Column<'a>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Debug)]
enum Piece<'a> {
    Integers(Integers<'a>),
    Bytes(Column<'a>),
}

/// Values of any length: each row's, or each distinct one and its number for each row.
#[derive(Debug)]
pub struct Variable<'a> {
    column: Column<'a>,
    /// Length words of the rows; one only if all are the same.
    words: Vec<u16>,
}

/// Which values of a dictionary are whose.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'t> {
    /// Where each value begins, and the last ends.
    pub bounds: &'t [u32],
    /// For each row the number of its value.
    pub ids: &'t [u16],
}

#[derive(Debug)]
struct Rest<'a> {
    column: Column<'a>,
    lens: Vec<u64>,
}

/// The lengths of a group's records.
struct Lengths {
    /// As long as all are the same.
    same: usize,
    /// Those of each row, if they are not.
    each: Vec<u32>,
}

impl Lengths {
    fn add(&mut self, rows: usize, words: &[u16]) {
        if let [word] = words {
            let len = usize::from(word & !CUT);
            self.same += len;
            self.each.iter_mut().for_each(|sum| *sum = sum.saturating_add(len as u32));
        } else {
            self.add_each(rows, words.iter().map(|word| u32::from(word & !CUT)));
        }
    }

    fn add_each(&mut self, rows: usize, lens: impl Iterator<Item = u32>) {
        if self.each.is_empty() {
            self.each.resize(rows, self.same as u32);
        }
        self.each.iter_mut().zip(lens).for_each(|(sum, len)| *sum = sum.saturating_add(len));
    }

    /// The bytes of all records with their padding; `None` if one is too long.
    fn total(&self, rows: usize) -> Option<usize> {
        if self.each.is_empty() {
            return (self.same <= MAX_RECORD).then(|| rows * self.same.next_multiple_of(8));
        }
        let mut total = 0;
        for len in &self.each {
            let len = *len as usize;
            if len > MAX_RECORD {
                return None;
            }
            total += len.next_multiple_of(8);
        }
        Some(total)
    }
}

impl<'a> Table<'a> {
    /// Reads the columns of a block of `raw_len` decoded bytes. `stamps` gets the ticks of all records in their order.
    ///
    /// # Errors
    /// If the columns are cut, contradict themselves, or give another length; or if length words lie where a writer
    /// does not have them, which [`Decoder`](super::Decoder) allows.
    pub fn read(stored: &'a [u8], raw_len: usize, stamps: &mut Vec<u64>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(stored);
        let Head { count, pad, room, described, order } = head(&mut reader, raw_len)?;
        ticks::decode(&mut reader, count, stamps)?;
        let mut stamp = 0_u64;
        for place in stamps.iter_mut() {
            stamp = stamp.wrapping_add(*place);
            *place = stamp;
        }
        let mut numbers = Vec::new();
        let mut groups = Vec::with_capacity(described.len());
        let mut total = 0;
        for described in described {
            let (group, len) = Group::read(&mut reader, described, &mut numbers)?;
            total += len;
            groups.push(group);
        }
        reader.finish()?;
        if total != room || !is_pad(pad) {
            return Err(DecodeError::new(0, "columns give another length than the block has"));
        }
        Ok(Self { order, groups })
    }

    /// The kinds of records.
    #[must_use]
    pub fn groups(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// For each record of the block the group that has it, as an index; empty if there is only one group.
    #[must_use]
    pub const fn order(&self) -> &'a [u8] {
        self.order
    }
}

impl<'a> Group<'a> {
    /// With the bytes that its records have.
    fn read(
        reader: &mut Reader<'a>,
        described: Described,
        numbers: &mut Vec<u64>,
    ) -> Result<(Self, usize), DecodeError> {
        let Described { shape, rows, has_rest, fixed: width, pieces, lengths } = described;
        let offsets = pieces
            .iter()
            .scan(0, |end, width| {
                *end += width;
                Some(*end - width)
            })
            .collect();
        let fixed = if width != 0 && reader.u8()? == 1 {
            Fixed::Whole(Column::decode(reader, rows, Some(width), 0, numbers)?)
        } else {
            let read = |width: &usize| Piece::read(reader, rows, *width, numbers);
            Fixed::Pieces(pieces.iter().map(read).collect::<Result<_, _>>()?)
        };
        let variables = Vec::with_capacity(lengths.len());
        let mut group = Self {
            event: shape.key as u16,
            kind: shape.kind(),
            flags: (shape.key >> 24) as u8,
            rows,
            pieces,
            offsets,
            lengths,
            width,
            fixed,
            variables,
            rest: None,
        };
        let mut lens = Lengths { same: HEADER_LEN + width, each: Vec::new() };
        for at in 0..group.lengths.len() {
            let variable = group.variable(reader, at, numbers)?;
            lens.add(rows, &variable.words);
            group.variables.push(variable);
        }
        if has_rest {
            let rest = Rest::read(reader, rows, numbers)?;
            lens.add_each(rows, rest.lens.iter().map(|len| *len as u32));
            group.rest = Some(rest);
        }
        let total = lens.total(rows).ok_or(reader.error("record is too long"))?;
        Ok((group, total))
    }

    fn variable(
        &self,
        reader: &mut Reader<'a>,
        index: usize,
        numbers: &mut Vec<u64>,
    ) -> Result<Variable<'a>, DecodeError> {
        let piece = self.lengths.get(index).and_then(|at| self.offsets.iter().position(|start| start == at));
        let mut words: Vec<u16> = Vec::new();
        let has_words = piece.is_some_and(|piece| {
            // Lengths are often all the same: that is seen in the distinct rows, which are fewer.
            let are_same = self.distinct_words(piece, &mut words) && is_one(&mut words);
            are_same || {
                words.clear();
                self.numbers(piece, &mut words)
            }
        });
        if !has_words {
            return Err(reader.error("length word is not a value of its own"));
        }
        is_one(&mut words);
        let len = |word: u16| usize::from(word & !CUT);
        let total = match words.as_slice() {
            [word] => len(*word) * self.rows,
            words => words.iter().map(|word| len(*word)).sum(),
        };
        let column = Column::decode(reader, self.rows, None, total, numbers)?;
        let variable = Variable { column, words };
        if variable.has_lengths(self.rows, |row| len(variable.word(row))) {
            return Ok(variable);
        }
        Err(reader.error("columns contradict themselves"))
    }

    /// Appends the length words of the distinct rows. False if rows are not stored whole.
    fn distinct_words(&self, piece: usize, out: &mut Vec<u16>) -> bool {
        match (&self.fixed, self.offsets.get(piece), self.pieces.get(piece)) {
            (Fixed::Whole(column), Some(at), Some(2)) => {
                plain(column.parts().0, *at, self.width, out);
                true
            }
            _ => false,
        }
    }

    /// Whether its pieces and variable bytes are those of this layout.
    #[must_use]
    pub fn has_layout(&self, layout: &Layout) -> bool {
        let are =
            |own: &[usize], others: &[u16]| own.iter().copied().eq(others.iter().map(|n| usize::from(*n)));
        are(&self.pieces, &layout.pieces) && are(&self.lengths, &layout.lengths)
    }

    /// Appends the values of a piece, as numbers of its width. False if there is no such piece.
    pub fn numbers<T: Number>(&self, piece: usize, out: &mut Vec<T>) -> bool {
        if self.pieces.get(piece) != Some(&T::WIDTH) {
            return false;
        }
        match &self.fixed {
            Fixed::Whole(column) => {
                let at = self.offsets.get(piece).copied().unwrap_or(0);
                gather(column, at, self.width, self.rows, out);
            }
            Fixed::Pieces(pieces) => match pieces.get(piece) {
                Some(Piece::Integers(integers)) => integers.fill(self.rows, out),
                Some(Piece::Bytes(column)) => gather(column, 0, T::WIDTH, self.rows, out),
                None => return false,
            },
        }
        true
    }

    /// Makes `room` hold what [`Group::bytes`] needs of a piece that is not stored by itself.
    pub fn gather(&self, piece: usize, room: &mut Vec<u8>) {
        room.clear();
        let (Some(width), Some(offset)) = (self.pieces.get(piece), self.offsets.get(piece)) else { return };
        match &self.fixed {
            Fixed::Whole(column) => {
                for row in column.parts().0.chunks_exact(self.width.max(1)) {
                    room.extend_from_slice(row.get(*offset..offset + width).unwrap_or_default());
                }
            }
            Fixed::Pieces(pieces) => {
                if let Some(Piece::Integers(integers)) = pieces.get(piece) {
                    let mut words: Vec<u64> = Vec::new();
                    integers.fill(self.rows, &mut words);
                    for word in words {
                        room.extend_from_slice(word.to_le_bytes().get(..*width).unwrap_or_default());
                    }
                }
            }
        }
    }

    /// The values of a piece as bytes, back to back; and for each row the number of its value, none if each row has
    /// its own. `room` is what [`Group::gather`] made.
    #[must_use]
    pub fn bytes<'t>(&'t self, piece: usize, room: &'t [u8]) -> (&'t [u8], &'t [u16]) {
        match &self.fixed {
            Fixed::Whole(column) => (room, column.parts().1),
            Fixed::Pieces(pieces) => match pieces.get(piece) {
                Some(Piece::Bytes(column)) => column.parts(),
                _ => (room, &[]),
            },
        }
    }

    /// The columns of variable bytes, in order.
    #[must_use]
    pub fn variables(&self) -> &[Variable<'a>] {
        &self.variables
    }

    /// What follows the values of every row, if it is the same for all.
    #[must_use]
    pub fn rest(&self) -> Option<&'a [u8]> {
        let Some(rest) = &self.rest else { return Some(&[]) };
        let first = rest.get(0, 0)?;
        let mut at = 0;
        for row in 0..self.rows {
            let value = rest.get(row, at)?;
            if value != first {
                return None;
            }
            at += value.len();
        }
        Some(first)
    }
}

impl<'a> Piece<'a> {
    fn read(
        reader: &mut Reader<'a>,
        rows: usize,
        width: usize,
        numbers: &mut Vec<u64>,
    ) -> Result<Self, DecodeError> {
        if matches!(width, 1 | 2 | 4 | 8) && reader.u8()? == 0 {
            return Ok(Self::Integers(Integers::read(reader, rows, width)?));
        }
        Ok(Self::Bytes(Column::decode(reader, rows, Some(width), 0, numbers)?))
    }
}

impl<'a> Rest<'a> {
    fn read(reader: &mut Reader<'a>, rows: usize, numbers: &mut Vec<u64>) -> Result<Self, DecodeError> {
        let mut lens = Vec::new();
        integers::decode(reader, rows, 4, &mut lens)?;
        if lens.iter().any(|len| *len > MAX_RECORD as u64) {
            return Err(reader.error("record is too long"));
        }
        let total = lens.iter().map(|len| *len as usize).sum();
        let column = Column::decode(reader, rows, None, total, numbers)?;
        let rest = Self { column, lens };
        let is_whole =
            (0..rows).all(|row| matches!(rest.column, Column::Plain(_)) || rest.get(row, 0).is_some());
        if is_whole { Ok(rest) } else { Err(reader.error("columns contradict themselves")) }
    }

    /// The bytes of a row, which begin at `at` if the column is plain.
    fn get(&self, row: usize, at: usize) -> Option<&'a [u8]> {
        self.column.variable(row, at, usize::try_from(*self.lens.get(row)?).ok()?)
    }
}

impl<'a> Variable<'a> {
    /// The length word of a row.
    #[inline]
    fn word(&self, row: usize) -> u16 {
        match self.words.as_slice() {
            [word] => *word,
            words => words.get(row).copied().unwrap_or(0),
        }
    }

    /// Whether every row's value has this length.
    fn has_lengths(&self, rows: usize, len: impl Fn(usize) -> usize) -> bool {
        let Column::Ids { bounds, ids, .. } = &self.column else { return true };
        let ends = bounds.iter().skip(1);
        let lens: Vec<usize> = bounds.iter().zip(ends).map(|(start, end)| (end - start) as usize).collect();
        if self.words.len() == 1 && lens.iter().all(|n| *n == len(0)) {
            return true;
        }
        (0..rows).all(|row| ids.get(row).and_then(|id| lens.get(usize::from(*id))) == Some(&len(row)))
    }

    /// Length words of the rows, bit 15 set if the value was longer; only one if all are the same.
    #[must_use]
    pub fn words(&self) -> &[u16] {
        &self.words
    }

    /// The values, back to back; and which are whose, if they are a dictionary. Without a dictionary each row has its own value, as long as its length word says.
    #[must_use]
    pub fn parts(&self) -> (&'a [u8], Option<Numbered<'_>>) {
        match &self.column {
            Column::Plain(values) => (values, None),
            Column::Ids { values, bounds, ids } => (values, Some(Numbered { bounds, ids })),
        }
    }
}

/// Appends the numbers at offset `at` of the values of a column that are `stride` bytes wide.
fn gather<T: Number>(column: &Column<'_>, at: usize, stride: usize, rows: usize, out: &mut Vec<T>) {
    match column {
        Column::Plain(values) => plain(values, at, stride, out),
        Column::Ids { values, ids, .. } => {
            let mut distinct: Vec<T> = Vec::with_capacity(MAX_DISTINCT);
            plain(values, at, stride, &mut distinct);
            match distinct.len() {
                0 | 1 => {
                    let only = distinct.first().copied().unwrap_or_default();
                    out.resize(out.len() + rows, only);
                }
                2..=256 => look_up::<T, 256>(&mut distinct, ids, out),
                257..=1024 => look_up::<T, 1024>(&mut distinct, ids, out),
                _ => look_up::<T, MAX_DISTINCT>(&mut distinct, ids, out),
            }
        }
    }
}

/// Appends the numbers at offset `at` of values that are `stride` bytes wide.
fn plain<T: Number>(values: &[u8], at: usize, stride: usize, out: &mut Vec<T>) {
    out.extend(values.chunks_exact(stride).map(|row| {
        let bytes = row.get(at..at + T::WIDTH).unwrap_or_default();
        let mut word = [0; 8];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        T::of(u64::from_le_bytes(word))
    }));
}

/// Whether all words are the same; then one of them is left.
fn is_one(words: &mut Vec<u16>) -> bool {
    let first = words.first().copied().unwrap_or(0);
    let is = words.iter().all(|word| *word == first);
    if is {
        words.truncate(1);
    }
    is
}

/// Appends for each number its value, in a table whose length the compiler knows: so nothing has to be checked.
/// `N` is a power of two, and no number is as great.
fn look_up<T: Number, const N: usize>(distinct: &mut Vec<T>, ids: &[u16], out: &mut Vec<T>) {
    distinct.resize(N, T::default());
    if let Some(table) = distinct.first_chunk::<N>() {
        out.extend(ids.iter().map(|id| table[usize::from(*id) & (N - 1)]));
    }
}
