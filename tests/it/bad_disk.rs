//! A disk that is missing, full, damaged or foreign stops no request, and what
//! it costs is counted.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source, all_files};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::records::{assert_no_duplicates, list};
use crate::harness::{PATIENCE, skip, until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file where a destination's folder should be, which the gateway may be making just now.
fn put_in_the_way(place: &Path) {
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    until("a file in the folder's place", PATIENCE, || {
        std::fs::remove_dir_all(place).ok();
        std::fs::write(place, b"in the way").ok()
    });
}

/// A tmpfs of its own, unmounted at the end.
struct SmallDisk {
    path: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(options: &str) -> Option<Self> {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&path)
            .output()
            .ok()?
            .status;
        status.success().then_some(Self { path, _parent: parent })
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.path)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn toml_path(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

#[test]
fn a_spool_folder_that_is_missing_is_made() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    assert!(gateway.spool().join("segments").is_dir());
    get("/one").send(gateway.address());
    assert_eq!(gateway.finish().len(), 1);
}

#[test]
fn a_spool_folder_that_cannot_be_written_is_a_clear_error() {
    if root() && SmallDisk::mount("size=64k").is_none() {
        return skip("bad_disk (read-only)", "root may write anywhere and nothing can be mounted here");
    }
    let disk = root().then(|| SmallDisk::mount("size=1m,ro").expect("mounted a moment ago"));
    let folder = tempfile::tempdir().unwrap();
    let place = disk.as_ref().map_or(folder.path(), |disk| &disk.path);
    if disk.is_none() {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o500)).unwrap();
    }
    let builder = Gateway::builder().source(Source::new("api", "http://127.0.0.1:9")).set(
        "spool",
        "dir",
        &toml_path(&place.join("spool")),
    );
    // Either it does not start and says why, or it serves and says that it is not ready.
    match builder.try_start() {
        Ok(_) => panic!("ready with a spool that cannot be written"),
        Err((_, log)) => {
            assert!(log.contains("spool") && !log.contains("panicked"), "{log}");
            assert!(log.contains(&place.display().to_string()), "the place is not named: {log}");
        }
    }
}

#[test]
fn a_spool_of_another_version_is_kept_and_said() {
    let origin = Origin::start();
    let builder = Gateway::builder().source(Source::new("api", &origin.url()));
    let seed = tempfile::tempdir().unwrap();
    let boot = seed.path().join("segments/01890a5d-ac96-774b-bcce-b302099a8057");
    std::fs::create_dir_all(&boot).unwrap();
    let foreign = boot.join("00000000000000000000.seg");
    let bytes = [&b"ONRSEG\x00\xff\xff"[..], &[7; 4000]].concat();
    std::fs::write(&foreign, &bytes).unwrap();
    match builder.spool_from(seed.path()).try_start() {
        Ok(mut gateway) => {
            get("/one").send(gateway.address());
            let log = gateway.log();
            assert_eq!(gateway.finish().len(), 1);
            let mut files = Vec::new();
            all_files(&gateway.spool(), &mut files);
            let kept = files.iter().any(|path| {
                let have = std::fs::read(path).unwrap_or_default();
                memchr::memmem::find(&have, &bytes).is_some()
            });
            assert!(kept, "the foreign bytes are gone: {files:#?}\n{log}");
        }
        Err((_, log)) => assert!(log.contains("version") && !log.contains("panicked"), "{log}"),
    }
}

#[test]
fn damage_in_any_place_of_the_spool_loses_only_what_was_there_and_says_so() {
    let origin = Origin::start();
    let mut first = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("interval", "\"1h\"")])
        .start();
    let saw = Load::calm(11, 200).run(first.address());
    assert!(saw.iter().all(|saw| saw.complete));
    first.sigkill();
    // What is in the rings is made sure of by one more start and death, so that the spool alone counts.
    first.restart();
    until("the records in the spool", PATIENCE, || {
        let mut files = Vec::new();
        all_files(&first.spool().join("segments"), &mut files);
        let bytes: u64 = files.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        (bytes > 10_000).then_some(())
    });
    first.sigkill();
    let mut random = fastrand::Rng::with_seed(crate::harness::seed("damage"));
    for round in 0..4 {
        let builder = Gateway::builder().source(Source::new("api", &origin.url())).spool_from(&first.spool());
        let mut gateway = builder.prepare();
        let mut files = Vec::new();
        all_files(&gateway.spool().join("segments"), &mut files);
        files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        files.sort();
        let file = &files[random.usize(..files.len())];
        let mut bytes = std::fs::read(file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let at = random.usize(..bytes.len());
        if round == 3 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.u8(..8);
        }
        std::fs::write(file, &bytes).unwrap();
        eprintln!("damage at {at} of {} in {}", bytes.len(), file.display());
        gateway.restart();
        get(format!("/after/{round}")).send(gateway.address());
        let records = gateway.finish();
        assert_no_duplicates(&records);
        assert!(records.iter().any(|record| record.text("url.path") == format!("/after/{round}")));
        assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
        // Whatever is missing is a declared gap: the law says so by number.
        gateway.account();
    }
}

#[test]
fn a_full_disk_stops_no_request_its_loss_is_exact_and_it_recovers_with_room() {
    let Some(disk) = SmallDisk::mount("size=3m") else {
        return skip("bad_disk (full)", "mounting a small file system needs root");
    };
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .set("spool", "dir", &toml_path(&disk.path.join("spool")))
        .set("spool", "segment_bytes", "\"256KiB\"")
        .set("ring", "bytes", "\"1MiB\"")
        .source(Source::new("api", &origin.url()))
        .start();
    // Somebody else fills the disk.
    let filler = disk.path.join("filler");
    let _ = std::fs::write(&filler, vec![1; 8 * 1024 * 1024]);
    let during = Load { clients: 20, ..Load::calm(21, 8000) }.run(gateway.address());
    assert!(during.iter().all(|saw| saw.complete && saw.intact), "requests go on with a full disk");
    std::fs::remove_file(&filler).unwrap();
    disk.remount("size=200m");
    let after = Load { first: 8000, ..Load::calm(22, 500) }.run(gateway.address());
    assert!(after.iter().all(|saw| saw.complete));
    until("records to arrive again", PATIENCE, || {
        gateway.records().iter().any(|record| record.id().is_some_and(|id| id >= 8400)).then_some(())
    });
    let records = gateway.finish();
    assert_no_duplicates(&records);
    eprintln!("{} of {} records delivered; the rest is declared", records.len(), during.len() + after.len());
    gateway.account();
}

#[test]
fn a_spool_at_its_bound_releases_the_oldest_and_declares_it() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .set("spool", "bytes", "\"1MiB\"")
        .set("spool", "segment_bytes", "\"128KiB\"")
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("interval", "\"1h\""), ("object_bytes", "\"1GiB\"")])
        .start();
    let saw = Load::calm(31, 10_000).run(gateway.address());
    assert!(saw.iter().all(|saw| saw.complete));
    let records = gateway.finish();
    assert_no_duplicates(&records);
    assert!(records.len() < saw.len(), "nothing was released: {}", list(&records[..1]));
    assert!(!records.is_empty());
    let manifests = gateway.destination("main").join("_manifests");
    let mut files = Vec::new();
    all_files(&manifests, &mut files);
    assert!(
        files.iter().any(|path| crate::harness::gateway::read_lossy(path).contains("spool_full")),
        "no manifest declares the release"
    );
    gateway.account();
}

#[test]
fn refuse_new_answers_503_at_the_bound_and_goes_on_once_there_is_room() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder()
        .set("spool", "bytes", "\"1MiB\"")
        .set("spool", "segment_bytes", "\"128KiB\"")
        .set("spool", "when_full", "\"refuse_new\"")
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("object_bytes", "\"64KiB\"")])
        .start();
    // A file where the folder should be: nothing can be delivered.
    let place = gateway.destination("main");
    put_in_the_way(&place);
    let mut first = 0;
    until("a refusal", PATIENCE * 2, || {
        let saw = Load { first, ..Load::calm(51, 1000) }.run(gateway.address());
        first += 1000;
        saw.iter().any(|saw| saw.status == Some(503)).then_some(())
    });
    std::fs::remove_file(&place).unwrap();
    until("room again", PATIENCE * 2, || (get("/again").send(gateway.address()).status == 200).then_some(()));
    let records = gateway.finish();
    assert_no_duplicates(&records);
    let refused = records.iter().filter(|record| record.text("error.type") == "not_recordable").count();
    assert!(refused > 0 && records.len() as u64 > first);
    gateway.account();
}

#[test]
fn a_destination_that_cannot_be_written_fails_loudly_and_delivers_all_once_mended() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    // A file where the folder should be is an obstacle for root too.
    let place = gateway.destination("main");
    put_in_the_way(&place);
    let saw = Load::calm(41, 200).run(gateway.address());
    assert!(saw.iter().all(|saw| saw.complete));
    until("the failure in the status", PATIENCE * 2, || {
        gateway.status().to_string().contains("failing").then_some(())
    });
    assert!(gateway.metric("onrecord_delivery_failures_total", "main") >= 1.0);
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir_all(&place).unwrap();
    let records = gateway.wait_for_records(200, PATIENCE * 2);
    assert_eq!(records.len(), 200);
    let records = gateway.finish();
    crate::harness::load::assert_records_match(&saw, &records, &origin, false);
    gateway.account();
}
