//! The inspector: one thread that looks into bodies.

use super::decode::decode;
use super::entities::Containers;
use super::job::{Job, Message, Outbox, Queue};
use super::plan::RoutePlan;
use super::select::{Selection, each};
use super::states::{Key, States};
use super::take::{Bounds, Taken};
use super::{Options, meaning};
use crate::metrics::Families;
use crate::record::{Field, InspectionError, RecordView, RecordWriter};
use crate::routes::{Action, Route};
use crate::spool::frame::{self, Kind};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// How much larger than as sent a decoded body may be.
const DECODED_TIMES: usize = 16;
/// How much lower than the workers the inspector stands in the scheduler's order.
const NICE: i32 = 5;
/// What a body that was looked into without fault counts as.
const FINE: &str = "ok";

/// An exchange with the wanted parts of its bodies.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Its record.
    pub record: &'a RecordView<'a>,
    /// Its route.
    pub route: &'a Route,
    /// What it did, where that can be told.
    pub action: Option<Action>,
    /// What the bodies name as affected: type and id.
    pub named: &'a [(&'a str, &'a str)],
    /// The request's body, as far as it is wanted.
    pub request: Option<&'a Value>,
    /// The body of a successful response, as far as it is wanted.
    pub response: Option<&'a Value>,
}

/// Sees each exchange that is looked into. What it may see of a body beyond the catalogue's
/// pointers is said when the [`super::BodyPlans`] are made.
pub trait Watch: Send {
    /// Sees an exchange; what it writes goes into the record. Never a secret.
    fn see(&mut self, exchange: &Exchange<'_>, out: &mut RecordWriter<'_>);
}

/// A running inspector.
#[derive(Debug)]
pub struct Inspector {
    queue: Queue,
    outbox: Outbox,
    sender: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Inspector {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        options: Options,
        watches: Vec<Box<dyn Watch>>,
        metrics: &Families,
    ) -> std::io::Result<Self> {
        for result in [FINE].into_iter().chain(InspectionError::ALL.iter().map(|error| error.as_str())) {
            // Shown from the start, so that the first rise is seen.
            metrics.inspections.with_label_values(&[result]);
        }
        let (sender, receiver) = mpsc::channel();
        let outbox = Outbox::default();
        let worker = Worker {
            options,
            watches,
            outbox: outbox.clone(),
            metrics: metrics.clone(),
            states: States::default(),
            containers: Containers::default(),
            decoded: Vec::new(),
            supplement: Vec::new(),
            frame: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("inspect".into()).spawn(move || {
            // Looking into bodies must never be had at the workers' cost.
            let _ = rustix::process::nice(NICE);
            worker.run(&receiver);
        })?;
        let queue = Queue::new(sender.clone(), Bounds::new(options.bytes, options.memory));
        Ok(Self { queue, outbox, sender, thread: Some(thread) })
    }

    /// The way to it.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// What it found, for the recorder.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Looks into what waits and ends. To be called when no worker runs any more, and before
    /// the recorder ends.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.sender.send(Message::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the inspector panicked");
        }
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    options: Options,
    watches: Vec<Box<dyn Watch>>,
    outbox: Outbox,
    metrics: Families,
    states: States,
    containers: Containers,
    decoded: Vec<u8>,
    supplement: Vec<u8>,
    frame: Vec<u8>,
}

impl Worker {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(Message::Job(job)) = receiver.recv() {
            // A decoder that panics over a hostile body costs that body, not the thread.
            let result = catch_unwind(AssertUnwindSafe(|| self.inspect(&job)));
            let result = result.unwrap_or_else(|_| {
                tracing::error!("looking into a body panicked; its record says `lost`");
                Some(InspectionError::Lost)
            });
            let label = result.map_or(FINE, InspectionError::as_str);
            self.metrics.inspections.with_label_values(&[label]).inc();
        }
    }

    fn inspect(&mut self, job: &Job) -> Option<InspectionError> {
        let (route, plan) = (job.routes.route(job.route), job.plans.plan(job.route)?);
        let record = RecordView::parse(&job.record).ok()?;
        let (request, request_error) = part(self.read(job.request.as_ref(), &plan.request));
        let (response, response_error) = part(self.read(job.response.as_ref(), &plan.response));
        let error = request_error
            .filter(|_| !plan.request_for_others)
            .or(response_error.filter(|_| !plan.response_for_others));

        self.supplement.clear();
        let mut out = RecordWriter::new(&mut self.supplement);
        if let Some(error) = error {
            out.integer(Field::InspectionError, error as u64);
        }
        let key = key(job, &record, plan.remembers);
        let source = record.bytes(Field::Source).unwrap_or_default();
        // An action that hangs on a body that can't be read stays open, as the record has it.
        let mut action = job.settled.decided();
        if action.is_none() && request_error.is_none() {
            let before = key.as_ref().and_then(|key| self.states.before(key, source, record.start()));
            action = meaning::action(route, job.settled, request.as_ref(), before, &mut out);
        }
        let made = meaning::resource_id(route, &record, response.as_ref());
        if let Some(id) = made {
            out.text(Field::ResourceId, id);
        }
        let has_environment = record.bytes(Field::Environment).is_some_and(|name| !name.is_empty());
        if let (Some(pointer), Some(request), false) = (&route.environment_pointer, &request, has_environment)
            && let Some(name) = first(request, pointer).and_then(meaning::text)
        {
            out.text(Field::Environment, name);
        }
        let mut named = meaning::named(plan, request.as_ref(), response.as_ref());
        // What was only validated changes nothing.
        let is_trial = action == Some(Action::Validate) && route.action != Action::Validate;
        if let Some(key) = key.clone().filter(|_| plan.remembers && !is_trial) {
            let is_read =
                request_error.or(response_error).is_none() && (request.is_some() || response.is_some());
            let named = is_read.then_some(&named[..]);
            remember_container(&mut self.containers, key, made, named, &record, &route.method);
        }
        let held = key.as_ref().filter(|_| plan.recalls && named.is_empty());
        // Its own copy: what is kept in mind changes below.
        let recalled = held.and_then(|key| self.containers.held(key, record.start())).map(<[_]>::to_vec);
        if let Some(held) = &recalled {
            named.extend(held.iter().map(|(kind, id)| (kind.as_str(), id.as_str())));
        }
        if !plan.shows_only {
            meaning::resources(&named, self.options.resources, &mut out);
        }
        let (request, response) = (request.as_ref(), response.as_ref());
        job.plans.looked_into(job.route, record.start());
        let named = &named[..];
        let exchange = Exchange { record: &record, route, action, named, request, response };
        for watch in self.watches.iter_mut().filter(|_| !is_trial) {
            watch.see(&exchange, &mut out);
        }
        if let Some(key) = key.filter(|_| !is_trial) {
            self.remember(key, route, plan, &exchange);
        }
        if job.quiet {
            return response_error;
        }
        if let Some(patterns) = job.plans.patterns() {
            patterns.rewrite(&mut self.supplement);
        }
        self.frame.clear();
        let version = crate::record::wire::WIRE_VERSION;
        frame::append(&mut self.frame, Kind::Supplement, version, job.lane, job.sequence, &self.supplement);
        if self.outbox.put(&self.frame) { error } else { Some(InspectionError::Lost) }
    }

    fn read(
        &mut self,
        body: Option<&Taken>,
        selection: &Selection,
    ) -> Result<Option<Value>, InspectionError> {
        let Some((bytes, coding)) = body.map(Taken::body).transpose()?.flatten() else { return Ok(None) };
        self.decoded.clear();
        let limit = self.options.bytes.saturating_mul(DECODED_TIMES);
        let read =
            decode(bytes, coding, limit, &mut self.decoded).and_then(|()| selection.read(&self.decoded));
        if self.decoded.capacity() > self.options.bytes {
            self.decoded = Vec::new();
        }
        read.map(Some)
    }

    /// Keeps in mind what the exchange says of the resource's state.
    fn remember(&mut self, key: Key, route: &Route, plan: &RoutePlan, exchange: &Exchange<'_>) {
        let record = exchange.record;
        let source = record.bytes(Field::Source).unwrap_or_default();
        let (start, end) = (record.start(), record.start() + record.integer(Field::Duration).unwrap_or(0));
        let is_success = matches!(record.integer(Field::Status), Some(200..=299));
        if plan.changes_state {
            let stated = route.variants.iter().flat_map(|v| v.when.request_body_contains.keys()).next();
            let set = stated.filter(|_| is_success).and_then(|pointer| first(exchange.request?, pointer));
            self.states.written(key, source, set.and_then(meaning::states), end);
        } else if let Some(pointer) = &route.state_pointer
            && let Some(states) = exchange.response.and_then(|body| meaning::states(first(body, pointer)?))
        {
            self.states.shown(key, source, states, start, end);
        }
    }
}

/// Notes what a release and the like holds; `made`: the id that the response gave it.
fn remember_container(
    containers: &mut Containers,
    (namespace, kind, mut path): Key,
    made: Option<&str>,
    named: Option<&[(&str, &str)]>,
    record: &RecordView<'_>,
    method: &str,
) {
    if !matches!(record.integer(Field::Status), Some(200..=299)) {
        return;
    }
    if let Some(id) = made {
        path.push(b'\0');
        path.extend_from_slice(id.as_bytes());
    }
    let own = |(kind, id): &(&str, &str)| ((*kind).to_owned(), (*id).to_owned());
    let named = named.filter(|_| method != "DELETE").map(|named| named.iter().map(own).collect());
    let end = record.start() + record.integer(Field::Duration).unwrap_or(0);
    containers.note((namespace, kind, path), named, end);
}

fn part(read: Result<Option<Value>, InspectionError>) -> (Option<Value>, Option<InspectionError>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (None, Some(error)),
    }
}

fn first<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut found = None;
    each(value, pointer, &mut |value| found = found.or(Some(value)));
    found
}

/// The resource of an exchange, as all routes to it name it.
/// `or_parent`: of what has no id in its path, what it is made in.
fn key(job: &Job, record: &RecordView<'_>, or_parent: bool) -> Option<Key> {
    let route = job.routes.route(job.route);
    let matched = job.routes.find(route.method.as_bytes(), record.bytes(Field::Path)?)?;
    if route.resource.is_none() && !or_parent {
        return None;
    }
    let namespace = record.bytes(Field::Namespace)?.to_owned();
    Some((namespace, route.resource_type.clone(), matched.parameters.join(&b'\0')))
}
