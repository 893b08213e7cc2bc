//! Lets go of segments that every destination has passed, and of the oldest ones when the
//! spool has reached its bound.
//!
//! Nothing has to be written down for a released segment: the next mark says which
//! sequences were accounted for, and a destination that has not seen them declares them, if
//! the mark names it as one that the boot began with.

use crate::error_chain::Chain;
use crate::spool::retention::plan;
use crate::spool::{Cursor, Spool, WhenFull};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Cursors by boot.
type Cursors = BTreeMap<Uuid, Cursor>;

/// How far every destination's newest manifest is. Destinations move it, retention reads it.
#[derive(Debug, Default)]
pub struct Progress {
    destinations: Mutex<BTreeMap<String, Cursors>>,
}

impl Progress {
    /// Nobody has read anything; these destinations will.
    #[must_use]
    pub fn new<'a>(destinations: impl IntoIterator<Item = &'a str>) -> Arc<Self> {
        let destinations = destinations.into_iter().map(|name| (name.to_owned(), Cursors::new())).collect();
        Arc::new(Self { destinations: Mutex::new(destinations) })
    }

    /// The names of the destinations, sorted.
    pub(super) fn destinations(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// A destination's newest manifest has passed these.
    pub fn advance(&self, destination: &str, cursors: impl IntoIterator<Item = Cursor>) {
        // One that was taken away meanwhile does not come back by its last word.
        if let Some(known) = self.lock().get_mut(destination) {
            *known = cursors.into_iter().map(|cursor| (cursor.boot, cursor)).collect();
        }
    }

    /// A further destination will read, from the oldest that is there on.
    pub fn add(&self, destination: &str) {
        self.lock().entry(destination.to_owned()).or_default();
    }

    /// A destination reads no more: nothing is kept for it.
    pub fn remove(&self, destination: &str) {
        self.lock().remove(destination);
    }

    fn all(&self) -> Vec<Cursors> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Cursors>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the spool holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) segments: u64,
    /// Unix microseconds at which the oldest segment was begun.
    pub(super) oldest: Option<u64>,
}

/// Removes segments.
#[derive(Debug)]
pub(super) struct Retention {
    spool: Arc<Spool>,
    progress: Arc<Progress>,
    when_full: WhenFull,
    held: Held,
}

impl Retention {
    pub(super) fn new(spool: Arc<Spool>, progress: Arc<Progress>, when_full: WhenFull) -> Self {
        Self { spool, progress, when_full, held: Held::default() }
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn bound(&self) -> u64 {
        self.spool.bound()
    }

    /// Removes what can go and what must. A failure is told and tried again at the next turn.
    /// Returns whether the spool is at its bound all the same.
    pub(super) fn run(&mut self) -> bool {
        let segments = match self.spool.segments() {
            Ok(segments) => segments,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cannot look through the spool");
                return false;
            }
        };
        let tails = self.spool.tails().all();
        let mut plan = plan(&segments, &tails, &self.progress.all(), self.spool.bound());
        if self.when_full == WhenFull::RefuseNew {
            plan.release.clear();
        }
        // The last segment of a boot holds its last mark, which says what the others held.
        plan.release.retain(|id| tails.get(&id.boot).is_some_and(|tail| id.number < tail.segment));
        for id in &plan.release {
            tracing::error!(
                boot = %id.boot,
                segment = id.number,
                "the spool has reached its bound: its oldest segment is released before every destination has it"
            );
        }
        for &id in plan.passed.iter().chain(&plan.release) {
            if let Err(error) = self.spool.remove_segment(id) {
                tracing::warn!(error = %Chain(&error), "cannot let go of a segment");
            }
        }
        for &boot in &plan.boots {
            if let Err(error) = self.spool.remove_boot(boot) {
                tracing::warn!(error = %Chain(&error), "cannot let go of a boot");
            }
        }
        let gone = |id| plan.passed.contains(id) || plan.release.contains(id);
        let left: Vec<_> = segments.iter().filter(|segment| !gone(&segment.id)).collect();
        let oldest = left.iter().min_by_key(|segment| segment.id);
        self.held = Held {
            bytes: left.iter().map(|segment| segment.bytes).sum(),
            segments: left.len() as u64,
            oldest: oldest.and_then(|segment| self.spool.created(segment.id)),
        };
        self.held.bytes >= self.spool.bound()
    }
}
