//! From files to what a handshake needs. Everything is read and judged before anything is
//! replaced, so that a broken file never takes the place of a good one.

use super::certificate::{names_as_issuer, server_names};
use super::options::{CertificateFiles, ClientAuth, TlsOptions, TlsVersion};
use super::resolve::{AcmeKeys, ByName};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Certificates and keys are far smaller.
const MOST_BYTES: u64 = 8 << 20;

/// Why an address has no TLS as it is configured.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds nothing of what is looked for.
    #[error("{path} holds no {what}: it must be PEM, with lines that begin with -----BEGIN")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
    },
    /// A file is not what it should be.
    #[error("{path}: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error("the key {key} does not belong to the certificate {chain}")]
    Mismatch {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The chain is not in order.
    #[error(
        "{path}: certificate {position} did not issue the one before it; the server's own comes first, then each one's issuer"
    )]
    Order {
        /// The file.
        path: PathBuf,
        /// Position in the file, counted from 1.
        position: usize,
    },
    /// rustls does not take it.
    #[error("TLS cannot be set up: {0}")]
    Refused(String),
}

/// What is known of a certificate that is shown to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its file, or `acme`.
    pub file: String,
    /// Host names.
    pub names: Vec<String>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

/// What all handshakes of an address use until it is loaded again.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) shown: Vec<Shown>,
}

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads everything that the options name. Session tickets of `before` stay good where no
/// client certificates are asked for; else they would speak for certificates that may have
/// been revoked since.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn load(
    options: &TlsOptions,
    acme: &Arc<AcmeKeys>,
    before: Option<&ServerConfig>,
) -> Result<Loaded, TlsError> {
    let provider = provider();
    let mut shown = Vec::new();
    let mut keys = Vec::new();
    for files in &options.certificates {
        let (key, what) = certified(files, &provider)?;
        keys.push((what.names.clone(), Arc::new(key)));
        shown.push(what);
    }
    let versions: &[&rustls::SupportedProtocolVersion] = match options.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let refused = |error: rustls::Error| TlsError::Refused(error.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(refused)?
        .with_client_cert_verifier(verifier(options, &provider)?)
        .with_cert_resolver(Arc::new(ByName::new(keys, Arc::clone(acme))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets hold the session, so that any worker can resume it and none keeps it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = match before {
        Some(before) if options.client == ClientAuth::Off => Arc::clone(&before.ticketer),
        _ => aws_lc_rs::Ticketer::new().map_err(refused)?,
    };
    Ok(Loaded { config: Arc::new(config), shown })
}

fn certified(files: &CertificateFiles, provider: &CryptoProvider) -> Result<(CertifiedKey, Shown), TlsError> {
    let path = &files.chain;
    let chain: Vec<CertificateDer<'static>> = all(path, "certificate")?;
    for (position, pair) in chain.windows(2).enumerate() {
        if !names_as_issuer(&pair[0], &pair[1]) {
            return Err(TlsError::Order { path: path.clone(), position: position + 2 });
        }
    }
    let Some(says) = server_names(&chain[0]) else {
        return Err(TlsError::Unusable { path: path.clone(), why: "is not an X.509 certificate".to_owned() });
    };
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|_| TlsError::Empty { path: files.key.clone(), what: "private key without a password" })?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { chain: path.clone(), key: files.key.clone() }
        }
        error => TlsError::Unusable { path: files.key.clone(), why: error.to_string() },
    })?;
    let file = path.display().to_string();
    Ok((key, Shown { file, names: says.names, not_before: says.not_before, not_after: says.not_after }))
}

/// Judges client certificates.
fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if options.client == ClientAuth::Off {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for path in &options.client_ca {
        for certificate in all::<CertificateDer<'static>>(path, "certificate")? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Unusable { path: path.clone(), why: error.to_string() })?;
        }
    }
    let mut lists = Vec::new();
    for path in &options.client_crl {
        lists.extend(all::<CertificateRevocationListDer<'static>>(path, "revocation list")?);
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    // Authorities without a list are as good as without lists at all.
    let builder = builder.with_crls(lists).allow_unknown_revocation_status();
    let builder = match options.client {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map_err(|error| TlsError::Refused(error.to_string()))
}

/// Every section of one kind in a file.
fn all<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::Empty { path: path.to_owned(), what }),
        Err(error) => Err(TlsError::Unusable { path: path.to_owned(), why: format!("is not PEM: {error}") }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}
