//! Upgraded connections: passed on where allowed, copied both ways, on record at their end.

use crate::harness::client::{Connection, get};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless, one};
use crate::harness::{PATIENCE, pattern, until};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server that switches to whatever is asked for and echoes. By the path: `/refuse` answers
/// 403, `/other` switches to something else, `/greet` sends 5 bytes with the head, `/leave`
/// closes after the first bytes, `/reset` resets then, `/quiet` reads and says nothing.
struct EchoOrigin {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl EchoOrigin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    seen.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap().to_owned();
    if path == "/refuse" {
        return stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno").ok();
    }
    let protocol = if path == "/other" { "chat" } else { "websocket" };
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    );
    if path == "/greet" {
        answer.push_str("hello");
    }
    stream.write_all(answer.as_bytes()).ok()?;
    let mut buffer = [0; 4096];
    loop {
        let got = stream.read(&mut buffer).ok()?;
        match path.as_str() {
            "/leave" => return None,
            "/reset" => {
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                return None;
            }
            "/quiet" if got > 0 => continue,
            _ if got == 0 => return None,
            _ => stream.write_all(&buffer[..got]).ok()?,
        }
    }
}

fn upgrade(to: SocketAddr, path: &str) -> TcpStream {
    upgrade_to(to, path, "websocket")
}

fn upgrade_to(to: SocketAddr, path: &str, protocol: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: api.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn facts(record: &Record) -> (i64, i64, i64, &str, &str) {
    (record.status(), record.request_size(), record.size(), record.outcome(), record.error())
}

#[test]
fn a_tunnel_copies_both_ways_and_is_on_record_at_its_end() {
    let origin = EchoOrigin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut stream = upgrade(gateway.address(), "/echo");
    let head = read_head(&mut stream).to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in
        ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n", "\r\nsec-websocket-accept: x\r\n"]
    {
        assert!(head.contains(line), "{head}");
    }
    let sent = pattern(1_000_000);
    let mut writer = stream.try_clone().unwrap();
    let all = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&all).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == sent, "{} bytes came back", back.len());
    let head = origin.heads.lock().unwrap()[0].to_lowercase();
    for line in ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n", "\r\nsec-websocket-key: k\r\n"]
    {
        assert!(head.contains(line), "{head}");
    }
    let records = gateway.wait_for_records(1, PATIENCE);
    let record = one(&records, "/echo");
    assert_eq!(facts(record), (101, 1_000_000, 1_000_000, "success", ""));
    assert_eq!(record.text("upstream.address"), origin.address.to_string());
    assert_gapless(&gateway.finish());
}

#[test]
fn bytes_that_come_with_the_heads_are_not_lost() {
    let origin = EchoOrigin::start();
    let gateway = Gateway::before(&origin.url());
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"GET /greet HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly",
        )
        .unwrap();
    read_head(&mut stream);
    let mut back = [0; 10];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"helloearly");
}

#[test]
fn what_is_not_allowed_or_not_agreed_on_stays_http() {
    let origin = EchoOrigin::start();
    let scripted = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()).hosts(&["api.test"]))
        .source(Source::new("plain", &scripted.url()).forward("upgrades", "[]"))
        .start();
    let to = gateway.address();
    assert!(read_head(&mut upgrade(to, "/refuse")).starts_with("HTTP/1.1 403 "));
    assert!(read_head(&mut upgrade(to, "/other")).starts_with("HTTP/1.1 502 "));
    // h2c would smuggle requests past the record; a source may allow nothing at all.
    let ask = |path: &str, protocol: &str| {
        get(path).host("plain.test").header("Connection", "upgrade").header("Upgrade", protocol).send(to)
    };
    assert_eq!(ask("/h2c", "h2c").status, 200);
    assert_eq!(ask("/none", "websocket").status, 200);
    for seen in scripted.seen() {
        assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, None), "{seen:?}");
    }
    let records = gateway.finish();
    assert_eq!(facts(one(&records, "/refuse")), (403, 0, 2, "failure", ""));
    assert_eq!(one(&records, "/other").error(), "upstream_protocol");
    assert_eq!(one(&records, "/h2c").status(), 200);
}

#[test]
fn each_way_to_end_has_its_outcome() {
    let origin = EchoOrigin::start();
    let source = Source::new("api", &origin.url())
        .forward("tunnel_timeout", "\"1s\"")
        .limit("body_timeout", "\"500ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    let open = |path: &str| {
        let mut stream = upgrade(to, path);
        assert!(read_head(&mut stream).contains(" 101 "), "{path}");
        stream.write_all(b"12345").unwrap();
        stream
    };
    // The upstream ends first: the client is told, and answers.
    let mut left = open("/leave");
    assert_eq!(left.read(&mut [0; 10]).unwrap_or(0), 0);
    drop(left);
    let mut reset = open("/reset");
    let _ = reset.read(&mut [0; 10]);
    // The client breaks off.
    let mut gone = open("/echo");
    gone.read_exact(&mut [0; 5]).unwrap();
    socket2::SockRef::from(&gone).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(gone);
    // Nobody says anything more.
    let mut idle = open("/quiet");
    assert_eq!(idle.read(&mut [0; 10]).unwrap_or(0), 0);
    let records = gateway.wait_for_records(4, PATIENCE);
    assert_eq!(facts(one(&records, "/leave")), (101, 5, 0, "success", ""));
    assert_eq!(facts(one(&records, "/reset")), (101, 5, 0, "aborted", "upstream_reset"));
    assert_eq!(facts(one(&records, "/echo")), (101, 5, 5, "aborted", "client_abort"));
    assert_eq!(facts(one(&records, "/quiet")), (101, 5, 0, "aborted", "tunnel_idle"));
    assert_gapless(&gateway.finish());
}

#[test]
fn a_stop_closes_tunnels_when_the_grace_is_over_and_a_kill_leaves_them_unknown() {
    let origin = EchoOrigin::start();
    let mut gateway =
        Gateway::builder().set("server", "grace", "\"1s\"").source(Source::new("api", &origin.url())).start();
    let mut stream = upgrade(gateway.address(), "/stopped");
    read_head(&mut stream);
    stream.write_all(b"123").unwrap();
    stream.read_exact(&mut [0; 3]).unwrap();
    let records = gateway.finish();
    assert_eq!(facts(one(&records, "/stopped")), (101, 3, 3, "aborted", "shutdown"));
    assert_eq!(stream.read(&mut [0; 3]).unwrap_or(0), 0);

    gateway.restart();
    let mut stream = upgrade(gateway.address(), "/killed");
    read_head(&mut stream);
    gateway.sigkill();
    gateway.restart();
    let records = gateway.wait_for_records(2, PATIENCE);
    assert_eq!(one(&records, "/killed").outcome(), "unknown");
}

#[test]
fn a_connection_serves_requests_before_it_is_upgraded() {
    let origin = EchoOrigin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let refused =
        connection.exchange(&get("/refuse").header("Connection", "upgrade").header("Upgrade", "websocket"));
    assert_eq!(refused.status, 403);
    connection.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 101);
    connection.send(b"abc");
    assert_eq!(connection.read_at_least(3), 3);
    connection.close();
    until("both records", PATIENCE, || (gateway.records().len() == 2).then_some(()));
    gateway.finish();
}

#[test]
fn a_tunnel_of_a_durable_or_strict_route_opens_at_once_and_is_on_record_at_its_end() {
    let origin = EchoOrigin::start();
    for class in ["durable", "strict"] {
        let source =
            Source::new("api", &origin.url()).key("durability", &format!("{{ reads = \"{class}\" }}"));
        let mut gateway = Gateway::builder().source(source).start();
        let mut stream = upgrade(gateway.address(), "/echo");
        assert!(read_head(&mut stream).contains(" 101 "), "{class}");
        stream.write_all(b"12345").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 5]).unwrap(), 0);
        let records = gateway.finish();
        assert_eq!(facts(one(&records, "/echo")), (101, 5, 5, "success", ""), "{class}");
    }
}
