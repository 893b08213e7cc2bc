//! The response body as the client gets it, which counts what it hands on and closes the
//! exchange at its end.

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
    /// where the length is not known before, that is the end of the stream itself.
    #[derive(Debug)]
    pub struct RecordedBody<B> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
        held: Option<Box<Held>>,
    }
}

/// The last frame (`None`: the end of the stream), and what it waits for.
#[derive(Debug)]
struct Held {
    frame: Option<Frame<Bytes>>,
    wait: CommitWait,
}

impl<B: Body> RecordedBody<B> {
    /// Takes over the exchange together with the body. Where there is no byte to come,
    /// the exchange is closed at once, and what is returned is what the head has to wait for.
    pub fn new(inner: B, exchange: Exchange) -> (Self, Option<CommitWait>) {
        if inner.is_end_stream() {
            let wait = exchange.finish();
            return (Self { inner, exchange: None, held: None }, wait);
        }
        (Self { inner, exchange: Some(exchange), held: None }, None)
    }
}

impl<B> RecordedBody<B> {
    /// Takes the exchange back out of the body; `None`: it is closed already.
    pub fn into_parts(self) -> (B, Option<Exchange>) {
        (self.inner, self.exchange)
    }

    /// A body that nobody will read: its exchange is closed already, or kept elsewhere.
    pub fn off_record(inner: B) -> Self {
        Self { inner, exchange: None, held: None }
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
        let mut this = self.project();
        if this.held.is_some() {
            return poll_held(this.held, context);
        }
        let frame = ready!(this.inner.as_mut().poll_frame(context));
        let mut wait = None;
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), this.exchange.as_ref()) {
                    exchange.account().add_sent(data.remaining());
                }
                // Nobody asks again behind trailers, nor when an exact length has come.
                if (frame.is_trailers() || this.inner.is_end_stream())
                    && let Some(exchange) = this.exchange.take()
                {
                    wait = exchange.finish();
                }
            }
            None => wait = this.exchange.take().and_then(Exchange::finish),
            Some(Err(error)) => {
                if let Some(exchange) = this.exchange.take() {
                    exchange.abort(error.error_type());
                }
            }
        }
        let Some(wait) = wait else { return Poll::Ready(frame) };
        // Only a frame or the end leaves something to wait for, never an error.
        let frame = frame.and_then(Result::ok);
        *this.held = Some(Box::new(Held { frame, wait }));
        poll_held(this.held, context)
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none() && self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inner.size_hint();
        let frame = self.held.as_ref().and_then(|held| held.frame.as_ref());
        if let Some(data) = frame.and_then(Frame::data_ref) {
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

fn poll_held<E>(
    held: &mut Option<Box<Held>>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, E>>> {
    if let Some(held) = held {
        // On disk or in doubt, which is counted: the response goes on unchanged.
        ready!(held.wait.poll(context));
    }
    Poll::Ready(held.take().and_then(|held| held.frame).map(Ok))
}

/// An error of a body that knows what goes on record for it.
pub trait BodyError {
    /// What goes on record.
    fn error_type(&self) -> ErrorType;
}
