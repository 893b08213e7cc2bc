//! Group commit, between the workers and the recorder.
//!
//! A worker that has to know that a record is on disk takes a ticket: the position behind
//! the record in its lane's ring. It says the furthest ticket that it waits for
//! ([`Commits::want`]), which wakes the recorder if that sleeps; the recorder says up to
//! where the lane is on disk ([`Commits::publish`]), which wakes the lane's worker once,
//! however many wait there. That is two numbers a lane: no lock, no message a record.
//! A lane on which nobody waits touches none of it.

use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

/// What all lanes and the recorder of a process tell each other.
#[derive(Debug, Default)]
pub struct Signal {
    /// The recorder sleeps and wants to be woken by whoever waits for a commit.
    asleep: AtomicBool,
    recorder: OnceLock<Thread>,
    stalled: AtomicBool,
}

impl Signal {
    /// Says that the calling thread is the recorder's. Only the first call counts.
    pub fn listen(&self) {
        let _ = self.recorder.set(std::thread::current());
    }

    /// Wakes the recorder if it sleeps and nobody has woken it yet.
    fn ring(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the recorder, or keeps it from its next sleep.
    pub fn wake(&self) {
        if let Some(recorder) = self.recorder.get() {
            recorder.unpark();
        }
    }

    /// Lets the recorder sleep, unless `needed` says that somebody has come meanwhile. Whoever
    /// wants a commit from here on wakes it.
    pub fn sleep(&self, at_most: Duration, needed: impl FnOnce() -> bool) {
        // Said before the others are looked at, as they speak before they look at this.
        self.asleep.store(true, Ordering::SeqCst);
        if !needed() {
            std::thread::park_timeout(at_most);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Says that a commit did not come in time, or that a record which was to be committed is lost.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Whether commits have failed and none has worked since.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Says that the disk takes what it is given.
    pub fn flow(&self) {
        if self.is_stalled() {
            self.stalled.store(false, Ordering::SeqCst);
        }
    }
}

/// Up to where one lane's ring is on disk, and up to where somebody waits for it.
#[derive(Debug)]
pub struct Commits {
    signal: Arc<Signal>,
    /// Written by the worker.
    wanted: AtomicU64,
    /// Written by the recorder, like all below.
    durable: AtomicU64,
    /// Positions in (`lost_from`, `lost_to`] may have been lost on their way to the disk.
    lost_from: AtomicU64,
    lost_to: AtomicU64,
    worker: AtomicWaker,
}

/// What has become of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on disk: power loss does not take it.
    Durable,
    /// The disk has lost it, or may have.
    Lost,
}

impl Commits {
    /// A lane of which nothing is on disk.
    #[must_use]
    pub fn new(signal: &Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            signal: Arc::clone(signal),
            wanted: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            lost_from: AtomicU64::new(u64::MAX),
            lost_to: AtomicU64::new(0),
            worker: AtomicWaker::new(),
        })
    }

    /// What the process's lanes share.
    #[must_use]
    pub fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Worker: says that somebody waits for this ticket. What it stands for is in the ring already.
    pub fn want(&self, ticket: u64) {
        self.wanted.store(ticket, Ordering::SeqCst);
        self.signal.ring();
    }

    /// Worker: has itself woken when the lane's position on disk moves.
    pub fn register(&self, worker: &Waker) {
        self.worker.register(worker);
    }

    /// Up to where the lane is on disk.
    #[must_use]
    pub fn durable(&self) -> u64 {
        // A worker says what it wants and then looks here; the recorder says what there is and
        // then looks for who wants it. One of the two has to see the other.
        self.durable.load(Ordering::SeqCst)
    }

    /// What has become of a ticket; `None` while it is under way.
    #[must_use]
    pub fn fate(&self, ticket: u64) -> Option<Fate> {
        if self.durable() < ticket {
            return None;
        }
        let lost =
            self.lost_from.load(Ordering::Relaxed) < ticket && ticket <= self.lost_to.load(Ordering::Relaxed);
        Some(if lost { Fate::Lost } else { Fate::Durable })
    }

    /// Recorder: the furthest ticket that anybody has waited for.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Recorder: everything before this position is on disk. Wakes the worker if it waits.
    pub fn publish(&self, position: u64) {
        let before = self.durable();
        if position > before {
            self.durable.store(position, Ordering::SeqCst);
            if self.wanted() > before {
                self.worker.wake();
            }
        }
    }

    /// Recorder: what lies between the position on disk and this one may be lost. To be told
    /// before that position is passed. Tickets from the first loss on stay in doubt: an answer
    /// "lost" may be too careful, never "durable".
    pub fn publish_lost(&self, to: u64) {
        let from = self.lost_from.load(Ordering::Relaxed).min(self.durable());
        self.lost_from.store(from, Ordering::Relaxed);
        self.lost_to.store(to, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_durable_once_its_position_is_passed_and_lost_if_the_disk_lost_it() {
        let commits = Commits::new(&Arc::default());
        commits.want(40);
        assert_eq!((commits.wanted(), commits.fate(40)), (40, None));
        commits.publish(40);
        assert_eq!(commits.fate(40), Some(Fate::Durable));
        assert_eq!(commits.fate(41), None);
        commits.publish_lost(80);
        commits.publish(120);
        assert_eq!(commits.fate(40), Some(Fate::Durable));
        assert_eq!(commits.fate(80), Some(Fate::Lost));
        assert_eq!(commits.fate(88), Some(Fate::Durable));
    }

    #[test]
    fn whoever_waits_wakes_a_sleeping_recorder() {
        let signal: Arc<Signal> = Arc::default();
        let commits = Commits::new(&signal);
        let recorder = {
            let (signal, commits) = (Arc::clone(&signal), Arc::clone(&commits));
            std::thread::spawn(move || {
                signal.listen();
                while commits.wanted() == 0 {
                    signal.sleep(Duration::from_secs(60), || commits.wanted() > 0);
                }
            })
        };
        commits.want(8);
        recorder.join().unwrap();
    }
}
