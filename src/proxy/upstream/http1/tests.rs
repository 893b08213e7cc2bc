//! The client beside hyper's: the same answers, in any pieces, are read as the same or refused by
//! both; what ours alone refuses is a fault of form.

use super::{Buffers, Connection, Http1Error, Readiness};
use crate::http1::Fault;
use crate::metrics::LaneStats;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::{UpstreamError, UpstreamIo};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;

/// What a client made of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: StatusCode,
    version: Version,
    headers: Vec<(String, Vec<u8>)>,
    reason: Option<Vec<u8>>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Either all of it, or why not: a fault of form, or another one.
type Outcome = Result<Read, Option<Fault>>;

struct Rig {
    stats: Arc<LaneStats>,
    buffers: Rc<Buffers>,
}

impl Rig {
    fn new() -> Self {
        Self { stats: Arc::default(), buffers: Rc::default() }
    }

    fn connect(&self) -> (Connection, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Connection::new(UpstreamIo::from(near), &self.stats, &self.buffers), far)
    }
}

fn request(method: &Method) -> Request<RequestBody> {
    Request::builder().method(method).uri("/a").header("host", "b").body(RequestBody::empty()).unwrap()
}

/// Takes a request, answers with these bytes in pieces, and closes.
async fn answer(mut far: UnixStream, bytes: Vec<u8>, cut: usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if far.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    for piece in bytes.chunks(cut) {
        if far.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn fault_of(error: &UpstreamError) -> Option<Fault> {
    match error {
        UpstreamError::Http1(Http1Error::Form(fault)) => Some(*fault),
        _ => None,
    }
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Sends a request and reads its answer to the end.
async fn exchange(connection: &mut Connection, method: &Method) -> Outcome {
    connection.start(request(method), None).map_err(|_| None)?;
    let head = poll_fn(|context| connection.poll_head(context)).await.map_err(|error| fault_of(&error))?;
    let (mut body, mut trailers) = (Vec::new(), None);
    if head.status() != StatusCode::SWITCHING_PROTOCOLS {
        while let Some(frame) = poll_fn(|context| connection.poll_frame(context)).await {
            match frame.map_err(|error| fault_of(&error))?.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
    }
    let reason = head.extensions().get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
    let headers = listed(head.headers());
    Ok(Read { status: head.status(), version: head.version(), headers, reason, body, trailers })
}

async fn ours(bytes: &[u8], method: &Method, cut: usize) -> Outcome {
    let (mut connection, far) = Rig::new().connect();
    let answering = tokio::task::spawn_local(answer(far, bytes.to_vec(), cut));
    let outcome = exchange(&mut connection, method).await;
    drop(connection);
    answering.await.unwrap();
    outcome
}

async fn hypers(bytes: &[u8], method: &Method, cut: usize) -> Result<Read, ()> {
    let (near, far) = UnixStream::pair().unwrap();
    let answering = tokio::task::spawn_local(answer(far, bytes.to_vec(), cut));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(drop)?;
    let driving = tokio::task::spawn_local(async move { connection.await.is_ok() });
    let outcome = async {
        let (head, body) = sender.send_request(request(method)).await.map_err(drop)?.into_parts();
        let (mut text, mut trailers) = (Vec::new(), None);
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            let whole = body.collect().await.map_err(drop)?;
            trailers = whole.trailers().cloned();
            text = whole.to_bytes().to_vec();
        }
        let reason = head.extensions.get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
        let headers = listed(&head.headers);
        Ok(Read { status: head.status, version: head.version, headers, reason, body: text, trailers })
    };
    let outcome = outcome.await;
    drop(sender);
    driving.abort();
    answering.await.unwrap();
    outcome
}

const HEADS: [&str; 12] = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 201 Made up",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 404",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
    "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 500 \u{e9}",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 2000 OK",
    "HTTP/2 200 OK",
];
const FIELDS: [&str; 20] = [
    "Content-Length: 5",
    "Content-Length: 5",
    "Content-Length: 5",
    "content-length:\t5 ",
    "Content-Length: 0",
    "Content-Length: 500",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding: Chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Connection: close",
    "Set-Cookie: a=b",
    "set-cookie: \u{e9}\t",
    "X-Long-Name-Of-A-Field:",
    " folded",
    "X: a\rb",
    "X",
];
const BODIES: [&str; 12] = [
    "",
    "hello",
    "hell",
    "hello!",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;a=\"b\"\r\nhello\r\n00\r\nX-Sum: y\r\nB:\r\n\r\n",
    "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello",
    "5\r\nhello\r\n",
    "5\nhello\n0\n\n",
];

fn generate(random: &mut fastrand::Rng) -> Vec<u8> {
    let end = |random: &mut fastrand::Rng| if random.u8(..40) == 0 { "\n" } else { "\r\n" };
    let mut text = random.choice(HEADS).unwrap_or_default().to_owned();
    text.push_str(end(random));
    for _ in 0..random.usize(..4) {
        text.push_str(random.choice(FIELDS).unwrap_or_default());
        text.push_str(end(random));
    }
    text.push_str(end(random));
    text.push_str(random.choice(BODIES).unwrap_or_default());
    let mut bytes = text.into_bytes();
    if random.u8(..5) == 0 {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    bytes
}

#[tokio::test]
async fn answers_are_read_as_hyper_reads_them_or_are_refused_for_their_form() {
    let full = std::env::var_os("ONRECORD_FULL").is_some();
    let seed = std::env::var("ONRECORD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(9);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut same, mut stricter, mut broken) = (0, 0, 0);
    let compare = async {
        for _ in 0..if full { 20_000 } else { 1_500 } {
            let bytes = generate(&mut random);
            let method = if random.u8(..6) == 0 { Method::HEAD } else { Method::GET };
            let cut = random.usize(1..=bytes.len());
            let shown = || format!("{method} {:?} in {cut}", String::from_utf8_lossy(&bytes));
            let whole = ours(&bytes, &method, bytes.len()).await;
            let pieces = ours(&bytes, &method, cut).await;
            assert_eq!(whole, pieces, "{}", shown());
            match (pieces, hypers(&bytes, &method, cut).await) {
                (Ok(ours), Ok(hypers)) => {
                    assert_eq!(ours, hypers, "{}", shown());
                    same += 1;
                }
                (Err(Some(_)), Ok(_)) => stricter += 1,
                (Err(_), Err(())) => broken += 1,
                (ours, hypers) => panic!("{}: {ours:?}, by hyper {hypers:?}", shown()),
            }
        }
    };
    LocalSet::new().run_until(compare).await;
    let all = same + stricter + broken;
    assert!(same * 5 > all && broken * 5 > all && stricter > 0, "{same} {stricter} {broken}");
}

#[tokio::test]
async fn a_connection_carries_one_exchange_after_the_other_and_its_buffer_serves_all() {
    let rig = Rig::new();
    let (mut connection, mut far) = rig.connect();
    let serving = async {
        for number in 0..500 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                far.read_buf(&mut head).await.unwrap();
            }
            assert_eq!(head, b"GET /a HTTP/1.1\r\nhost: b\r\n\r\n");
            let body = "x".repeat(number);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {number}\r\n\r\n{body}");
            far.write_all(answer.as_bytes()).await.unwrap();
        }
        far
    };
    let asking = async {
        for number in 0..500 {
            assert_eq!(connection.readiness(), Readiness::Ready);
            let read = exchange(&mut connection, &Method::GET).await.unwrap();
            assert_eq!((read.status, read.body.len()), (StatusCode::OK, number));
            assert!(connection.is_over() && connection.is_kept());
        }
    };
    let (_far, ()) = LocalSet::new().run_until(async { tokio::join!(serving, asking) }).await;
    assert_eq!(connection.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn an_idle_connection_that_says_anything_or_ends_is_not_used() {
    let rig = Rig::new();
    for (said, counted) in [(&b"HTTP/1.1 408 Timeout\r\n\r\n"[..], 1), (b"", 0)] {
        let (mut connection, mut far) = rig.connect();
        assert_eq!(connection.readiness(), Readiness::Ready);
        let before = rig.stats.response_faults.get(Fault::Surplus);
        far.write_all(said).await.unwrap();
        drop(far);
        // The runtime learns of it when it next looks.
        while connection.readiness() == Readiness::Ready {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.stats.response_faults.get(Fault::Surplus), before + counted);
        assert!(connection.start(request(&Method::GET), None).is_err(), "nothing is sent on it");
        assert!(!connection.reached().get());
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_end_its_connection() {
    let rig = Rig::new();
    for (answered, is_kept) in [
        ("HTTP/1.1 204 No\r\n\r\n", true),
        ("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokx", false),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", false),
    ] {
        let (mut connection, far) = rig.connect();
        let exchange = async {
            let answering = tokio::task::spawn_local(answer(far, answered.into(), 1_000));
            let read = exchange(&mut connection, &Method::GET).await.unwrap();
            answering.await.unwrap();
            read
        };
        LocalSet::new().run_until(exchange).await;
        assert_eq!(connection.is_kept(), is_kept, "{answered:?}");
    }
}

#[tokio::test]
async fn what_a_connection_leaves_for_a_tunnel_is_all_that_came_behind_the_head() {
    let rig = Rig::new();
    let (mut connection, far) = rig.connect();
    let exchange = async {
        let said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst".to_vec();
        let answering = tokio::task::spawn_local(answer(far, said, 1_000));
        let read = exchange(&mut connection, &Method::GET).await.unwrap();
        answering.await.unwrap();
        read
    };
    assert_eq!(LocalSet::new().run_until(exchange).await.status, StatusCode::SWITCHING_PROTOCOLS);
    assert!(!connection.is_kept());
    assert_eq!(connection.into_tunnel().unwrap().read, Bytes::from_static(b"first"));
}
