//! From frames of a log to objects in a directory, and back through the account.
mod conformance;
mod dir;
mod log;
mod retention;

use log::{FakeLog, boot};
use onrecord::clock::Clock;
use onrecord::deliver::{DirOptions, DirStore, Shipper};
use onrecord::evidence::Account;
use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::store::DirSource;
use onrecord::evidence::verify::VerifyError;
use onrecord::format::FormatOptions;
use onrecord::pack::manifest::Manifest;
use onrecord::pack::{Filter, Outbox, OutboxLock, PackOptions, Packer, Schedule};
use onrecord::record::{GapCause, LaneMark, Mark};
use onrecord::spool::fs::{Fs, SystemFs};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const START: u64 = 1_775_744_531_000_000;

fn disk() -> Arc<dyn Fs> {
    Arc::new(SystemFs)
}

struct World {
    dir: tempfile::TempDir,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Clock::manual(START + 5_000_000) }
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn options(&self, writer: u128) -> PackOptions {
        PackOptions {
            destination: "archive".into(),
            instance: "gw-1".into(),
            boot: boot(writer),
            spool: self.spool(),
            prefix: "logs/".into(),
            sources: vec!["cda".into(), "cma".into()],
            own_records: true,
            format: FormatOptions::default(),
            filter: Filter::default(),
            schedule: Schedule::default(),
            interval: Duration::from_secs(180),
            object_bytes: 1 << 20,
            heartbeat: Duration::from_secs(60),
            retention_days: None,
            level: 1,
            signer: "onrecord/gw-1".into(),
        }
    }

    fn packer(&self, log: &FakeLog, writer: u128) -> Packer {
        let key = Arc::new(SigningKey::from_seed(&[9; 32]).unwrap());
        Packer::new(self.options(writer), key, self.clock.clone(), Box::new(log.reader()))
    }

    /// Packs all there is and stops, as a clean end of the process does.
    fn pack(&self, log: &FakeLog, writer: u128) -> Arc<Outbox> {
        let packer = self.packer(log, writer);
        packer.control().stop();
        let (ready, outbox) = tokio::sync::oneshot::channel();
        packer.run(ready).unwrap();
        outbox.blocking_recv().unwrap()
    }

    fn ship(&self, outbox: Arc<Outbox>) -> onrecord::deliver::DestinationStatus {
        let store = Arc::new(DirStore::new(&DirOptions::new(&self.store())));
        let hours = Duration::from_secs(72 * 3600);
        let shipper = Shipper::new("archive", store, "logs/", boot(1), hours, self.clock.clone());
        let status = shipper.status();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(shipper.run(outbox));
        status.snapshot()
    }

    /// Packs and ships side by side, as a process does that is asked to stop.
    fn run(&self, log: &FakeLog, writer: u128) -> onrecord::deliver::DestinationStatus {
        let packer = self.packer(log, writer);
        packer.control().stop();
        let (ready, outbox) = tokio::sync::oneshot::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| packer.run(ready).unwrap());
            self.ship(outbox.blocking_recv().unwrap())
        })
    }

    /// Every delivered object that holds records, by key, unpacked.
    fn objects(&self) -> BTreeMap<String, String> {
        files(&self.store())
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(".gz"))
            .map(|path| {
                let mut text = String::new();
                let bytes = fs::read(&path).unwrap();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
                (path.strip_prefix(self.store()).unwrap().to_string_lossy().into_owned(), text)
            })
            .collect()
    }

    fn manifests(&self) -> Vec<Manifest> {
        let mut all: Vec<Manifest> = files(&self.store())
            .iter()
            .filter(|path| path.to_string_lossy().contains("/manifest-"))
            .map(|path| Manifest::read(&fs::read(path).unwrap()).unwrap())
            .collect();
        all.sort_by_key(|manifest| manifest.number);
        all
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

fn account(folder: &Path) -> Result<Account, VerifyError> {
    onrecord::evidence::account(&DirSource::new(folder), START, 2)
}

fn mark(lane: u16, taken: u64, accounted: std::ops::Range<u64>, closed: bool) -> Mark {
    let lane = LaneMark { lane, taken, position: 0, accounted: accounted.collect(), reserved: 0 };
    Mark { lanes: vec![lane], closed, destinations: None }
}

#[test]
fn records_arrive_once_in_their_partitions_in_the_order_of_the_log_and_the_account_is_whole() {
    let world = World::new();
    let log = FakeLog::default();
    for sequence in 0..500 {
        let organization = ["o1", "../o2", ""][sequence as usize % 3];
        let source = if sequence % 10 == 9 { "other" } else { "cda" };
        log.record(boot(1), 0, sequence, source, organization, START + sequence);
    }
    log.mark(boot(1), &mark(0, 503, 0..500, false));
    let outbox = world.pack(&log, 1);
    let status = world.ship(outbox);
    assert_eq!(status.honours_conditions, Some(true));
    assert_eq!(status.undelivered_batches, 0);
    assert_eq!(status.delivered_records, 450);
    let objects = world.objects();
    assert_eq!(objects.len(), 3);
    let mut all = Vec::new();
    for (key, text) in &objects {
        let sequences: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["onrecord.sequence"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert!(sequences.is_sorted(), "{key}");
        all.extend(sequences);
    }
    all.sort_unstable();
    assert_eq!(all, (0..500).filter(|n| n % 10 != 9).collect::<Vec<_>>());
    let folder = "logs/log_source=cda/organization_id=..%2Fo2/year=2026/month=04/day=09/compacted-cda-";
    assert!(objects.keys().any(|key| key.starts_with(folder)), "{:?}", objects.keys());
    let account = account(&world.store()).unwrap();
    assert!(account.is_whole(), "{account}");
    let lane = &account.lanes[0];
    assert_eq!((lane.taken, lane.delivered, lane.filtered, lane.declared, lane.open), (503, 450, 50, 0, 3));
}

#[test]
fn a_restart_goes_on_where_the_newest_manifest_stands_and_repeats_nothing() {
    let world = World::new();
    let log = FakeLog::default();
    for sequence in 0..10 {
        log.record(boot(1), 0, sequence, "cda", "o", START);
    }
    world.ship(world.pack(&log, 1));
    // The recorder writes one record again, as it does after a crash; and three new ones.
    for sequence in [9, 10, 11, 12] {
        log.record(boot(1), 0, sequence, "cda", "o", START);
    }
    log.mark(boot(1), &mark(0, 13, 0..13, true));
    log.record(boot(2), 0, 0, "cda", "o", START);
    world.ship(world.pack(&log, 2));
    let account = account(&world.store()).unwrap();
    assert!(account.is_whole(), "{account}");
    assert_eq!(account.records, 14);
    let manifests = world.manifests();
    assert!(manifests.iter().enumerate().all(|(index, manifest)| manifest.number == index as u64));
    assert!(manifests.last().unwrap().closed);
    assert_eq!(manifests.last().unwrap().tree_size, manifests.len() as u64 - 1);
    // Once the spool has dropped the first boot, manifests forget it too.
    log.drop_boot(boot(1));
    world.ship(world.pack(&log, 3));
    assert!(world.manifests().last().unwrap().lanes.iter().all(|lane| lane.boot == boot(2)));
}

#[test]
fn a_crash_before_the_rename_leaves_nothing_and_the_same_batch_is_packed_again() {
    let log = FakeLog::default();
    for sequence in 0..100 {
        log.record(boot(1), 0, sequence, "cda", &format!("o{}", sequence % 5), START + sequence);
    }
    let whole = World::new();
    whole.ship(whole.pack(&log, 1));
    let crashed = World::new();
    // What a crash leaves: a draft with some of its files.
    let draft = crashed.spool().join("outbox/archive/.draft-00000000000000000000");
    fs::create_dir_all(&draft).unwrap();
    fs::write(draft.join("00000"), "half an obj").unwrap();
    fs::write(draft.join("manifest"), "half a mani").unwrap();
    crashed.ship(crashed.pack(&log, 1));
    let bytes = |world: &World| -> BTreeMap<PathBuf, Vec<u8>> {
        let relative =
            |path: PathBuf| (path.strip_prefix(world.store()).unwrap().to_owned(), fs::read(&path).unwrap());
        files(&world.store()).into_iter().map(relative).collect()
    };
    assert_eq!(bytes(&whole), bytes(&crashed));
}

#[test]
fn a_batch_that_was_committed_and_not_delivered_is_sent_after_the_restart() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    drop(world.pack(&log, 1));
    log.record(boot(1), 0, 1, "cda", "o", START);
    // Two wait already: the new one stays in the spool until there is room.
    world.run(&log, 2);
    let account = account(&world.store()).unwrap();
    assert!(account.is_whole(), "{account}");
    assert_eq!(account.records, 2);
}

#[test]
fn losses_of_every_kind_are_declared_once() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    log.gap(boot(1), 0, 0..5, GapCause::RingFull);
    log.unreadable_record(boot(1), 0, 5);
    log.lost(boot(1), GapCause::IoError);
    log.mark(boot(1), &mark(0, 20, 0..10, false));
    log.gap(boot(1), 0, 3..12, GapCause::SpoolFull);
    log.mark(boot(1), &mark(0, 20, 0..12, true));
    world.ship(world.pack(&log, 1));
    let account = account(&world.store()).unwrap();
    assert!(account.is_whole(), "{account}");
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for gap in world.manifests().iter().flat_map(|m| &m.lanes).flat_map(|lane| &lane.gaps) {
        *causes.entry(gap.cause.as_str()).or_default() += gap.count;
    }
    let expected =
        [("ring_full", 4), ("corruption", 1), ("io_error", 4), ("spool_full", 2), ("unclean_end", 8)];
    assert_eq!(causes, expected.into_iter().collect());
    assert_eq!((account.lanes[0].taken, account.lanes[0].declared, account.lanes[0].open), (20, 19, 0));
}

#[test]
fn what_is_gone_of_a_boot_is_a_loss_to_the_destinations_that_it_began_with_and_history_to_others() {
    let main = || Some(vec!["archive".to_owned(), "main".to_owned()]);
    let others = || Some(vec!["main".to_owned()]);
    for (destinations, filtered, declared) in [(main(), 0, 100), (others(), 100, 0), (None, 100, 0)] {
        let world = World::new();
        let log = FakeLog::default();
        log.mark(boot(1), &Mark { destinations, ..mark(0, 100, 0..100, false) });
        log.record(boot(1), 0, 100, "cda", "o", START);
        world.ship(world.pack(&log, 2));
        let account = account(&world.store()).unwrap();
        assert!(account.is_whole(), "{account}");
        let lane = &account.lanes[0];
        assert_eq!((lane.delivered, lane.filtered, lane.declared), (1, filtered, declared));
    }
}

#[test]
fn a_boot_that_ran_without_a_destination_is_history_to_it_though_its_chain_goes_on() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    world.ship(world.pack(&log, 1));
    let others = Some(vec!["main".to_owned()]);
    log.mark(boot(2), &Mark { destinations: others, ..mark(0, 100, 0..100, false) });
    log.mark(boot(2), &mark(0, 101, 0..101, false));
    world.ship(world.pack(&log, 3));
    let account = account(&world.store()).unwrap();
    let lane = account.lanes.iter().find(|lane| lane.boot == boot(2)).unwrap();
    assert_eq!((lane.filtered, lane.declared), (100, 1), "and what is lost after that is a loss");
}

#[test]
fn a_damaged_batch_is_set_aside_and_the_chain_goes_on() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    world.ship(world.pack(&log, 1));
    let outbox = world.spool().join("outbox/archive");
    let newest = files(&outbox).into_iter().find(|path| path.ends_with("manifest")).unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    {
        let lock = OutboxLock::acquire(&disk(), &world.spool(), "archive").unwrap().unwrap();
        let (outbox, damaged) = Outbox::open(lock, &world.spool().join("quarantine"), None).unwrap();
        assert_eq!((damaged.len(), outbox.newest().unwrap().manifest.number), (1, 1), "the copy stands in");
    }
    assert_ne!(fs::read(&newest).unwrap(), bytes, "and is put in the damaged one's place");
    for name in ["manifest", "manifest.copy"] {
        fs::write(newest.with_file_name(name), &bytes).unwrap();
    }
    let lock = OutboxLock::acquire(&disk(), &world.spool(), "archive").unwrap().unwrap();
    let (outbox, damaged) = Outbox::open(lock, &world.spool().join("quarantine"), None).unwrap();
    assert_eq!(damaged.len(), 1);
    assert!(outbox.newest().is_none());
    assert!(fs::read_dir(world.spool().join("quarantine")).unwrap().count() == 1);
}

#[test]
fn only_one_process_packs_for_a_destination() {
    let world = World::new();
    let first = OutboxLock::acquire(&disk(), &world.spool(), "archive").unwrap().unwrap();
    assert!(OutboxLock::acquire(&disk(), &world.spool(), "archive").unwrap().is_none());
    drop(first);
    assert!(OutboxLock::acquire(&disk(), &world.spool(), "archive").unwrap().is_some());
}

#[test]
fn what_retention_takes_is_stated_and_the_law_still_holds() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    drop(world.pack(&log, 1));
    world.clock.advance(Duration::from_secs(73 * 3600));
    let late = world.pack(&log, 1);
    let status = world.ship(late);
    assert_eq!(status.expired_objects, 1);
    log.record(boot(1), 0, 1, "cda", "o", START);
    world.ship(world.pack(&log, 2));
    let account = account(&world.store()).unwrap();
    assert!(account.is_whole(), "{account}");
    assert_eq!((account.expired, account.lanes[0].declared, account.lanes[0].delivered), (1, 1, 1));
}

#[test]
fn a_changed_byte_in_any_object_or_manifest_is_told_by_the_account() {
    let world = World::new();
    let log = FakeLog::default();
    log.record(boot(1), 0, 0, "cda", "o", START);
    world.ship(world.pack(&log, 1));
    for path in files(&world.store()).into_iter().filter(|path| !path.to_string_lossy().contains("probe")) {
        let good = fs::read(&path).unwrap();
        for at in [good.len() / 3, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            assert!(!account(&world.store()).unwrap().is_whole(), "{} {at}", path.display());
        }
        fs::remove_file(&path).unwrap();
        let account = account(&world.store()).unwrap();
        // The end of a chain can't be missed by who has only the chain.
        let last = path.to_string_lossy().contains("manifest-00000000000000000001");
        assert!(last || !account.is_whole() || !account.notes.is_empty(), "{}", path.display());
        fs::write(&path, good).unwrap();
    }
    assert!(account(&world.store()).unwrap().is_whole());
}
