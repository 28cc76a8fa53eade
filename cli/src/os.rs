//! `collect os`: what support needs to know of this computer, for the user's own eyes.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracewell_bundle::os::{self, Document, Options, readable};

use crate::args::CollectOs;
use crate::output::{Failure, Out, advice, failure, note, safe};
use crate::{OK, bundle};

/// `tracewell collect os`.
pub(crate) fn collect(args: &CollectOs, out: &mut Out) -> Result<u8, Failure> {
    let product = bundle::product(args.product.as_deref())?;
    let options = Options { product: product.map(|p| p.name), only: args.only.clone(), ..Options::default() };
    let documents = os::collect(&options, |_| ())
        .map_err(|e| Failure::new(format!("the computer cannot be looked at: {e}")))?;
    match &args.output {
        None => write(&documents, args.json, out).map_err(failure),
        Some(path) => to_file(&documents, args.json, path),
    }?;
    let errors: usize = documents.iter().map(|d| d.errors.len()).sum();
    if errors != 0 && args.output.is_some() {
        note(&format!("{errors} things could not be had; the file says which, and why"));
    }
    Ok(OK)
}

fn write(documents: &[Document], json: bool, out: &mut dyn Write) -> io::Result<()> {
    for (place, document) in documents.iter().enumerate() {
        let value = serde_json::to_value(document)?;
        if json {
            writeln!(out, "{}", serde_json::to_string(document)?)?;
        } else if let Some(blocks) = readable::blocks(&value) {
            if place != 0 {
                writeln!(out)?;
            }
            readable::write_text(&blocks, out)?;
        }
    }
    Ok(())
}

/// Into a new file that this user alone can read.
fn to_file(documents: &[Document], json: bool, path: &Path) -> Result<(), Failure> {
    let failed = |e: &io::Error| {
        let advice = if e.kind() == io::ErrorKind::AlreadyExists {
            "; nothing is overwritten: name another file, or remove it"
        } else {
            advice(e)
        };
        Failure::new(format!("{}: {e}{advice}", safe(path)))
    };
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| failed(&e))?;
    let mut file = BufWriter::new(file);
    let written = write(documents, json, &mut file).and_then(|()| file.flush());
    written.map_err(|e| {
        // Half a file is of no use.
        let _ = std::fs::remove_file(path);
        failed(&e)
    })
}
