//! The gate of strict routes: the upstream sees a request only once it is on disk that there
//! is one.

use super::body::ResponseBody;
use super::error::ForwardError;
use crate::capture::{Call, CommitWait, Committed, Durability, Lane};
use crate::record::ErrorType;
use http::{Response, StatusCode};
use hyper::service::Service;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Lets requests of other classes through at once; refuses strict ones that can't be put on
/// disk in time.
#[derive(Debug)]
pub(super) struct Gate<S> {
    lane: Rc<Lane>,
    inner: Rc<S>,
}

impl<S> Gate<S> {
    /// Before this service.
    pub(super) fn new(lane: Rc<Lane>, inner: S) -> Self {
        Self { lane, inner: Rc::new(inner) }
    }
}

impl<S> Service<Call> for Gate<S>
where
    S: Service<Call, Response = Response<ResponseBody>, Error = ForwardError>,
{
    type Response = Response<ResponseBody>;
    type Error = ForwardError;
    type Future = GateFuture<S>;

    fn call(&self, call: Call) -> Self::Future {
        if call.account.durability() != Durability::Strict {
            return GateFuture::Through { future: self.inner.call(call) };
        }
        // Where commits fail, nobody has to find that out by waiting.
        let wait = match self.lane.is_stalled() {
            true => None,
            false => self.lane.commit_intent(&call.source, &call.account),
        };
        match wait {
            Some(wait) => {
                call.account.begin_wait();
                GateFuture::Waiting { wait, call: Some(Box::new(call)), inner: Rc::clone(&self.inner) }
            }
            None => {
                call.source.count_not_recordable();
                GateFuture::Refused
            }
        }
    }
}

pin_project! {
    /// The inner service's future, once the request may go on. Dropped while it waits, it has
    /// done nothing but leave an intent, which the exchange's record supersedes.
    #[project = Project]
    pub(super) enum GateFuture<S: Service<Call>> {
        Through {
            #[pin]
            future: S::Future,
        },
        Waiting {
            wait: CommitWait,
            call: Option<Box<Call>>,
            inner: Rc<S>,
        },
        Refused,
    }
}

impl<S> Future for GateFuture<S>
where
    S: Service<Call, Response = Response<ResponseBody>, Error = ForwardError>,
{
    type Output = Result<Response<ResponseBody>, ForwardError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                Project::Through { future } => return future.poll(context),
                Project::Waiting { wait, call, inner } => {
                    let committed = ready!(wait.poll(context));
                    let call = call.take().expect("a future is not polled after it was ready");
                    call.account.end_wait();
                    match committed {
                        Committed::OnDisk => Self::Through { future: inner.call(*call) },
                        Committed::InDoubt => {
                            call.source.count_not_recordable();
                            Self::Refused
                        }
                    }
                }
                Project::Refused => {
                    return Poll::Ready(Err(ForwardError::refused(
                        StatusCode::SERVICE_UNAVAILABLE,
                        ErrorType::NotRecordable,
                        "the request can not be put on record now",
                    )));
                }
            };
            self.set(next);
        }
    }
}
