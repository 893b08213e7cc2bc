//! A connection to an HTTP/1.1 upstream whose answers are looked at before hyper sees them: an
//! upstream that lies about the form of one response harms that exchange alone.

use super::body::RequestBody;
use super::upstream::UpstreamIo;
use crate::http1::ResponseGuard;
use crate::metrics::LaneStats;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Sends requests on a connection, and tells the guard over their answers of each.
#[derive(Debug)]
pub(super) struct CheckedSender {
    sender: SendRequest<RequestBody>,
    guard: Rc<RefCell<ResponseGuard>>,
    reached: Rc<Cell<bool>>,
}

impl CheckedSender {
    /// Sends a request, as hyper's sender does.
    pub(super) fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        self.reached.set(false);
        self.guard.borrow_mut().expect(*request.method() == Method::HEAD);
        self.sender.try_send_request(request)
    }

    /// True once anything of the request that was sent last has left for the upstream.
    pub(super) fn reached(&self) -> &Rc<Cell<bool>> {
        &self.reached
    }

    /// Whether a request can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The connection with its guard. After a fault every read is an error, so that hyper closes it.
#[derive(Debug)]
pub(super) struct AnswerIo<S> {
    inner: S,
    guard: Rc<RefCell<ResponseGuard>>,
    reached: Rc<Cell<bool>>,
    held: Vec<u8>,
    /// Of what is held, this much may go on.
    cleared: usize,
    stats: Arc<LaneStats>,
    is_told: bool,
}

impl<S> AnswerIo<S> {
    /// Around a new connection. What is refused is counted.
    pub(super) fn new(inner: S, stats: Arc<LaneStats>) -> Self {
        let (guard, reached) = Default::default();
        Self { inner, guard, reached, held: Vec::new(), cleared: 0, stats, is_told: false }
    }

    /// Makes the sender of requests on this connection of hyper's.
    pub(super) fn checker(&self) -> impl FnOnce(SendRequest<RequestBody>) -> CheckedSender + use<S> {
        let (guard, reached) = (Rc::clone(&self.guard), Rc::clone(&self.reached));
        move |sender| CheckedSender { sender, guard, reached }
    }

    /// The connection without its guard, and what has come and was not read yet.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.inner, self.held)
    }

    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let here = self.cleared.min(buffer.remaining());
        if here == 0 {
            return false;
        }
        buffer.put_slice(&self.held[..here]);
        self.held.drain(..here);
        self.cleared -= here;
        true
    }

    fn take_in(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let mut guard = self.guard.borrow_mut();
        let new = &buffer.filled()[before..];
        if self.held.is_empty() {
            let here = guard.advance(new);
            self.held.extend_from_slice(&new[here..]);
            buffer.set_filled(before + here);
        } else {
            self.held.extend_from_slice(new);
            buffer.set_filled(before);
            self.cleared += guard.advance(&self.held[self.cleared..]);
            drop(guard);
            self.hand_on(buffer);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.hand_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            let fault = this.guard.borrow().fault();
            if let Some(fault) = fault {
                if !std::mem::replace(&mut this.is_told, true) {
                    this.stats.response_faults.add(fault);
                }
                return Poll::Ready(Err(fault.into()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.take_in(buffer, before);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AnswerIo<UpstreamIo> {
    fn note(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(length)) if length > 0) && !self.inner.is_deaf() {
            self.reached.set(true);
        }
        result
    }
}

impl AsyncWrite for AnswerIo<UpstreamIo> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
