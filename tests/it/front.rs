//! How the front behaves on one connection: order, refusals, upgrades that are none, limits.

use crate::harness::client::{Connection, H2, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::h2_frames::{Peer, WINDOW_UPDATE, frame};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, list, one};
use crate::harness::{PATIENCE, until};
use http_body_util::BodyExt as _;
use std::time::Duration;

#[test]
fn pipelined_requests_are_answered_in_order_and_each_is_on_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let mut bytes = Vec::new();
    for number in 0..20 {
        let request = match number % 3 {
            0 => get(format!("/p/{number}?size={number}")),
            1 => request("POST", format!("/p/{number}?size={number}")).body(vec![b'a'; number]),
            _ => request("PUT", format!("/p/{number}?size={number}")).body(vec![b'b'; number]).chunked(),
        };
        bytes.extend(request.head_bytes());
        bytes.extend(request.body_bytes());
    }
    connection.send(&bytes);
    for number in 0..20 {
        let response = connection.response(false).unwrap();
        assert_eq!((response.status, response.body.len(), response.complete), (200, number, true));
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 20);
    assert_gapless(&records);
    let seen: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    let sent: Vec<String> = (0..20).map(|number| format!("/p/{number}?size={number}")).collect();
    assert_eq!(seen, sent);
}

#[test]
fn what_is_refused_behind_a_request_is_answered_behind_its_response() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let mut bytes = get("/first?hold=gate&size=50000").head_bytes();
    bytes.extend_from_slice(
        b"GET /second HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\nGET /third HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    connection.send(&bytes);
    origin.wait_for("gate");
    origin.release("gate");
    let first = connection.response(false).unwrap();
    assert_eq!((first.status, first.body.len(), first.is_pattern()), (200, 50_000, true));
    let second = connection.response(false).unwrap();
    assert_eq!((second.status, second.header("connection")), (400, Some("close")));
    assert!(connection.response(false).is_err(), "the connection is closed behind it");
    let records = gateway.finish();
    assert_eq!(records.len(), 2, "{}", list(&records));
    assert_gapless(&records);
    assert_eq!(one(&records, "/first").outcome(), "success");
    let refused = records.iter().find(|record| record.status() == 400).unwrap();
    assert_eq!((refused.error(), refused.text("http.request.method")), ("malformed", ""));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn a_client_that_still_sends_gets_the_answer_to_what_is_refused() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    for _ in 0..20 {
        let mut connection = Connection::open(gateway.address());
        let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +100000\r\n\r\n".to_vec();
        bytes.extend(vec![b'a'; 100_000]);
        let _ = connection.try_send(&bytes);
        assert_eq!(connection.response(false).unwrap().status, 400);
    }
    // The last one is counted when its answer is out.
    until("20 refusals", PATIENCE, || {
        (gateway.metric("onrecord_refusals_total", "content_length\"") == 20.0).then_some(())
    });
    assert_eq!(
        gateway.metric("onrecord_refusals_total", "bare_lf"),
        0.0,
        "every cause is there from the start"
    );
}

#[test]
fn a_head_that_comes_byte_by_byte_is_a_request_like_any_other() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    for byte in request("POST", "/slow-but-fine").body(b"hello".to_vec()).chunked().head_bytes() {
        connection.send(&[byte]);
    }
    for byte in b"5\r\nhello\r\n0\r\nX: y\r\n\r\n" {
        connection.send(&[*byte]);
    }
    assert_eq!(connection.response(false).unwrap().status, 200);
    // The next one on the same connection, its head in two pieces.
    let next = get("/next").head_bytes();
    connection.send(&next[..30]);
    connection.send(&next[30..]);
    assert_eq!(connection.response(false).unwrap().status, 200);
    let records = gateway.finish();
    assert_eq!(records.len(), 2, "{}", list(&records));
    assert_eq!(one(&records, "/slow-but-fine").request_size(), 5);
}

#[test]
fn a_request_for_h2c_is_an_ordinary_request_and_the_next_one_too() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let mut bytes = get("/h2c")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQAAP__")
        .head_bytes();
    bytes.extend(get("/after").head_bytes());
    connection.send(&bytes);
    assert_eq!(connection.response(false).unwrap().status, 200);
    assert_eq!(connection.response(false).unwrap().status, 200);
    let seen = origin.one("/h2c");
    assert!(seen.header("upgrade").is_none() && seen.header("http2-settings").is_none(), "{seen:?}");
    assert!(seen.all("connection").iter().all(|value| !value.to_lowercase().contains("upgrade")), "{seen:?}");
    // What follows is no HTTP/1.1: without a switch it is refused.
    let mut connection = Connection::open(gateway.address());
    let mut bytes = get("/h2c-2").header("Connection", "Upgrade").header("Upgrade", "h2c").head_bytes();
    bytes.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    connection.send(&bytes);
    assert_eq!(connection.response(false).unwrap().status, 200);
    assert_eq!(connection.response(false).unwrap().status, 505);
    assert_eq!(gateway.finish().len(), 4);
}

#[test]
fn an_absolute_target_wins_over_host_and_the_upstream_sees_one_host() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).key("preserve_host", "true");
    let gateway = Gateway::builder().source(source).start();
    let mut connection = Connection::open(gateway.address());
    connection.exchange(&get("http://target.test:81/absolute?a").host("other.test"));
    let seen = origin.one("/absolute");
    assert_eq!((seen.target.as_str(), seen.all("host")), ("/absolute?a", vec!["target.test:81"]));
    assert_eq!(seen.header("x-forwarded-host"), Some("target.test:81"));
}

#[test]
fn trailers_that_pose_as_a_head_do_not_pass() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    request("POST", "/posing")
        .header("Trailer", "X-Sum, Authorization, X-Forwarded-For, Content-Length, Cookie")
        .body(b"abc".to_vec())
        .trailer("X-Sum", "1")
        .trailer("Authorization", "Bearer x")
        .trailer("X-Forwarded-For", "6.6.6.6")
        .trailer("Content-Length", "99")
        .trailer("Cookie", "a=b")
        .send(gateway.address());
    let seen = origin.one("/posing");
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[test]
fn an_empty_line_between_requests_makes_no_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    connection.exchange(&request("POST", "/one").body(b"abc".to_vec()));
    connection.send(b"\r\n");
    connection.exchange(&get("/two"));
    connection.send(b"\r\n");
    connection.close();
    let mut lone = Connection::open(gateway.address());
    lone.send(b"\r\n");
    lone.close();
    gateway.wait_for_records(2, PATIENCE);
    let records = gateway.finish();
    assert_eq!(records.len(), 2, "{}", list(&records));
    assert_gapless(&records);
}

#[test]
fn half_a_head_behind_a_request_runs_out_of_time_and_is_on_record() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("head_timeout", "\"400ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let mut connection = Connection::open(gateway.address());
    let mut bytes = get("/whole").head_bytes();
    bytes.extend_from_slice(b"GET /half HTTP/1.1\r\nHost:");
    connection.send(&bytes);
    assert_eq!(connection.response(false).unwrap().status, 200);
    assert_eq!(connection.response(false).unwrap().status, 408);
    let records = gateway.finish();
    assert_eq!(records.len(), 2, "{}", list(&records));
    assert!(records.iter().any(|record| record.error() == "client_timeout" && record.status() == 408));
}

#[test]
fn floods_and_broken_frames_of_http2_close_the_connection_and_are_on_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    // GET http / with :authority `a`, by the static table and literals without indexing.
    let head = [&[0x82, 0x86, 0x84, 0x01, 0x01][..], b"a"].concat();
    let rapid: Vec<u8> = (0..2000u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [frame(1, 5, stream, &head), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let endless = [frame(1, 0, 1, &head)]
        .into_iter()
        .chain((0..20_000).map(|_| frame(9, 0, 1, &[0x40, 1, b'x', 1, b'y'])))
        .collect::<Vec<_>>()
        .concat();
    let attacks = [
        ("rapid reset", rapid),
        ("endless head", endless),
        ("ping of 7 bytes", frame(6, 0, 0, &[0; 7])),
        ("data on a stream that is not open", frame(0, 0, 1, b"x")),
        ("broken compression", frame(1, 5, 1, &[0xff; 12])),
    ];
    for (name, bytes) in &attacks {
        let mut connection = Connection::open(gateway.address());
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        connection.send(&frame(4, 0, 0, &[]));
        let _ = connection.try_send(bytes);
        // It ends by itself: reading comes to an end.
        let end = connection.response(false).map(|response| response.status);
        assert!(end.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock), "{name}: still open");
    }
    assert_eq!(get("/after").send(gateway.address()).status, 200);
    let records = gateway.finish();
    assert_gapless(&records);
    // One of each connection, and of each stream that was begun on it and came to nothing.
    let told = records.iter().filter(|record| record.error() == "malformed" && record.status() == 0).count();
    assert!(told >= attacks.len(), "{}", list(&records));
    assert!(origin.seen().len() < 500, "{} of 2,000 reset requests went on", origin.seen().len());
}

#[test]
fn a_stream_of_http2_that_is_no_request_is_reset_and_on_record_and_others_go_on() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let authority = [&[0x01, 0x01][..], b"a"].concat();
    let literal = |name: &[u8], value: &[u8]| {
        [&[0x00, name.len() as u8][..], name, &[value.len() as u8], value].concat()
    };
    // GET, http, / and :authority by the static table, each with something that no request has,
    // or without something that each has (RFC 9113 §8.1 to §8.3).
    let good = [&[0x82, 0x86, 0x84][..], &authority].concat();
    let bad = [
        ("no path", [&[0x82, 0x86][..], &authority].concat()),
        ("no method", [&[0x86, 0x84][..], &authority].concat()),
        ("two paths", [&[0x82, 0x86, 0x84, 0x84][..], &authority].concat()),
        ("a status", [&good[..], &[0x88]].concat()),
        ("a field of the connection", [&good[..], &literal(b"connection", b"close")].concat()),
        ("te but trailers", [&good[..], &literal(b"te", b"gzip")].concat()),
        ("a pseudo-field behind a field", [&literal(b"x", b"1")[..], &good].concat()),
    ];
    let mut connection = Connection::open(gateway.address());
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    connection.send(&frame(4, 0, 0, &[]));
    for (number, (_, head)) in (0u32..).zip(&bad) {
        connection.send(&frame(1, 5, 2 * number + 1, head));
    }
    let last = 2 * bad.len() as u32 + 1;
    connection.send(&frame(1, 5, last, &good));
    // All of them are told while the connection is still open.
    let records = gateway.wait_for_records(bad.len() + 1, PATIENCE);
    let malformed = records.iter().filter(|record| record.error() == "malformed" && record.status() == 0);
    assert_eq!(malformed.count(), bad.len(), "{}", list(&records));
    assert_eq!(records.iter().filter(|record| record.status() == 200).count(), 1, "{}", list(&records));
    assert_eq!(origin.seen().len(), 1);
    drop(connection);
    let records = gateway.finish();
    assert_eq!(records.len(), bad.len() + 1);
    assert_gapless(&records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_that_keeps_its_windows_shut_is_cut_off() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("body_timeout", "\"1s\"");
    let mut gateway = Gateway::builder().source(source).start();
    let client = H2::open(gateway.address()).await;
    // Its body is never read, so that the stream's window fills up and stays so.
    let held = client.start("GET", "/stalled?size=100000000", Vec::new()).await;
    let records = gateway.wait_for_records(1, PATIENCE);
    assert_eq!(one(&records, "/stalled").outcome(), "aborted");
    drop(held);
    assert_gapless(&gateway.finish());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_of_http2_whose_window_stays_shut_is_cut_off_while_others_go_on() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("body_timeout", "\"1s\"");
    let mut gateway = Gateway::builder().source(source).start();
    let client = H2::open(gateway.address()).await;
    let held = client.start("GET", "/stalled?size=100000000", Vec::new()).await;
    // Each takes its time and none is stalled; together they last longer than the limit.
    let begin = std::time::Instant::now();
    let mut others = 0;
    while gateway.records().iter().all(|record| record.text("url.path") != "/stalled") {
        assert!(begin.elapsed() < PATIENCE, "the stalled stream is still there");
        let response = client.send("GET", "/other?size=200000", Vec::new()).await;
        assert_eq!((response.status, response.body.len(), response.complete), (200, 200_000, true));
        others += 1;
    }
    assert!(begin.elapsed() > Duration::from_secs(1));
    // The connection is as good as ever.
    assert_eq!(client.send("GET", "/after?size=10", Vec::new()).await.body.len(), 10);
    let end = held.into_body().collect().await;
    assert!(end.is_err(), "the client is told");
    let records = gateway.finish();
    assert_eq!(records.len(), others + 2, "{}", list(&records));
    let stalled = one(&records, "/stalled");
    assert_eq!((stalled.outcome(), stalled.error()), ("aborted", "client_abort"));
    assert_gapless(&records);
}

#[test]
fn a_stream_of_http2_that_is_read_slowly_is_not_cut_off() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("body_timeout", "\"1s\"");
    let mut gateway = Gateway::builder().source(source).start();
    let stream = Connection::open(gateway.address()).into_stream();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut peer = Peer::new(Box::new(stream), false);
    peer.begin(&[(4, 1)]).unwrap();
    // Of a body that is handed on at once, a byte each 300 ms: longer than the limit in all.
    peer.get_of(1, "/slow?size=100000");
    let begin = std::time::Instant::now();
    peer.data(1, 1).unwrap();
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(300));
        peer.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        peer.data(1, 1).unwrap();
    }
    assert!(begin.elapsed() > Duration::from_secs(2));
    // Shut for good, it is, and as nothing else goes on, its connection too.
    peer.ends().unwrap();
    let records = gateway.finish();
    assert_eq!(one(&records, "/slow").outcome(), "aborted");
}

#[test]
fn a_connection_that_was_at_rest_goes_on_as_if_nothing_had_been() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("head_timeout", "\"1s\"");
    let mut gateway = Gateway::builder().source(source).start();
    let mut connections: Vec<_> = (0..5).map(|_| Connection::open(gateway.address())).collect();
    for _ in 0..2 {
        for connection in &mut connections {
            assert_eq!(connection.exchange(&get("/before?size=9")).body.len(), 9);
        }
        // An idle connection goes to rest after a second.
        std::thread::sleep(Duration::from_millis(1500));
    }
    let [whole, pieces, line, bad, half] = &mut connections[..] else { unreachable!() };
    let two = [get("/two/1").head_bytes(), get("/two/2").head_bytes()].concat();
    whole.send(&two);
    for _ in 0..2 {
        assert_eq!(whole.response(false).unwrap().status, 200);
    }
    for byte in request("POST", "/pieces").body(b"hello".to_vec()).head_bytes() {
        pieces.send(&[byte]);
    }
    pieces.send(b"hello");
    assert_eq!(pieces.response(false).unwrap().status, 200);
    line.send(b"\r\n");
    line.exchange(&get("/line"));
    bad.send(b"GET /bad HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_eq!(bad.response(false).unwrap().status, 400);
    assert!(bad.is_closed_by_peer());
    half.send(b"GET /half HTTP/1.1\r\nHost:");
    assert_eq!(half.response(false).unwrap().status, 408);
    assert!(half.is_closed_by_peer());
    let records = gateway.finish();
    assert_eq!(records.len(), 16, "{}", list(&records));
    assert_eq!(records.iter().filter(|record| record.status() == 200).count(), 14);
    assert_gapless(&records);
}
