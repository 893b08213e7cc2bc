//! Limits by client address hold over all workers, and what is refused is on record.

use crate::harness::client::{Connection, get};
use crate::harness::gateway::{Builder, Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, until};

fn limited(origin: &Origin, keys: &[(&str, &str)]) -> Builder {
    let source = Source::new("api", &origin.url()).key("trusted_proxies", "[\"127.0.0.1\"]");
    let builder = Gateway::builder().source(source).set("server", "workers", "4");
    keys.iter().fold(builder, |builder, (key, value)| builder.set("client_limits", key, value))
}

#[test]
fn a_client_has_so_many_connections_over_all_workers() {
    let origin = Origin::start();
    let gateway = limited(&origin, &[("connections", "5")]).start();
    let mut open: Vec<Connection> = (0..5).map(|_| Connection::open(gateway.address())).collect();
    for connection in &mut open {
        assert_eq!(connection.exchange(&get("/within")).status, 200);
    }
    assert!(Connection::open(gateway.address()).is_closed_by_peer());
    assert_eq!(gateway.metric("onrecord_client_limited_total", "connections"), 1.0);
    open.pop();
    until("room for another", PATIENCE, || {
        let mut connection = Connection::open(gateway.address());
        let sent = connection.try_send(&get("/again").head_bytes());
        (sent.is_ok() && connection.response(false).is_ok()).then_some(())
    });
}

#[test]
fn requests_over_a_limit_are_answered_429_and_recorded_by_client_and_not_by_proxy() {
    let origin = Origin::start();
    let mut gateway = limited(&origin, &[("requests_per_second", "1"), ("burst", "3")]).start();
    let ask = |client: &str| {
        let request = get(format!("/of?client={client}")).header("X-Forwarded-For", client);
        request.send(gateway.address())
    };
    let answers: Vec<_> = (0..6).map(|_| ask("192.0.2.1")).collect();
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    // A slow machine may have earned another one or two.
    assert!((3..=5).contains(&passed), "{passed}");
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"], "client_limit");
    assert_eq!(ask("192.0.2.2").status, 200, "another client is not concerned");
    let records = gateway.finish();
    assert_eq!(records.len(), 7);
    let refused: Vec<_> = records.iter().filter(|record| record.status() == 429).collect();
    assert_eq!(refused.len(), 6 - passed);
    for record in refused {
        assert_eq!((record.error(), record.outcome()), ("client_limit", "failure"));
        assert_eq!(record.text("client.address"), "192.0.2.1");
        assert!(!record.has("upstream.address"));
    }
}

#[test]
fn requests_in_flight_are_given_back_when_they_end() {
    let origin = Origin::start();
    let gateway = limited(&origin, &[("in_flight", "2")]).start();
    let mut held: Vec<Connection> = (0..2)
        .map(|number| {
            let mut connection = Connection::open(gateway.address());
            connection.send(&get(format!("/held?hold=g&n={number}")).head_bytes());
            connection
        })
        .collect();
    origin.wait_for_many("g", 2);
    assert_eq!(get("/third").send(gateway.address()).status, 429);
    // One leaves, one is answered: both give their place back.
    held.pop().unwrap().reset();
    origin.release("g");
    assert_eq!(held[0].response(false).unwrap().status, 200);
    until("both places", PATIENCE, || (get("/fourth").send(gateway.address()).status == 200).then_some(()));
}
