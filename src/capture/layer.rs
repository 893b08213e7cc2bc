//! The outermost layer of the stack: it opens the account when a request head is read and
//! sees to it that what the client gets closes it, refusals included.

use super::body::{BodyError, RecordedBody};
use super::exchange::{Account, Exchange};
use super::lane::Lane;
use super::last_credential::LastCredential;
use super::peer::Peer;
use super::source::Source;
use crate::record::ErrorType;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A request with its account and its source, as the inner layers get it.
#[derive(Debug)]
pub struct Call {
    /// The request as it came.
    pub request: Request<Incoming>,
    /// Where the inner layers note what they find out.
    pub account: Rc<Account>,
    /// Who sent it.
    pub peer: Rc<Peer>,
    /// The source that took it.
    pub source: Rc<Source>,
    /// Position of the source in the configuration; `None` where no source takes the request's host.
    pub index: Option<usize>,
}

/// Finds the source of a request: the listener's only one, or by host.
pub trait FindSource {
    /// The source and its position, unless no source takes this host.
    fn find(&self, request: &Request<Incoming>) -> Option<(usize, Rc<Source>)>;

    /// The source whose record tells of requests that no source takes.
    fn fallback(&self) -> Rc<Source>;
}

/// Puts every request on the record. Never fails itself.
#[derive(Clone, Debug)]
pub struct Capture<F, S> {
    lane: Rc<Lane>,
    peer: Rc<Peer>,
    last: Rc<LastCredential>,
    sources: F,
    inner: S,
}

impl<F, S> Capture<F, S> {
    /// A layer for one connection.
    pub fn new(lane: Rc<Lane>, peer: Rc<Peer>, sources: F, inner: S) -> Self {
        Self { lane, peer, last: Rc::default(), sources, inner }
    }
}

impl<F, S, B> Service<Request<Incoming>> for Capture<F, S>
where
    F: FindSource,
    S: Service<Call, Response = Response<B>, Error = std::convert::Infallible>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: BodyError,
{
    type Response = Response<RecordedBody<B>>;
    type Error = std::convert::Infallible;
    type Future = ResponseFuture<S::Future, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (index, source) = match self.sources.find(&request) {
            Some((index, source)) => (Some(index), source),
            None => (None, self.sources.fallback()),
        };
        let exchange = source.begin(&self.lane, &request, (&self.peer, &self.last));
        let account = Rc::clone(exchange.account());
        let inner = self.inner.call(Call { request, account, peer: Rc::clone(&self.peer), source, index });
        ResponseFuture { inner, exchange: Some(exchange), held: None }
    }
}

pin_project! {
    /// The response of the inner layers, put on the record. On a durable or strict route one
    /// without a body, or whose body is here with its head, is withheld until its record is on
    /// disk.
    pub struct ResponseFuture<F, B: Body> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
        held: Option<Box<Response<RecordedBody<B>>>>,
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: BodyError,
{
    type Output = Result<Response<RecordedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(held) = this.held.as_deref_mut() {
            ready!(held.body_mut().poll_head(context));
        }
        if let Some(held) = this.held.take() {
            return Poll::Ready(Ok(*held));
        }
        let response = ready!(this.inner.poll(context))?;
        let exchange = this.exchange.take().expect("a future is not polled after it was ready");
        if exchange.account().error() == Some(ErrorType::ClientAbort) {
            // The client left in its own request body: nobody reads this response.
            drop(exchange);
            return Poll::Ready(Ok(response.map(RecordedBody::off_record)));
        }
        exchange.response_head(response.status(), response.headers());
        let mut response = response.map(|body| RecordedBody::new(body, exchange));
        if response.body_mut().poll_head(context).is_pending() {
            *this.held = Some(Box::new(response));
            return Poll::Pending;
        }
        Poll::Ready(Ok(response))
    }
}
