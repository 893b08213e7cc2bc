//! Where the recorder's fsyncs run: on the spot, or on a thread of their own, so that a disk
//! that hangs does not keep the recorder from draining the rings.

use crate::capture::commit::Signal;
use crate::spool::{SyncDone, SyncJob};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Runs fsyncs, one at a time.
#[derive(Debug)]
pub struct Syncer(Place);

#[derive(Debug)]
enum Place {
    Inline(Option<SyncDone>),
    ByHand { job: Option<SyncJob>, done: Option<SyncDone> },
    Thread { jobs: Sender<SyncJob>, done: Receiver<SyncDone>, busy: bool },
}

impl Syncer {
    /// Each fsync runs within the turn that begins it: for tests and simulation, where one
    /// thread does everything.
    #[must_use]
    pub fn inline() -> Self {
        Self(Place::Inline(None))
    }

    /// An fsync runs when [`Syncer::run`] says so: for tests and simulation of a disk that takes
    /// its time, where one thread does everything.
    #[must_use]
    pub fn by_hand() -> Self {
        Self(Place::ByHand { job: None, done: None })
    }

    /// Runs the fsync that was begun, if it is run by hand. Its outcome is taken at the next turn.
    pub fn run(&mut self) {
        if let Place::ByHand { job, done } = &mut self.0
            && let Some(job) = job.take()
        {
            *done = Some(job.run());
        }
    }

    /// Fsyncs run on a thread of their own, which wakes the recorder when one ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn thread(signal: Arc<Signal>) -> io::Result<Self> {
        let (jobs, work) = channel::<SyncJob>();
        let (tell, done) = channel();
        std::thread::Builder::new().name("syncer".into()).spawn(move || {
            for job in work {
                if tell.send(job.run()).is_err() {
                    break;
                }
                signal.wake();
            }
        })?;
        Ok(Self(Place::Thread { jobs, done, busy: false }))
    }

    /// Whether an fsync runs. Nothing more may be begun then.
    pub(super) fn is_busy(&self) -> bool {
        match &self.0 {
            Place::Inline(done) => done.is_some(),
            Place::ByHand { job, done } => job.is_some() || done.is_some(),
            Place::Thread { busy, .. } => *busy,
        }
    }

    /// Begins an fsync; not while one runs.
    pub(super) fn begin(&mut self, job: SyncJob) {
        match &mut self.0 {
            Place::Inline(done) => *done = Some(job.run()),
            Place::ByHand { job: begun, .. } => *begun = Some(job),
            Place::Thread { jobs, busy, .. } => {
                // Without its thread nothing ends any more: that is told like a disk that hangs.
                let _ = jobs.send(job);
                *busy = true;
            }
        }
    }

    /// The outcome of the fsync that was begun, once it is there.
    pub(super) fn take(&mut self) -> Option<SyncDone> {
        match &mut self.0 {
            Place::Inline(done) | Place::ByHand { done, .. } => done.take(),
            Place::Thread { done, busy, .. } => match done.try_recv() {
                Ok(outcome) => {
                    *busy = false;
                    Some(outcome)
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
            },
        }
    }

    /// Waits for the outcome of the fsync that runs, for as long as the disk takes. `None` if
    /// none runs.
    pub(super) fn wait(&mut self) -> Option<SyncDone> {
        self.run();
        match &mut self.0 {
            Place::Inline(done) | Place::ByHand { done, .. } => done.take(),
            Place::Thread { done, busy: busy @ true, .. } => {
                *busy = false;
                done.recv().ok()
            }
            Place::Thread { .. } => None,
        }
    }
}
