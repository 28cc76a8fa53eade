//! The support bundle: everything is prepared on the user's own computer, the user sees all of it, takes out what
//! they do not want to give, and only their yes sends it, encrypted, over a secure channel.
//!
//! ```text
//! sources (os, traces, dumps, files) -> redactor -> draft -> look, strike -> sealed bundle -> consent -> send
//! ```
//!
//! * A **source** ([`Source`]) gives members to a **sink** ([`Sink`]), one after the other, as streams.
//! * The **redactor** stands between: what reaches the draft is already redacted at the level that the user chose.
//! * A **draft** lies on disk encrypted to a key of the user's own, so that looking at it, striking members and
//!   sealing it need no plaintext file at any moment.
//! * A **sealed bundle** is one file in the age format for the vendor's key and, unless the user says no, the user's.
//! * **Consent** is for exactly one sealed bundle, by its digest; sending takes the proof of it.
#![forbid(unsafe_code)]

pub mod audit;
mod consent;
mod database;
mod draft;
mod dump;
pub mod dumps;
pub mod expiry;
mod files;
mod keys;
mod manifest;
mod member;
pub mod os;
mod payload;
mod product;
mod readable;
pub mod redact;
pub mod request;
mod seal;
mod sealed;
pub mod send;
mod store;
mod tar;
mod traces;
mod unnamed;

pub use consent::{Consent, ConsentProof};
pub use draft::{Draft, DraftWriter, PRIVATE_MAP};
pub use dump::{DumpModule, DumpRange, DumpSummary, DumpThread};
pub use files::{FileGroup, FileKind, FileList, Files};
pub use keys::{Key, OwnKey};
pub use manifest::{Entry, MANIFEST_FORMAT, MAX_MANIFEST, MAX_MEMBER, MAX_MEMBERS, Manifest, Terms};
pub use member::{Kind, MemberInfo, MemberName, NameError, Personal, Sink, Skipped, Source};
pub use product::{PRODUCT_FILE, Product, ProductError, Server, Signer, Statement, SupportKey};
pub use readable::write_readable;
pub use seal::{Sealed, seal};
pub use sealed::SealedReader;
pub use store::{Folder, SealedNote, Store};
pub use traces::Traces;
