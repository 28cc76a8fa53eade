//! An event that is not in the catalog, with a personal and a secret field.

use tracewell::{Event, Tracer, emit};

/// A user asked for a report.
#[derive(Event)]
#[event(name = "custom.report", category = "custom", level = "info", text = "{user} asked for {pages} pages")]
struct Report<'a> {
    /// Login name.
    #[field(personal)]
    user: &'a str,
    /// Length asked for.
    #[field(public, unit = "pages")]
    pages: u16,
    /// Never stored: the trace has its length class and a hash under a key of this session.
    #[field(secret)]
    token: &'a str,
}

fn main() {
    let tracer = Tracer::attach("reporter");
    let _guard = tracer.guard();
    emit!(tracer, Report { user: "alex", pages: 3, token: "s3cret" });
}
