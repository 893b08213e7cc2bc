//! A lane: one worker's own path from request to ring. Nothing in it is shared with
//! another worker, so nothing in it locks.

use super::commit::Commits;
use super::durability::Durability;
use super::exchange::{Account, Exchange};
use super::peer::Peer;
use super::ring::{INTENT_BYTES, Pushed, RingWriter};
use super::source::{Described, Intent, Source};
use super::wait::{CommitWait, Waiting};
use crate::metrics::LaneStats;
use crate::record::{ErrorType, EventId, EventIds, Field, Outcome, RecordWriter};
use crate::timer::Timers;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Accounts kept for the next requests, so that a steady load allocates none.
const SPARE_ACCOUNTS: usize = 256;
/// An account's buffer that has grown beyond this is not kept.
const SPARE_BUFFER_BYTES: usize = 8 * 1024;
/// What method and path may take of an intent that is cut; ids, names and template take the rest.
const INTENT_TEXT_BYTES: usize = 160;
/// Ticks between two looks at the wall clock.
const ANCHOR_TICKS: u64 = 10;

/// One worker's lane.
#[derive(Debug)]
pub struct Lane {
    number: u16,
    ring: RefCell<RingWriter>,
    ids: RefCell<EventIds>,
    anchor: Cell<(Instant, u64)>,
    spare: RefCell<Vec<Rc<Account>>>,
    timers: Rc<Timers>,
    stats: Arc<LaneStats>,
    in_flight: Cell<usize>,
    stopping: Cell<bool>,
    commits: Arc<Commits>,
    waiting: Waiting,
}

impl Lane {
    /// A lane over the writer's end of a ring, and what it hears from the recorder.
    #[must_use]
    pub fn new(
        number: u16,
        (ring, commits): (RingWriter, Arc<Commits>),
        timers: Rc<Timers>,
        stats: Arc<LaneStats>,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            number,
            ring: RefCell::new(ring),
            ids: RefCell::new(EventIds::new(seed)),
            anchor: Cell::new(anchor()),
            spare: RefCell::default(),
            timers,
            stats,
            in_flight: Cell::new(0),
            stopping: Cell::new(false),
            commits,
            waiting: Waiting::default(),
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// The worker's deadlines.
    #[must_use]
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// The worker's counters.
    #[must_use]
    pub fn stats(&self) -> &LaneStats {
        &self.stats
    }

    /// Exchanges that are open.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// From now on an exchange that is dropped was ended by the gateway's stop, not by its client.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(super) fn commits(&self) -> &Commits {
        &self.commits
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Wakes those who wait for the disk, as the recorder says how far that is; never ends. To
    /// be run on the lane's worker. Without it every such wait takes its full time.
    pub async fn watch_commits(self: Rc<Self>) {
        poll_fn(|context| {
            // Registered first, so that no move is missed.
            self.commits.register(context.waker());
            self.waiting.committed(&self.commits);
            Poll::<()>::Pending
        })
        .await;
    }

    /// To be called at every tick of the worker: follows the wall clock when it is set.
    pub fn tick(&self) {
        self.timers.tick();
        self.waiting.tick(self.timers.now());
        if self.timers.now().is_multiple_of(ANCHOR_TICKS) {
            self.anchor.set(anchor());
        }
    }

    /// Unix microseconds at this instant.
    #[must_use]
    pub fn unix_microseconds(&self, at: Instant) -> u64 {
        let (instant, unix) = self.anchor.get();
        let ahead = at.saturating_duration_since(instant).as_micros();
        let behind = instant.saturating_duration_since(at).as_micros();
        (unix + ahead as u64).saturating_sub(behind as u64)
    }

    /// Opens an exchange: takes its sequence, its id and its slot, which holds the intent,
    /// and lets `describe` write the rest of what the request says.
    pub(super) fn begin(
        self: &Rc<Self>,
        source: &Rc<Source>,
        described: Described,
        intent: &Intent<'_>,
        describe: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Exchange {
        let start = Instant::now();
        let unix = self.unix_microseconds(start);
        // One that somebody still holds is left to him.
        let spare = self.spare.borrow_mut().pop().filter(|account| Rc::strong_count(account) == 1);
        let account = spare.unwrap_or_else(|| Rc::new(Account::new(&self.timers)));
        let event_id = self.ids.borrow_mut().next(unix);
        {
            let mut record = account.record.borrow_mut();
            record.clear();
            write_head(&mut record, event_id, unix);
            intent.write(&mut RecordWriter::new(&mut record));
            let place = if record.len() <= INTENT_BYTES {
                self.ring.borrow_mut().open(&record)
            } else {
                let mut cut = Vec::with_capacity(INTENT_BYTES);
                write_head(&mut cut, event_id, unix);
                intent.write_within(&mut RecordWriter::new(&mut cut), INTENT_TEXT_BYTES);
                self.ring.borrow_mut().open(&cut)
            };
            describe(&mut RecordWriter::new(&mut record));
            account.reset(start, event_id, place, source, described);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        self.stats.in_flight.add(1);
        source.stats().in_flight.add(1);
        Exchange::new(Rc::clone(self), account)
    }

    /// Puts what is known of an open exchange on its way to the disk, so that it is known
    /// though the gateway may die before its end. `None` where the ring has no room for it.
    #[must_use]
    pub fn commit_intent(self: &Rc<Self>, source: &Rc<Source>, account: &Account) -> Option<CommitWait> {
        let (sequence, _) = account.place.get()?;
        let ticket = {
            let mut ring = self.ring.borrow_mut();
            let kept = ring.push_intent(sequence, &account.record.borrow(), self.number);
            kept.then(|| ring.position())?
        };
        Some(CommitWait::new(self, Rc::clone(source), ticket, Durability::Strict))
    }

    /// Puts the closed account into the ring and takes it back for the next exchange. The
    /// record's ticket, unless it is lost.
    pub(super) fn close(&self, account: Rc<Account>) -> Option<u64> {
        let ticket = {
            let record = account.record.borrow();
            let mut ring = self.ring.borrow_mut();
            let pushed = match account.place.take() {
                Some((sequence, slot)) => ring.close(sequence, slot, &record, self.number),
                None => ring.record_closed(&record, self.number).1,
            };
            (pushed == Pushed::Kept).then(|| ring.position())
        };
        if ticket.is_some() {
            self.stats.captured.add(1);
        }
        self.in_flight.set(self.in_flight.get() - 1);
        self.stats.in_flight.subtract(1);
        account.timer.release();
        let mut spare = self.spare.borrow_mut();
        // Its body and its answer hold it still: whether they have let go is asked when it is wanted.
        if spare.len() < SPARE_ACCOUNTS && account.record.borrow().capacity() <= SPARE_BUFFER_BYTES {
            spare.push(account);
        }
        ticket
    }

    /// Records what never became a request: a head that can't be parsed or is too large,
    /// or that did not come in time. Returns the event's id.
    pub fn record_refusal(&self, source: &Source, peer: &Peer, refusal: &Refusal) -> EventId {
        let start = refusal.start;
        let unix = self.unix_microseconds(start);
        let event_id = self.ids.borrow_mut().next(unix);
        let mut record = Vec::with_capacity(256);
        write_head(&mut record, event_id, unix);
        let mut writer = RecordWriter::new(&mut record);
        source.describe_refusal(peer, &mut writer);
        writer.integer(Field::Duration, start.elapsed().as_micros() as u64);
        writer.integer(Field::Status, u64::from(refusal.status));
        writer.integer(Field::Outcome, refusal.outcome as u64);
        writer.integer(Field::ErrorType, refusal.error as u64);
        if self.ring.borrow_mut().record_closed(&record, self.number).1 == Pushed::Kept {
            self.stats.captured.add(1);
        }
        source.count_refusal(refusal.status);
        event_id
    }
}

/// How a connection ended before a request could be made of what it sent.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// When its first byte was read.
    pub start: Instant,
    /// The status that was sent; 499 where the client left before one was.
    pub status: u16,
    /// Failure, or aborted where the client left.
    pub outcome: Outcome,
    /// Why.
    pub error: ErrorType,
}

fn write_head(record: &mut Vec<u8>, event_id: EventId, unix_microseconds: u64) {
    let mut writer = RecordWriter::new(record);
    writer.bytes(Field::EventId, &event_id.0);
    writer.integer(Field::Start, unix_microseconds);
}

fn anchor() -> (Instant, u64) {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros() as u64);
    (Instant::now(), unix)
}
