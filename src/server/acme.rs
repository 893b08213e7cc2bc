//! Certificates by ACME (RFC 8555), proved by the handshake itself (`tls-alpn-01`, RFC 8737).
//!
//! One certificate an address, for all of its names. Account, certificate and key are kept in
//! a folder (files 0600), so that a restart orders nothing. A certificate is renewed when two
//! thirds of its time are over; what fails is tried again with growing pauses, and what was
//! there is shown meanwhile.

use super::tls::{AcmeKeys, provider};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LAST_PAUSE: Duration = Duration::from_secs(4 * 3600);
/// Between two looks at the clock while nothing is due: it may be set, or the machine may sleep.
const LOOK: Duration = Duration::from_secs(3600);
/// How long an authority may take for its checks.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an operator can set about ACME (`[acme]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The authority's directory (https).
    pub directory: String,
    /// E-mail addresses of the account.
    pub contact: Vec<String>,
    /// A file (PEM) with the authorities that the directory's own certificate is checked
    /// against; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Where account, certificates and keys are kept; `None`: in the spool folder.
    pub dir: Option<PathBuf>,
}

impl Default for AcmeOptions {
    fn default() -> Self {
        Self {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            contact: Vec::new(),
            ca: None,
            dir: None,
        }
    }
}

/// Why there is no new certificate.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// The authority refused, or can't be reached.
    #[error("the authority did not issue a certificate")]
    Authority(#[from] instant_acme::Error),
    /// The authority does not offer the one kind of proof that is made here.
    #[error("the authority offers no tls-alpn-01 challenge for {0}")]
    NoChallenge(String),
    /// The proof was not accepted.
    #[error(
        "the authority could not check the host names (order {0:?}): they must lead to this address on port 443"
    )]
    NotProved(OrderStatus),
    /// A key or a certificate can't be made.
    #[error("a key or certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// What the authority issued is not usable.
    #[error("the certificate is not usable: {0}")]
    Unusable(String),
    /// A file can't be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How the certificate of one address stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeStanding {
    /// When it ends, in Unix seconds; `None`: there is none yet.
    pub not_after: Option<i64>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

/// Keeps an address in certificates. Ends with its runtime.
#[derive(Debug)]
pub struct Acme {
    /// The authority.
    pub options: AcmeOptions,
    /// Where account, certificates and keys are kept.
    pub dir: PathBuf,
    /// Host names, at least one.
    pub hosts: Vec<String>,
    /// What handshakes use.
    pub keys: Arc<AcmeKeys>,
}

impl Acme {
    /// Loads what is kept, orders when something is due, for ever.
    pub async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        let mut end = match self.load() {
            Ok(end) => end,
            Err(error) => {
                tracing::warn!(error = %crate::error_chain::Chain(&error), "the kept certificate cannot be used; another is ordered");
                None
            }
        };
        loop {
            self.tell(end, None);
            while let Some((_, due)) = end.filter(|(_, due)| *due > now()) {
                let left = Duration::from_secs(u64::try_from(due - now()).unwrap_or(0));
                tokio::time::sleep(left.min(LOOK)).await;
            }
            match self.order().await {
                Ok(new) => {
                    tracing::info!(hosts = self.hosts.join(", "), "a certificate was issued");
                    pause = FIRST_PAUSE;
                    end = Some(new);
                }
                Err(error) => {
                    let why = crate::error_chain::Chain(&error).to_string();
                    tracing::error!(
                        hosts = self.hosts.join(", "),
                        error = why,
                        "no certificate was issued; it is tried again"
                    );
                    self.tell(end, Some(why));
                    // Jitter: many gateways may have failed at once.
                    tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                    // Another gateway on the same folder may have been luckier.
                    if let Ok(Some(found)) = self.load() {
                        end = Some(found);
                    }
                }
            }
        }
    }

    fn tell(&self, end: Option<(i64, i64)>, problem: Option<String>) {
        self.keys.standing.store(Arc::new(AcmeStanding { not_after: end.map(|(end, _)| end), problem }));
    }

    /// Takes up the kept certificate; its end, and when its renewal is due.
    fn load(&self) -> Result<Option<(i64, i64)>, AcmeError> {
        let path = self.certificate_path();
        match std::fs::read(&path) {
            Ok(pem) => self.show(&pem).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AcmeError::File { path, source }),
        }
    }

    /// Shows this certificate (with its key) from now on; its end, and when its renewal is due.
    fn show(&self, pem: &[u8]) -> Result<(i64, i64), AcmeError> {
        let unusable = |why: &dyn std::fmt::Display| AcmeError::Unusable(why.to_string());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(&error))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| unusable(&error))?;
        let (not_before, not_after) = chain
            .first()
            .and_then(|first| super::tls::validity(first))
            .ok_or_else(|| AcmeError::Unusable("it is not an X.509 certificate".to_owned()))?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| unusable(&error))?;
        self.keys.issued.store(Some(Arc::new(key)));
        Ok((not_after, due(not_before, not_after)))
    }

    /// Orders a certificate, proves the names, keeps and shows what is issued.
    async fn order(&self) -> Result<(i64, i64), AcmeError> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self.hosts.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut proofs: HashMap<String, Arc<CertifiedKey>> = HashMap::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let host = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::NoChallenge(host));
            };
            let proof = proof(&host, challenge.key_authorization().digest().as_ref())?;
            proofs.insert(host, Arc::new(proof));
            // Before the authority is told: it may look at once.
            self.keys.challenges.store(Arc::new(proofs.clone()));
            challenge.set_ready().await?;
        }
        let retries = RetryPolicy::default().timeout(PATIENCE);
        let proved = order.poll_ready(&retries).await;
        self.keys.challenges.store(Arc::default());
        match proved? {
            OrderStatus::Ready | OrderStatus::Valid => {}
            status => return Err(AcmeError::NotProved(status)),
        }
        let key = KeyPair::generate()?;
        let request = CertificateParams::new(self.hosts.clone())?.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&retries).await?;
        let pem = format!("{chain}\n{}", key.serialize_pem());
        // Kept before it is shown: an authority issues only so many a week.
        self.write(&self.certificate_path(), pem.as_bytes())?;
        self.show(pem.as_bytes())
    }

    /// The account, made at the first time.
    async fn account(&self) -> Result<Account, AcmeError> {
        let path = self.dir.join("account.json");
        let builder = || match &self.options.ca {
            Some(ca) => Account::builder_with_root(ca),
            None => Account::builder(),
        };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let credentials: AccountCredentials = serde_json::from_slice(&bytes)
                    .map_err(|error| AcmeError::File { path, source: error.into() })?;
                return Ok(builder()?.from_credentials(credentials).await?);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(AcmeError::File { path, source }),
        }
        let contact: Vec<String> =
            self.options.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder()?.create(&new, self.options.directory.clone(), None).await?;
        let text = serde_json::to_vec(&credentials)
            .map_err(|error| AcmeError::File { path: path.clone(), source: error.into() })?;
        self.write(&path, &text)?;
        Ok(account)
    }

    /// A file of its own for each set of names, so that a change of names orders anew.
    fn certificate_path(&self) -> PathBuf {
        let names = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.hosts.join(",").as_bytes());
        let short: String = names.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("certificate-{short}.pem"))
    }

    /// Writes a file whole or not at all, for the owner alone.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
        let written = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let beside = path.with_extension("new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        written().map_err(|source| AcmeError::File { path: path.to_owned(), source })
    }
}

/// The certificate that answers a challenge (RFC 8737 §3).
fn proof(host: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| AcmeError::Unusable(error.to_owned()))?;
    let key = provider().key_provider.load_private_key(der);
    let key = key.map_err(|error| AcmeError::Unusable(error.to_string()))?;
    // `from_der` would compare the two, and refuse the extension that RFC 8737 wants critical.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// When a certificate's renewal is due: two thirds into its time.
fn due(not_before: i64, not_after: i64) -> i64 {
    not_after - (not_after - not_before).max(0) / 3
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_left() {
        assert_eq!(due(0, 90 * 86_400), 60 * 86_400);
        assert_eq!(due(10, 10), 10);
        assert_eq!(due(20, 10), 10, "one that makes no sense is due at its end");
    }

    #[test]
    fn other_names_are_another_certificate() {
        let acme = |hosts: &[&str]| Acme {
            options: AcmeOptions::default(),
            dir: "d".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            keys: Arc::default(),
        };
        assert_ne!(acme(&["a.test"]).certificate_path(), acme(&["a.test", "b.test"]).certificate_path());
    }
}
