//! Which certificate a client is shown: by the host that it names (SNI).

use crate::server::acme::AcmeStanding;
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// Certificates of one address by host name.
#[derive(Debug)]
pub(super) struct ByName {
    names: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
    acme: Arc<AcmeKeys>,
}

/// What ACME has brought for one address, and what it shows to the authority meanwhile.
#[derive(Debug, Default)]
pub struct AcmeKeys {
    /// The certificate, once there is one.
    pub(crate) issued: ArcSwapOption<CertifiedKey>,
    /// Certificates that answer a challenge (RFC 8737), by host name.
    pub(crate) challenges: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// How it stands.
    pub(crate) standing: ArcSwap<AcmeStanding>,
}

impl ByName {
    /// Certificates with the names that they are for; the first is the default.
    pub(super) fn new(
        certificates: impl IntoIterator<Item = (Vec<String>, Arc<CertifiedKey>)>,
        acme: Arc<AcmeKeys>,
    ) -> Self {
        let mut found = Self { names: HashMap::new(), default: Vec::new(), acme };
        let mut default_names: Option<Vec<String>> = None;
        for (names, key) in certificates {
            // A second one for the same names, with another kind of key, is as good a default.
            if default_names.get_or_insert_with(|| names.clone()) == &names {
                found.default.push(Arc::clone(&key));
            }
            for name in names {
                found.names.entry(name).or_default().push(Arc::clone(&key));
            }
        }
        found
    }

    fn named(&self, host: &str) -> Option<&[Arc<CertifiedKey>]> {
        if let Some(exact) = self.names.get(host) {
            return Some(exact);
        }
        // RFC 6125 §6.4.3: a wildcard stands for one label.
        let (_, rest) = host.split_once('.')?;
        self.names.get(&format!("*.{rest}")).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        let usable = |keys: &[Arc<CertifiedKey>]| {
            let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
            keys.iter().find(fits).or(keys.first()).cloned()
        };
        let named = host.as_deref().and_then(|host| usable(self.named(host)?));
        named.or_else(|| self.acme.issued.load_full()).or_else(|| usable(&self.default))
    }
}

/// Answers the challenges of an authority.
#[derive(Debug)]
pub(super) struct Challenges(pub(super) Arc<AcmeKeys>);

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?.to_ascii_lowercase();
        self.0.challenges.load().get(&host).cloned()
    }
}
