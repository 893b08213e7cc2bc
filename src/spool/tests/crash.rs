//! A crash after every single call.

use super::*;

/// How far a story got.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    tried: u64,
    written: u64,
    synced: u64,
}

type Told = Result<(), Box<dyn std::error::Error>>;

fn append(writer: &mut SegmentWriter, count: u64, progress: &mut Progress) -> Told {
    let from = progress.tried + 1;
    progress.tried += count;
    writer.append(&records(from..=progress.tried))?;
    progress.written = progress.tried;
    Ok(())
}

/// A start, appends, syncs, and rotations, with an fsync that fails in between.
fn story(fs: &SimFs, progress: &mut Progress) -> Told {
    let spool = open(fs, 1)?;
    let mut writer = spool.writer();
    writer.rotate(&mark("first"), 1)?;
    append(&mut writer, 3, progress)?;
    append(&mut writer, 2, progress)?;
    writer.sync()?;
    progress.synced = progress.written;
    append(&mut writer, 4, progress)?;
    writer.rotate(&mark("second"), 2)?;
    progress.synced = progress.written;
    append(&mut writer, 3, progress)?;
    fs.faults(|faults| faults.failing_syncs = 1);
    let _ = writer.sync();
    writer.rotate(&mark("third"), 3)?;
    progress.synced = progress.written;
    append(&mut writer, 2, progress)?;
    Ok(())
}

fn check(fs: &SimFs, progress: Progress, at_least: u64, what: &str) {
    let spool = open(fs, 7).unwrap();
    let after_mark = recover_all(&spool).unwrap();
    let met = read_all(&spool);
    let expected: Vec<u64> = (1..=met.records.len() as u64).collect();
    assert_eq!(met.records, expected, "{what}: {progress:?}: each once, in order");
    assert!(met.records.len() as u64 >= at_least, "{what}: {progress:?}: {met:?}");
    assert!(met.records.len() as u64 <= progress.tried, "{what}");
    assert!(met.records.ends_with(&after_mark), "{what}: {after_mark:?}");
    assert_eq!(met.lost, [], "{what}: recovery has sealed the torn tail off");
    assert_eq!(read_all(&spool), met, "{what}: reading again gives the same");
}

#[test]
fn after_a_crash_in_any_call_what_was_written_is_read_once_and_what_was_synced_survives_power_loss() {
    let whole = disk(0);
    story(&whole, &mut Progress::default()).unwrap();
    for call in 1..=whole.calls() {
        let fs = disk(call);
        fs.faults(|faults| faults.crash_at = Some(call));
        let mut progress = Progress::default();
        story(&fs, &mut progress).ok();
        let killed = fs.fork();
        killed.kill();
        check(&killed, progress, progress.written, &format!("killed in call {call}"));
        for chance in 0..16 {
            let lost = fs.fork();
            lost.reseed(chance);
            lost.lose_power();
            check(&lost, progress, progress.synced, &format!("power lost in call {call}"));
        }
    }
}

#[test]
fn after_a_crash_in_any_call_of_recovery_the_next_recovery_gives_the_same() {
    let dead = disk(3);
    let mut progress = Progress::default();
    story(&dead, &mut progress).unwrap();
    dead.kill();
    dead.damage(&segment::Id { boot: boot(1), number: 3 }.path(Path::new("/data/spool/segments")), |bytes| {
        bytes.extend_from_slice(&records([99])[..24]);
    });
    let whole = dead.fork();
    let before = whole.calls();
    recover_all(&open(&whole, 2).unwrap()).unwrap();
    for call in before + 1..=whole.calls() {
        let fs = dead.fork();
        fs.faults(|faults| faults.crash_at = Some(call));
        if let Ok(spool) = open(&fs, 2) {
            recover_all(&spool).ok();
        }
        let killed = fs.fork();
        killed.kill();
        check(&killed, progress, progress.written, &format!("killed in call {call}"));
        for chance in 0..16 {
            let lost = fs.fork();
            lost.reseed(chance);
            lost.lose_power();
            check(&lost, progress, progress.synced, &format!("power lost in call {call}"));
        }
    }
}

#[test]
fn a_reader_that_was_ahead_of_a_failed_fsync_meets_nothing_twice_and_misses_nothing() {
    for read_before in 0..12 {
        let fs = disk(1);
        let spool = open(&fs, 1).unwrap();
        let mut writer = spool.writer();
        writer.rotate(&mark("first"), 1).unwrap();
        writer.append(&records(1..=3)).unwrap();
        writer.sync().unwrap();
        writer.append(&records(4..=9)).unwrap();
        let mut reader = spool.reader([Cursor::start(boot(1))]);
        let mut met = Met::default();
        met.read(&mut reader, read_before);
        fs.faults(|faults| faults.failing_syncs = 1);
        assert!(matches!(writer.sync(), Err(SyncError::Poisoned { .. })));
        assert!(matches!(writer.append(&records([10])), Err(AppendError::NeedsSegment)));
        // The name of the second segment does not get to the disk, so there is a third one.
        fs.faults(|faults| faults.failing_dir_syncs = 1);
        writer.rotate(&mark("second"), 2).unwrap_err();
        assert!(writer.needs_segment());
        let rotated = writer.rotate(&mark("third"), 3).unwrap();
        assert_eq!((rotated.segment, rotated.lost), (3, None));
        writer.append(&records([10])).unwrap();
        met.read(&mut reader, usize::MAX);
        assert_eq!(met.records, (1..=10).collect::<Vec<_>>(), "{read_before} items read before");
        assert_eq!((met.lost, met.missing), (vec![], vec![]));
    }
}

#[test]
fn a_write_that_fails_half_way_leaves_nothing_of_itself() {
    for failing_cuts in [0, 1] {
        let fs = disk(1);
        let spool = open(&fs, 1).unwrap();
        let mut writer = spool.writer();
        writer.rotate(&mark("first"), 1).unwrap();
        writer.append(&records(1..=3)).unwrap();
        let room = fs.files().iter().map(|path| fs.bytes(path).unwrap().len() as u64).sum::<u64>();
        fs.faults(|faults| (faults.room, faults.failing_cuts) = (Some(room + 100), failing_cuts));
        assert!(matches!(writer.append(&records(4..=9)), Err(AppendError::Full { .. })));
        assert_eq!(writer.needs_segment(), failing_cuts == 1);
        fs.faults(|faults| faults.room = None);
        if writer.needs_segment() {
            writer.rotate(&mark("second"), 2).unwrap();
        }
        writer.append(&records(4..=9)).unwrap();
        assert_eq!(read_all(&spool).records, (1..=9).collect::<Vec<_>>());
        drop((writer, spool));
        fs.kill();
        let spool = open(&fs, 2).unwrap();
        recover_all(&spool).unwrap();
        let met = read_all(&spool);
        assert_eq!(met.records, (1..=9).collect::<Vec<_>>());
        assert_eq!(met.lost, []);
    }
}
