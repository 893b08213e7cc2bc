//! Who acted: tokens, the directory and its changes, privacy.

use crate::harness::client::{Response, get};
use crate::harness::gateway::{BINARY, Gateway, Source};
use crate::harness::issuer::{KeyServer, NAME, SigningKey, key_set};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, until};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

fn source(origin: &Origin, jwks: &str) -> Source {
    Source::new("api", &origin.url())
        .jwt("jwks", &format!("{jwks:?}"))
        .jwt("issuer", &format!("{NAME:?}"))
        .jwt("audience", "\"api\"")
}

fn with_token(path: &str, token: &str, to: SocketAddr) -> Response {
    get(path).header("Authorization", format!("Bearer {token}")).send(to)
}

/// Waits until so many different tokens have this result.
fn judged(gateway: &Gateway, result: &str, count: f64) {
    until(result, PATIENCE, || {
        let label = format!("result=\"{result}\"");
        (gateway.metric("onrecord_identity_tokens_total", &label) >= count).then_some(())
    });
}

#[test]
fn a_signed_token_proves_who_acted_and_a_forged_one_names_nobody() {
    let (key, forger) = (SigningKey::new("k1"), SigningKey::new("k1"));
    let keys = KeyServer::start(Some(key_set(&[&key])));
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(source(&origin, &keys.url())).start();
    let to = gateway.address();
    let more = json!({"name": "Ann", "email": "ann@x.test", "azp": "web", "act": {"sub": "robot"}});
    let good = key.token("ann", &more);
    assert_eq!(with_token("/good", &good, to).status, 200);
    with_token("/good-again", &good, to);
    with_token("/forged", &forger.token("ann", &more), to);
    with_token("/expired", &key.token("ann", &json!({"exp": 1_000_000_000})), to);
    with_token("/elsewhere", &key.token("ann", &json!({"aud": "other"})), to);
    let parts: Vec<&str> = good.split('.').collect();
    // {"alg":"none"}
    with_token("/unsigned", &format!("eyJhbGciOiJub25lIn0.{}.", parts[1]), to);
    assert_eq!(with_token("/huge", &format!("{}.{}.x", parts[0], "a".repeat(40_000)), to).status, 200);
    let records = gateway.finish();
    assert_gapless(&records);
    let by_path = |path: &str| records.iter().find(|record| record.text("url.path") == path).unwrap();
    for path in ["/good", "/good-again"] {
        for (name, value) in [
            ("actor.type", "user"),
            ("actor.id", "ann"),
            ("actor.name", "Ann"),
            ("actor.email", "ann@x.test"),
            ("actor.provenance", "verified"),
            ("actor.authentication", "jwt"),
            ("actor.issuer", NAME),
            ("actor.app.id", "web"),
            ("actor.delegate.id", "robot"),
            ("actor.unverified", ""),
        ] {
            assert_eq!(by_path(path).text(name), value, "{name} of {path}");
        }
    }
    for (path, why) in [("/forged", "signature"), ("/unsigned", "algorithm")] {
        let record = by_path(path);
        assert_eq!(
            (record.text("actor.unverified"), record.text("actor.type")),
            (why, "anonymous"),
            "{path}"
        );
        assert!(!record.has("actor.id") && !record.has("actor.provenance"), "{record:#?}");
        assert!(record.has("actor.credential.id"));
    }
    for (path, why) in [("/expired", "expired"), ("/elsewhere", "audience")] {
        let record = by_path(path);
        assert_eq!((record.text("actor.unverified"), record.text("actor.id")), (why, "ann"), "{path}");
        assert_eq!(record.text("actor.provenance"), "claimed");
    }
    let huge = by_path("/huge");
    assert_eq!((huge.text("actor.authentication"), huge.text("actor.type")), ("bearer", "anonymous"));
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_forged_ids_cause_no_flood() {
    let (first, second) = (SigningKey::new("k1"), SigningKey::new("k2"));
    let keys = KeyServer::start(Some(key_set(&[&first])));
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(source(&origin, &keys.url())).start();
    let to = gateway.address();
    with_token("/before", &first.token("ann", &json!({})), to);
    judged(&gateway, "good", 1.0);
    keys.serve(Some(key_set(&[&first, &second])));
    with_token("/after", &second.token("bob", &json!({})), to);
    judged(&gateway, "good", 2.0);
    for number in 0..50 {
        let forged = SigningKey::new(&format!("forged-{number}"));
        with_token("/forged", &forged.token("root", &json!({})), to);
    }
    judged(&gateway, "unknown_key", 50.0);
    assert!(keys.asked() <= 4, "asked {} times", keys.asked());
    let records = gateway.finish();
    assert_eq!(one(&records, "/after").text("actor.provenance"), "verified");
    assert!(records.iter().all(|record| record.text("actor.id") != "root"));
}

#[test]
fn a_key_server_that_is_down_harms_no_request_and_the_tokens_are_judged_once_it_is_up() {
    let key = SigningKey::new("k1");
    let keys = KeyServer::start(None);
    let origin = Origin::start();
    let slow = [("interval", "\"60s\"")];
    let mut gateway = Gateway::builder().source(source(&origin, &keys.url())).main_destination(&slow).start();
    let to = gateway.address();
    assert_eq!(with_token("/early", &key.token("ann", &json!({})), to).status, 200);
    judged(&gateway, "keys_unavailable", 1.0);
    until("failed fetches", PATIENCE, || {
        (gateway.metric("onrecord_identity_key_fetches_total", "failed") >= 2.0).then_some(())
    });
    keys.serve(Some(key_set(&[&key])));
    judged(&gateway, "good", 1.0);
    let told = gateway.log().lines().filter(|line| line.contains("keys can't be had")).count();
    assert_eq!(told, 1, "told once, not each time");
    let records = gateway.finish();
    let early = one(&records, "/early");
    assert_eq!((early.text("actor.id"), early.text("actor.provenance")), ("ann", "verified"));
}

#[test]
fn what_is_known_of_tokens_survives_a_restart_without_keys_and_holds_no_token() {
    let key = SigningKey::new("k1");
    let keys = KeyServer::start(Some(key_set(&[&key])));
    let origin = Origin::start();
    let slow = [("interval", "\"60s\"")];
    let mut gateway = Gateway::builder().source(source(&origin, &keys.url())).main_destination(&slow).start();
    let token = key.token("ann", &json!({"name": "Ann"}));
    with_token("/before", &token, gateway.address());
    judged(&gateway, "good", 1.0);
    let file = gateway.spool().join("actors/facts.jsonl");
    until("the file of facts", PATIENCE, || file.exists().then_some(()));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let facts = std::fs::read_to_string(&file).unwrap();
    assert!(facts.contains("ann") && token.split('.').all(|part| !facts.contains(part)), "{facts}");
    // Dies with the record not packed, and comes back when no keys are to be had.
    gateway.sigkill();
    keys.serve(None);
    gateway.restart();
    let records = gateway.finish();
    let record = one(&records, "/before");
    assert_eq!((record.text("actor.id"), record.text("actor.provenance")), ("ann", "verified"));
}

#[test]
fn a_changed_directory_counts_at_once_and_one_with_mistakes_changes_nothing() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(
            Source::new("api", &origin.url())
                .key("trusted_proxies", "[\"127.0.0.1\"]")
                .actor("header_id", "X-User"),
        )
        .set("actors", "directory", "\"actors.csv\"")
        .file("actors.csv", "id,name\nu1,First\n")
        .start();
    let to = gateway.address();
    let path = gateway.root().join("actors.csv");
    let replace = |text: &str| {
        let new = gateway.root().join("actors.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    let reloads = |result: &str| {
        until(result, PATIENCE, || {
            let label = format!("result=\"{result}\"");
            (gateway.metric("onrecord_directory_reloads_total", &label) >= 1.0).then_some(())
        });
    };
    replace("id,name\nu1,Second\n");
    reloads("ok");
    replace("id,type,name\nu1,user,Third\n,user,Nobody\nu2,king,Wrong\nu3,user\n");
    reloads("refused");
    get("/now").header("X-User", "u1").send(to);
    let log = gateway.log();
    for told in ["line 3: neither", "line 4: `king`", "line 5: 2 cells"] {
        assert!(log.contains(told), "{told} is missing in\n{log}");
    }
    let records = gateway.finish();
    assert_eq!(one(&records, "/now").text("actor.name"), "Second");
}

#[test]
fn names_and_addresses_are_hashed_where_the_operator_wants_it() {
    let key = SigningKey::new("k1");
    let keys = KeyServer::start(Some(key_set(&[&key])));
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .source(source(&origin, &keys.url()))
        .set("actors", "names", "\"omit\"")
        .set("actors", "emails", "\"pseudonym\"")
        .start();
    let token = key.token("u1", &json!({"name": "Ann Private", "email": "ann@private.test"}));
    with_token("/private", &token, gateway.address());
    let records = gateway.finish();
    let record = one(&records, "/private");
    assert_eq!((record.text("actor.id"), record.text("actor.provenance")), ("u1", "verified"));
    assert!(!record.has("actor.name"));
    let pseudonym = record.text("actor.email");
    assert!(pseudonym.len() == 32 && !pseudonym.contains('@'), "{pseudonym}");
}

#[test]
fn the_command_gives_the_fingerprint_that_records_carry_and_shows_no_credential() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    get("/seen").header("Authorization", "Bearer canary-token").send(gateway.address());
    let records = gateway.finish();
    let fingerprint = |input: &str| {
        let mut child = Command::new(BINARY)
            .args(["fingerprint", "--config"])
            .arg(gateway.config_path())
            .current_dir(gateway.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("canary"), "{errors}");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let known = format!("{}\n", one(&records, "/seen").text("actor.credential.id"));
    assert_eq!(fingerprint("canary-token\n"), (Some(0), known.clone()));
    assert_eq!(fingerprint("Bearer canary-token"), (Some(0), known));
    assert_eq!(fingerprint("\n"), (Some(1), String::new()));
}
