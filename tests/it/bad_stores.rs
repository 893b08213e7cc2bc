//! Whatever answers in a store's place, each kind of store finds a cause in bounded time and
//! memory, and goes on as soon as the answer is right.

use crate::harness::clouds::call;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::stores::secret;
use crate::harness::wild::{Manner, Wild};
use crate::harness::{PATIENCE, until};
use crate::stores::{create, wait};
use onrecord::bucket::{AccessKey, KeyId};
use onrecord::clock::Clock;
use onrecord::deliver::{
    AzureAuth, AzureOptions, AzureStore, Cause, Created, Destination, GcsOptions, GcsStore, S3Options,
    S3Store,
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(1200);

/// One store of each kind at this address.
fn stores(address: &str) -> Vec<(&'static str, Box<dyn Destination>)> {
    let mut s3 = S3Options::new("audit");
    s3.bucket.endpoint = Some(address.to_owned());
    s3.bucket.region = Some("us-east-1".to_owned());
    s3.bucket.path_style = true;
    s3.bucket.keys =
        Some(AccessKey { id: KeyId::Plain("id".to_owned()), secret: secret("hunter2"), session_token: None });
    s3.put_timeout = LIMIT;
    let mut azure = AzureOptions::new(&format!("{address}/acct/audit"));
    azure.auth = AzureAuth::Key(secret("a2V5"));
    azure.put_timeout = LIMIT;
    let mut gcs = GcsOptions::new("audit");
    gcs.endpoint = Some(address.to_owned());
    gcs.put_timeout = LIMIT;
    vec![
        ("s3", Box::new(S3Store::new(&s3, Clock::System))),
        ("azure", Box::new(AzureStore::new(&azure, Clock::System))),
        ("gcs", Box::new(GcsStore::new(&gcs, Clock::System))),
    ]
}

/// What comes, the causes that are right for it, and whether it may take until the deadline.
const ANSWERS: [(Manner, &[Cause]); 17] = {
    use Cause::{Network, ServerError};
    use Manner::{Deaf, Drips, Endless, Says, Stalls};
    [
        // Endless: bodies by chunks, to the end of the connection, of a length that never comes; heads; interim answers.
        (
            Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\nlong\r\n"),
            &[ServerError, Network],
        ),
        (Endless("HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n", "long"), &[ServerError]),
        (
            Endless("HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 99999999999\r\n\r\n", "long"),
            &[ServerError],
        ),
        (Endless("HTTP/1.1 200 OK\r\n", "x-long: long\r\n"), &[Network]),
        (Endless("HTTP/1.1 200 OK\r\nx-long: ", "long"), &[Network]),
        (Endless("", "HTTP/1.1 100 Continue\r\n\r\n"), &[Network]),
        (Endless("", "\0\u{7f}no protocol at all "), &[Network]),
        // Slowly: a byte now and then must not keep it alive.
        (Drips("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", "x"), &[Network]),
        (Drips("HTTP/1.1 200 OK\r\nx-slow: ", "x"), &[Network]),
        // Halves, with the connection's end and without.
        (Says("HTTP/1.1 200 OK\r\ncontent-le"), &[Network]),
        (
            Says("HTTP/1.1 403 Forbidden\r\ncontent-length: 1000\r\n\r\n<?xml versio"),
            &[Network, Cause::Permission],
        ),
        (Stalls("HTTP/1.1 503 Away\r\ncontent-length: 1000\r\n\r\n<?xml versio"), &[Network]),
        (Stalls(""), &[Network]),
        (Deaf, &[Network]),
        // Success that is none.
        (
            Says(
                "HTTP/1.1 200 OK\r\netag: \"x\"\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>No.</Message></Error>",
            ),
            &[ServerError],
        ),
        (
            Says("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>hello</html>"),
            &[ServerError],
        ),
        (Says(""), &[Network]),
    ]
};

#[test]
fn whatever_answers_has_a_cause_in_bounded_time_and_memory_and_is_never_final() {
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || answered(number));
        }
    });
}

/// Gives one kind of store all of the answers.
fn answered(number: usize) {
    let wild = Wild::start();
    let (kind, store) = stores(&format!("http://{}", wild.address)).remove(number);
    for (manner, causes) in ANSWERS {
        wild.set(manner);
        let start = Instant::now();
        let error = wait(create(&*store, "x", b"x")).expect_err("no success");
        let (time, sent) = (start.elapsed(), wild.most_sent());
        eprintln!("{kind}: {time:.1?}, {sent} bytes of the answer: {error}");
        assert!(causes.contains(&error.cause), "{kind} {manner:?}: {error}");
        assert!(time < LIMIT * 4, "{kind} {manner:?} took {time:?}");
        // What lies in the sockets' buffers is the system's; nothing more is taken in. Interim
        // answers are dropped as they come, until the deadline.
        let interim = matches!(manner, Manner::Endless("", text) if text.starts_with("HTTP/1.1 100"));
        assert!(interim || sent < 64 << 20, "{kind} {manner:?}: {sent} bytes were taken");
        assert!(error.words.chars().count() <= 401 && !error.words.contains("hunter2"), "{error}");
    }
    wild.set(Manner::Says(match kind {
        "gcs" => "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"name\":\"x\"}",
        "azure" => "HTTP/1.1 201 Created\r\netag: \"x\"\r\ncontent-length: 0\r\n\r\n",
        _ => "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 0\r\n\r\n",
    }));
    assert_eq!(wait(create(&*store, "x", b"x")), Ok(Created::Created), "{kind}");
}

#[test]
fn tls_that_says_nothing_or_something_else_ends_in_time() {
    let wild = Wild::start();
    let address = format!("https://{}", wild.address);
    for (kind, store) in stores(&address) {
        // Google's would ask the machine for a token first.
        if kind == "gcs" {
            continue;
        }
        for (manner, causes) in [
            (Manner::Deaf, &[Cause::Network, Cause::Tls]),
            (Manner::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), &[Cause::Tls, Cause::Tls]),
            (Manner::Says(""), &[Cause::Network, Cause::Tls]),
            (Manner::Endless("", "\u{16}\u{3}\u{3}long"), &[Cause::Network, Cause::Tls]),
        ] {
            wild.set(manner);
            let start = Instant::now();
            let error = wait(create(&*store, "x", b"x")).expect_err("no success");
            eprintln!("{kind}: {:.1?}: {error}", start.elapsed());
            assert!(causes.contains(&error.cause), "{kind} {manner:?}: {error}");
            assert!(start.elapsed() < LIMIT * 4 && wild.most_sent() < 64 << 20, "{kind} {manner:?}");
        }
    }
}

#[test]
fn a_destination_is_failing_after_three_attempts_or_thirty_seconds_with_the_cause_and_mends_by_itself() {
    let wild = Wild::start();
    wild.set(Manner::Says("HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    let origin = Origin::start();
    let endpoint = format!("\"http://{}\"", wild.address);
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .destination(
            "away",
            &[
                ("type", "\"s3\""),
                ("bucket", "\"audit\""),
                ("endpoint", &endpoint),
                ("path_style", "true"),
                ("access_key_id", "\"id\""),
                ("secret_access_key", "{ env = \"ONRECORD_IT_SECRET\" }"),
            ],
        )
        .environment("ONRECORD_IT_SECRET", "hunter2")
        .start();
    let start = Instant::now();
    let away = |gateway: &Gateway| gateway.status()["destinations"][1].clone();
    let failing = until("the failure", PATIENCE, || {
        let away = away(&gateway);
        (away["state"] == "failing").then_some(away)
    });
    assert_eq!((&failing["cause"], &failing["failures"]), (&"throttled".into(), &3.into()), "{failing}");
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    assert!(failing["mend"].as_str().unwrap().contains("raise the store's limits"));
    assert!(call(http::Method::GET, &format!("http://{}/", wild.address), &[], b"").0 == 503);
    assert_eq!(gateway.stop().code(), Some(0));
}
