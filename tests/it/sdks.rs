//! What the vendors' own SDKs send is understood: template, action, resource.

use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::assert_gapless;
use crate::harness::skip;
use std::path::PathBuf;
use std::process::Command;

/// A `node_modules` with the SDKs: `ONRECORD_SDKS`, or `target/npm/node_modules`.
fn modules() -> Option<PathBuf> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules").into();
    let folder = std::env::var_os("ONRECORD_SDKS").map_or(own, PathBuf::from);
    let has = |name: &str| folder.join(name).join("package.json").is_file();
    let all = ["contentful-management", "contentful", "microcms-js-sdk"].into_iter().all(has);
    let node = Command::new("node").arg("--version").output().is_ok_and(|out| out.status.success());
    (all && node).then_some(folder)
}

#[test]
fn calls_of_the_official_sdks_are_recorded_with_template_action_and_resource() {
    let Some(modules) = modules() else {
        return skip(
            "sdks",
            "no node with contentful-management, contentful and microcms-js-sdk (npm install, or ONRECORD_SDKS)",
        );
    };
    let origin = Origin::start();
    let source = |name: &str, listener, catalogue, host: &str| {
        Source::new(name, &origin.url())
            .listener(listener)
            .catalogues(&[catalogue])
            .key("api_host", &format!("{host:?}"))
    };
    let mut gateway = Gateway::builder()
        .source(source("cma", 0, "contentful-management", "api.contentful.com"))
        .source(source("cda", 1, "contentful-delivery", "cdn.contentful.com"))
        .source(source("microcms", 2, "microcms", "blog.microcms.io"))
        .start();
    let urls: Vec<String> = (0..3).map(|number| format!("http://{}", gateway.listener(number))).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/drive.mjs");
    let output = Command::new("node").arg(script).arg(modules).args(&urls).output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let records = gateway.finish();
    assert_gapless(&records);
    let env = "/spaces/:space/environments/:environment";
    for (method, path, template, action, resource, id) in [
        ("GET", "entries/e1", "/entries/:entry", "read", "Entry", "e1"),
        ("POST", "master/entries", "/entries", "create", "Entry", ""),
        ("PUT", "entries/e2", "/entries/:entry", "create", "Entry", "e2"),
        ("PUT", "entries/e3", "/entries/:entry", "update", "Entry", "e3"),
        ("PUT", "e4/published", "/entries/:entry/published", "publish", "Entry", "e4"),
        ("DELETE", "e5/published", "/entries/:entry/published", "unpublish", "Entry", "e5"),
        ("DELETE", "entries/e6", "/entries/:entry", "delete", "Entry", "e6"),
        ("POST", "bulk_actions/publish", "/bulk_actions/publish", "publish", "BulkAction", ""),
        ("GET", "master/locales", "/locales", "read", "Locale", ""),
        ("GET", "entries?sys.id=d1", "/entries", "read", "Entry", "d1"),
        ("POST", "/spaces/space1/api_keys", "!/spaces/:space/api_keys", "create", "ApiKey", ""),
        ("GET", "/news/m1", "!/api/v1/:endpoint/:content", "read", "Content", "m1"),
        ("POST", "/v1/news", "!/api/v1/:endpoint", "create", "Content", ""),
        ("PATCH", "/news/m2", "!/api/v1/:endpoint/:content", "update", "Content", "m2"),
        ("DELETE", "/news/m3", "!/api/v1/:endpoint/:content", "delete", "Content", "m3"),
    ] {
        let wanted = template.strip_prefix('!').map_or_else(|| format!("{env}{template}"), str::to_owned);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let found = records.iter().find(|record| {
            record.text("http.request.method") == method
                && record.text("url.path").ends_with(path)
                && record.text("url.query").contains(query)
        });
        let record = found.unwrap_or_else(|| panic!("no record of {method} {path}: {told}"));
        let have =
            ["http.route", "event.action", "resource.type", "resource.id"].map(|name| record.text(name));
        assert_eq!(have, [wanted.as_str(), action, resource, id], "{method} {path}");
        assert!(record.text("actor.credential.id").len() == 32, "{record:#?}");
        assert!(!record.text("origin.type").is_empty(), "{record:#?}");
    }
    let bulk = records.iter().find(|record| record.text("resource.type") == "BulkAction").unwrap();
    let entities = bulk.attributes["resources"].to_string();
    assert_eq!(entities, r#"[{"id":"b1","type":"Entry"},{"id":"b2","type":"Asset"}]"#);
    let text = format!("{records:?}");
    assert!(!text.contains("canary"), "a credential is on record");
}
