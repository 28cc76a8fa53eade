//! Plain words: what is recorded, and why a component delivers nothing.

use tracewell::control::Why;
use tracewell::{Category, Level};
use tracewell_schema::format::record::LossReason;

use crate::elsewhere::Elsewhere;
use crate::output::number;

/// The categories and levels of a session: `everything at level info, network at debug, web off`.
pub(crate) fn scope(levels: &[u8; 32]) -> String {
    let of = |c: &Category| levels[*c as usize];
    let events = || Category::ALL.iter().filter(|c| **c != Category::Audit);
    // The level that most categories have is said once.
    let most = (0..=5).rev().max_by_key(|level| events().filter(|c| of(c) == *level).count()).unwrap_or(0);
    let others: Vec<_> =
        events().filter(|c| of(c) != most).map(|c| format!("{} {}", c.name(), at(of(c)))).collect();
    let audit = of(&Category::Audit);
    if most == 0 {
        let who = if audit == 0 { "" } else { ", and who switched tracing on and off" };
        return format!("only {}{who}", if others.is_empty() { "nothing".into() } else { others.join(", ") });
    }
    let mut text = format!("everything at level {}", level_name(most));
    for other in others {
        text += ", ";
        text += &other;
    }
    if audit == 0 {
        text += ", audit off";
    }
    text
}

fn at(level: u8) -> String {
    if level == 0 { "off".into() } else { format!("at {}", level_name(level)) }
}

/// Name of a level; `off` for 0.
pub(crate) fn level_name(level: u8) -> &'static str {
    if level == 0 { "off" } else { Level::from_u8(level).map_or("a later level", Level::name) }
}

/// A number of things: `1 event`, `2,000 events`.
pub(crate) fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// Losses by reason: `full 7, too_big 1`.
pub(crate) fn losses(lost: &[u64; 8]) -> String {
    let parts: Vec<_> = LossReason::ALL
        .iter()
        .zip(lost)
        .filter(|(_, n)| **n != 0)
        .map(|(reason, n)| format!("{} {n}", reason.name()))
        .collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

/// A stable word for programs.
pub(crate) const fn why_code(why: Why) -> &'static str {
    match why {
        Why::Off => "off",
        Why::Expired => "expired",
        Why::OtherBoot => "other_boot",
        Why::Damaged => "damaged",
        Why::Changing => "changing",
    }
}

/// What is known of a component when its silence is to be explained.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silence<'a> {
    /// Why tracing is off, if it is.
    pub(crate) off: Option<&'a str>,
    /// Levels of the session.
    pub(crate) levels: Option<&'a [u8; 32]>,
    /// Error number of the ring that it could not make; 0 if none.
    pub(crate) ring_errno: u32,
    /// Why its segments cannot be written, if they cannot.
    pub(crate) unwritable: Option<&'a str>,
    /// Emits that were tried.
    pub(crate) attempted: u64,
    /// Losses.
    pub(crate) lost: [u64; 8],
}

/// Why nothing is recorded, and what to do, from a word of [`why_code`].
pub(crate) fn off_sentence(code: &str) -> &'static str {
    match code {
        "expired" => "the time of the last `enable --for` is over; run `tracewell enable` again",
        "other_boot" => {
            "tracing was enabled before the last start of the computer; run `tracewell enable` again"
        }
        "damaged" => {
            "the control page is damaged; `tracewell disable`, then `tracewell enable` make a new one"
        }
        "changing" => "the control page is being changed at this moment; ask again",
        _ => "tracing is off; run `tracewell enable`",
    }
}

/// An error number in words, without the number.
fn errno_text(errno: u32) -> String {
    let error = std::io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(libc::EIO));
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What a component says whose ring cannot be made, from the error number.
pub(crate) fn ring_failed(errno: u32) -> String {
    let remedy = match i32::try_from(errno).unwrap_or(libc::EIO) {
        libc::ENOSPC | libc::EDQUOT | libc::ENOMEM => {
            "make room on the tmpfs, or give the component a smaller ring or a larger ring budget"
        }
        libc::EACCES | libc::EPERM | libc::EROFS => {
            "let TRACEWELL_RING_DIR name a tmpfs that this user may write"
        }
        libc::ENOTDIR | libc::EEXIST => {
            "a file lies where the folder of the rings should be; remove it, or let TRACEWELL_RING_DIR name another tmpfs"
        }
        _ => "look at the place of the rings, or let TRACEWELL_RING_DIR name another tmpfs",
    };
    format!("it could not make a ring: {}; {remedy}", errno_text(errno))
}

/// What a component says whose segments cannot be written, from the error number.
pub(crate) fn write_failed(folder: &str, errno: u32) -> String {
    let remedy = match i32::try_from(errno).unwrap_or(libc::EIO) {
        libc::ENOSPC | libc::EDQUOT => "make room",
        libc::EACCES | libc::EPERM | libc::EROFS => "make it writable for this user",
        _ => "look at that place",
    };
    format!(
        "cannot write to {folder}: {}; {remedy}; what is recorded meanwhile waits in memory",
        errno_text(errno).to_lowercase()
    )
}

/// Why an attached component delivers nothing: a word for programs and a sentence.
pub(crate) fn why_silent(silence: &Silence<'_>) -> (&'static str, String) {
    if let Some(off) = silence.off {
        let code = if off == why_code(Why::Expired) { "expired" } else { "off" };
        return (code, off_sentence(off).into());
    }
    if silence.ring_errno != 0 {
        return ("ring_failed", ring_failed(silence.ring_errno));
    }
    if let Some(text) = silence.unwritable {
        return ("write_failed", text.into());
    }
    if silence.attempted != 0 {
        return ("lost", format!("everything that it emitted was refused ({})", losses(&silence.lost)));
    }
    let off: Vec<_> = silence.levels.map_or_else(Vec::new, |levels| {
        Category::ALL.iter().filter(|c| levels[**c as usize] == 0).map(|c| c.name()).collect()
    });
    if off.is_empty() {
        ("silent", "it has not emitted an event of the enabled levels so far".into())
    } else {
        let text = format!(
            "it has not emitted an event that is enabled so far; categories that are off: {}",
            off.join(", ")
        );
        ("category_off", text)
    }
}

/// Why a component that was asked for is not there: a word for programs and a sentence.
pub(crate) fn why_missing(name: &str, elsewhere: &[Elsewhere]) -> (&'static str, String) {
    let found: Vec<_> = elsewhere.iter().filter(|e| e.component.as_deref() == Some(name)).collect();
    if let Some(one) = found.first() {
        let me = rustix::process::geteuid().as_raw();
        let code = if found.iter().all(|e| e.uid != me) { "other_user" } else { "other_place" };
        return (code, format!("not attached here: {one}; name that directory with --dir, as that user"));
    }
    let mut text =
        format!("not attached: no running process uses this trace directory under the name {name}");
    if elsewhere.iter().any(|e| e.component.is_none()) {
        text += "; it may be one of those that use another (see the notes)";
    }
    ("not_attached", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_in_plain_words() {
        let mut levels = [3; 32];
        assert_eq!(scope(&levels), "everything at level info");
        levels[Category::Network as usize] = 4;
        levels[Category::Web as usize] = 0;
        assert_eq!(scope(&levels), "everything at level info, network at debug, web off");
        let mut levels = [0; 32];
        levels[Category::Network as usize] = 4;
        levels[Category::Audit as usize] = 1;
        assert_eq!(scope(&levels), "only network at debug, and who switched tracing on and off");
    }

    #[test]
    fn every_silence_has_its_reason() {
        let levels = [3; 32];
        let on = Silence { levels: Some(&levels), ..Silence::default() };
        assert_eq!(why_silent(&Silence { off: Some("off"), ..on.clone() }).0, "off");
        assert_eq!(why_silent(&Silence { off: Some("expired"), ..on.clone() }).0, "expired");
        assert_eq!(why_silent(&Silence { ring_errno: 28, ..on.clone() }).0, "ring_failed");
        assert_eq!(why_silent(&Silence { attempted: 5, ..on.clone() }).0, "lost");
        assert_eq!(why_silent(&on).0, "silent");
        let full = write_failed("/x", 28);
        assert_eq!(
            full,
            "cannot write to /x: no space left on device; make room; what is recorded meanwhile waits in memory"
        );
        assert_eq!(
            why_silent(&Silence { unwritable: Some(&full), ..on.clone() }),
            ("write_failed", full.clone())
        );
        let other =
            Elsewhere { pid: Some(7), uid: 4_000_000, dir: "/x".into(), component: Some("mailer".into()) };
        assert_eq!(why_missing("mailer", std::slice::from_ref(&other)).0, "other_user");
        assert_eq!(why_missing("scanner", &[other]).0, "not_attached");
        let mut levels = levels;
        levels[Category::Web as usize] = 0;
        let (code, text) = why_silent(&Silence { levels: Some(&levels), ..Silence::default() });
        assert!(code == "category_off" && text.contains("web"), "{text}");
    }
}
