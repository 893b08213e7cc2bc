//! What an operator can set about a bucket.

use crate::secret::SecretRef;
use std::time::Duration;

/// A bucket and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// Its region; `None`: from the environment or the profile, and `us-east-1` where an endpoint is given.
    pub region: Option<String>,
    /// URL of a store other than Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The profile of the shared configuration files that credentials and region are taken from.
    pub profile: Option<String>,
    /// Credentials; `None`: those of the profile or of the default chain.
    pub keys: Option<S3Keys>,
    /// Storage class of objects with records; `None`: the bucket's own.
    pub storage_class: Option<String>,
    /// Objects above this many bytes go in parts.
    pub multipart_bytes: u64,
    /// An object or part has arrived after this long, or the attempt has failed.
    pub put_timeout: Duration,
}

/// Where an access key is to be found. It is read when it is first needed, and again after a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Keys {
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

impl S3Options {
    /// Objects above this go in parts, unless it is set otherwise.
    pub const MULTIPART_BYTES: u64 = 64 * 1024 * 1024;
    /// The deadline of a put, unless it is set otherwise.
    pub const PUT_TIMEOUT: Duration = Duration::from_secs(20);

    /// A bucket with the defaults of everything else.
    #[must_use]
    pub fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            region: None,
            endpoint: None,
            path_style: false,
            profile: None,
            keys: None,
            storage_class: None,
            multipart_bytes: Self::MULTIPART_BYTES,
            put_timeout: Self::PUT_TIMEOUT,
        }
    }
}
