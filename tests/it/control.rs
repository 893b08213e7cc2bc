//! The control API: who may do what, what acts do, and what is on record of them.

use crate::harness::client::{Response, get, request};
use crate::harness::gateway::{Gateway, Source, onrecord};
use crate::harness::origin::Origin;
use crate::harness::records::{Objects, Record};
use crate::harness::{PATIENCE, until};
use onrecord::admin::make_token;
use onrecord::evidence::merkle::hex;
use std::path::Path;

/// Tokens of the three roles, and the line of the configuration that lets them in.
pub(crate) struct Tokens {
    pub(crate) viewer: String,
    pub(crate) auditor: String,
    pub(crate) operator: String,
    pub(crate) line: String,
}

impl Tokens {
    pub(crate) fn make() -> Self {
        let roles = ["viewer", "auditor", "operator"];
        let made = roles.map(|role| {
            let (token, sha256) = make_token().unwrap();
            let line = format!("{{ name = \"{role}-1\", role = \"{role}\", sha256 = \"{}\" }}", hex(&sha256));
            (token.to_string(), line)
        });
        let line = format!("[{}]", made.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join(", "));
        let [viewer, auditor, operator] = made.map(|(token, _)| token);
        Self { viewer, auditor, operator, line }
    }
}

fn ask(gateway: &Gateway, method: &str, path: &str, token: &str) -> Response {
    let mut asked = request(method, path).host("localhost");
    if !token.is_empty() {
        asked = asked.header("Authorization", format!("Bearer {token}"));
    }
    asked.send(gateway.admin_address())
}

fn state(gateway: &Gateway, token: &str) -> String {
    let main = ask(gateway, "GET", "/api/v1/destinations/main", token);
    main.json()["state"].as_str().unwrap_or_default().to_owned()
}

fn with_tokens(origin: &Origin, tokens: &Tokens) -> Gateway {
    Gateway::builder().source(Source::new("api", &origin.url())).set("admin", "tokens", &tokens.line).start()
}

fn own(gateway: &Gateway, action: &str) -> Vec<Record> {
    let own = Objects::default().own(&gateway.destination("main"));
    own.into_iter().filter(|record| record.text("event.action") == action).collect()
}

#[test]
fn each_path_asks_for_its_role_and_probes_of_machines_for_none() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let gateway = with_tokens(&origin, &tokens);
    let status = |method: &str, path: &str, token: &str| ask(&gateway, method, path, token).status;
    let paths = [
        ("GET", "/metrics", 0),
        ("GET", "/api/v1/status", 0),
        ("GET", "/api/v1/keys", 0),
        ("GET", "/api/v1/destinations", 0),
        ("GET", "/api/v1/destinations/main", 0),
        ("GET", "/api/v1/destinations/main/history", 1),
        ("POST", "/api/v1/destinations/main/retry", 2),
    ];
    for (method, path, needed) in paths {
        assert_eq!(status(method, path, ""), 401, "{path}");
        for (role, token) in [&tokens.viewer, &tokens.auditor, &tokens.operator].into_iter().enumerate() {
            let told = status(method, path, token);
            match role >= needed {
                true => assert!([200, 409].contains(&told), "{path}: {told}"),
                false => assert_eq!(told, 403, "{path}"),
            }
        }
    }
    assert_eq!((status("GET", "/healthz", ""), status("GET", "/readyz", "")), (200, 200));
    assert_eq!(status("GET", "/api/v1/destinations/none", &tokens.viewer), 404);
    assert_eq!(status("POST", "/api/v1/destinations/none/pause", &tokens.operator), 404);
    assert_eq!(status("POST", "/api/v1/destinations/main/explode", &tokens.operator), 404);
    assert_eq!(status("GET", "/api/v1/destinations/main/pause", &tokens.operator), 405);
}

#[test]
fn without_tokens_everybody_here_may_look_and_nobody_may_act() {
    let origin = Origin::start();
    let gateway = Gateway::before(&origin.url());
    assert_eq!(ask(&gateway, "GET", "/api/v1/destinations", "").status, 200);
    let refused = ask(&gateway, "POST", "/api/v1/destinations/main/pause", "");
    assert_eq!(refused.status, 403);
    assert!(refused.json()["error"].as_str().unwrap().contains("onrecord token"), "{refused:?}");
    until("the first delivery", PATIENCE, || (state(&gateway, "") == "delivering").then_some(()));
}

#[test]
fn a_pause_outlives_a_restart_and_a_resume_delivers_what_waited_and_both_are_on_record() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let mut gateway = with_tokens(&origin, &tokens);
    get("/before").send(gateway.address());
    gateway.wait_for_records(1, PATIENCE);
    assert_eq!(ask(&gateway, "POST", "/api/v1/destinations/main/pause", &tokens.operator).status, 200);
    until("the pause", PATIENCE, || (state(&gateway, &tokens.viewer) == "paused").then_some(()));
    get("/while").send(gateway.address());
    until("a batch to wait", PATIENCE, || {
        let main = ask(&gateway, "GET", "/api/v1/destinations/main", &tokens.viewer).json();
        (main["undelivered_batches"].as_u64() > Some(0)).then_some(())
    });
    let start = std::time::Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(start.elapsed().as_secs() < 15, "a paused destination holds up nobody's stop");
    gateway.restart();
    until("the pause after the restart", PATIENCE, || {
        (state(&gateway, &tokens.viewer) == "paused").then_some(())
    });
    assert_eq!(gateway.records().len(), 1);
    assert_eq!(ask(&gateway, "POST", "/api/v1/destinations/main/resume", &tokens.operator).status, 200);
    gateway.wait_for_records(2, PATIENCE);
    gateway.finish();
    for action in ["destination_pause", "destination_resume"] {
        let acts = own(&gateway, action);
        assert_eq!(acts.len(), 1, "{acts:#?}");
        assert_eq!((acts[0].text("actor.type"), acts[0].text("actor.id")), ("user", "operator-1"));
        assert_eq!(acts[0].text("client.address"), "127.0.0.1");
    }
}

#[test]
fn the_history_tells_what_became_of_a_destination_page_by_page_and_over_a_kill() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let mut gateway = with_tokens(&origin, &tokens);
    until("the first delivery", PATIENCE, || (state(&gateway, &tokens.viewer) == "delivering").then_some(()));
    for act in ["pause", "resume"] {
        let path = format!("/api/v1/destinations/main/{act}");
        assert_eq!(ask(&gateway, "POST", &path, &tokens.operator).status, 200);
        let wanted = if act == "pause" { "paused" } else { "delivering" };
        until(wanted, PATIENCE, || (state(&gateway, &tokens.viewer) == wanted).then_some(()));
    }
    let page = |gateway: &Gateway, query: &str| {
        let path = format!("/api/v1/destinations/main/history{query}");
        ask(gateway, "GET", &path, &tokens.auditor).json()
    };
    let told = |gateway: &Gateway| -> Vec<String> {
        let entries = page(gateway, "")["entries"].as_array().unwrap().clone();
        let word = |entry: &serde_json::Value| {
            let what = entry["state"].as_str().or(entry["act"].as_str()).unwrap_or_default();
            format!("{} {what}", entry["event"].as_str().unwrap())
        };
        entries.iter().rev().map(word).collect()
    };
    let expected =
        ["start ", "state delivering", "act pause", "state paused", "act resume", "state delivering"];
    until("the history", PATIENCE, || (told(&gateway).len() == expected.len()).then_some(()));
    let mut sorted = (told(&gateway), expected.map(str::to_owned).to_vec());
    // Whether the act or the state that it leads to is written first is a race.
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    gateway.sigkill();
    gateway.restart();
    until("the second start", PATIENCE, || (told(&gateway).len() > expected.len()).then_some(()));
    let (mut before, mut numbers) = (String::new(), Vec::new());
    loop {
        let page = page(&gateway, &format!("?limit=3{before}"));
        let entries = page["entries"].as_array().unwrap();
        numbers.extend(entries.iter().map(|entry| entry["number"].as_u64().unwrap()));
        let Some(next) = page["next"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(numbers, (0..numbers.len() as u64).rev().collect::<Vec<_>>());
    assert!(
        page(&gateway, "?limit=0")["error"].is_string() && page(&gateway, "?after=1")["error"].is_string()
    );
    gateway.finish();
    gateway.account();
}

#[test]
fn a_destination_that_fails_says_when_the_first_loss_would_come() {
    let origin = Origin::start();
    let gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("path", "\"blocked/objects\""), ("retention", "\"1h\"")])
        .file("blocked", "a file where a folder should be")
        .start();
    get("/one").send(gateway.address());
    let at = until("the first loss", PATIENCE, || {
        let main = ask(&gateway, "GET", "/api/v1/destinations/main", "").json();
        main["first_loss_at"].as_str().map(str::to_owned).filter(|_| main["first_loss_by"] == "retention")
    });
    let at: jiff::Timestamp = at.parse().unwrap();
    let ahead = at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3500..=3600).contains(&ahead), "{ahead}");
    let timestamp = gateway.metric("onrecord_delivery_first_loss_timestamp_seconds", "main");
    assert_eq!(timestamp as i64, at.as_second());
    assert!(gateway.metric("onrecord_delivery_attempts_total", "main") >= 1.0);
    assert!(gateway.metric("onrecord_delivery_since_success_seconds", "main") > 0.0);
}

#[test]
fn guessing_is_braked_and_on_record() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let mut gateway = with_tokens(&origin, &tokens);
    let told: Vec<u16> =
        (0..8).map(|_| ask(&gateway, "GET", "/api/v1/status", "onrecord_guess").status).collect();
    assert_eq!(told[..6], [401; 6]);
    assert_eq!(told[6..], [429; 2]);
    let braked = ask(&gateway, "GET", "/api/v1/status", &tokens.operator);
    assert_eq!(braked.status, 429);
    assert_eq!(braked.header("retry-after"), Some("1"));
    until("the brake to let go", PATIENCE, || {
        (ask(&gateway, "GET", "/api/v1/status", &tokens.operator).status == 200).then_some(())
    });
    gateway.finish();
    let refused = own(&gateway, "access_refused");
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!(refused[0].text("event.outcome"), "failure");
}

#[test]
fn a_reload_lets_tokens_in_and_out_and_mends_a_destination_at_once() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .set("admin", "tokens", &tokens.line)
        .main_destination(&[("path", "\"blocked/objects\"")])
        .file("blocked", "a file where a folder should be")
        .start();
    get("/one").send(gateway.address());
    until("the failure", PATIENCE, || (state(&gateway, &tokens.viewer) == "failing").then_some(()));
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    let mended = config.replace("\"blocked/objects\"", "\"objects/main\"");
    std::fs::write(gateway.config_path(), mended.replace(&tokens.line, "[]")).unwrap();
    gateway.sighup();
    until("the mend", PATIENCE, || (state(&gateway, "") == "delivering").then_some(()));
    gateway.wait_for_records(1, PATIENCE);
    assert_eq!(ask(&gateway, "POST", "/api/v1/destinations/main/pause", &tokens.operator).status, 403);
}

#[test]
fn the_command_line_does_all_of_it() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token").display().to_string();
    let arguments = ["token", "--name", "ann", "--role", "operator", "--out", &file];
    let (code, line) = onrecord(&arguments, &[]);
    assert_eq!(code, Some(0), "{line}");
    assert_eq!(onrecord(&arguments, &[]).0, Some(1), "a token that is there is not replaced");
    let gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .set("admin", "tokens", &format!("[{}]", line.trim()))
        .start();
    let url = gateway.admin_url();
    let run = |what: &[&str]| {
        let mut arguments = vec!["destinations"];
        arguments.extend(what);
        arguments.extend(["--url", &url, "--token-file", &file]);
        onrecord(&arguments, &[])
    };
    until("the first delivery", PATIENCE, || run(&["list"]).1.contains("main: delivering").then_some(()));
    for (what, says) in [
        (vec!["show", "main"], "\"honours_conditions\": true"),
        (vec!["probe", "main"], "main: takes objects"),
        (vec!["retry", "main"], "main: retry done"),
        (vec!["pause", "main"], "main: pause done"),
        (vec!["resume", "main"], "main: resume done"),
    ] {
        let (code, output) = run(&what);
        assert!(code == Some(0) && output.contains(says), "{what:?}: {code:?} {output}");
    }
    let (code, output) = run(&["pause", "none"]);
    assert!(code == Some(1) && output.contains("there is no destination none"), "{output}");
    let (code, output) = onrecord(&["destinations", "list", "--url", &url], &[]);
    assert!(code == Some(1) && output.contains("show a token"), "{output}");
    let variable = [("ONRECORD_TOKEN".to_owned(), std::fs::read_to_string(&file).unwrap())];
    assert_eq!(onrecord(&["destinations", "list", "--url", &url], &variable).0, Some(0));
    let log = gateway.log();
    assert!(!log.contains(std::fs::read_to_string(&file).unwrap().trim()), "the token is in the log");
}

#[test]
fn off_loopback_it_speaks_tls_and_who_does_not_gets_nothing() {
    let (origin, tokens) = (Origin::start(), Tokens::make());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .set("admin", "tokens", &tokens.line)
        .set("admin", "certificates", &format!("[{{ chain = {certificate:?}, key = {key:?} }}]"))
        .prepare();
    gateway.spawn();
    std::fs::write(folder.path().join("token"), &tokens.viewer).unwrap();
    let token = folder.path().join("token").display().to_string();
    let url = format!("https://localhost:{}", gateway.admin_address().port());
    let ready = ["health", "--url", &url, "--ca", &certificate, "--token-file", &token];
    until("readiness over TLS", PATIENCE, || (onrecord(&ready, &[]).0 == Some(0)).then_some(()));
    let list = ["destinations", "list", "--url", &url, "--ca", &certificate, "--token-file", &token];
    let (code, output) = onrecord(&list, &[]);
    assert!(code == Some(0) && output.contains("main: "), "{output}");
    let (code, output) = onrecord(&list[..4], &[]);
    assert!(code == Some(1) && !output.contains("main: "), "an unknown authority is not trusted: {output}");
    let plain = url.replace("https", "http");
    assert_eq!(onrecord(&["health", "--url", &plain], &[]).0, Some(1));
}

/// A certificate for localhost, its own authority.
fn certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain.display().to_string(), key.display().to_string())
}
