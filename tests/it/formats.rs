//! What destinations take, and in which format.

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
