//! What formats make of values that they have no place for, one by one: never a dropped record,
//! never an invalid row, and for each value what docs/formats.md says.

use super::samples::CONTEXT;
use super::{Class, Dialect, Entry, FormatOptions, OcsfOptions, Profiles, Version};
use crate::record::{Field, RecordView, RecordWriter};
use serde_json::{Value, json};

/// The row of a record that says little more than this field.
fn row(dialect: &Dialect, field: Field, value: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut w = RecordWriter::new(&mut bytes);
    w.bytes(field, value);
    w.bytes(Field::EventId, &[7; 16]);
    w.integer(Field::Start, 1_775_744_531_123_456);
    w.text(Field::Source, "cma");
    encode(dialect, &bytes)
}

fn encode(dialect: &Dialect, bytes: &[u8]) -> String {
    let record = RecordView::parse(bytes).unwrap();
    let mut out = Vec::new();
    FormatOptions { dialect: dialect.clone(), ..FormatOptions::default() }
        .encoder()
        .encode(&Entry { record: &record, context: CONTEXT, enrichment: None }, &mut out);
    let text = String::from_utf8(out).expect("rows are UTF-8 whatever came in");
    assert!(text.matches('\n').count() <= 1, "a row is one line: {text}");
    text
}

fn old() -> Dialect {
    Dialect::Ocsf(OcsfOptions { version: Version::V1_3, ..OcsfOptions::default() })
}

fn new() -> Dialect {
    let profiles = Profiles { datetime: true, ..Profiles::default() };
    Dialect::Ocsf(OcsfOptions { version: Version::V1_8, class: Class::WebResourcesActivity, profiles })
}

/// Compares what stands at each pointer; `null` is nothing.
fn holds(dialect: &Dialect, field: Field, value: &[u8], wanted: &[(&str, Value)]) {
    let text = row(dialect, field, value);
    let row: Value = serde_json::from_str(&text).unwrap();
    for (pointer, wanted) in wanted {
        let found = row.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, wanted, "{dialect:?} {field:?} {pointer}: {:.2000}", text);
    }
}

/// The cells of a row whose further column is this attribute: the first ten, and that one.
fn csv(attribute: &str, field: Field, value: &[u8]) -> String {
    row(&Dialect::Csv(vec![attribute.to_owned()]), field, value)
}

#[test]
fn a_method_that_no_enumeration_knows() {
    for method in ["BREW", "PROPFIND", "M-SEARCH", "get"] {
        let bytes = method.as_bytes();
        holds(&Dialect::Flat, Field::Method, bytes, &[("/http.request.method", json!(method))]);
        for dialect in [old(), new()] {
            let unmapped = ("/unmapped/http.request.method", json!(method));
            let nowhere = ("/http_request/http_method", Value::Null);
            let other = ("/activity_id", json!(99));
            holds(
                &dialect,
                Field::Method,
                bytes,
                &[unmapped, nowhere, other, ("/activity_name", json!(method))],
            );
        }
        holds(&Dialect::Ecs, Field::Method, bytes, &[("/http/request/method", json!(method))]);
        holds(
            &Dialect::ContentfulLegacy,
            Field::Method,
            bytes,
            &[("/http_request/http_method", json!(method))],
        );
        assert!(csv("event.id", Field::Method, bytes).contains(&format!("Z,{method},")));
    }
    // PATCH is known from 1.8.0 on.
    holds(&old(), Field::Method, b"PATCH", &[("/unmapped/http.request.method", json!("PATCH"))]);
    holds(&new(), Field::Method, b"PATCH", &[("/http_request/http_method", json!("PATCH"))]);
}

#[test]
fn a_path_of_64_kib_and_more() {
    let path = format!("/{}", "é/".repeat(40_000));
    let cut = &path[..path.floor_char_boundary(65_535)];
    let bytes = path.as_bytes();
    holds(&Dialect::Flat, Field::Path, bytes, &[("/url.path", json!(path))]);
    let whole = ("/unmapped/url.path", json!(path));
    holds(&old(), Field::Path, bytes, &[("/http_request/url/path", json!(cut)), whole]);
    let twice = ("/unmapped/url.path", Value::Null);
    holds(&new(), Field::Path, bytes, &[("/http_request/url/path", json!(path)), twice]);
    holds(&Dialect::Ecs, Field::Path, bytes, &[("/url/path", json!(path))]);
    holds(&Dialect::ContentfulLegacy, Field::Path, bytes, &[("/http_request/url/path", json!(path))]);
    assert!(csv("event.id", Field::Path, bytes).contains(&format!(",,{path},")));
}

#[test]
fn bytes_that_are_no_utf_8() {
    let bytes = b"/a\xff\xfe/\xe6\xbc/b";
    let path = "/a\u{fffd}\u{fffd}/\u{fffd}/b";
    holds(&Dialect::Flat, Field::Path, bytes, &[("/url.path", json!(path))]);
    for dialect in [old(), new()] {
        holds(&dialect, Field::Path, bytes, &[("/http_request/url/path", json!(path))]);
    }
    holds(&Dialect::Ecs, Field::Path, bytes, &[("/url/path", json!(path))]);
    holds(&Dialect::ContentfulLegacy, Field::Path, bytes, &[("/http_request/url/path", json!(path))]);
    assert!(csv("event.id", Field::Path, bytes).contains(&format!(",{path},")));
}

#[test]
fn control_characters() {
    let bytes = b"a\x00b\x1b[31m\r\n\x7fc\t";
    let agent = "a\u{0}b\u{1b}[31m\r\n\u{7f}c\t";
    holds(&Dialect::Flat, Field::UserAgent, bytes, &[("/user_agent.original", json!(agent))]);
    for dialect in [old(), new()] {
        holds(&dialect, Field::UserAgent, bytes, &[("/http_request/user_agent", json!(agent))]);
    }
    holds(&Dialect::Ecs, Field::UserAgent, bytes, &[("/user_agent/original", json!(agent))]);
    let cells = csv("user_agent.original", Field::UserAgent, bytes);
    assert!(cells.ends_with(",\"a b [31m   c \"\r\n"), "{cells:?}");
    let path = json!("/a\u{0}\n");
    let pointer = "/http_request/url/path";
    holds(&Dialect::ContentfulLegacy, Field::Path, b"/a\x00\n", &[(pointer, path)]);
}

#[test]
fn addresses_that_are_none() {
    for address in ["999.1.1.1", "fe80::1%eth0", "unix:", "localhost", "1.2.3.4:80"] {
        let (bytes, text) = (address.as_bytes(), json!(address));
        holds(&Dialect::Flat, Field::ClientAddress, bytes, &[("/client.address", text.clone())]);
        for dialect in [old(), new()] {
            let name = ("/src_endpoint/name", text.clone());
            let observed = ("/observables", Value::Null);
            holds(
                &dialect,
                Field::ClientAddress,
                bytes,
                &[name, ("/src_endpoint/ip", Value::Null), observed],
            );
        }
        let ip = ("/client/ip", Value::Null);
        let related = ("/related/ip", Value::Null);
        holds(&Dialect::Ecs, Field::ClientAddress, bytes, &[("/client/address", text), ip, related]);
        assert!(csv("client.address", Field::ClientAddress, bytes).ends_with(&format!(",{address}\r\n")));
    }
    let upstream = b"/run/api.sock";
    holds(&Dialect::Ecs, Field::UpstreamAddress, upstream, &[("/destination/ip", Value::Null)]);
    holds(&new(), Field::UpstreamAddress, upstream, &[("/dst_endpoint/name", json!("/run/api.sock"))]);
}

#[test]
fn times_out_of_range() {
    let record = |start: u64, duration: u64| {
        let mut bytes = Vec::new();
        let mut w = RecordWriter::new(&mut bytes);
        w.bytes(Field::EventId, &[7; 16]);
        w.integer(Field::Start, start);
        w.integer(Field::Duration, duration);
        w.integer(Field::Outcome, crate::record::Outcome::Success as u64);
        bytes
    };
    let last = json!("9999-12-31T23:59:59.999999Z");
    let places = [
        (
            Dialect::Flat,
            "/event.start",
            "/event.end",
            last.clone(),
            json!(i64::MAX),
            "/duration.microseconds",
        ),
        (Dialect::Ecs, "/event/start", "/event/end", last.clone(), json!(i64::MAX), "/event/duration"),
        (new(), "/time_dt", "/end_time_dt", last.clone(), json!(u64::MAX / 1000), "/duration"),
        (old(), "/time", "/end_time", json!(253_402_300_799_999_u64), json!(u64::MAX / 1000), "/duration"),
    ];
    for (dialect, start, end, last, longest, duration) in places {
        let late: Value = serde_json::from_str(&encode(&dialect, &record(u64::MAX, u64::MAX))).unwrap();
        assert_eq!(late.pointer(start), Some(&last), "{late:#}");
        assert_eq!(late.pointer(end), Some(&last), "{late:#}");
        assert_eq!(late.pointer(duration), Some(&longest), "{late:#}");
        let early: Value = serde_json::from_str(&encode(&dialect, &record(0, 0))).unwrap();
        let text = early.pointer(start).unwrap();
        assert!(*text == json!(0) || *text == json!("1970-01-01T00:00:00.000000Z"), "{text}");
    }
    let legacy: Value =
        serde_json::from_str(&encode(&Dialect::ContentfulLegacy, &record(u64::MAX, 0))).unwrap();
    assert_eq!(legacy["time"], "9999-12-31 23:59:59.999");
    let row = encode(&Dialect::Csv(Vec::new()), &record(u64::MAX, 0));
    assert!(row.starts_with("9999-12-31T23:59:59.999999Z,"), "{row}");
}

#[test]
fn a_hostile_namespace() {
    let namespace = "a\"b\\\n},{\u{0}";
    let bytes = namespace.as_bytes();
    let row: Value = serde_json::from_str(&row(&Dialect::Flat, Field::Namespace, bytes)).unwrap();
    for name in ["organization.id", "space.id", "cache.status", "request.id"] {
        assert!(row[format!("{namespace}.{name}")].is_string(), "{name}: {row:#}");
    }
    for dialect in [old(), new()] {
        holds(&dialect, Field::Namespace, bytes, &[("/unmapped/namespace", json!(namespace))]);
    }
    holds(&Dialect::Ecs, Field::Namespace, bytes, &[("/onrecord/namespace", json!(namespace))]);
    let cells = csv("request.id", Field::Namespace, bytes);
    assert!(cells.ends_with(",07070707-0707-0707-0707-070707070707\r\n"), "{cells}");
    holds(&Dialect::ContentfulLegacy, Field::Namespace, bytes, &[("/metadata/version", json!("1.3.0"))]);
}
