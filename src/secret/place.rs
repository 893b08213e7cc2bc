//! Where a secret is to be found.
//!
//! The configuration names the place; the secret itself is read when the
//! gateway is built, never by `check`.

use super::{Encrypted, EncryptedError, Secret};
use std::path::PathBuf;

/// The place of a secret: `{ env = "NAME" }` or `{ file = "path" }`; or itself, encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; one line end at its end is not part of the secret.
    File(PathBuf),
    /// It stands in the configuration, encrypted (`{ encrypted = "Base64" }`).
    Encrypted(Encrypted),
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("environment variable {0} is not set")]
    Unset(String),
    /// The file can't be read.
    #[error("can't read secret file {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An encrypted secret can't be read.
    #[error("an encrypted secret cannot be read")]
    Encrypted(#[from] EncryptedError),
    /// There is nothing in it.
    #[error("the secret from {0} is empty")]
    Empty(String),
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`], if it isn't there, can't be read, or is empty.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Env(name) => {
                use std::os::unix::ffi::OsStringExt;
                std::env::var_os(name).ok_or_else(|| SecretError::Unset(name.clone()))?.into_vec()
            }
            Self::File(file) => {
                let read = std::fs::read(file);
                let mut bytes = read.map_err(|source| SecretError::Read { file: file.clone(), source })?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
                bytes
            }
            Self::Encrypted(encrypted) => return Ok(encrypted.decrypt()?),
        };
        if bytes.is_empty() {
            return Err(SecretError::Empty(self.place()));
        }
        Ok(Secret::new(bytes))
    }

    /// Whether something is at the place now. It doesn't look at the secret.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Self::Env(name) => std::env::var_os(name).is_some(),
            Self::File(file) => file.exists(),
            Self::Encrypted(encrypted) => encrypted.key().is_there(),
        }
    }

    /// The place in words, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("environment variable {name}"),
            Self::File(file) => format!("file {}", file.display()),
            Self::Encrypted(encrypted) => {
                format!("the configuration, encrypted to the key from {}", encrypted.key().place())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_bytes_without_the_final_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        for (text, secret) in [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), ("a\n\n", "a\n")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(SecretRef::File(file.clone()).resolve().unwrap().expose(), secret.as_bytes());
        }
    }

    #[test]
    fn a_missing_or_empty_secret_is_an_error_that_names_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let missing = SecretRef::File(file.clone()).resolve().unwrap_err();
        assert!(missing.to_string().contains("key"), "{missing}");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(SecretRef::File(file).resolve(), Err(SecretError::Empty(_))));
        let unset = SecretRef::Env("ONRECORD_TEST_NEVER_SET".into());
        assert!(!unset.is_there());
        assert!(matches!(unset.resolve(), Err(SecretError::Unset(_))));
    }
}
