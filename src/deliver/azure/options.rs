//! What an operator can set about a container.

use crate::egress::Route;
use crate::secret::SecretRef;
use std::time::Duration;

/// A container and what is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureOptions {
    /// Its URL, without query and without a slash at the end.
    pub container: String,
    /// How the gateway proves who it is.
    pub auth: AzureAuth,
    /// The access tier of objects with records; `None`: the account's own.
    pub tier: Option<String>,
    /// An object has arrived after this long (and a second for each 256 KiB), or the attempt
    /// has failed.
    pub put_timeout: Duration,
    /// How it is reached.
    pub route: Route,
}

/// How the gateway proves who it is. Secrets are read again when they have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureAuth {
    /// A shared access signature: its query, or the whole URL.
    Sas(SecretRef),
    /// A key of the account, in Base64.
    Key(SecretRef),
    /// Workload identity, where the environment describes one; else the machine's managed identity.
    Identity {
        /// Which identity, where there are several.
        client_id: Option<String>,
    },
}

impl AzureOptions {
    /// A container by its URL, with the defaults of everything else.
    #[must_use]
    pub fn new(container: &str) -> Self {
        Self {
            container: container.to_owned(),
            auth: AzureAuth::Identity { client_id: None },
            tier: None,
            put_timeout: Duration::from_secs(20),
            route: Route::default(),
        }
    }
}
