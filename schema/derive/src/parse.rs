//! From the input to what the attributes say.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
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

/// What could be understood, and all errors found. `None` if there is nothing to check.
pub(crate) fn parse(input: &DeriveInput) -> (Option<EventInput>, Option<Error>) {
    let mut errors = None;
    let Data::Struct(data) = &input.data else {
        let error = Error::new(
            input.ident.span(),
            "derive(Event) needs a struct with named fields; for an enum as the type of a field use derive(FieldEnum)",
        );
        return (None, Some(error));
    };
    let mut fields = Vec::new();
    match &data.fields {
        Fields::Unit => {}
        Fields::Named(named) => {
            for field in &named.named {
                fields.extend(parse_field(field, &mut errors));
            }
        }
        Fields::Unnamed(unnamed) => {
            let error = Error::new(
                unnamed.span(),
                "derive(Event) needs named fields, since the trace shows their names: write `struct Name { field: Type }`",
            );
            return (None, Some(error));
        }
    }
    let event = parse_event(input, fields, &mut errors);
    (Some(event), errors)
}

/// Sets what may be given once.
fn once<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>, whose: &str) -> Result<(), Error> {
    if slot.replace(value).is_some() {
        let what = meta.path.get_ident().map_or_else(String::new, ToString::to_string);
        return Err(meta.error(format!("{whose} has `{what}` twice: keep one")));
    }
    Ok(())
}

fn parse_event(input: &DeriveInput, fields: Vec<FieldInput>, errors: &mut Option<Error>) -> EventInput {
    let ident = &input.ident;
    let whose = format!("event `{ident}`");
    let (mut name, mut category, mut level, mut text) = (None, None, None, None);
    let (mut opt_in, mut krate) = (None, None);
    let mut broken = false;
    for attr in input.attrs.iter().filter(|a| a.path().is_ident("event")) {
        let parsed = attr.parse_nested_meta(|meta| {
            let slot = if meta.path.is_ident("name") {
                &mut name
            } else if meta.path.is_ident("category") {
                &mut category
            } else if meta.path.is_ident("level") {
                &mut level
            } else if meta.path.is_ident("text") {
                &mut text
            } else if meta.path.is_ident("opt_in") {
                return once(&mut opt_in, (), &meta, &whose);
            } else if meta.path.is_ident("crate") {
                let path = meta.value()?.parse::<LitStr>()?.parse::<Path>()?;
                return once(&mut krate, path, &meta, &whose);
            } else {
                return Err(meta.error(format!(
                    "unknown attribute of {whose}; there are: name, category, level, text, opt_in, crate"
                )));
            };
            once(slot, meta.value()?.parse::<LitStr>()?, &meta, &whose)
        });
        if let Err(error) = parsed {
            broken = true;
            push(errors, error);
        }
    }
    // A default stands in for what is missing, so that the rest can be checked.
    let mut need = |value: Option<LitStr>, what: &str, example: &str, default: &str| {
        value.unwrap_or_else(|| {
            // After a broken attribute, what follows it was not read: it may well be there.
            if !broken {
                let message = format!("{whose} has no {what}: add `#[event({what} = {example:?})]`");
                push(errors, Error::new(ident.span(), message));
            }
            LitStr::new(default, Span::call_site())
        })
    };
    EventInput {
        name: need(name, "name", "custom.something_happened", "custom.unnamed"),
        category: need(category, "category", "custom", "custom"),
        level: need(level, "level", "info", "info"),
        text: need(text, "text", "something happened to {field}", ""),
        ident: ident.clone(),
        generics: input.generics.clone(),
        krate: krate.unwrap_or_else(default_crate),
        opt_in: opt_in.is_some(),
        doc: doc_of(&input.attrs),
        fields,
    }
}

fn parse_field(field: &syn::Field, errors: &mut Option<Error>) -> Option<FieldInput> {
    let ident = field.ident.clone()?;
    let whose = format!("field `{}`", ident.unraw());
    let (mut class, mut unit, mut max, mut reduce, mut opt_in) = (None, None, None, None, None);
    let mut broken = false;
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("field")) {
        let parsed = attr.parse_nested_meta(|meta| {
            let new = if meta.path.is_ident("public") {
                Class::Public
            } else if meta.path.is_ident("personal") {
                Class::Personal
            } else if meta.path.is_ident("secret") {
                Class::Secret
            } else if meta.path.is_ident("unit") {
                return once(&mut unit, meta.value()?.parse::<LitStr>()?, &meta, &whose);
            } else if meta.path.is_ident("max") {
                return once(&mut max, meta.value()?.parse::<LitInt>()?, &meta, &whose);
            } else if meta.path.is_ident("reduce") {
                return once(&mut reduce, meta.value()?.parse::<LitStr>()?, &meta, &whose);
            } else if meta.path.is_ident("opt_in") {
                return once(&mut opt_in, (), &meta, &whose);
            } else {
                return Err(meta.error(format!(
                    "unknown attribute of {whose}; there are: public, personal, secret, unit, max, reduce, opt_in"
                )));
            };
            if class.replace(new).is_some() {
                return Err(meta.error(format!(
                    "{whose} has two privacy classes: keep one of public, personal, secret"
                )));
            }
            Ok(())
        });
        if let Err(error) = parsed {
            broken = true;
            push(errors, error);
        }
    }
    if class.is_none() && broken {
        // The class may stand after what was not understood.
        class = Some(Class::Public);
    }
    let mut static_ty = field.ty.clone();
    Static.visit_type_mut(&mut static_ty);
    Some(FieldInput {
        ident,
        ty: field.ty.clone(),
        static_ty,
        class,
        unit: unit.map_or_else(String::new, |u| u.value()),
        max,
        reduce,
        opt_in: opt_in.is_some(),
        doc: doc_of(&field.attrs),
    })
}
