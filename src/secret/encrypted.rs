//! Secrets that stand encrypted where they are needed.
//!
//! RSA-OAEP with SHA-256 (in MGF1 too) to a key of 4096 bits, in Base64: what
//! `openssl pkeyutl -encrypt -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256` makes. Who
//! has the private key reads them; whoever has the public one can make them.

use super::{Secret, SecretError, SecretRef};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// The size of the key.
const KEY_BITS: usize = 4096;
/// A secret has at most this many bytes: the key's 512 less two hashes and two.
pub const MOST_BYTES: usize = KEY_BITS / 8 - 2 * 32 - 2;

/// A secret as it stands in a configuration, and where the private key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    bytes: Vec<u8>,
    key: Box<SecretRef>,
}

/// Why an encrypted secret can't be made or read. Nothing of the secret is in it.
#[derive(Debug, Error)]
pub enum EncryptedError {
    /// White space in the Base64.
    #[error("has white space in it: write the Base64 in one line, as `base64 -w0` does")]
    Space,
    /// No Base64.
    #[error("is no Base64")]
    Base64,
    /// Not what a key of this size makes.
    #[error(
        "holds {0} bytes, and what is encrypted to a key of 4096 bits has 512: is it cut off, or made with another key?"
    )]
    Length(usize),
    /// The private key can't be had.
    #[error("the private key that secrets are encrypted to cannot be read")]
    Key(#[source] Box<SecretError>),
    /// It is no such key.
    #[error(
        "the private key from {0} is no RSA key in PEM and PKCS #8; `openssl pkcs8 -topk8 -nocrypt` converts one"
    )]
    PrivateKey(String),
    /// The public key is none.
    #[error("this is no RSA key in PEM: neither a public key nor a private one in PKCS #8")]
    PublicKey,
    /// It has another size.
    #[error("the key has {0} bits, and 4096 are needed")]
    Size(usize),
    /// It does not fit.
    #[error(
        "it cannot be decrypted with the private key from {0}: it was encrypted to another key, or not with OAEP and SHA-256"
    )]
    Mismatch(String),
    /// White space around the secret.
    #[error(
        "the secret has white space before or after it: encrypt it again without, as `printf %s` and `tr -d '\\n'` give it"
    )]
    Around,
    /// Nothing to encrypt.
    #[error("the secret is empty")]
    Empty,
    /// Too much to encrypt.
    #[error("the secret has {0} bytes, and at most 446 can be encrypted this way: keep it in a file")]
    Long(usize),
}

impl Encrypted {
    /// Reads what stands in a configuration. `key` is where the private key is.
    ///
    /// # Errors
    /// [`EncryptedError`], when it can be no such secret whatever the key is.
    pub fn read(text: &str, key: SecretRef) -> Result<Self, EncryptedError> {
        if text.chars().any(char::is_whitespace) {
            return Err(EncryptedError::Space);
        }
        let bytes = STANDARD.decode(text).map_err(|_| EncryptedError::Base64)?;
        if bytes.len() != KEY_BITS / 8 {
            return Err(EncryptedError::Length(bytes.len()));
        }
        Ok(Self { bytes, key: Box::new(key) })
    }

    /// Where the private key is.
    #[must_use]
    pub fn key(&self) -> &SecretRef {
        &self.key
    }

    /// The secret.
    ///
    /// # Errors
    /// [`EncryptedError`], when the private key is missing, unfit or another one.
    pub fn decrypt(&self) -> Result<Secret, EncryptedError> {
        let place = self.key.place();
        let pem = self.key.resolve().map_err(|error| EncryptedError::Key(Box::new(error)))?;
        let key = private_key(&pem).ok_or_else(|| EncryptedError::PrivateKey(place.clone()))?;
        sized(key.key_size_bits())?;
        let key =
            OaepPrivateDecryptingKey::new(key).map_err(|_| EncryptedError::PrivateKey(place.clone()))?;
        let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
        let secret = key
            .decrypt(&OAEP_SHA256_MGF1SHA256, &self.bytes, &mut buffer, None)
            .map_err(|_| EncryptedError::Mismatch(place))?;
        checked(secret)?;
        Ok(Secret::new(secret.to_vec()))
    }
}

/// Encrypts a secret to a public key (PEM), or to that of a private one. The Base64 in one line.
///
/// # Errors
/// [`EncryptedError`], when the key or the secret does not fit.
pub fn encrypt(key: &Secret, secret: &Secret) -> Result<String, EncryptedError> {
    let secret = secret.expose();
    checked(secret)?;
    if secret.len() > MOST_BYTES {
        return Err(EncryptedError::Long(secret.len()));
    }
    let public = match SubjectPublicKeyInfoDer::from_pem_slice(key.expose()) {
        Ok(der) => PublicEncryptingKey::from_der(&der).ok(),
        Err(_) => private_key(key).map(|key| key.public_key()),
    };
    let public = public.ok_or(EncryptedError::PublicKey)?;
    sized(public.key_size_bits())?;
    let public = OaepPublicEncryptingKey::new(public).map_err(|_| EncryptedError::PublicKey)?;
    let mut buffer = vec![0; public.ciphertext_size()];
    let encrypted = public
        .encrypt(&OAEP_SHA256_MGF1SHA256, secret, &mut buffer, None)
        .map_err(|_| EncryptedError::PublicKey)?;
    Ok(STANDARD.encode(encrypted))
}

fn private_key(pem: &Secret) -> Option<PrivateDecryptingKey> {
    match PrivateKeyDer::from_pem_slice(pem.expose()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).ok(),
        _ => None,
    }
}

fn sized(bits: usize) -> Result<(), EncryptedError> {
    if bits == KEY_BITS { Ok(()) } else { Err(EncryptedError::Size(bits)) }
}

fn checked(secret: &[u8]) -> Result<(), EncryptedError> {
    match secret {
        [] => Err(EncryptedError::Empty),
        secret if secret.trim_ascii().len() != secret.len() => Err(EncryptedError::Around),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use std::path::Path;

    fn key(size: KeySize, file: &Path) -> SecretRef {
        let key = PrivateDecryptingKey::generate(size).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        std::fs::write(file, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
            .unwrap();
        SecretRef::File(file.to_owned())
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_secret_comes_back_with_the_right_key_and_each_mistake_is_told_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let own = key(KeySize::Rsa4096, &folder.path().join("own.pem"));
        let other = key(KeySize::Rsa4096, &folder.path().join("other.pem"));
        let small = key(KeySize::Rsa2048, &folder.path().join("small.pem"));
        let longest = "x".repeat(MOST_BYTES);
        for text in ["hunter2", "sv=2021&sig=a%2Fb%3D", &longest] {
            let made = encrypt(&own.resolve().unwrap(), &secret(text)).unwrap();
            assert!(!made.contains(char::is_whitespace));
            let read = SecretRef::Encrypted(Encrypted::read(&made, own.clone()).unwrap());
            assert_eq!(read.resolve().unwrap().expose(), text.as_bytes());
            assert!(read.is_there() && read.place().contains("own.pem"));
            let told = |key: &SecretRef| {
                let error = Encrypted::read(&made, key.clone()).unwrap().decrypt().unwrap_err();
                crate::error_chain::Chain(&error).to_string()
            };
            assert!(told(&other).contains("encrypted to another key"));
            assert!(told(&small).contains("has 2048 bits, and 4096 are needed"));
            let gone = SecretRef::File(folder.path().join("gone.pem"));
            assert!(told(&gone).contains("gone.pem"));
            std::fs::write(folder.path().join("odd.pem"), "no key").unwrap();
            assert!(told(&SecretRef::File(folder.path().join("odd.pem"))).contains("openssl pkcs8"));
        }
        let to = own.resolve().unwrap();
        for (text, told) in [("", "is empty"), ("a\n", "white space"), (" a", "white space")] {
            assert!(encrypt(&to, &secret(text)).unwrap_err().to_string().contains(told), "{text:?}");
        }
        let long = encrypt(&to, &secret(&"x".repeat(MOST_BYTES + 1))).unwrap_err().to_string();
        assert!(long.contains("447 bytes"), "{long}");
        assert!(encrypt(&secret("no key"), &secret("a")).unwrap_err().to_string().contains("no RSA key"));
        assert!(encrypt(&small.resolve().unwrap(), &secret("a")).unwrap_err().to_string().contains("2048"));
        for (text, told) in [("a b", "base64 -w0"), ("a!", "no Base64"), ("YWJj", "holds 3 bytes")] {
            assert!(Encrypted::read(text, own.clone()).unwrap_err().to_string().contains(told), "{text:?}");
        }
    }
}
