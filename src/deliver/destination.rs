//! What a store must be able to do, and why it may refuse.

use crate::record::field::closed_list;
use serde::{Serialize, Serializer};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// A future behind a pointer, so that destinations of all kinds share one type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Records.
    Records,
    /// A manifest.
    Manifest,
    /// A probe.
    Probe,
    /// The public key that manifests are checked with.
    PublicKey,
}

/// Where an object's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// In a file, which does not change.
    File(&'a Path),
    /// Here.
    Bytes(&'a [u8]),
}

/// An object to be created.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its key: segments joined by `/`.
    pub key: &'a str,
    /// Its bytes.
    pub body: Body<'a>,
    /// Number of bytes.
    pub length: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// What it is.
    pub kind: ObjectKind,
}

/// How a creation went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is there now.
    Created,
    /// The key was there before; nothing was changed.
    AlreadyThere,
}

closed_list! {
    /// Why a store does not take objects.
    Cause {
        /// The credentials are wrong or missing.
        Credentials = 1 => "credentials",
        /// The credentials are right and not allowed to write here.
        Permission = 2 => "permission",
        /// Bucket, container or directory does not exist.
        NotFound = 3 => "not_found",
        /// The bucket lies in another region.
        WrongRegion = 4 => "wrong_region",
        /// A policy of the store forbids this write.
        Policy = 5 => "policy",
        /// The credentials have run out.
        ExpiredToken = 6 => "expired_token",
        /// This machine's clock and the store's are too far apart.
        ClockSkew = 7 => "clock_skew",
        /// The store can't be reached.
        Network = 8 => "network",
        /// No trusted connection to the store can be made.
        Tls = 9 => "tls",
        /// The store asks for fewer requests.
        Throttled = 10 => "throttled",
        /// The store or its disk fails.
        ServerError = 11 => "server_error",
        /// There is no room left.
        Quota = 12 => "quota",
        /// The store replaces objects although it was asked not to.
        IgnoresConditions = 13 => "ignores_conditions",
    }
}

impl Cause {
    /// What to do about it, in one sentence.
    #[must_use]
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Credentials => {
                "Check the destination's key, token or role (its trust and external id); they are read again at each attempt."
            }
            Self::Permission => "Allow this identity or user to create objects at the destination.",
            Self::NotFound => "Create the bucket, container, directory or stream, or correct its name.",
            Self::WrongRegion => "Set the destination's region to the one that the bucket lies in.",
            Self::Policy => {
                "Change the store's policy or locks, or the destination's settings, so that this write is allowed."
            }
            Self::ExpiredToken => "Renew the token or session; it is read again at each attempt.",
            Self::ClockSkew => "Set this machine's clock, and keep it set by NTP.",
            Self::Network => {
                "Check name resolution, routes, proxies and firewalls between here and the store."
            }
            Self::Tls => "Check the store's certificate and the trusted authorities of this machine.",
            Self::Throttled => "Nothing, if it passes; else raise the store's limits or the batch interval.",
            Self::ServerError => {
                "Look at the store's own state or disk; delivery goes on by itself once it answers."
            }
            Self::Quota => "Make room at the destination, or raise its quota.",
            Self::IgnoresConditions => {
                "Use a store that honours create-only writes; until then a second writer could replace objects."
            }
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// When to try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// As usual.
    #[default]
    BackOff,
    /// Not before this long: the store said so.
    After(Duration),
    /// At once: a conflict with a write of the same key.
    Now,
    /// The bytes themselves can't be read back as they were packed.
    GiveUp,
}

/// Why an object was not created.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {words}", cause.as_str())]
pub struct PutError {
    /// The closed cause.
    pub cause: Cause,
    /// The store's own words.
    pub words: String,
    /// When to try again.
    pub advice: Advice,
}

impl PutError {
    /// An error that is tried again as usual.
    #[must_use]
    pub fn new(cause: Cause, words: impl Into<String>) -> Self {
        Self { cause, words: words.into(), advice: Advice::BackOff }
    }
}

/// A store that objects are created in. It is never read and never listed.
pub trait Destination: Send + Sync {
    /// Creates an object unless its key is taken. The object appears whole or
    /// not at all, and is on stable storage when this returns.
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>>;

    /// Where it is, for people: no secrets.
    fn place(&self) -> String;

    /// What it means when an attempt has no answer at all.
    fn silence(&self) -> Cause {
        Cause::Network
    }

    /// When the credentials used last run out, in Unix microseconds; `None`: not known, or never.
    fn credentials_expire(&self) -> Option<u64> {
        None
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// False where the store replaced an object although it was asked not to.
    pub honours_conditions: bool,
}

/// Finds out whether a store can be written to and honours create-only writes:
/// creates `{prefix}_onrecord/probe-{boot}`, then again with other bytes.
///
/// # Errors
/// What the store answers to the first write that fails.
pub async fn probe(store: &dyn Destination, prefix: &str, boot: Uuid) -> Result<ProbeReport, PutError> {
    let key = format!("{prefix}_onrecord/probe-{boot}");
    let mut last = Created::Created;
    for bytes in [&b"Onrecord looks whether it can write here.\n"[..], b"And that nothing is replaced.\n"] {
        let object = Object {
            key: &key,
            body: Body::Bytes(bytes),
            length: bytes.len() as u64,
            sha256: crate::evidence::merkle::sha256(bytes),
            kind: ObjectKind::Probe,
        };
        last = store.create(object).await?;
    }
    Ok(ProbeReport { honours_conditions: last == Created::AlreadyThere })
}

/// Creates `{prefix}_onrecord/key-{id}.pub`, so that a reader finds the key that
/// manifests are checked with. `text` is the key as `name+id+base64`.
///
/// # Errors
/// What the store answers.
pub(super) async fn publish_key(
    store: &dyn Destination,
    prefix: &str,
    text: &str,
) -> Result<Created, PutError> {
    let id = text.split('+').nth(1).unwrap_or_default();
    let bytes = format!("{text}\n").into_bytes();
    let object = Object {
        key: &format!("{prefix}_onrecord/key-{id}.pub"),
        body: Body::Bytes(&bytes),
        length: bytes.len() as u64,
        sha256: crate::evidence::merkle::sha256(&bytes),
        kind: ObjectKind::PublicKey,
    };
    store.create(object).await
}
