//! TLS towards upstreams: whom we trust, who we are, what we speak.

use super::options::{ForwardOptions, Http2};
use crate::secret::SecretError;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";
/// Sessions that a worker remembers, to resume them.
const SESSIONS: usize = 64;

/// Why TLS towards an upstream can't be had.
#[derive(Debug, Error)]
pub enum UpstreamTlsError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no certificate in a file.
    #[error("{path} holds no usable certificate in PEM form")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The private key can't be had.
    #[error("the private key")]
    Key(#[source] SecretError),
    /// The private key is not one.
    #[error("the {place} holds no private key in PEM form")]
    NoKey {
        /// Where it was looked for.
        place: String,
    },
    /// A certificate, or the pair of certificate and key, is not usable.
    #[error("the certificate is not usable")]
    Unusable(#[source] rustls::Error),
}

/// What a worker needs to open TLS connections to one upstream.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// For connections that may speak HTTP/2, if the upstream is to.
    pub(super) config: Arc<ClientConfig>,
    /// For connections that must speak HTTP/1.1: upgrades.
    pub(super) http1: Arc<ClientConfig>,
}

impl Tls {
    /// One worker's own: the same trust and identity, sessions of its own.
    pub(super) fn new(shared: &ClientConfig, http2: Http2) -> Self {
        let with = |protocols: &[&[u8]]| {
            let mut config = shared.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            Arc::new(config)
        };
        let config = match http2 {
            Http2::Off => with(&[HTTP_1]),
            Http2::Auto => with(&[HTTP_2, HTTP_1]),
            Http2::Always => with(&[HTTP_2]),
        };
        let http1 = if http2 == Http2::Off { Arc::clone(&config) } else { with(&[HTTP_1]) };
        Self { config, http1 }
    }
}

/// Whether the other side has chosen HTTP/2.
pub(super) fn chose_http2(connection: &rustls::ClientConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP_2)
}

/// The name that the upstream's certificate must have.
///
/// # Errors
/// When it is no name and no address, which the configuration excludes.
pub(super) fn server_name(name: &str) -> std::io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned())
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
}

/// Trust and identity, read from their files.
///
/// # Errors
/// [`UpstreamTlsError`], if one of them can't be read or is not usable.
pub(super) fn read(forward: &ForwardOptions) -> Result<ClientConfig, UpstreamTlsError> {
    let mut roots = RootCertStore::empty();
    match &forward.ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(UpstreamTlsError::Unusable)?;
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(UpstreamTlsError::Unusable)?
        .with_root_certificates(roots);
    let (Some(certificate), Some(key)) = (&forward.certificate, &forward.private_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let secret = key.resolve().map_err(UpstreamTlsError::Key)?;
    let key = PrivateKeyDer::from_pem_slice(secret.expose())
        .map_err(|_| UpstreamTlsError::NoKey { place: key.place() })?;
    builder.with_client_auth_cert(certificates(certificate)?, key).map_err(UpstreamTlsError::Unusable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UpstreamTlsError> {
    let pem =
        std::fs::read(path).map_err(|source| UpstreamTlsError::Read { path: path.to_owned(), source })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| UpstreamTlsError::NoCertificate { path: path.to_owned() })
}
