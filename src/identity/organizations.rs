//! Which organization a space belongs to, as an API itself said it.
//!
//! Some APIs name the organization in a few answers only, while records are sorted by it.
//! Read on the request path: one load and one look into a table that never changes; what is
//! learned makes another table, which happens once a space and again while it counts.

use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Spaces that are known at most. One more, and all are learned anew.
const MOST: usize = 4096;
/// The longest id that is kept. An id that is cut is another's.
const MOST_TEXT: usize = 512;

/// Where a space belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Home {
    /// `NS.organization.id`.
    pub organization: Box<[u8]>,
    /// Until when it counts, in Unix microseconds.
    pub not_after: u64,
}

type Table = HashMap<Arc<[u8]>, Arc<Home>>;

/// The spaces of one namespace.
#[derive(Debug)]
pub struct Organizations {
    lasts: u64,
    table: ArcSwap<Table>,
    writing: Mutex<()>,
    changed: Arc<AtomicBool>,
}

impl Organizations {
    /// Nothing yet. `lasts`: how long a fact counts, in microseconds; `changed` becomes true
    /// with each.
    #[must_use]
    pub(super) fn new(lasts: u64, changed: Arc<AtomicBool>) -> Self {
        Self { lasts, table: ArcSwap::default(), writing: Mutex::default(), changed }
    }

    /// Where this space belongs, if that was learned. Neither waits nor allocates.
    #[must_use]
    pub fn of(&self, space: &[u8]) -> Option<Arc<Home>> {
        self.table.load().get(space).cloned()
    }

    /// Notes where a space belongs, at `now` in Unix microseconds.
    pub fn learn(&self, space: &[u8], organization: &[u8], now: u64) {
        let not_after = now.saturating_add(self.lasts);
        let is_known = self.of(space).is_some_and(|home| {
            *home.organization == *organization && not_after.saturating_sub(home.not_after) < self.lasts / 10
        });
        if !is_known {
            self.take_up(space, organization, not_after);
        }
    }

    /// Notes it with its own end.
    pub(super) fn take_up(&self, space: &[u8], organization: &[u8], not_after: u64) {
        let fits = |text: &[u8]| !text.is_empty() && text.len() <= MOST_TEXT;
        if !fits(space) || !fits(organization) {
            return;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        if table.len() >= MOST && !table.contains_key(space) {
            table.clear();
        }
        table.insert(space.into(), Arc::new(Home { organization: organization.into(), not_after }));
        self.table.store(Arc::new(table));
        self.changed.store(true, Ordering::Release);
    }

    /// Forgets what no longer counts at `now`.
    pub(super) fn expire(&self, now: u64) {
        if self.table.load().values().all(|home| home.not_after >= now) {
            return;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        table.retain(|_, home| home.not_after >= now);
        self.table.store(Arc::new(table));
        self.changed.store(true, Ordering::Release);
    }

    /// Everything that is known now.
    pub(super) fn all(&self) -> Arc<Table> {
        self.table.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organizations() -> Organizations {
        Organizations::new(1000, Arc::default())
    }

    fn of(organizations: &Organizations, space: &[u8]) -> Option<Vec<u8>> {
        organizations.of(space).map(|home| home.organization.to_vec())
    }

    #[test]
    fn a_space_belongs_where_it_was_said_last_until_that_expires() {
        let organizations = organizations();
        assert_eq!(of(&organizations, b"s"), None);
        organizations.learn(b"s", b"one", 0);
        organizations.learn(b"s", b"two", 10);
        assert_eq!(of(&organizations, b"s"), Some(b"two".to_vec()));
        organizations.expire(1010);
        assert!(of(&organizations, b"s").is_some());
        organizations.expire(1011);
        assert_eq!(of(&organizations, b"s"), None);
    }

    #[test]
    fn what_is_said_again_is_written_only_when_it_would_soon_expire() {
        let organizations = organizations();
        organizations.learn(b"s", b"o", 0);
        let took = || organizations.changed.swap(false, Ordering::AcqRel);
        assert!(took());
        organizations.learn(b"s", b"o", 99);
        assert!(!took());
        organizations.learn(b"s", b"o", 100);
        assert!(took());
        organizations.learn(b"s", &[b'x'; MOST_TEXT + 1], 500);
        organizations.learn(b"", b"o", 500);
        assert!(!took(), "an id that is no id");
    }

    #[test]
    fn a_flood_of_spaces_takes_bounded_memory() {
        let organizations = organizations();
        for space in 0..MOST as u64 + 2 {
            organizations.learn(&space.to_be_bytes(), b"o", 0);
            assert!(organizations.all().len() <= MOST);
        }
        assert!(organizations.of(&(MOST as u64 + 1).to_be_bytes()).is_some());
    }
}
