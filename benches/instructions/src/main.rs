//! Runs one pure part of the request path a number of times, for `run.sh` to count its instructions.
//! usage: instructions PART TIMES

#![allow(dead_code, unused_imports, reason = "the parts are taken in whole; a run uses some of each")]

mod capture;
#[path = "../../../src/http1/mod.rs"]
mod http1;
mod inspect;
#[path = "../../../src/record/mod.rs"]
mod record;
#[path = "../../../src/routes/mod.rs"]
mod routes;

use bytes::BytesMut;
use capture::cache_status::cache_status;
use capture::redact::Redactor;
use http::{HeaderMap, HeaderName, HeaderValue};
use inspect::coding::Coding;
use inspect::take::Bounds;
use inspect::wants::Wants;
use http1::{RequestGuard, RequestLimits, ResponseGuard, ResponseReader, Shapes};
use record::{Field, RecordView, RecordWriter};
use routes::{Catalogue, RouteTable};
use std::cell::Cell;
use std::hint::black_box;

/// As the SDK for JavaScript sends it.
const REQUEST: &[u8] = b"GET /spaces/p4lm9x2q7rts/environments/master/entries/5KsDBWseXY6QegucYAoa01?content_type=x&locale=en-US HTTP/1.1\r\n\
Host: cdn.example.com\r\n\
User-Agent: contentful.js/10.6.1 (linux; node/v20.11.0)\r\n\
Authorization: Bearer b4c0n73n7fu1-0123456789abcdef\r\n\
Accept: application/json\r\n\
X-Actor: user-0042\r\n\
X-Contentful-User-Agent: sdk contentful.js/10.6.0; platform node.js/v20.11.0; os Linux;\r\n\
Accept-Encoding: gzip, deflate, br\r\n\r\n";

/// Fourteen fields, as a content delivery network answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Date: Sun, 22 Nov 2026 21:00:00 GMT\r\n\
Server: Contentful\r\n\
Content-Type: application/vnd.contentful.delivery.v1+json\r\n\
Content-Length: 4\r\n\
CF-Space-Id: p4lm9x2q7rts\r\n\
CF-Environment-Id: master\r\n\
X-Contentful-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
Cache-Control: max-age=0\r\n\
ETag: \"12345678901234567\"\r\n\
Access-Control-Allow-Origin: *\r\n\
X-Cache: HIT\r\n\
Age: 17\r\n\
Vary: Accept-Encoding\r\n\
Via: 1.1 varnish\r\n\r\nbody";

const PATH: &[u8] = b"/spaces/p4lm9x2q7rts/environments/master/entries/5KsDBWseXY6QegucYAoa01/published";
const QUERY: &[u8] = b"content_type=page&locale=en-US&access_token=b4c0n73n7fu1&include=2&limit=100";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, part, times] = &arguments[..] else { panic!("usage: instructions PART TIMES") };
    let times: usize = times.parse().expect("TIMES is a number");
    let mut work = work(part);
    for _ in 0..times {
        work();
    }
}

fn work(part: &str) -> Box<dyn FnMut()> {
    match part {
        "request-head" => {
            let mut guard = RequestGuard::new(RequestLimits { head_bytes: 65_536, head_fields: 200 });
            Box::new(move || assert_eq!(guard.advance(black_box(REQUEST)), REQUEST.len()))
        }
        "response-head" => {
            let mut guard = ResponseGuard::default();
            Box::new(move || {
                guard.expect(false);
                assert_eq!(guard.advance(black_box(RESPONSE)), RESPONSE.len());
            })
        }
        "response-read" => {
            let (mut reader, mut shapes) = (ResponseReader::default(), Shapes::default());
            // Many answers in one block, as a worker reads them.
            let block = RESPONSE.repeat(100);
            let mut buffer = BytesMut::new();
            Box::new(move || {
                if buffer.is_empty() {
                    buffer.extend_from_slice(&block);
                }
                reader.expect(false);
                black_box(reader.head(&mut buffer, &mut shapes, |_| {}).expect("it is valid").expect("it is whole"));
                black_box(reader.body(&mut buffer).expect("it is valid").expect("it is there"));
            })
        }
        "find-route" => {
            let preset = Catalogue::preset("contentful-management").expect("the preset exists");
            let table = RouteTable::build(&[preset], "api.contentful.com").expect("the preset is sound");
            Box::new(move || assert!(table.find(black_box(b"PUT"), black_box(PATH)).is_some()))
        }
        "redact-query" => {
            let (redactor, mut out) = (Redactor::default(), Vec::new());
            Box::new(move || {
                out.clear();
                redactor.redact_query(black_box(QUERY), &mut out);
                black_box(&out);
            })
        }
        "cache-status" => {
            let headers = response_headers();
            Box::new(move || assert!(cache_status(black_box(&headers)).is_some()))
        }
        "frame-not-wanted" => frame(Wants::default()),
        "frame-wanted" => frame(Wants::of_request()),
        "write-record" => {
            let mut out = Vec::new();
            Box::new(move || {
                out.clear();
                write(&mut RecordWriter::new(&mut out));
                black_box(&out);
            })
        }
        "read-record" => {
            let mut out = Vec::new();
            write(&mut RecordWriter::new(&mut out));
            Box::new(move || {
                let view = RecordView::parse(black_box(&out)).expect("it was written whole");
                black_box((view.bytes(Field::Path), view.bytes(Field::ActorId), view.outcome()));
            })
        }
        _ => panic!("there is no part {part}"),
    }
}

/// A body of one frame of 1 KiB on its way, as `Account::copy_request` sees it, with what comes before
/// where it is wanted.
fn frame(wants: Wants) -> Box<dyn FnMut()> {
    let bounds = Bounds::new(64 * 1024, 32 * 1024 * 1024);
    let (frame, wants) = (vec![b'x'; 1024], Cell::new(wants));
    Box::new(move || {
        let wants = black_box(&wants);
        let mut taken = wants.get().request().then(|| bounds.take(Coding::Identity, Some(1024)));
        let frame = black_box(&frame);
        if wants.get().request()
            && let Some(taken) = &mut taken
        {
            taken.push(frame);
            taken.complete();
        }
        black_box(&taken);
    })
}

fn response_headers() -> HeaderMap {
    let text = std::str::from_utf8(RESPONSE).expect("it is ASCII");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let field = |(name, value): (&'static str, &'static str)| {
        (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static(value))
    };
    fields.map(field).collect()
}

fn write(writer: &mut RecordWriter<'_>) {
    writer.text(Field::Source, "cda");
    writer.text(Field::Namespace, "contentful");
    writer.text(Field::Method, "PUT");
    writer.text(Field::Route, "/spaces/:space/environments/:environment/entries/:entry/published");
    writer.bytes(Field::Path, PATH);
    writer.bytes(Field::Query, QUERY);
    writer.text(Field::Organization, "6lZ5kYqYb1mXz3kYqYb1mX");
    writer.text(Field::UserAgent, "contentful.js/10.6.1 (linux; node/v20.11.0)");
    writer.integer(Field::ProtocolVersion, 11);
    writer.text(Field::ActorType, "user");
    writer.text(Field::ActorId, "user-0042");
    writer.text(Field::ActorProvenance, "claimed");
}
