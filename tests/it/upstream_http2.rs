//! HTTP/2 towards upstreams: shared connections, refusals that are tried again, flow control.

use crate::harness::client::{H2, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::h2_origin::H2Origin;
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::tls::{Authority, TlsFront};
use crate::harness::{PATIENCE, pattern, until};

fn before(origin: &H2Origin) -> crate::harness::gateway::Builder {
    let source = Source::new("api", &format!("http://{}", origin.address)).forward("http2", "\"always\"");
    Gateway::builder().set("server", "workers", "1").source(source)
}

#[test]
fn requests_share_a_connection_and_arrive_as_http_2_wants_them() {
    let origin = H2Origin::start(None, 100);
    let mut gateway = before(&origin).start();
    let to = gateway.address();
    let clients: Vec<_> = (0..20)
        .map(|number| {
            std::thread::spawn(move || get(format!("/shared-{number}?hold=all&size=3000")).send(to))
        })
        .collect();
    origin.wait_for_many(20);
    origin.release("all");
    for client in clients {
        let response = client.join().unwrap();
        assert_eq!((response.status, response.body.len(), response.is_pattern()), (200, 3000, true));
    }
    assert_eq!(origin.connections(), 1, "20 requests at once share one connection");
    let posted = request("POST", "/posted?size=10&trailers=1")
        .host("api.example")
        .header("Cookie", "a=1")
        .header("Connection", "close, x-mine")
        .header("X-Mine", "1")
        .header("TE", "trailers")
        .chunked()
        .body(pattern(700_000))
        .trailer("x-sum", "7")
        .send(to);
    assert_eq!(posted.status, 200);
    assert_eq!(posted.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
    assert!(posted.header("via").is_some_and(|via| via.starts_with("2 ")), "{posted:?}");
    let seen = origin.one("/posted");
    assert_eq!(seen.uri, format!("http://{}/posted?size=10&trailers=1", origin.address));
    assert_eq!((seen.method.as_str(), seen.body_bytes), ("POST", 700_000));
    assert_eq!(seen.trailers.unwrap()["x-sum"], "7");
    assert_eq!(seen.headers["x-forwarded-host"], "api.example");
    for gone in ["host", "connection", "x-mine", "transfer-encoding", "upgrade", "keep-alive"] {
        assert!(!seen.headers.contains_key(gone), "{gone}: {:?}", seen.headers);
    }
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(one(&records, "/posted").request_size(), 700_000);
    assert_eq!(one(&records, "/shared-7").text("upstream.address"), origin.address.to_string());
}

#[test]
fn beyond_the_streams_that_the_upstream_allows_another_connection_is_made() {
    let origin = H2Origin::start(None, 4);
    let gateway = before(&origin).start();
    let to = gateway.address();
    assert_eq!(get("/first").send(to).status, 200, "its settings are known from here");
    let clients: Vec<_> = (0..10)
        .map(|number| std::thread::spawn(move || get(format!("/many-{number}?hold=all")).send(to).status))
        .collect();
    origin.wait_for_many(10);
    origin.release("all");
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_refused_stream_is_tried_again_and_a_broken_one_is_not() {
    let origin = H2Origin::start(None, 100);
    let mut gateway = before(&origin).start();
    let to = gateway.address();
    assert_eq!(get("/refused?refuse=2").send(to).status, 200);
    assert_eq!(get("/for-ever?refuse=1000").send(to).status, 502);
    assert_eq!(get("/reset?reset=1").send(to).status, 502);
    assert_eq!(request("POST", "/body?refuse=1").body(pattern(10)).send(to).status, 502);
    assert_eq!(origin.seen().iter().filter(|seen| seen.uri.contains("/reset")).count(), 1);
    let records = gateway.finish();
    let refused = one(&records, "/refused");
    assert_eq!((refused.outcome(), refused.int("upstream.attempts")), ("success", Some(3)));
    assert_eq!(one(&records, "/reset").error(), "upstream_reset");
}

#[test]
fn a_goaway_ends_a_connection_without_harm() {
    let origin = H2Origin::start(None, 100);
    let gateway = before(&origin).start();
    let to = gateway.address();
    let slow = std::thread::spawn(move || get("/slow?hold=slow&size=5000").send(to));
    origin.wait_for_many(1);
    origin.go_away();
    until("a second connection", PATIENCE, || {
        assert_eq!(get("/next").send(to).status, 200);
        (origin.connections() == 2).then_some(())
    });
    origin.release("slow");
    let slow = slow.join().unwrap();
    assert_eq!((slow.status, slow.body.len(), slow.complete), (200, 5000, true));
}

#[test]
fn a_slow_reader_stops_neither_the_others_nor_fills_memory() {
    let origin = H2Origin::start(None, 100);
    let gateway = before(&origin).start();
    let mut stuck = crate::harness::client::Connection::open(gateway.address());
    stuck.small_window();
    stuck.send(&get("/stuck?size=100000000").head_bytes());
    stuck.head().unwrap();
    let before = gateway.resident_kib();
    for number in 0..20 {
        let response = get(format!("/other-{number}?size=1000000")).send(gateway.address());
        assert!(response.complete && response.body.len() == 1_000_000);
    }
    assert!(gateway.resident_kib() < before + 20_000, "{before} KiB before");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn http_2_is_agreed_on_by_alpn_where_it_is_offered() {
    let authority = Authority::new("upstreams");
    let modern = H2Origin::start(Some(authority.server(&["localhost"], &["h2", "http/1.1"], None)), 100);
    let plain = Origin::start();
    let old = TlsFront::before(plain.address(), authority.server(&["localhost"], &["http/1.1"], None));
    let url = |port| format!("https://localhost:{port}");
    let source = |name, port| {
        Source::new(name, &url(port))
            .hosts(&[&format!("{name}.test")])
            .forward("ca", "\"ca.pem\"")
            .forward("http2", "\"auto\"")
    };
    let gateway = Gateway::builder()
        .file("ca.pem", &authority.pem())
        .source(source("modern", modern.address.port()))
        .source(source("old", old.address.port()))
        .source(source("must", old.address.port()).forward("http2", "\"always\""))
        .start();
    let ask = |host: &str| get("/alpn?size=100").host(host).send(gateway.address());
    for _ in 0..3 {
        assert_eq!(ask("modern.test").header("x-origin"), Some("h2"));
        assert_eq!(ask("old.test").header("server"), Some("origin"));
    }
    assert_eq!(modern.seen().len(), 3);
    assert!(modern.seen().iter().all(|seen| seen.uri.starts_with("https://localhost")));
    assert_eq!(ask("must.test").status, 502);
}

#[test]
fn http_2_passes_from_end_to_end() {
    let origin = H2Origin::start(None, 100);
    let mut gateway = before(&origin).start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let response = runtime.block_on(async {
        let client = H2::open(gateway.address()).await;
        client.send("PUT", "/whole?size=200000&trailers=1", pattern(300_000)).await
    });
    assert_eq!((response.status, response.body.len(), response.is_pattern()), (200, 200_000, true));
    assert_eq!(response.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
    assert_eq!(origin.one("/whole").body_bytes, 300_000);
    drop(runtime);
    let records = gateway.finish();
    let record = one(&records, "/whole");
    assert_eq!((record.size(), record.request_size(), record.outcome()), (200_000, 300_000, "success"));
}
