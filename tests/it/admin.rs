//! What an operator can see: metrics, health, status.

use crate::harness::client::{Connection, get};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, skip, until};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Families that the README's reference names.
const FAMILIES: [&str; 19] = [
    "onrecord_http_requests_total",
    "onrecord_http_request_duration_seconds",
    "onrecord_upstream_duration_seconds",
    "onrecord_http_requests_in_flight",
    "onrecord_connections",
    "onrecord_ring_fill_ratio",
    "onrecord_records_captured_total",
    "onrecord_gap_records_total",
    "onrecord_spool_bytes",
    "onrecord_spool_oldest_age_seconds",
    "onrecord_pack_duration_seconds",
    "onrecord_pack_records_total",
    "onrecord_pack_bytes_in_total",
    "onrecord_pack_bytes_out_total",
    "onrecord_deliveries_total",
    "onrecord_delivery_failures_total",
    "onrecord_delivery_lag_seconds",
    "onrecord_undelivered_records",
    "onrecord_build_info",
];

fn busy_gateway(origin: &Origin) -> Gateway {
    let source = Source::new("cda", &origin.url()).catalogues(&["contentful-delivery"]);
    let gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    get("/spaces/s/environments/master/entries/e1?size=10").send(to);
    get("/spaces/s/environments/master/entries/e2?size=10&status=404").send(to);
    get("/nowhere").send(to);
    crate::harness::client::request("BREW", "/nowhere").send(to);
    gateway.wait_for_records(4, PATIENCE);
    gateway
}

#[test]
fn every_family_is_there_with_its_help_and_type() {
    let origin = Origin::start();
    let gateway = busy_gateway(&origin);
    let response = gateway.admin("/metrics");
    assert_eq!(response.status, 200);
    assert!(
        response.header("content-type").is_some_and(|value| value.starts_with("text/plain")),
        "{response:?}"
    );
    let text = String::from_utf8(response.body).unwrap();
    for family in FAMILIES {
        assert!(text.contains(family), "`{family}` is not in\n{text}");
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(name.starts_with("onrecord_") || name.starts_with("process_"), "{line}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[test]
fn requests_are_counted_by_source_route_method_and_class_with_bounded_labels() {
    let origin = Origin::start();
    let gateway = busy_gateway(&origin);
    let text = gateway.metrics();
    let sample = |labels: &[&str]| {
        text.lines()
            .filter(|line| line.starts_with("onrecord_http_requests_total{"))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>()
    };
    let route = "route=\"/spaces/:space/environments/:environment/entries/:entry\"";
    assert_eq!(sample(&["source=\"cda\"", route, "method=\"GET\"", "status_class=\"2xx\""]), 1.0, "{text}");
    assert_eq!(sample(&[route, "status_class=\"4xx\""]), 1.0, "{text}");
    assert_eq!(sample(&["route=\"_unmatched\"", "method=\"GET\""]), 1.0, "{text}");
    assert_eq!(sample(&["method=\"_OTHER\""]), 1.0, "{text}");
    assert!(!text.contains("BREW") && !text.contains("nowhere"), "{text}");
    assert_eq!(gateway.metric("onrecord_records_captured_total", ""), 4.0);
    until("the delivery in the metrics", PATIENCE, || {
        (gateway.metric("onrecord_undelivered_records", "") == 0.0).then_some(())
    });
    assert!(gateway.metric("onrecord_pack_records_total", "") >= 4.0);
    assert!(gateway.metric("onrecord_deliveries_total", "") >= 1.0);
    assert_eq!(gateway.metric("onrecord_build_info", ""), 1.0);
}

/// The machine's promtool, or the one that CI unpacks below `target`.
fn promtool() -> Option<&'static str> {
    ["promtool", concat!(env!("CARGO_MANIFEST_DIR"), "/target/prometheus/usr/bin/promtool")]
        .into_iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_ok())
}

#[test]
fn promtool_finds_nothing_to_say() {
    let Some(promtool) = promtool() else {
        return skip("admin (promtool)", "promtool is not installed (apt-get install prometheus)");
    };
    let origin = Origin::start();
    let gateway = busy_gateway(&origin);
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(gateway.metrics().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn gauges_of_requests_and_connections_follow_what_is_open() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let mut connection = Connection::open(gateway.address());
    connection.send(&get("/held?hold=gate").head_bytes());
    origin.wait_for("gate");
    until("the gauges to rise", PATIENCE, || {
        let in_flight = gateway.metric("onrecord_http_requests_in_flight", "");
        (in_flight == 1.0 && gateway.metric("onrecord_connections", "") == 1.0).then_some(())
    });
    origin.release("gate");
    connection.response(false).unwrap();
    connection.close();
    until("the gauges to fall", PATIENCE, || {
        let in_flight = gateway.metric("onrecord_http_requests_in_flight", "");
        (in_flight == 0.0 && gateway.metric("onrecord_connections", "") == 0.0).then_some(())
    });
}

#[test]
fn health_and_readiness_answer_and_an_unknown_path_is_404() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    assert_eq!(gateway.admin("/healthz").status, 200);
    assert_eq!(gateway.admin("/readyz").status, 200);
    assert_eq!(gateway.admin("/nothing").status, 404);
}

#[test]
fn a_gateway_that_is_stopping_is_not_ready_and_says_why() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut held = Connection::open(gateway.address());
    held.send(&get("/held?hold=gate").head_bytes());
    origin.wait_for("gate");
    gateway.sigterm();
    let reason = until("readiness to end", PATIENCE, || {
        let response = gateway.admin("/readyz");
        (response.status == 503).then(|| String::from_utf8_lossy(&response.body).into_owned())
    });
    assert!(!reason.trim().is_empty(), "no reason given");
    origin.release("gate");
    assert_eq!(held.response(false).unwrap().status, 200);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn the_status_names_every_part_and_its_sums_hold() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    Load::calm(3, 200).run(gateway.address());
    gateway.wait_for_records(200, PATIENCE);
    let status = gateway.status();
    for part in ["sources", "lanes", "spool", "destinations"] {
        assert!(status.get(part).is_some(), "`{part}` is not in {status:#}");
    }
    let text = status.to_string();
    assert!(text.contains("\"api\"") && text.contains("\"main\""), "{status:#}");
    let taken: u64 = status["lanes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|lane| lane.get("taken").and_then(Value::as_u64))
        .sum();
    assert_eq!(taken, 200, "{status:#}");
    let output = gateway.account();
    assert!(!output.is_empty());
    gateway.finish();
    gateway.account();
}
