//! The implementation of `Event` for a checked struct.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use syn::ext::IdentExt;

use crate::check::{CATEGORIES, LEVELS, reduction};
use crate::parse::{Class, EventInput};

fn variant(all: &[(&str, &str)], name: &str) -> Ident {
    let found = all.iter().find(|(n, _)| *n == name).map_or("Info", |(_, v)| *v);
    Ident::new(found, Span::call_site())
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
    let (mut short_fixed, mut short_lens, mut short_puts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bounds, mut reduced, mut locals) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain = true;
    for (index, field) in event.fields.iter().enumerate() {
        let (fname, fty, sty) = (&field.ident, &field.ty, &field.static_ty);
        let span = syn::spanned::Spanned::span(fty);
        let text_name = fname.unraw().to_string();
        let (unit, fdoc, fopt) = (&field.unit, &field.doc, field.opt_in);
        let is_secret = field.class == Some(Class::Secret);
        let max = match field.max.as_ref().and_then(|m| m.base10_parse::<u16>().ok()) {
            Some(max) => quote!(#max),
            None if is_secret => quote!(4096),
            None => quote_spanned!(span=> <#sty as #k::Field>::DEFAULT_MAX),
        };
        let max_len = quote!(const { (#max) as usize });
        let class = match field.class {
            Some(Class::Secret) => quote!(Secret),
            Some(Class::Personal) => quote!(Personal),
            _ => quote!(Public),
        };
        let own = match field.reduce.as_ref().and_then(|r| reduction(r, "").ok()) {
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
            short_fixed.push(quote!(#local: #private::secret_form(#core::option::Option::None, &[0; 32])));
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
            short_fixed.push(
                quote_spanned!(span=> #local: <#fty as #k::Field>::short_fixed(&self.#fname, #max_len)),
            );
            short_lens.push(quote!(+ <#fty as #k::Field>::short_len(&self.#fname, #max_len)));
            short_puts.push(quote!(let rest = <#fty as #k::Field>::put_short(&self.#fname, #max_len, rest);));
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
    let too_long = format!(
        "the schema of event `{ident}` is longer than 64 KiB: shorten documentation or names of values"
    );
    let trailer = event.fields.len() * 2 + 1;
    let bytemuck_path = quote!(#private::bytemuck).to_string().replace(' ', "");
    let fixed_struct = quote! {
        #[derive(#core::clone::Clone, #core::marker::Copy, #private::bytemuck::Pod, #private::bytemuck::Zeroable)]
        #[bytemuck(crate = #bytemuck_path)]
        #[repr(C, packed)]
        struct __TracewellFixed { #(#fixed_fields),* }
    };

    quote! {
        const _: () = {
            #fixed_struct

            const __TRACEWELL_FIXED: usize = #core::mem::size_of::<__TracewellFixed>();
            static __TRACEWELL_SLOT: #k::EventSlot = #k::EventSlot::new();
            const __TRACEWELL_SCHEMA: #k::SchemaRef = #k::SchemaRef {
                name: #name,
                category: #k::Category::#category,
                level: #k::Level::#level,
                opt_in: #opt_in,
                doc: #doc,
                text: #text,
                fields: &[#(#refs),*],
            };
            static __TRACEWELL_STATIC: #k::SchemaRef = __TRACEWELL_SCHEMA;
            const _: () = #core::assert!(__TRACEWELL_SCHEMA.fits(), #too_long);

            #[automatically_derived]
            impl #impl_generics #k::Event for #ident #ty_generics #where_clause {
                const SCHEMA: &'static #k::SchemaRef = &__TRACEWELL_STATIC;
                const CATEGORY: #k::Category = #k::Category::#category;
                const LEVEL: #k::Level = #k::Level::#level;
                const OPT_IN: bool = #opt_in;
                const PLAIN: bool = #plain;
                const FIXED_LEN: usize = __TRACEWELL_FIXED;

                #[inline(always)]
                fn slot() -> &'static #k::EventSlot {
                    &__TRACEWELL_SLOT
                }

                #[inline(always)]
                fn encoded_len(&self) -> usize {
                    __TRACEWELL_FIXED #(#lens)*
                }

                #[inline(always)]
                fn encode(&self, out: &mut [u8]) {
                    let fixed = __TracewellFixed { #(#plain_fixed),* };
                    if let #core::option::Option::Some((head, rest)) = out.split_first_chunk_mut::<__TRACEWELL_FIXED>() {
                        head.copy_from_slice(#private::bytemuck::bytes_of(&fixed));
                        #(#puts)*
                        let _ = rest;
                    }
                }

                #[inline(always)]
                fn short_len(&self) -> usize {
                    __TRACEWELL_FIXED #(#short_lens)*
                }

                #[inline(always)]
                fn encode_short(&self, out: &mut [u8]) {
                    let fixed = __TracewellFixed { #(#short_fixed),* };
                    if let #core::option::Option::Some((head, rest)) = out.split_first_chunk_mut::<__TRACEWELL_FIXED>() {
                        head.copy_from_slice(#private::bytemuck::bytes_of(&fixed));
                        #(#short_puts)*
                        let _ = rest;
                    }
                }

                fn reduced_len_bound(&self) -> usize {
                    __TRACEWELL_FIXED + #trailer #(#bounds)*
                }

                fn encode_reduced(&self, plan: &#k::Plan, out: &mut [u8]) -> usize {
                    let #core::option::Option::Some((head, rest)) = out.split_first_chunk_mut::<__TRACEWELL_FIXED>() else {
                        return 0;
                    };
                    #[allow(unused_mut)]
                    let mut at = 0usize;
                    #(#reduced)*
                    let fixed = __TracewellFixed { #(#locals),* };
                    head.copy_from_slice(#private::bytemuck::bytes_of(&fixed));
                    let trailer = match rest.get_mut(at..) {
                        #core::option::Option::Some(tail) => plan.put_trailer(&__TRACEWELL_STATIC, tail),
                        #core::option::Option::None => 0,
                    };
                    __TRACEWELL_FIXED + at + trailer
                }
            }
        };
    }
}
