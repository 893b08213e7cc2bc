//! Who signs a manifest: one key, or two where one follows another.

use super::manifest::KeyChange;
use crate::evidence::keys::SigningKey;
use crate::evidence::note::{self, Verifier};
use std::sync::Arc;

/// What a manifest says of the keys.
#[derive(Debug)]
pub(super) enum Change {
    /// The same key as before, or the first one.
    None,
    /// The old key, under its name, is here and signs too.
    HandOver(String, Arc<SigningKey>),
    /// The key before is not here: what follows is not proved by it.
    Unproved,
}

impl Change {
    /// What changes after a manifest, when this key signs the next one.
    pub(super) fn after(
        newest: &[u8],
        name: &str,
        key: &Arc<SigningKey>,
        previous: Option<&Arc<SigningKey>>,
    ) -> Self {
        let Ok(newest) = note::parse(newest) else { return Self::Unproved };
        if Verifier::new(name, key.public()).check(&newest).is_ok() {
            return Self::None;
        }
        // The key may be the same under another name.
        for old in previous.into_iter().chain([key]) {
            let signed = newest.signatures.iter().map(|signature| signature.name);
            let mut signed = signed.filter(|name| Verifier::new(name, old.public()).check(&newest).is_ok());
            if let Some(name) = signed.next() {
                return Self::HandOver(name.to_owned(), Arc::clone(old));
            }
        }
        Self::Unproved
    }

    /// The note of a manifest's text.
    pub(super) fn sign(&self, text: &str, name: &str, key: &SigningKey) -> Vec<u8> {
        match self {
            Self::HandOver(old_name, old) => note::sign_by_two(text, (old_name, old), (name, key)),
            Self::None | Self::Unproved => note::sign(text, name, key),
        }
    }

    /// What the manifest states.
    pub(super) fn stated(&self, name: &str, key: &SigningKey) -> Option<KeyChange> {
        let Self::HandOver(old_name, old) = self else { return None };
        let text = |name: &str, key: &SigningKey| Verifier::new(name, key.public()).to_string();
        Some(KeyChange { old: text(old_name, old), new: text(name, key) })
    }

    /// Whether the old key signs too; `None` where nothing changes.
    pub(super) fn handed_over(&self) -> Option<bool> {
        match self {
            Self::None => None,
            Self::HandOver(..) => Some(true),
            Self::Unproved => Some(false),
        }
    }
}
