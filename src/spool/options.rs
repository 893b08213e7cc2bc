//! What an operator can set about the spool.

use std::path::PathBuf;
use std::time::Duration;

/// The spool's settings (`[spool]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where segments, outboxes and keys lie.
    pub dir: PathBuf,
    /// Upper bound of all segments together, in bytes. `None`: half of the free
    /// space at the first start, at most 10 GiB.
    pub bytes: Option<u64>,
    /// What happens when the bound is reached.
    pub when_full: WhenFull,
    /// A segment is sealed at this many bytes.
    pub segment_bytes: u64,
    /// A segment is sealed at this age.
    pub segment_age: Duration,
    /// How long written frames may wait for `fdatasync`.
    pub sync_interval: Duration,
    /// A segment that waits for longer than this after it was sealed is compressed.
    pub compress_after: Duration,
}

/// What happens when the spool reaches its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest segment is released and becomes a gap for whom it is missing.
    #[default]
    ReleaseOldest,
    /// Requests of the sources are refused with 503 until there is room.
    RefuseNew,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("onrecord-spool"),
            bytes: None,
            when_full: WhenFull::default(),
            segment_bytes: 64 * 1024 * 1024,
            segment_age: Duration::from_secs(300),
            sync_interval: Duration::from_millis(1000),
            compress_after: Duration::from_secs(600),
        }
    }
}
