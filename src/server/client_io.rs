//! A client's connection as hyper sees it: with time limits, and knowing how far the
//! client got, so that a request that never became one still makes a record.

use super::inbound::Inbound;
use super::progress::{Phase, Progress};
use super::refusing::{LINGER, Refusing};
use super::socket::ClientStream;
use crate::http1::{Fault, RequestGuard};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The answer to a head that did not come in time. hyper has nothing in flight then.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Read at first of the request that ends a rest.
const WAKE_BYTES: usize = 1024;

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

    /// Waits at rest for the next request: true when something of it is here, or the client has
    /// ended its side, false when the connection is broken or its time is up. Cancel safe.
    pub(super) fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.inbound.has_cleared() {
            self.progress.stall.clear();
            return Poll::Ready(true);
        }
        let mut space = [0; WAKE_BYTES];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut *self).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.inbound.put_back(buffer.filled());
                // The next rest is behind the next request.
                self.progress.stall.clear();
                Poll::Ready(true)
            }
            Poll::Ready(Err(_)) => Poll::Ready(false),
        }
    }

    /// Takes back what was handed on and is not used.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.inbound.put_back(bytes);
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
                Poll::Pending => {
                    this.progress.is_drained.set(this.inbound.is_empty());
                    return this.poll_timer(context);
                }
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
