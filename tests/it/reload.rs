//! SIGHUP changes what can change live, says what can't, and a bad file changes nothing.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::one;
use crate::harness::{PATIENCE, until};

fn rewrite(gateway: &Gateway, change: impl Fn(String) -> String) {
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    let changed = change(config.clone());
    assert_ne!(changed, config, "the change must change something");
    std::fs::write(gateway.config_path(), changed).unwrap();
}

#[test]
fn a_reload_changes_what_can_change_live_and_a_bad_file_changes_nothing() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).key("organization", "\"before\"");
    let mut gateway = Gateway::builder().source(source).start();
    get("/first").send(gateway.address());

    rewrite(&gateway, |config| config.replace("\"before\"", "\"after\""));
    gateway.sighup();
    until("the reload", PATIENCE, || {
        (gateway.metric("onrecord_config_reloads_total", "ok") >= 1.0).then_some(())
    });
    get("/second").send(gateway.address());

    rewrite(&gateway, |config| config.replace("[spool]", "[spoool]"));
    gateway.sighup();
    until("the refusal", PATIENCE, || {
        (gateway.metric("onrecord_config_reloads_total", "refused") >= 1.0).then_some(())
    });
    let problem = gateway.status()["config_problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem.contains("spoool"), "{problem}");
    get("/third").send(gateway.address());

    rewrite(&gateway, |config| config.replace("[spoool]", "[spool]"));
    gateway.sighup();
    until("the mended file", PATIENCE, || gateway.status()["config_problem"].is_null().then_some(()));
    let records = gateway.finish();
    let organization = |path| one(&records, path).text("api.organization.id").to_owned();
    assert_eq!(organization("/first"), "before");
    assert_eq!(organization("/second"), "after");
    assert_eq!(organization("/third"), "after");
}
