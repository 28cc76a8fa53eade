//! The events that are emitted: every field can be computed from the lane and the number, so that a torn, invented or
//! exchanged one shows.

use std::net::{IpAddr, Ipv4Addr};

use tracewell::Event;
use tracewell_reader::EventRef;
use tracewell_schema::{Reduction, Value};

/// Numbers and flags only.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_fixed", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Fixed {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Of the number.
    #[field(public)]
    pub(super) mixed: u64,
    /// Of the number.
    #[field(public)]
    pub(super) minus: i32,
    /// Of the number.
    #[field(public)]
    pub(super) is_odd: bool,
    /// Of the number.
    #[field(public)]
    pub(super) half: f64,
}

/// Two texts of changing lengths.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_worded", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Worded<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Of the number.
    #[field(personal)]
    pub(super) first: &'a str,
    /// Of the number.
    #[field(public)]
    pub(super) second: &'a str,
}

/// A text of any length.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_bulk", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Bulk<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// How long the text is.
    #[field(public)]
    pub(super) len: u32,
    /// Of the number and the length.
    #[field(public, max = 32767)]
    pub(super) text: &'a str,
}

/// A text that is cut.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_cut", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Cut<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Cut.
    #[field(public, max = 40)]
    pub(super) text: &'a str,
}

/// Reduced by its own description, with a secret.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_reduced", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Reduced<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Its network is kept.
    #[field(personal, reduce = "prefix(24, 48)")]
    pub(super) from: IpAddr,
    /// Its host is kept.
    #[field(personal, reduce = "host_only")]
    pub(super) url: &'a str,
    /// Never stored.
    #[field(secret)]
    pub(super) password: &'a str,
}

/// Reduced by the user's choice.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_chosen", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Chosen<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// The user keeps five characters.
    #[field(personal)]
    pub(super) text: &'a str,
}

/// The field that the user reduces.
pub(super) const CHOSEN_FIELD: &str = "custom.step_chosen.text";

/// With a field that is off until named.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_optional", category = "custom", level = "info", text = "{number} of {lane}")]
pub(super) struct Optional<'a> {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Off until named.
    #[field(personal, opt_in)]
    pub(super) extra: Option<&'a str>,
}

/// The field that is off until named.
pub(super) const OPTIONAL_FIELD: &str = "custom.step_optional.extra";

/// Off until named.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step_shy", category = "custom", level = "info", text = "{number} of {lane}", opt_in)]
pub(super) struct Shy {
    /// The lane.
    #[field(public)]
    pub(super) lane: u32,
    /// Its number.
    #[field(public)]
    pub(super) number: u64,
    /// Of the number.
    #[field(public)]
    pub(super) mixed: u64,
}

/// The event that is off until named.
pub(super) const SHY: &str = "custom.step_shy";

/// Any number, made from a number.
pub(super) fn mixed(number: u64) -> u64 {
    (number ^ 0x5DEE_CE66).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Text that repeats after no short distance, made from a number: a compressor finds nothing in it.
pub(super) fn words(number: u64, len: usize) -> String {
    let mut random = crate::random::Random::new(mixed(number));
    let mut out = String::with_capacity(len + 8);
    while out.len() < len {
        let bits = random.next();
        out.extend((0..8).map(|i| char::from(b'0' + ((bits >> (i * 8)) & 0x3f) as u8)));
    }
    out.truncate(len);
    out
}

/// The lengths of a [`Worded`]'s texts.
pub(super) fn lengths(number: u64) -> (usize, usize) {
    const FIRST: [usize; 8] = [0, 1, 7, 8, 9, 31, 64, 200];
    const SECOND: [usize; 5] = [3, 16, 0, 40, 100];
    (FIRST[number as usize % FIRST.len()], SECOND[number as usize % SECOND.len()])
}

/// The text of a [`Cut`], with characters of two bytes.
pub(super) fn long_text(number: u64) -> String {
    words(number, 11 + (number % 3) as usize) + &"\u{e4}".repeat(40)
}

/// The address of a [`Reduced`].
pub(super) fn address(number: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, (number % 200) as u8, 77))
}

/// The host of a [`Reduced`]'s URL.
pub(super) fn host(number: u64) -> String {
    format!("host-{number}.example")
}

/// The password of a [`Reduced`], 10 bytes.
pub(super) const PASSWORD: &str = "0123456789";

fn unsigned(event: &EventRef<'_>, name: &str) -> Option<u64> {
    match event.values.get(name)?.value {
        Value::U(n) => Some(n),
        _ => None,
    }
}

fn is_text(event: &EventRef<'_>, name: &str, text: &str, is_cut: bool) -> bool {
    let found = event.values.get(name).map(|f| f.value);
    matches!(found, Some(Value::Str(t)) if t.bytes == text.as_bytes() && t.cut == is_cut)
}

/// Lane and number of an event whose every field is as it must be.
pub(super) fn check(event: &EventRef<'_>, is_opted: bool) -> Result<(usize, u64), String> {
    let torn = |what: &str| format!("a torn or invented {} ({what}): {:?}", event.schema.name, event.values);
    let (Some(lane), Some(number)) = (unsigned(event, "lane"), unsigned(event, "number")) else {
        return Err(torn("no lane or number"));
    };
    let is = |name: &str, value: Value<'_>| event.values.get(name).is_some_and(|f| f.value == value);
    let text = |name: &str, text: &str| is_text(event, name, text, false);
    let is_right = match event.schema.name.as_str() {
        "custom.step_fixed" => {
            is("mixed", Value::U(mixed(number)))
                && is("minus", Value::I(-(number as i64)))
                && is("is_odd", Value::Bool(number % 2 == 1))
                && is("half", Value::F(number as f64 / 2.0))
        }
        "custom.step_worded" => {
            let (first, second) = lengths(number);
            text("first", &words(number, first)) && text("second", &words(number + 1, second))
        }
        "custom.step_bulk" => {
            let len = unsigned(event, "len").unwrap_or(u64::MAX);
            len < 40_000 && text("text", &words(number, len as usize))
        }
        "custom.step_cut" => {
            let whole = long_text(number);
            let end = (0..=40).rev().find(|end| whole.is_char_boundary(*end)).unwrap_or(0);
            is_text(event, "text", &whole[..end], true)
        }
        "custom.step_reduced" => {
            let network = IpAddr::V4(Ipv4Addr::new(192, 0, (number % 200) as u8, 0));
            let secret = event.values.get("password").map(|f| f.value);
            is("from", Value::Ip(network))
                && text("url", &host(number))
                && matches!(secret, Some(Value::Secret(2, hash)) if hash != [0; 16])
        }
        "custom.step_chosen" => {
            text("text", &words(number, 5))
                && event.values.get("text").is_some_and(|f| matches!(f.reduction, Reduction::Prefix { .. }))
        }
        "custom.step_optional" if is_opted => text("extra", &words(number, 12)),
        "custom.step_optional" => event.values.get("extra").is_some_and(|f| f.reduction == Reduction::Off),
        SHY => is("mixed", Value::U(mixed(number))),
        _ => false,
    };
    if is_right { Ok((lane as usize, number)) } else { Err(torn("fields")) }
}
