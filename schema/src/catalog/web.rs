//! Visited URLs, logins, cookies.

use std::net::IpAddr;
use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, Id128, ProcessKey, Timestamp};

/// What was requested.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ResourceKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A page.
    Page = 1,
    /// A script.
    Script = 2,
    /// An image.
    Image = 3,
    /// A style sheet.
    Style = 4,
    /// Data for a page.
    Data = 5,
    /// A download.
    Download = 6,
    /// Something else.
    Other = 7,
}

/// How a login is done.
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
    /// A form.
    Form = 3,
    /// A token.
    Bearer = 4,
}

/// Same-site rule of cookies.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SameSite {
    /// Not set.
    #[default]
    Unset = 0,
    /// Lax.
    Lax = 1,
    /// Strict.
    Strict = 2,
    /// None.
    None = 3,
}

/// A URL was visited.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.visit",
    category = "web",
    level = "debug",
    text = "{method} {host}: {status}"
)]
pub struct WebVisit<'a> {
    /// The visit.
    #[field(public)]
    pub visit_id: Id128,
    /// Scheme.
    #[field(public)]
    pub scheme: &'a str,
    /// Host.
    #[field(personal)]
    pub host: &'a str,
    /// Port.
    #[field(public)]
    pub port: u16,
    /// Path.
    #[field(personal, opt_in)]
    pub path: Option<&'a str>,
    /// Query.
    #[field(secret, opt_in)]
    pub query: Option<&'a str>,
    /// Method.
    #[field(public)]
    pub method: &'a str,
    /// Host of the page that led there.
    #[field(personal, reduce = "host_only")]
    pub referrer: Option<&'a str>,
    /// Status.
    #[field(public)]
    pub status: u16,
    /// Type.
    #[field(public)]
    pub mime: Option<&'a str>,
    /// Length of the request.
    #[field(public, unit = "bytes")]
    pub request_length: u64,
    /// Length of the answer.
    #[field(public, unit = "bytes")]
    pub response_length: u64,
    /// Categories.
    #[field(public)]
    pub categories: &'a [&'a str],
    /// Verdict.
    #[field(public)]
    pub verdict: Option<&'a str>,
    /// It was prevented.
    #[field(public)]
    pub blocked: bool,
    /// What was requested.
    #[field(public)]
    pub resource: ResourceKind,
    /// Tab.
    #[field(public)]
    pub tab: Option<u32>,
    /// Frame.
    #[field(public)]
    pub frame: Option<u32>,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// User agent.
    #[field(personal)]
    pub user_agent: Option<&'a str>,
    /// Server.
    #[field(personal)]
    pub server: Option<IpAddr>,
    /// Certificate of the server.
    #[field(public)]
    pub certificate_id: Option<[u8; 32]>,
    /// How long it took.
    #[field(public)]
    pub took: Duration,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
    /// What it follows from.
    #[field(public)]
    pub parent_correlation: CorrelationId,
}

/// A login on a site.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.login",
    category = "web",
    level = "debug",
    text = "login on {host} by {authentication}",
    opt_in
)]
pub struct WebLogin<'a> {
    /// The visit.
    #[field(public)]
    pub visit_id: Id128,
    /// Host.
    #[field(personal)]
    pub host: &'a str,
    /// Login name.
    #[field(personal)]
    pub login: Option<&'a str>,
    /// Name of the form field.
    #[field(public)]
    pub form_field: Option<&'a str>,
    /// Realm.
    #[field(public)]
    pub realm: Option<&'a str>,
    /// Password.
    #[field(secret)]
    pub password: Option<&'a str>,
    /// Token.
    #[field(secret)]
    pub token: Option<&'a str>,
    /// How.
    #[field(public)]
    pub authentication: Authentication,
    /// It succeeded.
    #[field(public)]
    pub succeeded: Option<bool>,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// Cookies were set, sent, or found in a file.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "web.cookies",
    category = "web",
    level = "debug",
    text = "{count} cookies of {domain}",
    opt_in
)]
pub struct WebCookies<'a> {
    /// The visit.
    #[field(public)]
    pub visit_id: Id128,
    /// Domain.
    #[field(personal)]
    pub domain: &'a str,
    /// Names.
    #[field(public)]
    pub names: &'a [&'a str],
    /// Their values, as they stand in the header.
    #[field(secret)]
    pub values: Option<&'a str>,
    /// Path.
    #[field(personal)]
    pub path: Option<&'a str>,
    /// When the first ends.
    #[field(public)]
    pub expires: Option<Timestamp>,
    /// Only over TLS.
    #[field(public)]
    pub secure: bool,
    /// Not for scripts.
    #[field(public)]
    pub http_only: bool,
    /// Same-site rule.
    #[field(public)]
    pub same_site: SameSite,
    /// Set by the server, not sent to it.
    #[field(public)]
    pub was_set: bool,
    /// How many.
    #[field(public)]
    pub count: u32,
    /// Cookie file.
    #[field(personal)]
    pub file_path: Option<&'a str>,
    /// Size of the cookie file.
    #[field(public, unit = "bytes")]
    pub file_size: Option<u64>,
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
