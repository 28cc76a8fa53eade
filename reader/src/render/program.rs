//! How the events of one type are rendered, worked out once: which literal text, then which bytes of the payload, as
//! what. Rendering one is a loop over the steps, without a look at the schema.

use tracewell_schema::{FieldSchema, FieldType, FieldValue, Reduction, Schema, Value, decode_field};

use super::buffer::{Buffer, Literal};
use super::escape::Escaped;
use super::number::{push_hex, push_i64, push_u64};
use super::template::{Part, Template};
use super::time::push_utc;
use super::value::{is_reduced, push_text, push_value};

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
            if !is_shown && field.reduction != Reduction::Off {
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
                Kind::Other(_) => {}
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
        let is_left_out = self.quoted && value == Value::Absent && !is_reduced(&field);
        if !is_left_out {
            out.push_literal(before);
            push_value(out, &field, self.quoted);
        }
        Some(())
    }
}

/// Whether a value may be absent, so that its label is too.
const fn may_be_absent(ty: &FieldType) -> bool {
    matches!(
        ty,
        FieldType::Optional(_) | FieldType::Ip | FieldType::Socket | FieldType::Secret | FieldType::Id64
    )
}
