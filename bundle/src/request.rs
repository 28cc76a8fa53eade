//! Requests of support: a small file that says what to trace and what to collect, signed by the vendor.
//!
//! The file is TOML, followed by the four lines of a minisign signature (as `minisign -S` makes them, prehashed), or
//! with that signature beside it as `FILE.minisig`. Only a signature of a key in `product.toml` counts, and nothing of
//! a request is looked at before it was verified. A request asks; the user decides, item by item.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::member::Personal;
use crate::product::Product;

/// Longest request, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// What begins a signature of minisign.
const SIGNATURE: &str = "untrusted comment:";
/// Most items of each list.
const MAX_ITEMS: usize = 64;

/// What support asks for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// The case.
    pub case: String,
    /// The product that it is for: must be this one.
    pub product: String,
    /// After this moment it is void.
    pub expires: jiff::Timestamp,
    /// Version of the privacy statement that holds for it.
    pub statement: Option<String>,
    /// Why, in words for the user.
    #[serde(default)]
    pub reason: String,
    /// What to trace, if anything.
    pub trace: Option<TraceAsked>,
    /// Operating-system information.
    #[serde(default)]
    pub operating_system: bool,
    /// The product's files, as its manifest names them.
    #[serde(default)]
    pub product_files: bool,
    /// Components whose memory is asked for, as minidumps.
    #[serde(default)]
    pub dumps: Vec<String>,
    /// Components whose whole memory is asked for.
    #[serde(default)]
    pub full_dumps: Vec<String>,
    /// Other files, as patterns.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What to trace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TraceAsked {
    /// Levels by category; `all` is every category.
    pub categories: BTreeMap<String, String>,
    /// For how long: `30m`, `2h`.
    #[serde(rename = "for")]
    pub duration: String,
    /// Events and fields that are off otherwise.
    #[serde(default)]
    pub opt_in: Vec<String>,
}

/// A request whose signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What it asks for.
    pub request: Request,
    /// What the signer wrote into the signature, covered by it.
    pub comment: String,
    /// SHA-256 of the signed bytes, in hexadecimal digits.
    pub digest: String,
}

/// Why a request is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It has no signature.
    Unsigned,
    /// No signer of `product.toml` signed these bytes.
    Foreign,
    /// It is of another product.
    OtherProduct(String),
    /// It has expired.
    Expired(jiff::Timestamp),
    /// It was verified, and is not of the form of a request.
    Malformed(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(e) => write!(f, "the request cannot be read: {e}"),
            Self::Unsigned => f.write_str(
                "the request is not signed, so anybody could have written it; ask support for the signed file",
            ),
            Self::Foreign => f.write_str(
                "the request was not signed by the maker of this product, or was altered; do not follow it, and tell support",
            ),
            Self::OtherProduct(name) => write!(f, "the request is for {name:?}, not for this product"),
            Self::Expired(at) => write!(f, "the request has expired ({at}); ask support for a new one"),
            Self::Malformed(what) => write!(f, "the request cannot be understood: {what}; update the product"),
        }
    }
}

impl std::error::Error for RequestError {}

impl Verified {
    /// Reads a request and checks who signed it, for which product, and until when it holds.
    ///
    /// # Errors
    /// If anything of that is not as it must be.
    pub fn load(path: &Path, product: &Product, now: jiff::Timestamp) -> Result<Self, RequestError> {
        let text = read(path).map_err(RequestError::Unreadable)?;
        let beside = path.with_file_name({
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".minisig");
            name
        });
        let detached = read(&beside).ok();
        Self::verify(&text, detached.as_deref(), product, now)
    }

    /// As [`Verified::load`], of bytes.
    ///
    /// # Errors
    /// As [`Verified::load`].
    pub fn verify(
        text: &str,
        detached: Option<&str>,
        product: &Product,
        now: jiff::Timestamp,
    ) -> Result<Self, RequestError> {
        let inside = text.find(&format!("\n{SIGNATURE}")).map(|at| text.split_at(at + 1));
        let (body, signature) = match (inside, detached) {
            (Some(both), _) => both,
            (None, Some(signature)) => (text, signature),
            (None, None) => return Err(RequestError::Unsigned),
        };
        let signature = Signature::decode(signature).map_err(|_| RequestError::Unsigned)?;
        let today = jiff::tz::TimeZone::UTC.to_datetime(now).date();
        let signed =
            product.signer.iter().filter(|s| s.until.is_none_or(|until| today <= until)).any(|signer| {
                // The last argument refuses the old form, which is not prehashed.
                PublicKey::from_base64(signer.key.trim())
                    .is_ok_and(|key| key.verify(body.as_bytes(), &signature, false).is_ok())
            });
        if !signed {
            return Err(RequestError::Foreign);
        }
        let request: Request = toml::from_str(body).map_err(|e| RequestError::Malformed(e.to_string()))?;
        if request.product != product.name {
            return Err(RequestError::OtherProduct(request.product));
        }
        if now > request.expires {
            return Err(RequestError::Expired(request.expires));
        }
        request.check().map_err(RequestError::Malformed)?;
        let digest = tracewell::schema::format::hex(&Sha256::digest(body.as_bytes()));
        Ok(Self { request, comment: signature.trusted_comment().to_owned(), digest })
    }
}

/// A piece of a request that the user can strike out.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name: `trace`, `os`, `product-files`, `dump:scanner`, `full-dump:scanner`, `file:/var/log/x`.
    pub name: String,
    /// What it asks for, in words for the user.
    pub what: String,
    /// Which kinds of personal data that can contain.
    pub personal: Vec<Personal>,
}

impl Request {
    fn check(&self) -> Result<(), String> {
        let lists = [&self.dumps, &self.full_dumps, &self.files];
        if lists.iter().any(|list| list.len() > MAX_ITEMS) {
            return Err(format!("more than {MAX_ITEMS} items of a kind"));
        }
        let is_id = |c: char| c.is_ascii_alphanumeric() || "-._/#".contains(c);
        if self.case.is_empty() || self.case.len() > 64 || !self.case.chars().all(is_id) {
            return Err(
                "the case number is empty, too long, or has characters that no case number has".into()
            );
        }
        for pattern in &self.files {
            if !pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
                return Err(format!("{pattern:?} is no pattern that begins at the root"));
            }
        }
        if let Some(trace) = &self.trace {
            tracewell::settings::parse_duration(&trace.duration)?;
            for (category, level) in &trace.categories {
                let known =
                    category == "all" || tracewell::Category::ALL.iter().any(|c| c.name() == category);
                let level_is_known = tracewell::Level::ALL.iter().any(|l| l.name() == level);
                if !known || !level_is_known {
                    return Err(format!(
                        "{category} = {level:?} is no category and level that this version knows"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everything that it asks for.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        use Personal::{
            Address, Content, Device, HostName, Mail, Memory, Message, Path, Program, Url, UserName,
        };
        let mut items = Vec::new();
        let mut add = |name: String, what: String, personal: &[Personal]| {
            items.push(Item { name, what, personal: personal.to_vec() });
        };
        if let Some(trace) = &self.trace {
            let each = |(category, level): (&String, &String)| format!("{category} at level {level}");
            let scope: Vec<String> = trace.categories.iter().map(each).collect();
            let mut what = format!("switch tracing on for {}: {}", trace.duration, scope.join(", "));
            if !trace.opt_in.is_empty() {
                what.push_str(&format!("; and what is off otherwise: {}", trace.opt_in.join(", ")));
            }
            let mut personal: Vec<Personal> = Vec::new();
            for category in trace.categories.keys() {
                personal.extend_from_slice(match category.as_str() {
                    "process" | "module" => &[UserName, Path, Program],
                    "network" | "certificate" => &[Address, HostName, Program],
                    "web" | "download" => &[Url, Path, Program],
                    "message" => &[Mail, Message],
                    "detection" | "protection" | "ui" | "error" | "audit" => &[UserName, Path],
                    _ => &[UserName, HostName, Path, Address, Url, Mail, Message, Program],
                });
            }
            personal.sort_unstable();
            personal.dedup();
            add("trace".into(), what, &personal);
        }
        if self.operating_system {
            let what =
                "operating-system information: hardware, system, services, installed programs, connections";
            add("os".into(), what.into(), &[UserName, HostName, Path, Address, Device, Program]);
        }
        if self.product_files {
            add(
                "product-files".into(),
                "the product's own settings, reports and logs".into(),
                &[Path, Content],
            );
        }
        for name in &self.dumps {
            let what = format!("a minidump of {name}: where its threads are, and a little of its memory");
            add(format!("dump:{name}"), what, &[Memory]);
        }
        for name in &self.full_dumps {
            let what = format!("the whole memory of {name}: anything that it works on can be in it");
            add(format!("full-dump:{name}"), what, &[Memory]);
        }
        for pattern in &self.files {
            add(format!("file:{pattern}"), format!("files {pattern}"), &[Path, Content]);
        }
        items
    }

    /// The same without the items of these names.
    ///
    /// # Errors
    /// The first name that no item has.
    pub fn without(&self, struck: &[String]) -> Result<Self, String> {
        let items = self.items();
        if let Some(unknown) = struck.iter().find(|name| !items.iter().any(|item| item.name == **name)) {
            return Err(unknown.clone());
        }
        let is_struck = |name: &str| struck.iter().any(|s| s == name);
        let mut left = self.clone();
        left.trace = left.trace.filter(|_| !is_struck("trace"));
        left.operating_system &= !is_struck("os");
        left.product_files &= !is_struck("product-files");
        left.dumps.retain(|name| !is_struck(&format!("dump:{name}")));
        left.full_dumps.retain(|name| !is_struck(&format!("full-dump:{name}")));
        left.files.retain(|pattern| !is_struck(&format!("file:{pattern}")));
        Ok(left)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE {
        return Err(crate::draft::invalid(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Signer;

    // Made with `minisign -G -W` and `minisign -S`; the secret key was thrown away.
    const KEY: &str = include_str!("request/sample.pub");
    const BODY: &str = include_str!("request/sample.toml");
    const SIGNATURE: &str = include_str!("request/sample.toml.minisig");

    fn product() -> Product {
        let key = KEY.lines().nth(1).unwrap().to_owned();
        let mut product: Product = toml::from_str("name = \"Example Security\"").unwrap();
        product.signer.push(Signer { key, until: None });
        product
    }

    fn now() -> jiff::Timestamp {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_signed_request_is_understood_inside_and_beside() {
        let beside = Verified::verify(BODY, Some(SIGNATURE), &product(), now()).unwrap();
        let inside = Verified::verify(&format!("{BODY}{SIGNATURE}"), None, &product(), now()).unwrap();
        assert_eq!(beside, inside);
        let names: Vec<String> = beside.request.items().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["trace", "os", "product-files", "dump:scanner", "file:/var/log/example/*.log"]);
        let left = beside.request.without(&["trace".into(), "dump:scanner".into()]).unwrap();
        assert_eq!(left.items().len(), 3);
        assert!(beside.request.without(&["dump:other".into()]).is_err());
    }

    #[test]
    fn unsigned_altered_expired_and_foreign_requests_are_refused() {
        let verify = |body: &str, signature: Option<&str>, product: &Product, now| {
            Verified::verify(body, signature, product, now).unwrap_err()
        };
        assert!(matches!(verify(BODY, None, &product(), now()), RequestError::Unsigned));
        assert!(matches!(verify(BODY, Some("x"), &product(), now()), RequestError::Unsigned));
        for at in (0..BODY.len()).filter(|at| BODY.is_char_boundary(*at)) {
            let mut altered = BODY.as_bytes().to_vec();
            altered[at] ^= 1;
            let Ok(altered) = String::from_utf8(altered) else { continue };
            assert!(
                matches!(verify(&altered, Some(SIGNATURE), &product(), now()), RequestError::Foreign),
                "{at}"
            );
        }
        let later = "2027-02-01T00:00:00Z".parse().unwrap();
        assert!(matches!(verify(BODY, Some(SIGNATURE), &product(), later), RequestError::Expired(_)));
        let mut other = product();
        other.name = "Another".into();
        assert!(matches!(verify(BODY, Some(SIGNATURE), &other, now()), RequestError::OtherProduct(_)));
        let mut nobody = product();
        nobody.signer.clear();
        assert!(matches!(verify(BODY, Some(SIGNATURE), &nobody, now()), RequestError::Foreign));
        let mut ended = product();
        ended.signer[0].until = Some("2026-01-01".parse().unwrap());
        assert!(matches!(verify(BODY, Some(SIGNATURE), &ended, now()), RequestError::Foreign));
    }
}
