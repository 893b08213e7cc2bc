use super::*;
use crate::format::samples::{CONTEXT, full, golden, hostile, own};
use crate::format::{Context, Enrichment};
use crate::record::RecordWriter;
use proptest::prelude::*;
use serde_json::Value;

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
        let number = |field| record.integer(field).unwrap_or(0).min(i64::MAX as u64);
        prop_assert_eq!(&line["http.response.status_code"], number(Field::Status));
        prop_assert_eq!(&line["http.response.body.size"], number(Field::ResponseBodySize));
        prop_assert_eq!(&line["duration.microseconds"], number(Field::Duration));
        prop_assert_eq!(&line["onrecord.sequence"], 7);
        let keys = text.matches("\"event.start\":").count();
        prop_assert!(keys >= 1);
    }
}
