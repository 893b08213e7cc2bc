//! The recorder: one thread that moves what the lanes captured from their rings into the
//! spool.
//!
//! It looks at every ring some hundred times a second, copies runs of frames into the open
//! segment as they stand, and gives the room back to the worker; no worker ever wakes it or
//! waits for it. It writes down where the lanes stand (a [`Mark`] at the head of each
//! segment and about once a second), finds what was lost by the ring's own protocol and
//! declares it, syncs on an interval, rotates segments, and lets go of segments that every
//! destination has passed.
//!
//! When the disk is full, fails or hangs, the rings hold what comes until they are full too;
//! from there on losses are counted by the rings and declared when writing goes on.

mod lane;
mod recover;
mod retention;

pub use recover::{RecoverBootError, Recovered, recover};
pub use retention::Progress;

use crate::capture::ring::RingReader;
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::metrics::Families;
use crate::record::{GapCause, Mark};
use crate::spool::frame::{self, Kind};
use crate::spool::{AppendError, RotateError, SegmentWriter, Spool, SyncError, WhenFull};
use lane::LaneTail;
use retention::Retention;
use serde::Serialize;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Version of the JSON form of gaps and marks in frames.
const ENTRY_VERSION: u8 = 1;
/// Pause between two looks at the rings while there is something to do.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause when there is nothing to do.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// Pause after the disk has failed.
const TROUBLE_PAUSE: Duration = Duration::from_millis(200);
/// At most this long between a change and the mark that tells it.
const MARK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks at what can be let go of.
const RETENTION_INTERVAL: Duration = Duration::from_secs(1);

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
}

/// What the recorder tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecorderStatus {
    /// Every lane.
    pub lanes: Vec<LaneStatus>,
    /// Monotonic time of this account. One that is old tells of a disk that hangs.
    #[serde(skip)]
    pub told: Duration,
    /// The last failure to write, until writing works again.
    pub trouble: Option<String>,
    /// Bytes of all segments.
    pub spool_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Unix microseconds at which the oldest segment was begun.
    pub oldest_segment: Option<u64>,
    /// The bound of the spool.
    pub spool_bound: u64,
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

/// Begins the boot's log and starts the recorder's thread.
///
/// # Errors
/// When the first segment can't be written or there is no thread to be had.
pub fn start(spool: Arc<Spool>, rings: Vec<(u16, RingReader)>, settings: Settings) -> io::Result<Handle> {
    let stop = Arc::new(AtomicBool::new(false));
    let status = Arc::new(Mutex::new(RecorderStatus::default()));
    let mut recorder = Recorder {
        writer: spool.writer(),
        retention: Retention::new(Arc::clone(&spool), Arc::clone(&settings.progress), settings.when_full),
        lanes: rings.into_iter().map(|(number, ring)| LaneTail::new(number, ring)).collect(),
        settings,
        status: Arc::clone(&status),
        trouble: None,
        last_sync: Duration::ZERO,
        last_mark: Duration::ZERO,
        last_retention: Duration::ZERO,
        marked: Mark::default(),
        synced: Mark::default(),
    };
    recorder.rotate().map_err(io::Error::other)?;
    recorder.publish();
    let told = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || recorder.run(&told))?;
    Ok(Handle { thread: Some(thread), stop, status })
}

struct Recorder {
    writer: SegmentWriter,
    retention: Retention,
    lanes: Vec<LaneTail>,
    settings: Settings,
    status: Arc<Mutex<RecorderStatus>>,
    /// Why nothing could be written lately, and how that is declared.
    trouble: Option<(GapCause, String)>,
    last_sync: Duration,
    last_mark: Duration,
    last_retention: Duration,
    marked: Mark,
    /// Where the lanes stood when everything written was last known to be on disk.
    synced: Mark,
}

impl Recorder {
    /// Returns whether the log got its last word.
    fn run(mut self, stop: &AtomicBool) -> bool {
        let mut pause = BUSY_PAUSE;
        loop {
            // Asked before the rings are looked at, so that the last look comes after the last worker.
            let stopping = stop.load(Ordering::Acquire);
            let moved = self.turn();
            if stopping && !moved {
                return self.end();
            }
            pause = match moved {
                _ if self.trouble.is_some() => TROUBLE_PAUSE,
                true => BUSY_PAUSE,
                false => (pause * 2).min(IDLE_PAUSE),
            };
            std::thread::park_timeout(pause);
        }
    }

    /// One look at everything. Returns whether something was moved.
    fn turn(&mut self) -> bool {
        let now = self.settings.clock.monotonic();
        if self.writer.needs_rotation(self.settings.clock.unix_microseconds()) {
            match self.rotate() {
                // The bound holds at every moment a segment could go beyond it.
                Ok(()) => self.last_retention = Duration::ZERO,
                Err(error) => self.note_rotate(&error),
            }
        }
        let mut moved = false;
        if !self.writer.needs_segment() {
            moved = self.drain();
        }
        if now.saturating_sub(self.last_mark) >= MARK_INTERVAL {
            self.last_mark = now;
            self.mark(false);
        }
        if now.saturating_sub(self.last_sync) >= self.settings.sync_interval {
            self.last_sync = now;
            self.sync();
        }
        if self.last_retention.is_zero() || now.saturating_sub(self.last_retention) >= RETENTION_INTERVAL {
            self.last_retention = now;
            let is_full = self.retention.run();
            let refusing = is_full && self.settings.when_full == WhenFull::RefuseNew;
            if self.settings.refusing.swap(refusing, Ordering::Relaxed) != refusing {
                tracing::warn!(refusing, "the spool's bound decides over new requests");
            }
        }
        self.publish();
        moved
    }

    fn drain(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.lanes.len() {
            let cause = self.trouble.as_ref().map_or(GapCause::RingFull, |(cause, _)| *cause);
            let noticed = self.settings.clock.unix_microseconds();
            let timer = std::time::Instant::now();
            match self.lanes[index].drain(&mut self.writer, cause, noticed) {
                Ok(drained) => {
                    moved |= drained.bytes > 0;
                    if drained.bytes > 0 {
                        self.observe("append", timer.elapsed());
                    }
                    if drained.declared > 0 {
                        self.settings
                            .metrics
                            .gap_records
                            .with_label_values(&[cause.as_str()])
                            .inc_by(drained.declared);
                        tracing::warn!(
                            lane = self.lanes[index].number(),
                            records = drained.declared,
                            cause = cause.as_str(),
                            "records were lost and are declared as a gap"
                        );
                    }
                }
                Err(error) => {
                    self.note_append(&error);
                    return false;
                }
            }
        }
        if moved && let Some((_, what)) = self.trouble.take() {
            tracing::info!(was = what, "the spool takes records again");
        }
        moved
    }

    fn current_mark(&self, closed: bool) -> Mark {
        Mark { lanes: self.lanes.iter().map(LaneTail::mark).collect(), closed }
    }

    /// Writes where the lanes stand, if that has changed.
    fn mark(&mut self, closed: bool) {
        let mark = self.current_mark(closed);
        if mark == self.marked || self.writer.needs_segment() {
            return;
        }
        let mut bytes = Vec::new();
        frame::append(&mut bytes, Kind::Mark, ENTRY_VERSION, 0, 0, &mark.to_bytes());
        match self.writer.append(&bytes) {
            Ok(_) => self.marked = mark,
            Err(error) => self.note_append(&error),
        }
    }

    fn rotate(&mut self) -> Result<(), RotateError> {
        // Frames that are not on disk for sure are copied behind the new segment's head. The
        // head must not speak of them: who reads it has not seen them yet.
        let mark = match self.writer.sync() {
            Err(_) if self.writer.unsynced() > 0 => self.synced.clone(),
            _ => self.current_mark(false),
        };
        let mut head = Vec::new();
        frame::append(&mut head, Kind::Mark, ENTRY_VERSION, 0, 0, &mark.to_bytes());
        let rotated = self.writer.rotate(&head, self.settings.clock.unix_microseconds())?;
        self.synced = self.current_mark(false);
        self.marked = mark;
        if let Some(lost) = rotated.lost {
            // The next mark names their sequences, so every destination declares them.
            tracing::error!(bytes = lost.end - lost.start, "frames were lost with a segment that failed");
        }
        Ok(())
    }

    fn sync(&mut self) {
        let timer = std::time::Instant::now();
        match self.writer.sync() {
            Ok(()) => {
                self.synced = self.current_mark(false);
                self.observe("sync", timer.elapsed());
            }
            Err(SyncError::NeedsSegment) => {}
            Err(error @ SyncError::Poisoned { .. }) => {
                self.note(GapCause::IoError, &error);
                if let Err(error) = self.rotate() {
                    self.note_rotate(&error);
                }
            }
        }
    }

    fn end(&mut self) -> bool {
        self.mark(true);
        let closed = self.marked.closed
            && match self.writer.close() {
                Ok(()) => true,
                Err(error) => {
                    self.note(GapCause::IoError, &error);
                    false
                }
            };
        self.publish();
        closed
    }

    fn note_append(&mut self, error: &AppendError) {
        let cause =
            if matches!(error, AppendError::Full { .. }) { GapCause::SpoolFull } else { GapCause::IoError };
        self.note(cause, error);
    }

    fn note_rotate(&mut self, error: &RotateError) {
        let cause =
            if matches!(error, RotateError::Full { .. }) { GapCause::SpoolFull } else { GapCause::IoError };
        self.note(cause, error);
    }

    fn note(&mut self, cause: GapCause, error: &dyn std::error::Error) {
        let words = Chain(error).to_string();
        if self.trouble.is_none() {
            tracing::error!(error = words, "the spool cannot be written; the rings hold what comes");
        }
        self.trouble = Some((cause, words));
    }

    fn observe(&self, operation: &str, elapsed: Duration) {
        self.settings
            .metrics
            .spool_write_duration
            .with_label_values(&[operation])
            .observe(elapsed.as_secs_f64());
    }

    fn publish(&self) {
        let lanes: Vec<LaneStatus> = self.lanes.iter().map(LaneTail::status).collect();
        let metrics = &self.settings.metrics;
        let held = self.retention.held();
        metrics.spool_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
        let now = self.settings.clock.unix_microseconds();
        let age = held.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        metrics.spool_oldest_age.set(age as f64 / 1e6);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = RecorderStatus {
            lanes,
            told: self.settings.clock.monotonic(),
            trouble: self.trouble.as_ref().map(|(_, what)| what.clone()),
            spool_bytes: held.bytes,
            segments: held.segments,
            oldest_segment: held.oldest,
            spool_bound: self.retention.bound(),
        };
    }
}
