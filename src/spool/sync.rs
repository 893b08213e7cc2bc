//! One fsync of a segment, cut out of the writer so that it can block on a thread of its own.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::fs::File;

/// An fsync that is still to be run. One that is dropped leaves its writer waiting for it.
#[derive(Debug)]
#[must_use]
pub struct SyncJob {
    file: Arc<dyn File>,
    segment: u64,
    bytes: Range<u64>,
}

/// How an fsync ended; for [`super::SegmentWriter::end_sync`].
#[derive(Debug)]
#[must_use]
pub struct SyncDone {
    pub(super) segment: u64,
    /// What was appended since the last fsync that worked, when this one was begun.
    pub(super) bytes: Range<u64>,
    pub(super) result: io::Result<()>,
}

impl SyncJob {
    pub(super) fn new(file: Arc<dyn File>, segment: u64, bytes: Range<u64>) -> Self {
        Self { file, segment, bytes }
    }

    /// Runs it on this thread, for as long as the disk takes.
    pub fn run(self) -> SyncDone {
        SyncDone { segment: self.segment, bytes: self.bytes, result: self.file.sync_data() }
    }
}
