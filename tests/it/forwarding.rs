//! What arrives at the upstream, and what comes back, is what HTTP wants of a gateway.

use crate::harness::client::{Connection, H2, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, pattern, until};

#[test]
fn hop_by_hop_headers_end_here_and_all_others_pass() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let response =
        get("/hops?h=Keep-Alive:timeout%3D5&h=X-Mine:1&h=X-Twice:a&h=X-Twice:b&h=Proxy-Authenticate:Basic")
            .header("Connection", "close, X-Private, keep-alive")
            .header("X-Private", "secret between us")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("Proxy-Authorization", "Basic YTpi")
            .header("TE", "trailers, deflate")
            .header("Upgrade", "websocket")
            .header("X-Public", "yes")
            .header("X-Twice", "one")
            .header("X-Twice", "two")
            .header("Accept-Encoding", "gzip;q=0.5, br")
            .header("Cookie", "a=1; b=2")
            .send(gateway.address());
    let seen = origin.one("/hops");
    for name in ["x-private", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert_eq!(seen.header(name), None, "{name} was passed on: {seen:?}");
    }
    assert!(seen.all("connection").iter().all(|value| !value.contains("X-Private")), "{seen:?}");
    assert!(seen.all("te").iter().all(|value| *value == "trailers"), "{seen:?}");
    assert_eq!(seen.header("x-public"), Some("yes"));
    assert_eq!(seen.all("x-twice"), ["one", "two"]);
    assert_eq!(seen.header("accept-encoding"), Some("gzip;q=0.5, br"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header("content-length"), None, "no body was invented");
    assert_eq!(seen.header("transfer-encoding"), None, "no body was invented");
    assert_eq!(response.header("x-mine"), Some("1"));
    let twice: Vec<_> =
        response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-twice")).collect();
    assert_eq!(twice.len(), 2);
    assert_eq!(response.header("keep-alive"), None);
    assert_eq!(response.header("server"), Some("origin"));
}

#[test]
fn via_names_the_gateway_on_both_ways() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let response = get("/via?h=Via:1.1+far").header("Via", "1.0 near").send(gateway.address());
    let to_origin = origin.one("/via").all("via").join(", ");
    assert!(to_origin.starts_with("1.0 near, 1.1 "), "{to_origin}");
    let back = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("via"))
        .map(|(_, value)| value.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    assert!(back.contains("far, 1.1 "), "{back}");
}

#[test]
fn forwarding_headers_of_a_stranger_are_replaced() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let port = connection.local().port();
    connection.exchange(
        &get("/stranger")
            .host("api.example:8080")
            .header("X-Forwarded-For", "6.6.6.6")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "evil.test")
            .header("Forwarded", "for=6.6.6.6;proto=https"),
    );
    let seen = origin.one("/stranger");
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["api.example:8080"]);
    let forwarded = seen.all("forwarded").join(", ");
    assert!(!forwarded.contains("6.6.6.6") && !forwarded.contains("proto=https"), "{forwarded}");
    assert!(forwarded.contains("for=127.0.0.1") || forwarded.contains("for=\"127.0.0.1"), "{forwarded}");
    let records = gateway.finish();
    let record = one(&records, "/stranger");
    assert_eq!(
        (record.text("client.address"), record.int("client.port")),
        ("127.0.0.1", Some(i64::from(port)))
    );
}

#[test]
fn forwarding_headers_of_a_trusted_proxy_are_believed_and_continued() {
    let origin = Origin::start();
    let source =
        Source::new("api", &origin.url()).key("trusted_proxies", "[\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    let mut gateway = Gateway::builder().source(source).start();
    get("/trusted")
        .header("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.1.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "shop.example")
        .send(gateway.address());
    let seen = origin.one("/trusted");
    assert_eq!(seen.all("x-forwarded-for").join(", "), "6.6.6.6, 203.0.113.9, 10.1.1.1, 127.0.0.1");
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-host"), ["shop.example"]);
    let records = gateway.finish();
    // The last address that is not a trusted proxy: what stands before it anybody can write.
    assert_eq!(one(&records, "/trusted").text("client.address"), "203.0.113.9");
}

#[test]
fn host_is_the_upstreams_unless_it_is_to_be_preserved() {
    let origin = Origin::start();
    let gateway = Gateway::builder()
        .source(Source::new("own", &origin.url()).hosts(&["own.test"]))
        .source(Source::new("kept", &origin.url()).hosts(&["kept.test"]).key("preserve_host", "true"))
        .start();
    get("/own").host("own.test").send(gateway.address());
    get("/kept").host("KEPT.test:80").send(gateway.address());
    assert_eq!(origin.one("/own").header("host"), Some(origin.address().to_string().as_str()));
    assert_eq!(origin.one("/own").header("x-forwarded-host"), Some("own.test"));
    assert_eq!(origin.one("/kept").header("host"), Some("KEPT.test:80"));
    assert_eq!(origin.one("/own").all("host").len(), 1);
}

#[test]
fn sources_are_chosen_by_host_and_by_listener() {
    let (one_up, other_up) = (Origin::start(), Origin::start());
    let mut gateway = Gateway::builder()
        .source(Source::new("named", &one_up.url()).hosts(&["a.test", "b.test"]))
        .source(Source::new("rest", &other_up.url()))
        .source(Source::new("own-port", &one_up.url()).listener(1))
        .start();
    get("/1").host("a.test").send(gateway.address());
    get("/2").host("B.TEST:1234").send(gateway.address());
    get("/3").host("elsewhere.test").send(gateway.address());
    get("/4").host("a.test").send(gateway.listener(1));
    let records = gateway.finish();
    assert_gapless(&records);
    for (path, source) in [("/1", "named"), ("/2", "named"), ("/3", "rest"), ("/4", "own-port")] {
        let record = one(&records, path);
        assert!(record.object.starts_with(&format!("log_source={source}/")), "{path} in {}", record.object);
    }
    assert_eq!((one_up.seen().len(), other_up.seen().len()), (3, 1));
}

#[test]
fn paths_and_queries_arrive_byte_for_byte() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let targets = [
        "/plain",
        "/",
        "/?",
        "/a%20b/%7Euser/%e3%81%82?q=%E3%81%82&&x=1&=&y",
        "/a//b/./c/../d;v=1/e%2Ff%5C",
        "/~!$&'()*+,;=:@-._/?~!$&'()*+,;=:@/?-._",
        "/q?[]{}|^`\"<>",
        "/colon:in/path@here",
    ];
    let mut passed = Vec::new();
    for target in targets {
        if get(target).send(gateway.address()).status == 200 {
            passed.push(target);
        }
    }
    let seen: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, passed);
    // Characters that RFC 3986 does not know may be refused; all others must pass.
    assert!(passed.len() >= targets.len() - 1, "{passed:?}");
    let records = gateway.finish();
    assert_gapless(&records);
    for target in passed {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let found =
            records.iter().any(|record| record.text("url.path") == path && record.text("url.query") == query);
        assert!(found, "{target}: {}", crate::harness::records::list(&records));
    }
}

#[test]
fn odd_bytes_in_paths_and_headers_do_no_harm() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let cases: [&[u8]; 4] =
        [b"/high/\xff\xfe", b"/utf8/\xe3\x81\x82?\xe3\x81\x82=1", b"/tab/\tx", b"/bell/\x07"];
    for target in cases {
        let response = get(target).header("User-Agent", b"caf\xe9 \xff").send(gateway.address());
        assert!(matches!(response.status, 200 | 400), "{target:?}: {}", response.status);
    }
    get("/json?a=%22%5C%00").header("User-Agent", "\"quoted\\ </script>\t").send(gateway.address());
    let records = gateway.finish();
    assert_eq!(records.len(), 5);
    assert_gapless(&records);
    assert_eq!(one(&records, "/json").text("user_agent.original"), "\"quoted\\ </script>");
}

#[test]
fn the_prefix_goes_off_and_the_base_path_goes_on() {
    let origin = Origin::start();
    let source = Source::new("api", &format!("{}/base/v2", origin.url())).key("path_prefix", "\"/cms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    assert_eq!(get("/cms/things/1?a=b").send(to).status, 200);
    assert_eq!(get("/cms").send(to).status, 200);
    assert_eq!(get("/cmsx/things").send(to).status, 404);
    assert_eq!(get("/other").send(to).status, 404);
    let targets: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets[0], "/base/v2/things/1?a=b");
    assert_eq!(targets.len(), 2, "{targets:?}");
    let records = gateway.finish();
    let record = one(&records, "/things/1");
    assert_eq!((record.text("url.path"), record.text("url.query")), ("/things/1", "a=b"));
    assert_eq!(records.len(), 4);
    assert_gapless(&records);
}

#[test]
fn a_trace_is_passed_on_and_recorded() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    get("/traced").header("traceparent", trace).header("tracestate", "a=b").send(gateway.address());
    get("/broken-trace").header("traceparent", "00-zz-1-01").send(gateway.address());
    get("/no-trace").send(gateway.address());
    let seen = origin.one("/traced");
    assert_eq!(&seen.header("traceparent").unwrap()[..36], &trace[..36]);
    assert_eq!(seen.header("tracestate"), Some("a=b"));
    let records = gateway.finish();
    assert_eq!(one(&records, "/traced").text("trace.id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(one(&records, "/broken-trace").text("trace.id"), "zz");
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body_is_wanted() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let upload = request("PUT", "/upload").body(pattern(50_000)).header("Expect", "100-continue");
    connection.send(&upload.head_bytes());
    // Nothing is sent before the interim answer has come.
    assert_eq!(connection.peek_status(), 100);
    connection.send(&upload.body_bytes());
    let response = connection.response(false).unwrap();
    assert_eq!((response.status, response.interim.as_slice()), (200, [100].as_slice()));
    let seen = origin.one("/upload");
    assert!(seen.body_complete && seen.body_is_pattern && seen.body_bytes == 50_000);
    let records = gateway.finish();
    assert_eq!(one(&records, "/upload").request_size(), 50_000);
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let response = request("POST", "/up-trailers?trailers=1&size=10")
        .header("TE", "trailers")
        .header("Trailer", "x-sum")
        .body(pattern(100))
        .trailer("x-sum", "77")
        .send(gateway.address());
    assert_eq!(origin.one("/up-trailers").trailers, [("x-sum".to_owned(), "77".to_owned())]);
    assert_eq!(response.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
}

#[test]
fn framing_is_kept_where_it_can_be() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let to = gateway.address();
    let length = get("/l?size=1000").send(to);
    assert_eq!((length.header("content-length"), length.header("transfer-encoding")), (Some("1000"), None));
    let chunked = get("/c?size=1000&framing=chunked").send(to);
    assert_eq!(
        (chunked.header("content-length"), chunked.header("transfer-encoding")),
        (None, Some("chunked"))
    );
    let head = request("HEAD", "/h?size=1000").send(to);
    assert_eq!(head.header("content-length"), Some("1000"));
    request("POST", "/pl").body(pattern(1000)).send(to);
    assert_eq!(origin.one("/pl").header("content-length"), Some("1000"));
    request("POST", "/pc").body(pattern(1000)).chunked().send(to);
    assert_eq!(origin.one("/pc").header("transfer-encoding"), Some("chunked"));
}

#[test]
fn an_old_client_is_answered_as_it_understands() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let response =
        get("/old?size=1000&framing=chunked").version("HTTP/1.0").no_host().send(gateway.address());
    assert_eq!((response.status, response.body.len()), (200, 1000));
    assert_eq!(response.header("transfer-encoding"), None);
    let records = gateway.finish();
    let record = one(&records, "/old");
    assert_eq!((record.text("network.protocol.version"), record.size()), ("1.0", 1000));
}

#[test]
fn a_slow_reader_stops_the_upstream_and_not_the_memory() {
    const SIZE: u64 = 200 * 1024 * 1024;
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    get("/warm?size=100000").send(gateway.address());
    let before = gateway.resident_kib();
    let mut connection = Connection::open(gateway.address());
    connection.small_window();
    connection.send(&get(format!("/slow?size={SIZE}")).head_bytes());
    connection.head().unwrap();
    let mut last = (0, 0);
    // Stuck: the origin's count stands still for a hundred looks in a row.
    until("the origin to be held up", PATIENCE, || {
        let sent = origin.one("/slow").sent;
        last = if sent == last.0 { (sent, last.1 + 1) } else { (sent, 0) };
        (sent > 0 && last.1 >= 100).then_some(())
    });
    let sent = origin.one("/slow").sent;
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes went into a reader that does not read");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "resident memory grew by {grown} KiB");
    connection.reset();
}

#[test]
fn a_slow_upstream_stops_the_uploading_client_and_not_the_memory() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    request("POST", "/warm").body(pattern(100_000)).send(gateway.address());
    let before = gateway.resident_kib();
    let mut connection = Connection::open(gateway.address());
    connection.send(b"POST /up?hold_read=gate HTTP/1.1\r\nHost: a\r\nContent-Length: 209715200\r\n\r\n");
    origin.wait_for("gate");
    let sent = connection.send_until_stuck(209_715_200);
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes went to an upstream that does not read");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "resident memory grew by {grown} KiB");
    connection.reset();
}

#[test]
fn large_bodies_pass_whole_both_ways() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let response = request("POST", "/large?size=30000000").body(pattern(30_000_000)).send(gateway.address());
    assert!(response.complete && response.is_pattern() && response.body.len() == 30_000_000);
    let seen = origin.one("/large");
    assert!(seen.body_is_pattern && seen.body_bytes == 30_000_000);
    let records = gateway.finish();
    let record = one(&records, "/large");
    assert_eq!((record.size(), record.request_size()), (30_000_000, 30_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_streams_of_one_http2_connection_run_at_once() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let client = H2::open(gateway.address()).await;
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                client.send("GET", &format!("/stream/{number}?hold=all&size={number}000"), Vec::new()).await
            })
        })
        .collect();
    let origin = tokio::task::spawn_blocking(move || {
        origin.wait_for_many("all", 50);
        origin.release("all");
        origin
    })
    .await
    .unwrap();
    for (number, task) in tasks.into_iter().enumerate() {
        let response = task.await.unwrap();
        assert!(response.complete && response.is_pattern());
        assert_eq!((response.status, response.body.len()), (200, number * 1000));
        assert!(response.header("connection").is_none());
    }
    assert!(origin.seen().iter().all(|seen| seen.version == "HTTP/1.1"));
    assert!(origin.seen().iter().all(|seen| seen.all("host") == [origin.address().to_string()]));
    drop(client);
    let records = gateway.finish();
    assert_eq!(records.len(), 50);
    assert_gapless(&records);
}

#[test]
fn a_stale_pooled_connection_costs_a_client_nothing() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().set("server", "workers", "1").source(Source::new("api", &origin.url())).start();
    let mut connection = Connection::open(gateway.address());
    for round in 0..20 {
        assert_eq!(connection.exchange(&get(format!("/round/{round}"))).status, 200);
        origin.close_connections();
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 20);
    assert_gapless(&records);
}

#[test]
fn a_request_that_may_have_been_processed_is_never_sent_twice() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().set("server", "workers", "1").source(Source::new("api", &origin.url())).start();
    let mut connection = Connection::open(gateway.address());
    connection.exchange(&get("/warm"));
    let answer = connection.exchange(&request("POST", "/once?early=reset").body(pattern(10)));
    assert_eq!(answer.status, 502);
    assert_eq!(origin.count("/once"), 1);
    let records = gateway.finish();
    assert_eq!(one(&records, "/once").int("upstream.attempts"), Some(1));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let mut bytes = Vec::new();
    for number in 0..10 {
        bytes.extend_from_slice(&get(format!("/pipe/{number}?size={number}")).head_bytes());
    }
    connection.send(&bytes);
    for number in 0..10 {
        assert_eq!(connection.response(false).unwrap().body.len(), number);
    }
    assert_gapless(&gateway.finish());
}
