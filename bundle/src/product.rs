//! What the product's maker decides, in one file that comes with the product: `product.toml`.
//!
//! It names whose signature a request must have, the keys that bundles are sealed to, where they are sent, and the
//! privacy statement. Whoever could change it could redirect what a user gives, so it must belong to root or to this
//! user, and nobody else may write it.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::keys::Key;

/// Where the file is unless the user or the environment (`TRACEWELL_PRODUCT`) says otherwise.
pub const PRODUCT_FILE: &str = "/etc/tracewell/product.toml";
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Product {
    /// The product's name, as the user knows it.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Keys that bundles are sealed to: the first that is valid.
    #[serde(default)]
    pub support_key: Vec<SupportKey>,
    /// Keys that requests are signed with.
    #[serde(default)]
    pub signer: Vec<Signer>,
    /// The privacy statement that holds for bundles.
    pub statement: Option<Statement>,
    /// Where bundles are sent.
    pub server: Option<Server>,
    /// The product's other files: its own manifest, relative to this file's folder or absolute.
    pub files: Option<PathBuf>,
    /// Where this was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A key of support.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SupportKey {
    /// A name for it, as support uses it.
    pub id: String,
    /// `age1..`
    pub key: String,
    /// First day on which it is used.
    pub from: Option<jiff::civil::Date>,
    /// Last day on which it is used.
    pub until: Option<jiff::civil::Date>,
}

/// A key that signs requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signer {
    /// The public key as minisign prints it: `RW..`, 56 characters.
    pub key: String,
    /// Last day on which its signatures are accepted.
    pub until: Option<jiff::civil::Date>,
}

/// The privacy statement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Statement {
    /// Its version: consent is given under exactly this one.
    pub version: String,
    /// Its text, or the beginning of it and where the rest is.
    pub text: String,
}

/// Where bundles are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// The tus endpoint: `https://..`
    pub url: String,
    /// Certificates (PEM) that alone may vouch for the server; without them the platform's are used. Relative to this
    /// file's folder or absolute.
    pub roots: Option<PathBuf>,
}

/// Why the file cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProductError {
    /// There is none.
    Missing(PathBuf),
    /// It cannot be read, or others could write it.
    Unusable(PathBuf, io::Error),
    /// Something in it is wrong.
    Wrong(PathBuf, String),
}

impl fmt::Display for ProductError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "there is no {}, which names support's keys and address; it comes with the product, or give --product FILE",
                path.display()
            ),
            Self::Unusable(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Wrong(path, what) => write!(f, "{}: {what}", path.display()),
        }
    }
}

impl std::error::Error for ProductError {}

impl Product {
    /// Where the file is: what the caller gives, else `TRACEWELL_PRODUCT`, else [`PRODUCT_FILE`].
    #[must_use]
    pub fn place(given: Option<&Path>) -> PathBuf {
        given
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("TRACEWELL_PRODUCT").map(PathBuf::from))
            .unwrap_or_else(|| PRODUCT_FILE.into())
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// If there is none, others could write it, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, ProductError> {
        let text = match read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ProductError::Missing(path.into())),
            Err(e) => return Err(ProductError::Unusable(path.into(), e)),
        };
        let wrong = |what: String| ProductError::Wrong(path.into(), what);
        let mut product: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        for key in &product.support_key {
            key.key.parse::<Key>().map_err(|e| wrong(format!("support-key {:?}: {e}", key.id)))?;
        }
        if let Some(server) = &product.server
            && !server.url.starts_with("https://")
        {
            return Err(wrong(format!("server url {:?} must begin with https://", server.url)));
        }
        path.clone_into(&mut product.path);
        Ok(product)
    }

    /// A path of the file, which may be relative to its folder.
    #[must_use]
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(path)
    }

    /// The key that bundles are sealed to on this day.
    ///
    /// # Errors
    /// If none is valid.
    pub fn key_on(&self, day: jiff::civil::Date) -> Result<(&SupportKey, Key), ProductError> {
        let is_valid = |key: &&SupportKey| {
            key.from.is_none_or(|from| from <= day) && key.until.is_none_or(|until| day <= until)
        };
        let found = self.support_key.iter().find(is_valid).and_then(|k| Some((k, k.key.parse().ok()?)));
        found.ok_or_else(|| {
            let what = format!(
                "no support-key is valid on {day}; update the product, or check the clock of this computer"
            );
            ProductError::Wrong(self.path.clone(), what)
        })
    }
}

/// A file that comes with the product: of root or this user, and nobody else may write it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if !meta.is_file() {
        return refuse("it is no regular file");
    }
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs neither to root nor to you, so its owner could redirect what you send");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("others can write it, so they could redirect what you send; run chmod go-w on it");
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = crate::unnamed::tests::private_dir();
        let path = dir.path().join("product.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        (dir, path)
    }

    #[test]
    fn keys_are_used_while_they_are_valid() {
        let (_dir, path) = file(&format!(
            "name = \"Example\"\nfiles = \"files.toml\"\n\
             [[support-key]]\nid = \"old\"\nkey = \"{KEY}\"\nuntil = \"2026-06-30\"\n\
             [[support-key]]\nid = \"new\"\nkey = \"{KEY}\"\nfrom = \"2026-06-01\"\nuntil = \"2026-12-31\"\n\
             [server]\nurl = \"https://support.example/files/\"\n"
        ));
        let product = Product::load(&path).unwrap();
        let id = |day: &str| product.key_on(day.parse().unwrap()).map(|(key, _)| key.id.clone());
        assert_eq!((id("2026-05-31").unwrap(), id("2026-07-01").unwrap()), ("old".into(), "new".into()));
        assert!(id("2027-01-01").unwrap_err().to_string().contains("update the product"));
        assert_eq!(product.beside(Path::new("files.toml")), path.parent().unwrap().join("files.toml"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (_dir, path) = file("name = \"Example\"\n[server]\nurl = \"http://support.example/\"\n");
        assert!(Product::load(&path).unwrap_err().to_string().contains("https://"));
        std::fs::write(&path, "name = \"Example\"\nkeys = 1\n").unwrap();
        assert!(Product::load(&path).unwrap_err().to_string().contains("keys"));
        std::fs::write(&path, "name = \"Example\"\n[[support-key]]\nid = \"a\"\nkey = \"age1\"\n").unwrap();
        assert!(Product::load(&path).unwrap_err().to_string().contains("support-key"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(Product::load(&path).unwrap_err().to_string().contains("chmod go-w"));
        assert!(matches!(Product::load(Path::new("/nonexistent")), Err(ProductError::Missing(_))));
    }
}
