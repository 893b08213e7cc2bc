//! A client's connection as hyper sees it: with time limits, and knowing how far the
//! client got, so that a request that never became one still makes a record.

use crate::timer::Timer;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

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
}

impl Progress {
    pub(super) fn new(timer: Timer, limits: IoLimits) -> Rc<Self> {
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

    /// The connection carries many exchanges at once: heads are not told from bodies.
    pub(super) fn multiplex(&self) {
        self.multiplexed.set(true);
        self.phase.set(Phase::Exchange);
        self.timer.set(self.limits.idle);
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

    fn begin(&self) {
        self.open.set(self.open.get() + 1);
        self.phase.set(Phase::Exchange);
        self.timer.clear();
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
pub(super) struct InExchange(Rc<Progress>);

impl InExchange {
    pub(super) fn new(progress: &Rc<Progress>) -> Self {
        progress.begin();
        Self(Rc::clone(progress))
    }
}

impl Drop for InExchange {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The socket with its limits. Bytes that were read to tell HTTP/1.1 from HTTP/2 come first.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: TcpStream,
    first: Vec<u8>,
    progress: Rc<Progress>,
    writing: bool,
}

impl ClientIo {
    pub(super) fn new(stream: TcpStream, first: Vec<u8>, progress: Rc<Progress>) -> Self {
        if !first.is_empty() {
            progress.read();
        }
        Self { stream, first, progress, writing: false }
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
        if !this.first.is_empty() {
            let length = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..length]);
            this.first.drain(..length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                this.progress.read();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending if this.writing => Poll::Pending,
            Poll::Pending => match this.progress.timer.poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.progress.timed_out.set(true);
                    if this.progress.phase.get() == Phase::Head {
                        // Best effort: the client may be gone.
                        let _ = Pin::new(&mut this.stream).poll_write(context, REQUEST_TIMEOUT);
                    }
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
            },
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
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
