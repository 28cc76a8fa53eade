//! From the input to what the attributes say.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, LitInt, LitStr, Meta, Path, Type,
};

/// An event as written.
pub(crate) struct EventInput {
    pub(crate) ident: syn::Ident,
    pub(crate) generics: syn::Generics,
    pub(crate) krate: Path,
    pub(crate) name: LitStr,
    pub(crate) category: LitStr,
    pub(crate) level: LitStr,
    pub(crate) text: LitStr,
    pub(crate) opt_in: bool,
    pub(crate) doc: String,
    pub(crate) fields: Vec<FieldInput>,
}

/// A field as written.
pub(crate) struct FieldInput {
    pub(crate) ident: syn::Ident,
    pub(crate) ty: Type,
    /// The type with every lifetime `'static`, for constants.
    pub(crate) static_ty: Type,
    pub(crate) class: Option<Class>,
    pub(crate) unit: String,
    pub(crate) max: Option<LitInt>,
    pub(crate) reduce: Option<LitStr>,
    pub(crate) opt_in: bool,
    pub(crate) doc: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Public,
    Personal,
    Secret,
}

struct Static;

impl VisitMut for Static {
    fn visit_lifetime_mut(&mut self, lifetime: &mut syn::Lifetime) {
        *lifetime = syn::Lifetime::new("'static", lifetime.span());
    }

    fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
        if reference.lifetime.is_none() {
            reference.lifetime = Some(syn::Lifetime::new("'static", reference.span()));
        }
        syn::visit_mut::visit_type_reference_mut(self, reference);
    }
}

/// Adds an error to those found so far.
pub(crate) fn push(errors: &mut Option<Error>, error: Error) {
    match errors {
        Some(all) => all.combine(error),
        None => *errors = Some(error),
    }
}

pub(crate) fn doc_of(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(nv) = &attr.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &nv.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ").trim().to_owned()
}

pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::tracewell::schema)
}

pub(crate) fn parse(input: &DeriveInput) -> Result<EventInput, Error> {
    let mut errors = None;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "derive(Event) needs a struct with named fields; for an enum as the type of a field use derive(FieldEnum)",
        ));
    };
    let Fields::Named(named) = &data.fields else {
        if matches!(data.fields, Fields::Unit) {
            return finish(input, Vec::new(), None);
        }
        return Err(Error::new(
            data.fields.span(),
            "derive(Event) needs named fields, since the trace shows their names: write `struct Name { field: Type }`",
        ));
    };
    let mut fields = Vec::new();
    for field in &named.named {
        match parse_field(field) {
            Ok(field) => fields.push(field),
            Err(error) => push(&mut errors, error),
        }
    }
    finish(input, fields, errors)
}

fn finish(
    input: &DeriveInput,
    fields: Vec<FieldInput>,
    mut errors: Option<Error>,
) -> Result<EventInput, Error> {
    let (mut name, mut category, mut level, mut text) = (None, None, None, None);
    let (mut opt_in, mut krate) = (false, default_crate());
    for attr in input.attrs.iter().filter(|a| a.path().is_ident("event")) {
        let parsed = attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse::<LitStr>()?);
            } else if meta.path.is_ident("category") {
                category = Some(meta.value()?.parse::<LitStr>()?);
            } else if meta.path.is_ident("level") {
                level = Some(meta.value()?.parse::<LitStr>()?);
            } else if meta.path.is_ident("text") {
                text = Some(meta.value()?.parse::<LitStr>()?);
            } else if meta.path.is_ident("opt_in") {
                opt_in = true;
            } else if meta.path.is_ident("crate") {
                krate = meta.value()?.parse::<LitStr>()?.parse()?;
            } else {
                return Err(meta.error(
                    "unknown attribute of an event; there are: name, category, level, text, opt_in, crate",
                ));
            }
            Ok(())
        });
        if let Err(error) = parsed {
            push(&mut errors, error);
        }
    }
    let missing = |what: &str, example: &str| {
        Error::new(
            input.ident.span(),
            format!("event `{}` has no {what}: add `#[event({what} = {example:?})]`", input.ident),
        )
    };
    for (value, what, example) in [
        (&name, "name", "custom.something_happened"),
        (&category, "category", "custom"),
        (&level, "level", "info"),
        (&text, "text", "something happened to {field}"),
    ] {
        if value.is_none() {
            push(&mut errors, missing(what, example));
        }
    }
    match (errors, name, category, level, text) {
        (None, Some(name), Some(category), Some(level), Some(text)) => Ok(EventInput {
            ident: input.ident.clone(),
            generics: input.generics.clone(),
            krate,
            name,
            category,
            level,
            text,
            opt_in,
            doc: doc_of(&input.attrs),
            fields,
        }),
        (Some(errors), ..) => Err(errors),
        _ => Err(Error::new(Span::call_site(), "an event needs name, category, level and text")),
    }
}

fn parse_field(field: &syn::Field) -> Result<FieldInput, Error> {
    let Some(ident) = field.ident.clone() else {
        return Err(Error::new(field.span(), "fields of an event have names"));
    };
    let (mut class, mut unit, mut max, mut reduce, mut opt_in) = (None, String::new(), None, None, false);
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("field")) {
        attr.parse_nested_meta(|meta| {
            let mut set = |to| {
                if class.replace(to).is_some() {
                    return Err(meta.error(format!(
                        "field `{ident}` has two privacy classes: keep one of public, personal, secret"
                    )));
                }
                Ok(())
            };
            if meta.path.is_ident("public") {
                set(Class::Public)
            } else if meta.path.is_ident("personal") {
                set(Class::Personal)
            } else if meta.path.is_ident("secret") {
                set(Class::Secret)
            } else if meta.path.is_ident("unit") {
                unit = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            } else if meta.path.is_ident("max") {
                max = Some(meta.value()?.parse::<LitInt>()?);
                Ok(())
            } else if meta.path.is_ident("reduce") {
                reduce = Some(meta.value()?.parse::<LitStr>()?);
                Ok(())
            } else if meta.path.is_ident("opt_in") {
                opt_in = true;
                Ok(())
            } else {
                Err(meta.error(format!(
                    "unknown attribute of field `{ident}`; there are: public, personal, secret, unit, max, reduce, opt_in"
                )))
            }
        })?;
    }
    let mut static_ty = field.ty.clone();
    Static.visit_type_mut(&mut static_ty);
    Ok(FieldInput {
        ident,
        ty: field.ty.clone(),
        static_ty,
        class,
        unit,
        max,
        reduce,
        opt_in,
        doc: doc_of(&field.attrs),
    })
}
