//! What a bucket lost is copied back from an archive, byte for byte, and twice does no harm;
//! and what is broken beside a destination does not touch it.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source, all_files, onrecord};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, until};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = Vec::new();
    all_files(folder, &mut files);
    let read = |path: &std::path::PathBuf| {
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        (name, std::fs::read(path).unwrap())
    };
    files.iter().map(read).collect()
}

#[test]
fn an_archives_chain_arrives_verbatim_below_the_destinations_prefix_and_again_does_no_harm() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .destination(
            "lake",
            &[("prefix", "\"audit/\""), ("path", &format!("{:?}", lake.display().to_string()))],
        )
        .start();
    Load::calm(2, 50).run(gateway.address());
    gateway.wait_for_records(50, PATIENCE);
    gateway.finish();
    std::fs::remove_dir_all(&lake).unwrap();
    let config = gateway.config_path().display().to_string();
    let archive = gateway.destination("main").display().to_string();
    let run = |more: &[&str]| {
        let mut arguments = vec!["redeliver", "--config", &config, "--destination", "lake"];
        arguments.extend(["--from", "2020-01-01", "--to", "2100-01-01"]);
        arguments.extend(more);
        onrecord(&arguments, &[])
    };
    let (code, output) = run(&["--from-archive", &archive, "--dry-run"]);
    assert!(code == Some(0) && output.contains("would be copied") && !lake.exists(), "{output}");
    let (code, output) = run(&["--from-archive", &archive]);
    assert!(code == Some(0) && output.contains("with 5"), "{output}");
    let copied = tree(&lake.join("audit"));
    let wanted = tree(&gateway.destination("main"));
    for (name, bytes) in &copied {
        assert!(wanted[name] == *bytes, "{name} is not as it was");
    }
    let objects = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().filter(|name| name.ends_with(".gz")).count();
    assert_eq!(objects(&copied), objects(&wanted));
    let (code, output) = onrecord(&["account", &lake.join("audit").display().to_string()], &[]);
    assert_eq!(code, Some(0), "{output}");
    let (code, output) = run(&["--from-archive", &archive]);
    assert!(code == Some(0) && output.contains(" 0 objects and manifests copied"), "{output}");
    assert_eq!(tree(&lake.join("audit")), copied);

    let (code, output) = run(&["--from-destination", "lake"]);
    assert!(code == Some(1) && output.contains("are the same"), "{output}");
    let (code, output) = run(&["--from-archive", &archive, "--chain", "none"]);
    assert!(code == Some(1) && output.contains("destination=main"), "{output}");
    let damaged = wanted.keys().find(|name| name.ends_with(".gz")).unwrap();
    std::fs::write(gateway.destination("main").join(damaged), b"other bytes").unwrap();
    let (code, output) = run(&["--from-archive", &archive]);
    assert!(code == Some(1) && output.contains("not what its manifest says"), "{output}");
    assert_eq!(tree(&lake.join("audit")), copied);
}

/// The longest that a record needed to its object in a folder, with these other destinations.
fn slowest(others: &[(&str, &str)]) -> Duration {
    let origin = Origin::start();
    let mut builder = Gateway::builder().source(Source::new("api", &origin.url()));
    for (name, path) in others {
        builder = builder.destination(name, &[("path", path)]);
    }
    let gateway = builder.file("blocked", "a file where a folder should be").start();
    get("/first").send(gateway.address());
    gateway.wait_for_records(1, PATIENCE);
    if !others.is_empty() {
        until("both to fail", PATIENCE, || {
            let status = gateway.status();
            let destinations = status["destinations"].as_array().unwrap();
            (destinations.iter().filter(|one| one["state"] == "failing").count() == 2).then_some(())
        });
    }
    let rounds = (0..8usize).map(|round| {
        let start = Instant::now();
        get(format!("/{round}")).send(gateway.address());
        gateway.wait_for_records(round + 2, PATIENCE);
        start.elapsed()
    });
    rounds.max().unwrap_or_default()
}

#[test]
fn two_broken_destinations_of_three_do_not_change_the_thirds_lag() {
    let alone = slowest(&[]);
    let beside = slowest(&[("one", "\"blocked/one\""), ("two", "\"blocked/two\"")]);
    eprintln!("the slowest of 8 records: alone {alone:?}, beside two broken destinations {beside:?}");
    // Objects are made each second; a busy machine may need a moment more.
    assert!(beside < alone + Duration::from_millis(1500), "{alone:?} alone, {beside:?} beside");
}
