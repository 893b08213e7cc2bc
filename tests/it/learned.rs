//! Who acts, as the API itself tells it.

use crate::harness::client::{Request, Response, get, request};
use crate::harness::gateway::{Gateway, Source, read_lossy};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless};
use crate::harness::{PATIENCE, until};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

const ENV: &str = "/spaces/s1/environments/dev";

fn source(name: &str, listener: usize, catalogue: &str, host: &str, origin: &Origin) -> Source {
    Source::new(name, &origin.url())
        .listener(listener)
        .catalogues(&[catalogue])
        .key("api_host", &format!("{host:?}"))
}

fn management(origin: &Origin) -> Source {
    source("cma", 0, "contentful-management", "api.contentful.com", origin)
}

/// Sends it with this token; the origin answers with this body.
fn told(token: &str, request: Request, body: &str, to: SocketAddr) -> Response {
    let body: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
    request
        .header("Authorization", format!("Bearer {token}"))
        .header("x-script", format!("status=200&body={body}"))
        .send(to)
}

fn actor(record: &Record) -> [&str; 5] {
    ["actor.type", "actor.id", "actor.name", "actor.email", "actor.provenance"].map(|name| record.text(name))
}

fn sys(by: &str, kind: &str, id: &str) -> String {
    format!(r#"{{"sys":{{"id":"e","{by}":{{"sys":{{"type":"Link","linkType":"{kind}","id":"{id}"}}}}}}}}"#)
}

const ANN: &str =
    r#"{"sys":{"type":"User","id":"u-ann"},"firstName":"Ann","lastName":"Lee","email":"ann@x.test"}"#;

#[test]
fn what_an_api_says_of_a_credential_names_the_actor_of_all_its_requests() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(management(&origin))
        .source(source("cda", 1, "contentful-delivery", "cdn.contentful.com", &origin))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    gateway.wait_for_first_manifest();
    let (to, cda) = (gateway.address(), gateway.listener(1));
    // Before anything is known; a 204 and an error tell nothing themselves.
    told("canary-ann", request("DELETE", format!("{ENV}/entries/ann1")), "", to);
    told("canary-ann", get("/users/me"), ANN, to);
    request("PUT", format!("{ENV}/entries/ann2"))
        .header("Authorization", "Bearer canary-ann")
        .header("x-script", "status=409")
        .send(to);
    // Writes name their writer; what a user is called comes from elsewhere.
    let update = || request("PUT", format!("{ENV}/entries/bob1")).header("X-Contentful-Version", "3");
    told("canary-bob", update(), &sys("updatedBy", "User", "u-bob"), to);
    told("canary-bob", get(format!("{ENV}/entries/bob2")), "{}", to);
    let users =
        r#"{"items":[{"sys":{"id":"u-bob"},"firstName":"Bob","lastName":"May","email":"bob@x.test"}]}"#;
    told("canary-ann", get("/spaces/s1/users"), users, to);
    let publish = request("PUT", format!("{ENV}/entries/app1/published"));
    told("canary-app", publish, &sys("publishedBy", "AppDefinition", "a1"), to);
    // The last editor whom these show is not the one who acts.
    told("canary-eve", get(format!("{ENV}/entries/eve1")), &sys("updatedBy", "User", "u-bob"), to);
    let unpublish = request("DELETE", format!("{ENV}/entries/eve2/published"));
    told("canary-eve", unpublish, &sys("updatedBy", "User", "u-bob"), to);
    let hidden = update().header("X-HTTP-Method-Override", "GET");
    told("canary-eve", hidden, &sys("updatedBy", "User", "u-bob"), to);
    // Credentials that are handed out.
    let mint = request("POST", format!("{ENV}/app_installations/a2/access_tokens"));
    told("canary-jwt", mint, r#"{"token":"canary-minted"}"#, to);
    told("canary-minted", get(format!("{ENV}/entries/minted")), "{}", to);
    let made = r#"{"token":"canary-pat","sys":{"id":"pat1"}}"#;
    told("canary-ann", request("POST", "/users/me/access_tokens"), made, to);
    told("canary-pat", get(format!("{ENV}/entries/pat")), "{}", to);
    let keys = r#"{"items":[{"sys":{"id":"k1"},"name":"Website","accessToken":"canary-cda"}]}"#;
    told("canary-ann", get("/spaces/s1/api_keys"), keys, to);
    told("canary-cda", get(format!("{ENV}/entries/read")), "{}", cda);

    let learned = gateway.spool().join("actors/learned.jsonl");
    let file = until("the file", PATIENCE, || {
        let text = std::fs::read_to_string(&learned).ok()?;
        text.contains("Website").then_some(text)
    });
    assert_eq!(std::fs::metadata(&learned).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!file.contains("canary"), "a credential is in the file: {file}");
    let records = gateway.finish();
    assert_gapless(&records);
    let of = |path: &str| {
        let found = records.iter().find(|record| record.text("url.path").ends_with(path));
        actor(found.unwrap_or_else(|| panic!("no record of {path}")))
    };
    let ann = ["user", "u-ann", "Ann Lee", "ann@x.test", "verified"];
    for path in ["/ann1", "/users/me", "/ann2", "/pat", "/users/me/access_tokens"] {
        assert_eq!(of(path), ann, "{path}");
    }
    for path in ["/bob1", "/bob2"] {
        assert_eq!(of(path), ["user", "u-bob", "Bob May", "bob@x.test", "verified"], "{path}");
    }
    assert_eq!(of("/app1/published"), ["app", "a1", "", "", "verified"]);
    assert_eq!(of("/minted"), ["app", "a2", "", "", "verified"]);
    assert_eq!(of("/read"), ["api_key", "k1", "Website", "", "verified"]);
    for path in ["/eve1", "/eve2/published"] {
        assert_eq!(of(path), ["anonymous", "", "", "", ""], "{path}");
    }
    for file in ["facts.jsonl", "learned.jsonl"] {
        assert!(!read_lossy(&gateway.spool().join("actors").join(file)).contains("canary"));
    }
}

#[test]
fn what_was_learned_outlives_a_death_and_expires() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(management(&origin)).main_destination(&[("interval", "\"1h\"")]).start();
    gateway.wait_for_first_manifest();
    told("t1", get("/users/me"), ANN, gateway.address());
    let file = gateway.spool().join("actors/learned.jsonl");
    until("the file", PATIENCE, || file.exists().then_some(()));
    gateway.sigkill();
    let expired: String = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["namespace"] = "old".into();
            line["not_after"] = 1.into();
            format!("{line}\n")
        })
        .collect();
    let text = std::fs::read_to_string(&file).unwrap() + &expired + "{\"broken\n";
    std::fs::write(&file, text).unwrap();
    gateway.restart();
    let to = gateway.address();
    get(format!("{ENV}/entries/after")).header("Authorization", "Bearer t1").send(to);
    let records = gateway.finish();
    for record in &records {
        assert_eq!(actor(record)[1], "u-ann", "{record:#?}");
    }
    assert_eq!(records.len(), 2);
}

#[test]
fn a_source_that_does_not_listen_to_it_looks_into_no_body_for_it() {
    let origin = Origin::start();
    let source = management(&origin).actor_list("identify", "[\"directory\"]");
    let mut gateway = Gateway::builder().source(source).start();
    told("t1", get("/users/me"), ANN, gateway.address());
    let records = gateway.wait_for_records(1, PATIENCE);
    assert_eq!(actor(&records[0])[0], "anonymous");
    assert!(gateway.metric("onrecord_inspections_total", "result=\"ok\"") < 1.0);
    gateway.finish();
}

#[test]
fn a_response_that_only_learning_wants_marks_no_record() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(management(&origin)).set("meaning", "body_bytes", "\"1KiB\"").start();
    let to = gateway.address();
    let update = |id: &str| request("PUT", format!("{ENV}/entries/{id}")).header("X-Contentful-Version", "1");
    assert_eq!(told("t1", update("large"), &"x".repeat(2000), to).status, 200);
    assert_eq!(told("t1", update("html"), "<html>", to).status, 200);
    for record in gateway.finish() {
        assert!(!record.has("inspection.error"), "{record:#?}");
        assert_eq!(record.text("event.action"), "update");
    }
}

/// What a record says of the organization.
fn organization(record: &Record) -> &str {
    record.text("contentful.organization.id")
}

#[test]
fn a_space_is_of_the_organization_that_any_answer_named() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(management(&origin))
        .source(source("cda", 1, "contentful-delivery", "cdn.contentful.com", &origin))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    gateway.wait_for_first_manifest();
    let (to, cda) = (gateway.address(), gateway.listener(1));
    let entry = |space: &str, name: &str| get(format!("/spaces/{space}/environments/e/entries/{name}"));
    let names = |request: Request, organization: &str, status: u16| {
        request.header("x-script", format!("status={status}&h=cf-organization-id:{organization}"))
    };
    entry("s1", "before").send(to);
    // An answer names it for itself, an error for itself alone, and one listener for another.
    names(entry("s1", "error"), "o-error", 404).send(to);
    entry("s1", "still-unknown").send(to);
    names(entry("s1", "named"), "o1", 200).send(cda);
    entry("s1", "after").send(to);
    entry("s2", "other").send(to);
    // A list of spaces, and one that was made for the organization that its header names.
    let space = |id: &str, organization: &str| {
        format!(
            r#"{{"sys":{{"id":"{id}","organization":{{"sys":{{"linkType":"Organization","id":"{organization}"}}}}}}}}"#
        )
    };
    told("t", get("/spaces"), &format!(r#"{{"items":[{},{}]}}"#, space("s2", "o2"), space("s3", "o3")), to);
    let made = request("POST", "/spaces?made").header("X-Contentful-Organization", "o4");
    told("t", made, &space("s4", "o4"), to);
    // A client's word on a space that a path names counts for nothing.
    entry("s9", "claimed").header("X-Contentful-Organization", "o-claimed").send(to);
    let learned = gateway.spool().join("actors/learned.jsonl");
    until("what was learned", PATIENCE, || {
        let text = std::fs::read_to_string(&learned).ok()?;
        ["o1", "o2", "o3", "o4"]
            .iter()
            .all(|id| text.contains(&format!("\"organization\":\"{id}\"")))
            .then_some(())
    });
    gateway.sigkill();
    gateway.restart();
    for number in 1..=4 {
        entry(&format!("s{number}"), &format!("restarted{number}")).send(to);
    }
    // What the path says counts more.
    get("/organizations/o7/users").send(to);
    let records = gateway.finish();
    let of = |end: &str| {
        let found = records.iter().find(|record| record.text("url.path").ends_with(end));
        organization(found.unwrap_or_else(|| panic!("no record of {end}")))
    };
    for (end, expected) in [
        ("/before", ""),
        ("/error", "o-error"),
        ("/still-unknown", ""),
        ("/named", "o1"),
        ("/after", "o1"),
        ("/other", ""),
        ("/claimed", ""),
        ("/restarted1", "o1"),
        ("/restarted2", "o2"),
        ("/restarted3", "o3"),
        ("/restarted4", "o4"),
        ("/organizations/o7/users", "o7"),
    ] {
        assert_eq!(of(end), expected, "{end}");
    }
    let made = records.iter().find(|record| record.text("url.query") == "made").unwrap();
    assert_eq!(organization(made), "o4");
    let partition = gateway.destination("main").join("log_source=cma/organization_id=o1");
    assert!(partition.is_dir(), "records are sorted by it");
}

#[test]
fn an_organization_that_is_configured_is_not_changed_by_an_answer() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(management(&origin).key("organization", "\"mine\"")).start();
    get("/spaces/s1/environments/e/entries/x?h=cf-organization-id:theirs").send(gateway.address());
    assert_eq!(organization(&gateway.finish()[0]), "mine");
}
