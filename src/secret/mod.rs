//! A value that must never be shown, and where it is to be found.

mod encrypted;
mod place;

pub use encrypted::{Encrypted, EncryptedError, MOST_BYTES, encrypt};
pub use place::{SecretError, SecretRef};

use zeroize::Zeroizing;

/// A secret: no `Display`, no `Deref`, no `Serialize`; zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that uses them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
