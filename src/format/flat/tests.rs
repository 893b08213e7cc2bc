use super::*;
use crate::format::{Context, Enrichment};
use crate::record::{CacheStatus, ErrorType, OwnValue, RecordWriter};
use proptest::prelude::*;
use serde_json::Value;

const CONTEXT: Context<'static> =
    Context { instance: "gw-1", boot: "01965f3c-0000-7000-8000-000000000001", lane: 0, sequence: 7 };

/// The attributes of the reference schema, which are always there.
const REFERENCE: [&str; 14] = [
    "contentful.organization.id",
    "contentful.space.id",
    "contentful.cache.status",
    "contentful.request.id",
    "event.start",
    "event.end",
    "duration.microseconds",
    "http.request.method",
    "http.route",
    "url.path",
    "url.query",
    "http.response.status_code",
    "http.response.body.size",
    "user_agent.original",
];

fn encode(bytes: &[u8], timestamps: Timestamps, enrichment: Option<&Enrichment>) -> String {
    let record = RecordView::parse(bytes).unwrap();
    let mut out = Vec::new();
    Flat::new(timestamps).encode(&Entry { record: &record, context: CONTEXT, enrichment }, &mut out);
    String::from_utf8(out).unwrap()
}

/// A record with everything in it.
fn full() -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = RecordWriter::new(&mut out);
    w.bytes(Field::EventId, &uuid::Uuid::from_u128(0x01965f3c_1234_7abc_8def_0123456789ab).into_bytes());
    w.integer(Field::Start, 1_775_744_531_123_456);
    w.integer(Field::Duration, 842_731);
    w.integer(Field::CacheStatus, CacheStatus::Miss as u64);
    w.integer(Field::Status, 404);
    w.integer(Field::ResponseBodySize, 1287);
    w.integer(Field::RequestBodySize, 12);
    w.integer(Field::Outcome, Outcome::Failure as u64);
    w.integer(Field::ClientPort, 51234);
    w.integer(Field::ProtocolVersion, 11);
    w.integer(Field::UpstreamDuration, 800_000);
    w.integer(Field::UpstreamAttempts, 2);
    w.integer(Field::ErrorType, ErrorType::UpstreamReset as u64);
    w.integer(Field::ResourcesTruncated, 3);
    w.integer(Field::RouteFlags, 1);
    w.bytes(Field::TraceId, &[0x4b; 16]);
    w.bytes(Field::SpanId, &[0xf0; 8]);
    w.bytes(Field::CredentialId, &[0xab; 16]);
    w.bytes(Field::Resources, b"Entry\x00a1");
    w.bytes(Field::Resources, b"Asset\x00\"b\"");
    for (field, text) in [
        (Field::Source, "cma"),
        (Field::Namespace, "contentful"),
        (Field::Organization, "274qvl9SkVAlToItncE81X"),
        (Field::Space, "p4lm9x2q7rts"),
        (Field::Environment, "master"),
        (Field::CacheDetail, "TCP_MISS"),
        (Field::UpstreamRequestId, "d2f4b5a1-8c9e-4d7f-91ab-2f6c3e8b7a10"),
        (Field::Method, "PUT"),
        (Field::MethodOverride, "PATCH"),
        (Field::Route, "/spaces/:space/environments/:environment/entries"),
        (Field::Path, "/spaces/p4lm9x2q7rts/environments/master/entries"),
        (Field::Query, "content_type=blogPost&limit=50"),
        (Field::UserAgent, "Mozilla/5.0 \"quoted\" \\ and\ttab"),
        (Field::UserAgentProduct, "sdk contentful.js/10"),
        (Field::Referer, "https://app.example/?token=REDACTED"),
        (Field::Action, "ambiguous"),
        (Field::ActionCandidate, "publish"),
        (Field::ActionCandidate, "unpublish"),
        (Field::Category, "content"),
        (Field::OriginType, "human"),
        (Field::OriginEvidence, "referer"),
        (Field::SessionId, "s-1"),
        (Field::ResourceType, "Entry"),
        (Field::ResourceId, "a1"),
        (Field::ActorType, "api_key"),
        (Field::ActorId, "k1"),
        (Field::ActorName, "Ann Ö."),
        (Field::ActorEmail, "ann@example.com"),
        (Field::ActorProvenance, "claimed"),
        (Field::ActorAuthentication, "bearer"),
        (Field::CredentialKey, "default"),
        (Field::ClientAddress, "2001:db8::1"),
        (Field::TlsVersion, "1.3"),
        (Field::TlsClientSubject, "CN=ann"),
        (Field::UpstreamAddress, "127.0.0.1:8080"),
    ] {
        w.text(field, text);
    }
    out
}

/// What a hostile client can put into a record.
fn hostile() -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = RecordWriter::new(&mut out);
    w.bytes(Field::Namespace, b"a\"b");
    w.bytes(Field::Organization, b"../\n\"");
    w.bytes(Field::Path, b"/\xff\xfe/\x00\r\n{}\xe2\x80\xa8");
    w.bytes(Field::Method, b"GE\"T");
    w.integer(Field::Start, u64::MAX);
    w.integer(Field::Duration, u64::MAX);
    w.integer(Field::Outcome, Outcome::Aborted as u64);
    w.bytes(Field::TraceId, b"short");
    w.bytes(Field::Resources, b"no zero byte");
    w.bytes(Field::ActionCandidate, b"\\");
    out
}

/// Compares with a file of `tests/golden`; `GOLDEN=write` in the environment writes it.
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{path}");
}

/// One of the gateway's own records, with an attribute of each type.
fn own() -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = RecordWriter::new(&mut out);
    w.bytes(Field::EventId, &uuid::Uuid::from_u128(0x01965f3c_1234_7abc_8def_0123456789ab).into_bytes());
    w.integer(Field::Start, 1_775_744_531_123_456);
    w.integer(Field::Outcome, Outcome::Failure as u64);
    for (field, text) in [
        (Field::Source, "onrecord"),
        (Field::Action, "gap"),
        (Field::Category, "integrity"),
        (Field::ActorType, "service"),
        (Field::ActorId, "onrecord"),
        (Field::Path, "/never/shown"),
    ] {
        w.text(field, text);
    }
    w.own("gap.lane", OwnValue::Text(b"0"));
    w.own("gap.ranges", OwnValue::Element(b"3-9"));
    w.own("gap.ranges", OwnValue::Element(b"12-12"));
    w.own("gap.records", OwnValue::Number(8));
    w.own("gap.exact", OwnValue::Flag(false));
    w.own("destination.words", OwnValue::Text(b"no \"room\"\n\xff"));
    w.own("configuration.keys", OwnValue::Element(b"log.level"));
    out
}

#[test]
fn own_records_have_what_the_event_says_and_nothing_of_a_request() {
    let bytes = own();
    let record = RecordView::parse(&bytes).unwrap();
    let context = Context { lane: SELF_LANE, ..CONTEXT };
    let mut out = Vec::new();
    Flat::new(Timestamps::Microseconds)
        .encode(&Entry { record: &record, context, enrichment: None }, &mut out);
    let text = String::from_utf8(out).unwrap();
    golden("flat-own.jsonl", &text);
    let line: Value = serde_json::from_str(&text).unwrap();
    let members = line.as_object().unwrap();
    assert!(members.keys().all(|key| !key.starts_with("http.") && !key.starts_with("url.")), "{text}");
    assert_eq!(line["gap.ranges"], serde_json::json!(["3-9", "12-12"]));
    assert_eq!((line["gap.records"].as_i64(), line["gap.exact"].as_bool()), (Some(8), Some(false)));
}

#[test]
fn golden_lines_stay_as_they_are() {
    golden("flat-full.jsonl", &encode(&full(), Timestamps::Microseconds, None));
    golden("flat-full-seconds.jsonl", &encode(&full(), Timestamps::Seconds, None));
    golden("flat-empty.jsonl", &encode(&[], Timestamps::Microseconds, None));
    golden("flat-hostile.jsonl", &encode(&hostile(), Timestamps::Microseconds, None));
}

#[test]
fn the_reference_attributes_are_there_with_their_types_and_all_else_only_when_known() {
    let mut bytes = Vec::new();
    RecordWriter::new(&mut bytes).text(Field::Namespace, "contentful");
    let line: Value = serde_json::from_str(&encode(&bytes, Timestamps::Microseconds, None)).unwrap();
    for name in REFERENCE {
        let integer =
            ["duration.microseconds", "http.response.status_code", "http.response.body.size"].contains(&name);
        assert!(if integer { line[name] == 0 } else { line[name].is_string() }, "{name}");
    }
    let others: Vec<&str> =
        line.as_object().unwrap().keys().map(String::as_str).filter(|k| !REFERENCE.contains(k)).collect();
    assert_eq!(
        others,
        [
            "event.outcome",
            "onrecord.boot",
            "onrecord.instance",
            "onrecord.lane",
            "onrecord.sequence",
            "schema.version"
        ]
    );
}

#[test]
fn the_reference_example_is_written_as_it_stands_in_the_reference() {
    let line: Value = serde_json::from_str(&encode(&full(), Timestamps::Seconds, None)).unwrap();
    assert_eq!(line["event.start"], "2026-04-09T14:22:11+0000");
    assert_eq!(line["event.end"], "2026-04-09T14:22:11+0000");
    assert_eq!(line["duration.microseconds"], 842_731);
    assert_eq!(line["http.route"], "/spaces/:space/environments/:environment/entries");
    assert_eq!(line["url.query"], "content_type=blogPost&limit=50");
    assert_eq!(line["contentful.request.id"], "d2f4b5a1-8c9e-4d7f-91ab-2f6c3e8b7a10");
}

#[test]
fn without_an_upstream_id_the_request_id_is_the_event_id() {
    let mut bytes = Vec::new();
    RecordWriter::new(&mut bytes).bytes(Field::EventId, &[0x11; 16]);
    let line: Value = serde_json::from_str(&encode(&bytes, Timestamps::Microseconds, None)).unwrap();
    assert_eq!(line["api.request.id"], line["event.id"]);
    assert_eq!(line["event.id"], "11111111-1111-1111-1111-111111111111");
}

#[test]
fn an_exchange_whose_end_nobody_saw_ends_where_it_starts() {
    for (outcome, same) in [(Outcome::Unknown, true), (Outcome::Aborted, false)] {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        writer.integer(Field::Start, 5_000_000);
        writer.integer(Field::Duration, 70);
        writer.integer(Field::Outcome, outcome as u64);
        let line: Value = serde_json::from_str(&encode(&bytes, Timestamps::Microseconds, None)).unwrap();
        assert_eq!(line["event.start"] == line["event.end"], same);
    }
}

#[test]
fn what_a_directory_knows_takes_the_place_of_what_the_record_says() {
    let known = Enrichment {
        actor_id: Some("u-9".into()),
        actor_provenance: Some("mapped".into()),
        ..Enrichment::default()
    };
    let line: Value = serde_json::from_str(&encode(&full(), Timestamps::Microseconds, Some(&known))).unwrap();
    assert_eq!(line["actor.id"], "u-9");
    assert_eq!(line["actor.provenance"], "mapped");
    assert_eq!(line["actor.email"], "ann@example.com");
}

/// Fields of all kinds with any value: integers where bytes are expected too.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let field = (1u8..=60, prop_oneof![any::<u64>().prop_map(Ok), any::<Vec<u8>>().prop_map(Err)]);
    proptest::collection::vec(field, 0..40).prop_map(|fields| {
        let mut out = Vec::new();
        let varint = |out: &mut Vec<u8>, mut value: u64| {
            while value >= 0x80 {
                out.push(value as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        };
        for (number, value) in fields {
            match value {
                Ok(integer) => {
                    out.push(number);
                    varint(&mut out, integer);
                }
                Err(bytes) => {
                    out.push(number | 0x80);
                    varint(&mut out, bytes.len() as u64);
                    out.extend_from_slice(&bytes);
                }
            }
        }
        out
    })
}

proptest! {
    #[test]
    fn any_record_becomes_one_line_of_json_with_its_values(bytes in any_record(), seconds: bool) {
        let timestamps = if seconds { Timestamps::Seconds } else { Timestamps::Microseconds };
        let text = encode(&bytes, timestamps, None);
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        let line: Value = serde_json::from_str(&text).unwrap();
        let record = RecordView::parse(&bytes).unwrap();
        let lossy = |field| String::from_utf8_lossy(record.bytes(field).unwrap_or_default()).into_owned();
        let expected = [
            ("url.path", lossy(Field::Path)),
            ("url.query", lossy(Field::Query)),
            ("http.request.method", lossy(Field::Method)),
            ("http.route", lossy(Field::Route)),
            ("user_agent.original", lossy(Field::UserAgent)),
        ];
        for (name, value) in expected {
            prop_assert_eq!(&line[name], &Value::String(value), "{}", name);
        }
        let number = |field| record.integer(field).unwrap_or(0);
        prop_assert_eq!(&line["http.response.status_code"], number(Field::Status));
        prop_assert_eq!(&line["http.response.body.size"], number(Field::ResponseBodySize));
        prop_assert_eq!(&line["duration.microseconds"], number(Field::Duration));
        prop_assert_eq!(&line["onrecord.sequence"], 7);
        let keys = text.matches("\"event.start\":").count();
        prop_assert!(keys >= 1);
    }
}
