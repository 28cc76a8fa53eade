//! Columns of byte strings: each distinct value once, then its number for every row; or all of them as they are.

use super::integers::{pack, unpack};
use super::{MAX_DISTINCT, load};
use crate::decode::Reader;
use crate::error::DecodeError;

const PLAIN: u8 = 0;
const DICTIONARY: u8 = 1;

/// Longest search in the table: data that collide on purpose cost a dictionary, not time.
const MAX_PROBES: usize = 24;
/// Values up to this many words are compared in registers.
const MAX_WORDS: usize = 8;

/// A value's place in the block's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) fn of(self, raw: &[u8]) -> &[u8] {
        let at = self.at as usize;
        raw.get(at..at + self.len as usize).unwrap_or_default()
    }
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finds the distinct values of a column.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// Number of the value plus one, by hash; 0 = free.
    table: Vec<u16>,
    words: Vec<u64>,
    /// The distinct values, where each was seen first.
    distinct: Vec<Span>,
    /// For each row the number of its value.
    ids: Vec<u16>,
    guess: Guess,
}

/// Guesses the next value: the one that came after this one the last time. Threads do the same things in the same
/// order again; then nothing has to be hashed.
#[derive(Debug, Default)]
struct Guess {
    /// For each value the number plus one of the one that came next, 0 = none.
    next: Vec<u16>,
    /// Number plus one of the last value.
    last: usize,
    /// Right guesses less wrong ones: where guessing does not help it stops.
    score: i32,
}

impl Guess {
    fn clear(&mut self) {
        self.next.clear();
        self.next.resize(MAX_DISTINCT + 1, 0);
        (self.last, self.score) = (0, 0);
    }

    /// Number plus one of the value that is expected; 0 if none is.
    #[inline(always)]
    fn expected(&self) -> u16 {
        if self.score < WORST_SCORE { 0 } else { self.next.get(self.last).copied().unwrap_or(0) }
    }

    #[inline(always)]
    fn was_right(&mut self, entry: u16) {
        self.score = (self.score + 1).min(-WORST_SCORE);
        self.last = usize::from(entry);
    }

    #[inline(always)]
    fn was_wrong(&mut self, entry: u16) {
        self.score -= 1;
        if let Some(next) = self.next.get_mut(self.last) {
            *next = entry;
        }
        self.last = usize::from(entry);
    }
}

/// Wrong guesses more than right ones after which a column is not guessed any more.
const WORST_SCORE: i32 = -1024;

impl Dictionary {
    fn clear(&mut self, rows: usize) -> u32 {
        let slots = (rows.min(MAX_DISTINCT) * 2).next_power_of_two().max(64);
        self.table.clear();
        self.table.resize(slots, 0);
        self.words.clear();
        self.distinct.clear();
        self.ids.clear();
        self.ids.reserve(rows);
        self.guess.clear();
        64 - slots.trailing_zeros()
    }

    /// Values of the same width, at `offset` in each of these records. False if they are too many.
    /// `pace` is called for every 4 KiB or so of `raw`.
    pub(super) fn fill_fixed(
        &mut self,
        raw: &[u8],
        records: &[u32],
        offset: usize,
        width: usize,
        pace: Option<&mut dyn FnMut()>,
    ) -> bool {
        let mut nothing = || {};
        let pace = pace.unwrap_or(&mut nothing);
        match width.div_ceil(8) {
            1 => self.fill_words::<1>(raw, records, offset, width, pace),
            2 => self.fill_words::<2>(raw, records, offset, width, pace),
            3 => self.fill_words::<3>(raw, records, offset, width, pace),
            4 => self.fill_words::<4>(raw, records, offset, width, pace),
            5 => self.fill_words::<5>(raw, records, offset, width, pace),
            6 => self.fill_words::<6>(raw, records, offset, width, pace),
            7 => self.fill_words::<7>(raw, records, offset, width, pace),
            MAX_WORDS => self.fill_words::<MAX_WORDS>(raw, records, offset, width, pace),
            _ => {
                let len = width as u32;
                let spans = records.iter().map(|at| Span { at: at + offset as u32, len });
                self.fill_spans(raw, spans, records.len())
            }
        }
    }

    fn fill_words<const N: usize>(
        &mut self,
        raw: &[u8],
        records: &[u32],
        offset: usize,
        width: usize,
        pace: &mut dyn FnMut(),
    ) -> bool {
        let shift = self.clear(records.len());
        let mut next_pace = 0;
        // The last word ends with the value; what it holds of bytes before the value is shifted out.
        let last = width.wrapping_sub(8);
        let cut = 8 * (8 * N - width) as u32;
        self.ids.resize(records.len(), 0);
        for (at, place) in records.iter().zip(&mut self.ids) {
            let at = *at as usize + offset;
            if at >= next_pace {
                next_pace = at + 4096;
                pace();
            }
            let mut row = [0_u64; N];
            for (i, word) in row.iter_mut().enumerate() {
                *word = if i + 1 < N {
                    load(raw, at + 8 * i)
                } else if N == 1 {
                    load(raw, at.wrapping_add(last)) >> cut
                } else {
                    load(raw, at.wrapping_add(last))
                };
            }
            // A hash of a few words is as quick as a guess.
            let expected = if N > 4 { self.guess.expected() } else { 0 };
            if N > 4 && is_row(&self.words, expected, &row) {
                self.guess.was_right(expected);
                *place = expected - 1;
                continue;
            }
            let mut hash = 0_u64;
            for (i, word) in row.iter().enumerate() {
                // Products that do not wait for each other; the odd factors differ from word to word.
                hash = hash.rotate_left(23) ^ word.wrapping_mul(FACTOR.wrapping_mul(2 * i as u64 + 1));
            }
            let mut slot = ((hash ^ hash >> 32).wrapping_mul(FACTOR) >> shift) as usize;
            let mut probes = 0;
            let id = loop {
                let Some(entry) = self.table.get_mut(slot) else { return false };
                if *entry == 0 {
                    if self.distinct.len() >= MAX_DISTINCT {
                        return false;
                    }
                    self.words.extend_from_slice(&row);
                    self.distinct.push(Span { at: at as u32, len: width as u32 });
                    *entry = self.distinct.len() as u16;
                    break *entry - 1;
                }
                if is_row(&self.words, *entry, &row) {
                    break *entry - 1;
                }
                probes += 1;
                if probes > MAX_PROBES {
                    return false;
                }
                slot = (slot + 1) & (self.table.len() - 1);
            };
            if N > 4 {
                self.guess.was_wrong(id + 1);
            }
            *place = id;
        }
        true
    }

    /// Values of any length. False if they are too many.
    pub(super) fn fill_spans(&mut self, raw: &[u8], spans: impl Iterator<Item = Span>, count: usize) -> bool {
        let shift = self.clear(count);
        for span in spans {
            let value = span.of(raw);
            let expected = self.guess.expected();
            if let Some(known) = self.distinct.get(usize::from(expected).wrapping_sub(1))
                && known.len == span.len
                && known.of(raw) == value
            {
                self.guess.was_right(expected);
                self.ids.push(expected - 1);
                continue;
            }
            let mut slot = (hash(value) >> shift) as usize;
            let mut probes = 0;
            let id = loop {
                let Some(entry) = self.table.get_mut(slot) else { return false };
                if *entry == 0 {
                    if self.distinct.len() >= MAX_DISTINCT {
                        return false;
                    }
                    self.distinct.push(span);
                    *entry = self.distinct.len() as u16;
                    break *entry - 1;
                }
                let known = self.distinct.get(usize::from(*entry) - 1).copied().unwrap_or_default();
                if known.len == span.len && known.of(raw) == value {
                    break *entry - 1;
                }
                probes += 1;
                if probes > MAX_PROBES {
                    return false;
                }
                slot = (slot + 1) & (self.table.len() - 1);
            };
            self.guess.was_wrong(id + 1);
            self.ids.push(id);
        }
        true
    }

    fn id_width(&self) -> usize {
        id_width(self.distinct.len())
    }

    /// Bytes that [`Dictionary::encode`] writes, about.
    pub(super) fn cost(&self, with_lengths: bool) -> usize {
        let values: usize = self.distinct.iter().map(|s| s.len as usize).sum();
        let lengths = if with_lengths { self.distinct.len() * 2 } else { 0 };
        3 + values + lengths + self.ids.len() * self.id_width()
    }

    /// Writes the column.
    pub(super) fn encode(&self, raw: &[u8], with_lengths: bool, out: &mut Vec<u8>) {
        out.push(DICTIONARY);
        out.extend_from_slice(&(self.distinct.len() as u16).to_le_bytes());
        if with_lengths {
            pack(self.distinct.iter().map(|s| u64::from(s.len)), 2, out);
        }
        for span in &self.distinct {
            out.extend_from_slice(span.of(raw));
        }
        if self.distinct.len() > 1 {
            pack(self.ids.iter().map(|id| u64::from(*id)), self.id_width(), out);
        }
    }
}

/// Whether the value of this entry is `row`.
#[inline(always)]
fn is_row<const N: usize>(words: &[u64], entry: u16, row: &[u64; N]) -> bool {
    let known = usize::from(entry).wrapping_sub(1).wrapping_mul(N);
    let words = words.get(known..known.wrapping_add(N)).unwrap_or_default();
    // Not `==` of slices: that would go through memory, and wait for it.
    words.iter().zip(row).fold((N ^ words.len()) as u64, |d, (a, b)| d | (a ^ b)) == 0
}

/// Writes a column as it is.
pub(super) fn encode_plain(raw: &[u8], spans: impl Iterator<Item = Span>, out: &mut Vec<u8>) {
    out.push(PLAIN);
    for span in spans {
        out.extend_from_slice(span.of(raw));
    }
}

const fn id_width(distinct: usize) -> usize {
    if distinct <= 256 { 1 } else { 2 }
}

/// A hash of all bytes: four products at a time that do not wait for each other.
#[inline]
fn hash(value: &[u8]) -> u64 {
    let mut sums = [value.len() as u64, 0x2545_f491_4f6c_dd1d, 0x9fb2_1c65_1e98_df25, 0xd1b5_4a32_d192_ed03];
    let mut fold = |words: [u64; 4]| {
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = (*sum ^ word).wrapping_mul(FACTOR).rotate_left(29);
        }
    };
    let four = |c: &[u8; 32]| [load(c, 0), load(c, 8), load(c, 16), load(c, 24)];
    if let Some(last) = value.last_chunk::<32>() {
        value.as_chunks::<32>().0.iter().for_each(|chunk| fold(four(chunk)));
        // Overlaps the one before: a byte that is taken twice does no harm.
        fold(four(last));
    } else if let (Some(first), Some(last)) = (value.first_chunk::<16>(), value.last_chunk::<16>()) {
        fold([load(first, 0), load(first, 8), load(last, 0), load(last, 8)]);
    } else {
        let middle = value.len().saturating_sub(8);
        fold([load(value, 0), load(value, middle), 0, 0]);
    }
    let [a, b, c, d] = sums;
    (a ^ b.rotate_left(17) ^ c.rotate_left(34) ^ d.rotate_left(51)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// A column that is being read: gives the rows one after the other.
#[derive(Debug)]
pub(super) enum Column<'a> {
    /// The values, one after the other.
    Plain(&'a [u8]),
    /// Numbers of values.
    Ids {
        /// All values.
        values: &'a [u8],
        /// Where each begins, and where the last ends; empty if all have one width.
        bounds: Vec<u32>,
        /// For each row its value.
        ids: Vec<u16>,
    },
}

impl<'a> Column<'a> {
    /// Reads the column of `rows` values; `width` if all are that wide, else `total` is the length of a plain one.
    pub(super) fn decode(
        reader: &mut Reader<'a>,
        rows: usize,
        width: Option<usize>,
        total: usize,
        numbers: &mut Vec<u64>,
    ) -> Result<Self, DecodeError> {
        match reader.u8()? {
            PLAIN => Ok(Self::Plain(reader.take(width.map_or(total, |w| w.saturating_mul(rows)))?)),
            DICTIONARY => {
                let distinct = usize::from(reader.u16()?);
                if distinct == 0 && rows != 0 || distinct > MAX_DISTINCT {
                    return Err(reader.error("dictionary of an impossible size"));
                }
                let mut bounds = Vec::new();
                let values = match width {
                    Some(width) => reader.take(distinct * width)?,
                    None => {
                        numbers.clear();
                        unpack(reader, distinct, 2, numbers)?;
                        bounds.push(0);
                        let mut end = 0_u32;
                        for len in numbers.iter() {
                            end += *len as u32;
                            bounds.push(end);
                        }
                        reader.take(end as usize)?
                    }
                };
                let mut ids = Vec::new();
                if distinct <= 1 {
                    ids.resize(rows, 0);
                } else {
                    let id_width = id_width(distinct);
                    let bytes = reader.take(rows.saturating_mul(id_width))?;
                    if id_width == 1 {
                        ids.extend(bytes.iter().map(|b| u16::from(*b)));
                    } else {
                        ids.extend(bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)));
                    }
                    // Not `any`: the greatest of all is found many at a time.
                    let greatest = ids.iter().fold(0, |greatest, id| id.max(&greatest).to_owned());
                    if usize::from(greatest) >= distinct {
                        return Err(reader.error("number of a value that the dictionary does not have"));
                    }
                }
                Ok(Self::Ids { values, bounds, ids })
            }
            _ => Err(reader.error("unknown form of a column")),
        }
    }

    /// The values back to back, and for each row the number of its value; no numbers if each row has its own value.
    pub(super) fn parts(&self) -> (&'a [u8], &[u16]) {
        match self {
            Self::Plain(values) => (values, &[]),
            Self::Ids { values, ids, .. } => (values, ids),
        }
    }

    /// The value of row `row`, all being `width` bytes wide.
    #[inline(always)]
    pub(super) fn fixed(&self, row: usize, width: usize) -> Option<&'a [u8]> {
        match self {
            Self::Plain(bytes) => bytes.get(row * width..(row + 1) * width),
            Self::Ids { values, ids, .. } => {
                let id = ids.get(row).map_or(0, |id| usize::from(*id));
                values.get(id * width..(id + 1) * width)
            }
        }
    }

    /// The value of row `row`, which is `len` bytes long and, if the column is plain, begins at `at`.
    #[inline(always)]
    pub(super) fn variable(&self, row: usize, at: usize, len: usize) -> Option<&'a [u8]> {
        match self {
            Self::Plain(bytes) => bytes.get(at..at + len),
            Self::Ids { values, bounds, ids, .. } => {
                let id = ids.get(row).map_or(0, |id| usize::from(*id));
                let (start, end) = (*bounds.get(id)? as usize, *bounds.get(id + 1)? as usize);
                if end - start != len {
                    return None;
                }
                values.get(start..end)
            }
        }
    }
}
