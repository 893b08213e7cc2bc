//! A bucket of Amazon S3, or of a store with its API, and the way to it. Those who
//! write there and those who read there make their clients here.

mod client;
mod connector;
mod role;

pub use client::{ConnectError, connect};
pub use role::Role;

use crate::egress::Route;
use crate::secret::SecretRef;

/// A bucket and how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its region; `None`: from the environment or the profile, and `us-east-1` where an endpoint is given.
    pub region: Option<String>,
    /// URL of a store other than Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The profile of the shared configuration files that credentials and region are taken from.
    pub profile: Option<String>,
    /// Credentials; `None`: those of the profile or of the default chain.
    pub keys: Option<AccessKey>,
    /// The role that is taken with those credentials; `None`: they are used themselves.
    pub role: Option<Role>,
    /// How it is reached.
    pub route: Route,
}

/// Where an access key is to be found. It is read whenever a client is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// The access key's id.
    pub id: KeyId,
    /// The secret that belongs to it.
    pub secret: SecretRef,
    /// The token of a temporary key.
    pub session_token: Option<SecretRef>,
}

/// The id of an access key, which is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// Typed into the configuration.
    Plain(String),
    /// Found elsewhere.
    At(SecretRef),
}

impl Bucket {
    /// A bucket with the defaults of everything else.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Where it is, for people: no secrets.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("s3://{} at {endpoint}", self.name),
            None => format!("s3://{}", self.name),
        }
    }
}
