//! Shows a support bundle in the browser, before it is sealed or after: every member can be opened as readable text,
//! searched, and struck out. Nothing is sent by looking: the server listens on 127.0.0.1 alone, the page asks nobody
//! else for anything, and whatever a member holds is put into it as text.
//!
//! ```no_run
//! use tracewell_bundle::{OwnKey, Store};
//! use tracewell_view::{Bundle, Limits, Server};
//!
//! let base = std::path::Path::new("/var/lib/tracewell");
//! let key = OwnKey::load(base)?;
//! let bundle = Bundle::of_folder(Store::new(base).open("last")?, key, base.into())?;
//! let server = Server::new(bundle, Limits::default())?;
//! println!("{}", server.url());
//! server.run(|| false)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! * Members of any size: what is asked for is read a page at a time, from the place where it is.
//! * Other users of the computer do not get in: they do not know the address, and the kernel tells whose connection it is.
//! * What was looked at is in the audit file, once for each member and run.
#![forbid(unsafe_code)]

mod api;
mod bundle;
mod events;
mod find;
mod guard;
mod lines;
mod overview;
mod peer;
mod server;
mod shown;
mod tree;

pub use bundle::Bundle;
pub use server::{End, Limits, Server};
