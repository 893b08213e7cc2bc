//! TLS in front of clients: rustls with aws-lc-rs.
//!
//! What handshakes need is loaded from files, judged as a whole, and then replaced in one
//! store; a handshake takes what is current when it begins. Nothing of it is shared while a
//! connection lasts. Session tickets are encrypted with keys of this process, which rotate
//! every 6 hours and are shared between workers; sessions are kept nowhere.

mod certificate;
mod handshake;
mod load;
mod options;
mod resolve;

pub(super) use certificate::validity;
pub(super) use handshake::{Handshake, Secured, secure};
pub(crate) use load::provider;
pub use load::{Shown, TlsError};
pub use options::{ActorPart, CertificateFiles, ClientAuth, TlsOptions, TlsVersion};
pub use resolve::AcmeKeys;

use super::acme::AcmeStanding;
use arc_swap::ArcSwap;
use load::{Loaded, load};
use resolve::Challenges;
use rustls::ServerConfig;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol by which an authority asks for a challenge's answer (RFC 8737).
const ACME_ALPN: &[u8] = b"acme-tls/1";

/// TLS on one address, shared by all workers.
#[derive(Debug)]
pub struct Tls {
    current: ArcSwap<Current>,
    acme: Arc<AcmeKeys>,
    challenges: Arc<ServerConfig>,
    watched: Mutex<Watched>,
}

/// What handshakes use now.
#[derive(Debug)]
struct Current {
    loaded: Loaded,
    options: TlsOptions,
}

/// What the files looked like when they were read last, well or badly.
#[derive(Debug)]
struct Watched {
    files: Vec<Option<Look>>,
    problem: Option<String>,
}

/// Time of change, size and inode: what differs when a file is replaced or rewritten.
type Look = (i64, i64, u64, u64);

/// How TLS on an address stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsStanding {
    /// The certificates from files that clients are shown.
    pub certificates: Vec<Shown>,
    /// Why the files as they are now are not used.
    pub problem: Option<String>,
    /// What is had by ACME, if anything is.
    pub acme: Option<(Vec<String>, AcmeStanding)>,
}

impl Tls {
    /// Loads everything.
    ///
    /// # Errors
    /// [`TlsError`]: what of the files is wrong.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let acme = Arc::new(AcmeKeys::default());
        // Before they are read: a change in between is seen as one.
        let files = looks(&options);
        let loaded = load(&options, &acme, None)?;
        let challenges = challenges(&acme)?;
        Ok(Self {
            current: ArcSwap::from_pointee(Current { loaded, options }),
            acme,
            challenges,
            watched: Mutex::new(Watched { files, problem: None }),
        })
    }

    /// Host names for which a certificate is had by ACME.
    #[must_use]
    pub fn acme_hosts(&self) -> Vec<String> {
        self.current.load().options.acme.clone()
    }

    /// What ACME brings.
    #[must_use]
    pub fn acme(&self) -> &Arc<AcmeKeys> {
        &self.acme
    }

    /// Loads with other options, or the same ones; what was there stays if that fails.
    ///
    /// # Errors
    /// [`TlsError`]: what of the files is wrong.
    pub fn reload(&self, options: &TlsOptions) -> Result<(), TlsError> {
        let files = looks(options);
        let result = load(options, &self.acme, Some(&self.current.load().loaded.config));
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.files = files;
        match result {
            Ok(loaded) => {
                watched.problem = None;
                self.current.store(Arc::new(Current { loaded, options: options.clone() }));
                Ok(())
            }
            Err(error) => {
                watched.problem = Some(crate::error_chain::Chain(&error).to_string());
                Err(error)
            }
        }
    }

    /// Loads again if a file has changed since it was read last. `None`: nothing changed.
    pub fn follow(&self) -> Option<Result<(), TlsError>> {
        let options = self.current.load().options.clone();
        let now = looks(&options);
        let changed = self.watched.lock().unwrap_or_else(PoisonError::into_inner).files != now;
        changed.then(|| self.reload(&options))
    }

    /// What a handshake needs of a listener that speaks HTTP/1.1 alone.
    #[must_use]
    pub fn http1_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.current.load().loaded.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> TlsStanding {
        let problem = self.watched.lock().unwrap_or_else(PoisonError::into_inner).problem.clone();
        let current = self.current.load();
        let hosts = &current.options.acme;
        let acme =
            (!hosts.is_empty()).then(|| (hosts.clone(), AcmeStanding::clone(&self.acme.standing.load())));
        TlsStanding { certificates: current.loaded.shown.clone(), problem, acme }
    }
}

fn challenges(acme: &Arc<AcmeKeys>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Refused(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Challenges(Arc::clone(acme))));
    config.alpn_protocols = vec![ACME_ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn files(options: &TlsOptions) -> impl Iterator<Item = &PathBuf> {
    let own = options.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
    own.chain(&options.client_ca).chain(&options.client_crl)
}

fn looks(options: &TlsOptions) -> Vec<Option<Look>> {
    let look = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
    };
    files(options).map(look).collect()
}
