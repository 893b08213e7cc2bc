//! A client's connection below HTTP: TCP or Unix, plain or in TLS. One type for all of them,
//! so that HTTP is compiled once; which of them it is costs one branch a call.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

/// A listening socket, bound and not yet with a worker.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket of a worker.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Registers a bound socket with this thread's runtime.
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        match bound {
            Bound::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Bound::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    /// The next connection, with the address at its other end: none on a Unix socket.
    /// Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Small responses do not wait for the client's acknowledgement.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    /// What has come, without taking it. Cancel safe.
    pub(super) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        use rustix::net::{RecvFlags, recv};
        match self {
            Self::Tcp(stream) => stream.peek(bytes).await,
            Self::Unix(stream) => {
                let look = || Ok(recv(stream, &mut *bytes, RecvFlags::PEEK)?.0);
                stream.async_io(Interest::READABLE, look).await
            }
        }
    }
}

/// A connection as HTTP reads and writes it.
#[derive(Debug)]
pub(super) enum ClientStream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Calls the same method of whatever stream it is.
macro_rules! either {
    ($value:expr, $one:path | $two:path, $stream:ident => $call:expr) => {
        match $value {
            $one($stream) => $call,
            $two($stream) => $call,
        }
    };
}

macro_rules! stream {
    ($name:ident, $one:path | $two:path) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $one | $two, stream => Pin::new(stream).poll_read(context, buffer))
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!(self.get_mut(), $one | $two, stream => Pin::new(stream).poll_write(context, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                either!(self.get_mut(), $one | $two, stream => Pin::new(stream).poll_write_vectored(context, slices))
            }

            fn is_write_vectored(&self) -> bool {
                either!(self, $one | $two, stream => stream.is_write_vectored())
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $one | $two, stream => Pin::new(stream).poll_flush(context))
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $one | $two, stream => Pin::new(stream).poll_shutdown(context))
            }
        }
    };
}

stream!(Socket, Socket::Tcp | Socket::Unix);
stream!(ClientStream, ClientStream::Plain | ClientStream::Tls);
