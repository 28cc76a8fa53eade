//! Keys of the age format: the user's own, made on first use, and those that bundles are sealed to.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};

/// Folder of keys below the trace directory.
const FOLDER: &str = "keys";
const FILE: &str = "own.txt";

/// The user's own key: what bundles are kept under on this computer, and, unless the user says no, sealed to as well.
pub struct OwnKey {
    identity: Identity,
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnKey({})", self.identity.to_public())
    }
}

impl OwnKey {
    /// Loads it from `BASE/keys/own.txt`, or makes it there. The file is one that the `age` command takes with `-i`.
    ///
    /// # Errors
    /// If it is not this user's alone, holds no key, or cannot be made.
    pub fn load_or_create(base: &Path) -> io::Result<Self> {
        let folder = tracewell::fs::create_private_dir_all(&base.join(FOLDER))?;
        match Self::load_from(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(&folder),
            other => other,
        }
    }

    /// Loads it if it was made before.
    ///
    /// # Errors
    /// As [`OwnKey::load_or_create`], and if there is none.
    pub fn load(base: &Path) -> io::Result<Self> {
        Self::load_from(&tracewell::fs::open_private_dir(&base.join(FOLDER))?)
    }

    fn load_from(folder: &OwnedFd) -> io::Result<Self> {
        let file = tracewell::fs::open_existing(folder, FILE, false)?;
        Self::parse(&mut file.take(64 << 10))
    }

    /// Reads a key file as `age-keygen` makes them: comments, and one line with the key.
    ///
    /// # Errors
    /// If there is no such line.
    pub fn parse(from: &mut dyn Read) -> io::Result<Self> {
        let mut text = zeroize::Zeroizing::new(String::new());
        from.read_to_string(&mut text)?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let identity = line.and_then(|line| Identity::from_str(line).ok()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the key file has no line that begins with AGE-SECRET-KEY-1; is it the right file?",
            )
        })?;
        Ok(Self { identity })
    }

    fn create(folder: &OwnedFd) -> io::Result<Self> {
        let identity = Identity::generate();
        let text = zeroize::Zeroizing::new(format!(
            "# The key of this user's support bundles. Who has it can read them.\n# public key: {}\n{}\n",
            identity.to_public(),
            identity.to_string().expose_secret(),
        ));
        let unnamed = crate::unnamed::Unnamed::new(folder.try_clone()?)?;
        unnamed.file().write_all(text.as_bytes())?;
        match unnamed.publish(FILE) {
            Ok(_) => Ok(Self { identity }),
            // Another command made it meanwhile: the first one stays.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::load_from(folder),
            Err(e) => Err(e),
        }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> Key {
        Key(self.identity.to_public())
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// A public key that bundles are sealed to: `age1..`.
#[derive(Clone, Debug)]
pub struct Key(Recipient);

impl Key {
    pub(crate) fn recipient(&self) -> &Recipient {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Recipient::from_str(text.trim())
            .map(Self)
            .map_err(|e| format!("{text:?} is no age public key ({e}); it must begin with age1"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("trace");
        assert!(OwnKey::load(&base).is_err());
        let made = OwnKey::load_or_create(&base).unwrap();
        for again in [OwnKey::load_or_create(&base).unwrap(), OwnKey::load(&base).unwrap()] {
            assert_eq!(again.public().to_string(), made.public().to_string());
        }
        let file = base.join("keys/own.txt");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{made:?}").contains("SECRET"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(OwnKey::load(&base).is_err(), "others could read it");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!("age1x".parse::<Key>().unwrap_err().contains("age1"));
        assert!(OwnKey::parse(&mut "# nothing\n\n".as_bytes()).is_err());
        assert!(OwnKey::parse(&mut "AGE-SECRET-KEY-1X\n".as_bytes()).is_err());
    }
}
