//! What an operator can set about a bucket.

use crate::bucket::Bucket;
use std::time::Duration;

/// A bucket and what is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// The bucket.
    pub bucket: Bucket,
    /// Storage class of objects with records; `None`: the bucket's own.
    pub storage_class: Option<String>,
    /// How the store encrypts what is put there; `None`: as the bucket's own rule says.
    pub encryption: Option<Encryption>,
    /// Tags of each object: names and values.
    pub tags: Vec<(String, String)>,
    /// How long the store shall keep everybody from deleting or replacing what is put there;
    /// `None`: as the bucket's own rule says.
    pub object_lock: Option<ObjectLock>,
    /// Objects above this many bytes go in parts.
    pub multipart_bytes: u64,
    /// An object or part has arrived after this long, or the attempt has failed.
    pub put_timeout: Duration,
}

/// Encryption at the store's side, as asked for with each object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// By keys of the store itself (SSE-S3).
    Store,
    /// By a key of the key management service (SSE-KMS).
    Kms {
        /// Its id, alias or ARN; `None`: the account's own key for S3.
        key: Option<String>,
    },
}

/// S3 Object Lock, as asked for with each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// Days from the put on, 1 to 36,500.
    pub days: u32,
}

/// Who may lift a lock before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Who has a right of its own to.
    Governance,
    /// Nobody, the account's owner included.
    Compliance,
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
            bucket: Bucket::new(bucket),
            storage_class: None,
            encryption: None,
            tags: Vec::new(),
            object_lock: None,
            multipart_bytes: Self::MULTIPART_BYTES,
            put_timeout: Self::PUT_TIMEOUT,
        }
    }
}
