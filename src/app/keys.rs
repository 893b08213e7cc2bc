//! Keys and the directory of actors: from what the configuration names, or made in the spool.

use super::StartError;
use crate::capture::actor::Fingerprinter;
use crate::config::{Config, SecretRef};
use crate::enrich::directory::{Directory, DirectoryFormat};
use crate::evidence::EvidenceOptions;
use crate::evidence::anchor::AnchorFile;
use crate::evidence::keys::{KEY_FILE, SigningKey};
use crate::evidence::note::Verifier;
use crate::secret::Secret;
use crate::spool::Spool;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// The file of the fingerprints' key, when it is made here.
const FINGERPRINT_FILE: &str = "fingerprint.key";
/// The configuration's key for another one.
const FINGERPRINT_KEY: &str = "[actors] fingerprint_key";
/// Bytes of a fingerprint key that is made here.
const FINGERPRINT_BYTES: usize = 32;

/// Who signs manifests.
pub(super) struct Signer {
    pub(super) name: String,
    pub(super) key: Arc<SigningKey>,
    /// A key that may have signed until now.
    pub(super) previous: Option<Arc<SigningKey>>,
    /// Where the heads of chains are told.
    pub(super) anchor: Option<AnchorFile>,
}

impl Signer {
    /// The public key as readers take it.
    pub(super) fn public(&self) -> String {
        Verifier::new(&self.name, self.key.public()).to_string()
    }
}

pub(super) fn signer(config: &Config, spool: &Spool, instance: &str) -> Result<Signer, StartError> {
    const KEY: &str = "[evidence] key";
    let unusable = |why: &dyn std::error::Error| StartError::Key { key: KEY, why: why.to_string() };
    let options = EvidenceOptions { key: None, previous_key: None, name: config.evidence.name.clone() };
    let name = options.signer_name(instance);
    let key = match &config.evidence.key {
        Some(reference) => SigningKey::read(&resolve(KEY, reference)?).map_err(|error| unusable(&error))?,
        None => {
            let (key, made) =
                SigningKey::load_or_make(&spool.keys_dir()).map_err(|error| unusable(&error))?;
            if made {
                tracing::warn!(
                    folder = %spool.keys_dir().display(),
                    "no signing key is configured: one was made in the spool; keep a copy, and set [evidence] key"
                );
            }
            key
        }
    };
    let previous = match &config.evidence.previous_key {
        Some(reference) => {
            const PREVIOUS: &str = "[evidence] previous_key";
            let why =
                |error: &dyn std::error::Error| StartError::Key { key: PREVIOUS, why: error.to_string() };
            Some(SigningKey::read(&resolve(PREVIOUS, reference)?).map_err(|error| why(&error))?)
        }
        None if config.evidence.key.is_some() => {
            SigningKey::load(&spool.keys_dir().join(KEY_FILE)).map_err(|error| unusable(&error))?
        }
        None => None,
    };
    Ok(Signer {
        name,
        key: Arc::new(key),
        previous: previous.map(Arc::new),
        anchor: config.evidence.anchor.as_deref().map(AnchorFile::new),
    })
}

pub(super) fn fingerprinter(config: &Config, spool: &Spool) -> Result<Fingerprinter, StartError> {
    let secret = match &config.actors.fingerprint_key {
        Some(reference) => resolve(FINGERPRINT_KEY, reference)?,
        None => {
            let path = spool.keys_dir().join(FINGERPRINT_FILE);
            made_key(&path).map_err(|source| StartError::Read { what: "fingerprint key", path, source })?
        }
    };
    fingerprinter_with(&secret, config)
}

/// Makes fingerprints as the gateway with this configuration does, whether it runs or not.
///
/// # Errors
/// When there is no key, or it can't be read. None is made.
pub fn fingerprinter_at_rest(config: &Config) -> Result<Fingerprinter, StartError> {
    let secret = match &config.actors.fingerprint_key {
        Some(reference) => resolve(FINGERPRINT_KEY, reference)?,
        None => {
            let path = config.spool.dir.join(Spool::KEYS).join(FINGERPRINT_FILE);
            let read = std::fs::read(&path).map(Secret::new);
            read.map_err(|source| StartError::Read { what: "fingerprint key", path, source })?
        }
    };
    fingerprinter_with(&secret, config)
}

fn fingerprinter_with(secret: &Secret, config: &Config) -> Result<Fingerprinter, StartError> {
    if secret.expose().len() < 16 {
        let why = "the key has less than 16 bytes".to_owned();
        return Err(StartError::Key { key: FINGERPRINT_KEY, why });
    }
    Ok(Fingerprinter::new(secret, &config.actors.fingerprint_key_name))
}

pub(super) fn directory(config: &Config) -> Result<Option<Arc<Directory>>, StartError> {
    let Some(path) = &config.actors.directory else { return Ok(None) };
    read_directory(path).map(|directory| Some(Arc::new(directory)))
}

/// The directory in this file.
pub(super) fn read_directory(path: &Path) -> Result<Directory, StartError> {
    let text = std::fs::read_to_string(path).map_err(|source| StartError::Read {
        what: "directory of actors",
        path: path.to_owned(),
        source,
    })?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let format = if is_json { DirectoryFormat::Json } else { DirectoryFormat::Csv };
    Directory::parse(&text, format).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        StartError::Directory { path: path.to_owned(), problems: problems.join("\n") }
    })
}

fn resolve(key: &'static str, reference: &SecretRef) -> Result<Secret, StartError> {
    reference.resolve().map_err(|source| StartError::Secret { key, source })
}

/// The key in this file, made when it is missing (mode 0600, never overwritten).
fn made_key(path: &Path) -> io::Result<Secret> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(Secret::new),
    }
    let mut bytes = vec![0; FINGERPRINT_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(Secret::new(text.into_bytes()))
}
