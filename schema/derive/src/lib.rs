//! Derives of the event model: `Event`, `FieldEnum`, `FieldFlags`.
//!
//! Their errors name the field and the remedy, and several are reported at once.
#![forbid(unsafe_code)]

mod check;
mod expand;
mod parse;
mod value;

use proc_macro::TokenStream;

/// Implements `Event` for a struct with named fields.
///
/// On the struct: `#[event(name = "process.start", category = "process", level = "info", text = "...")]`, and
/// optionally `opt_in` and `crate = "path"` (the path of `tracewell_schema`; default `::tracewell::schema`). On every
/// field: `#[field(public)]`, `#[field(personal)]` or `#[field(secret)]`, and optionally `unit = "..."`, `max = N`,
/// `reduce = "..."`, `opt_in`. Documentation comments become the schema's documentation.
#[proc_macro_derive(Event, attributes(event, field))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let (event, mut errors) = parse::parse(&input);
    if let Some(event) = &event {
        check::check(event, &mut errors);
    }
    match (event, errors) {
        (Some(event), None) => expand::expand(&event).into(),
        (_, Some(errors)) => errors.to_compile_error().into(),
        (None, None) => TokenStream::new(),
    }
}

/// Makes an enum without data a field type: `#[value("name")]` names a variant (default: its name in snake case).
#[proc_macro_derive(FieldEnum, attributes(value, event))]
pub fn derive_field_enum(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    value::expand_enum(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct of one integer a set of flags: `#[flags(HIDDEN = 1, READ_ONLY = 2)]` makes constants and names.
#[proc_macro_derive(FieldFlags, attributes(flags, event))]
pub fn derive_field_flags(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    value::expand_flags(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
