//! What is shown of a destination.

use super::destination::Cause;
use super::state::Phase;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A snapshot of one destination, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: String,
    /// Where it is; no secrets.
    pub place: String,
    /// The region that the store lies in, as the configuration says.
    pub region: Option<String>,
    /// `verifying`, `delivering`, `failing`, `paused`.
    pub state: Phase,
    /// Why the newest attempt failed, while attempts fail.
    pub cause: Option<Cause>,
    /// The store's own words to it.
    pub words: Option<String>,
    /// Unix microseconds since when attempts fail.
    pub since: Option<u64>,
    /// What to do about it.
    pub mend: Option<&'static str>,
    /// Whether the store honours create-only writes; `None` before the probe.
    pub honours_conditions: Option<bool>,
    /// Unix microseconds at which this process began with it.
    pub begun: u64,
    /// Unix microseconds of the newest arrival.
    pub last_success: Option<u64>,
    /// Unix microseconds at which the credentials run out, where they say so.
    pub credentials_expire: Option<u64>,
    /// Unix microseconds at which the oldest waiting batch would be given up.
    pub first_loss: Option<u64>,
    /// Batches in the outbox that have not arrived.
    pub undelivered_batches: u64,
    /// Records in them.
    pub undelivered_records: u64,
    /// Bytes of their objects.
    pub undelivered_bytes: u64,
    /// Age in seconds of the oldest batch that has not arrived; 0 when none waits.
    pub lag_seconds: f64,
    /// Attempts to create an object.
    pub attempts: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Those by their cause.
    pub failures_by_cause: BTreeMap<&'static str, u64>,
    /// Objects that arrived, manifests not counted.
    pub delivered_objects: u64,
    /// Manifests that arrived.
    pub delivered_manifests: u64,
    /// Records in the objects that arrived.
    pub delivered_records: u64,
    /// Bytes of the objects that arrived.
    pub delivered_bytes: u64,
    /// Objects that were given up.
    pub expired_objects: u64,
}

/// Told the whole status when the state is another one.
type OnState = Box<dyn Fn(&DestinationStatus) + Send + Sync>;

/// A status that one task writes and many read.
#[derive(Default)]
pub struct StatusCell {
    status: Mutex<DestinationStatus>,
    on_state: OnceLock<OnState>,
}

impl std::fmt::Debug for StatusCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StatusCell").field(&self.status).finish()
    }
}

impl StatusCell {
    /// Calls this whenever the state has changed, on the thread that changed it; it must not
    /// block. To be set once, before the shipper runs: a second one is not taken.
    pub fn on_state(&self, call: impl Fn(&DestinationStatus) + Send + Sync + 'static) {
        let _ = self.on_state.set(Box::new(call));
    }

    /// The status as it is now.
    #[must_use]
    pub fn snapshot(&self) -> DestinationStatus {
        self.lock().clone()
    }

    /// Says in which region the store lies.
    pub fn set_region(&self, region: Option<&str>) {
        self.change(|status| status.region = region.map(str::to_owned));
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut DestinationStatus)) {
        let mut status = self.lock();
        let before = status.state;
        change(&mut status);
        if status.state != before
            && let Some(call) = self.on_state.get()
        {
            // Without the lock: who is called may look at the status.
            let now = status.clone();
            drop(status);
            call(&now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, DestinationStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
