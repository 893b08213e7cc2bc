//! What an operator can set about one destination.

use super::azure::AzureOptions;
use super::dir::DirOptions;
use super::gcs::GcsOptions;
use super::nats::NatsOptions;
use super::pace::Limits;
use super::s3::S3Options;
use crate::format::FormatOptions;
use crate::pack::{Filter, Schedule};
use std::time::Duration;

/// One destination (`[[destination]]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationOptions {
    /// The destination's name in status, metrics and manifests.
    pub name: String,
    /// Where objects go.
    pub store: Store,
    /// Where the store lies, as a note on data residency.
    pub region: Option<String>,
    /// Put before each object's key; empty, or ends with `/`.
    pub prefix: String,
    /// Log sources that are delivered here; empty: all.
    pub sources: Vec<String>,
    /// Which of their records.
    pub filter: Filter,
    /// Whether the gateway's own records are delivered here, whatever `sources` says.
    pub own_records: bool,
    /// What records look like, and where objects lie.
    pub format: FormatOptions,
    /// A batch closes at this age.
    pub interval: Duration,
    /// Whether batches wait for the end of the day instead.
    pub schedule: Schedule,
    /// A batch closes at this many bytes before compression.
    pub object_bytes: u64,
    /// A manifest is written at least this often while nothing happens.
    pub heartbeat: Duration,
    /// Undelivered objects are given up after this.
    pub retention: Duration,
    /// Stated in manifests: whole days older than this may be absent.
    pub retention_days: Option<u32>,
    /// E-mail addresses of those who are told how it is.
    pub owners: Vec<String>,
    /// At most so many objects are under way at once, each with a buffer of its own.
    pub concurrency: usize,
    /// How fast objects may leave.
    pub limits: Limits,
    /// Whether it is served at all.
    pub enabled: bool,
}

/// The kind of store and its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A directory.
    Dir(DirOptions),
    /// An S3 bucket.
    S3(Box<S3Options>),
    /// A container of Azure Blob Storage.
    Azure(Box<AzureOptions>),
    /// A bucket of Google Cloud Storage.
    Gcs(Box<GcsOptions>),
    /// A stream of NATS JetStream.
    Nats(Box<NatsOptions>),
}

impl DestinationOptions {
    /// A destination with the defaults of everything but its name and place.
    #[must_use]
    pub fn new(name: &str, store: Store) -> Self {
        Self {
            name: name.to_owned(),
            store,
            region: None,
            prefix: String::new(),
            sources: Vec::new(),
            filter: Filter::default(),
            own_records: true,
            format: FormatOptions::default(),
            interval: Duration::from_secs(180),
            schedule: Schedule::default(),
            object_bytes: 64 * 1024 * 1024,
            heartbeat: Duration::from_secs(60),
            retention: Duration::from_secs(72 * 3600),
            retention_days: None,
            owners: Vec::new(),
            concurrency: 4,
            limits: Limits::default(),
            enabled: true,
        }
    }
}
