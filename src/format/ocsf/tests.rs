use super::*;
use crate::format::samples::{CONTEXT, OWN_CONTEXT, awkward_records, catalogue_records, full, golden, own};
use crate::format::{Context, Enrichment};
use crate::record::RecordView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Every class, version and set of profiles that there is a schema of.
fn choices() -> Vec<(OcsfOptions, Value)> {
    let mut choices = Vec::new();
    for version in [Version::V1_3, Version::V1_8] {
        for (class, name) in [
            (Class::ApiActivity, "6003_api_activity"),
            (Class::WebResourcesActivity, "6001_web_resources_activity"),
        ] {
            for names in ["base", "datetime", "cloud_datetime", "host_datetime", "security_control_datetime"]
            {
                let profiles = Profiles {
                    cloud: names.contains("cloud"),
                    datetime: names.contains("datetime"),
                    host: names.contains("host"),
                    security_control: names.contains("security_control"),
                };
                let options = OcsfOptions { version, class, profiles };
                let path = format!(
                    "{}/tests/ocsf/{}/{name}.{names}.schema.json",
                    env!("CARGO_MANIFEST_DIR"),
                    version.as_str()
                );
                let Ok(text) = std::fs::read(&path) else {
                    assert!(options.foreign_profile().is_some(), "{path}");
                    continue;
                };
                assert_eq!(options.foreign_profile(), None, "{path}");
                choices.push((options, serde_json::from_slice(&text).unwrap()));
            }
        }
    }
    assert_eq!(choices.len(), 18);
    choices
}

fn encode(encoder: &mut Ocsf, bytes: &[u8], context: Context<'_>, known: Option<&Enrichment>) -> String {
    let record = RecordView::parse(bytes).unwrap();
    let mut out = Vec::new();
    encoder.encode(&Entry { record: &record, context, enrichment: known }, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "an event is a line: {text}");
    text
}

fn known() -> Enrichment {
    Enrichment {
        actor_type: Some("user".to_owned()),
        actor_id: Some("u9".to_owned()),
        actor_name: Some("Ann".to_owned()),
        actor_email: Some("ann@example.com".to_owned()),
        actor_provenance: Some("verified".to_owned()),
        actor_unverified: Some("expired"),
        actor_issuer: Some("https://id.example".to_owned()),
        actor_app: Some("app-7".to_owned()),
        actor_delegate: Some("bot".to_owned()),
        origin_type: Some("ai_agent"),
        origin_evidence: vec!["user_agent"],
        session_id: Some([9; 16]),
        ..Enrichment::default()
    }
}

/// The rules that JSON Schema does not say.
fn beyond_the_schema(event: &Value) {
    let number = |key: &str| event[key].as_u64().unwrap();
    assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
    let captions: BTreeMap<u64, &str> = BTreeMap::from([
        (0, "Unknown"),
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Search"),
        (7, "Export"),
    ]);
    let activity = number("activity_id");
    if let Some(caption) = captions.get(&activity) {
        assert_eq!(event["activity_name"], *caption);
    }
    let caption = captions.get(&activity).copied().unwrap_or("Other");
    assert_eq!(event["type_name"], format!("{}: {caption}", event["class_name"].as_str().unwrap()));
    let severity = ["", "Informational", "Low", "Medium", "High"][number("severity_id") as usize];
    assert_eq!(event["severity"], severity);
}

#[test]
fn every_row_of_every_catalogue_and_every_awkward_record_is_a_valid_event() {
    let mut file = std::env::var_os("ONRECORD_OCSF_OUT").map(|path| std::fs::File::create(path).unwrap());
    let rows = catalogue_records();
    assert!(rows.len() >= 626 * 5, "{}", rows.len());
    let (awkward, own, known) = (awkward_records(), own(), known());
    for (options, schema) in choices() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut encoder = Ocsf::new(options, &[("deployment".to_owned(), "test \"1\"".to_owned())]);
        let plain = rows.iter().chain(&awkward).map(|record| (record, CONTEXT, None));
        let found_out = awkward.iter().map(|record| (record, CONTEXT, Some(&known)));
        for (record, context, known) in plain.chain(found_out).chain([(&own, OWN_CONTEXT, None)]) {
            let line = encode(&mut encoder, record, context, known);
            let event: Value = serde_json::from_str(&line).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&event).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(
                errors.is_empty(),
                "{options:?}\n{}\n{}",
                errors.join("\n"),
                &line[..line.len().min(4000)]
            );
            beyond_the_schema(&event);
            if let Some(file) = &mut file {
                file.write_all(line.as_bytes()).unwrap();
            }
        }
    }
}

#[test]
fn no_event_changes_from_one_build_to_the_next() {
    for (options, _) in choices() {
        let mut encoder = Ocsf::new(options, &[]);
        let text = encode(&mut encoder, &full(), CONTEXT, None)
            + &encode(&mut encoder, &full(), CONTEXT, Some(&known()))
            + &encode(&mut encoder, &own(), OWN_CONTEXT, None);
        let profiles: String = options.profiles.names().map(|name| format!("-{name}")).collect();
        golden(&format!("ocsf-{}-{}{profiles}.jsonl", options.version.as_str(), options.class.uid()), &text);
    }
}

#[test]
fn what_a_type_cannot_hold_is_unmapped_and_whole() {
    let options = OcsfOptions { version: Version::V1_3, ..OcsfOptions::default() };
    let mut encoder = Ocsf::new(options, &[]);
    let events: Vec<Value> = awkward_records()
        .iter()
        .map(|record| serde_json::from_str(&encode(&mut encoder, record, CONTEXT, None)).unwrap())
        .collect();
    let find = |pointer: &str, value: &str| {
        let found = events.iter().find(|event| event.pointer(pointer).and_then(Value::as_str) == Some(value));
        found.unwrap_or_else(|| panic!("{pointer} = {value}")).clone()
    };
    for method in ["BREW", "PATCH", "PROPFIND", "\u{fffd}"] {
        let event = find("/unmapped/http.request.method", method);
        assert_eq!(event["http_request"].get("http_method"), None);
    }
    assert_eq!(find("/src_endpoint/name", "999.1.1.1")["src_endpoint"].get("ip"), None);
    find("/src_endpoint/ip", "192.0.2.1");
    find("/unmapped/actor.email", "no address");
    find("/dst_endpoint/name", "/run/api.sock");
    let long = "/".repeat(64 * 1024 + 1);
    let event = find("/unmapped/url.path", &long);
    assert_eq!(event["http_request"]["url"]["path"], long[..LONGEST]);
    let late = events.iter().filter(|event| event["time"] == 253_402_300_799_999_u64).count();
    assert!(late >= 2, "times behind the year 9999 are its last moment");
}

#[test]
fn an_event_without_what_is_left_out_is_valid() {
    for (options, schema) in choices() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        for name in crate::format::maskable_names() {
            let leave_out = crate::format::maskable(name).into_iter().collect();
            let dialect = crate::format::Dialect::Ocsf(options);
            let mut encoder =
                crate::format::FormatOptions { dialect, leave_out, ..Default::default() }.encoder();
            let (record, known) = (full(), known());
            let record = RecordView::parse(&record).unwrap();
            for enrichment in [None, Some(&known)] {
                let mut line = Vec::new();
                encoder.encode(&Entry { record: &record, context: CONTEXT, enrichment }, &mut line);
                let event: Value = serde_json::from_slice(&line).unwrap();
                let error = validator.iter_errors(&event).next().map(|error| error.to_string());
                assert_eq!(error, None, "{options:?} without {name}: {event:#}");
            }
        }
    }
}
