//! What the packer of one destination is told.

use super::{Filter, Schedule};
use crate::format::FormatOptions;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of one destination's packer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// The destination's name.
    pub destination: String,
    /// The operator's name of this machine.
    pub instance: String,
    /// The life of this process.
    pub boot: uuid::Uuid,
    /// The spool's directory; outboxes and quarantine lie in it.
    pub spool: PathBuf,
    /// Put before each object's key; empty, or ends with `/`.
    pub prefix: String,
    /// Log sources that are delivered; empty: all.
    pub sources: Vec<String>,
    /// Which of their records.
    pub filter: Filter,
    /// Whether the gateway's own records are delivered, whatever `sources` says.
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
    /// Stated in manifests: whole days older than this may be absent.
    pub retention_days: Option<u32>,
    /// gzip level, 1 to 9.
    pub level: u32,
    /// The signer's name in manifests.
    pub signer: String,
}
