//! Many requests of every kind, each record equal to what its client saw.
//!
//! The long version, 10,000 requests with bodies up to 10 MiB:
//! `ONRECORD_FULL=1 cargo test --test it -- ten_thousand --nocapture`

use crate::harness::gateway::{Gateway, Source};
use crate::harness::load::{Load, assert_records_match};
use crate::harness::origin::Origin;
use crate::harness::records::assert_gapless;
use crate::harness::{full, seed};

#[test]
fn each_of_many_mixed_requests_has_one_record_that_says_what_its_client_saw() {
    let requests = if full() { 10_000 } else { 1000 };
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(Source::new("api", &origin.url())).start();
    let saw = Load::rough(seed("ten_thousand"), requests).run(gateway.address());
    assert_eq!(saw.len() as u64, requests);
    let complete = saw.iter().filter(|saw| saw.complete).count();
    let left = saw.iter().filter(|saw| saw.left).count();
    eprintln!("{requests} requests: {complete} seen whole, {left} broken off by the client");
    let in_status = gateway.account();
    eprintln!("{in_status}");
    let records = gateway.finish();
    assert_records_match(&saw, &records, &origin, false);
    assert_eq!(records.len() as u64, requests);
    assert_gapless(&records);
    gateway.account();
}

#[test]
fn two_destinations_get_all_of_it_each_at_its_own_pace() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[])
        .destination("slow", &[("interval", "\"1h\""), ("prefix", "\"audit/\"")])
        .start();
    let saw = Load::calm(seed("two_destinations"), 500).run(gateway.address());
    assert!(saw.iter().all(|saw| saw.complete && saw.intact));
    let records = gateway.finish();
    assert_records_match(&saw, &records, &origin, false);
    let slow = crate::harness::records::Objects::default().records(&gateway.destination("slow"));
    assert_records_match(&saw, &slow, &origin, false);
    assert!(slow.iter().all(|record| record.object.starts_with("audit/log_source=api/")));
}

#[test]
fn a_destination_gets_only_the_sources_that_it_names() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(Source::new("one", &origin.url()))
        .source(Source::new("two", &origin.url()).listener(1))
        .main_destination(&[("sources", "[\"two\"]")])
        .start();
    Load::calm(1, 60).run(gateway.address());
    Load { first: 60, ..Load::calm(2, 40) }.run(gateway.listener(1));
    let records = gateway.finish();
    assert_eq!(records.len(), 40);
    assert!(records.iter().all(|record| record.object.starts_with("log_source=two/")));
    gateway.account();
}
