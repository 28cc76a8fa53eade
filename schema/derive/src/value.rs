//! `FieldEnum` and `FieldFlags`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Expr, Fields, LitStr, Path, Token};

use crate::parse::default_crate;

fn krate(input: &DeriveInput) -> Result<Path, Error> {
    let mut path = default_crate();
    for attr in input.attrs.iter().filter(|a| a.path().is_ident("event")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("only `crate = \"path\"` can be given here"));
            }
            path = meta.value()?.parse::<LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i != 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn no_generics(input: &DeriveInput) -> Result<(), Error> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(
        &input.generics,
        format!("`{}` is the type of a field and has no parameters: remove them", input.ident),
    ))
}

pub(crate) fn expand_enum(input: &DeriveInput) -> Result<TokenStream, Error> {
    let k = krate(input)?;
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            ident.span(),
            "derive(FieldEnum) needs an enum; for a set of flags use derive(FieldFlags)",
        ));
    };
    no_generics(input)?;
    let mut entries = Vec::new();
    let mut names = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                format!(
                    "variant `{}` has data, which has no place in a trace: make it a field of the event",
                    variant.ident
                ),
            ));
        }
        let mut name = snake(&variant.ident.unraw().to_string());
        for attr in variant.attrs.iter().filter(|a| a.path().is_ident("value")) {
            name = attr.parse_args::<LitStr>()?.value();
        }
        if name.is_empty() || name.len() > 255 {
            return Err(Error::new_spanned(
                variant,
                format!("the name of variant `{}` has 1 to 255 bytes", variant.ident),
            ));
        }
        if names.contains(&name) {
            return Err(Error::new_spanned(
                variant,
                format!(
                    "variant `{}` has the name {name:?} of another: give it its own with `#[value(\"...\")]`",
                    variant.ident
                ),
            ));
        }
        names.push(name.clone());
        let v = &variant.ident;
        entries.push(quote!((#ident::#v as u32, #name)));
    }
    if entries.is_empty() || entries.len() > 1024 {
        return Err(Error::new(ident.span(), "an enum of a field has 1 to 1024 variants"));
    }
    let core = quote!(#k::__private::core);
    Ok(quote! {
        #[automatically_derived]
        impl #k::Field for #ident {
            const TYPE: #k::TypeRef = #k::TypeRef::Enum(&[#(#entries),*]);
            type Fixed = u32;
            #[inline(always)]
            fn fixed(&self, _max: usize) -> u32 {
                (*self as u32).to_le()
            }
        }
        #[automatically_derived]
        impl #k::__private::ListItem for #ident {}
        const _: () = {
            const fn assert_copy<T: #core::marker::Copy>() {}
            assert_copy::<#ident>();
        };
    })
}

struct Flag {
    ident: syn::Ident,
    mask: Expr,
}

impl syn::parse::Parse for Flag {
    fn parse(input: syn::parse::ParseStream<'_>) -> Result<Self, Error> {
        let ident: syn::Ident = input.parse()?;
        if !input.peek(Token![=]) {
            return Err(Error::new(ident.span(), format!("flag `{ident}` has no mask: write `{ident} = 1`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { ident, mask: input.parse()? })
    }
}

pub(crate) fn expand_flags(input: &DeriveInput) -> Result<TokenStream, Error> {
    let k = krate(input)?;
    let ident = &input.ident;
    let inner = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                fields.unnamed.first().map(|f| f.ty.clone())
            }
            _ => None,
        },
        _ => None,
    };
    let Some(inner) = inner else {
        return Err(Error::new(
            ident.span(),
            "derive(FieldFlags) needs a struct of one integer: `struct Name(pub u32);`",
        ));
    };
    no_generics(input)?;
    if let syn::Type::Path(path) = &inner
        && ["i8", "i16", "i32", "i64", "isize", "usize", "u128", "i128"].iter().any(|t| path.path.is_ident(t))
    {
        return Err(Error::new_spanned(&inner, "flags are held in u8, u16, u32 or u64: write one of these"));
    }
    let mut flags = Vec::new();
    for attr in input.attrs.iter().filter(|a| a.path().is_ident("flags")) {
        let list = attr.meta.require_list()?;
        flags.extend(Punctuated::<Flag, Token![,]>::parse_terminated.parse2(list.tokens.clone())?);
    }
    if flags.is_empty() || flags.len() > 64 {
        return Err(Error::new(
            ident.span(),
            "a set of flags has 1 to 64: add `#[flags(HIDDEN = 1, READ_ONLY = 2)]`",
        ));
    }
    let (idents, masks): (Vec<_>, Vec<_>) = flags.iter().map(|f| (&f.ident, &f.mask)).unzip();
    let names: Vec<_> = idents.iter().map(|i| i.to_string().to_lowercase()).collect();
    let docs: Vec<_> = names.iter().map(|n| format!("The flag `{n}`.")).collect();
    let core = quote!(#k::__private::core);
    Ok(quote! {
        impl #ident {
            #(#[doc = #docs] pub const #idents: Self = Self(#masks);)*
        }
        #[automatically_derived]
        impl #core::ops::BitOr for #ident {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
        #[automatically_derived]
        impl #core::ops::BitOrAssign for #ident {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }
        #[automatically_derived]
        impl #k::Field for #ident {
            const TYPE: #k::TypeRef = #k::TypeRef::Flags(&[#((#masks as u64, #names)),*]);
            type Fixed = u64;
            #[inline(always)]
            fn fixed(&self, _max: usize) -> u64 {
                <u64 as #core::convert::From<#inner>>::from(self.0).to_le()
            }
        }
        #[automatically_derived]
        impl #k::__private::ListItem for #ident {}
    })
}
