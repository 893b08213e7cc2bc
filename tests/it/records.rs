//! A record says what the API's own audit log would say, and never a secret.

use crate::harness::client::{get, request};
use crate::harness::gateway::{Gateway, Source, all_files, read_lossy};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, assert_well_formed, one};

#[test]
fn a_delivery_read_is_recorded_in_contentfuls_words() {
    let origin = Origin::start();
    let source = Source::new("cda", &origin.url())
        .catalogues(&["contentful-delivery"])
        .key("api_host", "\"cdn.contentful.com\"")
        .key("organization", "\"org-1\"");
    let mut gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    get("/spaces/space1/environments/staging/entries/entry9?locale=en-US")
        .header("User-Agent", "browser/1")
        .header("X-Contentful-User-Agent", "sdk contentful.js/11.0.0;")
        .header("Referer", "https://site.test/page?token=hidden&a=1")
        .header("x-script", "size=120&h=X-Cache:HIT&h=X-Contentful-Request-Id:up-42")
        .send(to);
    get("/spaces/space1/environments/master/entries?sys.id=abc")
        .header("x-script", "h=X-Cache:MISS")
        .send(to);
    get("/no/such/route").send(to);
    request("HEAD", "/spaces/space1/environments/master/assets/asset1").send(to);
    let records = gateway.finish();
    assert_gapless(&records);
    for record in &records {
        assert_well_formed(record, "contentful");
        assert_eq!(record.text("onrecord.instance"), "it");
        assert!(record.object.starts_with("log_source=cda/organization_id=org-1/year="), "{}", record.object);
    }
    let record = one(&records, "entry9");
    for (name, value) in [
        ("contentful.organization.id", "org-1"),
        ("contentful.space.id", "space1"),
        ("contentful.environment.id", "staging"),
        ("contentful.cache.status", "HIT"),
        ("contentful.request.id", "up-42"),
        ("http.request.method", "GET"),
        ("http.route", "/spaces/:space/environments/:environment/entries/:entry"),
        ("url.path", "/spaces/space1/environments/staging/entries/entry9"),
        ("url.query", "locale=en-US"),
        ("user_agent.original", "browser/1"),
        ("user_agent.product", "sdk contentful.js/11.0.0;"),
        ("http.request.header.referer", "https://site.test/page?token=REDACTED&a=1"),
        ("event.action", "read"),
        ("event.outcome", "success"),
        ("event.category", "delivery"),
        ("resource.type", "Entry"),
        ("resource.id", "entry9"),
        ("actor.type", "anonymous"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(record.text(name), value, "{name} in {record:#?}");
    }
    assert_eq!(record.int("upstream.attempts"), Some(1));
    assert!(record.int("upstream.duration.microseconds") <= record.int("duration.microseconds"));
    assert!(record.text("event.start") <= record.text("event.end"));
    let id = record.text("event.id");
    assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "{id}");

    let list = one(&records, "sys.id=abc");
    assert_eq!((list.text("resource.type"), list.text("resource.id")), ("Entry", "abc"));
    assert_eq!(list.text("contentful.cache.status"), "MISS");
    assert_eq!(list.text("contentful.request.id"), list.text("event.id"), "no id of the upstream's own");
    let lost = one(&records, "/no/such/route");
    assert_eq!((lost.text("http.route"), lost.text("contentful.cache.status")), ("", ""));
    assert!(!lost.has("event.action"));
    let head = one(&records, "asset1");
    assert_eq!(head.text("http.route"), "/spaces/:space/environments/:environment/assets/:asset");
}

#[test]
fn a_management_write_names_its_action_and_an_absent_environment_is_master() {
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"");
    let mut gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    request("PUT", "/spaces/s1/environments/dev/entries/e1/published").send(to);
    request("DELETE", "/spaces/s1/entries/e2").header("X-HTTP-Method-Override", "PATCH").send(to);
    get("/organizations/org7/access_tokens").send(to);
    request("OPTIONS", "/spaces/s1/environments/dev/entries/e3")
        .header("Origin", "https://app.test")
        .header("Access-Control-Request-Method", "PUT")
        .send(to);
    let records = gateway.finish();
    let published = one(&records, "/published");
    assert_eq!(published.text("event.action"), "publish");
    assert_eq!((published.text("resource.type"), published.text("resource.id")), ("Entry", "e1"));
    assert_eq!(published.text("event.category"), "content");
    let deleted = one(&records, "/entries/e2");
    assert_eq!(deleted.text("contentful.environment.id"), "master");
    assert_eq!(deleted.text("http.request.method_override"), "PATCH");
    let tokens = one(&records, "/access_tokens");
    assert_eq!(tokens.text("contentful.organization.id"), "org7");
    assert!(tokens.object.contains("organization_id=org7/"));
    let preflight = one(&records, "/entries/e3");
    assert_eq!(preflight.text("event.action"), "preflight");
    assert_eq!(preflight.text("http.route"), "/spaces/:space/environments/:environment/entries/:entry");
}

#[test]
fn a_microcms_request_has_its_own_namespace() {
    let origin = Origin::start();
    let source = Source::new("microcms", &origin.url())
        .catalogues(&["microcms"])
        .key("api_host", "\"blog.microcms.io\"")
        .key("organization", "{ header = \"X-Org\" }");
    let mut gateway = Gateway::builder().source(source).start();
    get("/api/v1/articles/a1?draftKey=hidden&fields=id")
        .header("X-Org", "acme/../evil")
        .send(gateway.address());
    let records = gateway.finish();
    let record = one(&records, "/api/v1/articles/a1");
    assert_well_formed(record, "microcms");
    assert_eq!(record.text("microcms.organization.id"), "acme/../evil");
    assert_eq!(record.text("url.query"), "draftKey=REDACTED&fields=id");
    assert_eq!(record.text("http.route"), "/api/v1/:endpoint/:content");
    // A hostile value cannot leave its partition.
    assert!(record.object.starts_with("log_source=microcms/organization_id=acme%2F"), "{}", record.object);
    assert_eq!(record.object.split('/').count(), 6, "{}", record.object);
}

#[test]
fn cache_answers_of_every_vendor_are_understood() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let cases = [
        ("Cache-Status:Edge;+hit", "HIT"),
        ("Cache-Status:Far;+hit,+Near;+fwd%3Dmiss", "MISS"),
        ("X-Cache:MISS,+HIT", "HIT"),
        ("X-Cache:Hit+from+cloudfront", "HIT"),
        ("X-Cache:RefreshHit+from+cloudfront", "HIT"),
        ("CF-Cache-Status:REVALIDATED", "HIT"),
        ("CF-Cache-Status:DYNAMIC", "MISS"),
        ("X-Cache-Status:STALE", "HIT"),
        ("X-Cache:TCP_MEM_HIT", "HIT"),
        ("Age:12", "HIT"),
        ("Age:0", ""),
    ];
    for (number, (header, _)) in cases.iter().enumerate() {
        get(format!("/cache/{number}")).header("x-script", format!("h={header}")).send(gateway.address());
    }
    let records = gateway.finish();
    for (number, (header, status)) in cases.iter().enumerate() {
        let path = format!("/cache/{number}");
        let record = records.iter().find(|record| record.text("url.path") == path).unwrap();
        assert_eq!(record.text("api.cache.status"), *status, "{header}");
    }
}

#[test]
fn who_acted_is_told_with_how_far_it_can_be_believed() {
    let origin = Origin::start();
    let source = |name: &str, host: &str| Source::new(name, &origin.url()).hosts(&[host]);
    let trusted = source("trusted", "trusted.test")
        .key("trusted_proxies", "[\"127.0.0.1/32\"]")
        .actor("header_id", "X-User")
        .actor("header_name", "X-User-Name")
        .actor("header_email", "X-User-Email");
    let untrusted = source("untrusted", "untrusted.test").actor("header_id", "X-User");
    let mut gateway =
        Gateway::builder().source(source("plain", "plain.test")).source(trusted).source(untrusted).start();
    let to = gateway.address();
    get("/anonymous").host("plain.test").send(to);
    get("/bearer").host("plain.test").header("Authorization", "Bearer canary-bearer-token").send(to);
    get("/bearer-again").host("plain.test").header("Authorization", "Bearer canary-bearer-token").send(to);
    get("/bearer-other").host("plain.test").header("Authorization", "Bearer canary-other-token").send(to);
    // alice:canary-password
    let basic = "Basic YWxpY2U6Y2FuYXJ5LXBhc3N3b3Jk";
    get("/basic").host("plain.test").header("Authorization", basic).send(to);
    let identity = |path: &str, host: &str| {
        get(path)
            .host(host)
            .header("X-User", "u1")
            .header("X-User-Name", "Ursula")
            .header("X-User-Email", "u@example.test")
    };
    identity("/header", "trusted.test").send(to);
    identity("/forged", "untrusted.test").send(to);
    let records = gateway.finish();
    assert_gapless(&records);
    let anonymous = one(&records, "/anonymous");
    assert_eq!((anonymous.text("actor.type"), anonymous.text("actor.authentication")), ("anonymous", "none"));
    assert!(!anonymous.has("actor.credential.id"));
    let by_path = |path: &str| records.iter().find(|record| record.text("url.path") == path).unwrap();
    let bearer = by_path("/bearer");
    assert_eq!((bearer.text("actor.type"), bearer.text("actor.authentication")), ("anonymous", "bearer"));
    let fingerprint = bearer.text("actor.credential.id");
    assert!(
        fingerprint.len() == 32 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{fingerprint}"
    );
    assert!(bearer.has("actor.credential.key"));
    assert_eq!(by_path("/bearer-again").text("actor.credential.id"), fingerprint);
    assert_ne!(by_path("/bearer-other").text("actor.credential.id"), fingerprint);
    let basic = one(&records, "/basic");
    assert_eq!((basic.text("actor.id"), basic.text("actor.authentication")), ("alice", "basic"));
    assert_eq!(basic.text("actor.provenance"), "claimed");
    let header = one(&records, "/header");
    assert_eq!(
        [header.text("actor.id"), header.text("actor.name"), header.text("actor.email")],
        ["u1", "Ursula", "u@example.test"]
    );
    assert_eq!(header.text("actor.authentication"), "header");
    let forged = one(&records, "/forged");
    assert_eq!((forged.text("actor.type"), forged.text("actor.id")), ("anonymous", ""));
}

#[test]
fn an_actor_directory_names_who_holds_a_credential() {
    // HMAC-SHA-256 of the token under this key, first 128 bits, is the fingerprint.
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"it-fingerprint-key-0123456789abcdef");
    let tag = aws_lc_rs::hmac::sign(&key, b"canary-directory-token");
    let fingerprint: String = tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let origin = Origin::start();
    let directory = format!(
        "fingerprint,type,id,name,email\n{fingerprint},user,user-7,\"Seven, Agent\",seven@example.test\n"
    );
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .set("actors", "directory", "\"actors.csv\"")
        .set("actors", "fingerprint_key", "{ env = \"IT_FINGERPRINT_KEY\" }")
        .environment("IT_FINGERPRINT_KEY", "it-fingerprint-key-0123456789abcdef")
        .file("actors.csv", &directory)
        .start();
    get("/known").header("Authorization", "Bearer canary-directory-token").send(gateway.address());
    let records = gateway.finish();
    let record = one(&records, "/known");
    assert_eq!(record.text("actor.credential.id"), fingerprint);
    for (name, value) in [
        ("actor.type", "user"),
        ("actor.id", "user-7"),
        ("actor.name", "Seven, Agent"),
        ("actor.email", "seven@example.test"),
        ("actor.provenance", "mapped"),
        ("actor.authentication", "bearer"),
    ] {
        assert_eq!(record.text(name), value, "{name} in {record:#?}");
    }
}

#[test]
fn no_secret_is_written_anywhere() {
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_key_headers", "[\"X-My-Key\"]");
    let mut gateway = Gateway::builder()
        .source(source)
        .set("redact", "query", "[\"my_secret\"]")
        .set("log", "level", "\"trace\"")
        .start();
    let to = gateway.address();
    let names = [
        "access_token",
        "ACCESS_TOKEN",
        "draftKey",
        "token",
        "policy",
        "api_key",
        "apikey",
        "key",
        "sig",
        "signature",
        "password",
        "secret",
        "code",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "AWSAccessKeyId",
        "X-Goog-Signature",
        "X-Goog-Credential",
        "acc%65ss_token",
        "my_secret",
    ];
    let query: Vec<String> = names.iter().map(|name| format!("{name}=canary-{name}")).collect();
    let query = format!("first=1&{}&last=2", query.join("&"));
    let secret = |path: &str| {
        get(format!("{path}?{query}"))
            .header("Authorization", "Bearer canary-bearer")
            .header("Cookie", "session=canary-cookie")
            .header("X-My-Key", "canary-own-key")
            .header("X-Contentful-Resource-Resolution", "canary-resolution")
            .header("Proxy-Authorization", "Basic canary-proxy")
            .header("Referer", format!("https://u:canary-user@a.test/?{query}#access_token=canary-fragment"))
    };
    secret("/spaces/s1").send(to);
    secret("/refused?early=reset&").send(to);
    get("/basic").header("Authorization", "Basic YWxpY2U6Y2FuYXJ5LXBhc3N3b3Jk").send(to);
    get("/bad\x07?token=canary-malformed").header("Authorization", "Bearer canary-bad").send(to);
    // The secrets do reach the upstream, which wants them.
    assert_eq!(origin.one("/spaces/s1").header("authorization"), Some("Bearer canary-bearer"));
    assert!(origin.one("/spaces/s1").target.contains("canary-token"));
    let records = gateway.wait_for_records(3, crate::harness::PATIENCE);
    let expected: Vec<String> = names.iter().map(|name| format!("{name}=REDACTED")).collect();
    let recorded = one(&records, "/spaces/s1").text("url.query").to_owned();
    assert_eq!(recorded, format!("first=1&{}&last=2", expected.join("&")));

    let mut places =
        vec![("metrics".to_owned(), gateway.metrics()), ("status".to_owned(), gateway.status().to_string())];
    gateway.sigkill();
    let mut files = Vec::new();
    for folder in [gateway.root().to_owned(), gateway.ring().to_owned()] {
        all_files(&folder, &mut files);
    }
    assert!(files.iter().any(|path| path.starts_with(gateway.ring())), "rings were looked at");
    assert!(files.iter().any(|path| path.starts_with(gateway.spool())), "the spool was looked at");
    places.extend(files.iter().map(|path| (path.display().to_string(), read_lossy(path))));
    let objects: String = records.iter().map(|record| format!("{:?}", record.attributes)).collect();
    places.push(("objects".to_owned(), objects));
    for (place, text) in places {
        for canary in ["canary", "YWxpY2U6Y2FuYXJ5"] {
            if let Some(at) = text.find(canary) {
                let near: String = text[at..].chars().take(80).collect();
                panic!("a secret stands in {place}: {near:?}");
            }
        }
    }
}
