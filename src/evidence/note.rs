//! Signed notes (C2SP `signed-note`): a text, a blank line, signature lines.
//!
//! A signature line is an em dash, a space, the key's name, a space, and the
//! base64 of a 4-byte key id and the signature over the text. The key id is the
//! beginning of SHA-256 over name, newline, algorithm byte and public key.

use super::keys::SigningKey;
use super::merkle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

/// The algorithm byte of Ed25519.
const ED25519: u8 = 1;
/// No note has more signatures than this; further ones are not read.
const MAX_SIGNATURES: usize = 100;

/// Why bytes are not a note, or not one that a key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Not UTF-8, or with control characters, or without text or signatures.
    #[error("these bytes are not a signed note")]
    Malformed,
    /// No signature is by this key.
    #[error("the note bears no signature of this key")]
    Unsigned,
    /// A signature claims to be by this key and is not.
    #[error("the note's signature does not fit its text")]
    Forged,
}

/// A note as read, its signatures unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The signed text, its last newline included.
    pub text: &'a str,
    /// The signatures in their order.
    pub signatures: Vec<Signature<'a>>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The name that the key goes by.
    pub name: &'a str,
    /// The key's id.
    pub key_id: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// A public key under a name: what a reader needs to check notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: [u8; 32],
}

/// Whether a name can stand in a signature line: not empty, no white space, no plus sign.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The id of an Ed25519 key under a name.
#[must_use]
pub fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let bytes = [name.as_bytes(), &[b'\n', ED25519], public].concat();
    let [a, b, c, d, ..] = merkle::sha256(&bytes);
    [a, b, c, d]
}

/// The note of a text, signed. The text must end with a newline and the name
/// satisfy [`is_name`], or readers refuse it.
#[must_use]
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Vec<u8> {
    format!("{text}\n{}", signature_line(text, name, key)).into_bytes()
}

/// The note of a text, signed by two keys, as a hand-over is.
#[must_use]
pub fn sign_by_two(text: &str, first: (&str, &SigningKey), second: (&str, &SigningKey)) -> Vec<u8> {
    let lines = [first, second].map(|(name, key)| signature_line(text, name, key));
    format!("{text}\n{}", lines.concat()).into_bytes()
}

fn signature_line(text: &str, name: &str, key: &SigningKey) -> String {
    let mut signature = key_id(name, &key.public()).to_vec();
    signature.extend_from_slice(&key.sign(text.as_bytes()));
    format!("\u{2014} {name} {}\n", BASE64.encode(signature))
}

/// Reads a note without checking its signatures.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Note<'_>, NoteError> {
    let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Malformed);
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, lines) = (&note[..=split], &note[split + 2..]);
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let signatures: Option<Vec<_>> = lines.split('\n').take(MAX_SIGNATURES).map(signature).collect();
    let signatures = signatures.ok_or(NoteError::Malformed)?;
    Ok(Note { text, signatures })
}

fn signature(line: &str) -> Option<Signature<'_>> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let (key_id, bytes) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !bytes.is_empty()).then(|| Signature { name, key_id: *key_id, bytes: bytes.to_vec() })
}

impl Verifier {
    /// The verifier of notes that `key` signs under `name`.
    #[must_use]
    pub fn new(name: &str, public: [u8; 32]) -> Self {
        Self { name: name.to_owned(), public }
    }

    /// Reads `name+hash+base64`, the form in which public keys are handed out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = BASE64.decode(encoded).ok()?;
        let (&ED25519, public) = bytes.split_first()? else { return None };
        let verifier = Self::new(name, public.try_into().ok()?);
        (is_name(name) && merkle::hex(&key_id(name, &verifier.public)) == id).then_some(verifier)
    }

    /// The name that the key goes by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key's id, 8 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        merkle::hex(&key_id(&self.name, &self.public))
    }

    /// Checks a note and returns its text.
    ///
    /// # Errors
    /// Each [`NoteError`].
    pub fn open<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, NoteError> {
        let note = parse(bytes)?;
        self.check(&note).map(|()| note.text)
    }

    /// Checks a note that was read.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] or [`NoteError::Forged`].
    pub fn check(&self, note: &Note<'_>) -> Result<(), NoteError> {
        let id = key_id(&self.name, &self.public);
        let own = note.signatures.iter().find(|s| s.name == self.name && s.key_id == id);
        let own = own.ok_or(NoteError::Unsigned)?;
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, self.public)
            .verify(note.text.as_bytes(), &own.bytes)
            .map_err(|_| NoteError::Forged)
    }

    /// Checks a note that this key may have signed under another name too: who hands
    /// out a key need not know the name that a gateway gives it.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] or [`NoteError::Forged`].
    pub fn check_under_any_name(&self, note: &Note<'_>) -> Result<(), NoteError> {
        let own = self.check(note);
        if own != Err(NoteError::Unsigned) {
            return own;
        }
        let named = |signature: &Signature<'_>| Self::new(signature.name, self.public).check(note);
        let checked = note.signatures.iter().map(named).find(|result| *result != Err(NoteError::Unsigned));
        checked.unwrap_or(own)
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = merkle::hex(&key_id(&self.name, &self.public));
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The published example of the format's first implementation.
    const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key() -> SigningKey {
        SigningKey::from_seed(&BASE64.decode(SEED).unwrap()[1..]).unwrap()
    }

    #[test]
    fn the_published_note_is_made_and_verified_byte_for_byte() {
        assert_eq!(String::from_utf8(sign(TEXT, "PeterNeumann", &key())).unwrap(), NOTE);
        let verifier = Verifier::parse(VERIFIER).unwrap();
        assert_eq!(verifier.to_string(), VERIFIER);
        assert_eq!(verifier, Verifier::new("PeterNeumann", key().public()));
        assert_eq!(verifier.open(NOTE.as_bytes()), Ok(TEXT));
    }

    #[test]
    fn every_changed_byte_of_text_or_signature_is_noticed() {
        let verifier = Verifier::parse(VERIFIER).unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert!(verifier.open(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let verifier = Verifier::parse(VERIFIER).unwrap();
        for bytes in
            ["", "\n", "text\n", "text\n\n", "text\n\n\u{2014} a b\n", "a\tb\n\n\u{2014} a AAAAAAA=\n"]
        {
            assert_eq!(verifier.open(bytes.as_bytes()), Err(NoteError::Malformed), "{bytes:?}");
        }
        let other = sign(TEXT, "another", &key());
        assert_eq!(verifier.open(&other), Err(NoteError::Unsigned));
        for text in ["", "PeterNeumann", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
        {
            assert!(Verifier::parse(text).is_none());
        }
        assert!(!is_name("a b") && !is_name("a+b") && !is_name("") && is_name("onrecord/gw-1"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>, text in "(\n|\u{2014}| |[a-z+/=]){0,40}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
            let _ = Verifier::parse(&text);
        }
    }
}
