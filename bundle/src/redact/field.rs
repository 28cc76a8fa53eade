//! Fields of events, by what they mean.

use std::borrow::Cow;

use super::{Level, Redactor};

/// What the text of a personal field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    User,
    Host,
    Url,
    Mail,
    /// A path or command line: kept at level standard but for what the patterns and known names find in it.
    Path,
    /// Anything else: a pseudonym as a whole, so that a field nobody thought of is not shown.
    Other,
}

/// By the last word of a field's name. Names of the catalog are held to this by a test.
fn meaning(field: &str) -> Meaning {
    let last = field.rsplit('_').next().unwrap_or(field);
    match field {
        "remote_host" | "host" | "server" | "sni" | "domain" | "remote" => return Meaning::Host,
        "return_path" | "reply_to_key" | "from" | "to" | "cc" | "bcc" | "emails" | "peer" => {
            return Meaning::Mail;
        }
        "user_agent" | "cgroup" | "loader" | "containers" => return Meaning::Path,
        "first_line" => return Meaning::Other,
        "object_name" | "exclusion" => return Meaning::Path,
        _ => {}
    }
    match last {
        "user" | "login" | "account" | "owner" | "group" => Meaning::User,
        "host" | "hostname" | "aliases" => Meaning::Host,
        "url" | "urls" | "referrer" => Meaning::Url,
        "path" | "paths" | "line" | "arguments" | "directory" | "folder" | "image" => Meaning::Path,
        _ => Meaning::Other,
    }
}

impl Redactor {
    /// The text of a field of class personal.
    pub fn field<'t>(&mut self, field: &str, text: &'t str) -> Cow<'t, str> {
        if self.level == Level::None || text.is_empty() {
            return Cow::Borrowed(text);
        }
        let strict = self.level == Level::Strict;
        match meaning(field) {
            Meaning::User => Cow::Owned(self.user(text)),
            Meaning::Host => Cow::Owned(self.host(text)),
            Meaning::Url => Cow::Owned(self.url(text)),
            Meaning::Mail => Cow::Owned(self.pseudonym("mail", text)),
            Meaning::Path if strict => Cow::Owned(self.path(text)),
            Meaning::Path => self.text(text),
            Meaning::Other => Cow::Owned(self.pseudonym("text", text)),
        }
    }

    /// A user's name. The system's own users are the same everywhere.
    fn user(&mut self, name: &str) -> String {
        if matches!(name, "root" | "nobody" | "daemon") {
            return name.to_owned();
        }
        self.pseudonym("user", name)
    }

    /// A path or command line at level strict: only where programs and the system lie is kept.
    fn path(&mut self, text: &str) -> String {
        const SYSTEM: [&str; 9] =
            ["/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/opt/", "/etc/", "/snap/", "/system.slice/"];
        let (program, rest) = match text.find(' ') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let mut out = if SYSTEM.iter().any(|s| program.starts_with(s)) {
            self.text(program).into_owned()
        } else {
            self.pseudonym("path", program)
        };
        if !rest.is_empty() {
            out.push(' ');
            out.push_str(&self.pseudonym("text", rest));
        }
        out
    }

    /// A user id: those of the system stay.
    pub(super) fn uid(&mut self, uid: u32) -> u32 {
        if self.level == Level::None || !(1000..3_000_000_000).contains(&uid) {
            return uid;
        }
        let other = self.key.uid(uid);
        self.count("uid");
        self.remember(&other.to_string(), &uid.to_string());
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_their_names_say() {
        let all = [
            ("user", Meaning::User),
            ("login", Meaning::User),
            ("host", Meaning::Host),
            ("final_url", Meaning::Url),
            ("referrer", Meaning::Url),
            ("return_path", Meaning::Mail),
            ("image_path", Meaning::Path),
            ("command_line", Meaning::Path),
            ("arguments", Meaning::Path),
            ("subject", Meaning::Other),
            ("first_line", Meaning::Other),
            ("whatever", Meaning::Other),
        ];
        for (field, expected) in all {
            assert_eq!(meaning(field), expected, "{field}");
        }
    }
}
