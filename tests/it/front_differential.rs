//! Generated requests, most of them broken, through the gateway to upstreams that write down
//! what they saw: that must be the records with `upstream.address`, and each one strictly valid.
//!
//! 300 by default; `ONRECORD_FULL=1` sends 10,000. Upstreams: one that looks at every byte, and
//! Node's HTTP server where `node` is installed; nginx and hyper are in `front_upstreams`.

use crate::harness::client::Connection;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::records::{assert_gapless, list};
use crate::harness::{PATIENCE, full, seed, skip};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const LINES: [&str; 14] = [
    "GET / HTTP/1.1",
    "POST /p HTTP/1.1",
    "PUT /p?q HTTP/1.1",
    "HEAD /h HTTP/1.1",
    "GET / HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "GET http://a/ HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.2",
    "G\x01T / HTTP/1.1",
    "GET /#x HTTP/1.1",
    "GET / http/1.1",
    "DELETE /d HTTP/1.1",
    "get /l HTTP/1.1",
];
const FIELDS: [&str; 26] = [
    "Host: a",
    "Host: b",
    "Content-Length: 5",
    "Content-Length: 5",
    "Content-Length: 6",
    "Content-Length: +5",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    " Transfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "X: a\r b",
    "X: \0",
    "Connection: close",
    "Connection: Content-Length, Host",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Expect: x",
    "X: \u{e9}",
    "X:",
    "X : y",
    "Trailer: Content-Length",
    "Cookie: a=b",
    "X-Forwarded-For: 6.6.6.6",
];
const BODIES: [&str; 14] = [
    "",
    "hello",
    "hello!",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nx",
    "\r\n",
];

fn generate(random: &mut fastrand::Rng) -> Vec<u8> {
    let pick = |random: &mut fastrand::Rng, from: &[&str]| from[random.usize(..from.len())].to_owned();
    let kinds = if random.bool() { 4 } else { LINES.len() };
    let mut text = pick(random, &LINES[..kinds]);
    let end = |random: &mut fastrand::Rng| if random.u8(..25) == 0 { "\n" } else { "\r\n" };
    text.push_str(end(random));
    if random.u8(..8) > 0 {
        text.push_str("Host: gateway.test\r\n");
    }
    for _ in 0..random.usize(..4) {
        text.push_str(&pick(random, &FIELDS));
        text.push_str(end(random));
    }
    text.push_str(end(random));
    text.push_str(&pick(random, &BODIES));
    let mut bytes: Vec<u8> = text.chars().map(|character| character as u8).collect();
    if random.u8(..4) == 0 {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    bytes
}

/// A gateway that soon ends a connection on which nothing more comes.
fn before(upstream: SocketAddr) -> Gateway {
    let source = Source::new("api", &format!("http://{upstream}"))
        .limit("head_timeout", "\"200ms\"")
        .limit("body_timeout", "\"200ms\"")
        .limit("idle_timeout", "\"200ms\"");
    Gateway::builder().source(source).start()
}

/// What a client does behind its request.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Reads whatever comes back to the end.
    Reads,
    /// Closes its side at once, which ends the exchange wherever it is, and reads.
    HalfCloses,
}

/// Sends each on a connection of its own.
fn attack(gateway: SocketAddr, requests: &[Vec<u8>], then: Then) {
    std::thread::scope(|threads| {
        for part in requests.chunks(requests.len().div_ceil(16)) {
            threads.spawn(move || {
                for bytes in part {
                    let mut connection = Connection::open(gateway);
                    let _ = connection.try_send(bytes);
                    if matches!(then, Then::HalfCloses) {
                        let _ = connection.stream().shutdown(Shutdown::Write);
                    }
                    while connection.response(bytes.starts_with(b"HEAD")).is_ok() {}
                }
            });
        }
    });
}

fn requests() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed("differential"));
    (0..if full() { 10_000 } else { 300 }).map(|_| generate(&mut random)).collect()
}

/// Answers every request with 200, and keeps the heads and what was wrong with any byte.
/// How many requests came, and what was wrong with them.
type Seen = Mutex<(usize, Vec<String>)>;

fn start_strict() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new((0, Vec::new())));
    let told = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = Arc::clone(&told);
            std::thread::spawn(move || while serve(&stream, &told).is_some() {});
        }
    });
    (address, seen)
}

fn serve(stream: &TcpStream, told: &Seen) -> Option<()> {
    let take = |until: &[u8]| {
        let mut stream = stream;
        let (mut out, mut byte) = (Vec::new(), [0; 1]);
        while !out.ends_with(until) {
            (stream.read(&mut byte).ok()? == 1).then_some(())?;
            out.push(byte[0]);
        }
        Some(out.into_iter().map(char::from).collect::<String>())
    };
    let head = take(b"\r\n\r\n")?;
    let mut stream = stream;
    let bad = |why: &str| told.lock().unwrap().1.push(format!("{why}: {head:?}"));
    told.lock().unwrap().0 += 1;
    let mut lines = head.trim_end().split("\r\n");
    let line: Vec<&str> = lines.next()?.split(' ').collect();
    if line.len() != 3 || line[2] != "HTTP/1.1" || !(line[1].starts_with('/') || line[1] == "*") {
        bad("request line");
    }
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    if fields.len() != head.trim_end().split("\r\n").count() - 1 {
        bad("field line");
    }
    let all = |name: &str| {
        fields.iter().filter(|(have, _)| have == name).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    if head.replace("\r\n", "").chars().any(|character| character.is_ascii_control() && character != '\t') {
        bad("control byte");
    }
    if all("host").len() != 1 {
        bad("host");
    }
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => {}
        ([length], []) => {
            let mut body = vec![0; length.parse().ok()?];
            stream.read_exact(&mut body).ok()?;
        }
        ([], ["chunked"]) => loop {
            let size = take(b"\r\n")?;
            let size = usize::from_str_radix(size.trim_end(), 16).map_err(|_| bad("chunk size")).ok()?;
            if size == 0 {
                while take(b"\r\n")? != "\r\n" {}
                break;
            }
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).ok()?;
            if !chunk.ends_with(b"\r\n") {
                bad("chunk");
            }
        },
        _ => bad("framing"),
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}

/// The attack, and that the upstream saw what the records say: how many requests.
pub(crate) fn compare(upstream: SocketAddr, then: Then, seen: impl Fn() -> usize) -> usize {
    let mut gateway = before(upstream);
    attack(gateway.address(), &requests(), then);
    let records = gateway.finish();
    assert_gapless(&records);
    let forwarded = records.iter().filter(|record| record.has("upstream.address")).count();
    let start = Instant::now();
    // What left last may still be on its way.
    while seen() < forwarded && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(forwarded, seen(), "{}", list(&records));
    forwarded
}

fn compare_strict(then: Then) -> usize {
    let (upstream, seen) = start_strict();
    let saw = compare(upstream, then, || seen.lock().unwrap().0);
    let faults = &seen.lock().unwrap().1;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    saw
}

#[test]
fn what_an_upstream_saw_is_what_the_records_say_and_strictly_valid() {
    let saw = compare_strict(Then::Reads);
    assert!(saw > 30, "{saw} requests went on");
}

#[test]
fn a_request_whose_client_leaves_at_once_has_an_upstream_on_record_only_if_that_saw_it() {
    let saw = compare_strict(Then::HalfCloses);
    eprintln!("{saw} requests went on");
}

struct Node {
    child: Child,
    address: SocketAddr,
    seen: Arc<Mutex<usize>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_node() -> Option<Node> {
    const SERVER: &str = "const s=require('http').createServer((q,r)=>{console.log('R');q.on('error',()=>{});q.resume();\
        q.on('end',()=>r.end())});s.on('clientError',(e,c)=>{console.log('BAD '+e.code);c.destroy()});\
        s.on('checkContinue',(q,r)=>{r.writeContinue();s.emit('request',q,r)});\
        s.listen(0,'127.0.0.1',()=>console.log('P '+s.address().port))";
    let mut child = Command::new("node").args(["-e", SERVER]).stdout(Stdio::piped()).spawn().ok()?;
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let port: u16 = lines.next()?.ok()?.strip_prefix("P ")?.parse().ok()?;
    let seen = Arc::new(Mutex::new(0));
    let told = Arc::clone(&seen);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // A body that its client breaks off ends the connection in the middle, as it must.
            // Node knows a closed list of methods; others it has seen, but does not serve.
            let is_request = line == "R" || line == "BAD HPE_INVALID_METHOD";
            let is_end = line == "BAD ECONNRESET" || line == "BAD HPE_INVALID_EOF_STATE";
            assert!(is_request || is_end, "{line}");
            *told.lock().unwrap() += usize::from(is_request);
        }
    });
    Some(Node { child, address: SocketAddr::from(([127, 0, 0, 1], port)), seen })
}

#[test]
fn node_sees_the_requests_that_the_records_say() {
    let Some(node) = start_node() else {
        return skip("node_sees_the_requests_that_the_records_say", "node is not installed");
    };
    compare(node.address, Then::Reads, || *node.seen.lock().unwrap());
}
