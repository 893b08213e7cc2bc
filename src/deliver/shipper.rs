//! The shipper of one destination: what to do next, and a task around it.
//!
//! [`Shipper::next`] says what to try, [`Work::attempt`] tries it, [`Shipper::finish`] takes
//! in what came of it; [`Shipper::run`] does that in a loop with the time that passes.

use super::attempt::{Errand, Outcome, Work};
use super::control::{ShipSettings, ShipperControl};
use super::destination::{Advice, Created, Destination, PutError};
use super::expiry::Expiry;
use super::pace::Limits;
use super::state::{Effect, Event, Phase, State, is_expired};
use super::status::StatusCell;
use crate::clock::Clock;
use crate::pack::{Batch, Expired, ExpiryCause, Outbox};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// At most so many objects of one batch are under way at once, unless it is set otherwise.
const CONCURRENT: usize = 4;
/// So often time is let pass for the state machine.
const TICK: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Debug)]
pub enum Next {
    /// This.
    Work(Work),
    /// Nothing, until it is resumed.
    Paused,
    /// Nothing, until a batch waits.
    Idle,
}

/// Ships what lies in an outbox.
pub struct Shipper {
    prefix: String,
    boot: Uuid,
    clock: Clock,
    status: Arc<StatusCell>,
    state: State,
    random: fastrand::Rng,
    control: ShipperControl,
    paused: watch::Receiver<bool>,
    /// What the store is asked before the first batch goes to it. Each step by itself, so
    /// that what has arrived is not asked of the store again.
    first: VecDeque<Work>,
    /// The public keys that the store is to hold.
    keys: Vec<String>,
    /// Which way to the store all of this is about.
    way: u64,
    /// What of the batch under way has arrived: its number and objects.
    arrived: (u64, HashSet<usize>),
    /// Objects that had arrived when time was let pass last.
    seen: u64,
    expiry: Expiry,
}

impl Shipper {
    /// A shipper to `store` under the destination's name.
    #[must_use]
    pub fn new(
        name: &str,
        store: Arc<dyn Destination>,
        prefix: &str,
        boot: Uuid,
        retention: Duration,
        clock: Clock,
    ) -> Self {
        let status = Arc::new(StatusCell::default());
        status.change(|status| {
            name.clone_into(&mut status.name);
            status.place = store.place();
            status.begun = clock.unix_microseconds();
        });
        let control = ShipperControl::new(ShipSettings {
            store,
            retention,
            concurrency: CONCURRENT,
            limits: Limits::default(),
            way: 0,
        });
        Self {
            prefix: prefix.to_owned(),
            boot,
            clock,
            status,
            state: State::default(),
            random: fastrand::Rng::new(),
            paused: control.subscribe(),
            control,
            first: VecDeque::from([Work::Probe]),
            keys: Vec::new(),
            way: 0,
            arrived: (0, HashSet::new()),
            seen: 0,
            expiry: Expiry::default(),
        }
    }

    /// Goes on with the counts of a shipper before it.
    #[must_use]
    pub fn with_status(mut self, status: Arc<StatusCell>) -> Self {
        let fresh = self.status.snapshot();
        status.change(|status| {
            (status.name, status.place) = (fresh.name, fresh.place);
            if status.begun == 0 {
                status.begun = fresh.begun;
            }
        });
        self.seen = status.snapshot().delivered_objects;
        self.status = status;
        self
    }

    /// Sends at most so many objects at once; at least one.
    #[must_use]
    pub fn with_concurrency(self, objects: usize) -> Self {
        self.control.change(|settings| settings.concurrency = objects.max(1));
        self
    }

    /// Sends no faster than this.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.control.change(|settings| settings.limits = limits);
        self
    }

    /// Publishes these keys (each as `name+id+base64`) before anything else.
    #[must_use]
    pub fn with_public_keys(mut self, keys: Vec<String>) -> Self {
        self.first.extend(keys.iter().cloned().map(Work::Key));
        self.keys.extend(keys);
        self
    }

    /// Spreads its pauses by this seed, so that they can be had again.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = fastrand::Rng::with_seed(seed);
        self
    }

    /// Where the status can be read.
    #[must_use]
    pub fn status(&self) -> Arc<StatusCell> {
        Arc::clone(&self.status)
    }

    /// The means to halt it.
    #[must_use]
    pub fn control(&self) -> ShipperControl {
        self.control.clone()
    }

    /// Ships until the outbox is closed and empty. May be dropped at any moment:
    /// what has not arrived is sent again after the next start.
    pub async fn run(mut self, outbox: Arc<Outbox>) {
        loop {
            match self.next(&outbox) {
                Next::Paused => {
                    // Time goes on, and with it retention.
                    let resumed = tokio::time::timeout(TICK, self.paused.wait_for(|paused| !paused)).await;
                    if resumed.is_err() && outbox.is_closed() {
                        break;
                    }
                }
                Next::Idle => {
                    let is_over = tokio::select! {
                        batch = outbox.next_waiting() => batch.is_none(),
                        // What nobody waits for is no haste of a later failure's.
                        () = self.control.woken() => false,
                        _ = self.paused.changed() => false,
                    };
                    if is_over {
                        break;
                    }
                }
                Next::Work(work) => {
                    let attempt = work.attempt(&self.errand());
                    let outcome = self.watched(&outbox, attempt).await;
                    if let Some(pause) = self.finish(&outbox, outcome) {
                        self.rest(&outbox, pause).await;
                    }
                }
            }
        }
        self.refresh(&outbox);
    }

    /// What is to be done now.
    pub fn next(&mut self, outbox: &Outbox) -> Next {
        self.look_for_another_way();
        let is_paused = *self.paused.borrow_and_update();
        match is_paused {
            true => drop(self.event(Event::Pause)),
            false if self.state.phase() == Phase::Paused => drop(self.event(Event::Resume)),
            false => {}
        }
        self.refresh(outbox);
        // While the store does not answer, or nothing is sent, retention still goes on.
        for batch in outbox.waiting() {
            self.expire(outbox, &batch);
        }
        if is_paused {
            return Next::Paused;
        }
        let work = match self.first.front() {
            Some(work) => work.clone(),
            None => {
                let Some(batch) = outbox.waiting().into_iter().next() else { return Next::Idle };
                let number = batch.manifest.number;
                if self.arrived.0 != number {
                    self.arrived = (number, HashSet::new());
                }
                let gone = |index: &usize| batch.expired.iter().any(|expired| expired.index == *index);
                let whole = |index: &usize| !gone(index) && !self.arrived.1.contains(index);
                let indexes: Vec<usize> = (0..batch.manifest.objects.len()).filter(whole).collect();
                match indexes.is_empty() {
                    true => Work::Manifest(batch),
                    false => Work::Objects(batch, indexes),
                }
            }
        };
        self.event(Event::Begun(self.control.settings().store.silence()));
        Next::Work(work)
    }

    /// Begins anew when the store was replaced: nothing is known of the new one.
    fn look_for_another_way(&mut self) -> bool {
        let way = self.control.settings().way;
        let is_another = way != self.way;
        if is_another {
            self.way = way;
            self.first =
                std::iter::once(Work::Probe).chain(self.keys.iter().cloned().map(Work::Key)).collect();
            self.arrived = (0, HashSet::new());
            self.status.change(|status| status.honours_conditions = None);
        }
        is_another
    }

    /// What an attempt needs.
    #[must_use]
    pub fn errand(&self) -> Errand {
        let ShipSettings { store, concurrency, .. } = self.control.settings();
        Errand {
            store,
            prefix: self.prefix.clone(),
            boot: self.boot,
            concurrency,
            status: Arc::clone(&self.status),
            control: self.control.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Lets time pass for the state machine: every second or so while an attempt runs, and
    /// after a pause.
    pub fn tick(&mut self, outbox: &Outbox) {
        let arrived = self.status.snapshot().delivered_objects;
        if arrived != self.seen || self.control.pace().holds_back() {
            self.seen = arrived;
            self.event(Event::Progress);
        }
        self.event(Event::Tick);
        self.refresh(outbox);
    }

    /// Takes in what came of an attempt; returns the pause before the next one, if there
    /// has to be one.
    pub fn finish(&mut self, outbox: &Outbox, outcome: Outcome) -> Option<Duration> {
        // What a store that was replaced meanwhile has said counts for nothing; but a manifest
        // that arrived there closed a whole batch.
        if self.look_for_another_way() && !matches!(outcome, Outcome::Manifest(_, Ok(_))) {
            return None;
        }
        let result = match outcome {
            Outcome::Probed(result) => result.map(|honours| {
                self.status.change(|status| status.honours_conditions = Some(honours));
                self.first.pop_front();
                self.event(Event::Arrived);
            }),
            Outcome::Published(result) => result.map(|()| {
                self.first.pop_front();
                self.event(Event::Arrived);
            }),
            Outcome::Objects(batch, results) => self.objects_sent(outbox, &batch, results),
            Outcome::Manifest(batch, result) => {
                result.and_then(|_| self.manifest_sent(outbox, batch.manifest.number))
            }
        };
        let pause = result.err().map(|error| self.event(Event::Refused(error)));
        self.say_expiry();
        self.refresh(outbox);
        pause
    }

    fn objects_sent(
        &mut self,
        outbox: &Outbox,
        batch: &Batch,
        results: Vec<(usize, Result<Created, PutError>)>,
    ) -> Result<(), PutError> {
        let mut failure = None;
        let mut damaged = Vec::new();
        for (index, result) in results {
            match result {
                Ok(_) => {
                    self.arrived.1.insert(index);
                }
                Err(error) if error.advice == Advice::GiveUp => {
                    damaged.push(Expired { index, cause: ExpiryCause::Corruption });
                }
                Err(error) => failure = Some(error),
            }
        }
        if !damaged.is_empty() && !self.give_up(outbox, batch, &damaged) {
            let words = "a damaged object could not be given up".to_owned();
            failure.get_or_insert(PutError::new(super::Cause::ServerError, words));
        }
        failure.map_or(Ok(()), Err)
    }

    fn manifest_sent(&mut self, outbox: &Outbox, number: u64) -> Result<(), PutError> {
        outbox.delivered(number).map_err(|error| {
            // It has arrived; only the note of it is missing. It will be sent again, and be there.
            PutError::new(super::Cause::ServerError, error_text(&error))
        })?;
        self.event(Event::Arrived);
        let now = self.clock.unix_microseconds();
        self.status.change(|status| {
            status.delivered_manifests += 1;
            status.last_success = Some(now);
        });
        Ok(())
    }

    /// Gives up the objects of a batch that has waited too long; its manifest stays.
    fn expire(&mut self, outbox: &Outbox, batch: &Batch) -> bool {
        let packed = packed_at(batch);
        let left = batch.manifest.objects.len() > batch.expired.len();
        if !left || !is_expired(packed, self.clock.unix_microseconds(), self.control.settings().retention) {
            return false;
        }
        let all: Vec<Expired> = (0..batch.manifest.objects.len())
            .map(|index| Expired { index, cause: ExpiryCause::Retention })
            .collect();
        self.give_up(outbox, batch, &all)
    }

    fn give_up(&mut self, outbox: &Outbox, batch: &Batch, expired: &[Expired]) -> bool {
        match outbox.expire(batch.manifest.number, expired) {
            Ok(()) => {
                self.status.change(|status| status.expired_objects += expired.len() as u64);
                true
            }
            // Nothing was given up then; the next round tries again.
            Err(error) => {
                tracing::warn!(error = error_text(&error), "objects could not be given up");
                false
            }
        }
    }

    /// Runs an attempt while the state machine's time goes on.
    async fn watched<T>(&mut self, outbox: &Outbox, attempt: impl Future<Output = T>) -> T {
        let mut attempt = std::pin::pin!(attempt);
        loop {
            match tokio::time::timeout(TICK, &mut attempt).await {
                Ok(result) => return result,
                Err(_) => self.tick(outbox),
            }
        }
    }

    /// Waits for so long after a failure, or until it is told to try again or to pause.
    async fn rest(&mut self, outbox: &Outbox, pause: Duration) {
        let over = tokio::time::Instant::now() + pause;
        loop {
            let step = (tokio::time::Instant::now() + TICK).min(over);
            let is_over = tokio::select! {
                () = tokio::time::sleep_until(step) => step == over,
                () = self.control.woken() => true,
                _ = self.paused.changed() => true,
            };
            self.tick(outbox);
            if is_over {
                return;
            }
        }
    }

    /// Takes a step and returns the pause that it asks for.
    fn event(&mut self, event: Event) -> Duration {
        let state = std::mem::take(&mut self.state);
        let (state, effects) = state.step(event, self.clock.monotonic(), self.random.f64());
        self.state = state;
        let mut pause = Duration::ZERO;
        let name = &self.status.snapshot().name;
        for effect in effects {
            match effect {
                Effect::RetryAfter(time) => pause = time,
                Effect::NoticeRecovered => tracing::info!(destination = name, "delivering again"),
                Effect::NoticeFailing => {
                    let trouble = self.state.trouble.as_ref();
                    let cause = trouble.map_or("", |trouble| trouble.cause.as_str());
                    let words = trouble.map_or("", |trouble| trouble.words.as_str());
                    let mend = trouble.map_or("", |trouble| trouble.cause.mend());
                    tracing::warn!(destination = name, cause, words, mend, "delivery is failing");
                }
            }
        }
        pause
    }

    /// Says that the credentials run out, when that is near.
    fn say_expiry(&mut self) {
        let end = self.control.settings().store.credentials_expire();
        if let Some(days) = self.expiry.due(end, self.clock.unix_microseconds()) {
            let destination = &self.status.snapshot().name;
            tracing::warn!(
                destination,
                days,
                "the destination's credentials run out soon, or have: renew them"
            );
        }
    }

    /// Brings the status up to date.
    fn refresh(&self, outbox: &Outbox) {
        let waiting = outbox.waiting();
        let now = self.clock.unix_microseconds();
        let failing_for = self.state.trouble.as_ref().map(|t| self.clock.monotonic().saturating_sub(t.since));
        let oldest = waiting.first().map(|batch| packed_at(batch));
        let ShipSettings { store, retention, .. } = self.control.settings();
        let retention = u64::try_from(retention.as_micros()).unwrap_or(u64::MAX);
        let trouble = self.state.trouble.as_ref();
        let credentials_expire = store.credentials_expire();
        self.status.change(|status| {
            status.place = store.place();
            status.state = self.state.phase();
            status.cause = trouble.map(|trouble| trouble.cause);
            status.words = trouble.map(|trouble| trouble.words.clone());
            status.mend = trouble.map(|trouble| trouble.cause.mend());
            status.since = failing_for.map(|time| now.saturating_sub(time.as_micros() as u64));
            status.undelivered_batches = waiting.len() as u64;
            status.undelivered_records = waiting.iter().map(|batch| batch.manifest.records()).sum();
            let bytes =
                |batch: &Arc<Batch>| batch.manifest.objects.iter().map(|object| object.bytes).sum::<u64>();
            status.undelivered_bytes = waiting.iter().map(bytes).sum();
            status.lag_seconds = oldest.map_or(0.0, |time| now.saturating_sub(time) as f64 / 1e6);
            status.credentials_expire = credentials_expire;
            status.first_loss = oldest.map(|time| time.saturating_add(retention));
        });
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper").field("state", &self.state).finish_non_exhaustive()
    }
}

/// When the batch was packed, in Unix microseconds; "just now" for a text that
/// is no time, so that nothing is given up by mistake.
fn packed_at(batch: &Batch) -> u64 {
    let time: Result<jiff::Timestamp, _> = batch.manifest.time.parse();
    time.ok().and_then(|time| u64::try_from(time.as_microsecond()).ok()).unwrap_or(u64::MAX)
}

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
