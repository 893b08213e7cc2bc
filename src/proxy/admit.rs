//! Refuses what must not go on: too many requests in flight, a form that is not forwarded,
//! a body that is too large by its own account.

use super::body::ResponseBody;
use super::error::ForwardError;
use super::forward::Target;
use super::meaning;
use super::options::OddPaths;
use crate::capture::{Call, ClientLimit, ClientTable, Lane};
use crate::record::ErrorType;
use http::{Method, Response, StatusCode};
use hyper::service::Service;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// What one source lets pass.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Requests in flight a worker.
    pub max_in_flight: usize,
    /// The fate of odd paths.
    pub odd_paths: OddPaths,
    /// True while nothing more can be put on record (`when_full = "refuse_new"`). It is
    /// written when that changes, so reading it costs a request nothing.
    pub refusing: Arc<AtomicBool>,
    /// What each client may have; `None`: no limits are set.
    pub clients: Option<Arc<ClientTable>>,
}

/// Passes on what may go on.
#[derive(Clone, Debug)]
pub(super) struct Admit<S> {
    lane: Rc<Lane>,
    sources: Rc<[(Policy, Rc<Target>)]>,
    inner: S,
}

impl<S> Admit<S> {
    /// Around this service; policies and targets by the source's position.
    pub(super) fn new(lane: Rc<Lane>, sources: Rc<[(Policy, Rc<Target>)]>, inner: S) -> Self {
        Self { lane, sources, inner }
    }

    fn judge(&self, call: &Call) -> Result<(), ForwardError> {
        let refused = |status, error, reason| Err(ForwardError::refused(status, error, reason));
        let Some((policy, target)) = call.index.and_then(|index| self.sources.get(index)) else {
            return refused(
                StatusCode::MISDIRECTED_REQUEST,
                ErrorType::NoSource,
                "no source takes this host",
            );
        };
        if let Some(clients) = &policy.clients {
            let client = call.source.client(&call.peer, call.request.headers());
            match clients.begin(client, call.account.start()) {
                Ok(permit) => permit.into_iter().for_each(|permit| call.account.hold(permit)),
                Err(limit) => {
                    let reason = match limit {
                        ClientLimit::Rate => "too many requests of this client in a short time",
                        _ => "too many requests of this client at once",
                    };
                    return refused(StatusCode::TOO_MANY_REQUESTS, ErrorType::ClientLimit, reason);
                }
            }
        }
        if !call.account.has_slot() || self.lane.in_flight() > policy.max_in_flight {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorType::Overload,
                "too many requests in flight",
            );
        }
        if policy.refusing.load(Ordering::Relaxed) {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorType::NotRecordable,
                "the request can not be put on record now",
            );
        }
        if *call.request.method() == Method::CONNECT {
            return refused(StatusCode::NOT_IMPLEMENTED, ErrorType::Unsupported, "CONNECT is not forwarded");
        }
        meaning::judge(&call.request)?;
        if policy.odd_paths == OddPaths::Refuse
            && call.source.is_odd(&call.account, call.request.uri().path())
        {
            return refused(StatusCode::BAD_REQUEST, ErrorType::OddPath, "paths of this form are refused");
        }
        let length = http_body::Body::size_hint(call.request.body()).exact();
        if let (Some(limit), Some(length)) = (target.limits().body_bytes, length)
            && length > limit
        {
            return refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorType::TooLarge,
                "the request body is too large",
            );
        }
        Ok(())
    }
}

impl<S> Service<Call> for Admit<S>
where
    S: Service<Call, Response = Response<ResponseBody>, Error = ForwardError>,
{
    type Response = Response<ResponseBody>;
    type Error = ForwardError;
    type Future = Admitted<S::Future>;

    fn call(&self, call: Call) -> Self::Future {
        match self.judge(&call) {
            Ok(()) => Admitted::Through { future: self.inner.call(call) },
            Err(refusal) => Admitted::Refused { error: Some(refusal) },
        }
    }
}

pin_project! {
    /// The inner service's future, or why the request does not get there.
    #[project = Project]
    pub(super) enum Admitted<F> {
        Through {
            #[pin]
            future: F,
        },
        Refused {
            error: Option<ForwardError>,
        },
    }
}

impl<F> Future for Admitted<F>
where
    F: Future<Output = Result<Response<ResponseBody>, ForwardError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Project::Through { future } => future.poll(context),
            Project::Refused { error } => {
                Poll::Ready(Err(error.take().expect("a future is not polled after it was ready")))
            }
        }
    }
}
