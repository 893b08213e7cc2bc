//! Where each boot's log ends at the moment: what the writer tells the readers.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

/// The end of a boot's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The newest segment.
    pub segment: u64,
    /// Bytes of it that hold whole frames.
    pub length: u64,
    /// Whether the boot will write nothing more.
    pub closed: bool,
}

/// The ends of all boots that this process writes or has recovered. Readers in
/// other threads see complete frames only, and can wait for more.
#[derive(Debug, Default)]
pub struct Tails {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tails: BTreeMap<Uuid, Tail>,
    moves: u64,
}

impl Tails {
    /// The end of this boot's log; `None` for a boot that nobody here writes,
    /// whose files are all there is to know.
    #[must_use]
    pub fn of(&self, boot: Uuid) -> Option<Tail> {
        self.state().tails.get(&boot).copied()
    }

    /// All ends.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Uuid, Tail> {
        self.state().tails.clone()
    }

    /// How often an end has moved: what [`Tails::wait`] is given.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.state().moves
    }

    /// Waits until an end has moved since `seen` moves, at most this long, and
    /// says how many moves there are now.
    #[must_use]
    pub fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let waited = self.moved.wait_timeout_while(self.state(), at_most, |state| state.moves == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.moves
    }

    pub(super) fn publish(&self, boot: Uuid, tail: Tail) {
        let mut state = self.state();
        state.tails.insert(boot, tail);
        state.moves += 1;
        drop(state);
        self.moved.notify_all();
    }

    pub(super) fn forget(&self, boot: Uuid) {
        self.state().tails.remove(&boot);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
