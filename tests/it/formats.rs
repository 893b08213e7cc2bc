//! What destinations take, and in which format.

use crate::formats_same::{by_id, cells, compare};
use crate::harness::client::{get, request};
use crate::harness::gateway::{Gateway, onrecord};
use crate::harness::origin::Origin;
use crate::harness::records::Objects;
use onrecord::pack::Manifest;
use std::path::Path;

/// The manifests of a destination's folder, oldest first.
fn manifests(folder: &Path) -> Vec<Manifest> {
    let mut paths = Vec::new();
    crate::harness::gateway::all_files(&folder.join("_manifests"), &mut paths);
    let mut manifests: Vec<Manifest> =
        paths.iter().map(|path| Manifest::read(&std::fs::read(path).unwrap()).unwrap()).collect();
    manifests.sort_by_key(|manifest| manifest.number);
    manifests
}

/// `onrecord verify --deep` finds nothing in a destination's folder.
fn verified(folder: &Path) -> serde_json::Value {
    let (code, output) =
        onrecord(&["verify", &folder.display().to_string(), "--deep", "--format", "json"], &[]);
    assert_eq!(code, Some(0), "{}: {output}", folder.display());
    serde_json::from_str(&output).unwrap()
}

#[test]
fn what_a_destination_does_not_take_is_counted_and_named_and_the_law_adds_up() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(crate::harness::gateway::Source::new("api", &origin.url()))
        .main_destination(&[])
        .destination("errors", &[("filter", "{ statuses = [\"4xx\", \"5xx\"] }")])
        .destination("sample", &[("filter", "{ one_read_in = 3 }")])
        .destination("writes", &[("filter", "{ methods = [\"POST\", \"PUT\"], outcomes = [\"success\"] }")])
        .start();
    for number in 0..60 {
        let status = if number % 4 == 0 { 404 } else { 200 };
        get(format!("/thing/{number}?status={status}")).send(gateway.address());
    }
    for number in 0..5 {
        request("POST", format!("/thing/{number}")).body(b"{}".to_vec()).send(gateway.address());
    }
    let all = gateway.finish();
    assert_eq!(all.len(), 65);
    let sampled = |record: &&crate::harness::records::Record| {
        let id: uuid::Uuid = record.text("event.id").parse().unwrap();
        record.text("http.request.method") == "POST"
            || (id.as_u128() as u64 & ((1 << 56) - 1)).is_multiple_of(3)
    };
    for (name, expected) in [
        ("errors", all.iter().filter(|record| record.status() >= 400).count()),
        ("sample", all.iter().filter(sampled).count()),
        ("writes", 5),
    ] {
        let folder = gateway.destination(name);
        assert_eq!(Objects::default().records(&folder).len(), expected, "{name}");
        let lanes: Vec<_> =
            manifests(&folder).into_iter().flat_map(|m| m.lanes).filter(|l| l.lane != u16::MAX).collect();
        let filtered: u64 = lanes.iter().map(|lane| lane.filtered).sum();
        let named: u64 = lanes.iter().map(|lane| lane.filtered_sequences.count()).sum();
        assert_eq!((filtered, named), (65 - expected as u64, filtered), "{name}");
        for lane in &lanes {
            assert!(lane.filtered_sequences.difference(&lane.covered).is_empty(), "{name}");
        }
        let report = verified(&folder);
        assert_eq!(report["completeness"], "holds", "{name}: {report:#}");
        let (code, output) = onrecord(&["account", &folder.display().to_string()], &[]);
        assert_eq!(code, Some(0), "{name}: {output}");
    }
}

/// The first column of a query's answer, if there is a Python with duckdb.
fn duckdb(query: &str) -> Option<Vec<String>> {
    let python = crate::duckdb::python()?;
    let script = format!("import duckdb\nfor row in duckdb.sql({query:?}).fetchall(): print(row[0])");
    let output = std::process::Command::new(python).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The objects below a folder whose names end so.
fn objects_at(folder: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    crate::harness::gateway::all_files(folder, &mut paths);
    paths.retain(|path| path.strip_prefix(folder).unwrap().to_string_lossy().ends_with(end));
    paths
}

/// The text of each object below a folder whose name ends so.
fn objects(folder: &Path, end: &str) -> Vec<String> {
    use std::io::Read as _;
    let mut paths = Vec::new();
    crate::harness::gateway::all_files(folder, &mut paths);
    paths.retain(|path| {
        let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        !name.starts_with('_') && name.ends_with(end)
    });
    let read = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let mut text = String::new();
        match end.ends_with(".gz") {
            true => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            false => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        text
    };
    paths.iter().map(read).collect()
}

/// The value at a place in each line of exchanges, sorted.
fn ids(lines: impl Iterator<Item = serde_json::Value>, pointer: &str) -> Vec<String> {
    let id = |line: serde_json::Value| line.pointer(pointer).and_then(|id| id.as_str()).unwrap().to_owned();
    let mut ids: Vec<String> = lines.map(id).collect();
    ids.sort();
    ids
}

fn json_lines(objects: &[String]) -> impl Iterator<Item = serde_json::Value> + '_ {
    objects.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn seven_destinations_in_six_formats_hold_the_same_records_one_for_one() {
    let origin = Origin::start();
    let source = crate::harness::gateway::Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"");
    let mut gateway = Gateway::builder()
        .source(source)
        .main_destination(&[])
        .destination(
            "ocsf",
            &[("format", "{ type = \"ocsf\", version = \"1.3.0\", class = \"web_resources_activity\" }")],
        )
        .destination("ecs", &[("format", "\"ecs\"")])
        .destination("csv", &[("format", "{ type = \"csv\", columns = [\"event.id\"] }")])
        .destination("parquet", &[("format", "\"parquet\"")])
        .destination("events", &[("format", "{ type = \"parquet\", rows = \"ocsf\" }")])
        .destination("legacy", &[("format", "\"contentful-legacy\"")])
        .start();
    for number in 0..40 {
        let path = format!("/spaces/s1/environments/master/entries/e{number}?status={}", 200 + number % 3);
        match number % 4 {
            0 => request("PUT", path).body(b"{}".to_vec()).send(gateway.address()),
            1 => request("BREW", path).send(gateway.address()),
            _ => get(path).header("User-Agent", "=cmd,\"x\"").send(gateway.address()),
        };
    }
    let all = gateway.finish();
    let mut wanted: Vec<String> = all.iter().map(|record| record.text("event.id").to_owned()).collect();
    wanted.sort();
    assert_eq!(wanted.len(), 40);
    let folder = |name: &str| gateway.destination(name);

    let events = objects(&folder("ocsf"), ".jsonl.gz");
    let exchanges = json_lines(&events).filter(|event| event["metadata"]["log_name"] != "onrecord");
    assert_eq!(ids(exchanges, "/metadata/uid"), wanted);
    let documents = objects(&folder("ecs"), ".jsonl.gz");
    let exchanges = json_lines(&documents).filter(|document| document["event"]["dataset"] != "onrecord");
    assert_eq!(ids(exchanges, "/event/id"), wanted);
    let arrays = objects(&folder("legacy"), ".json");
    let elements = arrays.iter().flat_map(|text| serde_json::from_str::<Vec<_>>(text).unwrap());
    assert_eq!(ids(elements, "/metadata/uid"), wanted);
    let files = objects(&folder("csv"), ".csv");
    assert!(
        files.iter().all(|text| text.starts_with("request_time,request_method,") && text.ends_with("\r\n"))
    );
    let rows = files.iter().flat_map(|text| text.lines().skip(1)).filter(|row| !row.is_empty());
    let mut rows: Vec<String> = rows.map(|row| row.rsplit(',').next().unwrap().to_owned()).collect();
    rows.sort();
    assert_eq!(rows, wanted);
    // And not only the ids: every attribute that a format has a place for.
    let flat = by_id(all.iter().map(|record| record.attributes.clone().into()), "/event.id");
    let elements = arrays.iter().flat_map(|text| serde_json::from_str::<Vec<_>>(text).unwrap());
    let cells = files.iter().flat_map(|text| text.lines().skip(1)).filter(|row| !row.is_empty()).map(cells);
    compare(
        &flat,
        &by_id(json_lines(&events), "/metadata/uid"),
        &by_id(json_lines(&documents), "/event/id"),
        &by_id(elements, "/metadata/uid"),
        &by_id(cells, "/10"),
    );
    let rows = format!(
        "SELECT to_json(r) FROM read_parquet('{}/log_source=cma/**/*.parquet', union_by_name = true) AS r",
        folder("parquet").display()
    );
    if let Some(rows) = duckdb(&rows) {
        let rows = by_id(rows.iter().map(|row| serde_json::from_str(row).unwrap()), "/event.id");
        for (id, record) in &flat {
            // Times are of a type of their own there.
            let attributes = record.as_object().unwrap().iter();
            for (name, value) in
                attributes.filter(|(name, _)| !["event.start", "event.end"].contains(&name.as_str()))
            {
                assert_eq!(&rows[id][name], value, "{name} of {id} in parquet");
            }
        }
    }
    for (name, place) in [("parquet", "\"event.id\""), ("events", "metadata.uid")] {
        assert!(!objects_at(&folder(name), ".parquet").is_empty());
        let own = if name == "parquet" {
            "\"http.request.method\" IS NULL"
        } else {
            "metadata.log_name = 'onrecord'"
        };
        let query = format!(
            "SELECT {place} FROM read_parquet('{}/log_source=*/**/*.parquet', union_by_name = true) WHERE NOT ({own})",
            folder(name).display()
        );
        if let Some(mut ids) = duckdb(&query) {
            ids.sort();
            assert_eq!(ids, wanted, "{name}");
        }
    }
    for (name, files, read, place) in [
        ("main", "log_source=cma/**/*.jsonl.gz", "read_json", "\"event.id\""),
        ("ocsf", "log_source=cma/**/*.jsonl.gz", "read_json", "metadata.uid"),
        ("ecs", "log_source=cma/**/*.jsonl.gz", "read_json", "event.id"),
        ("legacy", "**/*.json", "read_json", "metadata.uid"),
        ("csv", "*.csv", "read_csv", "\"event.id\""),
    ] {
        let more = if read == "read_csv" { ", header = true" } else { "" };
        let query = format!("SELECT {place} FROM {read}('{}/{files}'{more})", folder(name).display());
        let manifests = if name == "legacy" { " WHERE metadata.uid IS NOT NULL" } else { "" };
        if let Some(mut ids) =
            duckdb(&format!("{query}{manifests}").replace("**/*.json'", "log_source=cma/**/*.json'"))
        {
            ids.sort();
            assert_eq!(ids, wanted, "{name}");
        }
    }
    for name in ["main", "ocsf", "ecs", "csv", "legacy", "parquet", "events"] {
        let report = verified(&folder(name));
        assert_eq!(report["completeness"], "holds", "{name}: {report:#}");
        let formats: Vec<String> = manifests(&folder(name)).into_iter().map(|m| m.format).collect();
        assert!(formats.iter().all(|format| *format == formats[0]), "{formats:?}");
    }
    // A record of OCSF can be proved like a flat one.
    let id = &wanted[7];
    let proof = gateway.root().join("proof.json").display().to_string();
    let place = folder("ocsf").display().to_string();
    let (code, output) = onrecord(&["prove", &place, "--id", id, "--out", &proof], &[]);
    assert_eq!(code, Some(0), "{output}");
    let (code, output) = onrecord(&["verify", "--proof", &proof], &[]);
    assert!(code == Some(0) && output.contains("the proof holds"), "{output}");
    // Delivered flat objects, made into the same formats, hold the same records.
    let flat = folder("main").join("log_source=cma").display().to_string();
    for to in ["flat", "ocsf", "ecs", "csv", "contentful-legacy", "parquet", "parquet-ocsf"] {
        let out = gateway.root().join(format!("converted.{to}")).display().to_string();
        let (code, output) = onrecord(&["convert", &flat, "--to", to, "--out", &out], &[]);
        assert!(code == Some(0) && output.contains("40 records"), "{to}: {output}");
        let text = std::fs::read(&out).unwrap();
        match to {
            "flat" => {
                let lines = String::from_utf8(text).unwrap();
                let mut delivered: Vec<String> = objects(&folder("main").join("log_source=cma"), ".jsonl.gz")
                    .concat()
                    .lines()
                    .map(str::to_owned)
                    .collect();
                let mut converted: Vec<String> = lines.lines().map(str::to_owned).collect();
                delivered.sort();
                converted.sort();
                assert_eq!(converted, delivered);
            }
            "parquet" | "parquet-ocsf" => assert!(text.starts_with(b"PAR1") && text.ends_with(b"PAR1")),
            "csv" => assert_eq!(String::from_utf8(text).unwrap().lines().count(), 41),
            _ => {}
        }
    }
    // Readers that were made for the release before still read: by the views that it printed.
    for (of, name) in [("flat", "main"), ("ecs", "ecs"), ("ocsf-1.3.0-6001", "ocsf"), ("csv", "csv")] {
        let path = format!("{}/tests/golden/before/schema-{of}.duckdb.sql", env!("CARGO_MANIFEST_DIR"));
        let place = if name == "csv" { folder(name) } else { folder(name).join("log_source=cma") };
        let view = std::fs::read_to_string(path).unwrap().replace("OBJECTS", &place.display().to_string());
        let from = view.split_once(" AS SELECT * ").unwrap().1.trim_end().trim_end_matches(';');
        if let Some(count) = duckdb(&format!("SELECT count(COLUMNS(*)) {from}")) {
            assert_eq!(count, ["40"], "{of}");
        }
    }
    let schema = format!("{}/tests/golden/before/schema-flat.json", env!("CARGO_MANIFEST_DIR"));
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let columns: Vec<String> =
        schema["properties"].as_object().unwrap().keys().map(|name| format!("\"{name}\"")).collect();
    let query = format!(
        "SELECT count(*) FROM (SELECT {} FROM read_parquet('{}/log_source=cma/**/*.parquet', union_by_name = true))",
        columns.join(", "),
        folder("parquet").display()
    );
    if let Some(count) = duckdb(&query) {
        assert_eq!(count, ["40"], "columns of the release before");
    }
    // The printed schema is what DuckDB needs.
    for (of, name, files) in
        [("flat", "main", "jsonl.gz"), ("ocsf", "ocsf", "jsonl.gz"), ("ecs", "ecs", "jsonl.gz")]
    {
        let (code, view) = onrecord(
            &["schema", of, "--format", "duckdb", "--version", "1.3.0", "--class", "web_resources_activity"],
            &[],
        );
        assert_eq!(code, Some(0), "{view}");
        let view = view.replace("OBJECTS", &folder(name).join("log_source=cma").display().to_string());
        let from = view.split_once(" AS SELECT * ").unwrap().1.trim_end().trim_end_matches(';');
        if let Some(count) = duckdb(&format!("SELECT count(*) {from}")) {
            assert_eq!(count, ["40"], "{of} {files}");
        }
    }
}
