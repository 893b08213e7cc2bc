//! SIGHUP changes what can change live, says what can't, and a bad file changes nothing.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{find_objects, one};
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

/// All of the text that lies in a destination's objects.
fn delivered(gateway: &Gateway, name: &str) -> String {
    let mut objects = Vec::new();
    find_objects(&gateway.destination(name), &mut objects);
    let read = |path: &std::path::PathBuf| {
        let mut text = String::new();
        let file = std::fs::File::open(path).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
        text
    };
    objects.iter().map(read).collect()
}

#[test]
fn destinations_come_change_and_go_without_a_restart_and_their_chains_stay_whole() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(Source::new("api", &origin.url())).start();
    let reload = |gateway: &Gateway, change: &dyn Fn(String) -> String| {
        let before = gateway.metric("onrecord_config_reloads_total", "ok");
        rewrite(gateway, change);
        gateway.sighup();
        until("the reload", PATIENCE, || {
            (gateway.metric("onrecord_config_reloads_total", "ok") > before).then_some(())
        });
    };
    let arrives = |gateway: &Gateway, name: &str, path: &str| {
        get(path).send(gateway.address());
        until(path, PATIENCE, || delivered(gateway, name).contains(path).then_some(()));
    };
    arrives(&gateway, "main", "/one");

    // One comes, and begins with what the spool still has.
    let folder = format!("{:?}", gateway.root().join("late"));
    let more = format!(
        "\n[[destination]]\nname = \"late\"\ntype = \"dir\"\npath = {folder}\ninterval = \"100ms\"\n"
    );
    reload(&gateway, &|config| config + &more);
    let late = || {
        let mut objects = Vec::new();
        find_objects(&gateway.root().join("late"), &mut objects);
        objects.len()
    };
    get("/two").send(gateway.address());
    until("its first object", PATIENCE, || (late() > 0).then_some(()));
    let names = |gateway: &Gateway| {
        let status = gateway.status();
        let all = status["destinations"].as_array().unwrap();
        all.iter().map(|known| known["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&gateway), ["main", "late"]);
    assert_eq!(gateway.status()["destinations"][1]["state"], "delivering");

    // What is packed changes: another prefix, and of requests none of this path's method.
    let written = gateway.metric("onrecord_delivery_attempts_total", "\"main\"");
    reload(&gateway, &|config| {
        config.replacen(
            "[[destination]]\n",
            "[[destination]]\nprefix = \"moved/\"\nfilter = { methods = [\"PUT\"] }\n",
            1,
        )
    });
    get("/filtered").send(gateway.address());
    crate::harness::client::request("PUT", "/three").send(gateway.address());
    until("/three", PATIENCE, || delivered(&gateway, "main").contains("/three").then_some(()));
    assert!(!delivered(&gateway, "main").contains("/filtered"));
    assert!(gateway.destination("main").join("moved").is_dir());
    until("counters that go on", PATIENCE, || {
        (gateway.metric("onrecord_delivery_attempts_total", "\"main\"") > written).then_some(())
    });

    // One goes: nothing of it is left in status and gauges.
    reload(&gateway, &|config| config.replace(&more, ""));
    assert_eq!(names(&gateway), ["main"]);
    assert!(!gateway.metrics().contains("onrecord_delivery_lag_seconds{destination=\"late\"}"));
    assert_eq!(gateway.stop().code(), Some(0));
    let log = gateway.log();
    assert!(log.contains("destination[late] (added)") && !log.contains("ERROR"), "{log}");
    // One chain over both prefixes: each batch follows the one before it.
    let mut numbers = Vec::new();
    let mut files = Vec::new();
    crate::harness::gateway::all_files(&gateway.destination("main"), &mut files);
    for path in files.iter().filter(|path| path.to_string_lossy().contains("/manifest-")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        numbers.push(name.split('-').nth(1).unwrap().parse::<u64>().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}
