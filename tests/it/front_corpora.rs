//! Published lists of hard requests and responses, run through the real gateway. The cases are
//! data; `tests/corpora/README.md` says where they come from.

use crate::harness::PATIENCE;
use crate::harness::client::{Connection, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, list};
use serde::Deserialize;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

#[derive(Deserialize)]
struct RequestCase {
    source: String,
    name: String,
    verdict: String,
    requests: usize,
    raw: String,
}

#[derive(Clone, Deserialize)]
struct ResponseCase {
    name: String,
    verdict: String,
    body: Option<String>,
    close: bool,
    method: String,
    raw: String,
}

fn read<C: for<'a> Deserialize<'a>>(file: &str) -> Vec<C> {
    let path = format!("{}/tests/corpora/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each character is a byte.
fn bytes(raw: &str) -> Vec<u8> {
    raw.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

#[test]
fn no_request_that_must_be_refused_reaches_the_upstream_and_no_valid_one_is_refused() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).limit("head_bytes", "\"8KiB\"");
    let mut gateway = Gateway::builder().source(source).start();
    let cases: Vec<RequestCase> = read("requests.jsonl");
    let mut faults = Vec::new();
    let (mut refused, mut accepted) = (0, 0);
    for case in &cases {
        let before = origin.seen().len();
        let mut connection = Connection::open(gateway.address());
        let raw = bytes(&case.raw);
        // A refusal may come before all is sent.
        let _ = connection.try_send(&raw);
        let statuses: Vec<String> = (0..case.requests.max(1))
            .map(|_| match connection.response(raw.starts_with(b"HEAD ")) {
                Ok(response) => response.status.to_string(),
                Err(error) => error.to_string(),
            })
            .collect();
        let reached = origin.seen().len() - before;
        let is_right = if case.verdict == "accept" {
            accepted += case.requests;
            statuses.iter().all(|status| status == "200") && reached == case.requests
        } else {
            refused += 1;
            statuses[0].starts_with(['4', '5']) && reached == 0
        };
        if !is_right {
            faults.push(format!(
                "{}: {}: {} but {statuses:?}, {reached} reached the upstream",
                case.source, case.name, case.verdict
            ));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    for seen in origin.seen() {
        assert_eq!(seen.all("host").len(), 1, "{seen:?}");
        assert!(seen.body_complete, "{seen:?}");
        assert!(
            seen.all("content-length").is_empty() || seen.all("transfer-encoding").is_empty(),
            "{seen:?}"
        );
        for never in ["upgrade", "http2-settings", "proxy"] {
            assert_eq!(seen.header(never), None, "{seen:?}");
        }
        assert!(
            seen.trailers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("content-length")),
            "{seen:?}"
        );
    }
    let counted = gateway.metric("onrecord_refusals_total", "");
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(records.len(), refused + accepted, "{}", list(&records));
    let forwarded = records.iter().filter(|record| record.has("upstream.address")).count();
    assert_eq!(forwarded, accepted);
    assert_eq!(counted as usize, refused, "every refusal is counted by its cause");
}

/// Answers `/case/N` with the bytes of case N and every other request with `next`.
fn start_liar(cases: Arc<Vec<ResponseCase>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let cases = Arc::clone(&cases);
            std::thread::spawn(move || answer(stream, &cases));
        }
    });
    address
}

fn answer(mut stream: TcpStream, cases: &[ResponseCase]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    let mut byte = [0; 1];
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let number = text.split(' ').nth(1).and_then(|target| target.strip_prefix("/case/"));
        let case = number.and_then(|number| cases.get(number.parse::<usize>().ok()?));
        let sent = match case {
            Some(case) => stream.write_all(&bytes(&case.raw)),
            None => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"),
        };
        if sent.is_err() || case.is_some_and(|case| case.close) {
            return;
        }
    }
}

#[test]
fn an_upstream_that_lies_harms_one_exchange_and_never_the_next() {
    let cases: Arc<Vec<ResponseCase>> = Arc::new(read("responses.jsonl"));
    let upstream = start_liar(Arc::clone(&cases));
    let source = Source::new("api", &format!("http://{upstream}")).limit("body_timeout", "\"2s\"");
    let mut gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut connection = Connection::open(gateway.address());
        let response = connection.exchange(&request(&case.method, format!("/case/{number}")));
        let body = String::from_utf8_lossy(&response.body).into_owned();
        let is_right = match case.verdict.as_str() {
            "pass" => response.complete && response.status != 502 && Some(&body) == case.body.as_ref(),
            "cut" => !response.complete && body.len() <= 2 || response.status == 502,
            _ => response.status == 502,
        };
        if !is_right {
            faults.push(format!("{}: {} but {response:?}", case.name, case.verdict));
        }
        // On the same worker, where a poisoned connection would be taken again.
        for _ in 0..2 {
            let next = get("/next").send(gateway.address());
            if (next.status, next.body.as_slice(), next.complete) != (200, b"next", true) {
                faults.push(format!("{}: the next exchange got {next:?}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let counted = gateway.metric("onrecord_upstream_faults_total", "");
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(records.len(), cases.len() * 3);
    for (number, case) in cases.iter().enumerate() {
        let path = format!("/case/{number}");
        let record = records.iter().find(|record| record.text("url.path") == path).unwrap();
        assert!(record.has("upstream.address"), "{record:?}");
        if case.verdict == "refuse" {
            assert_eq!(record.error(), "upstream_protocol", "{}", case.name);
        }
    }
    assert!(counted >= 30.0, "{counted}");
}
