//! Who may ask, and what every answer says to the browser.
//!
//! The secret is the first part of every path, so that it is of this port alone: a cookie would go to whatever another
//! user serves on another port of 127.0.0.1. The browser is started with another secret, for one use and a minute, since
//! arguments of processes can be seen by all users; what it buys is this computer's user looking at their own page, for
//! it is taken only over a connection that the kernel says is theirs.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, StatusCode, Uri};
use rustix::rand::{GetRandomFlags, getrandom};
use subtle::ConstantTimeEq;

use crate::bundle::lock;

/// How long the browser may take to come.
const ONCE: Duration = Duration::from_secs(60);

/// What every answer has.
const HEADERS: [(&str, &str); 9] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), clipboard-read=(), geolocation=(), microphone=(), usb=()"),
];

/// Adds what every answer has.
pub(crate) fn dress(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// A secret of 128 bits, as 32 hexadecimal digits.
struct Secret([u8; 32]);

impl Secret {
    fn random() -> io::Result<Self> {
        let (mut bytes, mut filled) = ([0; 16], 0);
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += getrandom(rest, GetRandomFlags::empty())?;
        }
        let mut text = [0; 32];
        text.copy_from_slice(tracewell_schema::format::hex(&bytes).as_bytes());
        Ok(Self(text))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Takes as long wherever the first difference is.
    fn is(&self, given: &str) -> bool {
        self.0.ct_eq(given.as_bytes()).into()
    }
}

/// What a request is allowed to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// It has the secret, and asks for this.
    In(&'a str),
    /// It came with what the browser was started with: to be led to the page.
    Once,
}

/// Decides about requests.
pub(crate) struct Guard {
    address: SocketAddr,
    secret: Secret,
    once: Mutex<Option<(Secret, Instant)>>,
}

impl Guard {
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address, secret: Secret::random()?, once: Mutex::new(None) })
    }

    /// Where the page is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path())
    }

    /// The path of the page.
    pub(crate) fn path(&self) -> String {
        format!("/{}/", self.secret.text())
    }

    /// An address for one use within a minute; one that was made before is void.
    pub(crate) fn once(&self) -> io::Result<String> {
        let secret = Secret::random()?;
        let url = format!("http://{}/once/{}", self.address, secret.text());
        *lock(&self.once) = Some((secret, Instant::now()));
        Ok(url)
    }

    /// What a request may do. `is_ours` says that the kernel names this user as the one who connects.
    pub(crate) fn check<'a>(
        &self,
        method: &Method,
        uri: &'a Uri,
        headers: &HeaderMap,
        is_ours: bool,
    ) -> Result<Way<'a>, (StatusCode, &'static str)> {
        let text = |name: HeaderName| {
            let mut all = headers.get_all(name).iter();
            let first = all.next().and_then(|value| value.to_str().ok());
            if all.next().is_some() { Some("") } else { first }
        };
        let address = self.address.to_string();
        // A name that leads to 127.0.0.1 by somebody's leave is not ours.
        let is_whole = uri.authority().is_none() && uri.scheme().is_none();
        if text(HOST) != Some(address.as_str()) || !is_whole {
            return Err((StatusCode::MISDIRECTED_REQUEST, "This address is not served here."));
        }
        let way = self.way(uri.path(), is_ours)?;
        let is_changing = match *method {
            Method::GET | Method::HEAD => false,
            Method::POST => true,
            _ => return Err((StatusCode::METHOD_NOT_ALLOWED, "GET and POST only.")),
        };
        let origin = text(ORIGIN);
        let is_foreign = origin.is_some_and(|origin| origin != format!("http://{address}"));
        let site = text(HeaderName::from_static("sec-fetch-site"));
        // `none` is the user: an address that was typed, or given to the browser.
        let is_led = site.is_some_and(|site| site != "same-origin" && (is_changing || site != "none"));
        if is_foreign || is_led || (is_changing && origin.is_none()) {
            return Err((StatusCode::FORBIDDEN, "Only the page itself may ask for this."));
        }
        if is_changing && text(hyper::header::CONTENT_TYPE) != Some("application/json") {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON only."));
        }
        if way == Way::Once {
            // Only now: what was refused has not used it up.
            lock(&self.once).take();
        }
        Ok(way)
    }

    fn way<'a>(&self, path: &'a str, is_ours: bool) -> Result<Way<'a>, (StatusCode, &'static str)> {
        let (first, rest) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if self.secret.is(first) {
            return Ok(Way::In(rest));
        }
        if first == "once" {
            let once = lock(&self.once);
            let is_known = once.as_ref().is_some_and(|(once, made)| once.is(rest) && made.elapsed() < ONCE);
            return match is_known && is_ours {
                true => Ok(Way::Once),
                false => Err((
                    StatusCode::GONE,
                    "This address was for one use. Open the one that `tracewell bundle view` has printed.",
                )),
            };
        }
        Err((
            StatusCode::NOT_FOUND,
            "Nothing is here. Open the address that `tracewell bundle view` has printed.",
        ))
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("address", &self.address).finish_non_exhaustive()
    }
}
