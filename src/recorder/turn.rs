//! The recorder itself, one turn after the other.

use super::lane::LaneTail;
use super::own::Own;
use super::retention::Retention;
use super::syncer::Syncer;
use super::{ENTRY_VERSION, LaneEnd, LaneStatus, RecorderStatus, Settings};
use crate::capture::commit::Signal;
use crate::error_chain::Chain;
use crate::record::{GapCause, Mark, SELF_LANE};
use crate::spool::frame::{self, Kind};
use crate::spool::{AppendError, RotateError, SegmentWriter, Spool, SyncDone, SyncError, WhenFull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The shortest pause between two looks at the rings.
const SHORT_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause while there is something to do: each look costs as much as moving a hundred records.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause when there is nothing to do.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// What a look should find in a ring at most, as a part of its bytes: the rest is for a disk that is slow.
const EXPECTED_PART: u64 = 32;
/// Pause after the disk has failed.
const TROUBLE_PAUSE: Duration = Duration::from_millis(200);
/// At most this long between a change and the mark that tells it.
const MARK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks at what can be let go of.
const RETENTION_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are appended at most while an fsync runs, when the segment is to be sealed.
const OVERRUN_BYTES: u64 = 256 * 1024 * 1024;

/// Moves what the lanes captured from their rings into the spool; see the module's docs. Owned
/// by one thread, which calls [`Recorder::turn`] again and again.
#[derive(Debug)]
pub struct Recorder {
    writer: SegmentWriter,
    retention: Retention,
    lanes: Vec<LaneTail>,
    settings: Settings,
    /// Supplements that are to be appended behind their records.
    supplements: Vec<u8>,
    syncer: Syncer,
    /// Whether the last look found more in a ring than it should.
    crowded: bool,
    /// Where the lanes stood when the fsync that runs was begun, and when that was.
    syncing: Option<(Mark, Duration)>,
    status: Arc<Mutex<RecorderStatus>>,
    /// Why nothing could be written lately, and how that is declared.
    trouble: Option<(GapCause, String)>,
    last_sync: Duration,
    last_mark: Duration,
    last_retention: Duration,
    marked: Mark,
    own: Own,
    /// What each mark says of the boot as a whole.
    blank: Mark,
    /// Where the lanes stood when everything written was last known to be on disk.
    synced: Mark,
}

/// How long to sleep behind a look that came behind this pause.
fn pause_after(pause: Duration, moved: bool, crowded: bool) -> Duration {
    match (moved, crowded) {
        (_, true) => (pause / 2).max(SHORT_PAUSE),
        (true, false) => (pause * 2).clamp(SHORT_PAUSE, BUSY_PAUSE),
        (false, false) => (pause * 2).min(IDLE_PAUSE),
    }
}

impl Recorder {
    /// Begins the boot's log: its first segment is on disk when this returns.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin(
        spool: Arc<Spool>,
        lanes: Vec<LaneEnd>,
        settings: Settings,
        syncer: Syncer,
    ) -> Result<Self, RotateError> {
        let own = Own::new(settings.journal.clone(), spool.boot());
        let blank = Mark { destinations: Some(settings.progress.destinations()), ..Mark::default() };
        let mut recorder = Self {
            own,
            writer: spool.writer(),
            retention: Retention::new(spool, Arc::clone(&settings.progress), settings.when_full),
            lanes: lanes.into_iter().map(LaneTail::new).collect(),
            settings,
            supplements: Vec::new(),
            syncer,
            syncing: None,
            status: Arc::default(),
            trouble: None,
            crowded: false,
            last_sync: Duration::ZERO,
            last_mark: Duration::ZERO,
            last_retention: Duration::ZERO,
            marked: Mark::default(),
            synced: blank.clone(),
            blank,
        };
        recorder.rotate()?;
        recorder.publish();
        Ok(recorder)
    }

    /// What it says of itself after each turn.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where its fsyncs run.
    pub fn syncer(&mut self) -> &mut Syncer {
        &mut self.syncer
    }

    pub(super) fn shared_status(&self) -> Arc<Mutex<RecorderStatus>> {
        Arc::clone(&self.status)
    }

    /// Turns until it is told to stop, then as [`Recorder::finish`].
    pub(super) fn run(mut self, signal: &Signal, stop: &AtomicBool) -> bool {
        signal.listen();
        let mut pause = SHORT_PAUSE;
        loop {
            // Asked before the rings are looked at, so that the last look comes after the last worker.
            let stopping = stop.load(Ordering::Acquire);
            let moved = self.turn();
            if stopping && !moved {
                return self.end();
            }
            pause = match self.trouble {
                Some(_) => TROUBLE_PAUSE,
                None => pause_after(pause, moved, self.crowded),
            };
            if self.trouble.is_some() || self.syncer.is_busy() {
                // Who waits has to wait for the disk first. The syncer wakes us when it is done.
                std::thread::park_timeout(pause);
            } else {
                signal.sleep(pause, || self.is_wanted());
            }
        }
    }

    /// Drains the rings a last time, writes the boot's last word and ends. To be called when no
    /// worker runs any more. Whether the log is complete, so that the rings are of no more use.
    #[must_use]
    pub fn finish(mut self) -> bool {
        while self.turn() {}
        self.end()
    }

    /// One look at everything. Returns whether something was moved.
    pub fn turn(&mut self) -> bool {
        let now = self.settings.clock.monotonic();
        if let Some(done) = self.syncer.take() {
            self.end_sync(done);
        }
        let seal = self.writer.needs_rotation(self.settings.clock.unix_microseconds());
        if seal && !self.syncer.is_busy() {
            match self.rotate() {
                // The bound holds at every moment a segment could go beyond it.
                Ok(()) => self.last_retention = Duration::ZERO,
                Err(error) => self.note_rotate(&error),
            }
        }
        let overrun = OVERRUN_BYTES.min(self.retention.bound() / 4);
        let held_up = seal && self.syncer.is_busy() && self.writer.unsynced() >= overrun;
        let moved = !self.writer.needs_segment() && !held_up && self.drain();
        let reserving = self.reserve(now);
        if reserving || now.saturating_sub(self.last_mark) >= MARK_INTERVAL {
            self.last_mark = now;
            self.mark(false);
        }
        let short = self.lanes.iter().any(LaneTail::is_reserve_short);
        let due = short || now.saturating_sub(self.last_sync) >= self.settings.sync_interval;
        if (due || self.lanes.iter().any(LaneTail::is_awaited)) && !self.syncer.is_busy() {
            self.last_sync = now;
            self.begin_sync();
        }
        if self.last_retention.is_zero() || now.saturating_sub(self.last_retention) >= RETENTION_INTERVAL {
            self.last_retention = now;
            let is_full = self.retention.run();
            let refusing = is_full && self.settings.when_full == WhenFull::RefuseNew;
            if self.settings.refusing.swap(refusing, Ordering::Relaxed) != refusing {
                tracing::warn!(refusing, "the spool's bound decides over new requests");
            }
        }
        self.tell(now);
        self.publish();
        moved
    }

    /// Whether somebody waits for what is not on disk.
    fn is_wanted(&self) -> bool {
        self.lanes.iter().any(LaneTail::is_wanted)
    }

    fn drain(&mut self) -> bool {
        let mut moved = false;
        self.crowded = false;
        if self.supplements.is_empty() {
            // Taken before the rings are looked at, so that their records stand before them.
            self.supplements = self.settings.supplements.take();
        }
        for index in 0..self.lanes.len() {
            let cause = self.trouble.as_ref().map_or(GapCause::RingFull, |(cause, _)| *cause);
            let noticed = self.settings.clock.unix_microseconds();
            let begun = self.settings.clock.monotonic();
            match self.lanes[index].drain(&mut self.writer, cause, noticed) {
                Ok(drained) => {
                    moved |= drained.bytes > 0;
                    self.crowded |= drained.bytes > self.lanes[index].ring_bytes() / EXPECTED_PART;
                    if drained.bytes > 0 {
                        self.observe("append", begun);
                    }
                    if let Some(gap) = drained.gap {
                        self.own.gap(&self.settings.metrics, &gap);
                    }
                }
                Err(error) => {
                    self.note_append(&error);
                    return false;
                }
            }
        }
        if !self.supplements.is_empty() {
            if let Err(error) = self.writer.append(&self.supplements) {
                self.note_append(&error);
                return false;
            }
            self.supplements.clear();
            moved = true;
        }
        if moved && let Some((_, what)) = self.trouble.take() {
            tracing::info!(was = what, "the spool takes records again");
        }
        moved
    }

    /// Looks at what is reserved. Returns whether a mark has to say more.
    fn reserve(&mut self, now: Duration) -> bool {
        for lane in &mut self.lanes {
            lane.reserve(now);
        }
        let marked = |lane: &LaneTail| {
            let mark = self.marked.lanes.iter().find(|mark| mark.lane == lane.number());
            mark.is_some_and(|mark| mark.reserved == lane.reserved())
        };
        !self.lanes.iter().all(marked)
    }

    /// What the newest mark in the log reserves is on disk, as `mark` has it.
    fn reserved_on_disk(&mut self, mark: &Mark) {
        for (lane, mark) in self.lanes.iter_mut().zip(&mark.lanes) {
            lane.reserved_on_disk(mark.reserved);
        }
    }

    /// Puts on record what has changed.
    fn tell(&mut self, now: Duration) {
        let stalled = self.lanes.first().is_some_and(|lane| lane.commits().signal().is_stalled());
        let refusing = self.settings.refusing.load(Ordering::Relaxed);
        self.own.tell(now, self.settings.clock.unix_microseconds(), self.trouble.as_ref(), refusing, stalled);
    }

    fn current_mark(&self, closed: bool) -> Mark {
        Mark { lanes: self.lanes.iter().map(LaneTail::mark).collect(), closed, ..self.blank.clone() }
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
        let mut mark = match self.writer.sync() {
            Err(_) if self.writer.unsynced() > 0 => self.synced.clone(),
            _ => self.current_mark(false),
        };
        // But of what is reserved: a mark that is lost with a segment may have said it.
        self.reserve(self.settings.clock.monotonic());
        let now = self.current_mark(false);
        mark.lanes.iter_mut().zip(now.lanes).for_each(|(lane, now)| lane.reserved = now.reserved);
        let mut head = Vec::new();
        frame::append(&mut head, Kind::Mark, ENTRY_VERSION, 0, 0, &mark.to_bytes());
        for lane in &self.lanes {
            lane.append_intents(&mut head);
        }
        let rotated = self.writer.rotate(&head, self.settings.clock.unix_microseconds())?;
        self.marked = mark;
        if rotated.lost.is_some() {
            self.lanes.iter().for_each(LaneTail::lost);
        }
        self.all_synced();
        if let Some(lost) = rotated.lost {
            // The next mark names their sequences, so every destination declares them.
            tracing::error!(bytes = lost.end - lost.start, "frames were lost with a segment that failed");
        }
        Ok(())
    }

    fn begin_sync(&mut self) {
        match self.writer.begin_sync() {
            Ok(Some(job)) => {
                let mut mark = self.current_mark(false);
                // Only what a mark has said gets to the disk by this.
                mark.lanes
                    .iter_mut()
                    .zip(&self.marked.lanes)
                    .for_each(|(lane, m)| lane.reserved = m.reserved);
                self.syncing = Some((mark, self.settings.clock.monotonic()));
                self.syncer.begin(job);
                // One that ran on the spot has ended.
                if let Some(done) = self.syncer.take() {
                    self.end_sync(done);
                }
            }
            Ok(None) => self.all_synced(),
            Err(_) => {}
        }
    }

    fn end_sync(&mut self, done: SyncDone) {
        let Some((mark, begun)) = self.syncing.take() else { return };
        match self.writer.end_sync(done) {
            Ok(()) => {
                self.reserved_on_disk(&mark);
                self.synced = mark;
                for (lane, mark) in self.lanes.iter_mut().zip(&self.synced.lanes) {
                    lane.committed(mark.position);
                }
                self.flow();
                self.observe("sync", begun);
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

    /// All that was taken from the rings is on disk.
    fn all_synced(&mut self) {
        self.reserved_on_disk(&self.marked.clone());
        self.synced = self.current_mark(false);
        for lane in &mut self.lanes {
            lane.committed_all();
        }
        self.flow();
    }

    /// The disk takes what it is given: strict requests may be tried again.
    fn flow(&self) {
        if let Some(lane) = self.lanes.first().filter(|_| self.trouble.is_none()) {
            lane.commits().signal().flow();
        }
    }

    /// The boot's last word.
    fn end(&mut self) -> bool {
        if let Some(done) = self.syncer.wait() {
            self.end_sync(done);
        }
        self.own.close();
        if !self.writer.needs_segment() {
            self.drain();
        }
        // With something left in a ring the boot is not over: the next start takes it up.
        if self.lanes.iter().all(LaneTail::is_drained) {
            self.mark(true);
        }
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

    fn observe(&self, operation: &str, begun: Duration) {
        let elapsed = self.settings.clock.monotonic().saturating_sub(begun);
        self.settings
            .metrics
            .spool_write_duration
            .with_label_values(&[operation])
            .observe(elapsed.as_secs_f64());
    }

    fn publish(&self) {
        let (own, lanes): (Vec<LaneStatus>, Vec<LaneStatus>) =
            self.lanes.iter().map(LaneTail::status).partition(|lane| lane.lane == SELF_LANE);
        let metrics = &self.settings.metrics;
        let held = self.retention.held();
        metrics.spool_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
        let now = self.settings.clock.unix_microseconds();
        let age = held.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        metrics.spool_oldest_age.set(age as f64 / 1e6);
        let told = self.settings.clock.monotonic();
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = RecorderStatus {
            lanes,
            own: own.into_iter().next(),
            told,
            syncing: self.syncing.as_ref().map(|(_, begun)| told.saturating_sub(*begun)),
            trouble: self.trouble.as_ref().map(|(_, what)| what.clone()),
            spool_bytes: held.bytes,
            segments: held.segments,
            oldest_segment: held.oldest,
            spool_bound: self.retention.bound(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_as_rare_as_the_ring_allows_and_rarer_when_nothing_comes() {
        let pauses = |first: Duration, looks: &[(bool, bool)]| {
            let after = |pause: &mut Duration, &(moved, crowded): &(bool, bool)| {
                *pause = pause_after(*pause, moved, crowded);
                Some(pause.as_millis())
            };
            looks.iter().scan(first, after).collect::<Vec<_>>()
        };
        assert_eq!(pauses(SHORT_PAUSE, &[(true, false); 5]), [4, 8, 16, 20, 20]);
        assert_eq!(pauses(BUSY_PAUSE, &[(true, true); 5]), [10, 5, 2, 2, 2]);
        assert_eq!(pauses(BUSY_PAUSE, &[(false, false); 3]), [40, 50, 50]);
        assert_eq!(pauses(IDLE_PAUSE, &[(true, false), (true, true), (true, false)]), [20, 10, 20]);
        // A look that fails behind a crowded ring is no reason to wait longer.
        assert_eq!(pauses(BUSY_PAUSE, &[(false, true)]), [10]);
    }
}
