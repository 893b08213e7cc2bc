//! Making a connection to one address, up to the point where it can carry a request.

use super::http1::{Buffers, Connection};
use super::io::UpstreamIo;
use super::options::Http2;
use super::shared::Target;
use super::tls;
use crate::metrics::LaneStats;
use crate::proxy::body::RequestBody;
use bytes::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Bytes of one response that an HTTP/2 upstream may send ahead of its reader.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a connection: as much as all its streams, so that slow readers do not stop the others.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// Between two looks at whether the upstream's settings have come, beside those at each read.
const SETTINGS_LOOK: Duration = Duration::from_millis(20);
/// Between two pings of an HTTP/2 connection with requests in flight, and for their answer.
const PING: Duration = Duration::from_secs(20);

/// Why a connection could not be made.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// Nobody answers, or not in the protocol that was asked for.
    #[error("no connection")]
    Io(#[source] io::Error),
    /// TLS could not be agreed on.
    #[error("no TLS")]
    Tls(#[source] io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a connection is to speak.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    /// TLS, and the name that the certificate must have.
    pub(super) tls: Option<(Arc<rustls::ClientConfig>, String)>,
    pub(super) http2: Http2,
}

/// What a connection to an HTTP/1.1 upstream leaves when it has switched protocols.
#[derive(Debug)]
pub(crate) struct TunnelParts {
    pub(in crate::proxy) io: UpstreamIo,
    /// Bytes that came behind the response head.
    pub(in crate::proxy) read: Bytes,
}

/// Sends requests on a connection.
#[derive(Debug)]
pub(in crate::proxy) enum Sender {
    Http1(Connection),
    Http2(Multiplexed),
}

/// An HTTP/2 connection, which many requests share.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Multiplexed {
    pub(in crate::proxy) sender: http2::SendRequest<RequestBody>,
    connection: Rc<RefCell<Option<Http2Connection>>>,
    pub(super) open: Rc<Cell<usize>>,
}

type Http2Connection = http2::Connection<TokioIo<UpstreamIo>, RequestBody, OnWorker>;

impl Multiplexed {
    /// Whether it can take one more request: it is open, and the upstream allows another
    /// stream. What goes beyond would wait for others to end.
    pub(super) fn has_room(&self) -> bool {
        !self.sender.is_closed() && self.open.get() < allowed(&self.connection)
    }
}

/// Streams that the upstream allows; 0 until it has said so, and when the connection is over.
fn allowed(connection: &RefCell<Option<Http2Connection>>) -> usize {
    // Borrowed while it is polled, where nobody asks.
    let Ok(connection) = connection.try_borrow() else { return 0 };
    connection.as_ref().map_or(0, Http2Connection::current_max_send_streams)
}

/// Opens the bytes' way: TCP or Unix socket, and TLS on it. True: HTTP/2 was agreed on.
///
/// # Errors
/// [`ConnectError`]. Cancel safe.
pub(super) async fn open(target: &Target, speech: &Speech) -> Result<(UpstreamIo, bool), ConnectError> {
    let stream = match target {
        Target::Unix(path) => {
            return Ok((UnixStream::connect(path).await?.into(), speech.http2 == Http2::Always));
        }
        Target::Tcp(address) => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    let Some((config, name)) = &speech.tls else {
        return Ok((stream.into(), speech.http2 == Http2::Always));
    };
    let name = tls::server_name(name).map_err(ConnectError::Tls)?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let stream = connecting.await.map_err(ConnectError::Tls)?;
    let is_http2 = tls::chose_http2(stream.get_ref().1);
    if speech.http2 == Http2::Always && !is_http2 {
        let error = io::Error::new(io::ErrorKind::Unsupported, "the upstream does not offer HTTP/2");
        return Err(ConnectError::Tls(error));
    }
    Ok((stream.into(), is_http2))
}

/// Begins HTTP on it. A connection of HTTP/2 is driven on this worker until it ends.
///
/// # Errors
/// [`ConnectError`]. Cancel safe.
pub(super) async fn begin(
    io: UpstreamIo,
    is_http2: bool,
    stats: &Arc<LaneStats>,
    buffers: &Rc<Buffers>,
) -> Result<Sender, ConnectError> {
    if is_http2 { begin_http2(io).await } else { Ok(Sender::Http1(Connection::new(io, stats, buffers))) }
}

async fn begin_http2(io: UpstreamIo) -> Result<Sender, ConnectError> {
    let heard = Arc::new(Notify::new());
    let (sender, connection) = http2::Builder::new(OnWorker)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(0)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .handshake(TokioIo::new(io.telling(&heard)))
        .await
        .map_err(failed)?;
    let connection = Rc::new(RefCell::new(Some(connection)));
    let driven = Rc::clone(&connection);
    tokio::task::spawn_local(async move {
        let _ = poll_fn(|context| match &mut *driven.borrow_mut() {
            Some(connection) => Pin::new(connection).poll(context),
            None => Poll::Ready(Ok(())),
        })
        .await;
        // Gone with all that waits in it: those requests are told, and go another way.
        driven.borrow_mut().take();
    });
    // The upstream speaks first (RFC 9113 §3.4): from its settings on it is known how many
    // requests can share the connection.
    while allowed(&connection) == 0 {
        if sender.is_closed() {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        // The settings count once they are acknowledged, which may be after the read.
        let _ = timeout(SETTINGS_LOOK, heard.notified()).await;
    }
    Ok(Sender::Http2(Multiplexed { sender, connection, open: Rc::default() }))
}

fn failed(error: hyper::Error) -> ConnectError {
    ConnectError::Io(io::Error::other(error))
}

/// Runs what belongs to a connection on its own worker.
#[derive(Clone, Copy, Debug)]
struct OnWorker;

impl<F> hyper::rt::Executor<F> for OnWorker
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
