//! Waiting, on a worker, for a record or an intent to be on disk.

use super::commit::{Commits, Fate};
use super::durability::Durability;
use super::lane::Lane;
use super::source::Source;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Ticks between two lines in the log about waits that failed.
const QUIET_TICKS: u64 = 100;

/// Those who wait on one lane, by ticket.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Their deadlines in ticks, and how to wake them.
    all: RefCell<BTreeMap<u64, (u64, Waker)>>,
    quiet_until: Cell<u64>,
    untold: Cell<u64>,
}

impl Waiting {
    /// Wakes whoever's ticket the disk has passed.
    pub(super) fn committed(&self, commits: &Commits) {
        let durable = commits.durable();
        let mut all = self.all.borrow_mut();
        while let Some(first) = all.first_entry().filter(|first| *first.key() <= durable) {
            first.remove().1.wake();
        }
    }

    /// Wakes whoever has waited long enough.
    pub(super) fn tick(&self, now: u64) {
        self.all.borrow_mut().retain(|_, (deadline, waker)| {
            let over = *deadline <= now;
            if over {
                waker.wake_by_ref();
            }
            !over
        });
    }

    /// Says in the log that requests were not on disk in time, but not each time.
    fn tell(&self, now: u64, what: &str) {
        self.untold.set(self.untold.get() + 1);
        if now >= self.quiet_until.get() {
            self.quiet_until.set(now + QUIET_TICKS);
            tracing::warn!(
                records = self.untold.take(),
                what,
                "records were not known to be on disk in time"
            );
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is on disk.
    OnDisk,
    /// It is not known to be on disk: the wait was too long, or the disk has lost it. That is counted.
    InDoubt,
}

/// One wait for the disk. Dropped, it is given up, and nothing else happens.
#[derive(Debug)]
pub struct CommitWait {
    lane: Rc<Lane>,
    source: Rc<Source>,
    ticket: u64,
    deadline: u64,
    class: Durability,
    since: Instant,
    registered: bool,
}

impl CommitWait {
    /// Waits for the ticket of what has just been put into the lane's ring.
    pub(super) fn new(lane: &Rc<Lane>, source: Rc<Source>, ticket: u64, class: Durability) -> Self {
        lane.commits().want(ticket);
        lane.stats().commit_waiters.add(1);
        let deadline = lane.timers().deadline(source.durabilities().wait());
        Self {
            lane: Rc::clone(lane),
            source,
            ticket,
            deadline,
            class,
            since: Instant::now(),
            registered: false,
        }
    }

    /// Ready when it is on disk, or when it is of no use to wait on. Only the task that asked
    /// last is woken.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Committed> {
        let stats = self.source.stats();
        match self.lane.commits().fate(self.ticket) {
            Some(Fate::Durable) => {
                stats.commits.on_disk.add(1);
                stats.commits.wait.observe(self.since.elapsed().as_micros() as u64);
                Poll::Ready(Committed::OnDisk)
            }
            Some(Fate::Lost) => {
                self.lane.note_lost_commit(&self.source, self.class);
                Poll::Ready(Committed::InDoubt)
            }
            None if self.lane.timers().now() >= self.deadline => {
                stats.commits.timeout.add(1);
                self.lane.note_doubt(self.class, "the disk did not answer in time");
                Poll::Ready(Committed::InDoubt)
            }
            None => {
                self.registered = true;
                let waiting = &self.lane.waiting().all;
                waiting.borrow_mut().insert(self.ticket, (self.deadline, context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        self.lane.stats().commit_waiters.subtract(1);
        if self.registered {
            self.lane.waiting().all.borrow_mut().remove(&self.ticket);
        }
    }
}

impl Lane {
    /// Counts a record that was to be on disk and is lost.
    pub(super) fn note_lost_commit(&self, source: &Source, class: Durability) {
        source.stats().commits.lost.add(1);
        self.note_doubt(class, "the ring had no room, or the disk has lost them");
    }

    fn note_doubt(&self, class: Durability, what: &str) {
        if class == Durability::Strict {
            // Until the disk is known to work again, no request begins that has to be on it.
            self.commits().signal().stall();
        }
        self.waiting().tell(self.timers().now(), what);
    }

    /// Whether a strict request would be begun in vain.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.commits().signal().is_stalled()
    }
}
