//! What a worker copies of bodies, for routes that want it, and how it is handed over.
//! The design is told in [`crate::inspect`].

use super::exchange::Account;
use super::source::{Described, Source};
use crate::inspect::{BodyPlans, Coding, Job, Queue, Taken, Wants};
use crate::record::{Field, InspectionError, RecordWriter};
use crate::routes::RouteIndex;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};
use std::sync::Arc;

/// What of a source's bodies is looked into, and by whom.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What is wanted of each route.
    pub plans: Arc<BodyPlans>,
    /// The way to the inspector.
    pub queue: Queue,
}

/// The copies of one exchange.
#[derive(Debug)]
pub(super) struct Bodies {
    queue: Queue,
    request: Option<Taken>,
    response: Option<Taken>,
}

impl Source {
    pub(super) fn wants(&self, route: Option<RouteIndex>) -> Wants {
        match (&self.plan().inspection, route) {
            (Some(inspection), Some(route)) => inspection.plans.wants(route),
            _ => Wants::default(),
        }
    }

    #[cold]
    pub(super) fn begin_inspection(&self, described: Described, headers: &HeaderMap, account: &Account) {
        let Some(inspection) = &self.plan().inspection else { return };
        let take = || inspection.queue.bounds().take(Coding::of(headers), length(headers));
        let request = described.wants.request().then(take);
        let bodies = Bodies { queue: inspection.queue.clone(), request, response: None };
        *account.bodies.borrow_mut() = Some(Box::new(bodies));
    }

    /// Makes the job of an exchange that wants one, and says in its record that it will be
    /// looked into. Lane and record of the job are still to be filled in.
    #[cold]
    pub(super) fn end_inspection(
        &self,
        described: Described,
        status: u16,
        account: &Account,
        writer: &mut RecordWriter<'_>,
    ) -> Option<(Queue, Job)> {
        let bodies = *account.bodies.borrow_mut().take()?;
        let inspection = self.plan().inspection.as_ref()?;
        let index = described.route?;
        let (sequence, _) = account.place.get()?;
        let has_body = account.received() > 0;
        let request = bodies.request.filter(|_| has_body);
        let settled = Self::settle(self.plan().routes.route(index), described, status, has_body);
        let is_idle = request.is_none() && bodies.response.is_none() && !described.wants.told();
        if is_idle && settled.decided().is_some() {
            return None;
        }
        let is_quiet = described.wants.quiet();
        let Some(reservation) = bodies.queue.reserve() else {
            if is_quiet {
                return None;
            }
            writer.integer(Field::InspectionError, InspectionError::Overload as u64);
            return None;
        };
        if !is_quiet {
            writer.integer(Field::Inspected, 1);
        }
        let job = Job {
            lane: 0,
            sequence,
            record: Vec::new(),
            routes: Arc::clone(&self.plan().routes),
            plans: Arc::clone(&inspection.plans),
            route: index,
            settled,
            quiet: is_quiet,
            request,
            response: bodies.response,
            reservation,
        };
        Some((bodies.queue, job))
    }
}

impl Account {
    /// Copies a frame of the request's body, where its route wants it. `ends`: nothing comes behind it.
    #[inline]
    pub fn copy_request(&self, frame: &[u8], ends: bool) {
        if self.wants.get().request() {
            self.copy_wanted_request(frame, ends);
        }
    }

    #[cold]
    fn copy_wanted_request(&self, frame: &[u8], ends: bool) {
        if let Some(request) = self.bodies.borrow_mut().as_mut().and_then(|bodies| bodies.request.as_mut()) {
            request.push(frame);
            if ends {
                request.complete();
            }
        }
    }

    /// Only what succeeded tells of the API's things; errors have ids of their own.
    #[cold]
    pub(super) fn begin_response(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(bodies) = self.bodies.borrow_mut().as_mut()
            && status.is_success()
            && length(headers) != Some(0)
        {
            bodies.response = Some(bodies.queue.bounds().take(Coding::of(headers), length(headers)));
        }
    }

    #[cold]
    pub(super) fn copy_response(&self, frame: &[u8]) {
        if let Some(response) = self.bodies.borrow_mut().as_mut().and_then(|bodies| bodies.response.as_mut())
        {
            response.push(frame);
        }
    }

    pub(super) fn end_response(&self) {
        if self.wants.get().response()
            && let Some(bodies) = self.bodies.borrow_mut().as_mut()
            && let Some(response) = &mut bodies.response
        {
            response.complete();
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
