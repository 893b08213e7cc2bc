//! The open account of one exchange.
//!
//! An [`Exchange`] is born with its sequence when the request head is read and travels
//! through the response future into the response body. It closes exactly once: by
//! [`Exchange::finish`], or by being dropped, which is what happens when either side
//! breaks off or the stack panics. What is found out on the way (the upstream's
//! address, bytes received, why it failed) is noted in its [`Account`], which the inner
//! layers share.

use super::client_limits::RequestPermit;
use super::durability::Durability;
use super::inspection::Bodies;
use super::lane::Lane;
use super::ring::Slot;
use super::source::{Described, Source};
use super::wait::CommitWait;
use crate::inspect::Wants;
use crate::patterns::Patterns;
use crate::record::{ErrorType, EventId, Field, Outcome, RecordWriter};
use crate::timer::{Timer, Timers};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Status of an exchange whose client left before a status was sent.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What is known of an exchange so far. Shared on one worker; every setter is a store.
#[derive(Debug)]
pub struct Account {
    pub(super) record: RefCell<Vec<u8>>,
    pub(super) place: Cell<Option<(u64, Slot)>>,
    pub(super) timer: Timer,
    start: Cell<Instant>,
    event_id: Cell<EventId>,
    source: RefCell<Option<Rc<Source>>>,
    described: Cell<Described>,
    status: Cell<u16>,
    received: Cell<u64>,
    sent: Cell<u64>,
    error: Cell<Option<ErrorType>>,
    recordable: Cell<bool>,
    waiting_for_client: Cell<bool>,
    /// Time spent on waiting for the disk, and since when the wait that goes on lasts.
    waited: Cell<Duration>,
    waiting_since: Cell<Option<Instant>>,
    upstream_attempts: Cell<u32>,
    upstream_microseconds: Cell<Option<u64>>,
    upstream_address: RefCell<Option<Rc<str>>>,
    /// What is copied of the bodies; empty but for routes that want it.
    pub(super) bodies: RefCell<Option<Box<Bodies>>>,
    pub(super) wants: Cell<Wants>,
    /// False: nothing of the last attempt has left for the upstream.
    upstream_reached: RefCell<Option<Rc<Cell<bool>>>>,
    permit: RefCell<Option<RequestPermit>>,
}

impl Account {
    pub(super) fn new(timers: &Rc<Timers>) -> Self {
        Self {
            record: RefCell::default(),
            place: Cell::default(),
            timer: timers.timer(),
            start: Cell::new(Instant::now()),
            event_id: Cell::new(EventId([0; 16])),
            source: RefCell::default(),
            described: Cell::default(),
            status: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            error: Cell::new(None),
            recordable: Cell::new(false),
            waiting_for_client: Cell::new(false),
            waited: Cell::new(Duration::ZERO),
            waiting_since: Cell::new(None),
            upstream_attempts: Cell::new(0),
            upstream_microseconds: Cell::new(None),
            upstream_address: RefCell::new(None),
            bodies: RefCell::default(),
            wants: Cell::default(),
            upstream_reached: RefCell::new(None),
            permit: RefCell::new(None),
        }
    }

    pub(super) fn reset(
        &self,
        start: Instant,
        event_id: EventId,
        place: Option<(u64, Slot)>,
        source: &Rc<Source>,
        described: Described,
    ) {
        // Whoever held it last may have set it after the close.
        self.timer.clear();
        self.recordable.set(place.is_some());
        self.waiting_for_client.set(false);
        self.waited.set(Duration::ZERO);
        self.waiting_since.set(None);
        self.place.set(place);
        self.start.set(start);
        self.event_id.set(event_id);
        *self.source.borrow_mut() = Some(Rc::clone(source));
        self.described.set(described);
        self.status.set(0);
        self.received.set(0);
        self.sent.set(0);
        self.error.set(None);
        self.upstream_attempts.set(0);
        self.upstream_microseconds.set(None);
        self.upstream_address.borrow_mut().take();
        self.wants.set(described.wants);
        self.upstream_reached.borrow_mut().take();
    }

    /// Takes out of what is known so far what the operator's patterns find.
    #[cold]
    pub(super) fn rewrite(&self, patterns: &Patterns) {
        patterns.rewrite(&mut self.record.borrow_mut());
    }

    /// The exchange's deadline.
    #[must_use]
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Whether a route of the catalogues takes the request.
    pub(super) fn has_route(&self) -> bool {
        self.described.get().route.is_some()
    }

    /// When the request head was read.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start.get()
    }

    /// The event's id.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        self.event_id.get()
    }

    /// Whether the exchange has a slot. One without must be refused.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.recordable.get()
    }

    /// How sure its record has to be.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.described.get().durability
    }

    /// Notes that it begins to wait for the disk, which is no part of its duration.
    pub fn begin_wait(&self) {
        self.waiting_since.set(Some(Instant::now()));
    }

    /// Notes that it goes on.
    pub fn end_wait(&self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited.set(self.waited.get() + since.elapsed());
        }
    }

    /// Notes why the exchange fails. The first cause stays.
    pub fn fail(&self, error: ErrorType) {
        if self.error.get().is_none() {
            self.error.set(Some(error));
        }
    }

    /// Why the exchange failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<ErrorType> {
        self.error.get()
    }

    /// Keeps what the client's limits have granted until the exchange closes.
    pub fn hold(&self, permit: RequestPermit) {
        *self.permit.borrow_mut() = Some(permit);
    }

    /// Counts bytes of the request body.
    pub fn add_received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Bytes of the request body so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// Counts bytes of the response body.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// Notes whether it is the client whose next bytes are waited for.
    pub fn wait_for_client(&self, waiting: bool) {
        self.waiting_for_client.set(waiting);
    }

    /// Whether it is the client whose next bytes are waited for.
    #[must_use]
    pub fn is_waiting_for_client(&self) -> bool {
        self.waiting_for_client.get()
    }

    /// Notes that a request goes out to this address. `reached` becomes true with the first
    /// byte of it that leaves; `None`: that can't be told, and counts as true. An exchange that
    /// ends before has no upstream on record.
    pub fn upstream_attempt(&self, address: &Rc<str>, reached: Option<&Rc<Cell<bool>>>) {
        self.upstream_attempts.set(self.upstream_attempts.get() + 1);
        *self.upstream_address.borrow_mut() = Some(Rc::clone(address));
        *self.upstream_reached.borrow_mut() = reached.cloned();
    }

    /// Takes an attempt back: nothing of the request reached the upstream.
    pub fn upstream_untouched(&self) {
        self.upstream_address.borrow_mut().take();
    }

    /// Notes the time to the upstream's response head.
    pub fn upstream_answered(&self, microseconds: u64) {
        self.upstream_microseconds.set(Some(microseconds));
        self.upstream_reached.borrow_mut().take();
    }
}

/// The one owner of an account, who closes it.
#[derive(Debug)]
pub struct Exchange {
    lane: Rc<Lane>,
    account: Option<Rc<Account>>,
}

impl Exchange {
    pub(super) fn new(lane: Rc<Lane>, account: Rc<Account>) -> Self {
        Self { lane, account: Some(account) }
    }

    /// The account, for those who note things in it.
    ///
    /// # Panics
    /// Never: the account leaves only with `self`.
    #[must_use]
    pub fn account(&self) -> &Rc<Account> {
        self.account.as_ref().expect("the account leaves only when the exchange is consumed")
    }

    /// Notes the response head.
    pub fn response_head(&self, status: http::StatusCode, headers: &http::HeaderMap) {
        let account = self.account();
        account.status.set(status.as_u16());
        if account.wants.get().response() {
            account.begin_response(status, headers);
        }
        if let Some(source) = &*account.source.borrow() {
            let mut record = account.record.borrow_mut();
            source.describe_response(account.described.get(), headers, &mut RecordWriter::new(&mut record));
            if account.described.get().lacks_organization {
                source.learn_organization(account.described.get(), (status, headers), &mut record);
            }
        }
    }

    /// Closes the account of an exchange that came to its end: the outcome goes by the status.
    ///
    /// Returns what the client's last byte has to wait for, if its class says so and the
    /// upstream saw the request: what is refused here without that has changed nothing.
    #[must_use]
    pub fn finish(mut self) -> Option<CommitWait> {
        let account = self.account.take()?;
        account.end_response();
        let outcome = match account.status.get() {
            1..=399 => Outcome::Success,
            _ => Outcome::Failure,
        };
        let class = account.durability();
        if class == Durability::Async || account.upstream_address.borrow().is_none() {
            close(&self.lane, account, outcome);
            return None;
        }
        let source = account.source.borrow().clone();
        let ticket = close(&self.lane, account, outcome);
        let source = source?;
        match ticket {
            Some(ticket) => Some(CommitWait::new(&self.lane, source, ticket, class)),
            None => {
                self.lane.note_lost_commit(&source, class);
                None
            }
        }
    }

    /// Closes the account of an exchange that either side broke off.
    pub fn abort(mut self, error: ErrorType) {
        if let Some(account) = self.account.take() {
            account.fail(error);
            close(&self.lane, account, Outcome::Aborted);
        }
    }
}

impl Drop for Exchange {
    /// The future or the body was dropped: the client left, or the gateway stops, or the
    /// stack panicked.
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let panicking = std::thread::panicking();
        let error = match () {
            () if panicking => ErrorType::Internal,
            () if self.lane.is_stopping() => ErrorType::Shutdown,
            () => ErrorType::ClientAbort,
        };
        account.fail(error);
        if account.status.get() == 0 && !panicking {
            account.status.set(CLIENT_CLOSED_REQUEST);
        }
        close(&self.lane, account, if panicking { Outcome::Failure } else { Outcome::Aborted });
    }
}

/// Writes the rest of the record and puts it into the ring: its ticket, unless it is lost.
fn close(lane: &Lane, account: Rc<Account>, outcome: Outcome) -> Option<u64> {
    account.end_wait();
    let duration = account.start.get().elapsed().saturating_sub(account.waited.get()).as_micros() as u64;
    let status = account.status.get();
    let mut job = None;
    {
        let mut record = account.record.borrow_mut();
        let mut writer = RecordWriter::new(&mut record);
        writer.integer(Field::Duration, duration);
        writer.integer(Field::Status, u64::from(status));
        writer.integer(Field::ResponseBodySize, account.sent.get());
        writer.integer(Field::Outcome, outcome as u64);
        if account.received.get() > 0 {
            writer.integer(Field::RequestBodySize, account.received.get());
        }
        if let Some(error) = account.error.get() {
            writer.integer(Field::ErrorType, error as u64);
        }
        let is_untouched = account.upstream_reached.borrow().as_ref().is_some_and(|reached| !reached.get());
        if let Some(address) = &*account.upstream_address.borrow()
            && !is_untouched
        {
            writer.text(Field::UpstreamAddress, address);
            writer.integer(Field::UpstreamAttempts, u64::from(account.upstream_attempts.get()));
            if let Some(microseconds) = account.upstream_microseconds.get() {
                writer.integer(Field::UpstreamDuration, microseconds);
            }
        }
        if let Some(source) = account.source.borrow_mut().take() {
            let described = account.described.get();
            source.describe_end(described, status, account.received.get() > 0, &mut writer);
            if described.wants.any() {
                job = source.end_inspection(described, status, &account, &mut writer);
            }
            let stats = source.stats();
            stats.count(described.row as usize, status);
            stats.duration.observe(duration);
            stats.in_flight.subtract(1);
            if let Some(microseconds) = account.upstream_microseconds.get() {
                stats.upstream_duration.observe(microseconds);
            }
        }
    }
    account.permit.borrow_mut().take();
    let Some((queue, mut job)) = job else { return lane.close(account) };
    job.lane = lane.number();
    job.record.clone_from(&account.record.borrow());
    let ticket = lane.close(account);
    // Only now: the record must be in the ring before anything is found out about it.
    queue.send(job);
    ticket
}
