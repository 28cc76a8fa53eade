//! What a field's values look like in a column, by its type.

use tracewell_schema::format::columns::Layout;
use tracewell_schema::{FieldType, Schema};

/// What the values are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F64,
    /// Bytes of one width.
    Fixed(usize),
    /// Bytes of any length.
    Strings,
}

/// Which fixed bytes are a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Any.
    None,
    /// Addresses: the first byte is a kind; 0 is no address.
    Address,
    /// Secrets: the first byte is a length class; 255 is no secret.
    Secret,
    /// Ids: 0 is no id.
    Id,
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    pub(crate) check: Check,
    pub(crate) is_optional: bool,
    /// Where it begins in the fixed part, and how long it is there, without the byte that says whether it is there.
    pub(crate) offset: usize,
    pub(crate) width: usize,
    /// Its first piece in a block of columns.
    pub(crate) piece: usize,
    /// Its place among those with variable bytes.
    pub(crate) variable: usize,
}

/// The forms of an event type's fields.
pub(crate) fn forms(schema: &Schema) -> (Layout, Vec<Form>) {
    let (mut offset, mut piece, mut variable) = (0, 0, 0);
    let mut forms = Vec::with_capacity(schema.fields.len());
    for field in &schema.fields {
        let (is_optional, ty) = match &field.ty {
            FieldType::Optional(inner) => (true, inner.as_ref()),
            other => (false, other),
        };
        let (kind, check) = form(ty);
        let width = ty.fixed_len();
        offset += usize::from(is_optional);
        forms.push(Form { kind, check, is_optional, offset, width, piece, variable });
        offset += width;
        piece += 1 + usize::from(is_optional);
        variable += usize::from(kind == Kind::Strings);
    }
    (Layout::of_schema(schema), forms)
}

fn form(ty: &FieldType) -> (Kind, Check) {
    let kind = match ty {
        FieldType::Bool => Kind::Bool,
        FieldType::U8 => Kind::U8,
        FieldType::U16 => Kind::U16,
        FieldType::U32 | FieldType::Enum(_) => Kind::U32,
        FieldType::U64 | FieldType::Duration | FieldType::Flags(_) => Kind::U64,
        FieldType::I8 => Kind::I8,
        FieldType::I16 => Kind::I16,
        FieldType::I32 => Kind::I32,
        FieldType::I64 | FieldType::Time => Kind::I64,
        FieldType::F64 => Kind::F64,
        FieldType::Str | FieldType::Bytes | FieldType::List(_) => Kind::Strings,
        FieldType::Id64 => return (Kind::U64, Check::Id),
        FieldType::Ip | FieldType::Socket => return (Kind::Fixed(ty.fixed_len()), Check::Address),
        FieldType::Secret => return (Kind::Fixed(ty.fixed_len()), Check::Secret),
        // An optional is never in another.
        FieldType::Fixed(_) | FieldType::Key128 | FieldType::Optional(_) => Kind::Fixed(ty.fixed_len()),
    };
    (kind, Check::None)
}
