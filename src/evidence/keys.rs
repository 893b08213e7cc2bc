//! Ed25519 signing keys: given by the operator, or made once and kept in the
//! spool directory.

use crate::secret::Secret;
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// The name of the key file that is made where none was given.
pub const KEY_FILE: &str = "evidence.pem";

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// What was given is no key.
    #[error("not an Ed25519 key: expected PEM (PKCS#8) or the base64 of a 32-byte seed")]
    Format,
    /// The key file in the spool directory is there and holds no key.
    #[error("{path}: not an Ed25519 key; move it away to have a new one made")]
    File {
        /// The file.
        path: PathBuf,
    },
    /// The key file can't be read or made.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("no key could be generated")]
    Random,
}

/// An Ed25519 key that signs.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key of a 32-byte seed.
    ///
    /// # Errors
    /// [`KeyError::Format`] when it has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Format)?;
        Ok(Self { pair })
    }

    /// Reads a key as an operator gives it: PEM (PKCS#8), or the base64 of a seed.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn read(secret: &Secret) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(secret.expose()).map_err(|_| KeyError::Format)?.trim();
        let Some((_, rest)) = text.split_once(BEGIN) else {
            let seed = Zeroizing::new(BASE64.decode(text).map_err(|_| KeyError::Format)?);
            return Self::from_seed(&seed);
        };
        let (body, _) = rest.split_once(END).ok_or(KeyError::Format)?;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = Zeroizing::new(BASE64.decode(body.as_bytes()).map_err(|_| KeyError::Format)?);
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Format)?;
        Ok(Self { pair })
    }

    /// The key in `folder`, made there when none is. Says whether it was made.
    /// Two processes that start at once end with one and the same key.
    ///
    /// # Errors
    /// Each [`KeyError`]; an existing file is never replaced.
    pub fn load_or_make(folder: &Path) -> Result<(Self, bool), KeyError> {
        let path = folder.join(KEY_FILE);
        if let Some(key) = Self::load(&path)? {
            return Ok((key, false));
        }
        let io = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Io { operation, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("make", folder))?;
        let (own, pem) = Self::generate()?;
        // Whole under another name first: a crash must not leave half a key.
        let draft = folder.join(format!(".{KEY_FILE}.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let written = write_private(&draft, pem.as_bytes());
        let linked = written.and_then(|()| fs::hard_link(&draft, &path));
        let _ = fs::remove_file(&draft);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("make", &path)(error)),
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))?;
        let key = Self::load(&path)?.ok_or(KeyError::File { path })?;
        let made = key.public() == own.public();
        Ok((key, made))
    }

    /// Makes a key and writes it to a new file, mode 0600.
    ///
    /// # Errors
    /// Each [`KeyError`]; a file that is there is never replaced.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { operation: "make", path: path.to_owned(), source };
        let (key, pem) = Self::generate()?;
        write_private(path, pem.as_bytes()).map_err(io)?;
        Ok(key)
    }

    /// Makes a key; returns it with its PEM (PKCS#8) form.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<(Self, Zeroizing<String>), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let seed = pair.seed().map_err(|_| KeyError::Random)?;
        let seed = seed.as_be_bytes().map_err(|_| KeyError::Random)?;
        Ok((Self { pair }, pem(seed.as_ref())))
    }

    /// The key in a file; `None` where there is no file.
    ///
    /// # Errors
    /// When it can't be read or holds no key.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        match fs::read(path) {
            Ok(bytes) => Self::read(&Secret::new(bytes))
                .map(Some)
                .map_err(|_| KeyError::File { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::Io { operation: "read", path: path.to_owned(), source }),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// The signature over a message; the same each time.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// The PKCS#8 form (RFC 8410) of a seed, as `openssl genpkey` writes it.
fn pem(seed: &[u8]) -> Zeroizing<String> {
    const HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let der = Zeroizing::new([&HEAD, seed].concat());
    let body = Zeroizing::new(BASE64.encode(&*der));
    Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", &*body))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        let (first, made) = SigningKey::load_or_make(&folder).unwrap();
        assert!(made);
        let (second, made) = SigningKey::load_or_make(&folder).unwrap();
        assert!(!made);
        assert_eq!(first.public(), second.public());
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::write(folder.join(KEY_FILE), "damaged").unwrap();
        assert!(matches!(SigningKey::load_or_make(&folder), Err(KeyError::File { .. })));
        assert_eq!(fs::read(folder.join(KEY_FILE)).unwrap(), b"damaged");
    }

    #[test]
    fn a_seed_and_its_pem_are_the_same_key_and_nonsense_is_refused() {
        let seed = [7; 32];
        let key = SigningKey::from_seed(&seed).unwrap();
        for form in [BASE64.encode(seed), format!("{}\n", BASE64.encode(seed)), pem(&seed).to_string()] {
            let read = SigningKey::read(&Secret::new(form.into_bytes())).unwrap();
            assert_eq!(read.public(), key.public());
        }
        for form in ["", "AAAA", BEGIN, "-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----"] {
            assert!(SigningKey::read(&Secret::new(form.into())).is_err(), "{form}");
        }
    }
}
