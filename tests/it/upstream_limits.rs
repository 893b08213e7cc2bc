//! Unix sockets, answers that come early, and bodies that are held back.

use crate::harness::client::{Connection, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, pattern, until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

#[test]
fn a_unix_socket_can_be_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let got = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        String::from_utf8_lossy(&head[..got]).to_lowercase()
    });
    let mut gateway = Gateway::before(&format!("unix:{}", path.display()));
    let response = get("/by-socket").host("api.test").send(gateway.address());
    assert_eq!((response.status, response.body.as_slice()), (200, b"ok".as_slice()));
    let head = serving.join().unwrap();
    assert!(head.contains("\r\nhost: localhost\r\n") && head.contains("\r\nx-forwarded-host: api.test\r\n"));
    let records = gateway.finish();
    assert_eq!(one(&records, "/by-socket").text("upstream.address"), format!("unix:{}", path.display()));
}

#[test]
fn an_answer_that_comes_before_the_body_is_over_reaches_the_client() {
    // Answers 413 at the head, reads nothing, and closes with the body unread: a reset.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                stream
                    .write_all(
                        b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large",
                    )
                    .unwrap();
            });
        }
    });
    let mut gateway = Gateway::before(&format!("http://{address}"));
    for number in 0..10 {
        let mut connection = Connection::open(gateway.address());
        let upload = request("POST", format!("/early-{number}")).body(pattern(20_000_000));
        connection.send(&upload.head_bytes());
        // The client goes on sending, as most do, until it cannot.
        let _ = connection.try_send(&upload.body_bytes());
        let response = connection.response(false).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (413, b"too large".as_slice()));
    }
    let records = gateway.wait_for_records(10, PATIENCE);
    assert_gapless(&records);
    for record in &records {
        assert_eq!((record.status(), record.size(), record.outcome()), (413, 9, "failure"), "{record:?}");
    }
    gateway.finish();
}

#[test]
fn an_answer_that_comes_first_does_not_stop_the_upload() {
    // Answers at the head with more than fits anywhere, and reads all of the body meanwhile.
    const SIZE: usize = 20_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (0..2)
            .map(|_| {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    (&stream).read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let mut answering = stream.try_clone().unwrap();
                let answer = std::thread::spawn(move || {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
                    answering.write_all(head.as_bytes()).and_then(|()| answering.write_all(&pattern(SIZE)))
                });
                let mut body = vec![0; SIZE];
                (&stream).read_exact(&mut body).unwrap();
                answer.join().unwrap().unwrap();
                body == pattern(SIZE)
            })
            .collect::<Vec<_>>()
    });
    let mut gateway = Gateway::builder()
        .set("server", "workers", "1")
        .source(Source::new("api", &format!("http://{address}")))
        .start();
    for number in 0..2 {
        let mut connection = Connection::open(gateway.address());
        let upload = request("POST", format!("/both-{number}")).body(pattern(SIZE));
        connection.send(&upload.head_bytes());
        // Nothing of the answer is read before all of the body is sent.
        connection.send(&upload.body_bytes());
        let response = connection.response(false).unwrap();
        assert!(response.status == 200 && response.body == pattern(SIZE));
    }
    assert_eq!(serving.join().unwrap(), [true, true], "both came whole, over one connection");
    let records = gateway.finish();
    for number in 0..2 {
        let record = one(&records, &format!("/both-{number}"));
        assert_eq!(
            (record.size(), record.request_size(), record.outcome()),
            (SIZE as i64, SIZE as i64, "success")
        );
    }
}

#[test]
fn a_body_that_is_held_back_is_not_asked_for_before_the_upstream_does() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    // Refused by its head alone: the client never sends.
    let mut connection = Connection::open(gateway.address());
    let upload = request("PUT", "/refused?continue=no&status=403&size=5")
        .body(pattern(50_000))
        .header("Expect", "100-continue");
    connection.send(&upload.head_bytes());
    let response = connection.response(false).unwrap();
    assert_eq!((response.status, response.interim.as_slice(), response.body.len()), (403, [].as_slice(), 5));
    assert_eq!(origin.one("/refused").header("expect"), Some("100-continue"));
    assert!(connection.is_closed_by_peer(), "nobody knows whether a body would still come");
    // Held until the upstream asks.
    let mut connection = Connection::open(gateway.address());
    let upload =
        request("PUT", "/held?hold_read=gate").body(pattern(50_000)).header("Expect", "100-continue");
    connection.send(&upload.head_bytes());
    origin.wait_for("gate");
    assert_eq!(origin.one("/held").body_bytes, 0);
    origin.release("gate");
    assert_eq!(connection.peek_status(), 100);
    connection.send(&upload.body_bytes());
    assert_eq!(connection.response(false).unwrap().status, 200);
    assert!(origin.one("/held").body_is_pattern);
    // The connection of the refused request is not used again.
    assert_eq!(get("/after").send(gateway.address()).status, 200);
    assert_ne!(origin.one("/after").connection, origin.one("/refused").connection);
    let records = gateway.finish();
    assert_eq!(one(&records, "/refused").request_size(), 0);
    assert_eq!(one(&records, "/held").request_size(), 50_000);
}

#[test]
fn an_upstream_that_does_not_know_the_expectation_gets_the_body_after_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"the body") {
            let mut piece = [0; 1024];
            let got = stream.read(&mut piece).unwrap();
            all.extend_from_slice(&piece[..got]);
        }
        stream.write_all(b"HTTP/1.1 204 Fine\r\n\r\n").unwrap();
        // Stays open until the other side closes.
        let _ = stream.read(&mut [0; 1]);
    });
    let gateway = Gateway::before(&format!("http://{address}"));
    let mut connection = Connection::open(gateway.address());
    let upload = request("PUT", "/slow").body(b"the body".to_vec()).header("Expect", "100-continue");
    connection.send(&upload.head_bytes());
    assert_eq!(connection.peek_status(), 100);
    connection.send(&upload.body_bytes());
    assert_eq!(connection.response(false).unwrap().status, 204);
}

#[test]
fn a_lost_connection_to_a_pool_of_stale_ones_costs_no_request() {
    let mut origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("upstream_idle_timeout", "\"1h\"");
    let gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    let to = gateway.address();
    let clients: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || get("/warm?hold=warm").send(to).status)).collect();
    origin.wait_for_many("warm", 8);
    origin.release("warm");
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    origin.close_connections();
    until("an answer over a new connection", PATIENCE, || {
        (get("/again").send(to).status == 200).then_some(())
    });
    origin.stop();
}
