//! Several addresses: load goes to those that are well, and a request that was not sent yet
//! goes to the next.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source, free_port};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, until};

#[test]
fn load_is_spread_and_each_address_gets_its_own_host() {
    let (one_origin, other) = (Origin::start(), Origin::start());
    let source = Source::of("api", &[&one_origin.url(), &other.url()]);
    let mut gateway = Gateway::builder().source(source).start();
    for number in 0..60 {
        assert_eq!(get(format!("/spread-{number}")).send(gateway.address()).status, 200);
    }
    for origin in [&one_origin, &other] {
        assert!(origin.count("/spread") > 10, "{}", origin.count("/spread"));
        for seen in origin.seen() {
            assert_eq!(seen.header("host"), Some(origin.address().to_string().as_str()));
        }
    }
    let records = gateway.finish();
    assert_gapless(&records);
    for origin in [&one_origin, &other] {
        let address = origin.address().to_string();
        let named = records.iter().filter(|record| record.text("upstream.address") == address).count();
        assert_eq!(named, origin.count("/spread"));
    }
}

#[test]
fn a_busy_address_gets_less() {
    let (busy, free) = (Origin::start(), Origin::start());
    let source = Source::of("api", &[&busy.url(), &free.url()]);
    let gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    let to = gateway.address();
    // Requests pile up wherever they are held; then all the rest goes to the other side.
    let held: Vec<_> =
        (0..6).map(|_| std::thread::spawn(move || get("/held?hold=held").send(to).status)).collect();
    until("six held requests", PATIENCE, || (busy.count("/held") + free.count("/held") == 6).then_some(()));
    assert_eq!(busy.count("/held"), 3, "held requests are spread evenly");
    busy.release("held");
    free.release("held");
    assert!(held.into_iter().all(|held| held.join().unwrap() == 200));
}

#[test]
fn a_dead_address_costs_no_request_and_is_left_out_until_it_is_back() {
    let alive = Origin::start();
    let dead = free_port();
    let source = Source::of("api", &[&format!("http://{dead}"), &alive.url()])
        .forward("eject_after", "2")
        .forward("eject_time", "\"300ms\"");
    let mut gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    for number in 0..40 {
        assert_eq!(get(format!("/n-{number}?close=1")).send(gateway.address()).status, 200);
    }
    until("the ejection in metrics", PATIENCE, || {
        (gateway.metric("onrecord_upstream_ejections_total", &dead.to_string()) >= 1.0).then_some(())
    });
    assert!(gateway.metric("onrecord_upstream_connect_failures_total", &dead.to_string()) >= 2.0);
    let addresses = gateway.status()["sources"][0]["addresses"].clone();
    assert_eq!(addresses.as_array().unwrap().len(), 2, "{addresses}");
    assert_eq!(addresses[1]["address"], alive.address().to_string());
    let records = gateway.finish();
    assert_eq!(records.len(), 40);
    let record = one(&records, "/n-0").clone();
    assert!(
        records.iter().all(|record| record.text("upstream.address") == alive.address().to_string()),
        "{record:?}"
    );
}

#[test]
fn where_no_address_answers_it_is_502_and_where_one_comes_back_it_is_used() {
    let (first, second) = (free_port(), free_port());
    let source = Source::of("api", &[&format!("http://{first}"), &format!("http://{second}")])
        .forward("eject_after", "1")
        .forward("eject_time", "\"1h\"");
    let mut gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    for number in 0..3 {
        assert_eq!(get(format!("/none-{number}")).send(gateway.address()).status, 502);
    }
    // All are ejected for an hour, so all are used.
    let listener = std::net::TcpListener::bind(second).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    assert_eq!(get("/back").send(gateway.address()).status, 200);
    answering.join().unwrap();
    let records = gateway.finish();
    assert_eq!(one(&records, "/none-1").error(), "upstream_connect");
    assert!(!one(&records, "/none-1").has("upstream.address"));
    assert_eq!(one(&records, "/back").text("upstream.address"), second.to_string());
}

#[test]
fn an_address_that_answers_503_is_left_out_too() {
    let (sick, well) = (Origin::start(), Origin::start());
    let source = Source::of("api", &[&sick.url(), &well.url()])
        .forward("eject_after", "3")
        .forward("eject_time", "\"1h\"");
    let gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    let sick_name = sick.address().to_string();
    until("the ejection", PATIENCE, || {
        get("/sick?status=503").send(gateway.address());
        (gateway.metric("onrecord_upstream_ejections_total", &sick_name) >= 1.0
            || gateway.metric("onrecord_upstream_ejections_total", "") >= 1.0)
            .then_some(())
    });
    // One of the two is out (both answered 503); what follows goes to the other alone.
    let (before_sick, before_well) = (sick.count("/after"), well.count("/after"));
    for _ in 0..20 {
        get("/after").send(gateway.address());
    }
    let (to_sick, to_well) = (sick.count("/after") - before_sick, well.count("/after") - before_well);
    assert!(to_sick == 0 || to_well == 0 || to_sick + to_well == 20, "{to_sick} and {to_well}");
    assert_eq!(to_sick.min(to_well), 0, "{to_sick} and {to_well}");
}

#[test]
fn an_address_that_fails_its_checks_gets_nothing_and_checks_are_not_on_record() {
    let (checked, other) = (Origin::start(), Origin::start());
    let source = Source::of("api", &[&checked.url(), &other.url()])
        .health("path", "\"/health\"")
        .health("interval", "\"100ms\"");
    let mut gateway = Gateway::builder().source(source).start();
    until("the first checks", PATIENCE, || {
        (checked.count("/health") >= 2 && other.count("/health") >= 2).then_some(())
    });
    let seen = checked.seen().into_iter().find(|seen| seen.target == "/health").unwrap();
    assert_eq!(seen.header("host"), Some(checked.address().to_string().as_str()));
    let mut checked = checked;
    let name = checked.address().to_string();
    checked.stop();
    until("the failed checks in the status", PATIENCE, || {
        (gateway.status()["sources"][0]["addresses"][0]["check"] == "failing"
            || gateway.status()["sources"][0]["addresses"][1]["check"] == "failing")
            .then_some(())
    });
    until("the metric", PATIENCE, || (gateway.metric("onrecord_upstream_up", &name) == 0.0).then_some(()));
    for number in 0..20 {
        assert_eq!(get(format!("/well-{number}")).send(gateway.address()).status, 200);
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 20, "checks are no exchanges");
}

#[test]
fn a_name_is_resolved_and_goes_on_record_as_its_address() {
    let origin = Origin::start();
    let source = Source::new("api", &format!("http://localhost:{}", origin.address().port()));
    let mut gateway = Gateway::builder().source(source).start();
    let response = get("/named").send(gateway.address());
    assert_eq!(response.status, 200);
    let nobody = Gateway::before("http://no-such-host.invalid");
    assert_eq!(get("/nowhere").send(nobody.address()).status, 502);
    let records = gateway.finish();
    assert_eq!(one(&records, "/named").text("upstream.address"), origin.address().to_string());
}
