//! A worker's own counters.

use crate::http1::Fault;
use crate::record::ErrorType;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owning thread may call this: it is a load and a store.
    #[inline]
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Takes away. Only the owning thread may call this.
    #[inline]
    pub fn subtract(&self, by: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(by), Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the duration buckets, in microseconds.
pub(super) const BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];

/// A histogram of durations that one thread writes.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS.len() + 1],
    sum: Counter,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn observe(&self, microseconds: u64) {
        let bucket = BUCKETS.partition_point(|&bound| bound < microseconds);
        self.buckets[bucket].add(1);
        self.sum.add(microseconds);
    }

    /// Adds this histogram to sums: counts by bucket, and microseconds.
    pub fn add_to(&self, buckets: &mut [u64; BUCKETS.len() + 1], sum: &mut u64) {
        for (total, bucket) in buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        *sum += self.sum.get();
    }
}

/// Classes of a status code: `none`, `1xx` … `5xx`.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// One source's counters in one lane.
#[derive(Debug)]
pub struct SourceStats {
    /// A row a labelled combination of route and method (see [`super::SourceLabels`]).
    requests: Box<[[Counter; CLASSES.len()]]>,
    /// Time from request head to the end of the exchange.
    pub duration: Histogram,
    /// Time to the upstream's response head.
    pub upstream_duration: Histogram,
    /// Exchanges that are open.
    pub in_flight: Counter,
    /// Waits for the disk.
    pub commits: CommitStats,
}

/// How the waits for the disk ended, of records and of intents.
#[derive(Debug, Default)]
pub struct CommitStats {
    /// Time of those that ended well.
    pub wait: Histogram,
    /// It was on disk.
    pub on_disk: Counter,
    /// The wait took too long.
    pub timeout: Counter,
    /// The ring had no room for it, or the disk has lost it.
    pub lost: Counter,
    /// Strict requests that were refused.
    pub refused: Counter,
}

impl SourceStats {
    /// Counters for this many rows.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self {
            requests: (0..rows).map(|_| Default::default()).collect(),
            duration: Histogram::default(),
            upstream_duration: Histogram::default(),
            in_flight: Counter::default(),
            commits: CommitStats::default(),
        }
    }

    /// Counts a finished exchange. A row that does not exist is not counted.
    #[inline]
    pub fn count(&self, row: usize, status: u16) {
        let class = usize::from(status / 100);
        if let Some(row) = self.requests.get(row) {
            row[if class < CLASSES.len() { class } else { 0 }].add(1);
        }
    }

    /// The row's counts by class.
    pub(super) fn row(&self, row: usize) -> Option<&[Counter; CLASSES.len()]> {
        self.requests.get(row)
    }
}

/// One worker's counters.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// Open client connections.
    pub connections: Counter,
    /// Client connections accepted.
    pub accepted: Counter,
    /// Exchanges whose record is in the ring.
    pub captured: Counter,
    /// Exchanges that are open.
    pub in_flight: Counter,
    /// Connections to upstreams made.
    pub upstream_connections: Counter,
    /// Requests sent again after a stale connection.
    pub upstream_retries: Counter,
    /// Requests that wait for the disk now.
    pub commit_waiters: Counter,
    /// Requests that were refused for their form, by what was wrong with it.
    pub request_faults: FaultCounters,
    /// Requests that were refused for anything else.
    pub refusals: RefusalCounters,
    /// Responses of upstreams that were refused for their form.
    pub response_faults: FaultCounters,
}

/// One counter a fault.
#[derive(Debug)]
pub struct FaultCounters([Counter; Fault::ALL.len()]);

impl FaultCounters {
    /// Counts one.
    pub fn add(&self, fault: Fault) {
        self.0[fault.index()].add(1);
    }

    pub(crate) fn get(&self, fault: Fault) -> u64 {
        self.0[fault.index()].get()
    }
}

impl Default for FaultCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// Why a request is refused that is well formed, as `error.type` on record.
pub(super) const REFUSALS: [ErrorType; 8] = [
    ErrorType::ClientTimeout,
    ErrorType::Malformed,
    ErrorType::NoSource,
    ErrorType::NotRecordable,
    ErrorType::OddPath,
    ErrorType::Overload,
    ErrorType::TooLarge,
    ErrorType::Unsupported,
];

/// One counter a reason of those.
#[derive(Debug, Default)]
pub struct RefusalCounters([Counter; REFUSALS.len()]);

impl RefusalCounters {
    /// Counts one, if it is a reason to refuse.
    pub fn add(&self, error: ErrorType) {
        if let Some(index) = REFUSALS.iter().position(|&known| known == error) {
            self.0[index].add(1);
        }
    }

    pub(super) fn get(&self, index: usize) -> u64 {
        self.0[index].get()
    }
}
