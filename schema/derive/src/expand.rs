//! The implementation of `Event` for a checked struct.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use crate::check::{CATEGORIES, LEVELS, reduction};
use crate::parse::{Class, EventInput, FieldInput};

/// Longest value of a field that sets no `max`, bytes.
const DEFAULT_MAX: u16 = 4096;

fn variant(all: &[(&str, &str)], name: &str) -> Ident {
    let found = all.iter().find(|(n, _)| *n == name).map_or("Info", |(_, v)| *v);
    Ident::new(found, Span::call_site())
}

fn max_of(field: &FieldInput) -> u16 {
    field.max.as_ref().and_then(|m| m.base10_parse().ok()).unwrap_or(DEFAULT_MAX)
}

pub(crate) fn expand(event: &EventInput) -> TokenStream {
    let k = &event.krate;
    let ident = &event.ident;
    let (impl_generics, ty_generics, where_clause) = event.generics.split_for_impl();
    let (name, text, doc, opt_in) = (&event.name, &event.text, &event.doc, event.opt_in);
    let category = variant(&CATEGORIES, &event.category.value());
    let level = variant(&LEVELS, &event.level.value());
    let private = quote!(#k::__private);
    let core = quote!(#private::core);

    let (mut refs, mut fixed_fields, mut plain_fixed, mut lens, mut puts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut bounds, mut reduced, mut locals) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain = true;
    for (index, field) in event.fields.iter().enumerate() {
        let (fname, fty, sty) = (&field.ident, &field.ty, &field.static_ty);
        let span = syn::spanned::Spanned::span(fty);
        let text_name = fname.to_string();
        let (unit, fdoc, fopt, max) = (&field.unit, &field.doc, field.opt_in, max_of(field));
        let max_len = usize::from(max);
        let is_secret = field.class == Some(Class::Secret);
        let class = match field.class {
            Some(Class::Secret) => quote!(Secret),
            Some(Class::Personal) => quote!(Personal),
            _ => quote!(Public),
        };
        let own = match field.reduce.as_ref().and_then(|r| reduction(r).ok()) {
            None => quote!(None),
            Some((1, n, m)) => quote!(Prefix { n: #n, m: #m }),
            Some((2, ..)) => quote!(HostOnly),
            Some((3, ..)) => quote!(Keyed),
            Some((4, ..)) => quote!(Length),
            Some(_) => quote!(Drop),
        };
        plain &= !is_secret && !field.opt_in && field.reduce.is_none();
        let local = format_ident!("field_{}", index);
        let (type_ref, fixed_ty) = if is_secret {
            (quote!(#k::TypeRef::Secret), quote!(#private::SecretForm))
        } else {
            (
                quote_spanned!(span=> <#sty as #k::Field>::TYPE),
                quote_spanned!(span=> <#sty as #k::Field>::Fixed),
            )
        };
        refs.push(quote! {
            #k::FieldRef {
                name: #text_name,
                ty: #type_ref,
                class: #k::Privacy::#class,
                opt_in: #fopt,
                reduction: #k::Reduction::#own,
                unit: #unit,
                doc: #fdoc,
                max: #max,
            }
        });
        fixed_fields.push(quote!(#local: #fixed_ty));
        locals.push(local.clone());
        if is_secret {
            plain_fixed.push(quote!(#local: #private::secret_form(#core::option::Option::None, &[0; 32])));
            reduced.push(quote_spanned! {span=>
                let #local = match plan.reduction(#index) {
                    #k::Reduction::None => #private::secret_form(
                        <#fty as #private::SecretField>::secret_bytes(&self.#fname),
                        &plan.key,
                    ),
                    _ => #private::secret_form(#core::option::Option::None, &plan.key),
                };
            });
        } else {
            plain_fixed
                .push(quote_spanned!(span=> #local: <#fty as #k::Field>::fixed(&self.#fname, #max_len)));
            lens.push(quote!(+ <#fty as #k::Field>::var_len(&self.#fname, #max_len)));
            puts.push(quote!(let rest = <#fty as #k::Field>::put_var(&self.#fname, #max_len, rest);));
            bounds.push(quote!(+ <#fty as #k::Field>::reduced_bound(&self.#fname, #max_len)));
            reduced.push(quote_spanned! {span=>
                let #local = <#fty as #k::Field>::reduced(
                    &self.#fname, #max_len, plan.reduction(#index), &plan.key, rest, &mut at,
                );
            });
        }
    }
    let trailer = event.fields.len() * 2 + 1;
    let bytemuck_path = quote!(#private::bytemuck).to_string().replace(' ', "");
    let fixed_struct = quote! {
        #[derive(#core::clone::Clone, #core::marker::Copy, #private::bytemuck::Pod, #private::bytemuck::Zeroable)]
        #[bytemuck(crate = #bytemuck_path)]
        #[repr(C, packed)]
        struct Fixed { #(#fixed_fields),* }
    };

    quote! {
        const _: () = {
            #fixed_struct

            const FIXED: usize = #core::mem::size_of::<Fixed>();
            static SLOT: #k::EventSlot = #k::EventSlot::new();
            static SCHEMA: #k::SchemaRef = #k::SchemaRef {
                name: #name,
                category: #k::Category::#category,
                level: #k::Level::#level,
                opt_in: #opt_in,
                doc: #doc,
                text: #text,
                fields: &[#(#refs),*],
            };

            #[automatically_derived]
            impl #impl_generics #k::Event for #ident #ty_generics #where_clause {
                const SCHEMA: &'static #k::SchemaRef = &SCHEMA;
                const CATEGORY: #k::Category = #k::Category::#category;
                const LEVEL: #k::Level = #k::Level::#level;
                const OPT_IN: bool = #opt_in;
                const PLAIN: bool = #plain;
                const FIXED_LEN: usize = FIXED;

                #[inline(always)]
                fn slot() -> &'static #k::EventSlot {
                    &SLOT
                }

                #[inline(always)]
                fn encoded_len(&self) -> usize {
                    FIXED #(#lens)*
                }

                #[inline(always)]
                fn encode(&self, out: &mut [u8]) {
                    let fixed = Fixed { #(#plain_fixed),* };
                    if let #core::option::Option::Some((head, rest)) = out.split_first_chunk_mut::<FIXED>() {
                        head.copy_from_slice(#private::bytemuck::bytes_of(&fixed));
                        #(#puts)*
                        let _ = rest;
                    }
                }

                fn reduced_len_bound(&self) -> usize {
                    FIXED + #trailer #(#bounds)*
                }

                fn encode_reduced(&self, plan: &#k::Plan, out: &mut [u8]) -> usize {
                    let #core::option::Option::Some((head, rest)) = out.split_first_chunk_mut::<FIXED>() else {
                        return 0;
                    };
                    #[allow(unused_mut)]
                    let mut at = 0usize;
                    #(#reduced)*
                    let fixed = Fixed { #(#locals),* };
                    head.copy_from_slice(#private::bytemuck::bytes_of(&fixed));
                    let trailer = match rest.get_mut(at..) {
                        #core::option::Option::Some(tail) => plan.put_trailer(&SCHEMA, tail),
                        #core::option::Option::None => 0,
                    };
                    FIXED + at + trailer
                }
            }
        };
    }
}
