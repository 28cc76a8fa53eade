//! Generated code works beside names that hide the prelude's, and without unsafe code of the crate's own.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(dead_code, unused_imports, unused_macros)]

use tracewell_schema::{Event, FieldEnum, FieldFlags};

mod hidden {
    pub struct Option;
    pub struct Some;
    pub struct None;
    pub struct Result;
    pub struct Ok;
    pub struct Err;
    pub struct Vec;
    pub struct String;
    pub struct Box;
    pub trait Clone {}
    pub trait Copy {}
    pub trait From {}
    pub trait Into {}
    pub trait Default {}
    pub mod core {}
    pub mod std {}
    pub mod bytemuck {}
    pub struct Fixed;
    pub const FIXED: () = ();
    pub const SCHEMA: () = ();
    pub const SLOT: () = ();
}
use hidden::*;

macro_rules! assert {
    ($($any:tt)*) => {
        compile_error!("not this one")
    };
}

#[derive(FieldEnum, ::core::clone::Clone, ::core::marker::Copy)]
#[event(crate = "tracewell_schema")]
#[repr(u8)]
pub enum Kind {
    One = 1,
    #[value("number two")]
    Two = 2,
}

#[derive(FieldFlags, ::core::clone::Clone, ::core::marker::Copy)]
#[event(crate = "tracewell_schema")]
#[flags(HIDDEN = 1, READ_ONLY = 2)]
pub struct Attributes(pub u32);

/// Something.
#[derive(Event, ::core::clone::Clone, ::core::marker::Copy)]
#[event(crate = "tracewell_schema", name = "custom.something", category = "custom", level = "info", text = "{name} {{}}", opt_in)]
pub struct Something<'a> {
    /// Its name.
    #[field(personal, max = 100, reduce = "host_only")]
    pub name: &'a str,
    #[field(public, unit = "bytes")]
    pub r#type: u64,
    #[field(public)]
    pub kind: Kind,
    #[field(public)]
    pub attributes: Attributes,
    #[field(secret)]
    pub word: ::core::option::Option<&'a str>,
    #[field(public, opt_in)]
    pub list: &'a [&'a str],
    #[field(public)]
    pub elided: &'static str,
}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.nothing", category = "custom", level = "trace", text = "nothing")]
pub struct Nothing;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.empty", category = "custom", level = "trace", text = "nothing")]
pub struct Empty {}

fn main() {
    let event = Something {
        name: "n",
        r#type: 1,
        kind: Kind::Two,
        attributes: Attributes::HIDDEN | Attributes::READ_ONLY,
        word: ::core::option::Option::None,
        list: &["a", "b"],
        elided: "",
    };
    let mut out = [0; 200];
    let len = event.encoded_len();
    event.encode(&mut out[..len]);
    ::std::assert_eq!(<Something<'_> as Event>::SCHEMA.fields[1].name, "type");
    ::std::assert_eq!(Nothing.encoded_len() + Empty {}.encoded_len(), 0);
    Nothing.encode(&mut []);
}
