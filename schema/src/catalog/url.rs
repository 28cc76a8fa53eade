//! URLs as an event may hold them: every emitter makes them with [`plain_url`].

use super::DownloadProtocol;
use crate::reduce::host_of;

/// Parts of a URL that may be recorded; made by [`plain_url`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainUrl {
    /// Scheme, host, port and path: no user, no password, no query, no fragment. For a personal field.
    pub text: String,
    /// Query, without the question mark. For a secret field only.
    pub query: Option<String>,
    /// Scheme, in lower case; empty if there is none.
    pub scheme: String,
}

impl PlainUrl {
    /// Protocol that the scheme stands for.
    #[must_use]
    pub fn protocol(&self) -> Option<DownloadProtocol> {
        Some(match self.scheme.as_str() {
            "" => return None,
            "http" => DownloadProtocol::Http,
            "https" => DownloadProtocol::Https,
            "ftp" | "ftps" => DownloadProtocol::Ftp,
            "sftp" | "scp" => DownloadProtocol::Sftp,
            "smb" | "nfs" | "cifs" => DownloadProtocol::Share,
            "magnet" => DownloadProtocol::PeerToPeer,
            "blob" | "data" => DownloadProtocol::Local,
            _ => DownloadProtocol::Other,
        })
    }
}

const SLASHES: [char; 2] = ['/', '\\'];

/// Takes a URL apart and keeps what may be kept.
///
/// User and password (`user:password@host`) are left out in whatever form they come, and so is everything of a text
/// whose host cannot be told for sure: the password may be in it. Of a URL without host (`data:`, `mailto:`) only the
/// scheme is kept, of `blob:` the URL inside.
///
/// ```
/// use tracewell_schema::catalog::plain_url;
///
/// let url = plain_url("https://user:password@example.com/file?token=1#top");
/// assert_eq!(url.text, "https://example.com/file");
/// assert_eq!(url.query.as_deref(), Some("token=1"));
/// ```
#[must_use]
pub fn plain_url(url: &str) -> PlainUrl {
    // Browsers leave out blanks around a URL, and tabs and line ends inside.
    let url: String = url.trim().chars().filter(|c| !c.is_control()).collect();
    let (front, query) = front_and_query(&url);
    let (scheme, rest) = scheme_and_rest(front);
    let query = query.map(str::to_owned);
    if scheme == "blob" {
        let inner = plain_url(rest);
        return PlainUrl { text: format!("blob:{}", inner.text), query, scheme };
    }
    let is_file = scheme == "file";
    let has_host = rest.starts_with(SLASHES);
    let rest = if is_file { rest } else { rest.trim_start_matches(SLASHES) };
    let text = if is_file {
        format!("file:{}", file_path(rest))
    } else if !scheme.is_empty() && !has_host {
        format!("{scheme}:")
    } else {
        match without_user(rest, &url) {
            Some(rest) if scheme.is_empty() => rest.to_owned(),
            Some(rest) => format!("{scheme}://{rest}"),
            None if scheme.is_empty() => String::new(),
            None => format!("{scheme}:"),
        }
    };
    PlainUrl { text, query, scheme }
}

fn front_and_query(url: &str) -> (&str, Option<&str>) {
    let url = url.split('#').next().unwrap_or_default();
    match url.split_once('?') {
        Some((front, query)) => (front, Some(query)),
        None => (url, None),
    }
}

/// The scheme in lower case, and what comes after its colon.
fn scheme_and_rest(url: &str) -> (String, &str) {
    let Some((scheme, rest)) = url.split_once(':') else { return (String::new(), url) };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // "example.com:8080/x" and "user:password@example.com" have a colon, but no scheme.
    let is_port =
        rest.split(SLASHES).next().is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let is_user = !rest.starts_with(SLASHES) && rest.split(SLASHES).next().is_some_and(|a| a.contains('@'));
    if is_scheme && !is_port && !(is_user && scheme != "blob" && scheme != "mailto") {
        (scheme.to_ascii_lowercase(), rest)
    } else {
        (String::new(), url)
    }
}

/// `host:port/path` of `user:password@host:port/path`; none if the host is not sure.
fn without_user<'a>(rest: &'a str, url: &str) -> Option<&'a str> {
    let end = rest.find(SLASHES).unwrap_or(rest.len());
    let start = rest.get(..end)?.rfind('@').map_or(0, |at| at + 1);
    let authority = rest.get(start..end)?;
    // A password with a slash or a question mark looks like a host with a port, and an "@" further on.
    let has_port = !authority.ends_with(']') && authority.contains(':');
    let is_sure = start != 0 || !has_port || !url.contains('@');
    (is_sure && !host_of(authority.as_bytes()).is_empty()).then(|| rest.get(start..)).flatten()
}

/// The path of a file URL, with the host, but without a user before it.
fn file_path(rest: &str) -> &str {
    let Some(authority) = rest.strip_prefix("//") else { return rest };
    let end = authority.find(SLASHES).unwrap_or(authority.len());
    if authority.get(..end).is_some_and(|a| a.contains('@')) {
        authority.get(end..).unwrap_or_default()
    } else {
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_never_kept() {
        for (url, text, query) in [
            ("https://user:hunter2@example.com/a?b=1#c", "https://example.com/a", Some("b=1")),
            ("https://hunter2@example.com:8443/a", "https://example.com:8443/a", None),
            ("HTTPS://user:p@hunter2@example.com/", "https://example.com/", None),
            ("https://user:hunter2/x@example.com/", "https:", None),
            ("https:user:hunter2@example.com/", "example.com/", None),
            ("https://user:2/hunter2@example.com/", "https:", None),
            ("https://user:2?hunter2@example.com/", "https:", Some("hunter2@example.com/")),
            ("https:/user:hunter2@example.com/a", "https://example.com/a", None),
            ("https:\\\\user:hunter2@example.com\\a", "https://example.com\\a", None),
            ("ht\ttps://user:hun\nter2@example.com/", "https://example.com/", None),
            ("//user:hunter2@example.com/a", "example.com/a", None),
            ("user:hunter2@example.com/a", "example.com/a", None),
            ("blob:https://user:hunter2@example.com/1-2", "blob:https://example.com/1-2", None),
            ("ftp://user:hunter2@[2001:db8::1]:21/x", "ftp://[2001:db8::1]:21/x", None),
            ("file://user:hunter2@host/x", "file:/x", None),
            ("mailto:hunter2@example.com", "mailto:", None),
            ("data:text/plain,hunter2", "data:", None),
            ("javascript:hunter2()", "javascript:", None),
            ("example.com:8080/x?hunter", "example.com:8080/x", Some("hunter")),
            ("https://example.com/@name", "https://example.com/@name", None),
            ("file:///home/alex/x", "file:///home/alex/x", None),
            ("my hunter2", "", None),
            ("", "", None),
        ] {
            let plain = plain_url(url);
            assert!(!plain.text.contains("hunter2"), "{url}: {plain:?}");
            assert_eq!((plain.text.as_str(), plain.query.as_deref()), (text, query), "{url}");
        }
    }

    #[test]
    fn the_scheme_tells_the_protocol() {
        assert_eq!(plain_url("HTTPS://example.com/").protocol(), Some(DownloadProtocol::Https));
        assert_eq!(plain_url("data:,x").protocol(), Some(DownloadProtocol::Local));
        assert_eq!(plain_url("example.com/x").protocol(), None);
    }
}
