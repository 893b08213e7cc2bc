//! What an operator leaves out of a format, and adds to it, in every format.

use super::samples::CONTEXT;
use super::{
    Class, Dialect, Enrichment, Entry, FormatOptions, Framing, OcsfOptions, Profiles, Rows, Version,
    maskable, maskable_names,
};
use crate::record::{CacheStatus, Field, Outcome, RecordView, RecordWriter};
use serde_json::Value;

/// Every format; those of OCSF with and without an actor of its own.
fn dialects() -> Vec<(&'static str, Dialect)> {
    let web = OcsfOptions {
        version: Version::V1_3,
        class: Class::WebResourcesActivity,
        profiles: Profiles { datetime: true, ..Profiles::default() },
    };
    let all = Profiles { cloud: true, datetime: true, host: true, security_control: true };
    vec![
        ("flat", Dialect::Flat),
        ("ocsf", Dialect::Ocsf(OcsfOptions::default())),
        ("ocsf, all profiles", Dialect::Ocsf(OcsfOptions { profiles: all, ..OcsfOptions::default() })),
        ("ocsf, 6001", Dialect::Ocsf(web)),
        ("ecs", Dialect::Ecs),
        ("csv", Dialect::Csv(maskable_names().map(str::to_owned).collect())),
        ("parquet", Dialect::Parquet(Rows::Flat)),
        ("parquet, ocsf", Dialect::Parquet(Rows::Ocsf(OcsfOptions::default()))),
        ("contentful-legacy", Dialect::ContentfulLegacy),
    ]
}

fn encode(options: &FormatOptions, record: &[u8], enrichment: Option<&Enrichment>) -> String {
    let record = RecordView::parse(record).unwrap();
    let mut out = Vec::new();
    options.encoder().encode(&Entry { record: &record, context: CONTEXT, enrichment }, &mut out);
    String::from_utf8(out).unwrap()
}

/// A record whose fields that can be left out each hold something that stands nowhere else.
fn marked() -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = RecordWriter::new(&mut out);
    w.bytes(Field::EventId, &[7; 16]);
    w.integer(Field::Start, 1_775_744_531_123_456);
    w.integer(Field::Status, 200);
    w.integer(Field::Outcome, Outcome::Success as u64);
    w.text(Field::Namespace, "contentful");
    w.text(Field::Method, "GET");
    w.text(Field::Action, "read");
    w.text(Field::ResourceType, "Entry");
    for field in maskable_names().filter_map(maskable) {
        match field {
            Field::CacheStatus => w.integer(field, CacheStatus::Hit as u64),
            Field::ResponseBodySize
            | Field::RequestBodySize
            | Field::ResourcesTruncated
            | Field::ClientPort
            | Field::UpstreamDuration
            | Field::UpstreamAttempts => w.integer(field, 43_000 + field as u64),
            Field::CredentialId | Field::TraceId => w.bytes(field, &[field as u8; 16]),
            Field::SpanId => w.bytes(field, &[field as u8; 8]),
            Field::Resources => w.bytes(field, format!("Entry\0{}", mark(field)).as_bytes()),
            _ => w.text(field, &mark(field)),
        }
    }
    out
}

/// How a reader sees that the record has the field.
fn mark(field: Field) -> String {
    match field {
        Field::CacheStatus => "HIT".to_owned(),
        Field::ResponseBodySize
        | Field::RequestBodySize
        | Field::ResourcesTruncated
        | Field::ClientPort
        | Field::UpstreamDuration
        | Field::UpstreamAttempts => (43_000 + field as u64).to_string(),
        Field::CredentialId | Field::TraceId => format!("{:02x}", field as u8).repeat(16),
        Field::SpanId => format!("{:02x}", field as u8).repeat(8),
        _ => format!("mark{:02}x", field as u8),
    }
}

/// What was found out beyond the record, with marks of its own; and the fields that it stands for.
fn found() -> (Enrichment, Vec<(Field, &'static str)>) {
    let some = |text: &str| Some(text.to_owned());
    let known = Enrichment {
        actor_type: some("found-type"),
        actor_id: some("found-id"),
        actor_name: some("found-name"),
        actor_email: some("found-mail"),
        actor_provenance: some("found-provenance"),
        origin_type: Some("found-origin"),
        origin_evidence: vec!["found-evidence"],
        session_id: Some([0xfd; 16]),
        ..Enrichment::default()
    };
    let marks = vec![
        (Field::ActorType, "found-type"),
        (Field::ActorId, "found-id"),
        (Field::ActorName, "found-name"),
        (Field::ActorEmail, "found-mail"),
        (Field::ActorProvenance, "found-provenance"),
        (Field::OriginType, "found-origin"),
        (Field::OriginEvidence, "found-evidence"),
        (Field::SessionId, "fdfdfdfd-fdfd-fdfd-fdfd-fdfdfdfdfdfd"),
    ];
    (known, marks)
}

#[test]
fn what_is_left_out_stands_nowhere_in_any_format_and_all_else_does() {
    let record = marked();
    let (known, found) = found();
    for (format, dialect) in dialects() {
        let whole = FormatOptions { dialect: dialect.clone(), ..FormatOptions::default() };
        let [plain, enriched] = [None, Some(&known)].map(|known| encode(&whole, &record, known));
        for name in maskable_names() {
            let field = maskable(name).unwrap();
            let options = FormatOptions { leave_out: vec![field], ..whole.clone() };
            let left = encode(&options, &record, None);
            // The former samples of Contentful have place for few attributes.
            if format != "contentful-legacy" {
                assert!(plain.contains(&mark(field)), "{format} has a place for {name}: {plain}");
            }
            assert!(!left.contains(&mark(field)), "{format} without {name}: {left}");
            // In OCSF, the evidence is data of the enrichment that tells the type.
            let hangs_on = |other| {
                format.contains("ocsf") && field == Field::OriginType && other == Field::OriginEvidence
            };
            let others = maskable_names().filter_map(maskable);
            for other in others.filter(|other| *other != field && !hangs_on(*other)) {
                assert_eq!(
                    left.contains(&mark(other)),
                    plain.contains(&mark(other)),
                    "{format} without {name} has {other:?} as before: {left}"
                );
            }
            let left = encode(&options, &record, Some(&known));
            let hidden = found.iter().filter(|(hidden, _)| *hidden == field);
            for text in hidden.map(|(_, text)| *text).chain([mark(field).as_str()]) {
                assert!(!left.contains(text), "{format} without {name}: {left}");
            }
            if format != "csv" {
                serde_json::from_str::<Value>(&left).unwrap();
            }
        }
        if format == "flat" {
            assert!(found.iter().all(|(_, text)| enriched.contains(text)), "{enriched}");
        }
    }
}

#[test]
fn what_is_added_stands_in_every_format_where_the_manual_says() {
    let (name, value) = ("deployment", "a \"b\", \\c\n漢");
    let record = marked();
    for (format, dialect) in dialects() {
        let options = FormatOptions {
            dialect,
            extra: vec![(name.to_owned(), value.to_owned()), ("second".to_owned(), String::new())],
            ..FormatOptions::default()
        };
        let row = encode(&options, &record, None);
        if format == "csv" {
            let Framing::Lines { head } = options.encoder().framing() else { panic!("lines") };
            assert!(head.ends_with(b",deployment,second\r\n"));
            assert!(row.ends_with(",\"a \"\"b\"\", \\c 漢\",\r\n"), "{row}");
            continue;
        }
        let row: Value = serde_json::from_str(&row).unwrap();
        let place = match format {
            "flat" | "parquet" | "contentful-legacy" => "",
            "ecs" => "/labels",
            _ => "/unmapped",
        };
        assert_eq!(row.pointer(place).unwrap()[name], value, "{format}");
        assert_eq!(row.pointer(place).unwrap()["second"], "", "{format}");
    }
}
