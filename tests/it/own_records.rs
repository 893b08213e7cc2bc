//! What the gateway does itself is on record, in a lane of its own.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{Objects, Record};
use crate::harness::{PATIENCE, until};

fn own(gateway: &Gateway) -> Vec<Record> {
    let mut own = Objects::default().own(&gateway.destination("main"));
    own.sort_by(|a, b| a.text("event.id").cmp(b.text("event.id")));
    own
}

fn actions(own: &[Record]) -> Vec<&str> {
    own.iter().map(|record| record.text("event.action")).collect()
}

fn one<'a>(own: &'a [Record], action: &str) -> &'a Record {
    let found: Vec<_> = own.iter().filter(|record| record.text("event.action") == action).collect();
    assert_eq!(found.len(), 1, "{action} in {own:#?}");
    found[0]
}

/// Each boot's own records are numbered from 0 without a hole, and say nothing of a request.
fn assert_numbered(own: &[Record]) {
    let mut next = std::collections::BTreeMap::new();
    for record in own {
        let next = next.entry(record.text("onrecord.boot").to_owned()).or_insert(0);
        assert_eq!(record.int("onrecord.sequence"), Some(*next), "{own:#?}");
        *next += 1;
        assert_eq!(record.int("onrecord.lane"), Some(65_535));
        assert!(record.object.starts_with("log_source=onrecord/organization_id=unknown/"), "{record:?}");
        let strange = |key: &String| key.starts_with("http.") || key.starts_with("url.");
        assert!(!record.attributes.keys().any(strange), "{record:#?}");
    }
}

#[test]
fn start_reload_state_and_stop_are_on_record() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).key("organization", "\"before\"");
    let mut gateway = Gateway::builder().source(source).start();
    get("/one").send(gateway.address());
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    std::fs::write(gateway.config_path(), config.replace("\"before\"", "\"after\"")).unwrap();
    gateway.sighup();
    until("the reload", PATIENCE, || {
        (gateway.metric("onrecord_config_reloads_total", "ok") >= 1.0).then_some(())
    });
    gateway.wait_for_records(1, PATIENCE);
    assert_eq!(gateway.metric("onrecord_own_records_total", "configuration_change"), 1.0);
    let status = gateway.status();
    assert!(status["own"]["taken"].as_u64().unwrap() >= 2, "{status:#}");
    assert!(status["lanes"].as_array().unwrap().iter().all(|lane| lane["lane"] != 65_535));
    assert_eq!(gateway.finish().len(), 1);
    let own = own(&gateway);
    assert_numbered(&own);
    assert_eq!((actions(&own)[0], *actions(&own).last().unwrap()), ("start", "stop"));
    let change = one(&own, "configuration_change");
    assert_eq!(change.attributes["configuration.keys"], serde_json::json!(["source[api].organization"]));
    assert_eq!((change.text("actor.type"), change.text("actor.id")), ("service", "SIGHUP"));
    assert_eq!(one(&own, "stop").text("actor.id"), "SIGTERM");
    assert_eq!(one(&own, "destination_state").text("destination.state"), "delivering");
    gateway.account();
}

#[test]
fn a_kill_leaves_no_stop_but_a_recovery_and_loses_no_own_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    get("/one").send(gateway.address());
    gateway.sigkill();
    gateway.restart();
    gateway.finish();
    let own = own(&gateway);
    assert_numbered(&own);
    assert_eq!(own.iter().filter(|record| record.text("event.action") == "start").count(), 2);
    let recovery = one(&own, "recovery");
    assert_eq!(recovery.text("recovery.boot"), own[0].text("onrecord.boot"));
    assert_eq!(recovery.attributes["recovery.exact"], true);
    assert_eq!(recovery.int("recovery.lost"), Some(0));
    gateway.account();
}

#[test]
fn without_its_rings_a_boot_ends_in_a_gap_that_says_it_is_a_bound() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    for number in 0..20 {
        get(format!("/{number}")).send(gateway.address());
    }
    gateway.sigkill();
    std::fs::remove_dir_all(gateway.ring()).unwrap();
    gateway.restart();
    let delivered = gateway.finish().len() as i64;
    let own = own(&gateway);
    let gaps: Vec<_> = own.iter().filter(|record| record.text("event.action") == "gap").collect();
    assert!(gaps.iter().all(|gap| gap.attributes["gap.exact"] == false), "{gaps:#?}");
    let lost: i64 = gaps
        .iter()
        .filter(|gap| gap.text("gap.lane") != "self")
        .filter_map(|gap| gap.int("gap.records"))
        .sum();
    assert!(delivered + lost >= 20, "{delivered} delivered, at most {lost} lost");
    assert!(gaps.iter().any(|gap| gap.int("gap.last").is_some_and(|last| last >= 65_535)), "{gaps:#?}");
    let account = gateway.account();
    assert!(account.contains("are a bound"), "{account}");
}

#[test]
fn a_destination_that_does_not_want_them_gets_none_and_its_sums_hold() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("own_records", "false")])
        .start();
    get("/one").send(gateway.address());
    assert_eq!(gateway.finish().len(), 1);
    assert_eq!(own(&gateway).len(), 0);
    gateway.account();
}

#[test]
fn a_recovery_that_fails_is_on_record_and_tried_again_without_a_restart() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    get("/one").send(gateway.address());
    gateway.sigkill();
    // A file stands where the folder of the dead boot's rings was.
    let rings: Vec<_> =
        std::fs::read_dir(gateway.ring()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(rings.len(), 1, "{rings:?}");
    let aside = gateway.root().join("aside");
    let status = std::process::Command::new("mv").arg(&rings[0]).arg(&aside).status().unwrap();
    assert!(status.success());
    std::fs::write(&rings[0], "not a folder").unwrap();
    gateway.restart();
    until("a failed recovery", PATIENCE, || gateway.log().contains("could not be recovered").then_some(()));
    std::fs::remove_file(&rings[0]).unwrap();
    let status = std::process::Command::new("mv").arg(&aside).arg(&rings[0]).status().unwrap();
    assert!(status.success());
    until("the recovery", PATIENCE, || gateway.log().contains("was recovered").then_some(()));
    let records = gateway.finish();
    assert_eq!(records.len(), 1, "{records:#?}");
    let own = own(&gateway);
    assert_numbered(&own);
    let outcomes: Vec<_> = own
        .iter()
        .filter(|record| record.text("event.action") == "recovery")
        .map(|record| record.text("event.outcome"))
        .collect();
    assert_eq!(outcomes, ["failure", "success"], "{own:#?}");
    gateway.account();
}
