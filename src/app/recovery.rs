//! Takes up what other boots left: once at the start, and again whenever a process that
//! shares this spool has ended since, as a predecessor does after an upgrade.

use super::{own, rings};
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::recorder::{self, RecoverBootError};
use crate::spool::Spool;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between two looks for processes that have ended.
const LOOK: Duration = Duration::from_secs(2);
/// From the first failure of a recovery to the next attempt; doubled with each one after it.
const AGAIN: Duration = Duration::from_secs(4);
/// The longest wait between two attempts.
const AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// What recovery needs.
pub(super) struct Recovery {
    pub(super) spool: Arc<Spool>,
    /// Where rings lie unless a boot says otherwise.
    pub(super) rings_dir: PathBuf,
    pub(super) metrics: Families,
    pub(super) journal: Journal,
}

/// A running recovery.
#[derive(Debug)]
pub(super) struct Handle {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Handle {
    /// Ends it, when what it is at is done.
    pub(super) fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("recovery panicked; the next start tries again");
        }
    }
}

impl Recovery {
    /// Recovers on a thread of its own, calls `recovered` after the first round, and goes on
    /// looking.
    pub(super) fn start(self, recovered: impl FnOnce() + Send + 'static) -> io::Result<Handle> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("recovery".into()).spawn(move || {
            let mut failed = Vec::new();
            failed.extend(self.spool.leftovers().into_iter().filter_map(|boot| self.attempt(boot)));
            recovered();
            while !told.load(Ordering::Acquire) {
                std::thread::park_timeout(LOOK);
                match self.spool.adopt() {
                    Ok(boots) => failed.extend(boots.into_iter().filter_map(|boot| self.attempt(boot))),
                    Err(error) => tracing::warn!(error = %Chain(&error), "cannot look for boots that ended"),
                }
                let now = Instant::now();
                failed.retain_mut(|failure| now < failure.next || !self.attempt_again(failure));
            }
        })?;
        Ok(Handle { thread, stop })
    }

    /// Recovers a boot; what has to be tried again otherwise. A disk that is full or can't be
    /// read now may be well in a minute, and nobody should have to restart the gateway for it.
    fn attempt(&self, boot: Uuid) -> Option<Failure> {
        let error = self.recover(boot).err()?;
        self.journal.note(Actor::GATEWAY, &Event::RecoveryFailed { boot });
        tracing::error!(
            %boot,
            error = %Chain(&error),
            "an earlier boot could not be recovered; this is tried again"
        );
        Some(Failure { boot, wait: AGAIN, next: Instant::now() + AGAIN })
    }

    /// Whether it went well this time.
    fn attempt_again(&self, failure: &mut Failure) -> bool {
        let Err(error) = self.recover(failure.boot) else { return true };
        failure.wait = (failure.wait * 2).min(AGAIN_AT_MOST);
        failure.next = Instant::now() + failure.wait;
        tracing::warn!(
            boot = %failure.boot,
            error = %Chain(&error),
            next_attempt_seconds = failure.wait.as_secs(),
            "an earlier boot can still not be recovered"
        );
        false
    }

    fn recover(&self, boot: Uuid) -> Result<(), RecoverBootError> {
        let rings = rings::place_of(&self.spool, boot, &self.rings_dir);
        let found = recorder::recover(&self.spool, boot, &rings, &Clock::System)?;
        if !found.was_closed {
            own::note_recovery(&self.journal, &self.metrics, boot, &found);
            tracing::info!(
                %boot,
                from_rings = found.from_rings,
                unknown = found.unknown,
                declared = found.declared,
                exact = found.exact,
                "an earlier boot that did not end cleanly was recovered"
            );
        }
        Ok(())
    }
}

/// A boot that could not be recovered yet.
struct Failure {
    boot: Uuid,
    wait: Duration,
    next: Instant,
}
