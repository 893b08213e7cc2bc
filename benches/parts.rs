//! What each pure part costs by itself: from the request head to the leaf of the tree.
//!
//! `cargo bench --bench parts`; with `--profile dist` as it is shipped. Encoding by format is in
//! `formats`, routes in `routes`, enrichment in `enrich`, the parts put together in `pipeline`,
//! and checking in `verify`.

#![allow(missing_docs, reason = "the macros of criterion make undocumented items")]

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use onrecord::capture::cache_status::cache_status;
use onrecord::capture::redact::Redactor;
use onrecord::capture::ring::{self, Geometry, Identity};
use onrecord::evidence::merkle::Tree;
use onrecord::http1::{RequestGuard, RequestLimits, ResponseReader, Shapes};
use onrecord::record::{Field, RecordView, RecordWriter};
use onrecord::spool::frame::{self, Header, Kind};
use std::hint::black_box;
use std::io::Write as _;
use uuid::Uuid;

/// As the SDK for JavaScript sends it.
const REQUEST: &[u8] =
    b"GET /spaces/p4lm9x2q7rts/environments/master/entries/5KsDBWseXY6QegucYAoa01?locale=en-US HTTP/1.1\r\n\
Host: cdn.example.com\r\n\
User-Agent: contentful.js/10.6.1 (linux; node/v20.11.0)\r\n\
Authorization: Bearer b4c0n73n7fu1-0123456789abcdef\r\n\
Accept: application/json\r\n\
X-Contentful-User-Agent: sdk contentful.js/10.6.0; platform node.js/v20.11.0; os Linux;\r\n\
Accept-Encoding: gzip, deflate, br\r\n\r\n";

/// As a content delivery network answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Date: Sun, 22 Nov 2026 21:00:00 GMT\r\n\
Server: Contentful\r\n\
Content-Type: application/vnd.contentful.delivery.v1+json\r\n\
Content-Length: 4\r\n\
X-Contentful-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n\
Cache-Control: max-age=0\r\n\
ETag: \"12345678901234567\"\r\n\
X-Cache: HIT\r\n\
Age: 17\r\n\
Vary: Accept-Encoding\r\n\r\nbody";

const QUERY: &[u8] = b"content_type=page&locale=en-US&access_token=b4c0n73n7fu1&include=2&limit=100";

fn heads(criterion: &mut Criterion) {
    criterion.bench_function("request head, guarded", |bencher| {
        let mut guard = RequestGuard::new(RequestLimits { head_bytes: 65_536, head_fields: 200 });
        bencher.iter(|| assert_eq!(guard.advance(black_box(REQUEST)), REQUEST.len()));
    });
    criterion.bench_function("response, read", |bencher| {
        let (mut reader, mut shapes) = (ResponseReader::default(), Shapes::default());
        let mut buffer = BytesMut::new();
        bencher.iter(|| {
            buffer.extend_from_slice(black_box(RESPONSE));
            reader.expect(false);
            let head = reader.head(&mut buffer, &mut shapes, |_| {}).expect("it is well formed");
            let body = reader.body(&mut buffer).expect("it is well formed");
            assert!(head.is_some() && body.is_some() && reader.has_ended());
        });
    });
}

fn meanings(criterion: &mut Criterion) {
    criterion.bench_function("query, redacted", |bencher| {
        let (redactor, mut out) = (Redactor::default(), Vec::new());
        bencher.iter(|| {
            out.clear();
            redactor.redact_query(black_box(QUERY), &mut out);
        });
    });
    let mut headers = HeaderMap::new();
    for (name, value) in [("content-type", "application/json"), ("x-cache", "HIT, MISS"), ("age", "17")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    criterion.bench_function("cache status", |bencher| bencher.iter(|| cache_status(black_box(&headers))));
}

/// A record of usual size, as it stands in the ring: its head first.
fn record() -> (Vec<u8>, Vec<u8>) {
    let mut head = Vec::new();
    let mut writer = RecordWriter::new(&mut head);
    writer.bytes(Field::EventId, &[7; 16]);
    writer.integer(Field::Start, 1_775_744_531_123_456);
    writer.text(Field::Source, "cda");
    writer.text(Field::Namespace, "contentful");
    writer.text(Field::Method, "GET");
    writer.text(Field::Route, "/spaces/:space_id/environments/:environment_id/entries/:entry_id");
    writer.text(Field::Path, "/spaces/p4lm9x2q7rts/environments/master/entries/5KsDBWseXY6QegucYAoa01");
    let mut record = head.clone();
    let mut writer = RecordWriter::new(&mut record);
    writer.text(Field::Query, "locale=en-US");
    writer.text(Field::Space, "p4lm9x2q7rts");
    writer.text(Field::Environment, "master");
    writer.text(Field::ResourceType, "Entry");
    writer.text(Field::UserAgent, "contentful.js/10.6.1 (linux; node/v20.11.0)");
    writer.text(Field::ActorAuthentication, "bearer");
    writer.bytes(Field::CredentialId, &[9; 16]);
    writer.integer(Field::Duration, 1_234);
    writer.integer(Field::Status, 200);
    writer.integer(Field::ResponseBodySize, 4_321);
    writer.integer(Field::Outcome, 1);
    (head, record)
}

fn ways(criterion: &mut Criterion) {
    let (head, record) = record();
    criterion.bench_function("record: into the ring and out of it", |bencher| {
        let identity = Identity { boot: Uuid::nil(), instance: "bench".to_owned(), lane: 0 };
        let (mut writer, mut reader) =
            ring::anonymous(&identity, Geometry::new(1 << 20, 64)).expect("there is memory for a ring");
        bencher.iter(|| {
            let (sequence, slot) = writer.open(black_box(&head)).expect("a slot is free");
            let _ = writer.close(sequence, slot, black_box(&record), 0);
            reader.advance(writer.position());
        });
    });
    criterion.bench_function("record: as a frame of the spool", |bencher| {
        let mut segment = Vec::new();
        bencher.iter(|| {
            segment.clear();
            frame::append(&mut segment, Kind::Record, 1, 0, 1, black_box(&record));
        });
    });
    let mut segment = Vec::new();
    for sequence in 0..1_000 {
        frame::append(&mut segment, Kind::Record, 1, 0, sequence, &record);
    }
    let mut group = criterion.benchmark_group("a segment of 1,000 records");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("scanned", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&segment[..]);
            let mut records = 0;
            while let Ok((_, _, size)) = Header::decode(rest) {
                rest = &rest[size..];
                records += 1;
            }
            assert_eq!(records, 1_000);
        });
    });
    group.bench_function("scanned, and each record read", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&segment[..]);
            while let Ok((_, payload, size)) = Header::decode(rest) {
                black_box(RecordView::parse(payload).expect("it was written so"));
                rest = &rest[size..];
            }
        });
    });
    group.finish();
}

fn objects(criterion: &mut Criterion) {
    // Lines that differ as lines do: in a number and an id.
    let line = |number: u64| {
        format!(
            "{{\"event.id\":\"01965f3c-1234-7abc-8def-{number:012x}\",\"http.route\":\"/spaces/:space\",\
             \"url.path\":\"/spaces/p4lm9x2q7rts\",\"user_agent.original\":\"contentful.js/10.6.1\",\
             \"duration.microseconds\":{}}}\n",
            number.wrapping_mul(2_654_435_761) % 90_000
        )
    };
    let block: String = (0..2_000).map(line).collect();
    let mut group = criterion.benchmark_group("a block of lines");
    group.throughput(Throughput::Bytes(block.len() as u64));
    for level in [1, 6] {
        group.bench_function(format!("gzip -{level}"), |bencher| {
            bencher.iter(|| {
                let out = Vec::with_capacity(block.len());
                let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::new(level));
                gzip.write_all(black_box(block.as_bytes())).expect("memory takes all");
                gzip.finish().expect("memory takes all").len()
            });
        });
    }
    group.bench_function("leaves of the tree", |bencher| {
        bencher.iter(|| {
            let mut tree = Tree::new();
            black_box(&block).lines().for_each(|line| tree.push(line.as_bytes()));
            tree.root()
        });
    });
    group.finish();
}

criterion_group!(benches, heads, meanings, ways, objects);
criterion_main!(benches);
