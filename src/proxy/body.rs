//! Bodies on their way through: passed on frame by frame, never gathered.

use super::error::ResponseBodyError;
use super::expect::{Expectation, Held};
use super::headers::strip_trailers;
use super::options::Limits;
use super::upgrade::Tunnel;
use super::upstream::{Lease, UpstreamError};
use crate::capture::Account;
use crate::http1::Fault;
use crate::record::ErrorType;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;

/// Sets the account's deadline to `phase` from now, or to the end of the whole request's
/// time where that comes first.
pub(super) fn arm(account: &Account, limits: &Limits, phase: Duration) {
    let left = limits.request_timeout.map(|whole| whole.saturating_sub(account.start().elapsed()));
    account.timer().set(left.map_or(phase, |left| left.min(phase)));
}

/// Whether the whole request's time is over.
pub(super) fn is_past_deadline(account: &Account, limits: &Limits) -> bool {
    limits.request_timeout.is_some_and(|whole| account.start().elapsed() >= whole)
}

/// The request's body on its way to the upstream: counted, limited in size and in time.
#[derive(Debug)]
pub(super) struct RequestBody(Option<Streaming>);

#[derive(Debug)]
struct Streaming {
    inner: Incoming,
    account: Rc<Account>,
    limits: Rc<Limits>,
    waiting: bool,
    held: Option<Held>,
}

/// The request's body failed; the cause is in the account.
#[derive(Clone, Copy, Debug, Error)]
#[error("the request's body could not be read: {}", .0.as_str())]
pub struct RequestBodyError(ErrorType);

impl RequestBody {
    /// No body.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    /// Takes over the body.
    #[must_use]
    pub(super) fn new(inner: Incoming, account: &Rc<Account>, limits: &Rc<Limits>) -> Self {
        if inner.is_end_stream() {
            return Self(None);
        }
        Self(Some(Streaming {
            inner,
            account: Rc::clone(account),
            limits: Rc::clone(limits),
            waiting: false,
            held: None,
        }))
    }

    /// Holds it back until the upstream wants it; `None`: sends it at once.
    pub(super) fn hold(&mut self, held: Option<Held>) {
        if let Some(body) = &mut self.0 {
            body.held = held;
        }
    }
}

impl Streaming {
    fn failed(&mut self, error: ErrorType) -> RequestBodyError {
        self.account.fail(error);
        RequestBodyError(error)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(body) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        if let Some(held) = &body.held {
            if !ready!(held.poll(context)) {
                // The answer is complete without it; this ends the upstream's connection.
                return Poll::Ready(Some(Err(RequestBodyError(ErrorType::UpstreamReset))));
            }
            body.held = None;
        }
        match Pin::new(&mut body.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                body.waiting = false;
                if let Some(trailers) = frame.trailers_mut() {
                    strip_trailers(trailers);
                }
                body.account.wait_for_client(false);
                if let Some(data) = frame.data_ref() {
                    body.account.add_received(data.len());
                    body.account.copy_request(data, body.inner.is_end_stream());
                    if body.limits.body_bytes.is_some_and(|limit| body.account.received() > limit) {
                        return Poll::Ready(Some(Err(body.failed(ErrorType::TooLarge))));
                    }
                }
                // The upstream's time to answer runs from the end of the request.
                arm(&body.account, &body.limits, body.limits.response_timeout);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = match Fault::find(&error) {
                    Some(_) => ErrorType::Malformed,
                    None => ErrorType::ClientAbort,
                };
                Poll::Ready(Some(Err(body.failed(error))))
            }
            Poll::Ready(None) => {
                body.account.wait_for_client(false);
                body.account.copy_request(&[], true);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !body.waiting {
                    body.waiting = true;
                    arm(&body.account, &body.limits, body.limits.body_timeout);
                    body.account.wait_for_client(true);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.inner.size_hint())
    }
}

/// A response's body: the upstream's, or a short text of our own.
#[derive(Debug)]
pub enum ResponseBody {
    /// Passed on as it comes.
    Upstream(UpstreamBody),
    /// Our own.
    Own(Bytes),
    /// None: the connection leaves HTTP. The body is not at its end until the tunnel is
    /// taken out of it, so that nobody takes the exchange for finished.
    Tunnel(Box<Tunnel>),
}

/// The upstream's response body. At its end the connection goes back to the pool.
#[derive(Debug)]
pub struct UpstreamBody {
    inner: Coming,
    lease: Option<Lease>,
    account: Rc<Account>,
    limits: Rc<Limits>,
    waiting: bool,
    expectation: Option<Rc<Expectation>>,
}

/// Where a response's body comes from.
#[derive(Debug)]
pub(super) enum Coming {
    /// From the connection that the request has.
    Http1 {
        /// Whether its length was said before, be it 0.
        has_length: bool,
        /// Whether the head's fields are ready for the client.
        is_prepared: bool,
    },
    /// From a stream of HTTP/2.
    Http2(Incoming),
}

impl UpstreamBody {
    /// Takes over the body and the connection that it comes over.
    #[must_use]
    pub(super) fn new(
        inner: Coming,
        lease: Lease,
        account: Rc<Account>,
        limits: Rc<Limits>,
        expectation: Option<Rc<Expectation>>,
    ) -> Self {
        account.timer().clear();
        let mut body = Self { inner, lease: Some(lease), account, limits, waiting: false, expectation };
        body.give_back_at_end();
        body
    }

    fn give_back_at_end(&mut self) {
        let has_ended = match (&self.inner, &self.lease) {
            (Coming::Http2(inner), _) => inner.is_end_stream(),
            (Coming::Http1 { .. }, Some(lease)) => lease.http1_is_over(),
            (Coming::Http1 { .. }, None) => false,
        };
        if has_ended {
            self.give_back();
        }
    }

    /// Over HTTP/1.1 the connection is given away at the end, and only there.
    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Coming::Http2(inner) => inner.is_end_stream(),
            Coming::Http1 { .. } => self.lease.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.lease) {
            (Coming::Http2(inner), _) => inner.size_hint(),
            (Coming::Http1 { .. }, Some(lease)) => lease.http1_size_hint(),
            (Coming::Http1 { has_length: true, .. }, None) => SizeHint::with_exact(0),
            // Chunked it came and chunked it goes on, even where the end has come already.
            (Coming::Http1 { has_length: false, .. }, None) => SizeHint::default(),
        }
    }

    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match &mut self.inner {
            Coming::Http2(inner) => {
                Pin::new(inner).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Coming::Http1 { .. } => match self.lease.as_mut().and_then(Lease::http1) {
                Some(connection) => connection.poll_frame(context),
                None => Poll::Ready(None),
            },
        }
    }

    fn give_back(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if self.expectation.as_ref().is_some_and(|expectation| expectation.give_up()) {
            // The upstream may still wait for a body that will never come: not to be used again.
            return;
        }
        lease.give_back();
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        match self.poll_inner(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.waiting = false;
                if let Some(trailers) = frame.trailers_mut() {
                    strip_trailers(trailers);
                }
                self.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(ResponseBodyError::Upstream(error)))),
            Poll::Pending => {
                // The time runs from when we began to wait, not from the last frame: a slow
                // client must not use up the upstream's.
                if !self.waiting {
                    self.waiting = true;
                    arm(&self.account, &self.limits, self.limits.body_timeout);
                }
                match self.account.timer().poll(context) {
                    Poll::Ready(()) if is_past_deadline(&self.account, &self.limits) => {
                        Poll::Ready(Some(Err(ResponseBodyError::Deadline)))
                    }
                    Poll::Ready(()) => Poll::Ready(Some(Err(ResponseBodyError::Timeout))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        match self.get_mut() {
            Self::Upstream(body) => body.poll(context),
            Self::Own(text) if text.is_empty() => Poll::Ready(None),
            Self::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            // Not at its end, and nothing to come: a durable route's head does not wait for it.
            Self::Tunnel(_) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body) => body.is_end_stream(),
            Self::Own(text) => text.is_empty(),
            Self::Tunnel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body) => body.size_hint(),
            Self::Own(text) => SizeHint::with_exact(text.len() as u64),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
