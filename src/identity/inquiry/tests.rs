use super::*;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn inquiry() -> Inquiry {
    let options = IntrospectionOptions {
        endpoint: "http://127.0.0.1:1/".to_owned(),
        client_id: None,
        client_secret: None,
        ca: None,
        cache: SECOND * 60,
    };
    let tls = fetch::trust(None).unwrap();
    Inquiry::new(Question::introspection(&options, None, tls), Some(options.cache))
}

fn token(number: u16) -> Presented {
    let mut fingerprint = [0; 16];
    fingerprint[..2].copy_from_slice(&number.to_be_bytes());
    Presented { source: 0, fingerprint, is_jwt: false, awaited: true, token: Zeroizing::new(vec![1]) }
}

#[test]
fn a_flood_of_tokens_waits_in_bounds_and_what_finds_no_room_comes_again() {
    let mut inquiry = inquiry();
    let refused = (0..1000).filter(|number| inquiry.take(token(*number)).is_err()).count();
    assert_eq!(refused, 1000 - MOST_PENDING);
    let mut running = 0;
    while inquiry.next(Duration::ZERO).is_some() {
        running += 1;
    }
    assert_eq!(running, MOST_RUNNING);
    assert!(!inquiry.renews(SECOND), "no room yet");
    for number in 0..200 {
        inquiry.answered(token(number).fingerprint, true, SECOND);
        inquiry.next(SECOND);
    }
    assert!(inquiry.renews(SECOND * 2));
    assert!(!inquiry.renews(SECOND * 2));
}

#[test]
fn an_answer_counts_for_its_time_and_a_token_is_asked_about_once() {
    let mut inquiry = inquiry();
    let first = token(1).fingerprint;
    assert!(inquiry.wants(&first, Duration::ZERO));
    inquiry.take(token(1)).ok().unwrap();
    assert!(!inquiry.wants(&first, Duration::ZERO), "it waits already");
    inquiry.next(Duration::ZERO).unwrap();
    assert!(!inquiry.wants(&first, Duration::ZERO), "it is being asked about");
    inquiry.answered(first, true, SECOND);
    assert!(!inquiry.wants(&first, SECOND * 60));
    assert!(inquiry.wants(&first, SECOND * 61));
}

#[test]
fn a_server_that_is_down_is_asked_less_and_less_often() {
    let mut inquiry = inquiry();
    (0..10).for_each(|number| inquiry.take(token(number)).ok().unwrap());
    let mut at = Vec::new();
    for second in 0..300 {
        if let Some(presented) = inquiry.next(SECOND * second) {
            at.push(second);
            inquiry.answered(presented.fingerprint, false, SECOND * second);
            inquiry.take(presented).ok().unwrap();
        }
    }
    assert_eq!(at[..7], [0, 1, 3, 7, 15, 31, 63]);
    assert!(at[7..].windows(2).all(|pair| pair[1] - pair[0] == 60), "{at:?}");
}

#[test]
fn answers_of_issuers_are_read_as_rfc_7662_says() {
    let of = |answer: serde_json::Value| introspected(answer.to_string().as_bytes());
    let fact = of(
        json!({"active": true, "sub": "ann", "client_id": "web", "exp": 200, "nbf": 100, "username": "Ann",
        "iss": "idp", "act": {"sub": "robot"}}),
    );
    let who = fact.who.clone().unwrap();
    assert_eq!(
        (who.kind, who.id.as_str(), who.name.as_str(), who.app.as_str()),
        ("user", "ann", "Ann", "web")
    );
    assert_eq!((who.issuer.as_str(), who.delegate.as_str()), ("idp", "robot"));
    assert_eq!((fact.not_before, fact.not_after, fact.introspected), (100_000_000, 200_000_000, true));
    let service = of(json!({"active": true, "client_id": "job"}));
    assert_eq!(service.who.unwrap().kind, "service");
    for (answer, reason) in [
        (json!({"active": false, "sub": "ann"}), Reason::Inactive),
        (json!({"active": "true", "sub": "ann"}), Reason::Inactive),
        (json!([1]), Reason::Inactive),
        (json!({"active": true}), Reason::NoId),
    ] {
        let fact = of(answer);
        assert_eq!((fact.reason, fact.who), (Some(reason), None));
    }
    assert_eq!(introspected(b"<html>").reason, Some(Reason::Malformed));
}
