//! Sealing, and opening what was sealed.

use std::fs::File;
use std::io;

use indicatif::{ProgressBar, ProgressStyle};
use tracewell_bundle::{Key, OwnKey, Product, ProductError, SealedReader};

use tracewell_bundle::send::is_begun;

use super::args::{Open, Seal};
use super::look::{key, print_manifest, sealed_at};
use super::{create, failed, folder, own_key, sending};
use crate::OK;
use crate::output::{Failure, Out, size};
use crate::place::Place;

/// The keys to seal to, each with a name for people.
fn keys(args: &Seal, own: &Key) -> Result<Vec<(String, Key)>, Failure> {
    let mut keys = Vec::new();
    for text in &args.to {
        keys.push((text.clone(), text.parse().map_err(Failure::new)?));
    }
    if keys.is_empty() {
        let product = create::product(args.product.as_deref())?.ok_or_else(|| {
            let missing = ProductError::Missing(tracewell_bundle::Product::place(None));
            Failure::Message(vec![
                missing.to_string(),
                "to seal it to a key that support gave you in another way, add --to age1..".into(),
            ])
        })?;
        let today = jiff::ZonedDateTime::now().date();
        let (support, key) = product.key_on(today).map_err(|e| Failure::new(e.to_string()))?;
        keys.push((format!("{}, key {} ({key})", product.name, support.id), key));
    }
    if !args.not_for_me {
        keys.push((format!("you ({own})"), own.clone()));
    }
    Ok(keys)
}

/// Whose key this is, for people.
pub(super) fn whose(key: &str, product: &Product, own: &OwnKey) -> String {
    if own.public().to_string() == key {
        return "you".into();
    }
    let known = product.support_key.iter().find(|k| k.key == key);
    known.map_or_else(|| key.to_owned(), |k| format!("{}, key {}", product.name, k.id))
}

pub(super) fn seal(place: &Place, args: &Seal, out: &mut Out) -> Result<u8, Failure> {
    let folder = folder(place, &args.bundle)?;
    if folder.sealed().map_err(|e| failed(folder.name(), &e))?.is_some() {
        return Err(Failure::new(format!(
            "bundle {} is sealed already; `tracewell bundle unseal` takes the seal away",
            folder.name()
        )));
    }
    let own = own_key(place)?;
    let keys = keys(args, &own.public())?;
    let draft = folder.draft(&own).map_err(|e| failed(folder.name(), &e))?;
    let struck = folder.struck().map_err(|e| failed(folder.name(), &e))?;
    let kept = draft.manifest().without(&struck);
    let bar = ProgressBar::new(kept.total());
    bar.set_style(
        ProgressStyle::with_template("sealing {bar:40} {bytes} of {total_bytes}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let to: Vec<&Key> = keys.iter().map(|(_, key)| key).collect();
    let sealed = folder.seal(&own, &to, jiff::Timestamp::now(), &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let (_, note) = sealed.map_err(|e| failed(folder.name(), &e))?;
    sending::note(place.dirs.base(), "seal", &folder, &note.digest)?;
    out.line(format_args!("Sealed bundle {}: {}", folder.name(), size(note.len)))?;
    for (name, _) in &keys {
        out.line(format_args!("  for      {name}"))?;
    }
    out.line(format_args!("  file     {}", folder.sealed_path().display()))?;
    out.line(format_args!("  digest   {}", note.digest))?;
    if let Some(output) = &args.output {
        let copied = copy(&folder, output);
        copied.map_err(|e| failed(&output.display().to_string(), &e))?;
        out.line(format_args!("  copy     {}", output.display()))?;
    }
    Ok(OK)
}

/// A copy that was not there, for this user alone; nothing stays of one that fails.
fn copy(folder: &tracewell_bundle::Folder, to: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    let copied = folder.sealed_file().and_then(|mut from| io::copy(&mut from, &mut file));
    if let Err(e) = copied.and_then(|_| file.sync_all()) {
        let _ = std::fs::remove_file(to);
        return Err(e);
    }
    Ok(())
}

pub(super) fn unseal(place: &Place, name: &str, out: &mut Out) -> Result<u8, Failure> {
    let folder = folder(place, name)?;
    if is_begun(&folder).map_err(|e| failed(folder.name(), &e))? {
        return Err(Failure::new(format!(
            "bundle {} is being sent, or was; it stays as it is. `tracewell bundle create` prepares another",
            folder.name()
        )));
    }
    folder.withdraw().map_err(|e| failed(folder.name(), &e))?;
    folder.unseal().map_err(|e| failed(folder.name(), &e))?;
    out.line(format_args!("Bundle {} can be changed again.", folder.name()))?;
    Ok(OK)
}

pub(super) fn open(place: &Place, args: &Open, out: &mut Out) -> Result<u8, Failure> {
    let key = key(place, args.identity.as_deref())?;
    let file = match sealed_at(&args.bundle) {
        Some(path) => File::open(path).map_err(|e| failed(&path.display().to_string(), &e))?,
        None => {
            let folder = folder(place, &args.bundle)?;
            folder.sealed_file().map_err(|e| failed(&format!("{} is not sealed", folder.name()), &e))?
        }
    };
    let mut sealed = SealedReader::open(file, &key).map_err(|e| failed(&args.bundle, &e))?;
    match &args.output {
        Some(target) => {
            sealed.extract(target).map_err(|e| failed(&args.bundle, &e))?;
            print_manifest(&args.bundle, sealed.manifest(), &Default::default(), out)?;
            out.line(format_args!("All digests are right. Extracted to {}", target.display()))?;
        }
        None => {
            sealed.check().map_err(|e| failed(&args.bundle, &e))?;
            print_manifest(&args.bundle, sealed.manifest(), &Default::default(), out)?;
            out.line("All digests are right. Add -o FOLDER to extract it.")?;
        }
    }
    Ok(OK)
}
