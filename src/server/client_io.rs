//! A client's connection as hyper sees it: with time limits, and knowing how far the
//! client got, so that a request that never became one still makes a record.

use super::inbound::Inbound;
use super::refusing::{LINGER, Refusing};
use super::socket::ClientStream;
use super::stall::{Stall, Stalls};
use super::streams::{Lost, Streams};
use crate::http1::{Fault, RequestGuard};
use crate::timer::{Timer, Timers};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The answer to a head that did not come in time. hyper has nothing in flight then.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Time limits of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoLimits {
    /// For a request head, from its first byte.
    pub head: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For the client to take some of a response.
    pub write: Duration,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests: nothing of the next one has come.
    Idle,
    /// Some bytes of a head have come.
    Head,
    /// A head was refused; nothing more is read.
    Refused,
    /// A request is being answered.
    Exchange,
}

/// What the connection's task, its I/O and its exchanges tell each other.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Cell<Phase>,
    head_start: Cell<Instant>,
    timer: Timer,
    limits: IoLimits,
    open: Cell<usize>,
    timed_out: Cell<bool>,
    multiplexed: Cell<bool>,
    /// Nothing of a response is left to be written.
    answered: Cell<bool>,
    fault: Cell<Option<Fault>>,
    /// Response bodies of an HTTP/2 connection that wait for the client to make room.
    offered: Cell<usize>,
    stall: Timer,
    /// The same of each stream.
    stalls: Stalls,
    timers: Rc<Timers>,
    /// Requests that have come of this connection.
    requests: Cell<u64>,
    /// The streams of an HTTP/2 connection.
    streams: RefCell<Option<Streams>>,
}

impl Progress {
    pub(super) fn new(timers: &Rc<Timers>, limits: IoLimits) -> Rc<Self> {
        let timer = timers.timer();
        // A new connection has as long for its first byte as for its head.
        timer.set(limits.head);
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            head_start: Cell::new(Instant::now()),
            timer,
            limits,
            open: Cell::new(0),
            timed_out: Cell::new(false),
            multiplexed: Cell::new(false),
            answered: Cell::new(true),
            fault: Cell::new(None),
            offered: Cell::new(0),
            stall: timers.timer(),
            stalls: Stalls::default(),
            timers: Rc::clone(timers),
            requests: Cell::new(0),
            streams: RefCell::new(None),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the first byte of the head that is being read came.
    pub(super) fn head_start(&self) -> Instant {
        self.head_start.get()
    }

    /// Whether the head did not come in time.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.get()
    }

    /// What the client sent that is refused, told once: at the head of a request (true), which
    /// makes a record of its own, or in a body, whose exchange has one.
    pub(super) fn take_fault(&self) -> Option<(Fault, bool)> {
        self.fault.take().map(|fault| (fault, self.phase.get() == Phase::Refused))
    }

    /// Ready when the client of an HTTP/2 connection has taken nothing of any response for as
    /// long as one of HTTP/1.1 may take for its next bytes: it keeps its windows shut.
    pub(super) fn poll_stall(&self, context: &Context<'_>) -> Poll<()> {
        self.stall.poll(context)
    }

    /// The connection carries many exchanges at once: heads are not told from bodies. Of the
    /// preface, so many bytes are still to come.
    pub(super) fn multiplex(&self, preface: usize) {
        *self.streams.borrow_mut() = Some(Streams::new(preface));
        self.multiplexed.set(true);
        self.phase.set(Phase::Exchange);
        self.timer.set(self.limits.idle);
    }

    /// Streams of HTTP/2 that were begun and never became a request, since the last call.
    pub(super) fn take_lost(&self, is_over: bool) -> Lost {
        let mut streams = self.streams.borrow_mut();
        streams.as_mut().map_or_else(Lost::default, |streams| streams.take_lost(self.requests.get(), is_over))
    }

    /// What came; false: it ends an HTTP/2 connection.
    fn received(&self, bytes: &[u8]) -> bool {
        let mut streams = self.streams.borrow_mut();
        let Some(streams) = &mut *streams else { return true };
        streams.received(bytes);
        streams.fault().is_none()
    }

    /// Whether an HTTP/2 connection was ended here for its frames.
    pub(super) fn has_bad_frame(&self) -> bool {
        self.streams.borrow().as_ref().is_some_and(|streams| streams.fault().is_some())
    }

    fn goodbye(&self) -> Option<[u8; 17]> {
        self.streams.borrow().as_ref().and_then(Streams::goodbye)
    }

    fn sent<'a>(&self, result: &Poll<io::Result<usize>>, slices: impl IntoIterator<Item = &'a [u8]>) {
        let mut streams = self.streams.borrow_mut();
        let (&Poll::Ready(Ok(mut rest)), Some(streams)) = (result, streams.as_mut()) else { return };
        for slice in slices {
            let here = rest.min(slice.len());
            streams.sent(&slice[..here], |stream| {
                self.stalls.moved(stream, self.limits.write);
                if self.offered.get() > 0 {
                    self.stall.set(self.limits.write);
                }
            });
            rest -= here;
        }
    }

    fn read(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.head_start.set(Instant::now());
            self.timer.set(self.limits.head);
        }
    }

    /// The client has taken what it was given: the time limit is again that of the phase.
    fn wrote(&self) {
        if self.open.get() > 0 {
            self.timer.clear();
        } else {
            self.timer.set(self.limits.idle);
        }
    }

    pub(super) fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// A request has come; in HTTP/2 its stream has a time limit of its own.
    fn begin(&self) -> Option<Rc<Stall>> {
        self.requests.set(self.requests.get() + 1);
        self.open.set(self.open.get() + 1);
        self.phase.set(Phase::Exchange);
        self.timer.clear();
        self.answered.set(false);
        let mut streams = self.streams.borrow_mut();
        let stream = streams.as_mut()?.next_request();
        Some(self.stalls.begin(&self.timers, stream))
    }

    fn end(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            if !self.multiplexed.get() {
                self.phase.set(Phase::Idle);
            }
            self.timer.set(self.limits.idle);
        }
    }
}

/// Held by each exchange of a connection while it lasts.
#[derive(Debug)]
pub(super) struct InExchange {
    progress: Rc<Progress>,
    offers: bool,
    stall: Option<Rc<Stall>>,
}

impl InExchange {
    pub(super) fn new(progress: &Rc<Progress>) -> Self {
        let stall = progress.begin();
        Self { progress: Rc::clone(progress), offers: false, stall }
    }

    /// Notes whether the response waits for the client to take more of it; in HTTP/1.1 the
    /// socket tells.
    pub(super) fn offer(&mut self, offers: bool) {
        let progress = &self.progress;
        if offers && progress.multiplexed.get() {
            progress.stall.set(progress.limits.write);
        }
        if let Some(stall) = &self.stall {
            stall.wait(offers.then_some(progress.limits.write));
        }
        match (self.offers, offers) {
            (false, true) => progress.offered.set(progress.offered.get() + 1),
            (true, false) => progress.offered.set(progress.offered.get() - 1),
            _ => {}
        }
        if progress.offered.get() == 0 {
            progress.stall.clear();
        }
        self.offers = offers;
    }
}

impl Drop for InExchange {
    fn drop(&mut self) {
        self.offer(false);
        if let Some(stall) = &self.stall {
            self.progress.stalls.end(stall);
        }
        self.progress.end();
    }
}

/// The socket with its limits, and the guard over what comes from it.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: ClientStream,
    inbound: Inbound,
    progress: Rc<Progress>,
    writing: bool,
    refusal: Option<Refusing>,
}

impl ClientIo {
    /// `first` was read to tell HTTP/1.1, which has a guard, from HTTP/2.
    pub(super) fn new(
        stream: ClientStream,
        first: Vec<u8>,
        guard: Option<RequestGuard>,
        progress: Rc<Progress>,
    ) -> Self {
        let mut inbound = Inbound::new(guard, first);
        if inbound.take_head() {
            progress.read();
        }
        Self { stream, inbound, progress, writing: false, refusal: None }
    }

    /// The connection leaves HTTP: from now on everything is passed on as it comes.
    pub(super) fn switch(&mut self) {
        self.inbound.switch();
    }

    /// Answers what is refused, once what came before it is answered; then waits for the
    /// client to close. The error is for hyper, which has nothing in flight then.
    fn poll_refuse(&mut self, context: &mut Context<'_>, fault: Fault) -> Poll<io::Result<()>> {
        let progress = &self.progress;
        if !self.inbound.is_mid_head() {
            // In a body: the exchange's own answer tells.
            if self.refusal.is_none() {
                self.refusal = Some(Refusing::of(fault));
                progress.fault.set(Some(fault));
            }
            return Poll::Ready(Err(fault.into()));
        }
        if progress.open.get() > 0 || !progress.answered.get() {
            return Poll::Pending;
        }
        let refusing = match &mut self.refusal {
            Some(refusing) => refusing,
            none => {
                progress.read();
                progress.phase.set(Phase::Refused);
                progress.fault.set(Some(fault));
                progress.timer.set(LINGER);
                // hyper is woken, and with it whoever puts this on record.
                none.insert(Refusing::of(fault))
            }
        };
        match refusing.poll(&mut self.stream, context) {
            Poll::Pending if progress.timer.poll(context).is_pending() => Poll::Pending,
            _ => Poll::Ready(Err(fault.into())),
        }
    }

    fn written(&mut self, context: &Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                if self.writing {
                    self.writing = false;
                    self.progress.wrote();
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.writing {
                    self.writing = true;
                    self.progress.timer.set(self.progress.limits.write);
                }
                match self.progress.timer.poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.inbound.take_head() {
                // Also what came behind the last request: now it is the head that is waited for.
                this.progress.read();
            }
            if this.inbound.hand_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            if this.inbound.is_undecided() && this.progress.open.get() == 0 {
                this.inbound.stay();
                continue;
            }
            if let Some(fault) = this.inbound.fault() {
                return this.poll_refuse(context, fault);
            }
            if this.inbound.is_full() {
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            match Pin::new(&mut this.stream).poll_read(context, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                    if !this.progress.received(&buffer.filled()[before..]) {
                        buffer.set_filled(before);
                        return Poll::Ready(Err(this.part(context)));
                    }
                    this.inbound.take_in(buffer, before);
                    if this.inbound.take_head() {
                        this.progress.read();
                    }
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending if this.writing => return Poll::Pending,
                Poll::Pending => return this.poll_timer(context),
            }
        }
    }
}

impl ClientIo {
    /// Says on an HTTP/2 connection why it ends. Best effort: the client may be gone.
    fn part(&mut self, context: &mut Context<'_>) -> io::Error {
        if let Some(goodbye) = self.progress.goodbye() {
            let _ = Pin::new(&mut self.stream).poll_write(context, &goodbye);
            let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        }
        io::ErrorKind::InvalidData.into()
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.progress.timer.poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.progress.timed_out.set(true);
                if self.progress.phase.get() == Phase::Head {
                    // Best effort: the client may be gone.
                    let _ = Pin::new(&mut self.stream).poll_write(context, REQUEST_TIMEOUT);
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress.sent(&result, [bytes]);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.progress.sent(&result, slices.iter().map(|slice| &**slice));
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        // hyper flushes only when all that it has encoded is written.
        let has_ended = result.is_ready() && self.progress.open.get() == 0;
        if has_ended && !self.progress.answered.replace(true) && self.inbound.has_more() {
            // What came behind the request has waited for this, and nobody else wakes the task.
            context.waker().wake_by_ref();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
