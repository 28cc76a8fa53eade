//! Visits every value of every field of every event, and adds up all their bytes, so that nothing can be left out: event
//! by event, and by columns. Both give the same sum. By columns, a text of a dictionary is added up once, and its sum
//! once for each event that has it, as a program that counts or searches does.

use std::convert::Infallible;

use tracewell_reader::{Batch, Filter, Item, Part, Summary, Trace, Values};
use tracewell_schema::Value;

/// The sum of the eight-byte words of some bytes, the last one filled up with zeros.
#[inline]
fn fold(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().fold(u64::from_le_bytes(last), |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

fn fold_value(value: &Value<'_>) -> u64 {
    match value {
        Value::U(n) => *n,
        Value::Str(text) | Value::Bytes(text) => fold(text.bytes),
        other => panic!("the workloads have no {other:?}"),
    }
}

/// Event by event, merged by time.
///
/// # Panics
/// If there is a value of a type that the workloads do not have.
#[must_use]
pub fn by_event(trace: &Trace) -> (u64, Summary) {
    let mut sum = 0_u64;
    let Ok(summary) = trace.read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            for field in event.values.iter().flatten() {
                sum = sum.wrapping_add(fold_value(&field.value));
            }
        }
        Ok::<(), Infallible>(())
    });
    (sum, summary)
}

/// By columns, in no order between threads.
///
/// # Panics
/// If there is a value of a type that the workloads do not have.
#[must_use]
pub fn by_column(trace: &Trace) -> (u64, Summary) {
    let mut sum = 0_u64;
    let Ok(summary) = trace.batches(&Filter::default(), |part| {
        if let Part::Batch(batch) = part {
            sum = sum.wrapping_add(fold_batch(batch));
        }
        Ok::<(), Infallible>(())
    });
    (sum, summary)
}

fn fold_batch(batch: &Batch<'_>) -> u64 {
    fn numbers<T: Copy + Into<u64>>(values: &[T]) -> u64 {
        values.iter().fold(0, |sum, n| sum.wrapping_add((*n).into()))
    }
    fn bytes<'a>(distinct: impl Iterator<Item = &'a [u8]>, ids: Option<&[u16]>) -> u64 {
        let Some(ids) = ids else { return distinct.map(fold).fold(0, u64::wrapping_add) };
        let sums: Vec<u64> = distinct.map(fold).collect();
        ids.iter().fold(0, |sum, id| sum.wrapping_add(sums[usize::from(*id)]))
    }
    batch
        .columns()
        .map(|column| match column.values {
            Values::U8(values) => numbers(values),
            Values::U16(values) => numbers(values),
            Values::U32(values) => numbers(values),
            Values::U64(values) => numbers(values),
            Values::Fixed(values) => bytes(values.values(), values.ids()),
            Values::Strings(values) => bytes(values.values(), values.ids()),
            other => panic!("the workloads have no {other:?}"),
        })
        .fold(0, u64::wrapping_add)
}
