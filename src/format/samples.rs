//! Records that the tests of all formats share.

use super::Context;
use crate::record::{CacheStatus, ErrorType, Field, Outcome, OwnValue, RecordWriter};

pub(super) const CONTEXT: Context<'static> =
    Context { instance: "gw-1", boot: "01965f3c-0000-7000-8000-000000000001", lane: 0, sequence: 7 };

/// A record with everything in it.
pub(super) fn full() -> Vec<u8> {
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
pub(super) fn hostile() -> Vec<u8> {
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

/// One of the gateway's own records, with an attribute of each type.
pub(super) fn own() -> Vec<u8> {
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

/// Compares with a file of `tests/golden`; `GOLDEN=write` in the environment writes it.
pub(super) fn golden(name: &str, text: &str) {
    // A release of its own changes no format.
    let text =
        &text.replace(concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\""), "\"version\":\"VERSION\"");
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (now, wanted))) =
        text.lines().zip(wanted.lines()).enumerate().find(|(_, (now, wanted))| now != wanted)
    {
        panic!("line {} of {name} is\n{now}\nand was\n{wanted}\n{REGENERATE}", line + 1);
    }
    assert_eq!(text.len(), wanted.len(), "{name} has more or fewer lines; {REGENERATE}");
}

const REGENERATE: &str = "Readers would see this change. If it is meant and only adds something: \
    GOLDEN=write cargo test --lib format:: writes tests/golden anew; its README.md has the rules.";

/// The context of an own record.
pub(super) const OWN_CONTEXT: Context<'static> = Context { lane: crate::record::SELF_LANE, ..CONTEXT };

/// How an exchange can end: status, outcome, error.
pub(super) const ENDS: [(u64, Outcome, Option<ErrorType>); 5] = [
    (200, Outcome::Success, None),
    (404, Outcome::Failure, None),
    (502, Outcome::Failure, Some(ErrorType::UpstreamConnect)),
    (499, Outcome::Aborted, Some(ErrorType::ClientAbort)),
    (0, Outcome::Unknown, None),
];

/// A record of each row of each preset and each end.
pub(super) fn catalogue_records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for (name, text) in crate::routes::PRESETS {
        let catalogue: serde_json::Value = serde_json::from_str(text).unwrap();
        for row in catalogue["routes"].as_array().unwrap() {
            for end in ENDS {
                records.push(row_record(name, row, end, records.len() as u64));
            }
        }
    }
    records
}

fn row_record(
    source: &str,
    row: &serde_json::Value,
    (status, outcome, error): (u64, Outcome, Option<ErrorType>),
    number: u64,
) -> Vec<u8> {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let mut action = String::new();
    for c in text("action").chars() {
        if c.is_ascii_uppercase() && !action.is_empty() {
            action.push('_');
        }
        action.push(c.to_ascii_lowercase());
    }
    let path: Vec<&str> = text("template")
        .split('/')
        .map(|part| if part.starts_with(':') { "6KntaYXa" } else { part })
        .collect();
    let mut out = Vec::new();
    let mut w = RecordWriter::new(&mut out);
    let id = 0x01965f3c_1234_7abc_8def_000000000000_u128 + u128::from(number);
    w.bytes(Field::EventId, &uuid::Uuid::from_u128(id).into_bytes());
    w.integer(Field::Start, 1_775_744_531_123_456 + number * 1000);
    w.integer(Field::Duration, 800 + number % 977);
    w.integer(Field::Outcome, outcome as u64);
    w.integer(Field::ClientPort, 1024 + number % 60_000);
    w.integer(Field::ProtocolVersion, 11);
    if status != 0 {
        w.integer(Field::Status, status);
        w.integer(Field::ResponseBodySize, number % 9000);
        w.integer(Field::UpstreamDuration, 700 + number % 977);
    }
    if let Some(error) = error {
        w.integer(Field::ErrorType, error as u64);
    }
    if row["sensitive"] == true {
        w.integer(Field::RouteFlags, 1);
    }
    let kinds = ["user", "app", "api_key", "service", "anonymous", ""];
    let kind = kinds[(number % 6) as usize];
    let actor = ["u1", "a1", "web", "job", "", ""][(number % 6) as usize];
    for (field, text) in [
        (Field::Source, source),
        (Field::Namespace, if source == "microcms" { "microcms" } else { "contentful" }),
        (Field::Organization, "274qvl9SkVAlToItncE81X"),
        (Field::Space, "p4lm9x2q7rts"),
        (Field::Environment, "master"),
        (Field::Method, text("method")),
        (Field::Route, text("template")),
        (Field::Path, &path.join("/")),
        (Field::UserAgent, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/146.0.0.0"),
        (Field::Action, &action),
        (Field::Category, text("category")),
        (Field::ResourceType, text("resource")),
        (Field::ResourceId, if row["resource_param"].is_string() { "6KntaYXa" } else { "" }),
        (Field::ActorType, kind),
        (Field::ActorId, actor),
        (Field::ActorProvenance, if actor.is_empty() { "" } else { "mapped" }),
        (Field::ClientAddress, if number.is_multiple_of(2) { "192.0.2.7" } else { "2001:db8::1" }),
        (Field::UpstreamAddress, "127.0.0.1:8080"),
    ] {
        w.text(field, text);
    }
    out
}

/// Records that no format has a natural place for: what a client can send, and worse.
pub(super) fn awkward_records() -> Vec<Vec<u8>> {
    let mut records = vec![full(), hostile(), Vec::new()];
    let long = "/".repeat(64 * 1024 + 1);
    let wide = "漢".repeat(30_000);
    let values: &[(Field, &[u8])] = &[
        (Field::Method, b"BREW"),
        (Field::Method, b"PATCH"),
        (Field::Method, b"PROPFIND"),
        (Field::Method, b"\xff"),
        (Field::Path, long.as_bytes()),
        (Field::Query, wide.as_bytes()),
        (Field::UserAgent, b"=1+1\x00\x1b[31m\x7f\r\n"),
        (Field::Path, b"/a,\"b\",c"),
        (Field::Route, b"@SUM(A1)"),
        (Field::ClientAddress, b"999.1.1.1"),
        (Field::ClientAddress, b"fe80::1%eth0"),
        (Field::ClientAddress, b"::ffff:192.0.2.1"),
        (Field::ClientAddress, b"unix:"),
        (Field::ActorEmail, b"no address"),
        (Field::ActorEmail, b"a@b@c.example"),
        (Field::ActorEmail, b"a@example."),
        (Field::Action, b"an \"action\" of tomorrow"),
        (Field::ActorType, b"robot"),
        (Field::TlsVersion, b"1.3"),
        (Field::UpstreamAddress, b"/run/api.sock"),
        (Field::Resources, b"Entry\x00a1"),
        (Field::EventId, b"short"),
    ];
    for (field, value) in values {
        let mut out = Vec::new();
        let mut w = RecordWriter::new(&mut out);
        w.bytes(*field, value);
        w.bytes(Field::EventId, &[7; 16]);
        w.integer(Field::Start, 1_775_744_531_123_456);
        w.bytes(Field::ActorType, b"user");
        w.bytes(Field::ActorId, b"u1");
        records.push(out);
    }
    for (field, value) in [
        (Field::Start, u64::MAX),
        (Field::Duration, u64::MAX),
        (Field::Status, 999),
        (Field::ClientPort, u64::MAX),
        (Field::ProtocolVersion, 77),
        (Field::Outcome, 200),
        (Field::ResponseBodySize, u64::from(u32::MAX) + 1),
    ] {
        let mut out = Vec::new();
        let mut w = RecordWriter::new(&mut out);
        w.integer(field, value);
        records.push(out);
    }
    records
}
