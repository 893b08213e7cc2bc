//! What only bodies tell is on record, whatever the bodies are, and no body is.

use crate::harness::client::{Request, request};
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless, one};
use std::io::Write as _;

const ENV: &str = "/spaces/s1/environments/dev";

fn management(origin: &Origin) -> Source {
    Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"")
}

/// A request that the origin answers with this body.
fn answered(method: &str, target: &str, status: u16, body: &str) -> Request {
    let body: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
    request(method, target).header("x-script", format!("status={status}&body={body}"))
}

fn resources(record: &Record) -> String {
    record.attributes.get("resources").map(ToString::to_string).unwrap_or_default()
}

#[test]
fn ids_actions_and_entities_come_from_bodies_and_bodies_go_nowhere() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(management(&origin)).start();
    let to = gateway.address();
    let created = r#"{"fields":{"x":"canary-body"},"sys":{"id":"made1","type":"Entry"}}"#;
    answered("POST", &format!("{ENV}/entries"), 201, created).body(b"{\"fields\":{}}".to_vec()).send(to);
    answered("POST", &format!("{ENV}/assets"), 422, r#"{"sys":{"type":"Error","id":"ValidationFailed"}}"#)
        .body(b"{}".to_vec())
        .send(to);
    let unpublish = br#"{"remove":{"fields":{"*":["canary-body"]}}}"#;
    request("PUT", format!("{ENV}/entries/e1/published")).body(unpublish.to_vec()).chunked().send(to);
    request("PUT", format!("{ENV}/entries/e2/published")).send(to);
    let bulk = br#"{"entities":{"items":[{"sys":{"linkType":"Entry","id":"b1"}},{"sys":{"linkType":"Asset","id":"b2"}}]}}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bulk).unwrap();
    request("POST", format!("{ENV}/bulk_actions/publish"))
        .header("Content-Encoding", "gzip")
        .body(gzip.finish().unwrap())
        .send(to);
    let records = gateway.finish();
    assert_gapless(&records);
    let entry = records.iter().find(|record| record.text("url.path").ends_with("/entries")).unwrap();
    assert_eq!((entry.text("event.action"), entry.text("resource.id")), ("create", "made1"));
    let asset = one(&records, "/assets");
    assert!(!asset.has("resource.id") && !asset.has("inspection.error"), "an error's id is no asset's");
    assert_eq!(one(&records, "e1/published").text("event.action"), "unpublish");
    assert_eq!(one(&records, "e2/published").text("event.action"), "publish");
    let bulk = one(&records, "bulk_actions");
    assert_eq!(resources(bulk), r#"[{"id":"b1","type":"Entry"},{"id":"b2","type":"Asset"}]"#);
    for folder in [gateway.spool(), gateway.destination("main"), gateway.ring().to_owned()] {
        let mut files = Vec::new();
        all_files(&folder, &mut files);
        for file in files {
            assert!(!read_lossy(&file).contains("canary-body"), "a body is in {}", file.display());
        }
    }
}

#[test]
fn a_body_that_cannot_be_looked_into_costs_the_client_nothing_and_the_record_says_why() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(management(&origin)).set("meaning", "body_bytes", "\"4KiB\"").start();
    let to = gateway.address();
    let put = |name: &str| request("PUT", format!("{ENV}/entries/{name}/published"));
    assert_eq!(put("large").body(vec![b' '; 5000]).send(to).status, 200);
    assert_eq!(put("broken").body(b"{\"remove\"".to_vec()).send(to).status, 200);
    assert_eq!(put("coded").header("Content-Encoding", "gzip").body(b"{}".to_vec()).send(to).status, 200);
    assert_eq!(put("fine").body(b"{}".to_vec()).send(to).status, 200);
    let metric = |result: &str| gateway.metric("onrecord_inspections_total", &format!("result=\"{result}\""));
    crate::harness::until("four bodies are looked into", std::time::Duration::from_secs(20), || {
        let seen = ["too_large", "not_json", "bad_coding", "ok"].map(metric);
        (seen == [1.0; 4]).then_some(())
    });
    let records = gateway.finish();
    for (name, error) in [("large", "too_large"), ("broken", "not_json"), ("coded", "bad_coding")] {
        let record = one(&records, name);
        assert_eq!(record.text("inspection.error"), error);
        assert_eq!(record.text("event.action"), "ambiguous");
        let candidates = record.attributes["event.action.candidates"].to_string();
        assert_eq!(candidates, r#"["unpublish","publish"]"#);
    }
    assert_eq!(one(&records, "fine").text("event.action"), "publish");
}

#[test]
fn a_death_of_the_process_costs_what_a_body_would_have_told_and_no_record() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(management(&origin)).main_destination(&[("interval", "\"1h\"")]).start();
    let to = gateway.address();
    for number in 0..20 {
        let body = format!(r#"{{"entity":{{"sys":{{"linkType":"Entry","id":"d{number}"}}}}}}"#);
        request("POST", "/spaces/s1/scheduled_actions").body(body.into_bytes()).send(to);
    }
    gateway.sigkill();
    gateway.restart();
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(records.len(), 20);
    for record in &records {
        let told = resources(record).contains("Entry");
        assert!(told || record.text("inspection.error") == "lost", "{record:#?}");
    }
}

#[test]
fn a_write_that_saves_what_an_ai_action_made_for_its_entry_is_told_by_its_text() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(management(&origin)).start();
    let to = gateway.address();
    const MADE: &str = "A headline that nobody would write twice";
    let put = |name: &str, text: &str, from: &str| {
        let body = format!(r#"{{"fields":{{"title":{{"en-US":"{text}"}}}}}}"#);
        request("PUT", format!("{ENV}/entries/{name}?from={from}"))
            .header("X-Contentful-Version", "1")
            .body(body.into_bytes())
            .send(to);
    };
    put("e1", MADE, "before");
    let invoke =
        br#"{"variables":[{"id":"x","value":{"sys":{"type":"Link","linkType":"Entry","id":"e1"}}}]}"#;
    let accepted = r#"{"sys":{"id":"inv1","type":"AiActionInvocation","status":"IN_PROGRESS"}}"#;
    answered("POST", &format!("{ENV}/ai/actions/a1/invoke"), 201, accepted).body(invoke.to_vec()).send(to);
    put("e1", MADE, "unfetched");
    let done = format!(r#"{{"sys":{{"id":"inv1"}},"result":{{"content":"{MADE}\n"}}}}"#);
    answered("GET", &format!("{ENV}/ai/actions/a1/invocations/inv1"), 200, &done).send(to);
    put("e1", MADE, "saved");
    put("e1", "Something else that a person wrote", "other");
    put("e2", MADE, "elsewhere");
    let patch = format!(r#"[{{"op":"replace","path":"/fields/title/en-US","value":"{MADE}"}}]"#);
    request("PATCH", format!("{ENV}/entries/e1?from=patched")).body(patch.into_bytes()).send(to);
    let records = gateway.finish();
    let of = |from: &str| {
        let query = format!("from={from}");
        let record = records.iter().find(|record| record.text("url.query") == query).unwrap();
        let evidence = record.attributes.get("origin.evidence").map(ToString::to_string).unwrap_or_default();
        let by_text = evidence.contains("invocation:text");
        assert_eq!(by_text, record.text("origin.type") == "ai_action", "{record:#?}");
        by_text
    };
    assert_eq!(["saved", "patched"].map(of), [true; 2]);
    assert_eq!(["before", "unfetched", "other", "elsewhere"].map(of), [false; 4]);
    assert!(!format!("{records:?}").contains("headline"), "a text of a body is on record");
}

#[test]
fn what_is_only_validated_is_no_write_and_teaches_nothing() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(management(&origin)).start();
    let to = gateway.address();
    let shown = r#"{"sys":{"id":"e1","updatedBy":{"sys":{"linkType":"User","id":"u1"}}}}"#;
    let put = |name: &str, header: Option<&str>| {
        let mut request = answered("PUT", &format!("{ENV}/entries/{name}"), 200, shown)
            .header("X-Contentful-Version", "1")
            .header("Authorization", format!("Bearer token-of-{name}"))
            .body(b"{}".to_vec());
        if let Some(value) = header {
            request = request.header("X-Contentful-Validate-Only", value);
        }
        request.send(to);
    };
    put("tried", Some("true"));
    put("kept", Some("false"));
    put("plain", None);
    let records = gateway.finish();
    let tried = one(&records, "entries/tried");
    assert_eq!(tried.text("event.action"), "validate");
    assert!(!tried.has("session.id") && !tried.has("actor.id"), "{tried:#?}");
    for name in ["entries/kept", "entries/plain"] {
        let record = one(&records, name);
        assert_eq!((record.text("event.action"), record.text("actor.id")), ("update", "u1"));
        assert!(record.has("session.id"));
    }
}

#[test]
fn a_scheduled_action_concerns_the_environment_that_query_or_body_names() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(management(&origin)).start();
    let to = gateway.address();
    let body = br#"{"entity":{"sys":{"linkType":"Entry","id":"e1"}},"environment":{"sys":{"id":"by-body"}}}"#;
    request("POST", "/spaces/s1/scheduled_actions").body(body.to_vec()).send(to);
    request("DELETE", "/spaces/s1/scheduled_actions/a1?environment.sys.id=by%2Dquery").send(to);
    request("PUT", "/spaces/s1/scheduled_actions/a2").body(body.to_vec()).send(to);
    let records = gateway.finish();
    let environment = |path: &str| one(&records, path).text("contentful.environment.id").to_owned();
    assert_eq!(environment("scheduled_actions/a1"), "by-query");
    assert_eq!(environment("scheduled_actions/a2"), "by-body");
    let created = records.iter().find(|record| record.text("event.action") == "create").unwrap();
    assert_eq!(created.text("contentful.environment.id"), "by-body");
}
