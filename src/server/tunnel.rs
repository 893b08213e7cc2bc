//! How a response leaves the stack: as a body that keeps the connection's account of open
//! exchanges, or, where the upstream switched protocols, as a tunnel beside the connection.

use super::client_io::ClientIo;
use super::progress::InExchange;
use crate::capture::{Exchange, RecordedBody};
use crate::proxy::{ResponseBody, Tunnel};
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Where the tunnel of a connection waits until its HTTP is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Rc<RefCell<Option<Ready>>>);

/// A tunnel with its exchange.
#[derive(Debug)]
pub(super) struct Ready {
    tunnel: Tunnel,
    exchange: Exchange,
    _guard: InExchange,
}

impl Slot {
    /// Takes the tunnel out of a response that switches protocols, its exchange with it.
    pub(super) fn divert(
        &self,
        response: Response<RecordedBody<ResponseBody>>,
        mut guard: InExchange,
    ) -> Response<Guarded> {
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            guard.offer(!response.body().is_end_stream());
            return response.map(|body| Guarded { body, guard: Some(guard) });
        }
        let (head, body) = response.into_parts();
        if let (ResponseBody::Tunnel(tunnel), Some(exchange)) = body.into_parts() {
            *self.0.borrow_mut() = Some(Ready { tunnel: *tunnel, exchange, _guard: guard });
        }
        let body = RecordedBody::off_record(ResponseBody::Own(Bytes::new()));
        Response::from_parts(head, Guarded { body, guard: None })
    }

    pub(super) fn take(&self) -> Option<Ready> {
        self.0.borrow_mut().take()
    }
}

impl Ready {
    /// Runs the tunnel over what the connection has left.
    pub(super) async fn run(self, mut client: ClientIo, read: Bytes) {
        client.switch();
        self.tunnel.run(client, read, self.exchange).await;
    }
}

pin_project! {
    /// A response on its way out of the stack, or why there will be none.
    pub(super) struct Leaving<F, E> {
        #[pin]
        response: Option<F>,
        error: Option<E>,
        slot: Slot,
        guard: Option<InExchange>,
    }
}

impl<F, E> Leaving<F, E> {
    pub(super) fn new(response: Result<F, E>, slot: Slot, guard: InExchange) -> Self {
        let (response, error) = match response {
            Ok(response) => (Some(response), None),
            Err(error) => (None, Some(error)),
        };
        Self { response, error, slot, guard: Some(guard) }
    }
}

impl<F, E> Future for Leaving<F, E>
where
    F: Future<Output = Result<Response<RecordedBody<ResponseBody>>, Infallible>>,
{
    type Output = Result<Response<Guarded>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        let response = this.response.as_pin_mut().expect("there is a response or an error");
        let Ok(response) = ready!(response.poll(context));
        let guard = this.guard.take().expect("a future is not polled after it was ready");
        Poll::Ready(Ok(this.slot.divert(response, guard)))
    }
}

/// A response body that keeps the connection's account of open exchanges.
#[derive(Debug)]
pub(super) struct Guarded {
    body: RecordedBody<ResponseBody>,
    guard: Option<InExchange>,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Some(guard) = &mut this.guard {
            // Whoever asks has room; after a frame it is the client's turn, else the upstream's.
            guard.offer(matches!(frame, Poll::Ready(Some(Ok(_)))) && !this.body.is_end_stream());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
