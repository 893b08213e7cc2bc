//! A stop loses nothing: neither a request in flight nor a record.

use crate::harness::client::{Connection, get};
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::load::{Load, assert_records_match};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, list, one};
use crate::harness::{PATIENCE, seed, until};
use std::net::TcpStream;

#[test]
fn after_sigterm_requests_in_flight_end_and_no_new_one_is_taken() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut in_flight = Connection::open(gateway.address());
    in_flight.send(&get("/in-flight?hold=gate&size=1000").head_bytes());
    origin.wait_for("gate");
    gateway.sigterm();
    let to = gateway.address();
    until("the listener to close", PATIENCE, || TcpStream::connect(to).is_err().then_some(()));
    assert!(gateway.is_running(), "it must wait for the request in flight");
    origin.release("gate");
    let response = in_flight.response(false).unwrap();
    assert_eq!((response.status, response.complete, response.body.len()), (200, true, 1000));
    let status = gateway.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    let records = gateway.records();
    assert_eq!(one(&records, "/in-flight").outcome(), "success");
    assert_closed(&gateway);
}

#[test]
fn under_load_a_stop_is_clean_and_every_record_is_delivered() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    let running = Load::calm(seed("shutdown"), 100_000).start(gateway.address());
    until("some load", PATIENCE, || (running.done() >= 500).then_some(()));
    gateway.sigterm();
    let saw = running.join();
    let status = gateway.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    let records = gateway.records();
    // A request that came onto a connection as it was being closed saw no answer and may have no record.
    assert_records_match(&saw, &records, &origin, true);
    assert!(records.iter().all(|record| record.outcome() != "unknown"), "{}", list(&records));
    assert_gapless(&records);
    assert_closed(&gateway);
    gateway.account();
}

#[test]
fn what_outlives_the_grace_time_is_ended_and_on_record() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .set("server", "grace", "\"300ms\"")
        .source(Source::new("api", &origin.url()))
        .start();
    let mut stuck = Connection::open(gateway.address());
    stuck.send(&get("/stuck?never=1").head_bytes());
    until("the request at the origin", PATIENCE, || (origin.count("/stuck") == 1).then_some(()));
    let status = gateway.stop();
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    let records = gateway.records();
    let record = one(&records, "/stuck");
    assert!(matches!(record.outcome(), "failure" | "aborted"), "{record:?}");
    assert_eq!(record.error(), "shutdown");
    assert_gapless(&records);
}

#[test]
fn signals_that_come_together_are_one() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    get("/one").send(gateway.address());
    // As `timeout` does: to the process, and to its group.
    gateway.sigterm();
    std::thread::sleep(std::time::Duration::from_millis(20));
    gateway.sigterm();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_gapless(&gateway.records());
    let (code, said) = gateway.command(&["verify", &gateway.destination("main").display().to_string()]);
    assert!(code == Some(0) && said.contains(", closed, "), "{said}");
}

#[test]
fn a_second_signal_ends_at_once_and_the_next_start_loses_nothing() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    let saw = Load::calm(5, 300).run(gateway.address());
    let mut stuck = Connection::open(gateway.address());
    stuck.send(&get("/stuck?never=1").head_bytes());
    until("the request at the origin", PATIENCE, || (origin.count("/stuck") == 1).then_some(()));
    gateway.sigterm();
    let to = gateway.address();
    until("the listener to close", PATIENCE, || TcpStream::connect(to).is_err().then_some(()));
    let start = std::time::Instant::now();
    // Signals within half a second of the first are taken for the same one.
    until("the end", PATIENCE, || {
        gateway.sigterm();
        (!gateway.is_running()).then_some(())
    });
    gateway.wait_for_exit();
    assert!(start.elapsed() < PATIENCE / 6, "the second signal took {:?}", start.elapsed());
    gateway.restart();
    let records = gateway.finish();
    let stuck = one(&records, "/stuck");
    assert_ne!(stuck.outcome(), "success");
    let others: Vec<_> = records.iter().filter(|record| record.id().is_some()).cloned().collect();
    assert_records_match(&saw, &others, &origin, false);
    assert_gapless(&records);
    gateway.account();
}

#[test]
fn an_idle_gateway_stops_at_once() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let mut kept = Connection::open(gateway.address());
    kept.exchange(&get("/one"));
    let start = std::time::Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(start.elapsed() < PATIENCE / 6, "{:?}", start.elapsed());
    assert!(kept.is_closed_by_peer());
}

/// One manifest of the last boot says that nothing more will come.
fn assert_closed(gateway: &Gateway) {
    let mut manifests = Vec::new();
    all_files(&gateway.destination("main").join("_manifests"), &mut manifests);
    manifests.sort();
    assert!(!manifests.is_empty(), "no manifest");
    let closed = manifests.iter().filter(|path| {
        // A signed note: the JSON, an empty line, the signatures.
        let note = read_lossy(path);
        let (text, _) = note.split_once("\n\n").expect("a manifest is a signed note");
        serde_json::from_str::<serde_json::Value>(text).unwrap()["closed"] == true
    });
    assert_eq!(closed.count(), 1, "{manifests:#?}");
}

#[test]
fn a_second_gateway_on_the_same_port_is_refused_unless_it_shares_the_spool() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    let second = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    let old = gateway.spool().display().to_string();
    let new = second.path().join("spool").display().to_string();
    let path = second.path().join("proxy.toml");
    std::fs::write(&path, config.replace(&old, &new)).unwrap();
    let (code, output) = gateway.command(&["run", "--config", &path.display().to_string()]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("cannot listen on") && output.contains("in use"), "{output}");
}

#[test]
fn a_successor_may_start_before_its_predecessor_has_ended_and_nothing_is_lost() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let running = Load::calm(seed("upgrade"), 3000).start(gateway.address());
    until("some load", PATIENCE, || (running.done() >= 300).then_some(()));
    let mut old = gateway.start_successor();
    until("the successor to listen", PATIENCE, || {
        (gateway.log().matches("listening source").count() == 2).then_some(())
    });
    let pid = rustix::process::Pid::from_child(&old);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(old.wait().unwrap().code(), Some(0), "{}", gateway.log());
    let saw = running.join();
    // With the predecessor's sockets go the few connections that the kernel had given them.
    let whole = saw.iter().filter(|saw| saw.complete).count();
    assert!(whole * 100 >= saw.len() * 95, "{whole} of {} were answered", saw.len());
    until("the admin address to be taken over", PATIENCE, || {
        TcpStream::connect(gateway.admin_address()).ok()
    });
    let after = Load { first: 3000, ..Load::calm(1, 50) }.run(gateway.address());
    assert!(after.iter().all(|saw| saw.complete));
    let all: Vec<_> = saw.into_iter().chain(after).collect();
    assert_records_match(&all, &gateway.finish(), &origin, true);
    gateway.account();
}
