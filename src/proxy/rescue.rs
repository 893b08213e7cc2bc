//! Makes a response of every error, inside capture, so that what the client is told is on
//! record like any other response.

use super::body::ResponseBody;
use super::error::ForwardError;
use crate::capture::{Account, Call, Lane};
use crate::error_chain::Chain;
use crate::record::ErrorType;
use http::{Method, Response};
use hyper::service::Service;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Makes a response of every error of the inner service.
#[derive(Clone, Debug)]
pub(super) struct Rescue<S> {
    lane: Rc<Lane>,
    inner: S,
}

impl<S> Rescue<S> {
    /// Around this service; what is refused is counted in the lane.
    pub(super) fn new(lane: Rc<Lane>, inner: S) -> Self {
        Self { lane, inner }
    }
}

impl<S> Service<Call> for Rescue<S>
where
    S: Service<Call, Response = Response<ResponseBody>, Error = ForwardError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = RescueFuture<S::Future>;

    fn call(&self, call: Call) -> Self::Future {
        let account = Rc::clone(&call.account);
        let method = call.request.method().clone();
        RescueFuture { inner: self.inner.call(call), lane: Rc::clone(&self.lane), account, method }
    }
}

pin_project! {
    /// The response of the inner service, or the one that its error makes.
    #[derive(Debug)]
    pub struct RescueFuture<F> {
        #[pin]
        inner: F,
        lane: Rc<Lane>,
        account: Rc<Account>,
        method: Method,
    }
}

impl<F> Future for RescueFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, ForwardError>>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let error = match ready!(this.inner.poll(context)) {
            Ok(response) => return Poll::Ready(Ok(response)),
            Err(error) => error,
        };
        let error_type = error.error_type();
        this.account.fail(error_type);
        match error {
            ForwardError::Refused { error, .. } => this.lane.stats().refusals.add(error),
            // One whose form is broken was counted where that was seen.
            ForwardError::RequestBody(error) if error != ErrorType::Malformed => {
                this.lane.stats().refusals.add(error);
            }
            _ => {}
        }
        if !matches!(error, ForwardError::Refused { .. } | ForwardError::RequestBody(ErrorType::ClientAbort))
        {
            tracing::debug!(
                error = %Chain(&error),
                "event.id" = %this.account.event_id(),
                "the request could not be forwarded"
            );
        }
        let response = error.response(this.method, this.account.event_id());
        Poll::Ready(Ok(response.map(ResponseBody::Own)))
    }
}
