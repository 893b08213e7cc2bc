//! What can be changed of a shipper while it runs: whether it goes on, when it tries again,
//! and the settings that have no part in what was packed.

use super::destination::Destination;
use super::pace::{Limits, Pace};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What holds from the next attempt on.
#[derive(Clone)]
pub struct ShipSettings {
    /// Where objects go. Another way to the same place, with other credentials for example; a
    /// place of other content would break the manifest chain.
    pub store: Arc<dyn Destination>,
    /// Undelivered objects are given up after this.
    pub retention: Duration,
    /// At most so many objects of one batch are under way at once; at least one.
    pub concurrency: usize,
    /// How fast objects may leave.
    pub limits: Limits,
    /// Counts how often the store was replaced.
    pub(super) way: u64,
}

impl std::fmt::Debug for ShipSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShipSettings")
            .field("store", &self.store.place())
            .field("retention", &self.retention)
            .field("concurrency", &self.concurrency)
            .field("limits", &self.limits)
            .finish()
    }
}

/// The handle on a running shipper. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct ShipperControl {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    paused: watch::Sender<bool>,
    woken: Notify,
    settings: Mutex<ShipSettings>,
    pace: Pace,
}

impl ShipperControl {
    pub(super) fn new(settings: ShipSettings) -> Self {
        let inner = Inner {
            paused: watch::Sender::new(false),
            woken: Notify::new(),
            settings: Mutex::new(settings),
            pace: Pace::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Begins nothing more until resumed; an attempt that is under way ends as it ends.
    pub fn pause(&self) {
        self.inner.paused.send_replace(true);
    }

    /// Goes on, at once.
    pub fn resume(&self) {
        self.inner.paused.send_replace(false);
        self.retry();
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.inner.paused.borrow()
    }

    /// Tries again at once, without waiting for the back-off to end.
    pub fn retry(&self) {
        self.inner.woken.notify_one();
    }

    /// What holds now.
    #[must_use]
    pub fn settings(&self) -> ShipSettings {
        self.lock().clone()
    }

    /// Takes another way to the store: what waits goes there as a whole, from the probe on,
    /// beginning at once. What had arrived of a batch that is under way is sent again, since
    /// it may be another place.
    pub fn replace_store(&self, store: Arc<dyn Destination>) {
        {
            let mut settings = self.lock();
            settings.store = store;
            settings.way += 1;
        }
        self.retry();
    }

    /// Changes the settings. It does not end a back-off; see [`Self::retry`].
    pub fn change(&self, change: impl FnOnce(&mut ShipSettings)) {
        change(&mut self.lock());
    }

    /// What has left so far, and who waits.
    pub(super) fn pace(&self) -> &Pace {
        &self.inner.pace
    }

    /// How fast objects may leave now.
    pub(super) fn limits(&self) -> Limits {
        self.lock().limits
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.inner.paused.subscribe()
    }

    /// Ready when [`Self::retry`] is called, or was called since the last time.
    pub(super) async fn woken(&self) {
        self.inner.woken.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, ShipSettings> {
        self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
