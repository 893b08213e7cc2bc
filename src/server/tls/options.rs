//! What an operator can set about TLS on one listening address.

use std::path::PathBuf;
use std::time::Duration;

/// TLS on one address (`[listener.tls]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates with their keys; the first is shown to clients that name no host, or one
    /// that no certificate is for.
    pub certificates: Vec<CertificateFiles>,
    /// Host names for which a certificate is had by ACME.
    pub acme: Vec<String>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// For the whole handshake.
    pub handshake_timeout: Duration,
    /// Whether clients are asked for certificates.
    pub client: ClientAuth,
    /// Files (PEM) of the authorities whose client certificates are accepted.
    pub client_ca: Vec<PathBuf>,
    /// Files (PEM) with their revocation lists.
    pub client_crl: Vec<PathBuf>,
    /// Which part of a client's certificate is the actor's id.
    pub client_actor: ActorPart,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            acme: Vec::new(),
            min_version: TlsVersion::default(),
            handshake_timeout: Duration::from_secs(10),
            client: ClientAuth::default(),
            client_ca: Vec::new(),
            client_crl: Vec::new(),
            client_actor: ActorPart::default(),
        }
    }
}

/// A certificate with its chain, and its key (both PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then each one's issuer.
    pub chain: PathBuf,
    /// The private key; may be the same file.
    pub key: PathBuf,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with forward secrecy and AEAD alone.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// One that is shown must be valid; none is fine.
    Optional,
    /// The handshake fails without a valid one.
    Required,
}

/// Which part of a client's certificate is the actor's id. Where the part is not there, the
/// whole subject is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActorPart {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The first e-mail address among the alternative names.
    Email,
    /// The first URI among them, such as a SPIFFE id.
    Uri,
    /// The first host name among them.
    Dns,
    /// The whole subject.
    Subject,
    /// None: certificates are recorded, and actors found as without them.
    None,
}
