//! `FieldEnum` and `FieldFlags`.

use proc_macro2::TokenStream;
use quote::quote;
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

pub(crate) fn expand_enum(input: &DeriveInput) -> Result<TokenStream, Error> {
    let k = krate(input)?;
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            ident.span(),
            "derive(FieldEnum) needs an enum; for a set of flags use derive(FieldFlags)",
        ));
    };
    let mut entries = Vec::new();
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
        let mut name = snake(&variant.ident.to_string());
        for attr in variant.attrs.iter().filter(|a| a.path().is_ident("value")) {
            name = attr.parse_args::<LitStr>()?.value();
        }
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
        let ident = input.parse()?;
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
                let bits: #inner = self.0;
                u64::from(bits).to_le()
            }
        }
        #[automatically_derived]
        impl #k::__private::ListItem for #ident {}
    })
}
