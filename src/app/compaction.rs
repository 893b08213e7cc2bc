//! Compresses segments that wait for a destination which is away, on a thread of its own.

use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::metrics::Families;
use crate::spool::{Compactor, Spool};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks for segments that wait, and after a failure, at most.
const LOOK: Duration = Duration::from_secs(10);
/// Far behind the workers and the packers: nothing waits for it.
const NICE: i32 = 19;

/// The running thread.
#[derive(Debug)]
pub(super) struct Handle {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Handle {
    /// Ends it within one block; the segment that it is at stays as it was.
    pub(super) fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread that compresses segments panicked; the segments are as they were");
        }
    }
}

/// Starts the thread.
pub(super) fn start(spool: &Arc<Spool>, metrics: &Families) -> io::Result<Handle> {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, spool, metrics) = (Arc::clone(&stop), Arc::clone(spool), metrics.clone());
    let thread = std::thread::Builder::new().name("compaction".into()).spawn(move || {
        let _ = rustix::process::nice(NICE);
        let mut compactor = Compactor::new(spool.compress_after());
        let look = spool.compress_after().min(LOOK);
        let bytes = |size| metrics.spool_compressed_bytes.with_label_values(&[size]);
        let (before, after) = (bytes("before"), bytes("after"));
        while !told.load(Ordering::Acquire) {
            match compactor.step(&spool, Clock::System.unix_microseconds(), &told) {
                Ok(Some(done)) => {
                    before.inc_by(done.before);
                    after.inc_by(done.after);
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(
                    error = %Chain(&error),
                    "a segment that waits could not be compressed; this is tried again"
                ),
            }
            std::thread::park_timeout(look);
        }
    })?;
    Ok(Handle { thread, stop })
}
