//! What `[redact]` adds: patterns reach every place before anything is written, and hashed
//! attributes leave as pseudonyms in every format.

use crate::harness::PATIENCE;
use crate::harness::client::{Connection, request};
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::origin::Origin;
use crate::harness::until;
use flate2::read::GzDecoder;
use std::io::Read as _;

/// Every file below this folder, as it is and unpacked.
fn texts(gateway: &Gateway) -> Vec<(String, String)> {
    let mut files = Vec::new();
    all_files(gateway.root(), &mut files);
    all_files(gateway.ring(), &mut files);
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        // What the operator wrote holds the patterns, and nothing of a client.
        if name.ends_with(".toml") {
            continue;
        }
        let mut text = Vec::new();
        if let Ok(bytes) = std::fs::read(&file)
            && GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).is_ok()
        {
            texts.push((format!("{name} (unpacked)"), String::from_utf8_lossy(&text).into_owned()));
        }
        texts.push((name, read_lossy(&file)));
    }
    texts
}

#[test]
fn what_a_pattern_finds_is_written_nowhere_even_where_the_gateway_dies() {
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"")
        .key("durability", "{ writes = \"strict\" }")
        .key("trusted_proxies", "[\"127.0.0.1/32\"]")
        .actor("header_id", "X-User")
        .actor("header_name", "X-User-Name");
    let mut gateway = Gateway::builder()
        .source(source)
        .set("redact", "patterns", "['canary-[a-z0-9]+', 'ann@[a-z.]+']")
        .set("redact", "query_patterns", "['(?i)ticket$']")
        .set("log", "level", "\"trace\"")
        .start();
    let to = gateway.address();
    let send = |method: &str, path: &str, script: &str| {
        request(method, path)
            .header("User-Agent", "tool canary-agent")
            .header("X-Contentful-User-Agent", "sdk canary-product/1;")
            .header("X-Contentful-User-Agent-Tool", "canary-tool")
            .header("X-HTTP-Method-Override", "canary-override")
            .header("Referer", "https://a.test/canary-referer?to=ann%40example.com")
            .header("X-User", "canary-user")
            .header("X-User-Name", "ann@example.com")
            .header("X-Script", script)
            .body(br#"{"entities":{"items":[{"sys":{"linkType":"Entry","id":"canary-bulk"}}]}}"#.to_vec())
            .send(to);
    };
    let answer = "status=200&h=X-Contentful-Request-Id:canary-upstream&h=X-Cache:canary-cache";
    send(
        "PUT",
        "/spaces/s1/environments/canary-env/entries/canary-entry?my_ticket=hush1&b=canary-query",
        answer,
    );
    send("PUT", "/spaces/s1/environments/e/entries/a%6E%6e%40example.com?m=a%6en%2540example.com", answer);
    send("POST", "/spaces/s1/environments/e/bulk_actions/publish", answer);
    gateway.wait_for_records(3, PATIENCE);
    // One that is still open when the process dies.
    let open = request("PUT", "/spaces/s1/environments/e/entries/canary-open?never=1&x_ticket=hush1")
        .header("User-Agent", "canary-agent");
    let mut hanging = Connection::open(to);
    hanging.send(&open.head_bytes());
    until("the upstream sees it", PATIENCE, || (origin.count("canary-open") > 0).then_some(()));
    gateway.sigkill();
    let check = |gateway: &Gateway| {
        for (name, text) in texts(gateway) {
            for canary in ["canary-", "hush1", "ann@", "ann%40", "a%6E%6e%40"] {
                let found = text.find(canary).map(|at| text[at..].chars().take(60).collect::<String>());
                assert_eq!(found, None, "{canary} in {name}");
            }
        }
    };
    check(&gateway);
    gateway.restart();
    let records = gateway.finish();
    check(&gateway);
    let put =
        records.iter().find(|record| record.text("url.query") == "my_ticket=REDACTED&b=REDACTED").unwrap();
    assert_eq!(put.text("url.path"), "/spaces/s1/environments/REDACTED/entries/REDACTED");
    assert_eq!((put.text("resource.id"), put.text("user_agent.original")), ("REDACTED", "tool REDACTED"));
    assert_eq!(put.text("http.route"), "/spaces/:space/environments/:environment/entries/:entry");
    assert_eq!(put.text("actor.name"), "REDACTED");
    let decoded = records.iter().find(|record| record.text("url.query") == "m=REDACTED").unwrap();
    assert_eq!(decoded.text("url.path"), "/spaces/s1/environments/e/entries/REDACTED");
    let bulk = records.iter().find(|record| record.text("event.category") == "bulk").unwrap();
    assert_eq!(bulk.attributes["resources"].to_string(), r#"[{"id":"REDACTED","type":"Entry"}]"#);
    let open = records.iter().find(|record| record.text("event.outcome") == "unknown").unwrap();
    assert_eq!(open.text("url.path"), "/spaces/s1/environments/e/entries/REDACTED");
}

#[test]
fn hashed_attributes_leave_in_no_format_as_they_came() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url())
        .key("trusted_proxies", "[\"127.0.0.1/32\"]")
        .actor("header_id", "X-User")
        .actor("header_name", "X-User-Name")
        .actor("header_email", "X-User-Email");
    let mut builder = Gateway::builder().source(source).set(
        "redact",
        "hash",
        "[\"actor.id\", \"actor.name\", \"actor.email\", \"client.address\", \"user_agent.original\", \"http.request.header.referer\"]",
    );
    let formats = ["flat", "ocsf", "ecs", "csv", "contentful-legacy", "parquet"];
    for format in formats {
        builder = builder.destination(
            &format!("as-{format}"),
            &[("interval", "\"1s\""), ("format", &format!("{format:?}"))],
        );
    }
    let mut gateway = builder.start();
    let send = |path: &str| {
        request("PUT", path)
            .header("X-Forwarded-For", "198.51.100.77")
            .header("User-Agent", "canary-agent")
            .header("Referer", "https://canary-referer.test/")
            .header("X-User", "canary-user")
            .header("X-User-Name", "canary-name")
            .header("X-User-Email", "canary@example.com")
            .body(b"{}".to_vec())
            .send(gateway.address());
    };
    send("/a");
    send("/b");
    let records = gateway.finish();
    let [one, two] = &records[..] else { panic!("{records:#?}") };
    for name in ["actor.id", "actor.name", "actor.email", "client.address", "user_agent.original"] {
        assert!(!one.text(name).is_empty(), "{name}");
        assert_eq!(one.text(name), two.text(name), "{name} is the same for the same");
    }
    assert!(one.text("client.address").parse::<std::net::Ipv6Addr>().is_ok());
    let mut files = Vec::new();
    for format in formats {
        let before = files.len();
        all_files(&gateway.destination(&format!("as-{format}")), &mut files);
        assert!(files.len() > before, "{format}");
    }
    for file in files {
        let mut text = Vec::new();
        let bytes = std::fs::read(&file).unwrap();
        if GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).is_err() {
            text = bytes;
        }
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("canary") && !text.contains("198.51.100.77"), "{}", file.display());
    }
}
