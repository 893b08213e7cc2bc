//! From an accepted socket to the first byte of HTTP: the PROXY protocol where a proxy speaks
//! it, then TLS where it is spoken. Nothing of this makes a record, save HTTP that was spoken
//! where TLS is.

use super::connection;
use super::entrance::{Entrance, Refused};
use super::proxy_protocol::{self, Told};
use super::site::Site;
use super::socket::{ClientStream, Socket};
use super::tls::{Handshake, Tls, secure};
use super::worker::{Counted, Worker};
use crate::capture::{Peer, Refusal};
use crate::record::{ErrorType, Outcome};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What an HTTP client is told where TLS is spoken.
const USE_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 38\r\n\r\n\
    this port speaks TLS: use https://...\n";
/// The first byte of a TLS record that holds a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// For a plain client to take its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes a connection from its first byte to its end. Dropped, it closes it.
///
/// `_counted` is dropped last.
pub(super) async fn serve(
    _counted: Counted,
    worker: Rc<Worker>,
    site: Rc<Site>,
    entrance: Arc<Entrance>,
    mut socket: Socket,
    mut peer: Peer,
) {
    if !entrance.proxy_protocol.is_empty() && entrance.proxy_protocol.contains(peer.ip()) {
        let limit = site.listener_limits(&entrance.address).head_timeout;
        match within(&worker, limit, proxy_protocol::read(&mut socket)).await {
            Some(Ok(Told::Client(address))) => peer.address = Some(address),
            Some(Ok(Told::Nothing)) => {}
            Some(Err(proxy_protocol::ProxyError::Empty)) => return,
            Some(Err(_)) | None => return entrance.stats.refuse(Refused::ProxyProtocol),
        }
    }
    let now = Instant::now();
    let permit = site.clients().map(|clients| clients.connect(peer.ip(), now)).transpose();
    // Given back when the connection ends.
    let Ok(_permit) = permit else { return };
    let Some(tls) = &entrance.tls else {
        let stream = ClientStream::Plain(socket);
        return connection::serve(worker, site, stream, None, peer, &entrance.address).await;
    };
    let secured = match within(&worker, tls.handshake_timeout(), Box::pin(negotiate(tls, socket))).await {
        None => return entrance.stats.handshake(Handshake::Timeout),
        Some(Ok((secured, how))) => {
            entrance.stats.handshake(how);
            secured
        }
        Some(Err((how, socket))) => {
            entrance.stats.handshake(how);
            if let Some(socket) = socket {
                // Boxed: what few connections need is no part of what each is made of.
                Box::pin(tell_to_use_tls(&worker, socket)).await;
                let refusal = Refusal {
                    start: now,
                    status: 400,
                    outcome: Outcome::Failure,
                    error: ErrorType::Malformed,
                };
                let sources = site.listener(&entrance.address);
                worker.lane.record_refusal(&sources.first(), &peer, &refusal);
            }
            return;
        }
    };
    peer.tls = Some(secured.peer);
    let protocol = secured.is_http2.then_some(connection::Protocol::Http2);
    let stream = ClientStream::Tls(secured.stream);
    connection::serve(worker, site, stream, protocol, peer, &entrance.address).await;
}

/// Makes the handshake; an error holds the socket of a client that speaks HTTP without TLS.
async fn negotiate(
    tls: &Tls,
    socket: Socket,
) -> Result<(super::tls::Secured, Handshake), (Handshake, Option<Socket>)> {
    let mut first = [0; 1];
    match socket.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE_RECORD => secure(tls, socket).await.map_err(|cause| (cause, None)),
        Ok(1) if first[0].is_ascii_uppercase() => Err((Handshake::PlainHttp, Some(socket))),
        Ok(1) => Err((Handshake::NotTls, None)),
        _ => Err((Handshake::Closed, None)),
    }
}

async fn tell_to_use_tls(worker: &Worker, mut socket: Socket) {
    let tell = async {
        // What was read is not left unread, which would reset the connection before the answer is seen.
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await;
        if socket.write_all(USE_TLS).await.is_ok() {
            let _ = socket.shutdown().await;
        }
    };
    within(worker, ANSWER_TIMEOUT, tell).await;
}

/// Waits for this no longer than allowed, and not while the worker drains.
pub(super) async fn within<T>(worker: &Worker, limit: Duration, wait: impl Future<Output = T>) -> Option<T> {
    let timer = worker.lane.timers().timer();
    timer.set(limit);
    let mut wait = pin!(wait);
    poll_fn(|context| {
        if worker.is_draining() {
            return Poll::Ready(None);
        }
        match wait.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => timer.poll(context).map(|()| None),
        }
    })
    .await
}
