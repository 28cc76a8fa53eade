//! How the events of one type are rendered, worked out once: which literal text, then which bytes of the payload, as
//! what. Rendering one is a loop over the steps, without a look at the schema.

use tracewell_schema::{FieldSchema, FieldType, FieldValue, Reduction, Schema, decode_field};

use super::buffer::{Buffer, Literal};
use super::escape::Escaped;
use super::number::{push_hex, push_i64, push_u64};
use super::template::{Part, Template};
use super::time::push_utc;
use super::value::{is_reduced, push_text, push_value, says_nothing};

/// The program of an event type: what follows the source of an event in its line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    steps: Vec<Step>,
    /// Between the last field and the next line.
    end: Literal,
    variables: Vec<Variable>,
    fixed_len: usize,
}

/// Memory that is used again for each event: where each part of the variable bytes begins and ends.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<(usize, usize)>);

/// Literal text, then a field.
#[derive(Clone, Debug)]
struct Step {
    before: Literal,
    kind: Kind,
    /// Where it is in the fixed part.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Unsigned, by its bytes.
    U8,
    U16,
    U32,
    U64,
    /// Signed, by its bytes.
    I32,
    I64,
    Bool,
    /// Text, by the place among those of variable length; quoted if need be.
    Str(usize, bool),
    /// Bytes of this many.
    Fixed(usize),
    Time,
    /// Shown by the general way.
    Other(Other),
    /// Not shown.
    Unseen(Other),
}

/// A field with bytes in the variable part.
#[derive(Clone, Copy, Debug)]
struct Variable {
    /// Where its length word is.
    at: usize,
    /// Where it says whether it is there, if it need not be.
    present: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Other {
    /// Index of the field.
    field: usize,
    /// Its place among those of variable length.
    variable: Option<usize>,
    quoted: bool,
}

const CUT: u16 = 1 << 15;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..).and_then(|b| b.first_chunk::<N>()).copied()
}

const fn has_variable_bytes(ty: &FieldType) -> bool {
    matches!(ty, FieldType::Str | FieldType::Bytes | FieldType::List(_))
}

impl Program {
    pub(crate) fn new(schema: &Schema, template: &Template) -> Self {
        let mut program = Self { fixed_len: schema.fixed_len(), ..Self::default() };
        // Of each field where it is, and its place among those of variable length.
        let mut places = Vec::new();
        let mut at = 0;
        for field in &schema.fields {
            let variable = match &field.ty {
                ty if has_variable_bytes(ty) => Some(Variable { at, present: None }),
                FieldType::Optional(inner) if has_variable_bytes(inner) => {
                    Some(Variable { at: at + 1, present: Some(at) })
                }
                _ => None,
            };
            places.push((at, variable.map(|_| program.variables.len())));
            program.variables.extend(variable);
            at += field.ty.fixed_len();
        }
        let mut text = template.category.clone();
        for part in &template.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(index) => program.add(&mut text, schema, *index, &places, false),
            }
        }
        text.push_str(&template.event);
        for (index, field) in schema.fields.iter().enumerate() {
            let is_shown = template.shows.get(index).copied().unwrap_or(false);
            if !is_shown && field.reduction == Reduction::Off {
                program.add_unseen(index, &places);
            } else if !is_shown {
                // A label that is there only with its value is not merged with what stands before.
                if may_be_absent(&field.ty) && !text.is_empty() {
                    program.steps.push(Step { before: Literal::new(&text), kind: Kind::Fixed(0), at: 0 });
                    text.clear();
                }
                text.push_str(template.labels.get(index).map_or(" ?=", String::as_str));
                program.add(&mut text, schema, index, &places, true);
            }
        }
        text.push('\n');
        program.end = Literal::new(&text);
        program
    }

    /// Adds a field that is not shown, but that must be what it can be.
    fn add_unseen(&mut self, index: usize, places: &[(usize, Option<usize>)]) {
        if let Some((at, variable)) = places.get(index).copied() {
            let kind = Kind::Unseen(Other { field: index, variable, quoted: false });
            self.steps.push(Step { before: Literal::default(), kind, at });
        }
    }

    /// Adds a field after `text`, which becomes what is to stand after it.
    fn add(
        &mut self,
        text: &mut String,
        schema: &Schema,
        index: usize,
        places: &[(usize, Option<usize>)],
        quoted: bool,
    ) {
        let (Some(field), Some((at, variable))) = (schema.fields.get(index), places.get(index).copied())
        else {
            return;
        };
        let kind = match (&field.ty, variable) {
            _ if field.reduction != Reduction::None => None,
            (FieldType::U8, _) => Some(Kind::U8),
            (FieldType::U16, _) => Some(Kind::U16),
            (FieldType::U32, _) => Some(Kind::U32),
            (FieldType::U64, _) => Some(Kind::U64),
            (FieldType::I32, _) => Some(Kind::I32),
            (FieldType::I64, _) => Some(Kind::I64),
            (FieldType::Bool, _) => Some(Kind::Bool),
            (FieldType::Str, Some(variable)) => Some(Kind::Str(variable, quoted)),
            (FieldType::Fixed(n), _) => Some(Kind::Fixed(usize::from(*n))),
            (FieldType::Time, _) => Some(Kind::Time),
            _ => None,
        };
        let kind = kind.unwrap_or(Kind::Other(Other { field: index, variable, quoted }));
        self.steps.push(Step { before: Literal::new(text), kind, at });
        text.clear();
        let is_number = matches!(kind, Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::I32 | Kind::I64);
        if quoted && is_number {
            text.push_str(&Escaped(&field.unit).to_string());
        }
    }

    /// Appends an event without a trailer. `None` if a field cannot be decoded; what was appended then is to be removed.
    #[inline]
    pub(crate) fn run(
        &self,
        schema: &Schema,
        payload: &[u8],
        scratch: &mut Scratch,
        out: &mut Buffer,
    ) -> Option<()> {
        let (fixed, variable) = payload.split_at_checked(self.fixed_len)?;
        if !self.variables.is_empty() {
            self.lay_out(fixed, variable, scratch)?;
        }
        let part = |place: usize| scratch.0.get(place).and_then(|(from, to)| variable.get(*from..*to));
        for step in &self.steps {
            if let Kind::Other(other) = step.kind {
                let bytes = other.variable.map_or(Some(&[][..]), part)?;
                let field = schema.fields.get(other.field)?;
                other.run(field, &step.before, fixed.get(step.at..)?, bytes, out)?;
                continue;
            }
            if let Kind::Unseen(other) = step.kind {
                let bytes = other.variable.map_or(Some(&[][..]), part)?;
                decode_field(&schema.fields.get(other.field)?.ty, fixed.get(step.at..)?, bytes).ok()?;
                continue;
            }
            out.push_literal(&step.before);
            match step.kind {
                Kind::U8 => push_u64(out, u8::from_le_bytes(array(fixed, step.at)?).into()),
                Kind::U16 => push_u64(out, u16::from_le_bytes(array(fixed, step.at)?).into()),
                Kind::U32 => push_u64(out, u32::from_le_bytes(array(fixed, step.at)?).into()),
                Kind::U64 => push_u64(out, u64::from_le_bytes(array(fixed, step.at)?)),
                Kind::I32 => push_i64(out, i32::from_le_bytes(array(fixed, step.at)?).into()),
                Kind::I64 => push_i64(out, i64::from_le_bytes(array(fixed, step.at)?)),
                Kind::Bool => match fixed.get(step.at)? {
                    0 => out.put(b"false", 5),
                    1 => out.put(b"true", 4),
                    _ => return None,
                },
                Kind::Str(place, quoted) => {
                    let cut = u16::from_le_bytes(array(fixed, step.at)?) & CUT != 0;
                    push_text(out, part(place)?, cut, quoted);
                }
                Kind::Fixed(n) => push_hex(out, fixed.get(step.at..step.at + n)?),
                Kind::Time => push_utc(out, i64::from_le_bytes(array(fixed, step.at)?)),
                Kind::Other(_) | Kind::Unseen(_) => {}
            }
        }
        out.push_literal(&self.end);
        Some(())
    }

    /// Where the variable bytes of each field are; `None` if they do not fit, or a field is neither there nor not.
    #[inline]
    fn lay_out(&self, fixed: &[u8], variable: &[u8], scratch: &mut Scratch) -> Option<()> {
        scratch.0.clear();
        let mut end = 0;
        for field in &self.variables {
            let is_there = match field.present {
                None => true,
                Some(at) => match fixed.get(at)? {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
            };
            let begin = end;
            if is_there {
                end += usize::from(u16::from_le_bytes(array(fixed, field.at)?) & !CUT);
            }
            scratch.0.push((begin, end));
        }
        (end <= variable.len()).then_some(())
    }
}

impl Other {
    fn run(
        self,
        schema: &FieldSchema,
        before: &Literal,
        fixed: &[u8],
        variable: &[u8],
        out: &mut Buffer,
    ) -> Option<()> {
        let value = decode_field(&schema.ty, fixed, variable).ok()?;
        let field = FieldValue { schema, value, reduction: schema.reduction };
        let is_left_out = self.quoted && says_nothing(&field) && !is_reduced(&field);
        if !is_left_out {
            out.push_literal(before);
            push_value(out, &field, self.quoted);
        }
        Some(())
    }
}

/// Whether a value may be left out, so that its label is too.
const fn may_be_absent(ty: &FieldType) -> bool {
    matches!(
        ty,
        FieldType::Optional(_)
            | FieldType::Ip
            | FieldType::Socket
            | FieldType::Secret
            | FieldType::Id64
            | FieldType::List(_)
            | FieldType::Enum(_)
    )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use tracewell_schema::{Privacy, decode_event};

    use super::*;
    use crate::render::text::fields_one_by_one;

    fn simple_type() -> impl Strategy<Value = FieldType> {
        use FieldType::*;
        let named = vec(("[a-z\u{1b} ]{0,6}", 0..4_u32), 0..4);
        prop_oneof![
            select(vec![Bool, U8, U16, U32, U64, I8, I16, I32, I64, F64, Str, Bytes]),
            select(vec![Str, Str, Ip, Socket, Time, Duration, Key128, Id64, Fixed(1), Fixed(32), Fixed(37)]),
            named.clone().prop_map(|n| Enum(n.into_iter().map(|(n, v)| (v, n)).collect())),
            named.prop_map(|n| Flags(n.into_iter().map(|(n, v)| (v.into(), n)).collect())),
        ]
    }

    fn any_type() -> impl Strategy<Value = FieldType> {
        prop_oneof![
            4 => simple_type(),
            1 => simple_type().prop_map(|t| FieldType::Optional(Box::new(t))),
            1 => simple_type().prop_map(|t| FieldType::List(Box::new(t))),
            1 => Just(FieldType::Secret),
        ]
    }

    fn any_field() -> impl Strategy<Value = FieldSchema> {
        let reduction = prop_oneof![
            6 => Just(Reduction::None),
            1 => select(vec![
                Reduction::Prefix { n: 3, m: 3 },
                Reduction::HostOnly,
                Reduction::Keyed,
                Reduction::Length,
                Reduction::Drop,
                Reduction::Off,
            ]),
        ];
        let unit = select(vec!["", "", "bytes", " ms\n"]);
        ("[abc]|\\PC{1,4}", any_type(), reduction, unit).prop_map(|(name, ty, reduction, unit)| FieldSchema {
            name,
            ty,
            class: Privacy::Public,
            opt_in: false,
            reduction,
            unit: unit.to_owned(),
            doc: String::new(),
        })
    }

    fn any_schema() -> impl Strategy<Value = Schema> {
        let text = vec(select(vec!["{a}", "{b}", "{c}", "{x}", " to ", "{{", "}}", "\u{202e}", "{"]), 0..8);
        (vec(any_field(), 0..7), text).prop_map(|(fields, text)| Schema {
            name: "test.any".into(),
            category: 13,
            level: 3,
            opt_in: false,
            doc: String::new(),
            text: text.concat(),
            fields,
            fingerprint: 0,
        })
    }

    /// A value's bytes: the fixed form, and those in the variable part. `seed` is what it is made of.
    fn encode(ty: &FieldType, seed: &mut impl FnMut() -> u8, fixed: &mut Vec<u8>, variable: &mut Vec<u8>) {
        const TEXTS: [&[u8]; 8] = [
            b"",
            b"/usr/lib/x86_64-linux-gnu/libc.so.6",
            b"a b",
            b"C:\\x",
            b"say \"\"",
            b"\x1b[2J\n\xff\xfe",
            "\u{202e}gpj.\u{65e5}\u{e9}".as_bytes(),
            b"0123456789abcdef|",
        ];
        let n = ty.fixed_len();
        match ty {
            FieldType::Str | FieldType::Bytes => {
                let text = TEXTS[usize::from(seed() % 8)];
                let cut = if seed().is_multiple_of(8) { CUT } else { 0 };
                fixed.extend_from_slice(&(text.len() as u16 | cut).to_le_bytes());
                variable.extend_from_slice(text);
            }
            FieldType::Bool => fixed.push(seed() % 2),
            FieldType::Ip | FieldType::Socket => {
                fixed.push([0, 4, 6, 0x4b][usize::from(seed() % 4)]);
                fixed.extend((1..n).map(|_| seed()));
            }
            FieldType::Optional(inner) => {
                let present = seed() % 2;
                fixed.push(present);
                if present == 1 {
                    encode(inner, seed, fixed, variable);
                } else {
                    fixed.extend((1..n).map(|_| seed()));
                }
            }
            FieldType::List(item) => {
                let mut items = Vec::new();
                for _ in 0..seed() % 4 {
                    let (mut one, mut two) = (Vec::new(), Vec::new());
                    encode(item, seed, &mut one, &mut two);
                    items.extend(one);
                    items.extend(two);
                }
                fixed.extend_from_slice(&(items.len() as u16).to_le_bytes());
                variable.extend(items);
            }
            FieldType::Secret => {
                fixed.push([0, 3, 5, 255][usize::from(seed() % 4)]);
                fixed.extend((1..n).map(|_| seed()));
            }
            FieldType::Enum(_) => fixed.extend_from_slice(&u32::from(seed() % 5).to_le_bytes()),
            FieldType::Id64 if seed().is_multiple_of(2) => fixed.extend_from_slice(&[0; 8]),
            _ => fixed.extend((0..n).map(|_| seed())),
        }
    }

    /// What the program makes of a payload, if anything, and what the general way does.
    fn both(schema: &Schema, payload: &[u8]) -> Option<(Option<String>, String)> {
        let template = Template::parse(schema);
        let values = decode_event(schema, payload, false).ok()?;
        let (mut fast, mut slow) = (Buffer::new(), Buffer::new());
        let ran = Program::new(schema, &template).run(schema, payload, &mut Scratch::default(), &mut fast);
        fields_one_by_one(&mut slow, &template, &values);
        Some((ran.map(|()| fast.as_text().into_owned()), slow.as_text().into_owned()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_program_does_what_is_done_field_by_field(schema in any_schema(), seeds in vec(any::<u8>(), 1..300)) {
            let (mut fixed, mut variable) = (Vec::new(), Vec::new());
            let mut seeds = seeds.iter().copied().cycle();
            for field in &schema.fields {
                encode(&field.ty, &mut || seeds.next().unwrap_or(0), &mut fixed, &mut variable);
            }
            fixed.extend(variable);
            let (fast, slow) = both(&schema, &fixed).unwrap();
            prop_assert!(!slow.contains("undecodable: "), "{slow}");
            prop_assert_eq!(fast.as_deref(), Some(slow.as_str()));
            // Cut anywhere, or with anything in it: the same, or left to the general way.
            for len in 0..fixed.len() {
                let Some((fast, slow)) = both(&schema, &fixed[..len]) else { continue };
                prop_assert!(fast.is_none_or(|fast| fast == slow));
            }
        }

        #[test]
        fn of_any_bytes_too(schema in any_schema(), payload in vec(any::<u8>(), 0..300)) {
            if let Some((fast, slow)) = both(&schema, &payload) {
                prop_assert_eq!(fast.is_none(), slow.contains("<undecodable: "));
                prop_assert!(fast.is_none_or(|fast| fast == slow));
            }
        }
    }
}
