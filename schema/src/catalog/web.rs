//! Visited URLs, logins on web sites, cookies.

use std::net::IpAddr;
use std::time::Duration;

use super::Verdict;
use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// What a request was for.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ResourceKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A page, or a frame of one.
    Page = 1,
    /// A script.
    Script = 2,
    /// An image.
    Image = 3,
    /// A style sheet or font.
    Style = 4,
    /// Data that a page asks for.
    Data = 5,
    /// A file to be saved.
    Download = 6,
    /// Something else.
    Other = 7,
}

/// How a user or program proves who it is.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Authentication {
    /// Not known.
    #[default]
    Unknown = 0,
    /// HTTP basic.
    Basic = 1,
    /// HTTP digest.
    Digest = 2,
    /// A form on a page.
    Form = 3,
    /// A bearer token.
    Bearer = 4,
}

/// To which sites' requests cookies are added.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SameSite {
    /// Not set.
    #[default]
    Unset = 0,
    /// Those of the same site, and links to it.
    Lax = 1,
    /// Only those of the same site.
    Strict = 2,
    /// All.
    None = 3,
}

/// A URL was visited. The fragment is never recorded; path and query only if they are opted in.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.visit",
    category = "web",
    level = "debug",
    text = "{method} of a {resource} on {host}: status {status}"
)]
pub struct WebVisit<'a> {
    /// Identity of the visit: the same in logins and cookies that go with it.
    #[field(public)]
    pub visit_id: Id128,
    /// Scheme of the URL, in lower case, without colon.
    #[field(public)]
    pub scheme: &'a str,
    /// Host of the URL.
    #[field(personal)]
    pub host: &'a str,
    /// Port of the URL, 1 to 65535, the scheme's own if it names none.
    #[field(public)]
    pub port: u16,
    /// Path of the URL, without query and fragment.
    #[field(personal, opt_in)]
    pub path: Option<&'a str>,
    /// Query of the URL, without the question mark.
    #[field(secret, opt_in)]
    pub query: Option<&'a str>,
    /// Method of the request, for example "GET".
    #[field(public)]
    pub method: &'a str,
    /// URL of the page that led there, of which only the host is kept.
    #[field(personal, reduce = "host_only")]
    pub referrer: Option<&'a str>,
    /// Status of the answer, 100 to 599; 0 if there was none.
    #[field(public)]
    pub status: u16,
    /// Media type of the answer.
    #[field(public)]
    pub mime: Option<&'a str>,
    /// Length of the request's body.
    #[field(public, unit = "bytes")]
    pub request_length: u64,
    /// Length of the answer's body.
    #[field(public, unit = "bytes")]
    pub response_length: u64,
    /// Categories of the site; may be empty.
    #[field(public)]
    pub categories: &'a [&'a str],
    /// What the examination found.
    #[field(public)]
    pub verdict: Verdict,
    /// Whether the request was prevented.
    #[field(public)]
    pub blocked: bool,
    /// What the request was for.
    #[field(public)]
    pub resource: ResourceKind,
    /// Number of the tab in the browser.
    #[field(public)]
    pub tab: Option<u32>,
    /// Number of the frame in the tab; 0 is the page itself.
    #[field(public)]
    pub frame: Option<u32>,
    /// Stable key of the browser's process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// User agent as the browser names itself.
    #[field(personal)]
    pub user_agent: Option<&'a str>,
    /// Address of the server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Connection that carried it, as in `network.connection`.
    #[field(public)]
    pub connection_id: Option<Id128>,
    /// SHA-256 of the server's certificate, as in `certificate.seen`.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// Time from the request to the end of the answer.
    #[field(public)]
    pub took: Duration,
    /// Story it belongs to: the same in the connection, download, detection and decision that go with it.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of, for example of the page that led there.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A login on a web site. Password and token are only recorded as a length class and a keyed hash.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.login",
    category = "web",
    level = "debug",
    text = "login on {host} by {authentication}, succeeded: {succeeded}",
    opt_in
)]
pub struct WebLogin<'a> {
    /// Visit it belongs to, as in `web.visit`.
    #[field(public)]
    pub visit_id: Id128,
    /// Scheme of the URL: tells whether the login was encrypted.
    #[field(public)]
    pub scheme: &'a str,
    /// Host of the site.
    #[field(personal)]
    pub host: &'a str,
    /// Login name.
    #[field(personal)]
    pub login: Option<&'a str>,
    /// Name of the form's field that held the login name.
    #[field(public)]
    pub form_field: Option<&'a str>,
    /// Realm that the server asked for.
    #[field(public)]
    pub realm: Option<&'a str>,
    /// Password.
    #[field(secret)]
    pub password: Option<&'a str>,
    /// Bearer token.
    #[field(secret)]
    pub token: Option<&'a str>,
    /// How the login was done.
    #[field(public)]
    pub authentication: Authentication,
    /// Whether it succeeded; absent if that is not known.
    #[field(public)]
    pub succeeded: Option<bool>,
    /// Stable key of the browser's process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Story it belongs to: the same as of the visit.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A cookie was set or sent, or a browser's cookie file was found, whose content is never recorded.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.cookies",
    category = "web",
    level = "debug",
    text = "cookie {name} of {domain}, set by the server: {was_set}",
    opt_in
)]
pub struct WebCookies<'a> {
    /// Visit they belong to, as in `web.visit`; zero for a cookie file.
    #[field(public)]
    pub visit_id: Id128,
    /// Domain of the cookie.
    #[field(personal)]
    pub domain: &'a str,
    /// Name of the cookie; empty for a cookie file.
    #[field(public)]
    pub name: &'a str,
    /// Value of the cookie.
    #[field(secret)]
    pub value: Option<&'a str>,
    /// Path that the cookie is valid for.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// When it expires; absent if it lasts as long as the browser runs.
    #[field(public)]
    pub expires: Option<Timestamp>,
    /// Whether it is only sent over TLS.
    #[field(public)]
    pub secure: bool,
    /// Whether scripts cannot read it.
    #[field(public)]
    pub http_only: bool,
    /// To which sites' requests it is added.
    #[field(public)]
    pub same_site: SameSite,
    /// Whether the server set it; otherwise the browser sent it or has it in its file.
    #[field(public)]
    pub was_set: bool,
    /// Number of cookies that were set or sent together (one event each), or that the file has.
    #[field(public)]
    pub count: u32,
    /// Path of the cookie file.
    #[field(personal)]
    pub file_path: Option<&'a str>,
    /// Size of the cookie file.
    #[field(public, unit = "bytes")]
    pub file_size: Option<u64>,
    /// Stable key of the browser's process; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Story it belongs to: the same as of the visit.
    #[field(public)]
    pub correlation: CorrelationId,
    /// Story that this one came out of.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}
