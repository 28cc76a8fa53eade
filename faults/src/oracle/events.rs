//! The events of the producers, and the plan from which every byte of them follows.

use tracewell::{Event, Tracer, emit};
use tracewell_reader::EventRef;
use tracewell_schema::format::record::HEADER_LEN;
use tracewell_schema::{Reduction, Value};

/// A field that is `text` in an event and so on: the bytes are a part of this.
const PATTERN_LEN: usize = 64 << 10;

fn pattern() -> &'static str {
    static PATTERN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut random = crate::random::Random::new(7);
        (0..PATTERN_LEN).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
    })
}

/// A text of `len` bytes that is another one for another sum.
fn text(sum: u64, len: usize) -> &'static str {
    let len = len.min(PATTERN_LEN / 2);
    let at = (sum >> 24) as usize % (PATTERN_LEN - len);
    pattern().get(at..at + len).unwrap_or_default()
}

/// Makes what [`text`] needs, so that no child does it again.
pub(crate) fn prepare() {
    pattern();
}

/// Short: a number.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fault.fixed", category = "custom", level = "info", text = "{number} of {lane}")]
struct Fixed {
    /// The thread.
    #[field(public)]
    lane: u32,
    /// Its number.
    #[field(public)]
    number: u64,
    /// What follows from both and the seed.
    #[field(public)]
    sum: u64,
}

/// With a text.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fault.text", category = "custom", level = "info", text = "{number} of {lane}")]
struct Texted<'a> {
    /// The thread.
    #[field(public)]
    lane: u32,
    /// Its number.
    #[field(public)]
    number: u64,
    /// What follows from both and the seed.
    #[field(public)]
    sum: u64,
    /// A text that follows from the sum.
    #[field(personal)]
    text: &'a str,
}

/// Large: up to more than a record may be.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fault.large", category = "custom", level = "info", text = "{number} of {lane}")]
struct Large<'a> {
    /// The thread.
    #[field(public)]
    lane: u32,
    /// Its number.
    #[field(public)]
    number: u64,
    /// What follows from both and the seed.
    #[field(public)]
    sum: u64,
    /// A text.
    #[field(personal, max = 32767)]
    one: &'a str,
    /// Another.
    #[field(personal, max = 32767)]
    two: &'a str,
}

/// With a secret, which is encoded by a plan.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fault.secret", category = "custom", level = "info", text = "{number} of {lane}")]
struct Secret<'a> {
    /// The thread.
    #[field(public)]
    lane: u32,
    /// Its number.
    #[field(public)]
    number: u64,
    /// What follows from both and the seed.
    #[field(public)]
    sum: u64,
    /// Never in clear.
    #[field(secret)]
    secret: &'a str,
}

/// With a text that the user may have reduced.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fault.reduced", category = "custom", level = "info", text = "{number} of {lane}")]
struct Reduced<'a> {
    /// The thread.
    #[field(public)]
    lane: u32,
    /// Its number.
    #[field(public)]
    number: u64,
    /// What follows from both and the seed.
    #[field(public)]
    sum: u64,
    /// A text, of which eight bytes may be left.
    #[field(personal)]
    path: &'a str,
}

/// Bytes that a reduced text keeps.
const KEPT: u16 = 8;

/// Types that are first used at different moments of a try.
macro_rules! late {
    ($($name:ident $full:literal),*) => {
        $(
            /// One of many types.
            #[derive(Event, Clone, Copy, Debug)]
            #[event(name = $full, category = "custom", level = "info", text = "{number} of {lane}")]
            struct $name {
                /// The thread.
                #[field(public)]
                lane: u32,
                /// Its number.
                #[field(public)]
                number: u64,
                /// What follows from both and the seed.
                #[field(public)]
                sum: u64,
            }
        )*
        const LATE: &[&str] = &[$($full),*];
        fn emit_late(tracer: &Tracer, which: usize, lane: u32, number: u64, sum: u64) {
            let all: &[fn(&Tracer, u32, u64, u64)] =
                &[$(|tracer, lane, number, sum| emit!(tracer, $name { lane, number, sum })),*];
            if let Some(emit) = all.get(which % all.len()) {
                emit(tracer, lane, number, sum);
            }
        }
    };
}
late!(
    Late0 "fault.late0", Late1 "fault.late1", Late2 "fault.late2", Late3 "fault.late3", Late4 "fault.late4",
    Late5 "fault.late5", Late6 "fault.late6", Late7 "fault.late7", Late8 "fault.late8", Late9 "fault.late9",
    Late10 "fault.late10", Late11 "fault.late11", Late12 "fault.late12", Late13 "fault.late13"
);

/// What a number of a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed,
    Text(usize),
    Large(usize),
    Secret,
    Reduced(usize),
    Late(usize),
}

/// What is emitted, and how it must look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Everything follows from it.
    pub(crate) seed: u64,
    /// One event in so many is a large one; 0 = none.
    pub(crate) large: u64,
    /// One event in so many is of another kind than fixed or text.
    pub(crate) other: u64,
    /// Events of one lane until the next late type is begun.
    pub(crate) step: u64,
    /// The session reduces the text of `fault.reduced`.
    pub(crate) is_reduced: bool,
}

pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Plan {
    /// A plan that follows from a seed.
    pub(crate) fn of(random: &mut crate::random::Random) -> Self {
        Self {
            seed: random.next(),
            large: if random.below(3) == 0 { 20 + random.below(200) } else { 0 },
            other: 1 + random.below(12),
            step: 1 + random.below(40),
            is_reduced: random.below(2) == 0,
        }
    }

    /// The reductions that its session needs.
    pub(crate) fn reductions(&self) -> Vec<(String, Reduction)> {
        if !self.is_reduced {
            return Vec::new();
        }
        vec![("fault.reduced.path".to_owned(), Reduction::Prefix { n: KEPT, m: 0 })]
    }

    fn sum(&self, lane: u32, number: u64) -> u64 {
        mix(self.seed ^ mix(number.wrapping_add(u64::from(lane) << 48).wrapping_add(0x9E37_79B9)))
    }

    fn kind(&self, sum: u64, number: u64) -> Kind {
        if self.large != 0 && (sum >> 3).is_multiple_of(self.large) {
            // A third is more than a record may be or half of the smallest ring.
            return Kind::Large(4000 + (sum >> 20) as usize % 28_768);
        }
        let pick = sum >> 40;
        if !pick.is_multiple_of(self.other) {
            return if sum & 1 == 0 { Kind::Fixed } else { Kind::Text((sum >> 8) as usize % 300) };
        }
        match (sum >> 12) % 4 {
            0 => Kind::Secret,
            1 => Kind::Reduced((sum >> 8) as usize % 60),
            _ => Kind::Late((number / self.step) as usize % LATE.len()),
        }
    }

    /// Bytes of the record of a large event; 0 of others.
    pub(super) fn large_len(&self, lane: u32, number: u64) -> usize {
        let sum = self.sum(lane, number);
        match self.kind(sum, number) {
            Kind::Large(len) => HEADER_LEN + self.large_event(lane, number, sum, len).encoded_len(),
            _ => 0,
        }
    }

    fn large_event(&self, lane: u32, number: u64, sum: u64, len: usize) -> Large<'static> {
        Large { lane, number, sum, one: text(sum, len), two: text(mix(sum), len) }
    }

    /// Emits event `number` of a lane.
    #[inline]
    pub(super) fn emit(&self, tracer: &Tracer, lane: u32, number: u64) {
        let sum = self.sum(lane, number);
        match self.kind(sum, number) {
            Kind::Fixed => emit!(tracer, Fixed { lane, number, sum }),
            Kind::Text(len) => emit!(tracer, Texted { lane, number, sum, text: text(sum, len) }),
            Kind::Large(len) => emit!(tracer, self.large_event(lane, number, sum, len)),
            Kind::Secret => emit!(tracer, Secret { lane, number, sum, secret: text(sum, 12) }),
            Kind::Reduced(len) => emit!(tracer, Reduced { lane, number, sum, path: text(sum, len) }),
            Kind::Late(which) => emit_late(tracer, which, lane, number, sum),
        }
    }

    /// Checks every field of an event; gives its lane and number.
    pub(super) fn check(&self, event: &EventRef<'_>) -> Result<(u32, u64), String> {
        let (mut lane, mut number, mut sum) = (None, None, None);
        let mut rest = Vec::new();
        for field in event.values.iter() {
            let field = field.map_err(|error| format!("a field does not decode: {}", error.what))?;
            match (field.schema.name.as_str(), field.value) {
                ("lane", Value::U(n)) => lane = u32::try_from(n).ok(),
                ("number", Value::U(n)) => number = Some(n),
                ("sum", Value::U(n)) => sum = Some(n),
                _ => rest.push(field),
            }
        }
        let (Some(lane), Some(number), Some(sum)) = (lane, number, sum) else {
            return Err(format!("{} has no lane, number or sum", event.schema.name));
        };
        let torn = |what: &str| Err(format!("lane {lane} number {number} is torn: {what}"));
        if sum != self.sum(lane, number) {
            return torn("its sum is wrong");
        }
        let is_text = |at: usize, expected: &str| {
            rest.get(at).is_some_and(
                |f| matches!(f.value, Value::Str(text) if text.bytes == expected.as_bytes() && !text.cut),
            )
        };
        let kind = self.kind(sum, number);
        let (name, fields, holds) = match kind {
            Kind::Fixed => ("fault.fixed", 0, true),
            Kind::Text(len) => ("fault.text", 1, is_text(0, text(sum, len))),
            Kind::Large(len) => {
                ("fault.large", 2, is_text(0, text(sum, len)) && is_text(1, text(mix(sum), len)))
            }
            // The key is the session's, so only its form can be foretold: 8 to 15 bytes.
            Kind::Secret => {
                ("fault.secret", 1, rest.first().is_some_and(|f| matches!(f.value, Value::Secret(2, _))))
            }
            Kind::Reduced(len) => {
                let whole = text(sum, len);
                let kept = if self.is_reduced { len.min(usize::from(KEPT)) } else { len };
                let found = rest.first().is_some_and(
                    |f| matches!(f.value, Value::Str(text) if text.bytes == &whole.as_bytes()[..kept]),
                );
                ("fault.reduced", 1, found)
            }
            Kind::Late(which) => (LATE[which], 0, true),
        };
        if event.schema.name != name {
            return torn(&format!("it is a {} and should be a {name}", event.schema.name));
        }
        if rest.len() != fields || !holds {
            return torn(&format!("fields of {kind:?}: {rest:?}").chars().take(400).collect::<String>());
        }
        Ok((lane, number))
    }
}
