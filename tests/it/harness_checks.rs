//! The harness itself, held to what the other tests believe of it: clients
//! against the origin, with no gateway between.

use crate::harness::client::{Connection, get, request};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, pattern, until};

#[test]
fn the_origin_answers_with_each_framing_and_keeps_the_connection() {
    let origin = Origin::start();
    let mut connection = Connection::open(origin.address());
    for script in ["size=0", "size=70000", "size=70000&framing=chunked", "size=9&trailers=1", "status=204"] {
        let response = connection.exchange(&get(format!("/a?{script}")));
        assert!(response.complete && response.is_pattern(), "{script}: {response:?}");
        let size = script.split('&').next().and_then(|pair| pair.strip_prefix("size=")).unwrap_or("0");
        assert_eq!(response.body.len().to_string(), size, "{script}");
    }
    assert_eq!(origin.seen().iter().map(|seen| seen.connection).max(), Some(0), "one connection was enough");
    let trailers = connection.exchange(&get("/?trailers=1")).trailers;
    assert_eq!(trailers, [("x-checksum".to_owned(), "42".to_owned())]);
    let head = connection.exchange(&request("HEAD", "/?size=12"));
    assert_eq!((head.header("content-length"), head.body.len()), (Some("12"), 0));
    let until_close = get("/?size=5000&framing=close").send(origin.address());
    assert_eq!(until_close.body.len(), 5000);
}

#[test]
fn the_origin_sees_request_bodies_of_each_framing() {
    let origin = Origin::start();
    let mut connection = Connection::open(origin.address());
    connection.exchange(&request("POST", "/length").body(pattern(100_000)));
    connection.exchange(&request("POST", "/chunked").body(pattern(100_000)).trailer("x-end", "1"));
    for target in ["/length", "/chunked"] {
        let seen = origin.one(target);
        assert_eq!((seen.body_bytes, seen.body_complete, seen.body_is_pattern), (100_000, true, true));
    }
    assert_eq!(origin.one("/chunked").trailers, [("x-end".to_owned(), "1".to_owned())]);
    let echo = connection.exchange(&get("/?echo=1").header("X-Odd", "a b")).json();
    assert_eq!(echo["headers"][1], serde_json::json!(["X-Odd", "a b"]));
}

#[test]
fn the_origin_can_lie_break_off_and_hold() {
    let origin = Origin::start();
    let to = origin.address();
    let cut = get("/?size=1000&cut=400").send(to);
    assert!(!cut.complete && cut.body.len() == 400, "{cut:?}");
    let short = get("/?size=1000&claim=2000").send(to);
    assert!(!short.complete && short.body.len() == 1000, "{short:?}");
    for script in ["early=close", "early=reset", "garbage=1"] {
        let mut connection = Connection::open(to);
        connection.send(&get(format!("/?{script}")).head_bytes());
        assert!(connection.response(false).is_err(), "{script}");
    }
    let mut connection = Connection::open(to);
    connection.send(&get("/?size=10&hold=gate").head_bytes());
    origin.wait_for("gate");
    origin.release("gate");
    assert_eq!(connection.response(false).unwrap().body.len(), 10);
    connection.send(&get("/?size=10&hold_body=later&hold_at=4").head_bytes());
    origin.wait_for("later");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.read_at_least(4), 4);
    origin.release("later");
    assert_eq!(connection.read_at_least(6), 6);
}

#[test]
fn the_origin_asks_for_a_body_only_where_it_wants_one() {
    let origin = Origin::start();
    let mut connection = Connection::open(origin.address());
    let request = request("PUT", "/yes").body(pattern(10)).header("Expect", "100-continue");
    connection.send(&request.head_bytes());
    connection.send(&request.body_bytes());
    let response = connection.response(false).unwrap();
    assert_eq!((response.status, response.interim), (200, vec![100]));
    let refused = crate::harness::client::request("PUT", "/no?continue=no&status=417")
        .body(pattern(10))
        .header("Expect", "100-continue");
    connection.send(&refused.head_bytes());
    assert_eq!(connection.response(false).unwrap().status, 417);
    assert_eq!(origin.one("/no").body_bytes, 0);
}

#[test]
fn the_load_sees_every_answer_of_an_honest_origin_whole() {
    let origin = Origin::start();
    let saw = Load::calm(7, 300).run(origin.address());
    assert_eq!(saw.len(), 300);
    assert!(saw.iter().all(|saw| saw.complete && saw.intact), "{saw:#?}");
    assert_eq!(origin.seen().len(), 300);
    let rough = Load { first: 1000, largest: 100_000, ..Load::rough(7, 300) }.run(origin.address());
    assert_eq!(rough.len(), 300);
    let bad: Vec<_> = rough.iter().filter(|saw| !saw.complete && !saw.left && !saw.scripted_error).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    until("the origin's sight of all", PATIENCE, || (origin.seen().len() >= 590).then_some(()));
}
