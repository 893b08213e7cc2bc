//! The recorder: one thread that moves what the lanes captured from their rings into the
//! spool.
//!
//! It looks at every ring fifty times a second (more often when one fills), copies runs of frames into the open
//! segment as they stand, and gives the room back to the worker; no worker ever wakes it or
//! waits for it, but for one whose request may not go on before its record is on disk. It
//! writes down where the lanes stand (a [`Mark`](crate::record::Mark) at the head of each
//! segment and about once a second), finds what was lost by the ring's own protocol and
//! declares it, rotates segments, and lets go of segments that every destination has passed.
//!
//! Fsyncs run on a thread of their own ([`Syncer`]), one at a time: on an interval, and as
//! soon as somebody waits. What is appended while one runs shares the next (group commit).
//! While one hangs, draining and appending go on, and no segment is sealed.
//!
//! When the disk is full or fails, the rings hold what comes until they are full too; from
//! there on losses are counted by the rings and declared when writing goes on.
//!
//! [`start`] gives it a thread; a test or a simulation makes a [`Recorder`] with
//! [`Syncer::inline`] or [`Syncer::by_hand`] and calls [`Recorder::turn`] itself.

mod lane;
mod own;
mod recover;
mod reserve;
mod retention;
mod syncer;
#[cfg(test)]
mod tests;
mod turn;

pub use recover::{RecoverBootError, Recovered, recover};
pub use retention::Progress;
pub use syncer::Syncer;
pub use turn::Recorder;

use crate::capture::commit::Commits;
use crate::capture::ring::RingReader;
use crate::clock::Clock;
use crate::inspect::Outbox;
use crate::journal::Journal;
use crate::metrics::Families;
use crate::spool::{Spool, WhenFull};
use serde::Serialize;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Version of the JSON form of gaps and marks in frames.
const ENTRY_VERSION: u8 = 1;
/// Where one lane stands, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// The lane.
    pub lane: u16,
    /// Sequences given out.
    pub taken: u64,
    /// Exchanges that are open.
    pub open: u64,
    /// Records in the spool or packed since this boot began.
    pub recorded: u64,
    /// Sequences declared lost.
    pub declared: u64,
    /// Records that are closed and still in the ring, or just being written.
    pub in_ring: u64,
    /// Sequences up to here are reserved on disk: what power loss takes is among them.
    pub reserved: u64,
}

/// What the recorder tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecorderStatus {
    /// Every lane of a worker.
    pub lanes: Vec<LaneStatus>,
    /// The lane of the gateway's own records, if it has one.
    pub own: Option<LaneStatus>,
    /// Monotonic time of this account. One that is old tells of a disk that hangs.
    #[serde(skip)]
    pub told: Duration,
    /// The last failure to write, until writing works again.
    pub trouble: Option<String>,
    /// How long the fsync that runs has been running.
    #[serde(skip)]
    pub syncing: Option<Duration>,
    /// Bytes of all segments.
    pub spool_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Unix microseconds at which the oldest segment was begun.
    pub oldest_segment: Option<u64>,
    /// The bound of the spool.
    pub spool_bound: u64,
}

/// The recorder's end of one lane.
#[derive(Debug)]
pub struct LaneEnd {
    /// The lane.
    pub number: u16,
    /// Its ring.
    pub ring: RingReader,
    /// Who waits for what of it to be on disk.
    pub commits: Arc<Commits>,
}

/// The recorder's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long written frames may wait for the disk.
    pub sync_interval: Duration,
    /// The time.
    pub clock: Clock,
    /// What happens at the spool's bound.
    pub when_full: WhenFull,
    /// True while new requests are to be refused (`when_full = "refuse_new"`).
    pub refusing: Arc<AtomicBool>,
    /// How far every destination is.
    pub progress: Arc<Progress>,
    /// Where it counts.
    pub metrics: Families,
    /// What is found out about records after they were closed.
    pub supplements: Outbox,
    /// Where it tells what belongs on the record. It closes it at its end.
    pub journal: Journal,
}

/// A running recorder.
#[derive(Debug)]
pub struct Handle {
    thread: Option<JoinHandle<bool>>,
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<RecorderStatus>>,
}

impl Handle {
    /// What the recorder says of itself.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shared status, for those who outlive a borrow.
    #[must_use]
    pub fn shared_status(&self) -> Arc<Mutex<RecorderStatus>> {
        Arc::clone(&self.status)
    }

    /// Drains the rings a last time, writes the boot's last word and ends. To be called when no worker runs
    /// any more. Blocks until the disk has taken it, or the recorder gave up on it; whether
    /// the log is complete, so that the rings are of no more use.
    #[must_use]
    pub fn finish(mut self) -> bool {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            return thread.join().unwrap_or_else(|_| {
                tracing::error!("the recorder panicked; what it left is recovered at the next start");
                false
            });
        }
        false
    }
}

/// Begins the boot's log and starts the recorder's threads.
///
/// # Errors
/// When the first segment can't be written or there is no thread to be had.
pub fn start(spool: Arc<Spool>, lanes: Vec<LaneEnd>, settings: Settings) -> io::Result<Handle> {
    let signal = lanes.first().map(|lane| Arc::clone(lane.commits.signal())).unwrap_or_default();
    let stop = Arc::new(AtomicBool::new(false));
    let syncer = Syncer::thread(Arc::clone(&signal))?;
    let recorder = Recorder::begin(spool, lanes, settings, syncer).map_err(io::Error::other)?;
    let status = recorder.shared_status();
    let told = Arc::clone(&stop);
    let thread =
        std::thread::Builder::new().name("recorder".into()).spawn(move || recorder.run(&signal, &told))?;
    Ok(Handle { thread: Some(thread), stop, status })
}
