//! Starting on a folder that is there, is not, or is something else.

use super::*;

#[test]
fn a_spool_keeps_its_id_and_its_bound_over_starts_and_over_damage_to_either_file() {
    let fs = disk(1);
    fs.faults(|faults| faults.room = Some(1 << 30));
    let spool = open(&fs, 1).unwrap();
    let (id, bound) = (spool.id(), spool.bound());
    assert!(bound <= 1 << 29 && bound > (1 << 29) - 4096);
    drop(spool);
    for (number, damaged) in (2..).zip(["format", "id"]) {
        fs.kill();
        fs.damage(&Path::new(DIR).join(damaged), |bytes| bytes[20] ^= 1);
        assert_eq!(open(&fs, number).unwrap().id(), id, "{damaged}");
    }
}

#[test]
fn what_stands_in_the_way_is_named() {
    let fs = SimFs::new(1);
    assert!(matches!(open(&fs, 1), Err(OpenError::MissingParent { .. })));
    let fs = disk(1);
    fs.damage(Path::new(DIR), |_| {});
    assert!(matches!(open(&fs, 1), Err(OpenError::NotADirectory { .. })));
    let fs = disk(1);
    fs.faults(|faults| faults.read_only = true);
    assert!(matches!(open(&fs, 1), Err(OpenError::NotWritable { .. })));
    let fs = disk(1);
    fs.faults(|faults| faults.room = Some(10));
    assert!(matches!(open(&fs, 1), Err(OpenError::Full { .. })));
}

#[test]
fn another_version_is_refused_and_left_as_it_is() {
    let fs = disk(1);
    drop(open(&fs, 1).unwrap());
    let later = format::Format { version: 3, id: boot(5), bytes: 0 }.encode();
    let path = Path::new(DIR).join("format");
    fs.damage(&path, |bytes| *bytes = later.clone().into_bytes());
    assert!(matches!(open(&fs, 2), Err(OpenError::OtherVersion { found: 3, .. })));
    assert_eq!(fs.bytes(&path).unwrap(), later.into_bytes());
}

#[test]
fn a_boot_is_taken_over_only_once_its_process_has_ended() {
    let fs = disk(1);
    let first = open(&fs, 1).unwrap();
    let second = open(&fs, 2).unwrap();
    assert!(second.leftovers().is_empty());
    assert!(matches!(second.recover_boot(boot(1), |_, _| {}), Err(RecoverError::NotHeld(_))));
    drop(first);
    assert_eq!(second.adopt().unwrap(), [boot(1)]);
    assert!(second.recover_boot(boot(1), |_, _| {}).unwrap().mark.is_none());
    second.remove_boot(boot(1)).unwrap();
    assert_eq!(second.boots(), [boot(2)]);
    assert_eq!(fs.list(Path::new("/data/spool/segments")).unwrap(), [boot(2).to_string()]);
}

#[test]
fn the_machines_own_file_system_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: dir.path().join("spool"), ..Options::default() };
    let open = |number| Spool::open(&options, Arc::new(fs::SystemFs), boot(number), "gw-1");
    let spool = open(1).unwrap();
    let mut writer = spool.writer();
    writer.rotate(&mark("first"), 1).unwrap();
    writer.append(&records(1..=3)).unwrap();
    assert!(open(2).unwrap().leftovers().is_empty());
    drop((writer, spool));
    let spool = open(3).unwrap();
    assert_eq!(spool.leftovers(), [boot(1), boot(2)]);
    assert_eq!(recover_all(&spool).unwrap(), [1, 2, 3]);
    assert_eq!(read_all(&spool).records, [1, 2, 3]);
    let mut reader = spool.reader(spool.boots().into_iter().map(Cursor::start));
    Met::default().read(&mut reader, usize::MAX);
    let passed = reader.cursors().map(|cursor| (cursor.boot, cursor)).collect();
    let plan = retention::plan(&spool.segments().unwrap(), &spool.tails().all(), &[passed], 0);
    assert_eq!(plan.boots, [boot(1), boot(2)]);
    plan.boots.into_iter().for_each(|boot| spool.remove_boot(boot).unwrap());
    assert_eq!(spool.boots(), [boot(3)]);
}

#[test]
fn a_full_disk_takes_new_records_again_once_the_oldest_segment_is_released_and_declared() {
    let fs = disk(1);
    let spool = open(&fs, 1).unwrap();
    let mut writer = spool.writer();
    writer.rotate(&mark("first"), 1).unwrap();
    writer.append(&records(1..=40)).unwrap();
    writer.rotate(&mark("second"), 2).unwrap();
    let used = fs.files().iter().map(|path| fs.bytes(path).unwrap().len() as u64).sum::<u64>();
    fs.faults(|faults| faults.room = Some(used + 64));
    assert!(matches!(writer.append(&records(41..=50)), Err(AppendError::Full { .. })));
    let segments = spool.segments().unwrap();
    let bytes = segments.iter().map(|segment| segment.bytes).sum::<u64>();
    let plan = retention::plan(&segments, &spool.tails().all(), &[], bytes - 1000);
    assert_eq!(plan.release, [segment::Id { boot: boot(1), number: 1 }]);
    spool.remove_segment(plan.release[0]).unwrap();
    writer.append(&records(41..=50)).unwrap();
    assert_eq!(read_all(&spool).records, (41..=50).collect::<Vec<_>>());
}

#[test]
fn a_closed_boot_can_be_opened_again_to_declare_what_was_released_of_it() {
    let fs = disk(1);
    let first = open(&fs, 1).unwrap();
    let mut writer = first.writer();
    writer.rotate(&mark("first"), 1).unwrap();
    writer.append(&records(1..=3)).unwrap();
    drop((writer, first));
    fs.kill();
    let spool = open(&fs, 2).unwrap();
    recover_all(&spool).unwrap();
    let mut reader = spool.reader([Cursor::start(boot(1))]);
    let mut met = Met::default();
    met.read(&mut reader, usize::MAX);
    let mut writer = spool.reopen(boot(1)).unwrap();
    writer.rotate(&mark("more"), 3).unwrap();
    writer.append(&records([4])).unwrap();
    writer.close().unwrap();
    met.read(&mut reader, usize::MAX);
    assert_eq!(met.records, [1, 2, 3, 4]);
    assert!(spool.reopen(boot(2)).is_none());
}
