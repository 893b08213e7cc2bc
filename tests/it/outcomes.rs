//! Every exchange makes one record, whatever becomes of it.

use crate::harness::client::{Connection, H2, get, request};
use crate::harness::gateway::{Gateway, Source, free_port};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless, assert_well_formed, list, one};
use crate::harness::{PATIENCE, pattern, until};

/// Status, response size, outcome, error.
fn facts(record: &Record) -> (i64, i64, &str, &str) {
    (record.status(), record.size(), record.outcome(), record.error())
}

#[test]
fn a_complete_response_of_any_framing_is_recorded_with_its_status_and_size() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let cases = [
        ("GET", "empty?size=0", 200, 0),
        ("GET", "length?size=70000", 200, 70_000),
        ("GET", "chunked?size=70000&framing=chunked", 200, 70_000),
        ("GET", "empty-chunked?size=0&framing=chunked", 200, 0),
        ("GET", "close?size=5000&framing=close", 200, 5000),
        ("GET", "empty-close?size=0&framing=close", 200, 0),
        ("GET", "trailers?size=100&trailers=1", 200, 100),
        ("HEAD", "head?size=70000", 200, 0),
        ("HEAD", "head-chunked?size=70000&framing=chunked", 200, 0),
        ("GET", "no-content?status=204", 204, 0),
        ("DELETE", "deleted?status=204", 204, 0),
        ("GET", "not-modified?status=304&size=50", 304, 0),
        ("GET", "missing?status=404&size=10", 404, 10),
        ("GET", "failed?status=500&size=10", 500, 10),
        ("GET", "moved?status=301&size=3", 301, 3),
        ("OPTIONS", "options?size=1", 200, 1),
        ("PURGE", "own-method?size=2", 200, 2),
    ];
    let mut connection = Connection::open(gateway.address());
    for (method, target, status, size) in cases {
        let response = connection.exchange(&request(method, format!("/{target}")));
        assert!(response.complete && response.is_pattern(), "{target}: {response:?}");
        assert_eq!((response.status, response.body.len()), (status, size), "{target}");
        if response.header("connection").is_some_and(|value| value.contains("close")) {
            connection = Connection::open(gateway.address());
        }
    }
    let records = gateway.finish();
    assert_eq!(records.len(), cases.len(), "{}", list(&records));
    assert_gapless(&records);
    for (method, target, status, size) in cases {
        let (path, _) = target.split_once('?').unwrap();
        let found: Vec<_> =
            records.iter().filter(|record| record.text("url.path") == format!("/{path}")).collect();
        assert_eq!(found.len(), 1, "{target}");
        let outcome = if status < 400 { "success" } else { "failure" };
        assert_eq!(facts(found[0]), (i64::from(status), size as i64, outcome, ""), "{target}");
        assert_eq!(found[0].text("http.request.method"), method);
        assert_eq!(found[0].text("upstream.address"), origin.address().to_string());
        assert_well_formed(found[0], "api");
    }
}

#[test]
fn request_bodies_are_counted_whatever_their_framing() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let to = gateway.address();
    request("POST", "/length").body(pattern(300_000)).send(to);
    request("PUT", "/chunked").body(pattern(300_000)).chunked().send(to);
    request("PATCH", "/nothing").body(Vec::new()).send(to);
    for target in ["/length", "/chunked"] {
        let seen = origin.one(target);
        assert!(seen.body_is_pattern && seen.body_bytes == 300_000, "{seen:?}");
    }
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(one(&records, "/length").request_size(), 300_000);
    assert_eq!(one(&records, "/chunked").request_size(), 300_000);
    assert_eq!(one(&records, "/nothing").request_size(), 0);
}

#[test]
fn a_client_that_leaves_before_the_head_is_an_abort_with_499() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    for (name, reset) in [("fin", false), ("rst", true)] {
        let mut connection = Connection::open(gateway.address());
        connection.send(&get(format!("/{name}?hold={name}&size=10")).head_bytes());
        origin.wait_for(name);
        if reset { connection.reset() } else { connection.close() }
    }
    // The upstream is never asked to answer: the records come by the clients' leaving alone.
    let records = gateway.wait_for_records(2, PATIENCE);
    for name in ["/fin", "/rst"] {
        assert_eq!(facts(one(&records, name)), (499, 0, "aborted", "client_abort"), "{name}");
    }
    assert_gapless(&gateway.finish());
}

#[test]
fn a_client_that_leaves_in_the_body_is_an_abort_with_the_status_and_bytes_so_far() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    for (name, framing) in [("length", "length"), ("chunked", "chunked")] {
        let mut connection = Connection::open(gateway.address());
        let script = format!("size=200000&framing={framing}&hold_body={name}&hold_at=1000");
        connection.send(&get(format!("/{name}?{script}")).head_bytes());
        let head = connection.head().unwrap();
        assert_eq!(head.status, 200);
        origin.wait_for(name);
        connection.read_at_least(1000);
        connection.reset();
    }
    let records = gateway.wait_for_records(2, PATIENCE);
    for name in ["/length", "/chunked"] {
        assert_eq!(facts(one(&records, name)), (200, 1000, "aborted", "client_abort"), "{name}");
    }
    assert_gapless(&gateway.finish());
}

#[test]
fn a_client_that_leaves_in_its_own_body_is_an_abort_with_what_it_sent() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    let whole = request("POST", "/upload").body(pattern(100_000));
    connection.send(&whole.head_bytes());
    connection.send(&whole.body_bytes()[..30_000]);
    until("the first bytes at the origin", PATIENCE, || {
        origin.seen().iter().any(|seen| seen.body_bytes == 30_000).then_some(())
    });
    connection.reset();
    gateway.wait_for_records(1, PATIENCE);
    let records = gateway.finish();
    let record = one(&records, "/upload");
    assert_eq!(facts(record), (499, 0, "aborted", "client_abort"));
    assert_eq!(record.request_size(), 30_000);
}

#[test]
fn an_upstream_that_fails_before_the_head_is_answered_502_and_recorded_with_the_cause() {
    let origin = Origin::start();
    let nobody = free_port();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()).hosts(&["up.test"]))
        .source(Source::new("down", &format!("http://{nobody}")).hosts(&["down.test"]))
        .start();
    let to = gateway.address();
    let cases = [
        ("/refused", "down.test", "upstream_connect"),
        ("/closed?early=close", "up.test", "upstream_reset"),
        ("/reset?early=reset", "up.test", "upstream_reset"),
        ("/garbage?garbage=1", "up.test", "upstream_protocol"),
        ("/endless?endless_head=1", "up.test", "upstream_protocol"),
    ];
    let mut bodies = Vec::new();
    for (target, host, _) in cases {
        let response = get(target).host(host).send(to);
        assert!(response.complete, "{target}");
        assert_eq!(response.status, 502, "{target}");
        bodies.push(response.body.len() as i64);
    }
    let records = gateway.finish();
    assert_gapless(&records);
    for ((target, host, error), size) in cases.into_iter().zip(bodies) {
        let record = one(&records, target.split('?').next().unwrap());
        assert_eq!(facts(record), (502, size, "failure", error), "{target}");
        assert_eq!(record.has("upstream.address"), host == "up.test", "{target}: {record:?}");
    }
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("response_timeout", "\"300ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let response = get("/silent?never=1").send(gateway.address());
    assert_eq!((response.status, response.complete), (504, true));
    let records = gateway.finish();
    let size = response.body.len() as i64;
    assert_eq!(facts(one(&records, "/silent")), (504, size, "failure", "upstream_timeout"));
}

#[test]
fn an_upstream_that_fails_in_the_body_is_an_abort_with_the_bytes_so_far() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("body_timeout", "\"500ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let cases = [
        ("/cut-length?size=9000&cut=4000", "upstream_reset"),
        ("/cut-chunked?size=9000&cut=4000&framing=chunked", "upstream_reset"),
        ("/reset?size=9000&cut=4000&cut_how=reset", "upstream_reset"),
        ("/claims-more?size=4000&claim=9000", "upstream_reset"),
        ("/stalls?size=9000&hold_body=never-opened&hold_at=4000", "upstream_timeout"),
    ];
    let mut read = Vec::new();
    for (target, _) in cases {
        let response = get(target).send(gateway.address());
        assert!(!response.complete, "a broken body must not look whole: {target} {response:?}");
        assert!(response.is_pattern() && response.body.len() <= 4000);
        read.push(response.body.len() as i64);
    }
    let records = gateway.finish();
    assert_gapless(&records);
    for ((target, error), read) in cases.into_iter().zip(read) {
        let record = one(&records, target.split('?').next().unwrap());
        let (status, size, outcome, is) = facts(record);
        assert_eq!((status, outcome, is), (200, "aborted", error), "{target}");
        assert!((read..=4000).contains(&size), "{target}: client read {read}, recorded {size}");
    }
}

#[test]
fn an_upstream_that_sends_more_than_it_said_does_not_poison_the_next_exchange() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().set("server", "workers", "1").source(Source::new("api", &origin.url())).start();
    let mut connection = Connection::open(gateway.address());
    let long = connection.exchange(&get("/long?size=4000&claim=1000"));
    assert_eq!((long.status, long.body.len()), (200, 1000));
    for _ in 0..5 {
        let next = connection.exchange(&get("/next?size=10"));
        assert_eq!((next.status, next.body.len(), next.is_pattern()), (200, 10, true));
    }
    let records = gateway.finish();
    assert_eq!(facts(one(&records, "/long")), (200, 1000, "success", ""));
    assert_eq!(records.len(), 6);
}

#[test]
fn what_the_gateway_refuses_by_its_limits_is_on_record() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url())
        .limit("body_bytes", "\"10KiB\"")
        .limit("head_bytes", "\"8KiB\"")
        .limit("head_fields", "30")
        .limit("request_timeout", "\"1s\"");
    let mut gateway = Gateway::builder().source(source.key("odd_paths", "\"refuse\"")).start();
    let to = gateway.address();
    let declared = request("POST", "/declared").body(pattern(20_000)).send(to);
    assert_eq!(declared.status, 413);
    let streamed = request("POST", "/streamed").body(pattern(20_000)).chunked().send(to);
    assert_eq!(streamed.status, 413);
    let head = get("/head").header("X-Big", vec![b'a'; 100_000]).send(to);
    assert_eq!(head.status, 431);
    let mut many = get("/fields");
    for number in 0..60 {
        many = many.header(&format!("X-{number}"), "1");
    }
    assert_eq!(many.send(to).status, 431);
    let odd = get("/a/../b").send(to);
    assert_eq!(odd.status, 400);
    let slow = get("/slow?never=1").send(to);
    assert_eq!(slow.status, 504);
    let records = gateway.finish();
    assert_eq!(records.len(), 6, "{}", list(&records));
    assert_gapless(&records);
    assert_eq!(facts(one(&records, "/declared")), (413, declared.body.len() as i64, "failure", "too_large"));
    assert!(!one(&records, "/declared").has("upstream.address"));
    assert_eq!(facts(one(&records, "/streamed")), (413, streamed.body.len() as i64, "failure", "too_large"));
    assert_eq!(facts(one(&records, "/a/../b")), (400, odd.body.len() as i64, "failure", "odd_path"));
    assert_eq!(facts(one(&records, "/slow")), (504, slow.body.len() as i64, "failure", "deadline"));
    let heads = records.iter().filter(|record| record.status() == 431);
    for record in heads.clone() {
        assert_eq!((record.outcome(), record.error()), ("failure", "too_large"), "{record:?}");
    }
    assert_eq!(heads.count(), 2);
    assert_eq!(origin.count("/declared") + origin.count("/a/"), 0, "what is refused is not forwarded");
}

#[test]
fn more_requests_in_flight_than_allowed_are_answered_503() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .set("server", "workers", "1")
        .set("server", "max_in_flight", "2")
        .source(Source::new("api", &origin.url()))
        .start();
    let mut held: Vec<Connection> = (0..2)
        .map(|number| {
            let mut connection = Connection::open(gateway.address());
            connection.send(&get(format!("/held/{number}?hold=gate")).head_bytes());
            connection
        })
        .collect();
    origin.wait_for_many("gate", 2);
    let refused = get("/refused").send(gateway.address());
    assert_eq!(refused.status, 503);
    origin.release("gate");
    for connection in &mut held {
        assert_eq!(connection.response(false).unwrap().status, 200);
    }
    assert_eq!(get("/again").send(gateway.address()).status, 200);
    let records = gateway.finish();
    assert_eq!(records.len(), 4, "{}", list(&records));
    assert_eq!(facts(one(&records, "/refused")), (503, refused.body.len() as i64, "failure", "overload"));
    assert_gapless(&records);
}

#[test]
fn what_is_not_http_is_answered_400_and_recorded_as_malformed() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let cases: [&[u8]; 8] = [
        b"this is not http\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, nonsense\r\n\r\n",
    ];
    for bytes in cases {
        let mut connection = Connection::open(gateway.address());
        connection.send(bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let response = connection.response(false).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!((400..=505).contains(&response.status), "{text:?}: {}", response.status);
    }
    let records = gateway.finish();
    assert_eq!(records.len(), cases.len(), "{}", list(&records));
    assert_gapless(&records);
    for record in &records {
        assert_eq!((record.outcome(), record.error()), ("failure", "malformed"), "{record:?}");
        assert!(record.status() >= 400, "{record:?}");
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
}

#[test]
fn a_chunked_body_that_breaks_its_form_is_malformed_and_never_looks_whole() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    connection
        .send(b"POST /bad-chunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    // What comes in one piece with its head makes no request at all.
    until("the request at the origin", PATIENCE, || (origin.count("/bad-chunk") == 1).then_some(()));
    connection.send(b"ZZ\r\n");
    let response = connection.response(false).map(|response| response.status);
    assert!(response.is_err() || response.is_ok_and(|status| status == 400));
    gateway.wait_for_records(1, PATIENCE);
    let records = gateway.finish();
    let record = one(&records, "/bad-chunk");
    assert_eq!(record.error(), "malformed", "{record:?}");
    assert_ne!(record.outcome(), "success");
    assert!(origin.seen().iter().all(|seen| !seen.body_complete));
}

#[test]
fn a_connection_that_sends_no_byte_makes_no_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    Connection::open(gateway.address()).close();
    Connection::open(gateway.address()).reset();
    let mut kept = Connection::open(gateway.address());
    kept.exchange(&get("/only"));
    kept.close();
    let records = gateway.finish();
    assert_eq!(records.len(), 1, "{}", list(&records));
}

#[test]
fn a_head_that_never_ends_is_answered_or_closed_and_is_on_record() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("head_timeout", "\"400ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    let mut connection = Connection::open(gateway.address());
    connection.send(b"GET /slow-head HTTP/1.1\r\nHost: a\r\nX-Half: ");
    if let Ok(response) = connection.response(false) {
        assert_eq!(response.status, 408);
    }
    let mut gone = Connection::open(gateway.address());
    gone.send(b"GET /half");
    gone.close();
    let records = gateway.wait_for_records(2, PATIENCE);
    let mut errors: Vec<&str> = records.iter().map(Record::error).collect();
    errors.sort_unstable();
    assert!(errors.contains(&"client_timeout"), "{}", list(&records));
    assert!(records.iter().all(|record| record.outcome() != "success"), "{}", list(&records));
    assert_gapless(&gateway.finish());
}

#[test]
fn a_host_that_no_source_takes_is_on_record() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(Source::new("api", &origin.url()).hosts(&["known.test"])).start();
    let response = get("/lost").host("unknown.test").send(gateway.address());
    assert!((400..500).contains(&response.status), "{}", response.status);
    let records = gateway.finish();
    let record = one(&records, "/lost");
    assert_eq!((record.outcome(), record.error()), ("failure", "no_source"));
    assert!(origin.seen().is_empty());
}

#[test]
fn exchanges_in_flight_at_a_sudden_death_are_unknown() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut before_head = Connection::open(gateway.address());
    before_head.send(&get("/before-head?hold=a").head_bytes());
    origin.wait_for("a");
    let mut in_body = Connection::open(gateway.address());
    in_body.send(&get("/in-body?size=5000&hold_body=b&hold_at=1000").head_bytes());
    origin.wait_for("b");
    in_body.head().unwrap();
    assert_eq!(get("/whole?size=100").send(gateway.address()).body.len(), 100);
    gateway.sigkill();
    gateway.restart();
    let records = gateway.wait_for_records(3, PATIENCE);
    assert_eq!(one(&records, "/whole").outcome(), "success");
    for path in ["/before-head", "/in-body"] {
        let record = one(&records, path);
        assert_eq!((record.outcome(), record.status()), ("unknown", 0), "{record:?}");
        assert_eq!(record.text("event.end"), record.text("event.start"));
        assert_eq!(record.text("http.request.method"), "GET");
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 3, "{}", list(&records));
    assert_gapless(&records);
    gateway.account();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_streams_are_exchanges_like_any_other() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let client = H2::open(gateway.address()).await;
    assert_eq!(client.send("GET", "/whole?size=50000", Vec::new()).await.body.len(), 50_000);
    assert_eq!(client.send("POST", "/post?status=201", pattern(5000)).await.status, 201);
    assert_eq!(client.send("HEAD", "/head?size=10", Vec::new()).await.status, 200);
    let cut = client.send("GET", "/cut?size=9000&cut=4000", Vec::new()).await;
    assert!(!cut.complete);
    // A stream that its client cancels, the connection going on.
    let head = client.start("GET", "/cancelled?size=9000&hold_body=gate&hold_at=100", Vec::new()).await;
    drop(head);
    let records = gateway.wait_for_records(5, PATIENCE);
    assert_eq!(facts(one(&records, "/whole")), (200, 50_000, "success", ""));
    assert_eq!(one(&records, "/post").request_size(), 5000);
    assert_eq!(facts(one(&records, "/head")), (200, 0, "success", ""));
    assert_eq!(one(&records, "/cut").outcome(), "aborted");
    let cancelled = one(&records, "/cancelled");
    assert_eq!((cancelled.outcome(), cancelled.error()), ("aborted", "client_abort"), "{cancelled:?}");
    assert!(records.iter().all(|record| record.text("network.protocol.version") == "2"));
    drop(client);
    assert_gapless(&gateway.finish());
}

#[test]
fn an_ambiguous_host_or_transfer_coding_is_refused_and_reaches_no_upstream() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let cases = [
        ("GET /no-host HTTP/1.1\r\n\r\n", 400, "/no-host"),
        ("GET /two-hosts HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "/two-hosts"),
        // What can't be told from what follows it makes no request, so that it has no path.
        ("POST /coded HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ""),
    ];
    for (request, status, _) in cases {
        let mut connection = Connection::open(gateway.address());
        connection.send(request.as_bytes());
        assert_eq!(connection.response(false).unwrap().status, status, "{request}");
    }
    let records = gateway.finish();
    for (request, status, path) in cases {
        let record = records.iter().find(|record| record.text("url.path") == path).unwrap();
        assert_eq!((facts(record).0, facts(record).3), (status.into(), "malformed"), "{request}");
        assert!(record.attributes.get("upstream.address").is_none());
    }
    assert!(origin.seen().is_empty());
}
