//! What is made to break whoever looks into it: bodies, tokens, catalogues. Each has a clear
//! answer, and the requests are unharmed.

use crate::harness::client::{get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::{PATIENCE, until};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write as _;

/// What each bomb becomes: one letter, twice as often as is decoded of a body.
const BLOWN_UP: usize = 8 << 20;
/// 64 MiB of it in brotli, by another encoder.
const BROTLI: &str = "cbffff3ff825c2e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12f0110870500baf77ffcffff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffcbffff3ffc1200715800a07bff07";

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The bombs: name, content coding, bytes.
fn bombs() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let plain = vec![b'a'; BLOWN_UP];
    let best = Compression::best();
    let mut gzip = GzEncoder::new(Vec::new(), best);
    gzip.write_all(&plain).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), best);
    zlib.write_all(&plain).unwrap();
    let mut bare = DeflateEncoder::new(Vec::new(), best);
    bare.write_all(&plain).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    vec![
        ("gzip", "gzip", gzip.finish().unwrap()),
        ("zlib", "deflate", zlib.finish().unwrap()),
        ("bare", "deflate", bare.finish().unwrap()),
        ("brotli", "br", unhex(BROTLI)),
        ("zstd", "zstd", zstd),
    ]
}

#[test]
fn no_body_harms_its_request_or_takes_more_memory_than_is_stated() {
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"");
    let mut gateway = Gateway::builder()
        .source(source)
        .set("meaning", "body_bytes", "\"256KiB\"")
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    gateway.wait_for_first_manifest();
    let to = gateway.address();
    let put = |name: &str, coding: &str, body: Vec<u8>| {
        let mut put = request("PUT", format!("/spaces/s1/environments/e/entries/{name}/published"));
        if !coding.is_empty() {
            put = put.header("Content-Encoding", coding);
        }
        assert_eq!(put.body(body).send(to).status, 200, "{name}");
    };
    put("first", "", b"{}".to_vec());
    let before = gateway.resident_kib();
    let mut expected = vec![("first".to_owned(), "")];
    for (name, coding, body) in bombs() {
        assert!(body.len() <= 256 << 10, "{name} has {} bytes: not looked into at all", body.len());
        put(name, coding, body);
        expected.push((name.to_owned(), "too_large"));
    }
    let deep =
        |open: &str, close: &str| format!("{{\"remove\":{}{}}}", open.repeat(100_000), close.repeat(100_000));
    for (name, body, error) in [
        ("deep-lists", deep("[", "]").into_bytes(), "too_deep"),
        ("deep-open", format!("{{\"remove\":{}", "{\"a\":".repeat(40_000)).into_bytes(), "too_deep"),
        ("not-utf8", b"{\"remove\":\"\xff\xfe\"}".to_vec(), "not_json"),
        ("half-a-surrogate", br#"{"remove":"\ud800"}"#.to_vec(), "not_json"),
        ("twice", br#"{"remove":null,"remove":{"fields":{}}}"#.to_vec(), "duplicate_key"),
        ("zero-bytes", vec![0; 1000], "not_json"),
    ] {
        put(name, "", body);
        expected.push((name.to_owned(), error));
    }
    let metric = |result: &str| gateway.metric("onrecord_inspections_total", &format!("result=\"{result}\""));
    until("all bodies are looked into", PATIENCE, || {
        let seen: f64 = ["ok", "too_large", "too_deep", "not_json", "duplicate_key"].map(metric).iter().sum();
        (seen >= expected.len() as f64).then_some(())
    });
    let after = gateway.resident_kib();
    let records = gateway.finish();
    assert_gapless(&records);
    for (name, error) in expected {
        let record = one(&records, &format!("/{name}/"));
        assert_eq!(record.text("inspection.error"), error, "{name}");
        let action = if error.is_empty() { "publish" } else { "ambiguous" };
        assert_eq!(record.text("event.action"), action, "{name}");
    }
    // Sixteen times `body_bytes` for the body that is being decoded, as the manual says, and what
    // else a process takes; the largest bomb alone would be more.
    assert!(after < before + 40 * 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn a_token_of_a_megabyte_is_refused_by_the_limit_of_heads_and_harmless_where_that_is_raised() {
    let origin = Origin::start();
    let strict =
        Source::new("api", &origin.url()).jwt("jwks", "\"http://127.0.0.1:9/jwks\"").jwt("issuer", "\"i\"");
    let wide = Source::new("wide", &origin.url())
        .listener(1)
        .limit("head_bytes", "\"4MiB\"")
        .jwt("jwks", "\"http://127.0.0.1:9/jwks\"")
        .jwt("issuer", "\"i\"");
    let mut gateway = Gateway::builder().source(strict).source(wide).start();
    let opaque = "x".repeat(1 << 20);
    // A head that is one, a payload that goes on and on.
    let jwt = format!("eyJhbGciOiJFUzI1NiJ9.{}.c2ln", "eyJh".repeat(1 << 18));
    for (number, token) in [&opaque, &jwt].into_iter().enumerate() {
        let send = |path: &str, to| {
            get(format!("{path}{number}")).header("Authorization", format!("Bearer {token}")).send(to).status
        };
        assert_eq!(send("/strict", gateway.address()), 431);
        assert_eq!(send("/wide", gateway.listener(1)), 200);
    }
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(origin.count("/strict"), 0);
    let refused: Vec<_> = records.iter().filter(|record| record.text("error.type") == "too_large").collect();
    assert_eq!(refused.len(), 2, "{records:#?}");
    for path in ["/wide0", "/wide1"] {
        let record = one(&records, path);
        assert_eq!(
            (record.text("actor.type"), record.text("actor.authentication")),
            ("anonymous", "bearer"),
            "{path}"
        );
        assert_eq!(record.text("actor.credential.id").len(), 32, "its use can be followed all the same");
    }
}

/// Two names for one place, one template twice, an action that is none, and a key that is none.
const CONFLICTS: &str = r#"
name = "own"
[[routes]]
method = "GET"
template = "/things/:thing/parts"
resource = "Part"
action = "Read"
[[routes]]
method = "GET"
template = "/things/:other"
resource = "Thing"
action = "Read"
[[routes]]
method = "GET"
template = "/all"
resource = "Thing"
action = "Read"
[[routes]]
method = "GET"
template = "/all/"
resource = "Thing"
action = "Read"
"#;

#[test]
fn a_catalogue_that_contradicts_itself_is_refused_with_each_place() {
    let origin = Origin::start();
    let broken = CONFLICTS.replacen("\"Read\"", "\"Reed\"", 1).replacen("resource =", "resourse =", 1);
    for (text, told) in [
        (
            CONFLICTS,
            vec![
                "route 2 (GET /things/:other), key `template`: `:other` stands where route 1 of `own`",
                "route 4 (GET /all/), key `template`: the same method and template as route 3 of `own`",
            ],
        ),
        (&broken, vec!["route 1 (GET /things/:thing/parts), key `action`", "key `resourse`"]),
        ("name = ", vec!["own.toml"]),
    ] {
        let gateway = Gateway::builder()
            .source(Source::new("api", &origin.url()).catalogues(&["own.toml"]))
            .file("own.toml", text)
            .prepare();
        let config = gateway.config_path().display().to_string();
        for command in ["check", "run"] {
            let (code, output) = gateway.command(&[command, "--config", &config]);
            assert!(code.is_some_and(|code| code != 0), "{command}: {output}");
            for words in &told {
                assert!(output.contains(words), "{command} does not say {words:?}:\n{output}");
            }
        }
    }
}
