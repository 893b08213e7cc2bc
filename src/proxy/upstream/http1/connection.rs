//! One connection to an upstream, and the exchange that it carries.

use super::super::connect::TunnelParts;
use super::super::{UpstreamError, UpstreamIo};
use super::buffers::{Buffers, LEAST_READ};
use super::error::Http1Error;
use super::upload::Upload;
use crate::http1::{Fault, Piece, ResponseHead, ResponseReader};
use crate::metrics::LaneStats;
use crate::proxy::body::RequestBody;
use crate::proxy::expect::Expectation;
use crate::proxy::hop::Hop;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::{AbortHandle, JoinHandle};

/// A connection that carries one exchange after the other. Dropped, it is closed.
#[derive(Debug)]
pub(in crate::proxy) struct Connection {
    state: Rc<RefCell<State>>,
    reached: Rc<Cell<bool>>,
    /// Sends the rest of a request whose answer has come already.
    rest: Option<Rest>,
}

/// What is known of an answer's head beside what is in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Head {
    /// Whether its fields are [those that go on](ResponseHead::is_prepared).
    pub(in crate::proxy) is_prepared: bool,
}

/// What a connection between two exchanges is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::upstream) enum Readiness {
    /// It can carry an exchange.
    Ready,
    /// The rest of a request is still being sent on it.
    Busy,
    /// Nothing: it is closed, or said what nobody asked for.
    Closed,
}

#[derive(Debug)]
struct State {
    io: UpstreamIo,
    reader: ResponseReader,
    /// What has come and was not taken yet.
    come: BytesMut,
    wanted: usize,
    upload: Upload,
    buffers: Rc<Buffers>,
    stats: Arc<LaneStats>,
    reached: Rc<Cell<bool>>,
    /// Who is told that the upstream asks for the request's body.
    expectation: Option<Rc<Expectation>>,
    /// Whether there can be another exchange behind this one.
    is_kept: bool,
    /// Whether the answer has been handed on to its end.
    is_over: bool,
    /// The rest of the request could not be sent.
    is_broken: bool,
    /// Why the answer's body has ended too early, told when this task has had its turn.
    ended_by: Option<(Http1Error, JoinHandle<()>)>,
    /// Who waits for the answer's body while the rest of the request is being sent.
    waiting: Option<Waker>,
}

/// A task that ends with this.
#[derive(Debug)]
struct Rest(AbortHandle);

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Over these bytes, which are new. What is refused is counted.
    pub(in crate::proxy::upstream) fn new(
        io: UpstreamIo,
        stats: &Arc<LaneStats>,
        buffers: &Rc<Buffers>,
    ) -> Self {
        let reached = Rc::<Cell<bool>>::default();
        let state = State {
            io: io.hearing_out(),
            reader: ResponseReader::default(),
            come: BytesMut::new(),
            wanted: LEAST_READ,
            upload: Upload::default(),
            buffers: Rc::clone(buffers),
            stats: Arc::clone(stats),
            reached: Rc::clone(&reached),
            expectation: None,
            is_kept: true,
            is_over: true,
            is_broken: false,
            ended_by: None,
            waiting: None,
        };
        Self { state: Rc::new(RefCell::new(state)), reached, rest: None }
    }

    /// True once anything of the request that was sent last has left for the upstream.
    pub(in crate::proxy::upstream) fn reached(&self) -> &Rc<Cell<bool>> {
        &self.reached
    }

    /// Whether it can carry an exchange now. Costs no system call, unless something has come.
    pub(in crate::proxy::upstream) fn readiness(&self) -> Readiness {
        self.state.borrow_mut().readiness()
    }

    /// Begins an exchange with this request; [`Self::poll_head`] sends it.
    ///
    /// # Errors
    /// The request as it was, if the connection is of no use any more.
    pub(in crate::proxy) fn start(
        &mut self,
        request: Request<RequestBody>,
        expectation: Option<&Rc<Expectation>>,
    ) -> Result<(), Box<Request<RequestBody>>> {
        if self.readiness() != Readiness::Ready {
            return Err(Box::new(request));
        }
        self.begin(request, None, expectation);
        Ok(())
    }

    /// The same on a connection that was found ready in this turn; `hop` changes the request.
    pub(in crate::proxy) fn start_ready(&mut self, request: Request<RequestBody>, hop: Option<&Hop<'_>>) {
        self.begin(request, hop, None);
    }

    fn begin(
        &mut self,
        request: Request<RequestBody>,
        hop: Option<&Hop<'_>>,
        expectation: Option<&Rc<Expectation>>,
    ) {
        let mut state = self.state.borrow_mut();
        self.rest = None;
        self.reached.set(false);
        state.reader.expect(*request.method() == Method::HEAD);
        state.upload = Upload::new(request, hop, &state.buffers);
        state.expectation = expectation.cloned();
        state.wanted = LEAST_READ;
        state.is_over = false;
    }

    /// Sends the request and waits for the head of its answer. The body of the request may be
    /// under way still; it goes on beside the answer.
    ///
    /// # Errors
    /// [`UpstreamError`]. Nothing more comes over the connection then.
    pub(in crate::proxy) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Head>, UpstreamError>> {
        let mut state = self.state.borrow_mut();
        // The answer comes first, where there is one: an upstream may refuse what it has not read.
        let sent = state.poll_upload(context);
        let head = match state.poll_head(context) {
            Poll::Ready(Ok(head)) => head,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(sent).unwrap_or(error).into())),
            Poll::Pending => {
                return match failed(sent) {
                    Some(error) => Poll::Ready(Err(error.into())),
                    None => Poll::Pending,
                };
            }
        };
        if sent.is_pending() {
            drop(state);
            self.send_rest();
        } else {
            state.is_broken = failed(sent).is_some();
        }
        Poll::Ready(Ok(response(head)))
    }

    /// Sends the rest of the request beside the answer, which is read by whoever asks for it.
    #[cold]
    fn send_rest(&mut self) {
        let state = Rc::clone(&self.state);
        let task = tokio::task::spawn_local(async move {
            let sent = poll_fn(|context| state.borrow_mut().poll_upload(context)).await;
            let mut state = state.borrow_mut();
            state.is_broken = sent.is_err();
            if let Some(waiting) = state.waiting.take() {
                waiting.wake();
            }
        });
        self.rest = Some(Rest(task.abort_handle()));
    }

    /// The next frame of the answer's body. At its end the connection can carry another exchange,
    /// if [`Self::is_kept`].
    pub(in crate::proxy) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let mut state = self.state.borrow_mut();
        if state.is_over {
            return Poll::Ready(None);
        }
        if state.ended_by.is_none() {
            match ready!(state.poll_frame(context)) {
                // The head and what came of the body go out first: with the error the client's
                // connection is closed as it is, so that it is told in another turn than they.
                Some(Err(error)) => state.ended_by = Some((error, tokio::task::spawn_local(async {}))),
                frame => return Poll::Ready(frame.map(|frame| frame.map_err(UpstreamError::from))),
            }
        }
        state.poll_end(context).map(|error| Some(Err(error.into())))
    }

    /// Whether the answer has been handed on to its end.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        self.state.borrow().is_over
    }

    /// Whether there can be another exchange behind this one.
    pub(in crate::proxy::upstream) fn is_kept(&self) -> bool {
        let state = self.state.borrow();
        state.is_kept && state.is_over && !state.is_broken
    }

    /// How much of the answer's body is still to come.
    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        self.state.borrow().reader.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Leaves HTTP, behind the head of an answer that switches protocols. `None` if the rest of
    /// the request is still being sent.
    pub(in crate::proxy::upstream) fn into_tunnel(self) -> Option<TunnelParts> {
        let state = Rc::into_inner(self.state)?.into_inner();
        Some(TunnelParts { io: state.io.plainly(), read: state.come.freeze() })
    }
}

/// The error, if all that could be sent is sent and it was not all.
fn failed(sent: Poll<Result<(), Http1Error>>) -> Option<Http1Error> {
    match sent {
        Poll::Ready(Err(error)) => Some(error),
        _ => None,
    }
}

fn response(head: ResponseHead) -> Response<Head> {
    let mut response = Response::new(Head { is_prepared: head.is_prepared });
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    if let Some(reason) = head.reason.and_then(|reason| ReasonPhrase::try_from(reason).ok()) {
        response.extensions_mut().insert(reason);
    }
    response
}

impl State {
    fn readiness(&mut self) -> Readiness {
        if !self.is_kept || !self.is_over || self.is_broken {
            return Readiness::Closed;
        }
        if self.upload.is_open() {
            return if self.io.is_deaf() { Readiness::Closed } else { Readiness::Busy };
        }
        // An idle connection has nothing to say. What TLS says for itself is taken in here.
        let mut space = [0; 16];
        let mut space = ReadBuf::new(&mut space);
        let come = Pin::new(&mut self.io).poll_read(&mut Context::from_waker(Waker::noop()), &mut space);
        if come.is_pending() && !self.io.is_deaf() {
            return Readiness::Ready;
        }
        if !space.filled().is_empty() {
            self.stats.response_faults.add(Fault::Surplus);
        }
        self.is_kept = false;
        Readiness::Closed
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        self.upload.poll(context, &mut self.io, &self.reached, &self.buffers)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Http1Error>> {
        let come = self.buffers.poll_read(context, &mut self.io, &mut self.come, &mut self.wanted);
        come.map_err(Http1Error::Io)
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Http1Error>> {
        loop {
            if !self.come.is_empty() {
                let expectation = &self.expectation;
                let interim = |status| {
                    if status == StatusCode::CONTINUE.as_u16()
                        && let Some(expectation) = expectation
                    {
                        expectation.is_wanted();
                    }
                };
                let read = self.reader.head(&mut self.come, &mut self.buffers.shapes.borrow_mut(), interim);
                match read {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        self.is_kept = head.keeps_alive && !self.reader.is_endless();
                        self.settle();
                        return Poll::Ready(Ok(head));
                    }
                    Err(fault) => return Poll::Ready(Err(self.refuse(fault))),
                }
            }
            if ready!(self.poll_read(context))? == 0 {
                return Poll::Ready(Err(Http1Error::Incomplete));
            }
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        loop {
            match self.reader.body(&mut self.come) {
                Ok(Some(piece)) => {
                    self.settle();
                    return Poll::Ready(Some(Ok(match piece {
                        Piece::Data(data) => Frame::data(data),
                        Piece::Trailers(trailers) => Frame::trailers(trailers),
                    })));
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Some(Err(self.refuse(fault)))),
            }
            // A chunked body without trailers may end by what holds no data.
            self.settle();
            if self.is_over {
                return Poll::Ready(None);
            }
            if self.is_broken {
                return Poll::Ready(Some(Err(Http1Error::Broken)));
            }
            match self.poll_read(context) {
                Poll::Ready(Ok(0)) if self.reader.is_endless() => {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(Http1Error::Incomplete))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    if self.upload.is_open() {
                        self.waiting = Some(context.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Waits for the turn in which the error is told.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Http1Error> {
        if let Some((_, turn)) = &mut self.ended_by {
            let _ = ready!(Pin::new(turn).poll(context));
        }
        Poll::Ready(self.ended_by.take().map_or(Http1Error::Broken, |(error, _)| error))
    }

    /// Looks whether the answer has ended. Bytes behind it belong to nobody.
    fn settle(&mut self) {
        if !self.reader.has_ended() {
            return;
        }
        self.is_over = true;
        if !self.come.is_empty() {
            self.is_kept = false;
            self.refuse(Fault::Surplus);
        }
        // The block that it is a part of is free for others.
        self.come = BytesMut::new();
        self.expectation = None;
    }

    fn refuse(&self, fault: Fault) -> Http1Error {
        self.stats.response_faults.add(fault);
        fault.into()
    }
}
