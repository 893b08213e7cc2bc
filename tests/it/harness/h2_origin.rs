//! An origin that speaks HTTP/2 by frames of its own choice: with TLS and ALPN, or by prior
//! knowledge. Query keys: `size` (body of the pattern), `status`, `hold` (the response waits
//! for `release`), `refuse` (so many REFUSED_STREAM resets for this path first), `reset`
//! (INTERNAL_ERROR), `trailers`.

use super::client::decode_form;
use super::tls::Handshake;
use super::{PATIENCE, pattern, until};
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct SeenH2 {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body_bytes: usize,
    _connection: usize,
    pub(crate) trailers: Option<http::HeaderMap>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<SeenH2>>,
    refused: Mutex<HashMap<String, usize>>,
    connections: AtomicUsize,
    waiting: AtomicUsize,
    open: Mutex<Vec<String>>,
    moved: tokio::sync::Notify,
    go_away: tokio::sync::Notify,
    stopped: AtomicBool,
    handshakes: Mutex<Vec<Handshake>>,
}

pub(crate) struct H2Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl H2Origin {
    /// `streams`: SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>, streams: u32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared: Arc<Shared> = Arc::default();
        let own = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (shared, tls) = (Arc::clone(&own), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, shared, streams).await,
                        Some(config) => {
                            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                            shared.handshakes.lock().unwrap().push(Handshake::of(stream.get_ref().1));
                            serve(stream, shared, streams).await;
                        }
                    }
                });
            }
        });
        Self { address, shared, _runtime: runtime }
    }

    pub(crate) fn seen(&self) -> Vec<SeenH2> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn one(&self, part: &str) -> SeenH2 {
        let found: Vec<_> = self.seen().into_iter().filter(|seen| seen.uri.contains(part)).collect();
        assert_eq!(found.len(), 1, "requests with `{part}`: {found:#?}");
        found.into_iter().next().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn wait_for_many(&self, count: usize) {
        until(&format!("{count} requests that wait"), PATIENCE, || {
            (self.shared.waiting.load(Ordering::SeqCst) >= count).then_some(())
        });
    }

    pub(crate) fn release(&self, gate: &str) {
        self.shared.open.lock().unwrap().push(gate.to_owned());
        self.shared.moved.notify_waiters();
    }

    /// Every connection says GOAWAY, finishes what it has, and ends.
    pub(crate) fn go_away(&self) {
        self.shared.go_away.notify_waiters();
    }
}

async fn serve<I: AsyncRead + AsyncWrite + Unpin>(io: I, shared: Arc<Shared>, streams: u32) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let handshake = h2::server::Builder::new().max_concurrent_streams(streams).handshake(io).await;
    let Ok(mut connection) = handshake else { return };
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            () = shared.go_away.notified() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = next else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = answer(request, respond, &shared, number).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
    connection: usize,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let script: HashMap<String, String> =
        decode_form(head.uri.query().unwrap_or_default()).into_iter().collect();
    let number = |key: &str| script.get(key).and_then(|text| text.parse::<usize>().ok());
    if let Some(times) = number("refuse") {
        let refused = {
            let mut all = shared.refused.lock().unwrap();
            let count = all.entry(head.uri.path().to_owned()).or_default();
            *count += 1;
            *count <= times
        };
        if refused {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
    }
    let index = {
        let mut seen = shared.seen.lock().unwrap();
        seen.push(SeenH2 {
            method: head.method.to_string(),
            uri: head.uri.to_string(),
            headers: head.headers.clone(),
            body_bytes: 0,
            _connection: connection,
            trailers: None,
        });
        seen.len() - 1
    };
    if script.contains_key("reset") {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        shared.seen.lock().unwrap()[index].body_bytes += data.len();
    }
    let trailers = body.trailers().await?;
    shared.seen.lock().unwrap()[index].trailers = trailers;
    if let Some(gate) = script.get("hold") {
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        loop {
            let moved = shared.moved.notified();
            if shared.open.lock().unwrap().contains(gate) || shared.stopped.load(Ordering::SeqCst) {
                break;
            }
            moved.await;
        }
    }
    let status = number("status").unwrap_or(200);
    let size = number("size").unwrap_or(0);
    let trailers = script.contains_key("trailers");
    let mut response = Response::builder().status(status as u16).header("x-origin", "h2");
    if trailers {
        response = response.header("trailer", "x-checksum");
    }
    let response = response.body(()).unwrap();
    let mut stream = respond.send_response(response, size == 0 && !trailers)?;
    let body = pattern(size);
    let mut at = 0;
    while at < size {
        stream.reserve_capacity((size - at).min(64 * 1024));
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(room) = room else { return Ok(()) };
        let next = (at + room?).min(size);
        stream.send_data(Bytes::copy_from_slice(&body[at..next]), next == size && !trailers)?;
        at = next;
    }
    if trailers {
        let mut map = http::HeaderMap::new();
        map.insert("x-checksum", "42".parse().unwrap());
        stream.send_trailers(map)?;
    }
    Ok(())
}
