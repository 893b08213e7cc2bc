//! A connection to an upstream as bytes, whatever carries them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

/// The bytes of a connection to an upstream: TCP, TLS, or a Unix socket.
#[derive(Debug)]
pub(crate) struct UpstreamIo {
    transport: Transport,
    hears_out: bool,
    deaf: bool,
    heard: Option<Arc<Notify>>,
}

#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl From<TcpStream> for UpstreamIo {
    fn from(stream: TcpStream) -> Self {
        Self::new(Transport::Tcp(stream))
    }
}

impl From<TlsStream<TcpStream>> for UpstreamIo {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Transport::Tls(Box::new(stream)))
    }
}

impl From<UnixStream> for UpstreamIo {
    fn from(stream: UnixStream) -> Self {
        Self::new(Transport::Unix(stream))
    }
}

impl UpstreamIo {
    fn new(transport: Transport) -> Self {
        Self { transport, hears_out: false, deaf: false, heard: None }
    }

    /// Hears an upstream out that stops reading: what can't be written any more is thrown
    /// away, and reading goes on to its end. An upstream that refuses a body (413) and closes
    /// may so still be heard; without this the failed write would hide its answer. For
    /// HTTP/1.1, where a broken connection carries at most that one answer.
    #[must_use]
    pub(super) fn hearing_out(mut self) -> Self {
        self.hears_out = true;
        self
    }

    /// Tells whoever waits for it of each read.
    #[must_use]
    pub(super) fn telling(mut self, heard: &Arc<Notify>) -> Self {
        self.heard = Some(Arc::clone(heard));
        self
    }

    /// Whether what is written is thrown away by now.
    pub(in crate::proxy) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// The end of an exchange's special treatment: from now on a failed write is an error.
    pub(crate) fn plainly(mut self) -> Self {
        self.hears_out = false;
        self
    }

    fn written(&mut self, length: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(error)) if self.hears_out && is_gone(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
            other => other,
        }
    }
}

/// Whether the other side has stopped reading.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

/// The same call on whatever carries the bytes.
macro_rules! carried {
    ($self:expr, $stream:ident => $call:expr) => {
        match &mut $self.transport {
            Transport::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
            Transport::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = carried!(this, stream => stream.poll_read(context, buffer));
        if let Some(heard) = &this.heard
            && result.is_ready()
        {
            heard.notify_one();
        }
        result
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = carried!(this, stream => stream.poll_write(context, bytes));
        this.written(bytes.len(), result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let length = || slices.iter().map(|slice| slice.len()).sum();
        if this.deaf {
            return Poll::Ready(Ok(length()));
        }
        match carried!(this, stream => stream.poll_write_vectored(context, slices)) {
            Poll::Ready(Err(error)) => this.written(length(), Poll::Ready(Err(error))),
            other => other,
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
            Transport::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Ready(Ok(()));
        }
        match carried!(this, stream => stream.poll_flush(context)) {
            Poll::Ready(Err(error)) if this.hears_out && is_gone(&error) => {
                this.deaf = true;
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        carried!(this, stream => stream.poll_shutdown(context))
    }
}
