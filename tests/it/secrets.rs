//! A credential is written nowhere (contract 2.5): canaries in every place that a secret can
//! travel, looked for in every place that anything is written.

use crate::harness::client::{Connection, get, request};
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::issuer::{KeyServer, NAME, SigningKey, key_set};
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, until};
use flate2::read::GzDecoder;
use serde_json::json;
use std::io::Read;

/// Headers that carry credentials by one convention or another. None of them is recorded.
const HEADERS: [&str; 17] = [
    "Cookie",
    "Proxy-Authorization",
    "X-Api-Key",
    "X-MICROCMS-API-KEY",
    "X-Contentful-Resource-Resolution",
    "X-Auth-Token",
    "X-Amz-Security-Token",
    "X-Csrf-Token",
    "Api-Key",
    "X-Functions-Key",
    "X-Vault-Token",
    "X-GitHub-Token",
    "Ocp-Apim-Subscription-Key",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-User",
    "Sec-WebSocket-Protocol",
];

/// Names of query parameters in odd case and encoding.
const NAMES: [&str; 8] = [
    "ACCESS_token",
    "acc%65ss_t%6Fken",
    "%61pi_key",
    "DraftKey",
    "X-AMZ-signature",
    "user[password]",
    "my_secret",
    "my_%53ECRET",
];

#[test]
fn a_canary_in_any_place_is_found_in_none() {
    let key = SigningKey::new("k1");
    let keys = KeyServer::start(Some(key_set(&[&key])));
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_key_headers", "[\"X-My-Key\"]")
        .jwt("jwks", &format!("{:?}", keys.url()))
        .jwt("issuer", &format!("{NAME:?}"));
    let archive = [("interval", "\"1s\"")];
    // A destination that takes nothing keeps its batches in the outbox.
    let dead = [("interval", "\"1s\""), ("path", "\"/proc/no-such-place\"")];
    let mut gateway = Gateway::builder()
        .source(source)
        .main_destination(&archive)
        .destination("dead", &dead)
        .set("redact", "query", "[\"my_secret\"]")
        .set("log", "level", "\"trace\"")
        .set("actors", "fingerprint_key", "{ env = \"IT_SECRET_KEY\" }")
        .environment("IT_SECRET_KEY", "canary-key-of-the-fingerprints-0123")
        .start();
    let to = gateway.address();
    let query: Vec<String> = NAMES.iter().map(|name| format!("{name}=canary-query")).collect();
    let query = query.join("&");

    let token = key.token("ann", &json!({"jti": "canary-jwt"}));
    let pieces: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut everything = get(format!("/spaces/s1?{query}"))
        .header("Authorization", format!("Bearer {token}"))
        .header("X-My-Key", "canary-own-key")
        .header("Referer", format!("https://u:canary-user@a.test/p?{query}#access_token=canary-fragment"));
    for name in HEADERS {
        everything = everything.header(name, format!("canary-{name}"));
    }
    everything.send(to);
    for authorization in [
        "Bearer canary-opaque",
        // user:canary-password, and canary-key: with an empty password
        "Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ=",
        "Basic Y2FuYXJ5LWtleTo=",
        "Token canary-scheme",
        "canary-bare-word",
        "Digest username=\"u\", response=\"canary-digest\"",
        "AWS4-HMAC-SHA256 Credential=canary-aws, Signature=canary-aws",
    ] {
        get("/spaces/s1").header("Authorization", authorization).send(to);
    }
    let forged = format!("{}.{}.canary-signature", pieces[0], pieces[1]);
    get("/forged").header("Authorization", format!("Bearer {forged}")).send(to);
    request("POST", "/spaces/s1/environments/master/entries")
        .header("Authorization", "Bearer canary-post")
        .body(br#"{"password":"canary-body"}"#.to_vec())
        .send(to);
    // Refused by the gateway, failed by the upstream, and not HTTP at all.
    get(format!("/x?early=reset&{query}")).header("Authorization", "Bearer canary-reset").send(to);
    get("/x").header("Authorization", "Bearer canary-long").header("X-Pad", "a".repeat(90_000)).send(to);
    for raw in [
        "GET /a\x07?token=canary-path HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary-bad\r\n\r\n",
        "GET http://u:canary-authority@a.test/abs?token=canary-abs HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "CONNECT u:canary-connect@a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer canary-space\r\n\r\n",
        "canary-nonsense\r\n\r\n",
    ] {
        let mut connection = Connection::open(to);
        connection.send(raw.as_bytes());
        let answer = connection.response(false);
        assert!(answer.is_ok_and(|answer| !String::from_utf8_lossy(&answer.body).contains("canary")));
    }

    // The secrets do reach the upstream, which wants them.
    let seen = origin.one("/spaces/s1?");
    assert_eq!(seen.header("x-my-key"), Some("canary-own-key"));
    assert!(seen.target.contains("canary-query"));
    gateway.wait_for_records(14, PATIENCE);
    let outbox = gateway.spool().join("outbox").join("dead");
    until("a batch in the outbox", PATIENCE, || outbox.read_dir().ok()?.next().map(drop));

    let mut places: Vec<(String, String)> = Vec::new();
    for path in
        ["/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/keys", "/api/v1/config", "/nowhere"]
    {
        let answer = gateway.admin(path);
        places.push((path.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
    }
    gateway.sigkill();
    let mut files = Vec::new();
    for folder in [gateway.root().to_owned(), gateway.ring().to_owned()] {
        all_files(&folder, &mut files);
    }
    for place in
        [gateway.ring().to_owned(), gateway.spool().join("segments"), outbox, gateway.destination("main")]
    {
        assert!(files.iter().any(|file| file.starts_with(&place)), "nothing in {}", place.display());
    }
    let mut unpacked = 0;
    for file in &files {
        places.push((file.display().to_string(), read_lossy(file)));
        let mut text = Vec::new();
        if let Ok(bytes) = std::fs::read(file)
            && GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).is_ok()
        {
            unpacked += 1;
            places.push((
                format!("{} (unpacked)", file.display()),
                String::from_utf8_lossy(&text).into_owned(),
            ));
        }
    }
    assert!(unpacked > 1, "objects were looked into");
    let canaries = ["canary", "Y2FuYXJ5", "dXNlcjpjYW5hcnk", &pieces[1], &pieces[2]];
    let found = places.iter().flat_map(|(place, text)| {
        canaries.iter().filter_map(move |canary| {
            let at = text.find(canary)?;
            Some(format!("{place}: {:?}", text[at..].chars().take(60).collect::<String>()))
        })
    });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn segments_of_the_path_that_a_catalogue_calls_secret_are_redacted() {
    let origin = Origin::start();
    let row = |method: &str| {
        format!(
            "[[routes]]\nmethod = \"{method}\"\ntemplate = \"/hooks/:hook/:secret/events\"\nresource = \"Hook\"\n\
            resource_param = \"hook\"\naction = \"Invoke\"\nsecret_params = [\"secret\"]\n"
        )
    };
    let catalogue = format!("name = \"own\"\n{}{}", row("POST"), row("GET"));
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()).catalogues(&["own.toml"]))
        .file("own.toml", &catalogue)
        .set("log", "level", "\"trace\"")
        .start();
    let to = gateway.address();
    get("/hooks/h1/canary-segment/events").send(to);
    request("POST", "/hooks/h1/canary-segment/events/").body(b"{}".to_vec()).send(to);
    assert_eq!(origin.count("canary-segment"), 2);
    let records = gateway.finish();
    for record in &records {
        assert!(record.text("url.path").starts_with("/hooks/h1/REDACTED/events"), "{record:#?}");
        assert_eq!(record.text("resource.id"), "h1");
    }
    let mut files = Vec::new();
    all_files(gateway.root(), &mut files);
    all_files(gateway.ring(), &mut files);
    for file in files {
        assert!(!read_lossy(&file).contains("canary"), "{}", file.display());
    }
}
