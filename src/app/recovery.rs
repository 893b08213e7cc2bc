//! Takes up what other boots left: once at the start, and again whenever a process that
//! shares this spool has ended since, as a predecessor does after an upgrade.

use super::{own, rings};
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::recorder;
use crate::spool::Spool;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use uuid::Uuid;

/// Between two looks for processes that have ended.
const LOOK: Duration = Duration::from_secs(2);

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
            for boot in self.spool.leftovers() {
                self.recover(boot);
            }
            recovered();
            while !told.load(Ordering::Acquire) {
                std::thread::park_timeout(LOOK);
                match self.spool.adopt() {
                    Ok(boots) => boots.into_iter().for_each(|boot| self.recover(boot)),
                    Err(error) => tracing::warn!(error = %Chain(&error), "cannot look for boots that ended"),
                }
            }
        })?;
        Ok(Handle { thread, stop })
    }

    fn recover(&self, boot: Uuid) {
        let rings = rings::place_of(&self.spool, boot, &self.rings_dir);
        match recorder::recover(&self.spool, boot, &rings, &Clock::System) {
            Ok(found) if found.was_closed => {}
            Ok(found) => {
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
            Err(error) => {
                self.journal.note(Actor::GATEWAY, &Event::RecoveryFailed { boot });
                tracing::error!(
                    %boot,
                    error = %Chain(&error),
                    "an earlier boot could not be recovered; the next start tries again"
                );
            }
        }
    }
}
