//! Whoever saw a complete response is on record, though the gateway is killed.
//!
//! The long version, ten times 10,000 requests, each time with a kill in the middle:
//! `ONRECORD_FULL=1 cargo test --test it -- survives_kill --nocapture`

use crate::harness::gateway::{Gateway, Source};
use crate::harness::load::{Load, Saw, assert_records_match};
use crate::harness::origin::Origin;
use crate::harness::records::Record;
use crate::harness::{PATIENCE, full, seed, until};
use std::time::{Duration, Instant};

/// Kills `kills` times under load, starts again each time, and holds everything
/// that was seen to everything that was delivered.
fn kill_and_check(rounds: u64, requests_a_round: u64, rough: bool) {
    let seed = seed("survives_kill");
    let mut random = fastrand::Rng::with_seed(seed);
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(Source::new("api", &origin.url())).start();
    let mut saw: Vec<Saw> = Vec::new();
    for round in 0..rounds {
        let load = if rough {
            Load { largest: 1024 * 1024, ..Load::rough(seed + round, requests_a_round) }
        } else {
            Load::calm(seed + round, requests_a_round)
        };
        let running = Load { first: round * requests_a_round, ..load }.start(gateway.address());
        let at = random.u64(1..requests_a_round * 9 / 10);
        until("the load's progress", Duration::from_secs(120), || (running.done() >= at).then_some(()));
        gateway.sigkill();
        // Clients that cannot connect any more end by themselves.
        saw.extend(running.join());
        gateway.restart();
    }
    // After the last start everything works, and nothing of it may be missing.
    let calm = Load { first: rounds * requests_a_round, clients: 10, ..Load::calm(seed, 100) };
    let after = calm.run(gateway.address());
    assert!(after.iter().all(|saw| saw.complete), "{after:#?}");
    let whole = saw.iter().filter(|saw| saw.complete).count();
    eprintln!("{rounds} kills, {} requests tried, {whole} seen whole", saw.len());
    assert!(whole > 0);
    saw.extend(after);
    let records = gateway.finish();
    assert_records_match(&saw, &records, &origin, true);
    let unknown = records.iter().filter(|record| record.outcome() == "unknown").count();
    eprintln!("{} records, {unknown} of them unknown", records.len());
    gateway.account();
}

#[test]
fn every_response_that_was_seen_whole_is_recorded_once_though_the_gateway_is_killed() {
    if full() { kill_and_check(10, 10_000, false) } else { kill_and_check(3, 300, false) }
}

#[test]
fn so_it_is_with_aborts_errors_and_large_bodies() {
    if full() { kill_and_check(10, 10_000, true) } else { kill_and_check(3, 200, true) }
}

#[test]
fn a_kill_straight_after_the_last_byte_loses_nothing() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let to = gateway.address();
    for round in 0..5 {
        let response = crate::harness::client::get(format!("/last-byte/{round}?size=10")).send(to);
        assert!(response.complete);
        gateway.sigkill();
        gateway.restart();
    }
    let records = gateway.finish();
    assert_eq!(records.iter().filter(|record| record.outcome() == "success").count(), 5);
    gateway.account();
}

#[test]
fn a_newcomer_adopts_what_a_dead_gateway_left_while_it_serves() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    let first = Load::calm(1, 200).run(gateway.address());
    assert!(first.iter().all(|saw| saw.complete));
    gateway.sigkill();
    gateway.restart();
    let second = Load { first: 200, ..Load::calm(2, 200) }.run(gateway.address());
    assert!(second.iter().all(|saw| saw.complete));
    let records: Vec<Record> = gateway.finish();
    let saw: Vec<Saw> = first.into_iter().chain(second).collect();
    assert_records_match(&saw, &records, &origin, false);
    let boots: std::collections::BTreeSet<&str> =
        records.iter().map(|record| record.text("onrecord.boot")).collect();
    assert_eq!(boots.len(), 2);
    gateway.account();
}

#[test]
fn the_start_after_a_kill_is_quick() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    Load::calm(3, 1000).run(gateway.address());
    gateway.sigkill();
    let start = Instant::now();
    gateway.restart();
    assert!(start.elapsed() < PATIENCE / 3, "{:?}", start.elapsed());
}

#[test]
fn rings_are_found_again_though_the_successor_keeps_its_own_elsewhere() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let response = crate::harness::client::get("/before?size=10").send(gateway.address());
    assert!(response.complete);
    let mut held = crate::harness::client::Connection::open(gateway.address());
    held.send(&crate::harness::client::get("/held?hold=never").head_bytes());
    origin.wait_for("never");
    gateway.sigkill();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    let changed: Vec<String> = config
        .lines()
        .map(|line| match line.starts_with("dir = ") && line.contains("-ring") {
            true => format!("dir = \"{}\"", elsewhere.path().display()),
            false => line.to_owned(),
        })
        .collect();
    assert_ne!(changed.join("\n"), config.trim_end());
    std::fs::write(gateway.config_path(), changed.join("\n")).unwrap();
    gateway.restart();
    let records = gateway.finish();
    let outcome = |path| crate::harness::records::one(&records, path).outcome().to_owned();
    assert_eq!((outcome("/before"), outcome("/held")), ("success".into(), "unknown".into()));
    gateway.account();
}
