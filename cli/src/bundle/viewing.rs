//! `bundle view`: looking in the browser.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use tracewell_view::{Bundle, End, Limits, Server};

use super::args::View;
use super::{failed, folder, look};
use crate::output::{Failure, Out, note, safe};
use crate::place::Place;
use crate::{OK, interrupt};

pub(super) fn view(place: &Place, args: &View, out: &mut Out) -> Result<u8, Failure> {
    let key = look::key(place, args.identity.as_deref())?;
    let (name, bundle) = match look::sealed_at(&args.bundle) {
        Some(path) => {
            let name = path.display().to_string();
            let opened = File::open(path).and_then(|file| Bundle::of_file(name.clone(), file, key));
            (name.clone(), opened.map_err(|e| failed(&name, &e))?)
        }
        None => {
            let folder = folder(place, &args.bundle)?;
            let name = folder.name().to_owned();
            let bundle = Bundle::of_folder(folder, key, place.dirs.base().to_owned());
            (name.clone(), bundle.map_err(|e| failed(&name, &e))?)
        }
    };
    let idle = Duration::from_secs(60 * u64::from(args.minutes));
    let server = Server::new(bundle, Limits { idle, ..Limits::default() })
        .map_err(|e| failed("the page cannot be served", &e))?;
    interrupt::catch().map_err(|e| failed("signals cannot be caught", &e))?;
    out.line(format_args!("Bundle {}, for you alone:", safe(&name)))?;
    out.line("")?;
    out.line(format_args!("  {}", server.url()))?;
    out.line("")?;
    out.line(format_args!(
        "Nothing is sent by looking. It ends with Done on the page, with Ctrl-C, or after {} minutes without use.",
        args.minutes
    ))?;
    out.flush()?;
    if !args.no_browser && has_desktop() {
        // Arguments of processes can be seen by all users: this address is of use once, and to this user only.
        match server.url_for_once() {
            Ok(Some(url)) => start_browser(&url),
            Ok(None) => note("The browser is not started: open the address yourself."),
            Err(e) => return Err(failed("the page cannot be served", &e)),
        }
    }
    let end = server.run(interrupt::asked).map_err(|e| failed("the page cannot be served", &e))?;
    out.line(match end {
        End::Done => "Done.",
        End::Idle => "The page was not used any more.",
        End::Stopped => "Ended.",
    })?;
    out.line("Nothing was sent. `tracewell bundle show` says what would be given, `tracewell bundle seal` encrypts it.")?;
    Ok(OK)
}

/// Whether a browser can be started: not from a terminal without a desktop, and not by root in place of another user.
fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    (is_set("WAYLAND_DISPLAY") || is_set("DISPLAY")) && !is_set("SUDO_UID")
}

fn start_browser(url: &str) {
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // Some browsers run as long as their window is open.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(_) => note("No browser could be started (xdg-open is missing): open the address yourself."),
    }
}
