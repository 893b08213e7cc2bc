//! What an operator can set about a bucket of Google's.

use crate::egress::Route;
use crate::secret::SecretRef;
use std::time::Duration;

/// A bucket and what is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcsOptions {
    /// Its name.
    pub bucket: String,
    /// URL of another server with this interface; `None`: Google's. Over plain HTTP, and
    /// without `credentials`, no token is sent.
    pub endpoint: Option<String>,
    /// The JSON file of a service account, of a workload identity federation or of a user;
    /// `None`: the one that `GOOGLE_APPLICATION_CREDENTIALS` names, else the machine's identity.
    pub credentials: Option<SecretRef>,
    /// Storage class of objects with records; `None`: the bucket's own.
    pub storage_class: Option<String>,
    /// An object has arrived after this long (and a second for each 256 KiB), or the attempt
    /// has failed.
    pub put_timeout: Duration,
    /// How it is reached.
    pub route: Route,
}

impl GcsOptions {
    /// A bucket with the defaults of everything else.
    #[must_use]
    pub fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            endpoint: None,
            credentials: None,
            storage_class: None,
            put_timeout: Duration::from_secs(20),
            route: Route::default(),
        }
    }
}
