//! What must be in a trace, by what producers said outside of it.

use std::collections::BTreeMap;
use std::path::Path;

use tracewell_reader::{Filter, Item, Summary, Trace};
use tracewell_schema::Value;
use tracewell_tests::text_of;

use super::part::ack_file;

/// What was seen of each lane: the number that comes next.
pub(super) type Seen = BTreeMap<u32, u64>;

/// Reads everything. Each lane must count from 0 without a gap, each text must belong to its number.
pub(super) fn read(base: &Path, rings: &Path) -> Result<(Seen, Summary), String> {
    let mut seen = Seen::new();
    let trace = match Trace::open(&[base.to_owned()], &[rings.to_owned()]) {
        Ok(trace) => trace,
        Err(e) => return Err(format!("not readable: {e}")),
    };
    let each = |item: &Item<'_>| -> Result<(), String> {
        let Item::Event(event) = item else { return Ok(()) };
        let number = |name| match event.values.get(name).map(|field| field.value) {
            Some(Value::U(n)) => Ok(n),
            other => Err(format!("{name}: {other:?}")),
        };
        let (lane, number) = (number("lane")? as u32, number("number")?);
        let Some(Value::Str(text)) = event.values.get("text").map(|field| field.value) else {
            return Err("an event without its text".into());
        };
        if text.bytes != text_of(number).as_bytes() {
            return Err(format!("lane {lane}: event {number} is torn"));
        }
        let next = seen.entry(lane).or_default();
        if number != *next {
            return Err(format!("lane {lane}: event {number} where {next} must be"));
        }
        *next += 1;
        Ok(())
    };
    let summary = trace.read(&Filter::default(), each)?;
    Ok((seen, summary))
}

/// Of these lanes, whose producers are dead, all that was acknowledged is there, and at most one event more.
pub(super) fn judge(seen: &Seen, summary: &Summary, acks: &Path, lanes: &[u32]) -> Result<u64, String> {
    if !summary.damaged.is_empty()
        || !summary.law.is_empty()
        || summary.missing != 0
        || summary.lost_total() != 0
    {
        return Err(format!("the trace is not complete: {summary:?}"));
    }
    let mut events = 0;
    for lane in lanes {
        let acked = std::fs::read(ack_file(acks, *lane)).unwrap_or_default();
        let acked = acked.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        let found = seen.get(lane).copied().unwrap_or(0);
        if found != acked && found != acked + 1 {
            return Err(format!("lane {lane}: {found} events, {acked} were acknowledged"));
        }
        events += found;
    }
    Ok(events)
}
