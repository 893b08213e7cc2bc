//! What the vendors' own SDKs send is understood: template, action, resource, actor, cache.
//!
//! `tests/sdk/drive.mjs` calls the SDKs through a gateway, in front of a stub that answers as
//! the APIs do, and says of each call what its record must say.

use crate::harness::gateway::{Gateway, Source};
use crate::harness::records::{Record, assert_gapless};
use crate::harness::skip;
use onrecord::capture::actor::Fingerprinter;
use onrecord::secret::Secret;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const KEY: &str = "the key of the fingerprints of the SDKs";

/// A `node_modules` with the SDKs: `ONRECORD_SDKS`, or `target/npm/node_modules`.
fn modules() -> Option<PathBuf> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules").into();
    let folder = std::env::var_os("ONRECORD_SDKS").map_or(own, PathBuf::from);
    let has = |name: &str| folder.join(name).join("package.json").is_file();
    let all = ["contentful-management", "contentful", "microcms-js-sdk"].into_iter().all(has);
    let node = Command::new("node").arg("--version").output().is_ok_and(|out| out.status.success());
    (all && node).then_some(folder)
}

fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/sdk", name].iter().collect()
}

/// The stub; it ends with its standard input.
struct Stub {
    child: Child,
    urls: Vec<String>,
}

impl Stub {
    fn start() -> Self {
        let mut child = Command::new("node")
            .arg(script("stub.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, urls: line.split_whitespace().map(str::to_owned).collect() }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an expectation says: the text, or `^` and what it must look like.
fn fits(wanted: &Value, record: &Record, name: &str) -> bool {
    let said = match record.attributes.get(name) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match wanted {
        Value::String(pattern) if pattern.starts_with('^') => pattern_fits(pattern, &said),
        Value::String(text) => said == *text,
        other => said.parse::<Value>().is_ok_and(|said| said == *other),
    }
}

/// The few forms that the script uses.
fn pattern_fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^/" => text.starts_with('/'),
        // The invocation itself stands behind the entry.
        "^AiActionInvocation" => {
            text.contains(r#"{"id":"ai1","type":"Entry"}"#)
                && text.contains(r#""type":"AiActionInvocation"}"#)
        }
        "^made" => text.starts_with("made"),
        "^[A-Z]" => text.starts_with(|c: char| c.is_ascii_uppercase()),
        "^[a-z_]+$" => {
            !text.is_empty()
                && text != "ambiguous"
                && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        }
        "^(u-ann|appDefinition-1)$" => text == "u-ann" || text == "appDefinition-1",
        "^20[014]$" => ["200", "201", "204"].contains(&text),
        other => panic!("no such pattern: {other}"),
    }
}

#[test]
fn calls_of_the_official_sdks_are_recorded_with_template_action_resource_actor_and_cache() {
    let Some(modules) = modules() else {
        return skip(
            "sdks",
            "no node with contentful-management, contentful and microcms-js-sdk (npm install, or ONRECORD_SDKS)",
        );
    };
    let stub = Stub::start();
    let source = |name: &str, listener: usize, catalogue, host: &str| {
        Source::new(name, &stub.urls[listener])
            .listener(listener)
            .catalogues(&[catalogue])
            .key("api_host", &format!("{host:?}"))
    };
    let key = Fingerprinter::new(&Secret::new(KEY.as_bytes().to_vec()), "default");
    let fingerprint = u128::from_be_bytes(key.fingerprint(b"canary-microcms"));
    let mut gateway = Gateway::builder()
        .source(source("cma", 0, "contentful-management", "api.contentful.com"))
        .source(source("cda", 1, "contentful-delivery", "cdn.contentful.com"))
        .source(source("microcms", 2, "microcms", "blog.microcms.io"))
        .source(source("microcms-management", 3, "microcms", "blog.microcms-management.io"))
        .main_destination(&[("interval", "\"1h\"")])
        .set("actors", "fingerprint_key", "{ env = \"IT_SDK_KEY\" }")
        .environment("IT_SDK_KEY", KEY)
        .set("actors", "directory", "\"actors.csv\"")
        .file("actors.csv", &format!("fingerprint,id,type,name\n{fingerprint:032x},blog-key,api_key,Blog\n"))
        .start();
    gateway.wait_for_first_manifest();
    let urls: Vec<String> = (0..4).map(|number| format!("http://{}", gateway.listener(number))).collect();
    let output = Command::new("node").arg(script("drive.mjs")).arg(modules).args(&urls).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let records = gateway.finish();
    assert_gapless(&records);
    let mut by_trace: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in &records {
        by_trace.entry(record.text("trace.id")).or_default().push(record);
    }
    let (mut faults, mut calls, mut swept) = (Vec::new(), 0, 0);
    for call in told.lines() {
        let Ok(call) = serde_json::from_str::<Value>(call) else { continue };
        let name = call["name"].as_str().unwrap();
        *if name.starts_with("sweep ") { &mut swept } else { &mut calls } += 1;
        let Some(record) = by_trace.get(call["trace"].as_str().unwrap()).and_then(|found| found.first())
        else {
            faults.push(format!("{name}: no record; {}", call["problem"]));
            continue;
        };
        for (attribute, wanted) in call["said"].as_object().unwrap() {
            if !fits(wanted, record, attribute) {
                let said = record.attributes.get(attribute);
                let (method, path) = (record.text("http.request.method"), record.text("url.path"));
                faults.push(format!("{name}: {attribute} is {said:?}, not {wanted} ({method} {path})"));
            }
        }
        if record.has("inspection.error") {
            faults.push(format!("{name}: {}", record.text("inspection.error")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(calls >= 95 && swept >= 420, "{calls} calls and {swept} swept");
    assert!(!format!("{records:?}").contains("canary"), "a credential is on record");
}
