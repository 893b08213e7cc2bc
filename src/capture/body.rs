//! The response body as the client gets it, which counts what it hands on and closes the
//! exchange at its end.

use super::exchange::Exchange;
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
    #[derive(Debug)]
    pub struct RecordedBody<B> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
    }
}

impl<B: Body> RecordedBody<B> {
    /// Takes over the exchange together with the body. Where there is no byte to come,
    /// the exchange is closed at once.
    pub fn new(inner: B, exchange: Exchange) -> Self {
        let exchange = if inner.is_end_stream() {
            exchange.finish();
            None
        } else {
            Some(exchange)
        };
        Self { inner, exchange }
    }
}

impl<B> RecordedBody<B> {
    /// Takes the exchange back out of the body; `None`: it is closed already.
    pub fn into_parts(self) -> (B, Option<Exchange>) {
        (self.inner, self.exchange)
    }

    /// A body that nobody will read: its exchange is closed already, or kept elsewhere.
    pub fn off_record(inner: B) -> Self {
        Self { inner, exchange: None }
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
        let frame = ready!(this.inner.as_mut().poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), this.exchange.as_ref()) {
                    exchange.account().add_sent(data.remaining());
                }
                // Nobody asks again behind trailers, nor when an exact length has come.
                if (frame.is_trailers() || this.inner.is_end_stream())
                    && let Some(exchange) = this.exchange.take()
                {
                    exchange.finish();
                }
            }
            None => {
                if let Some(exchange) = this.exchange.take() {
                    exchange.finish();
                }
            }
            Some(Err(error)) => {
                if let Some(exchange) = this.exchange.take() {
                    exchange.abort(error.error_type());
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An error of a body that knows what goes on record for it.
pub trait BodyError {
    /// What goes on record.
    fn error_type(&self) -> ErrorType;
}
