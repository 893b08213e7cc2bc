//! The response body as the client gets it, which counts what it hands on and closes the
//! exchange at its end.

use super::durability::Durability;
use super::exchange::Exchange;
use super::wait::CommitWait;
use crate::record::ErrorType;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A response body on the record.
    ///
    /// The exchange is closed before the last byte is handed over: with an exact length
    /// when that many bytes have come (nobody may ask a second time), otherwise at the
    /// end of the stream. A body that is dropped earlier closes it as aborted.
    /// `is_end_stream` is never true before the exchange is closed.
    ///
    /// On a durable or strict route the last frame is withheld until the record is on disk;
    /// where the length is not known before, that is the end of the stream itself. A frame
    /// that is there together with the head is taken at once: if it is the last, the head
    /// waits with it, so that both leave in one write.
    #[derive(Debug)]
    pub struct RecordedBody<B: Body> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
        held: Option<Box<Held<B::Error>>>,
    }
}

/// A frame that was taken before it was asked for (`None`: the end of the stream), and what
/// it waits for.
#[derive(Debug)]
struct Held<E> {
    frame: Option<Result<Frame<Bytes>, E>>,
    wait: Option<CommitWait>,
}

impl<B: Body> RecordedBody<B> {
    /// Takes over the exchange together with the body. Where there is no byte to come,
    /// the exchange is closed at once, and the head may have to wait: `poll_head`.
    pub fn new(inner: B, exchange: Exchange) -> Self {
        if inner.is_end_stream() {
            let wait = exchange.finish();
            let held = wait.map(|wait| Box::new(Held { frame: None, wait: Some(wait) }));
            return Self { inner, exchange: None, held };
        }
        Self { inner, exchange: Some(exchange), held: None }
    }
}

impl<B: Body> RecordedBody<B> {
    /// Takes the exchange back out of the body; `None`: it is closed already.
    pub fn into_parts(self) -> (B, Option<Exchange>) {
        (self.inner, self.exchange)
    }

    /// A body that nobody will read: its exchange is closed already, or kept elsewhere.
    pub fn off_record(inner: B) -> Self {
        Self { inner, exchange: None, held: None }
    }
}

impl<B> RecordedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: BodyError,
{
    /// Whether the head may go out: at once, unless all of the response is here and its record
    /// is still on its way to the disk. Routes of class async never ask.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waits = |exchange: &Exchange| exchange.account().durability() != Durability::Async;
        if self.held.is_none()
            && self.exchange.as_ref().is_some_and(waits)
            && let Poll::Ready((frame, wait)) =
                take_frame(Pin::new(&mut self.inner), &mut self.exchange, context)
        {
            self.held = Some(Box::new(Held { frame, wait }));
        }
        ready!(poll_wait(&mut self.held, context));
        if self.held.as_ref().is_some_and(|held| held.frame.is_none()) {
            self.held = None;
        }
        Poll::Ready(())
    }
}

impl<B> Body for RecordedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: BodyError,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        if this.held.is_some() {
            ready!(poll_wait(this.held, context));
            return Poll::Ready(this.held.take().and_then(|held| held.frame));
        }
        let (frame, wait) = ready!(take_frame(this.inner, this.exchange, context));
        if wait.is_none() {
            return Poll::Ready(frame);
        }
        *this.held = Some(Box::new(Held { frame, wait }));
        ready!(poll_wait(this.held, context));
        Poll::Ready(this.held.take().and_then(|held| held.frame))
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none() && self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inner.size_hint();
        let frame = self.held.as_ref().and_then(|held| held.frame.as_ref());
        if let Some(Ok(frame)) = frame
            && let Some(data) = frame.data_ref()
        {
            let held = data.remaining() as u64;
            let lower = hint.lower() + held;
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + held);
            }
            hint.set_lower(lower);
        }
        hint
    }
}

/// The next frame of the inner body, counted; with what it has to wait for if it is the last.
#[allow(clippy::type_complexity, reason = "one use, and both parts are named right here")]
fn take_frame<B>(
    mut inner: Pin<&mut B>,
    exchange: &mut Option<Exchange>,
    context: &mut Context<'_>,
) -> Poll<(Option<Result<Frame<Bytes>, B::Error>>, Option<CommitWait>)>
where
    B: Body<Data = Bytes>,
    B::Error: BodyError,
{
    let frame = ready!(inner.as_mut().poll_frame(context));
    let mut wait = None;
    match &frame {
        Some(Ok(frame)) => {
            if let (Some(data), Some(exchange)) = (frame.data_ref(), exchange.as_ref()) {
                exchange.account().add_sent(data.remaining());
                if exchange.account().wants.get().response() {
                    exchange.account().copy_response(data);
                }
            }
            // Nobody asks again behind trailers, nor when an exact length has come.
            if (frame.is_trailers() || inner.is_end_stream())
                && let Some(exchange) = exchange.take()
            {
                wait = exchange.finish();
            }
        }
        None => wait = exchange.take().and_then(Exchange::finish),
        Some(Err(error)) => {
            if let Some(exchange) = exchange.take() {
                exchange.abort(error.error_type());
            }
        }
    }
    Poll::Ready((frame, wait))
}

/// On disk or in doubt, which is counted: the response goes on unchanged.
fn poll_wait<E>(held: &mut Option<Box<Held<E>>>, context: &Context<'_>) -> Poll<()> {
    if let Some(held) = held
        && let Some(wait) = &mut held.wait
    {
        ready!(wait.poll(context));
        held.wait = None;
    }
    Poll::Ready(())
}

/// An error of a body that knows what goes on record for it.
pub trait BodyError {
    /// What goes on record.
    fn error_type(&self) -> ErrorType;
}
