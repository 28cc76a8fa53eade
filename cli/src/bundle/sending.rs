//! Sending: what goes to whom, under which statement; the user's yes; the upload.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use tracewell_bundle::send::{Patience, receipt, send as upload};
use tracewell_bundle::{Folder, Product, SealedReader, audit};

use super::args::Send;
use super::look::print_manifest;
use super::{failed, folder, own_key, sealing};
use crate::OK;
use crate::output::{Failure, Out, safe, size};
use crate::place::Place;

pub(super) fn send(place: &Place, args: &Send, out: &mut Out) -> Result<u8, Failure> {
    let product =
        Product::load(&Product::place(args.product.as_deref())).map_err(|e| Failure::of_lines(&e))?;
    let folder = folder(place, &args.bundle)?;
    let told = |e: &std::io::Error| failed(folder.name(), e);
    if let Some(receipt) = receipt(&folder).map_err(|e| told(&e))? {
        out.line(format_args!(
            "Bundle {} was sent; the server had all of it at {}.",
            folder.name(),
            receipt.received_at
        ))?;
        return Ok(OK);
    }
    let sealed = folder.sealed().map_err(|e| told(&e))?.ok_or_else(|| {
        Failure::new(format!("bundle {} is not sealed; `tracewell bundle seal` first", folder.name()))
    })?;
    let base = place.dirs.base();
    let agreed = folder.consented().map_err(|e| told(&e))?.is_some_and(|c| c.digest == sealed.digest);
    if !agreed || args.consent.is_some() {
        let digest = match &args.consent {
            Some(digest) => digest.clone(),
            None => {
                show(place, &folder, &product, out)?;
                out.flush()?;
                if !confirmed()? {
                    out.line("Nothing was sent.")?;
                    return Ok(OK);
                }
                sealed.digest.clone()
            }
        };
        folder.consent(&digest, &product, jiff::Timestamp::now()).map_err(|e| told(&e))?;
        note(base, "consent", &folder, &digest)?;
    }
    let proof = folder.proof(&product).map_err(|e| told(&e))?;
    note(base, "send", &folder, &sealed.digest)?;
    let bar = ProgressBar::new(sealed.len);
    bar.set_style(
        ProgressStyle::with_template("sending {bar:40} {bytes} of {total_bytes}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let patience = Patience { tries: args.tries, ..Patience::default() };
    let beside = product.beside(Path::new(""));
    let sent = upload(&folder, proof, &beside, patience, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let receipt = sent.map_err(|e| Failure::of_lines(&e))?;
    note(base, "receipt", &folder, &receipt.location)?;
    out.line(format_args!("Sent: {} to {}", size(receipt.len), safe(&product.name)))?;
    out.line(format_args!("  digest   {}", receipt.digest))?;
    out.line(format_args!("  receipt  {}", safe(&receipt.location)))?;
    Ok(OK)
}

/// Whatever is done with a bundle is noted first.
pub(super) fn note(base: &Path, what: &str, folder: &Folder, detail: &str) -> Result<(), Failure> {
    audit::append(base, what, &format!("bundle {}: {detail}", folder.name()))
        .map_err(|e| failed("the audit file", &e))
}

/// What goes to whom, and under which statement.
fn show(place: &Place, folder: &Folder, product: &Product, out: &mut Out) -> Result<(), Failure> {
    let told = |e: std::io::Error| failed(folder.name(), &e);
    let key = own_key(place)?;
    // What is shown is what is sent: it is read from the sealed file itself, where the user's key opens it.
    let opened = folder.sealed_file().map_err(told)?;
    match SealedReader::open(opened, &key) {
        Ok(sealed) => print_manifest(folder.name(), sealed.manifest(), &Default::default(), out)?,
        Err(_) => {
            let draft = folder.draft(&key).map_err(told)?;
            let struck = folder.struck().map_err(told)?;
            print_manifest(folder.name(), draft.manifest(), &struck, out)?;
        }
    }
    let sealed = folder.sealed().map_err(told)?;
    out.line("")?;
    if let Some(sealed) = &sealed {
        out.line(format_args!("  digest     {}", sealed.digest))?;
        for key in &sealed.keys {
            out.line(format_args!("  sealed to  {}", sealing::whose(key, product, &own_key(place)?)))?;
        }
    }
    if let Some(server) = &product.server {
        out.line(format_args!("  sent to    {}, {}", safe(&product.name), safe(&server.url)))?;
    }
    if let Some(statement) = &product.statement {
        out.line(format_args!("  statement  version {}", safe(&statement.version)))?;
        for line in statement.text.lines() {
            out.line(format_args!("    {}", safe(line)))?;
        }
    }
    out.line("")
}

/// Asks on the terminal. A script must name the digest.
fn confirmed() -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(
            "there is no terminal to ask on; a script must name what it agrees to, with --consent DIGEST",
        ));
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "Do you agree to send exactly this? [y/N] ");
    let _ = err.flush();
    let mut line = String::new();
    let _ = stdin.lock().read_line(&mut line);
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
