//! Formats only ever gain: what the release before wrote is still there, as it was, and what it
//! told readers of its columns still holds. `tests/golden/README.md` has the rules.

use super::samples::{CONTEXT, OWN_CONTEXT, awkward_records, catalogue_records, golden, own};
use super::schema::{self, Column, SchemaDialect};
use super::{Class, Dialect, Entry, FormatOptions, OcsfOptions, Profiles, Version};
use crate::record::RecordView;
use serde_json::Value;
use std::path::{Path, PathBuf};

const RULES: &str = "see the rules in tests/golden/README.md";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every format that has a schema, its columns, and an encoder's choice of it.
fn schemas() -> Vec<(String, Vec<Column>, Dialect)> {
    let mut all = vec![
        ("flat".to_owned(), schema::flat(&["contentful".to_owned()]), Dialect::Flat),
        ("ecs".to_owned(), schema::ecs(), Dialect::Ecs),
        ("csv".to_owned(), schema::csv(), Dialect::Csv(Vec::new())),
    ];
    for version in [Version::V1_3, Version::V1_8] {
        for class in [Class::ApiActivity, Class::WebResourcesActivity] {
            let mut options = OcsfOptions { version, class, profiles: Profiles::default() };
            options.profiles = Profiles { cloud: true, datetime: true, host: true, security_control: true };
            if options.foreign_profile().is_some() {
                options.profiles = Profiles { host: false, security_control: false, ..options.profiles };
            }
            let name = format!("ocsf-{}-{}", version.as_str(), class.uid());
            all.push((name, schema::ocsf(&options), Dialect::Ocsf(options)));
        }
    }
    all
}

/// Where `now` lacks something of `before`, or holds another value.
fn missing(before: &Value, now: &Value, place: &str) -> Option<String> {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => before.iter().find_map(|(name, value)| {
            let place = format!("{place}/{name}");
            match now.get(name) {
                Some(now) => missing(value, now, &place),
                None => Some(format!("{place} is gone")),
            }
        }),
        // What stands in a list by its order stays there.
        (Value::Array(before), Value::Array(now)) if before.len() <= now.len() => {
            let mut pairs = before.iter().zip(now).enumerate();
            pairs.find_map(|(at, (before, now))| missing(before, now, &format!("{place}/{at}")))
        }
        _ if before == now => None,
        _ => Some(format!("{place} was {before} and is {now}")),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; {RULES}", path.display()))
}

#[test]
fn what_readers_were_told_of_columns_changes_only_with_its_golden_file() {
    for (name, columns, dialect) in schemas() {
        let csv = matches!(dialect, Dialect::Csv(_));
        for (printed, end) in [
            (SchemaDialect::JsonSchema, "json"),
            (SchemaDialect::DuckDb, "duckdb.sql"),
            (SchemaDialect::ClickHouse, "clickhouse.sql"),
            (SchemaDialect::Athena, "athena.sql"),
        ] {
            golden(&format!("schema-{name}.{end}"), &schema::print(&columns, printed, csv));
        }
    }
}

#[test]
fn all_that_the_release_before_wrote_is_still_written() {
    let mut compared = 0;
    for path in std::fs::read_dir(folder().join("before")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (before, now) = (read(&path), read(&folder().join(&name)));
        let is_fixed = name.starts_with("csv") || name.starts_with("contentful-legacy");
        if is_fixed {
            assert_eq!(now, before, "{name} is a shape of others and never changes; {RULES}");
        } else if name.ends_with(".jsonl") {
            let pairs: Vec<_> = before.lines().zip(now.lines()).collect();
            assert!(pairs.len() == before.lines().count() && !pairs.is_empty(), "{name} lost rows");
            for (before, now) in pairs {
                let [before, now] = [before, now].map(|line| serde_json::from_str(line).unwrap());
                assert_eq!(missing(&before, &now, ""), None, "{name}; {RULES}");
            }
        } else if name.ends_with(".json") {
            let [before, now] = [before, now].map(|text| serde_json::from_str(&text).unwrap());
            assert_eq!(missing(&before, &now, ""), None, "{name}; {RULES}");
        }
        compared += 1;
    }
    assert!(compared >= 32, "{compared} files of the release before");
}

#[test]
fn rows_of_today_are_what_the_release_before_told_readers() {
    for (name, _, dialect) in schemas().into_iter().filter(|(name, ..)| name != "csv") {
        let told = read(&folder().join(format!("before/schema-{name}.json")));
        let validator = jsonschema::validator_for(&serde_json::from_str(&told).unwrap()).unwrap();
        let mut encoder = FormatOptions { dialect, ..FormatOptions::default() }.encoder();
        let exchanges = catalogue_records().into_iter().chain(awkward_records());
        for (record, context) in exchanges.map(|record| (record, CONTEXT)).chain([(own(), OWN_CONTEXT)]) {
            let record = RecordView::parse(&record).unwrap();
            let mut row = Vec::new();
            encoder.encode(&Entry { record: &record, context, enrichment: None }, &mut row);
            let row: Value = serde_json::from_slice(&row).unwrap();
            if let Some(error) = validator.iter_errors(&row).next() {
                panic!("{name} {}: {error}; {RULES}", error.instance_path());
            }
        }
    }
}

#[test]
fn the_comparison_sees_what_is_gone_and_what_changed() {
    let before = serde_json::json!({"a": 1, "b": {"c": ["x"]}});
    for (now, wanted) in [
        (serde_json::json!({"a": 1, "b": {"c": ["x", "y"], "d": 2}, "e": 3}), None),
        (serde_json::json!({"a": 1, "b": {}}), Some("/b/c is gone")),
        (serde_json::json!({"a": "1", "b": {"c": ["x"]}}), Some("/a was 1 and is \"1\"")),
        (serde_json::json!({"a": 1, "b": {"c": ["y"]}}), Some("/b/c/0 was \"x\" and is \"y\"")),
    ] {
        assert_eq!(missing(&before, &now, "").as_deref(), wanted);
    }
}
