//! A progress bar on a terminal; nothing elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how many of `total` events were read, if somebody can see it.
pub(crate) fn bar(total: u64, is_output_seen: bool) -> ProgressBar {
    if !io::stderr().is_terminal() || (is_output_seen && io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let template = "{bar:30} {human_pos} of {human_len} events, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
