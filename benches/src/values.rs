//! Visits every value of every field of every event, and folds all their bytes into one number, so that nothing can be
//! left out: event by event, and by columns. Both give the same number.

use std::convert::Infallible;

use tracewell_reader::{Batch, Filter, Item, Part, Summary, Trace, Values};
use tracewell_schema::Value;

/// The xor of the eight-byte words of some bytes, the last one filled up with zeros.
#[inline]
fn fold(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().fold(u64::from_le_bytes(last), |sum, word| sum ^ u64::from_le_bytes(*word))
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
    let mut sum = 0;
    let Ok(summary) = trace.read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            for field in event.values.iter().flatten() {
                sum ^= fold_value(&field.value);
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
    let mut sum = 0;
    let Ok(summary) = trace.batches(&Filter::default(), |part| {
        if let Part::Batch(batch) = part {
            sum ^= fold_batch(batch);
        }
        Ok::<(), Infallible>(())
    });
    (sum, summary)
}

fn fold_batch(batch: &Batch<'_>) -> u64 {
    fn numbers<T: Copy + Into<u64>>(values: &[T]) -> u64 {
        values.iter().fold(0, |sum, n| sum ^ (*n).into())
    }
    batch
        .columns()
        .map(|column| match column.values {
            Values::U8(values) => numbers(values),
            Values::U16(values) => numbers(values),
            Values::U32(values) => numbers(values),
            Values::U64(values) => numbers(values),
            Values::Fixed(values) => values.iter().fold(0, |sum, value| sum ^ fold(value)),
            Values::Strings(values) => values.iter().fold(0, |sum, value| sum ^ fold(value)),
            other => panic!("the workloads have no {other:?}"),
        })
        .fold(0, |sum, n| sum ^ n)
}
