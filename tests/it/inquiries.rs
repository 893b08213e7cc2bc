//! Who stands behind a token, asked of its issuer (RFC 7662) and of the API itself.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::issuer::KeyServer;
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, until};

const ANN: &str = r#"{"active":true,"sub":"ann","username":"Ann","client_id":"web","iss":"idp"}"#;
const ME: &str = r#"{"sys":{"id":"u-ann"},"firstName":"Ann","lastName":"Lee","email":"ann@x.test"}"#;

fn introspecting(origin: &Origin, issuer: &KeyServer, cache: &str) -> Source {
    let keys = format!(
        "endpoint = {:?}, client_id = \"gate way\", client_secret = {{ env = \"IT_CLIENT\" }}, cache = {cache:?}",
        issuer.url()
    );
    Source::new("api", &origin.url()).actor_table("introspection", &keys)
}

fn send(gateway: &Gateway, path: &str, token: &str) {
    let answer = get(path).header("Authorization", format!("Bearer {token}")).send(gateway.address());
    assert_eq!(answer.status, 200);
}

fn judged(gateway: &Gateway, result: &str) {
    until(result, PATIENCE, || {
        let label = format!("result=\"{result}\"");
        (gateway.metric("onrecord_identity_tokens_total", &label) >= 1.0).then_some(())
    });
}

#[test]
fn an_issuer_is_asked_once_a_token_and_its_answer_names_the_actor() {
    let origin = Origin::start();
    let issuer = KeyServer::start(Some(ANN.to_owned()));
    let mut gateway = Gateway::builder()
        .source(introspecting(&origin, &issuer, "1h"))
        .environment("IT_CLIENT", "canary:secret")
        .set("log", "level", "\"trace\"")
        .start();
    for number in 0..20 {
        send(&gateway, &format!("/{number}"), "canary+token");
    }
    judged(&gateway, "good");
    send(&gateway, "/later", "canary+token");
    issuer.serve(Some(r#"{"active":false}"#.to_owned()));
    send(&gateway, "/inactive", "canary-revoked");
    judged(&gateway, "inactive");
    assert_eq!(issuer.asked(), 2);
    let records = gateway.finish();
    assert_gapless(&records);
    for (name, value) in [
        ("actor.type", "user"),
        ("actor.id", "ann"),
        ("actor.name", "Ann"),
        ("actor.app.id", "web"),
        ("actor.issuer", "idp"),
        ("actor.provenance", "verified"),
        ("actor.authentication", "bearer"),
    ] {
        assert_eq!(one(&records, "/later").text(name), value, "{name}");
    }
    let inactive = one(&records, "/inactive");
    assert_eq!((inactive.text("actor.unverified"), inactive.text("actor.type")), ("inactive", "anonymous"));
    // The endpoint sees the form and who asks; nobody else does.
    let seen = issuer.seen();
    assert!(
        seen.starts_with("POST ") && seen.ends_with("token=canary%2Drevoked&token_type_hint=access_token")
    );
    // gate%20way:canary%3Asecret
    assert!(seen.contains("Basic Z2F0ZSUyMHdheTpjYW5hcnklM0FzZWNyZXQ="), "{seen}");
    let mut files = Vec::new();
    all_files(gateway.root(), &mut files);
    for file in files {
        let text = read_lossy(&file);
        assert!(!text.contains("canary") && !text.contains("Z2F0ZSUy"), "{}", file.display());
    }
}

#[test]
fn an_issuer_that_is_down_harms_no_request_and_is_asked_again() {
    let origin = Origin::start();
    let issuer = KeyServer::start(None);
    let mut gateway = Gateway::builder()
        .source(introspecting(&origin, &issuer, "1h"))
        .environment("IT_CLIENT", "x")
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    gateway.wait_for_first_manifest();
    send(&gateway, "/early", "t1");
    judged(&gateway, "introspection_unavailable");
    issuer.serve(Some(ANN.to_owned()));
    judged(&gateway, "good");
    let records = gateway.finish();
    assert_eq!(one(&records, "/early").text("actor.id"), "ann");
}

#[test]
fn the_api_is_asked_once_who_a_credential_is_and_the_answer_is_learned() {
    let origin = Origin::start();
    let api = KeyServer::start(Some(ME.to_owned()));
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"")
        .actor_table("ask", &format!("url = {:?}", api.url()));
    let mut gateway = Gateway::builder().source(source).main_destination(&[("interval", "\"1h\"")]).start();
    gateway.wait_for_first_manifest();
    for number in 0..10 {
        send(&gateway, &format!("/spaces/s1?n={number}"), "canary-own");
    }
    let file = gateway.spool().join("actors/learned.jsonl");
    until("what was learned", PATIENCE, || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("u-ann")).then_some(())
    });
    send(&gateway, "/spaces/s2", "canary-own");
    assert_eq!(api.asked(), 1);
    assert!(api.seen().to_ascii_lowercase().contains("authorization: bearer canary-own"), "{}", api.seen());
    for record in gateway.finish() {
        let actor = ["actor.id", "actor.name", "actor.provenance"].map(|name| record.text(name));
        assert_eq!(actor, ["u-ann", "Ann Lee", "verified"]);
    }
    assert!(!read_lossy(&file).contains("canary"));
}
