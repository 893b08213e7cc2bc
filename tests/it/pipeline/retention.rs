//! What retention may take, and what a signed lie about a partition comes to.

use super::log::{FakeLog, boot};
use super::{START, World, files};
use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::store::DirSource;
use onrecord::evidence::verify::{Report, VerifyOptions, verify};
use onrecord::evidence::{merkle, note};
use onrecord::pack::{PackOptions, Packer};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const DAY: u64 = 86_400_000_000;

fn judge(world: &World, days: u64) -> Report {
    let at = START + days * DAY;
    let options =
        VerifyOptions { keys: Vec::new(), anchor: None, at, deep: true, threads: 3, any_beginning: false };
    verify(&DirSource::new(&world.store()), &options, &|_| {}).unwrap()
}

fn kinds(report: &Report) -> Vec<(&str, u64)> {
    report.counts.iter().map(|(kind, count)| (*kind, *count)).collect()
}

/// Three objects on a day and three on the next, with a rule of 30 days.
fn filled() -> World {
    let world = World::new();
    let log = FakeLog::default();
    for sequence in 0..60 {
        let start = START + u64::from(sequence >= 30) * DAY;
        log.record(boot(1), 0, sequence, "cda", &format!("o{}", sequence % 3), start);
    }
    let key = Arc::new(SigningKey::from_seed(&[9; 32]).unwrap());
    let options = PackOptions { retention_days: Some(30), ..world.options(1) };
    let packer = Packer::new(options, key, world.clock.clone(), Box::new(log.reader()));
    packer.control().stop();
    let (ready, outbox) = tokio::sync::oneshot::channel();
    packer.run(ready).unwrap();
    world.ship(outbox.blocking_recv().unwrap());
    world
}

fn objects(world: &World, day: &str) -> Vec<PathBuf> {
    let mut paths = files(&world.store());
    paths.retain(|path| path.to_string_lossy().contains(day));
    paths.sort();
    assert_eq!(paths.len(), 3);
    paths
}

#[test]
fn a_whole_old_day_may_be_gone_but_no_part_of_it_and_no_younger_one() {
    let world = filled();
    assert_eq!(kinds(&judge(&world, 100)), []);
    let first = objects(&world, "day=09");
    fs::remove_file(&first[0]).unwrap();
    assert_eq!(kinds(&judge(&world, 10)), [("object_missing", 1)]);
    assert_eq!(kinds(&judge(&world, 40)), [("day_partly_absent", 1)]);
    fs::remove_file(&first[1]).unwrap();
    fs::remove_file(&first[2]).unwrap();
    assert_eq!(kinds(&judge(&world, 10)), [("object_missing", 3)]);
    let report = judge(&world, 40);
    assert_eq!((kinds(&report).len(), report.expired, report.objects), (0, 3, 3), "{report}");
}

#[test]
fn what_was_given_up_before_delivery_is_no_finding() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    drop(world.pack(&log, 1));
    world.clock.advance(Duration::from_secs(73 * 3600));
    world.ship(world.pack(&log, 1));
    log.record(boot(1), 0, 1, "cda", "o", START);
    world.ship(world.pack(&log, 2));
    let report = judge(&world, 4);
    assert_eq!((kinds(&report).len(), report.given_up), (0, 1), "{report}");
}

#[test]
fn a_record_in_a_wrong_partition_is_told_even_where_it_was_signed_so() {
    let world = filled();
    let object = objects(&world, "day=09").remove(0);
    let moved = PathBuf::from(object.to_string_lossy().replace("day=09", "day=11"));
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(&object, &moved).unwrap();
    let key = |path: &PathBuf| path.strip_prefix(world.store()).unwrap().to_string_lossy().into_owned();
    let first = files(&world.store())
        .into_iter()
        .find(|path| path.to_string_lossy().contains("manifest-00000000000000000000"))
        .unwrap();
    let old = fs::read_to_string(&first).unwrap();
    let text = old.split_once("\n\n").unwrap().0.replace(&key(&object), &key(&moved));
    let signing = SigningKey::from_seed(&[9; 32]).unwrap();
    let note = note::sign(&format!("{text}\n"), "onrecord/gw-1", &signing);
    let hash = merkle::hex(&merkle::sha256(&note));
    fs::write(first.with_file_name(format!("manifest-{:020}-{}.json", 0, &hash[..16])), note).unwrap();
    fs::remove_file(&first).unwrap();
    assert_eq!(kinds(&judge(&world, 10)), [("chain_broken", 1), ("record_misplaced", 1)]);
}

#[test]
fn a_chain_that_falls_silent_is_told_once_it_is_overdue_by_a_heartbeat() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    world.ship(world.pack(&log, 1));
    let closing = files(&world.store())
        .into_iter()
        .find(|path| path.to_string_lossy().contains("manifest-00000000000000000001"))
        .unwrap();
    fs::remove_file(closing).unwrap();
    assert_eq!(kinds(&judge(&world, 0)), []);
    assert_eq!(kinds(&judge(&world, 1)), [("tail_missing", 1)]);
}
